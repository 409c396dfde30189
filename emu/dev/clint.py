"""The core-local interruptor: each hart's timer and software interrupt, and the time counter.

    0x0000 + 4*hart   msip       bit 0 is the hart's machine software interrupt
    0x4000 + 8*hart   mtimecmp   the machine timer interrupt is high while mtime >= mtimecmp
    0xbff8            mtime      counts at 10 MHz of virtual time

mtime is computed from the clock when it is read. A comparator in the future is an event in the queue, except
for all ones, by which a kernel says that it wants no interrupt. Writing
mtime sets an offset to the clock. Registers take aligned accesses of 4 or 8 bytes; others read 0 and change
nothing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from emu.clock import PS_PER_TICK, TimeSource
from emu.dev.device import Device, SetLevel
from emu.events import NEVER, Event, EventQueue

MTIME_HZ: Final = 10_000_000
TICKS_PER_MTIME: Final = 10**12 // MTIME_HZ // PS_PER_TICK
assert TICKS_PER_MTIME * PS_PER_TICK * MTIME_HZ == 10**12, "one step of mtime is a whole number of ticks"

_MTIMECMP: Final = 0x4000
_MTIME: Final = 0xBFF8
_MASK64: Final = (1 << 64) - 1


class HartLines(NamedTuple):
    """The two interrupt inputs of one hart that this device drives."""

    msip: SetLevel
    mtip: SetLevel


class Clint(Device):
    """Timers and software interrupts for `len(harts)` harts, mtimecmp at its greatest after power-on."""

    takes_8_bytes = True

    def __init__(self, clock: TimeSource, events: EventQueue, harts: Sequence[HartLines]) -> None:
        self._clock: Final = clock
        self._events: Final = events
        self._harts: Final = tuple(harts)
        self._msip: Final = [0] * len(harts)
        self._mtimecmp: Final = [_MASK64] * len(harts)
        self._timers: Final[list[Event | None]] = [None] * len(harts)
        self._offset = 0  # of mtime to the clock, in steps of mtime

    @property
    def mtime(self) -> int:
        """The 64-bit time counter, in units of 100 ns."""
        return self._clock.now // TICKS_PER_MTIME + self._offset & _MASK64

    def ticks_at(self, mtime: int) -> int:
        """The first clock tick at which the counter is at least `mtime`: now if it is. All ones are NEVER."""
        now = self._clock.now
        ahead = mtime - self.mtime
        if ahead <= 0:
            return now
        return (now // TICKS_PER_MTIME + ahead) * TICKS_PER_MTIME if mtime != _MASK64 else NEVER

    def load(self, offset: int, size: int) -> int:
        if size == 8 and not offset & 7:
            return self._load_4(offset) | self._load_4(offset + 4) << 32
        return self._load_4(offset) if size == 4 and not offset & 3 else 0

    def store(self, offset: int, size: int, value: int) -> None:
        if size == 8 and not offset & 7:
            self._store_bits(offset, value, _MASK64)
        elif size == 4 and not offset & 3:
            shift = (offset & 4) * 8
            self._store_bits(offset & ~7, value << shift, 0xFFFF_FFFF << shift)

    def _load_4(self, offset: int) -> int:
        hart = offset // 4
        if hart < len(self._msip):
            return self._msip[hart]
        shift = (offset & 4) * 8
        hart = (offset - _MTIMECMP) // 8
        if 0 <= hart < len(self._mtimecmp):
            return self._mtimecmp[hart] >> shift & 0xFFFF_FFFF
        return self.mtime >> shift & 0xFFFF_FFFF if offset & ~7 == _MTIME else 0

    def _store_bits(self, offset: int, value: int, mask: int) -> None:
        """Replace the bits under `mask` of the 8 bytes at `offset` by those of `value`."""
        first_hart = offset // 4
        if first_hart < len(self._msip):
            for hart, shift in ((first_hart, 0), (first_hart + 1, 32)):
                if mask >> shift & 1 and hart < len(self._msip):
                    self._set_msip(hart, value >> shift & 1)
            return
        hart = (offset - _MTIMECMP) // 8
        if 0 <= hart < len(self._mtimecmp):
            self._mtimecmp[hart] = self._mtimecmp[hart] & ~mask | value
            self._arm(hart)
        elif offset == _MTIME:
            mtime = self.mtime & ~mask | value
            self._offset = mtime - self._clock.now // TICKS_PER_MTIME
            for hart in range(len(self._harts)):
                self._arm(hart)

    def _set_msip(self, hart: int, level: int) -> None:
        self._msip[hart] = level
        self._harts[hart].msip(bool(level))

    def _arm(self, hart: int) -> None:
        """Bring the timer line of `hart` to its level now, and ask to be called when that changes."""
        timer = self._timers[hart]
        if timer is not None:
            self._events.cancel(timer)
            self._timers[hart] = None
        due = self.mtime >= self._mtimecmp[hart]
        self._harts[hart].mtip(due)
        ticks = NEVER if due else self.ticks_at(self._mtimecmp[hart])
        if ticks < NEVER:
            self._timers[hart] = self._events.at(ticks, lambda: self._arm(hart))
