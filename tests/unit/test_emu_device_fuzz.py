"""Random guests: whatever is loaded, stored and received, no device raises, and values fit their size."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from virtio_driver import AVAILABLE, DATA, DESCRIPTORS, USED, Rings, bring_up

from emu import board_map
from emu.bus import Bus
from emu.clock import Clock
from emu.dev.clint import Clint, HartLines
from emu.dev.device import Device
from emu.dev.drive import RamDrive
from emu.dev.finisher import Finisher
from emu.dev.plic import Plic
from emu.dev.uart import Uart
from emu.dev.virtio import VirtioMmio
from emu.dev.virtio_blk import VirtioBlk
from emu.events import NEVER, EventQueue
from emu.ram import RAM_BASE, Ram

WORDS = (
    st.integers(0, (1 << 64) - 1)
    | st.integers(0, 64)
    | st.sampled_from([0x5555, 0x3333, 0x7777, DESCRIPTORS, AVAILABLE, USED, DATA, 11, 15, 1 << 31, 1 << 63])
)


def nothing(level: bool) -> None:
    assert isinstance(level, bool)


class Board:
    """All devices on one bus, over one RAM."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events = EventQueue()
        self.ram = Ram(0x1_0000)
        self.bus = Bus(self.ram)
        self.plic = Plic([nothing] * 4)
        self.uart = Uart(self.plic.line(board_map.UART0_IRQ), lambda byte: None)
        drive = RamDrive(bytes(4096))
        self.disk = VirtioBlk(self.ram, self.plic.line(1), self.clock, self.events, drive)
        clint = Clint(self.clock, self.events, [HartLines(nothing, nothing)] * 2)
        self.bus.attach(board_map.FINISHER, 0x1000, Finisher(lambda code: None, lambda: None))
        self.bus.attach(board_map.CLINT, board_map.CLINT_SIZE, clint)
        self.bus.attach(board_map.PLIC, board_map.PLIC_SIZE, self.plic)
        self.bus.attach(board_map.UART0, board_map.UART0_SIZE, self.uart)
        self.bus.attach(board_map.VIRTIO0, 0x1000, self.disk)
        self.bus.attach(board_map.VIRTIO0 + 0x1000, 0x1000, VirtioMmio(self.ram, self.plic.line(2)))

    def run_some_events(self) -> None:
        """A few, since a comparator that is set anew each time could go on for ever."""
        for _ in range(4):
            if self.events.next_ticks < NEVER:
                self.clock.advance_to(self.events.next_ticks)
                self.events.run_due(self.clock.now)


INTERESTING = {
    board_map.FINISHER: [0, 4],
    board_map.CLINT: [0, 4, 8, 0x4000, 0x4004, 0x4008, 0x4010, 0xBFF8, 0xBFFC, 0xFFF8],
    board_map.PLIC: [
        0,
        4,
        0x28,
        0x180,
        0x1000,
        0x2000,
        0x2008,
        0x2080,
        0x1F_FF80,
        0x20_0000,
        0x20_0004,
        0x20_1000,
        0x20_1004,
        0x20_4004,
        0x3FF_FFF8,
    ],
    board_map.UART0: list(range(9)),
    board_map.VIRTIO0: [*range(0, 0x100, 4), 0x100, 0x104, 0x138],
    board_map.VIRTIO0 + 0x1000: [0x30, 0x38, 0x44, 0x50, 0x70, 0x100],
}

ACCESS = st.tuples(
    st.sampled_from(sorted(INTERESTING)).flatmap(
        lambda base: (
            st.sampled_from([base + offset for offset in INTERESTING[base]]) | st.integers(base, base + 0xFFF)
        )
    ),
    st.sampled_from([1, 2, 4, 8]),
    st.none() | WORDS,  # None: a load
)


@settings(derandomize=True, max_examples=120, deadline=None)
@given(st.lists(ACCESS | st.integers(0, 255) | st.just("events"), max_size=60), st.booleans())
def test_random_accesses_never_raise(
    steps: list[tuple[int, int, int | None] | int | str], disk_is_up: bool
) -> None:
    board = Board()
    if disk_is_up:
        bring_up(board.disk)
    for step in steps:
        if isinstance(step, int):
            board.uart.receive(step)
            assert 0 <= board.uart.room <= 16
        elif isinstance(step, str):
            board.run_some_events()
        else:
            pa, size, value = step
            pa &= ~(size - 1)
            if value is None:
                assert 0 <= board.bus.load(pa, size) < 1 << size * 8
            else:
                board.bus.store(pa, size, value)
    board.run_some_events()


@pytest.mark.parametrize("device", ["clint", "plic", "uart", "disk", "slot", "finisher"])
@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, (1 << 26) - 1), st.sampled_from([1, 2, 4, 8]), WORDS), max_size=20
    )
)
def test_devices_take_any_offset(device: str, steps: list[tuple[int, int, int]]) -> None:
    """Straight at the device: misaligned, and beyond what the bus would let through."""
    board = Board()
    devices: dict[str, Device] = {
        "clint": Clint(board.clock, board.events, [HartLines(nothing, nothing)]),
        "plic": board.plic,
        "uart": board.uart,
        "disk": board.disk,
        "slot": VirtioMmio(board.ram, nothing),
        "finisher": Finisher(lambda code: None, lambda: None),
    }
    chosen = devices[device]
    for offset, size, value in steps:
        for at in (offset, offset & 0xFFF, offset & 0xFF):
            chosen.store(at, size, value & (1 << size * 8) - 1)
            assert 0 <= chosen.load(at, size) < 1 << size * 8


SEGMENT = st.tuples(
    st.sampled_from([DATA, DATA + 0x100, RAM_BASE, RAM_BASE + 0xFFFF, DESCRIPTORS, AVAILABLE, USED, 0]),
    st.sampled_from([0, 1, 15, 16, 17, 512, 513, 1024, 4096, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 2, 3, 3, 1, 4]),
    st.integers(0, 8),
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.lists(SEGMENT, min_size=8, max_size=8),
    st.lists(st.integers(0, 9), max_size=9),
    st.tuples(st.sampled_from([0, 1, 4, 8, 3]), st.integers(0, 9) | st.integers(0, (1 << 64) - 1)),
)
def test_random_disk_requests_never_raise(
    segments: list[tuple[int, int, int, int]], heads: list[int], header: tuple[int, int]
) -> None:
    """Chains that may lie over the rings themselves, so that requests rewrite their own queue."""
    board = Board()
    rings = Rings(board.ram)
    bring_up(board.disk)
    for index, (pa, size, flags, following) in enumerate(segments):
        rings.describe(index, pa, size, flags, following)
    rings.put(DATA, "<IIQ", header[0], 0, header[1])
    rings.offer(*heads)
    for _ in range(3):
        board.disk.store(0x50, 4, 0)
        board.run_some_events()
    assert board.disk.load(0x70, 4) in (15, 15 | 0x40)
