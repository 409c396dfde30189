"""Clock: one count, shared with native code."""

import ctypes
from array import array

import pytest

from emu.clock import CELL_MAX, PS_PER_TICK, TICKS_PER_S, TICKS_PER_US, Clock


def test_units() -> None:
    assert PS_PER_TICK == 250
    assert TICKS_PER_US * PS_PER_TICK == 1_000_000
    assert TICKS_PER_S * PS_PER_TICK == 10**12


def test_charge_and_advance() -> None:
    clock = Clock()
    clock.charge(6)
    clock.charge(4)
    assert (clock.now, clock.time_ps) == (10, 2500)
    clock.advance_to(8)
    assert clock.now == 10
    clock.advance_to(100)
    assert clock.now == 100


def test_cell_is_shared_with_native_code() -> None:
    cells = memoryview(array("q", [7, 99]))
    clock = Clock(cells)
    ctypes.c_int64.from_address(clock.address).value += 5
    assert clock.now == 12
    clock.charge(1)
    assert list(cells) == [13, 99]


@pytest.mark.parametrize("cells", [memoryview(b"12345678"), memoryview(array("Q", [0]))])
def test_refuses_cells_of_another_kind(cells: memoryview) -> None:
    with pytest.raises(AssertionError, match="int64"):
        Clock(cells)


def test_time_has_no_end_though_the_cell_has() -> None:
    clock = Clock()
    for ticks in (CELL_MAX - 9, CELL_MAX, 3 * CELL_MAX + 5, 1 << 90):
        clock.advance_to(ticks)
        assert clock.now == ticks and clock.time_ps == ticks * PS_PER_TICK
        assert 0 <= clock.cells[0] < CELL_MAX
        clock.charge(7)
        clock.advance_to(ticks)
        assert clock.now == ticks + 7
    clock.advance_to((1 << 90) + 100)
    assert clock.now == (1 << 90) + 100 and clock.epoch == 1 << 90, "a short jump needs no other epoch"
