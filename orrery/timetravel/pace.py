"""Running a target for a wall time: how far it comes is known only from how fast it was.

A run can end early at a slice of the loop, some 20 ms apart in a program that computes.  Checkpoints want to
be made when they are due, so a run is cut into parts, each as long as what is left of the time would take at
the speed of the part before:

    |--|-------------------|-|   of 30 ms: little is known at first
"""

import math
import time
from typing import Final

from emu.events import NEVER
from orrery.timetravel.execution import Execution
from orrery.timetravel.moment import Moment
from orrery.timetravel.stops import StopKind, Stopped

SLOWEST_TICKS_PER_S: Final = 1_000_000
FASTER_MAX: Final = 8  # times, that a part is taken to be faster than the one before
LEFT_S: Final = 0.001  # no part is meant to be shorter
SHORTEST_S: Final = 1e-6  # that is told from nothing
WAITS_MAX: Final = 8


class Pace:
    """Of `target`."""

    def __init__(self, target: Execution) -> None:
        self._target: Final = target
        self._ticks_per_s = SLOWEST_TICKS_PER_S

    def run(self, limit: Moment | int | None, patience_s: float) -> Stopped:
        """Resume; `slice` where about `patience_s` of wall time have passed before anything happened."""
        target = self._target
        if patience_s == math.inf:
            return target.resume(limit)
        ticks = NEVER if limit is None else limit.ticks if isinstance(limit, Moment) else limit
        now = time.monotonic()
        end = now + patience_s
        while True:
            here = target.moment.ticks
            part = here + int(max(end - now, LEFT_S) * self._ticks_per_s)
            if part >= ticks:
                return target.resume(limit)
            began, stopped = now, target.resume(part)
            now = time.monotonic()
            self._learn(target.moment.ticks - here, now - began)
            if stopped.why != StopKind.LIMIT:
                return stopped
            if now + LEFT_S > end:
                stopped = self._out_of_wait(stopped, ticks)
                if stopped.why != StopKind.SLICE or target.moment.ticks < ticks:
                    return stopped

    def _learn(self, ticks: int, took_s: float) -> None:
        ticks_per_s = int(ticks / max(took_s, SHORTEST_S))
        self._ticks_per_s = max(min(ticks_per_s, FASTER_MAX * self._ticks_per_s), SLOWEST_TICKS_PER_S)

    def _out_of_wait(self, stopped: Stopped, ticks: int) -> Stopped:
        """Go on to the end of a wait: that is a single step, in the midst of which no checkpoint is made."""
        for _ in range(WAITS_MAX):
            if not self._target.moment.waiting or self._target.moment.ticks >= ticks:
                break
            step = self._target.step(limit=ticks)
            if step.why != StopKind.STEP:
                return step
            stopped = step
        return stopped._replace(why=StopKind.SLICE)
