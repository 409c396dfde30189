"""Ram: views agree, starts zeroed, knows its bounds, and a forked child has its own."""

import ctypes
import os

import pytest

from emu.ram import RAM_BASE, Ram


def test_views_show_the_same_little_endian_bytes() -> None:
    ram = Ram(8192)
    ram.u64[1] = 0x1122334455667788
    assert bytes(ram.bytes[8:16]) == bytes.fromhex("8877665544332211")
    assert ram.u32[2] == 0x55667788
    assert ram.u32[3] == 0x11223344
    assert ctypes.string_at(ram.address + 8, 2) == b"\x88\x77"


def test_starts_zeroed() -> None:
    assert not any(Ram(1 << 16).u64)


@pytest.mark.parametrize(
    ("pa", "size", "held"),
    [
        (RAM_BASE, 8192, True),
        (RAM_BASE, 8193, False),
        (RAM_BASE - 1, 1, False),
        (RAM_BASE - 1, 2, False),
        (RAM_BASE + 8191, 1, True),
        (RAM_BASE + 8191, 2, False),
        (RAM_BASE + 8192, 0, True),
        (RAM_BASE + 8193, 0, False),
        (0, 1, False),
        (1 << 64, 1, False),
        (RAM_BASE, -1, False),
    ],
)
def test_holds(pa: int, size: int, held: bool) -> None:
    assert Ram(8192).holds(pa, size) is held


def test_view_is_writable_and_not_copied() -> None:
    ram = Ram(4096)
    ram.view(RAM_BASE + 16, 8)[:] = b"abcdefgh"
    assert ram.u64[2].to_bytes(8, "little") == b"abcdefgh"
    with pytest.raises(AssertionError, match="not all in RAM"):
        ram.view(RAM_BASE + 4090, 8)


@pytest.mark.parametrize("size", [0, -4096, 100, 4097])
def test_refuses_what_is_not_whole_pages(size: int) -> None:
    with pytest.raises(AssertionError, match="whole pages"):
        Ram(size)


def test_forked_child_has_its_own() -> None:
    ram = Ram(4096)
    ram.bytes[0] = 1
    child = os.fork()
    if child == 0:
        ram.bytes[0] += 41
        os._exit(ram.bytes[0])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert ram.bytes[0] == 1
