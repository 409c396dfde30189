"""Block devices: what the buffer cache, the log and the page cache ask of a disk, whatever drives it.

A driver derives from BlockDevice and carries out requests: it takes them by `submit`, begins what was
submitted at `kick`, and calls `finish` from its interrupt.  Everything else is built from these three.

A request belongs to the device from `kick` until it is done; until then the data must neither be changed (a
write) nor read (a read).  Requests may complete in any order: a caller that needs one waits in between.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kernel.wait import Threads

READ, WRITE = 0, 1
BLOCKS_PER_REQUEST_MAX: Final = 32


@dataclass(slots=True, eq=False)
class Request:
    """Blocks from `blockno` on, on their way from or to `pas`. Processes that wait for it sleep on it."""

    kind: int
    blockno: int
    pas: Sequence[int]
    done: bool = False
    failed: bool = False  # a read; a write that fails is a panic

    def __repr__(self) -> str:
        verb = "read" if self.kind == READ else "write"
        return f"disk {verb} of {len(self.pas)} block(s) from {self.blockno} on"


class BlockDevice(ABC):
    """A disk of blocks of BSIZE bytes, which it moves from and to RAM."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads

    @abstractmethod
    def submit(self, kind: int, blockno: int, pas: Sequence[int]) -> Request:
        """Queue a READ or WRITE of consecutive blocks from `blockno` on, block i being at pas[i] in RAM.

        At most BLOCKS_PER_REQUEST_MAX.  The device sees it at the next `kick`.  May sleep until it has room.
        """

    @abstractmethod
    def kick(self) -> None:
        """Hand all that was submitted to the device."""

    def finish(self, request: Request) -> None:
        """A request is done: wake its waiters. Never blocks."""
        request.done = True
        self._threads.wakeup(request)

    def submit_runs(self, kind: int, blocks: Iterable[tuple[int, int]]) -> list[Request]:
        """Start a READ or WRITE of blocks, each given by number and address: neighbours in one request.

        The caller waits for each request, and lets nobody touch the bytes before that.
        """
        runs: list[tuple[int, list[int]]] = []
        for blockno, pa in blocks:
            first, pas = runs[-1] if runs else (blockno, [])
            if not pas or blockno != first + len(pas) or len(pas) == BLOCKS_PER_REQUEST_MAX:
                pas = []
                runs.append((blockno, pas))
            pas.append(pa)
        requests = [self.submit(kind, first, pas) for first, pas in runs]
        self.kick()
        return requests

    def wait(self, *requests: Request) -> None:
        """Sleep until these are done."""
        for request in requests:
            while not request.done:
                self._threads.sleep(request)

    def transfer(self, kind: int, blockno: int, pas: Sequence[int]) -> bool:
        """Submit one request and wait for it; False where a read failed."""
        request = self.submit(kind, blockno, pas)
        self.kick()
        self.wait(request)
        return not request.failed
