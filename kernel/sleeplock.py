"""A lock that may be held while its holder sleeps: one for each inode and each buffer.

Kernel code between two blocking points is atomic, so there are no spinlocks; a sleep-lock is for what must
stay as it is across a disk wait.  Nobody owns a place in a queue: all who wait are woken at a release, the
first that runs takes the lock and the others sleep again.

Order, so that no circle of waiters can form: a directory before the inodes in it, an inode before any
buffer, one buffer before another only as block map or indirect block before data.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc


class SleepLock:
    """`holder` is the process that has the lock, or None. `guarded` names it in reports of sleepers."""

    __slots__ = ("_k", "_waiters", "guarded", "holder")

    def __init__(self, k: "Kernel", guarded: object) -> None:
        self._k = k
        self._waiters = 0
        self.guarded = guarded
        self.holder: Proc | None = None

    def acquire(self) -> None:
        """Take the lock for the calling process; sleeps while another has it."""
        while self.holder is not None:
            self._waiters += 1
            self._k.sleep(self)
            self._waiters -= 1
        self.holder = self._k.myproc()

    def release(self) -> None:
        """Give the lock back. Never blocks."""
        assert self.holder is not None, f"only a held lock is released: {self}"
        self.holder = None
        if self._waiters:
            self._k.wakeup(self)

    def __repr__(self) -> str:
        return f"lock of {self.guarded}"
