"""The kernel's clock: ticks, alarms, and the end of a turn.

A tick is TICK_PS of virtual time, and takes no interrupt to be counted: `ticks` is read off the clock.  While
a process runs, the timer (Sstc's stimecmp) is armed for the next tick, which ends its turn, or for the first
alarm if that is earlier; while none runs, for the first alarm alone, or not at all.  Then nothing is pending,
and a machine in which all sleep for ever can be told from one that waits.
"""

from collections.abc import Callable
from typing import Final

from emu.clock import PS_PER_TICK
from emu.cpu.csr import MTIME_TICKS, SupervisorTimer
from emu.cpu.hart import MASK64
from kernel.abi.param import TICK_PS

NEVER: Final = MASK64
MTIME_PS: Final = MTIME_TICKS * PS_PER_TICK
MTIME_PER_TICK: Final = TICK_PS // MTIME_PS
assert TICK_PS % MTIME_PS == 0, "a tick is a whole number of the timer's counts"


class Ticks:
    """What a process in sleep() waits for."""

    def __init__(self, until: int) -> None:
        self.until: Final = until

    def __repr__(self) -> str:
        return f"tick {self.until}"


class Alarm:
    """`function` is to be called at `time`."""

    __slots__ = ("function", "time")

    def __init__(self, time: int, function: Callable[[], None]) -> None:
        self.time: Final = time
        self.function: Final = function


class Timer:
    """Ticks and alarms, over one hart's timer. Times are in counts of the time CSR (MTIME_PS)."""

    def __init__(self, comparator: SupervisorTimer) -> None:
        self._comparator: Final = comparator
        self._alarms: Final[list[Alarm]] = []  # in the order in which they were set
        self._turn_ends = 0

    @property
    def ticks(self) -> int:
        """Ticks since power-on."""
        return self._comparator.time // MTIME_PER_TICK

    # --- alarms ---

    def call_at(self, time: int, function: Callable[[], None]) -> Alarm:
        """Call function() in the first interrupt at or after `time`."""
        alarm = Alarm(time, function)
        self._alarms.append(alarm)
        if time < self._turn_ends:
            self._arm()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget an alarm; nothing happens if it has gone off."""
        if alarm in self._alarms:
            self._alarms.remove(alarm)

    def _first(self) -> int:
        return min(alarm.time for alarm in self._alarms) if self._alarms else NEVER

    # --- the hart's timer ---

    def start(self) -> None:
        """Something may run: a turn ends at the next tick."""
        self._turn_ends = (self.ticks + 1) * MTIME_PER_TICK
        self._arm()

    def _arm(self) -> None:
        self._comparator.set_compare(min(self._turn_ends, self._first()))

    def before_idle(self) -> None:
        """Nothing runs: no tick is of interest before the first alarm."""
        self._comparator.set_compare(self._first())

    def intr(self) -> bool:
        """The timer's interrupt: alarms go off in the order in which they were set; whether a turn ends."""
        now, turn_ends = self._comparator.time, self._turn_ends
        due = [alarm for alarm in self._alarms if alarm.time <= now]
        for alarm in due:
            self._alarms.remove(alarm)
        self.start()
        for alarm in due:
            alarm.function()
        return now >= turn_ends
