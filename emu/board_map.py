"""The board's list of devices: which there are, at which addresses, on which interrupts.

A device is added here and nowhere else: its class is a file of emu/dev/, its node a line of `virt`.  The
board (emu/board.py) makes every device of the list, puts it on the bus and connects its interrupt; digests
and the monitor's reports go through the same list.  Addresses and interrupts are those of QEMU's `virt`.
kernel/abi/memlayout.py says the same for the software's side (emu may not import it), and a test holds the
two together.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from emu.clock import TimeSource
from emu.cpu.hart import M_SOFT, M_TIMER, Hart
from emu.dev.clint import Clint, HartLines
from emu.dev.device import Device, SetLevel
from emu.dev.drive import Drive
from emu.dev.finisher import Finisher
from emu.dev.plic import Plic
from emu.dev.uart import Uart
from emu.dev.virtio import VirtioMmio
from emu.dev.virtio_blk import VirtioBlk
from emu.events import EventQueue
from emu.ram import Ram

FINISHER: Final = 0x0010_0000
FINISHER_SIZE: Final = 0x1000

CLINT: Final = 0x0200_0000
CLINT_SIZE: Final = 0x1_0000

PLIC: Final = 0x0C00_0000
PLIC_SIZE: Final = 0x400_0000

UART0: Final = 0x1000_0000
UART0_SIZE: Final = 0x1000
UART0_IRQ: Final = 10

VIRTIO0: Final = 0x1000_1000  # transport n is at VIRTIO0 + n * VIRTIO_STRIDE, interrupt VIRTIO0_IRQ + n
VIRTIO_STRIDE: Final = 0x1000
VIRTIO0_IRQ: Final = 1
VIRTIO_COUNT: Final = 8

NO_IRQ: Final = 0  # the PLIC's source 0 means "none"


class Parts(NamedTuple):
    """What of the board a device can be connected to, besides its own interrupt."""

    ram: Ram
    clock: TimeSource
    events: EventQueue
    harts: Sequence[Hart]
    plic: Plic
    finish: Callable[[int], None]  # ends the run with an exit code


class Node(NamedTuple):
    """A device of the list, like a node of a device tree.

    It answers at [base, base + size), whole pages, and interrupts by source `irq` of the PLIC.
    make(parts, set_irq) gives the device as it is after power-on; its constructor is its reset.
    """

    name: str
    base: int
    size: int
    irq: int
    make: Callable[[Parts, SetLevel], Device]


def virt(drive: Drive | None, transmit: Callable[[int], None]) -> list[Node]:
    """The devices of the `virt` machine: a disk over `drive`, if any, and a UART that sends to `transmit`."""
    return [
        Node("finisher", FINISHER, FINISHER_SIZE, NO_IRQ, _finisher),
        Node("CLINT", CLINT, CLINT_SIZE, NO_IRQ, _clint),
        Node("PLIC", PLIC, PLIC_SIZE, NO_IRQ, lambda parts, irq: parts.plic),
        Node("UART", UART0, UART0_SIZE, UART0_IRQ, lambda parts, irq: Uart(irq, transmit)),
        *(_virtio(slot, drive if slot == 0 else None) for slot in range(VIRTIO_COUNT)),
    ]


def _finisher(parts: Parts, _: SetLevel) -> Finisher:
    return Finisher(parts.finish, lambda: parts.finish(0))


def _clint(parts: Parts, _: SetLevel) -> Clint:
    lines = [HartLines(hart.line(M_SOFT), hart.line(M_TIMER)) for hart in parts.harts]
    return Clint(parts.clock, parts.events, lines)


def _virtio(slot: int, drive: Drive | None) -> Node:
    """Transport `slot`: a disk over `drive`, or nothing."""

    def make(parts: Parts, irq: SetLevel) -> VirtioMmio:
        if drive is None:
            return VirtioMmio(parts.ram, irq)
        return VirtioBlk(parts.ram, irq, parts.clock, parts.events, drive)

    base = VIRTIO0 + slot * VIRTIO_STRIDE
    return Node(f"virtio {slot}", base, VIRTIO_STRIDE, VIRTIO0_IRQ + slot, make)
