"""Signals and the wall-clock limit, for the length of one run of the command line.

A handler only notes what came and asks the machine to stop, which it does within a slice.  Waiting for
input goes through `wait`, which a signal ends too.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

TERMINATING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """A `with` statement in which signals and `timeout_s` seconds of wall time (None: no limit) are noted.

    `terminated` is the number of the signal that came, or 0; `timed_out` says that time is over.
    `visitors` are file descriptors of others, which end waiting too; `visited` says that one did.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s: Final = timeout_s
        self._ask_stop: Callable[[], None] = lambda: None
        self._before: dict[signal.Signals, Any] = {}
        self.terminated = 0
        self.timed_out = False
        self.visitors: Final[set[int]] = set()
        self.visited = False

    @property
    def came(self) -> bool:
        """Whether the run is to end."""
        return self.timed_out or self.terminated != 0

    def attach(self, ask_stop: Callable[[], None]) -> None:
        """Call `ask_stop` when something comes, or now if it has come."""
        self._ask_stop = ask_stop
        if self.came:
            ask_stop()

    @contextmanager
    def lent(self, ask_stop: Callable[[], None]) -> Iterator[None]:
        """A `with` statement in which an event loop of asyncio waits instead, and `ask_stop` ends that."""
        before, self._ask_stop = self._ask_stop, ask_stop
        try:
            yield
        finally:
            self._ask_stop = before
            signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)  # the loop had put its own there
            if self.came:
                before()

    def wait(self, fd: int, seconds: float | None) -> bool:
        """Wait until `fd` can be read; False when the time was over, or a signal or a visitor came."""
        ready, _, _ = select.select([fd, self._wake_r, *self.visitors], [], [], seconds)
        self.visited = not self.visitors.isdisjoint(ready)
        if self._wake_r in ready:
            os.read(self._wake_r, 64)
        return fd in ready

    def __enter__(self) -> Self:
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)
        self._before_fd = signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        for number in TERMINATING:
            self._before[number] = signal.signal(number, self._on_terminate)
        if self._timeout_s is not None:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
            signal.setitimer(signal.ITIMER_REAL, self._timeout_s)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timeout_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        os.close(self._wake_r)
        os.close(self._wake_w)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = number
        self._ask_stop()

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        self.timed_out = True
        self._ask_stop()
