"""Signals and the wall-clock limit, for the length of one run of the command line.

What comes is noted, and the machine asked to stop, which it does within a slice.  Waiting for input goes
through `wait`, which a signal ends too.  A kernel that somebody is working on may not come back to be asked,
so whoever is `attached` is looked after by a clock that ticks while it does not wait:

    comes      noted, the machine is asked        a second time    Halted, wherever Python is
    0.45 s     Halted                             a third time     the process ends
    0.75 s     the process ends, with its terminal as it was

What Python cannot do any more is done by guardian.py.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

from orrery.console import guardian
from orrery.console.exit_status import BY_SIGNAL, TIMEOUT
from orrery.console.shutdown import CommandEnded

TERMINATING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICK_S: Final = 0.25
HALT_S: Final = 0.45  # of wall time, for a machine to stop that was asked to
LEAVE_S: Final = 0.75  # and for what follows


class Halted(CommandEnded):
    """The machine has not stopped when it was asked to; `where` it was in Python, for a person."""

    def __init__(self, status: int, where: str) -> None:
        super().__init__(status)
        self.where = where


class Signals:
    """A `with` statement in which signals and `timeout_s` seconds of wall time (None: no limit) are noted.

    `terminated` is the number of the signal that came, or 0; `timed_out` says that time is over.
    `visitors` are file descriptors of others, which end waiting too; `visited` says that one did.
    `on_tick` is called four times a second, but not while anybody waits; `at_last` before the process ends
    by force.  `halted` is what was raised, if it was.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self._end_s: Final = None if timeout_s is None else time.monotonic() + timeout_s
        self._ask_stop: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._came_s = 0.0  # when the first of them did
        self._demands = 0  # how many came
        self._is_away = False
        self._wakers: list[int] = []  # what comes there ends waiting
        self.terminated = 0
        self.timed_out = False
        self.halted: Halted | None = None
        self.visitors: Final[set[int]] = set()
        self.visited = False
        self.on_tick: Callable[[FrameType | None], None] = lambda frame: None
        self.at_last: Final[list[Callable[[], None]]] = []

    @property
    def came(self) -> bool:
        """Whether the run is to end."""
        return self.timed_out or self.terminated != 0

    @property
    def status(self) -> int:
        """The exit status of a run that ends for what came."""
        return BY_SIGNAL + self.terminated if self.terminated else TIMEOUT

    def attach(self, ask_stop: Callable[[], None]) -> None:
        """Call `ask_stop` when something comes, or now if it has come; who does not stop then is halted."""
        self._ask_stop = ask_stop
        if self.came:
            ask_stop()
        self._wind_up()

    def wait(self, fd: int, seconds: float | None) -> bool:
        """Wait until `fd` can be read; False when the time was over, or a signal or a visitor came."""
        at_once = seconds is not None and seconds <= 0
        if at_once:
            return bool(self._waited(fd, 0))
        end_s = None if seconds is None else time.monotonic() + seconds
        self._wind_up(ticking=False)
        while (found := self._waited(fd, seconds)) is None:
            seconds = None if end_s is None else max(0.0, end_s - time.monotonic())
        self._wind_up()
        return found

    def _waited(self, fd: int, seconds: float | None) -> bool | None:
        """As wait; None where it was only a tick of before that came."""
        ready, _, _ = select.select([fd, *self._wakers, *self.visitors], [], [], seconds)
        self.visited = not self.visitors.isdisjoint(ready)
        for waker in self._wakers:
            if waker in ready and not os.read(waker, 4096):
                self._wakers = []  # somebody has killed the guardian
                signal.set_wakeup_fd(-1)
            if ready == [waker] and not self.came:
                return None
        return fd in ready

    def interrupt(self) -> None:
        """The person at the terminal wants the end, as by SIGINT."""
        self._note(signal.SIGINT)

    def halt(self, frame: FrameType | None) -> None:
        """Raise Halted, for a machine that does not come back; in a handler, which was given `frame`."""
        self.halted = Halted(self.status if self.came else 0, place(frame))
        if (guard := guardian.current()) is not None:
            guard.tell(guardian.GOING)
        raise self.halted

    def leave(self, status: int) -> None:
        """End the process: nothing else has helped."""
        for restore in self.at_last:
            restore()
        os._exit(status)

    @contextmanager
    def away(self) -> Iterator[None]:
        """A `with` statement for somebody else who waits for the person: nobody is impatient meanwhile."""
        signal.set_wakeup_fd(-1)
        with self._still():
            yield

    @contextmanager
    def _still(self) -> Iterator[None]:
        """A `with` statement without ticks; signals are noted as ever behind it."""
        self._is_away = True
        self._wind_up()
        try:
            yield
        finally:
            self._is_away = False
            signal.set_wakeup_fd(self._told_w, warn_on_full_buffer=False)
            self._wind_up()

    @contextmanager
    def lent(self, ask_stop: Callable[[], None]) -> Iterator[None]:
        """A `with` statement in which an event loop of asyncio waits instead, and `ask_stop` ends that."""
        before, self._ask_stop = self._ask_stop, ask_stop
        try:
            with self._still():  # the loop has put a descriptor of its own in place of ours
                yield
        finally:
            self._ask_stop = before
            if self.came and before is not None:
                before()

    # --- beginning and end ---

    def __enter__(self) -> Self:
        guard = guardian.current()
        self._own: list[int] = []
        if guard is not None:
            wake_r, self._told_w = guard.wake_fd, guard.fd
        else:
            self._own = [*os.pipe()]
            wake_r, self._told_w = self._own
            for fd in self._own:
                os.set_blocking(fd, False)
        self._wakers = [wake_r]
        self._before_fd = signal.set_wakeup_fd(self._told_w, warn_on_full_buffer=False)
        for number in TERMINATING:
            self._before[number] = signal.signal(number, self._on_terminate)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        self._wind_up()
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._before_fd)
        for fd in self._own:
            os.close(fd)

    def _wind_up(self, *, ticking: bool = True) -> None:
        """Set the clock to what is due next."""
        due = []
        if self.came:
            due += [HALT_S / 2] if self._ask_stop is not None else []
        else:
            if self._end_s is not None:
                due.append(max(self._end_s - time.monotonic(), 1e-4))
            if ticking and self._ask_stop is not None and not self._is_away:
                due.append(TICK_S)
        # It goes on ticking where no handler comes to set it anew: the guardian counts these ticks.
        signal.setitimer(signal.ITIMER_REAL, min(due, default=0), TICK_S)

    # --- handlers ---

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._answer()
        self._note(number)
        if self._demands > 1 and self._ask_stop is not None:
            self._insist(frame, self._demands)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        self._answer()
        self._wind_up()
        if self.came:
            waited_s = time.monotonic() - self._came_s
            self._insist(frame, 3 if waited_s > LEAVE_S else 2 if waited_s > HALT_S else 1)
        elif self._end_s is not None and time.monotonic() >= self._end_s:
            self.timed_out = True
            self._note(0)
        else:
            self.on_tick(frame)

    def _answer(self) -> None:
        """Tell the guardian that Python is there to do what is to be done."""
        if (guard := guardian.current()) is not None:
            guard.tell(guardian.ANSWER)

    def _note(self, number: int) -> None:
        """The run is to end, for signal `number` or because time is over."""
        if not self.came or not self._demands:
            self._came_s = time.monotonic()
        self._demands += 1
        self.terminated = self.terminated or number
        if self._ask_stop is not None:
            self._ask_stop()
            self._wind_up()

    def _insist(self, frame: FrameType | None, how: int) -> None:
        """Halt the machine, or end the process."""
        if how > 2:
            self.leave(self.status)
        elif how == 2:
            self.halt(frame)


def place(frame: FrameType | None) -> str:
    """Where Python is: the innermost line of the kernel on the way, or else of anything."""
    from toolchain.paths import in_tree  # not above: boot --watch comes here with broken sources

    found = frame
    while found is not None and not in_tree(found.f_code.co_filename).startswith("kernel/"):
        found = found.f_back
    found = found or frame
    if found is None:
        return "nowhere"
    return f"{in_tree(found.f_code.co_filename)}:{found.f_lineno} in {found.f_code.co_name}"
