"""Virtual time: a count of ticks of 250 ps, the time that one byte of retired instruction takes.

A 4-byte instruction takes 1 ns, a compressed one half of that. Bytes are counted, not instructions or
blocks, because the sum of the lengths of what has retired is the same however the engine cuts code into
blocks. The engine's native hook adds to the count in place (hence the one cell of shared memory); Python
adds the fixed costs of gates and copies by `charge`, and the machine loop jumps by `advance_to` when every
hart waits. Nobody else moves time, and it never goes back.
"""

import ctypes
from array import array
from typing import Final

PS_PER_TICK: Final = 250
TICKS_PER_US: Final = 1_000_000 // PS_PER_TICK
TICKS_PER_S: Final = TICKS_PER_US * 1_000_000


class Clock:
    """Counts ticks in `cells[0]`: a view of one or more int64 (format 'q') that native code may share."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview | None = None) -> None:
        if cells is None:
            cells = memoryview(array("q", [0]))
        assert cells.format == "q" and not cells.readonly, "the clock's cell is a writable int64"
        self.cells: Final = cells

    @property
    def now(self) -> int:
        """Ticks since power-on."""
        return self.cells[0]

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.cells[0] * PS_PER_TICK

    @property
    def address(self) -> int:
        """Host address of the counting cell, for native code; good as long as the clock lives."""
        return ctypes.addressof(ctypes.c_int64.from_buffer(self.cells))

    def charge(self, ticks: int) -> None:
        """Let `ticks` pass."""
        self.cells[0] += ticks

    def advance_to(self, ticks: int) -> None:
        """Jump to time `ticks`, where that is in the future."""
        self.cells[0] = max(self.cells[0], ticks)
