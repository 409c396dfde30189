"""Virtual time: a count of ticks of 250 ps, the time that one byte of retired instruction takes.

A 4-byte instruction takes 1 ns, a compressed one half of that. Bytes are counted, not instructions or
blocks, because the sum of the lengths of what has retired is the same however the engine cuts code into
blocks. Each hart has a clock of its own. Its engine's native hook adds to the count in place (hence the one
cell of shared memory); Python adds the fixed costs of gates and copies by `charge`, and the machine loop
jumps by `advance_to` when every hart waits. Nobody else moves time, and a hart's never goes back.

The board's time is that of the hart whose turn it is (emu/loop.py): devices and the outside world go by it.

The cell is 64 bits, which is 73 years, and a guest that only sleeps has used them up in a moment. So it
counts from an `epoch`, which a jump moves on where the cell would become too large:

    now = epoch + cells[0]

Times outside of the cells are Python's integers and have no end. Who reads or writes a time in the cells
adds or subtracts the epoch.
"""

import ctypes
from array import array
from collections.abc import Sequence
from typing import Final, Protocol

PS_PER_TICK: Final = 250
TICKS_PER_US: Final = 1_000_000 // PS_PER_TICK
TICKS_PER_S: Final = TICKS_PER_US * 1_000_000
CELL_MAX: Final = 1 << 62  # a jump leaves less than this in the cell: what runs has years before it is full


class TimeSource(Protocol):
    """What a device goes by."""

    @property
    def now(self) -> int:
        """Ticks since power-on."""
        ...


class Clock:
    """One hart's clock: counts ticks in `cells[0]`.

    `cells` is a view of one or more int64 (format 'q') that native code may share; `epoch` is the time at
    which that count was 0.
    """

    __slots__ = ("cells", "epoch")

    def __init__(self, cells: memoryview | None = None) -> None:
        if cells is None:
            cells = memoryview(array("q", [0]))
        assert cells.format == "q" and not cells.readonly, "the clock's cell is a writable int64"
        self.cells: Final = cells
        self.epoch = 0

    @property
    def now(self) -> int:
        """Ticks since power-on."""
        return self.epoch + self.cells[0]

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return (self.epoch + self.cells[0]) * PS_PER_TICK

    @property
    def address(self) -> int:
        """Host address of the counting cell, for native code; good as long as the clock lives."""
        return ctypes.addressof(ctypes.c_int64.from_buffer(self.cells))

    def charge(self, ticks: int) -> None:
        """Let `ticks` pass."""
        self.cells[0] += ticks

    def advance_to(self, ticks: int) -> None:
        """Jump to time `ticks`, where that is in the future."""
        if ticks - self.epoch >= CELL_MAX and ticks > self.now:
            self.epoch, self.cells[0] = ticks, 0
        else:
            self.cells[0] = max(self.cells[0], ticks - self.epoch)


class BoardClock:
    """The board's time, as devices and the outside world see it: that of `running`, a clock of `harts`.

    The machine loop sets `running` to the clock of the hart whose turn it is.
    """

    __slots__ = ("harts", "running")

    def __init__(self, harts: Sequence[Clock]) -> None:
        self.harts: Final = tuple(harts)
        self.running = self.harts[0]

    @property
    def now(self) -> int:
        """Ticks since power-on."""
        return self.running.now

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.running.time_ps

    def advance_to(self, ticks: int) -> None:
        """All harts wait: have those jump to time `ticks` for which that is in the future."""
        for clock in self.harts:
            clock.advance_to(ticks)
