"""The kernel's clock: ticks, sleeping for some of them, and the end of a process's turn.

A tick is TICK_PS of virtual time, counted and not interrupted for: `ticks` is read off the clock.  The
timer (Sstc's stimecmp) is armed for the next tick while a process runs, so that its turn ends, and while
nothing runs only for the first sleeper, or not at all: then nothing is pending, and a machine in which all
sleep for ever can be told from one that waits.
"""

from typing import TYPE_CHECKING, Final

from emu.clock import PS_PER_TICK
from emu.cpu.csr import MTIME_TICKS, SupervisorTimer
from emu.cpu.hart import MASK64
from kernel.abi.param import TICK_PS

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc

NEVER: Final = MASK64
MTIME_PS: Final = MTIME_TICKS * PS_PER_TICK
MTIME_PER_TICK: Final = TICK_PS // MTIME_PS
assert TICK_PS % MTIME_PS == 0, "a tick is a whole number of the timer's counts"


class Ticks:
    """What processes in sleep() wait on; one for each of them."""

    def __init__(self, until: int) -> None:
        self.until: Final = until

    def __repr__(self) -> str:
        return f"tick {self.until}"


class Timer:
    """Ticks and sleepers, over one hart's timer."""

    def __init__(self, k: "Kernel", comparator: SupervisorTimer) -> None:
        self._k = k
        self._comparator: Final = comparator
        self._sleeping: Final[list[Ticks]] = []

    @property
    def ticks(self) -> int:
        """Ticks since power-on."""
        return self._comparator.time // MTIME_PER_TICK

    def start(self) -> None:
        """Arm the timer for the next tick: something may run, and turns have to end."""
        self._comparator.set_compare((self.ticks + 1) * MTIME_PER_TICK)

    def before_idle(self) -> None:
        """Nothing runs: no tick is of interest before the first sleeper's."""
        first = min((ticks.until for ticks in self._sleeping), default=None)
        self._comparator.set_compare(NEVER if first is None else first * MTIME_PER_TICK)

    def intr(self) -> None:
        """The timer's interrupt: wake who has slept long enough."""
        self.start()
        now = self.ticks
        for ticks in self._sleeping:
            if ticks.until <= now:
                self._k.wakeup(ticks)

    def sleep(self, p: "Proc", count: int) -> int:
        """Suspend `p` for so many ticks, at least; -1 if it was killed meanwhile."""
        ticks = Ticks(self.ticks + max(count, 0))
        self._sleeping.append(ticks)
        while self.ticks < ticks.until and not p.killed:
            self._k.sleep(ticks)
        self._sleeping.remove(ticks)
        return 0 if self.ticks >= ticks.until else -1
