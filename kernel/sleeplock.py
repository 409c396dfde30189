"""A lock that may be held while its holder sleeps: one for each inode and each buffer.

Kernel code between two blocking points is atomic, so there are no spinlocks; a sleep-lock is for what must
stay as it is across a disk wait.  A release hands the lock to the thread that has waited longest, which holds
it from then on, though it runs later: no later caller takes it in between, and a thread waits only for those
that came before it.

Order, so that no circle of waiters can form: a directory before the inodes in it, an inode before any
buffer, one buffer before another only as block map or indirect block before data.
"""

from typing import Any, Final

from kernel.wait import Threads


class SleepLock:
    """`holder` is the thread that has the lock, or None. `guarded` names it in reports of sleepers."""

    __slots__ = ("_threads", "_waiting", "guarded", "holder")

    def __init__(self, threads: Threads, guarded: object) -> None:
        self._threads: Final = threads
        self._waiting: list[Any] = []  # in the order in which they came
        self.guarded = guarded
        self.holder: Any = None

    def acquire(self) -> None:
        """Take the lock for the calling thread; sleeps while another has it."""
        thread = self._threads.mythread()
        if self.holder is None:
            self.holder = thread
            return
        assert self.holder is not thread, f"nobody takes a lock twice: {self}"
        self._waiting.append(thread)
        while self.holder is not thread:
            self._threads.sleep(self)

    def release(self) -> None:
        """Give the lock back. Never blocks."""
        assert self.holder is not None, f"only a held lock is released: {self}"
        self.holder = self._waiting.pop(0) if self._waiting else None
        if self.holder is not None:
            self._threads.wake(self.holder)

    def __repr__(self) -> str:
        return f"lock of {self.guarded}"
