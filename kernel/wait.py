"""Who waits for something that is not enough for all at once: first come, first served.

Room in a pipe or its bytes, room in the log, slots of the disk's queue.  Who comes later does not take it
before those who wait already, even if it is there at that moment and they, woken, have not had their turn
yet; so a program that takes it again and again cannot keep another from it.

`wait` returns when the caller is first and `ready()` holds; the caller takes what it waited for before it
sleeps again.  Whoever gives something back, or leaves something over, calls `notify`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc


class WaitQueue:
    """Processes that sleep on `chan`, in the order in which they came, each until it is first and ready."""

    __slots__ = ("_chan", "_k", "waiting")

    def __init__(self, k: "Kernel", chan: object) -> None:
        self._k = k
        self._chan: Final = chan
        self.waiting: Final[list[tuple[Proc, Callable[[], bool]]]] = []

    def wait(self, ready: Callable[[], bool], *, killable: bool = False) -> bool:
        """Sleep until it is the calling process's turn; False where that was killed first and `killable`."""
        if not self.waiting and ready():
            return True
        entry = self._k.myproc(), ready
        self.waiting.append(entry)
        while not (killable and entry[0].killed):
            if self.waiting[0] is entry and ready():
                del self.waiting[0]
                return True
            self._k.sleep(self._chan)
        self.waiting.remove(entry)
        self.notify()  # the turn, if it had come, goes to the next
        return False

    def notify(self) -> None:
        """Wake the first of those who wait, if what it waits for is there. Never blocks."""
        if self.waiting:
            p, ready = self.waiting[0]
            if ready():
                self._k.wake(p)
