"""Waiting: a thread is suspended until something has happened, its time has come, or it is interrupted.

    wait(queue, ..., until=t)   in all of these queues; the first that is notified ends the wait, or time t
    sleep(chan), wakeup(chan)   the simplest use: any object names a queue, which is there while it is needed
    WaitQueue.wait(ready)       for a turn at something scarce, in order of arrival
    pause(subject)              until somebody wakes this very thread

A wait ends once, and then the thread stands in no queue any more and is RUNNABLE.  An interruption (a kill)
ends every wait; a thread that waits for a lock or for the disk looks, and waits again.

Turns are first come, first served: for room in a pipe or its bytes, room in the log, slots of the disk's
queue.  A thread that comes later takes nothing before those that wait already, even if it is there at that
moment and they, though woken, have not run yet; so a program that takes it again and again starves no other.
`WaitQueue.wait` returns when the caller is first and `ready()` holds; the caller takes what it waited for
before it sleeps again.  A thread that gives something back, or leaves something over, calls `notify`.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol

from kernel.abi.ps import SLEEPING


class Cause(Enum):
    """Why a wait ended."""

    NOTIFIED = "notified"
    LIMIT = "its time has come"
    INTERRUPTED = "interrupted"


class Waiter(Protocol):
    """A thread that waits."""

    state: int
    wait: "Wait | None"
    interrupted: bool  # there is something that it must attend to before it waits on

    @property
    def process(self) -> Any: ...


class Switch(Protocol):
    """The scheduler: which thread runs, and how it gives the hart away."""

    @property
    def current(self) -> Any: ...

    def sched(self) -> None:
        """Give the hart away until the running thread is chosen again."""

    def make_runnable(self, thread: Any, /) -> None: ...


class Alarms(Protocol):
    """The timer: what is to be done at a time, in counts of the time CSR."""

    def call_at(self, time: int, function: Callable[[], None], /) -> object: ...

    def cancel(self, alarm: Any, /) -> None: ...


class Wait:
    """A thread's wait for `subjects`, in each of `queues`, the first of which is that of subjects[0]."""

    __slots__ = ("alarm", "cause", "queues", "subjects", "thread")

    def __init__(self, thread: Waiter, queues: "tuple[WaitQueue, ...]", subjects: tuple[object, ...]) -> None:
        self.thread: Final = thread
        self.queues: Final = queues
        self.subjects: Final = subjects
        self.alarm: object | None = None
        self.cause = Cause.NOTIFIED


class Threads(Protocol):
    """The running thread and its waits: what locks, queues and drivers ask of the kernel (`Waits`)."""

    def myproc(self) -> Any:
        """The process for which the hart works."""

    def mythread(self) -> Any:
        """The thread that is running."""

    def sleep(self, chan: object, /) -> None:
        """Suspend the running thread until wakeup(chan), or until `wake` of it."""

    def wakeup(self, chan: object, /) -> None:
        """Let all that sleep on `chan` go on."""

    def pause(self, subject: object, /) -> None:
        """Suspend the running thread until `wake` of it; `subject` is for reports."""

    def wake(self, thread: Any, /) -> None:
        """Let this thread go on, and none of the others."""


