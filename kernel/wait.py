"""Who waits for something that is not enough for all at once: first come, first served.

Room in a pipe or its bytes, room in the log, slots of the disk's queue.  Who comes later does not take it
before those who wait already, even if it is there at that moment and they, woken, have not had their turn
yet; so a program that takes it again and again cannot keep another from it.

`wait` returns when the caller is first and `ready()` holds; the caller takes what it waited for before it
sleeps again.  Whoever gives something back, or leaves something over, calls `notify`.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol


class Process(Protocol):
    """Whose thread waits."""

    @property
    def killed(self) -> bool: ...


class Waiter(Protocol):
    """A thread that waits."""

    @property
    def process(self) -> Process: ...


class Threads(Protocol):
    """Who runs and how it waits: what locks, queues and drivers ask of the kernel."""

    def myproc(self) -> Any:
        """The process for which the hart works."""

    def mythread(self) -> Any:
        """The thread that is running."""

    def sleep(self, chan: object, /) -> None:
        """Suspend it until wakeup(chan), or until it is woken by itself."""

    def wakeup(self, chan: object, /) -> None:
        """Let all that sleep on `chan` go on."""

    def wake(self, waiter: Any, /) -> None:
        """Let this one go on."""


class WaitQueue:
    """Threads that sleep on `chan`, in the order in which they came, each until it is first and ready."""

    __slots__ = ("_chan", "_threads", "waiting")

    def __init__(self, threads: Threads, chan: object) -> None:
        self._threads: Final = threads
        self._chan: Final = chan
        self.waiting: Final[list[tuple[Waiter, Callable[[], bool]]]] = []

    def wait(self, ready: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until it is the calling thread's turn; with `killable`, False where it is killed first."""
        if not self.waiting and ready():
            return True
        entry = self._threads.mythread(), ready
        self.waiting.append(entry)
        while not (killable and entry[0].process.killed):
            if self.waiting[0] is entry and ready():
                del self.waiting[0]
                return True
            self._threads.sleep(self._chan)
        self.waiting.remove(entry)
        self.notify()  # the turn, if it had come, goes to the next
        return False

    def notify(self) -> None:
        """Wake the first of those who wait, if what it waits for is there. Never blocks."""
        if self.waiting:
            thread, ready = self.waiting[0]
            if ready():
                self._threads.wake(thread)
