"""The list of devices: the board does all that a node says, and the software's map agrees with it."""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from emu import board_map
from emu.board import Board
from emu.board_map import NO_IRQ, Node, Parts, virt
from emu.bus import BusError
from emu.cpu.public import PublicEngine
from emu.dev.device import Device, Digest, SetLevel
from emu.dev.plic import PENDING
from emu.ram import PAGE_SIZE, RAM_BASE
from kernel.abi import memlayout
from orrery.inspect.reports.devices import device_lines

HERE = 0x1001_0000
IRQ = 20


class Latch(Device):
    """One word that is kept, part of any digest; writing it interrupts."""

    def __init__(self, set_irq: SetLevel) -> None:
        self.value = 7
        self._set_irq = set_irq

    def load(self, offset: int, size: int) -> int:
        return self.value if offset == 0 else 0

    def store(self, offset: int, size: int, value: int) -> None:
        self.value = value
        self._set_irq(True)

    def digest_update(self, digest: Digest) -> None:
        digest.update(self.value.to_bytes(8, "little"))


def latch(parts: Parts, set_irq: SetLevel) -> Latch:
    return Latch(set_irq)


def made(*more: Node) -> Board:
    return Board(1, PublicEngine, [*virt(None, lambda byte: None), *more])


def test_a_device_of_the_list_is_on_the_bus_and_interrupts() -> None:
    board = made(Node("latch", HERE, PAGE_SIZE, IRQ, latch))
    assert board.bus.load(HERE, 4) == 7, "a device is reset when it is made"
    assert not board.plic.load(PENDING, 4) >> IRQ & 1
    board.bus.store(HERE, 4, 9)
    assert board.bus.load(HERE, 4) == 9 and board.plic.load(PENDING, 4) >> IRQ & 1
    (one,) = board.of_kind(Latch)
    assert board.devices[-1] == (Node("latch", HERE, PAGE_SIZE, IRQ, latch), one)
    with pytest.raises(BusError):
        made().bus.load(HERE, 4)


def test_a_digest_has_what_the_devices_of_the_list_store() -> None:
    def digest(value: int) -> str:
        board = made(Node("latch", HERE, PAGE_SIZE, IRQ, latch))
        board.of_kind(Latch)[0].value = value
        result = hashlib.sha256()
        board.digest_update(result)
        return result.hexdigest()

    assert digest(1) == digest(1) != digest(2)


def test_a_board_has_no_devices_but_those_of_the_list() -> None:
    board = Board(1, PublicEngine, [Node("latch", HERE, PAGE_SIZE, IRQ, latch)])
    assert board.bus.load(HERE, 4) == 7 and board.drive is None and board.virtio == []
    for place in (board_map.FINISHER, board_map.CLINT, board_map.PLIC, board_map.UART0, board_map.VIRTIO0):
        with pytest.raises(BusError):
            board.bus.load(place, 4)


@pytest.mark.parametrize(
    ("base", "make", "why"),
    [
        (board_map.UART0, latch, "two devices at one address"),
        (RAM_BASE, latch, "lies over RAM"),
    ],
)
def test_two_things_at_one_address_are_refused(
    base: int, make: Callable[[Parts, SetLevel], Device], why: str
) -> None:
    with pytest.raises(AssertionError, match=why):
        made(Node("latch", base, PAGE_SIZE, IRQ, make))


def test_a_device_without_an_interrupt_cannot_raise_one() -> None:
    board = made(Node("latch", HERE, PAGE_SIZE, NO_IRQ, latch))
    with pytest.raises(AssertionError, match="NO_IRQ"):
        board.bus.store(HERE, 4, 1)


def test_no_two_nodes_have_one_name_or_one_interrupt() -> None:
    nodes = virt(None, lambda byte: None)
    irqs = [node.irq for node in nodes if node.irq != NO_IRQ]
    assert len({node.name for node in nodes}) == len(nodes) and len(set(irqs)) == len(irqs)


def test_agrees_with_the_kernels_memory_layout() -> None:
    assert memlayout.KERNBASE == RAM_BASE
    assert memlayout.TEST_FINISHER == board_map.FINISHER
    for name in ("CLINT", "CLINT_SIZE", "PLIC", "PLIC_SIZE", "UART0", "UART0_IRQ"):
        assert getattr(memlayout, name) == getattr(board_map, name), name
    for name in ("VIRTIO0", "VIRTIO0_IRQ", "VIRTIO_COUNT", "VIRTIO_STRIDE"):
        assert getattr(memlayout, name) == getattr(board_map, name), name


def test_whatever_the_kernel_maps_is_a_device_of_the_list() -> None:
    nodes = virt(None, lambda byte: None)
    for base, size in memlayout.DEVICES:
        assert any(node.base == base and size <= node.size for node in nodes), hex(base)


def test_the_monitors_report_shows_a_device_that_it_does_not_know() -> None:
    class Told(Latch):
        def status(self) -> str:
            return f"holds {self.value}"

    board = made(Node("latch", HERE, PAGE_SIZE, IRQ, lambda parts, set_irq: Told(set_irq)))
    console = SimpleNamespace(readers=[], room=1)
    lines = list(device_lines(SimpleNamespace(board=board, console=console), SimpleNamespace(waiting=0)))
    assert "0x10010000    20  latch     holds 7" in lines
    assert [line.split()[2] for line in lines[1:6]] == ["finisher", "CLINT", "PLIC", "UART", "latch"]