class WaitQueue:
    """Those that wait for `subject`: threads in the order in which they came.

    `waits` are those that want to know of anything that happens; `waiting` those that wait for a turn, each
    with the condition for it.
    """

    __slots__ = ("_threads", "on_pause", "subject", "waiting", "waits")

    def __init__(self, threads: Threads, subject: object) -> None:
        self._threads: Final = threads
        self.subject: Final = subject
        self.waits: Final[list[Wait]] = []
        self.waiting: Final[list[tuple[Waiter, Callable[[], bool]]]] = []
        self.on_pause: Callable[[Any], None] | None = None  # told of each thread that is suspended for a turn

    def wait(self, ready: Callable[[], bool], *, killable: bool = False) -> bool:
        """Wait until it is the calling thread's turn; False where `killable` and it is interrupted first."""
        if not self.waiting and ready():
            return True
        entry = self._threads.mythread(), ready
        self.waiting.append(entry)
        while not (killable and entry[0].interrupted):
            if self.waiting[0] is entry and ready():
                del self.waiting[0]
                return True
            if self.on_pause is not None:
                self.on_pause(entry[0])
            self._threads.pause(self.subject)
        self.waiting.remove(entry)
        self.notify()  # the turn, if it had come, goes to the next
        return False

    def notify(self) -> None:
        """Something has happened: wake those that want to know, and the first in line if it is ready for it.

        Never blocks.
        """
        if self.waits:
            self.wake_all()
        if self.waiting:
            thread, ready = self.waiting[0]
            if thread.wait is not None and ready():
                self._threads.wake(thread)

    def wake_all(self) -> None:
        """Wake those that want to know of anything."""
        for wait in list(self.waits):
            self._threads.wake(wait.thread)


class Waits:
    """Suspends threads of `sched`, with the help of `timer` where a wait has a limit."""

    def __init__(self, sched: Switch, timer: Alarms) -> None:
        self._sched: Final = sched
        self._timer: Final = timer
        self._channels: Final[dict[object, WaitQueue]] = {}

    def mythread(self) -> Any:
        """The thread that is running."""
        thread = self._sched.current
        assert thread is not None, "no thread is running"
        return thread

    def myproc(self) -> Any:
        """The process for which the hart works."""
        thread = self._sched.current
        assert thread is not None, "no thread is running"
        return thread.process

    def wait(self, *queues: WaitQueue, until: int | None = None) -> Cause:
        """Wait until one of `queues` is notified, until this time, or until the thread is interrupted."""
        if self.mythread().interrupted:
            return Cause.INTERRUPTED
        return self._suspend(queues, tuple(queue.subject for queue in queues), until)

    def pause(self, subject: object) -> None:
        """Wait until `wake` of this thread. An interruption ends it too: the caller checks."""
        thread = self.mythread()
        thread.wait, thread.state = Wait(thread, (), (subject,)), SLEEPING
        self._sched.sched()

    def sleep(self, chan: object) -> None:
        """Wait until wakeup(chan). An interruption ends it too: the caller checks."""
        queue = self._channels.get(chan)
        if queue is None:
            queue = self._channels[chan] = WaitQueue(self, chan)
        self._suspend((queue,), (chan,))
        if not queue.waits and self._channels.get(chan) is queue:
            del self._channels[chan]

    def wakeup(self, chan: object) -> None:
        """Make all that sleep on `chan` runnable, in the order in which they went to sleep."""
        queue = self._channels.pop(chan, None)
        if queue is not None:
            queue.wake_all()

    def wake(self, thread: Waiter) -> None:
        """Make `thread` runnable if it waits, and none of the others that wait for the same."""
        wait = thread.wait
        if wait is not None:
            self._end(wait, Cause.NOTIFIED)

    def interrupt(self, thread: Waiter) -> None:
        """Let `thread` attend to something: end its wait, whatever it is for."""
        thread.interrupted = True
        if thread.wait is not None:
            self._end(thread.wait, Cause.INTERRUPTED)

    def _suspend(
        self, queues: tuple[WaitQueue, ...], subjects: tuple[object, ...], until: int | None = None
    ) -> Cause:
        thread: Waiter | None = self._sched.current
        assert thread is not None, f"only a thread can wait for {subjects}"
        wait = thread.wait = Wait(thread, queues, subjects)
        thread.state = SLEEPING
        for queue in queues:
            queue.waits.append(wait)
        if until is not None:
            wait.alarm = self._timer.call_at(until, lambda: self._end(wait, Cause.LIMIT))
        self._sched.sched()
        return wait.cause

    def _end(self, wait: Wait, cause: Cause) -> None:
        for queue in wait.queues:
            queue.waits.remove(wait)
        if wait.alarm is not None:
            self._timer.cancel(wait.alarm)
        wait.cause = cause
        wait.thread.wait = None
        self._sched.make_runnable(wait.thread)
