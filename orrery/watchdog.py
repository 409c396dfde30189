"""A watchdog: ends what will never end by itself, in a process that runs a machine for a distant caller.

Used by hatchery.py around all that may take long.  Virtual time limits what a guest does; but a kernel that
somebody is working on may loop in Python, where no time passes.  It counts CPU time, not wall time, so a busy
computer makes nobody impatient.  And it ends the process when its caller has gone.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final, Self

from orrery.wire import Wire
from toolchain.paths import in_tree

LOADING_S_MAX: Final = 8  # for loading the program and putting a machine together, which has no stages
PATIENCE_S: Final = {"fast": 3, "public": 40}
"""By engine: for the way from one slice of a run to the next, which takes milliseconds or seconds."""

TICK_S: Final = 0.25  # of CPU time


class Stuck(Exception):
    """CPU time passes and nothing moves; raised at the place where the program is."""


class Watchdog:
    """A `with` statement in which `progress()` must keep changing, and `wire` must not hang up.

    Raises Stuck in the body after `patience_s` of CPU time without a change.
    """

    def __init__(
        self, wire: Wire, patience_s: float = LOADING_S_MAX, progress: Callable[[], int] = lambda: 0
    ) -> None:
        self._wire: Final = wire
        self._progress: Final = progress
        self._patience_s: Final = patience_s
        self._ticks_max: Final = int(patience_s / TICK_S)

    def __enter__(self) -> Self:
        self._seen = self._progress()
        self._ticks = 0
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if self._wire.hung_up:
            os._exit(0)  # nobody waits for the result
        seen = self._progress()
        if seen != self._seen:
            self._seen, self._ticks = seen, 0
            return
        self._ticks += 1
        if self._ticks >= self._ticks_max:
            self._ticks = 0
            where = "" if frame is None else f" in {in_tree(frame.f_code.co_filename)}, line {frame.f_lineno}"
            raise Stuck(f"no progress in {self._patience_s:g} s of CPU time: it loops{where}")
