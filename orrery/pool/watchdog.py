"""A watchdog: ends what will never end by itself, where a machine runs.

Virtual time limits what a guest does; but a kernel that somebody is working on may loop in Python, where no
time passes.  What counts is CPU time without a tick of virtual time, and not wall time, so a busy computer
makes nobody impatient.  Session.py has a Patience of its own; Watchdog is for processes that run a machine
for a distant caller, and ends those whose caller has gone, or whose kernel sleeps.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, Self

from orrery.pool.channel import Channel
from toolchain.paths import in_tree

LOADING_S_MAX: Final = 20  # for loading the program and putting a machine together, which has no stages
PATIENCE_S: Final = {"fast": 3, "public": 40}
"""By engine: for the way from one tick of virtual time to the next, which takes milliseconds or seconds."""

AGAIN_S: Final = 1  # of CPU time, for who has caught Stuck and goes on
STUCKS_MAX: Final = 3  # after which the process is ended
TICK_S: Final = 0.25  # of wall time
STILL_TICKS_MAX: Final = 480  # 120 s of wall time in which a process neither computes nor ends


class Stuck(Exception):
    """CPU time passes and nothing moves; raised at the place where the program is."""


class Patience:
    """Looks now and then whether `progress()` has changed; raises Stuck after `patience_s` of CPU time."""

    def __init__(self, progress: Callable[[], int], patience_s: float) -> None:
        self._progress: Final = progress
        self._patience_s: Final = patience_s
        self.stucks = 0  # how often it was raised since something moved
        self.begin()

    def begin(self) -> None:
        """Have all patience again."""
        self._seen = self._progress()
        self._end_s = time.process_time() + self._patience_s
        self.stucks = 0

    def look(self, frame: FrameType | None) -> bool:
        """Whether something has moved since the last time. Raises Stuck."""
        if self._progress() != self._seen:
            self.begin()
            return True
        # Who traces the program looks at it, and has patience.
        if time.process_time() < self._end_s or sys.gettrace() is not None or "pydevd" in sys.modules:
            return False
        self.stucks += 1
        self._end_s = time.process_time() + AGAIN_S
        where = "" if frame is None else f" in {in_tree(frame.f_code.co_filename)}, line {frame.f_lineno}"
        raise Stuck(f"no progress in {self._patience_s:g} s of CPU time: it loops{where}")


class Watchdog:
    """A `with` statement in which `progress()` must keep changing, and `channel` must not hang up.

    Raises Stuck in the body after `patience_s` of CPU time without a change, and ends the process where that
    does not help.
    """

    def __init__(
        self, channel: Channel, patience_s: float = LOADING_S_MAX, progress: Callable[[], int] = lambda: 0
    ) -> None:
        self._channel: Final = channel
        self._progress: Final = progress
        self._patience_s: Final = patience_s

    def __enter__(self) -> Self:
        self._patience = Patience(self._progress, self._patience_s)
        self._still = 0  # ticks
        signal.signal(signal.SIGALRM, self._on_tick)
        signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if self._channel.hung_up:
            os._exit(0)  # nobody waits for the result
        if self._patience.stucks >= STUCKS_MAX:
            os._exit(1)
        self._still = 0 if self._patience.look(frame) else self._still + 1
        if self._still >= STILL_TICKS_MAX:
            self._still = 0
            raise Stuck(f"no progress in {STILL_TICKS_MAX * TICK_S:g} s: it sleeps in {frame_text(frame)}")


def frame_text(frame: FrameType | None) -> str:
    """A place in Python, for a person."""
    return "?" if frame is None else f"{in_tree(frame.f_code.co_filename)}, line {frame.f_lineno}"
