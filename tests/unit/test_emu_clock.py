"""Clock: one count, shared with native code."""

import ctypes
from array import array

import pytest

from emu.clock import PS_PER_TICK, TICKS_PER_S, TICKS_PER_US, Clock


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
