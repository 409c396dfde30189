"""Bus: who answers at an address, in what pieces, and what faults."""

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.bus import Bus, BusError
from emu.dev.device import Device
from emu.ram import RAM_BASE, Ram


class Recorder(Device):
    """Notes each access; a load gives its offset and size in the digits of the result."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int]] = []

    def load(self, offset: int, size: int) -> int:
        self.seen.append(("load", offset, size, 0))
        return offset << 4 | size

    def store(self, offset: int, size: int, value: int) -> None:
        self.seen.append(("store", offset, size, value))


class WideRecorder(Recorder):
    takes_8_bytes: ClassVar[bool] = True


@pytest.fixture
def bus() -> Bus:
    bus = Bus(Ram(8192))
    bus.attach(0x2000, 0x2000, Recorder())
    bus.attach(0x1000, 0x1000, WideRecorder())
    return bus


def recorder(bus: Bus, pa: int) -> Recorder:
    device = bus.device_at(pa)
    assert isinstance(device, Recorder)
    return device


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("offset", [0, 8, 3, 13, 4095])
def test_ram_is_little_endian_at_any_alignment(bus: Bus, size: int, offset: int) -> None:
    value = 0x8877665544332211 & (1 << size * 8) - 1
    bus.store(RAM_BASE + offset, size, value | 1 << size * 8)
    assert bytes(bus.ram.bytes[offset : offset + size]) == value.to_bytes(size, "little")
    assert bus.ram.bytes[offset + size] == 0
    assert bus.load(RAM_BASE + offset, size) == value


def test_devices_get_offsets_and_cut_values(bus: Bus) -> None:
    assert bus.load(0x2FFC, 4) == 0xFFC << 4 | 4
    bus.store(0x3001, 1, 0x1FF)
    assert recorder(bus, 0x2000).seen == [("load", 0xFFC, 4, 0), ("store", 0x1001, 1, 0xFF)]


def test_eight_bytes_are_two_accesses_low_half_first(bus: Bus) -> None:
    bus.store(0x2010, 8, 0x1111111122222222)
    assert bus.load(0x2010, 8) == 0x144 << 32 | 0x104
    assert recorder(bus, 0x2000).seen == [
        ("store", 0x10, 4, 0x22222222),
        ("store", 0x14, 4, 0x11111111),
        ("load", 0x10, 4, 0),
        ("load", 0x14, 4, 0),
    ]


def test_eight_bytes_go_whole_to_a_device_that_takes_them(bus: Bus) -> None:
    bus.store(0x1008, 8, 0x1111111122222222)
    assert bus.load(0x1008, 8) == 0x88
    assert recorder(bus, 0x1000).seen == [("store", 8, 8, 0x1111111122222222), ("load", 8, 8, 0)]


@pytest.mark.parametrize(
    ("pa", "size"),
    [
        (0, 1),
        (0xFFF, 1),
        (0x4000, 4),
        (RAM_BASE - 1, 1),
        (RAM_BASE - 4, 8),  # half in RAM
        (RAM_BASE + 8188, 8),
        (RAM_BASE + 8192, 1),
        (0x2001, 2),  # misaligned in a device
        (0x1FFE, 4),  # across two devices
        ((1 << 64) - 8, 8),
        (1 << 70, 4),
        (-8, 8),
    ],
)
def test_what_nobody_answers_is_a_bus_error(bus: Bus, pa: int, size: int) -> None:
    with pytest.raises(BusError) as load_error:
        bus.load(pa, size)
    assert load_error.value.pa == pa
    with pytest.raises(BusError):
        bus.store(pa, size, 0)
    assert recorder(bus, 0x1000).seen == recorder(bus, 0x2000).seen == []


@pytest.mark.parametrize(
    ("base", "size", "rule"),
    [
        (0x3000, 0x1000, "two devices"),
        (0x0000, 0x2000, "two devices"),
        (0x5000, 0x10, "whole pages"),
        (0x5100, 0x1000, "whole pages"),
        (RAM_BASE + 4096, 4096, "over RAM"),
    ],
)
def test_wiring_mistakes_are_refused(bus: Bus, base: int, size: int, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        bus.attach(base, size, Recorder())


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.integers(0, 0x5000) | st.integers(RAM_BASE - 16, RAM_BASE + 8208) | st.integers(0, (1 << 64) - 1),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, (1 << 64) - 1),
)
def test_an_access_answers_or_is_a_bus_error(pa: int, size: int, value: int) -> None:
    bus = Bus(Ram(8192))
    bus.attach(0x2000, 0x2000, Recorder())
    in_ram = pa >= RAM_BASE and pa + size <= RAM_BASE + 8192
    in_device = 0x2000 <= pa < 0x4000 and pa % size == 0
    if in_ram or in_device:
        bus.store(pa, size, value)
        assert bus.load(pa, size) >= 0
    else:
        with pytest.raises(BusError):
            bus.load(pa, size)
