"""The log: makes the disk writes of a change happen all or not at all.

A change of the file system is made in an operation, `with log:`, which names each buffer it changes by
`write`.  Nothing of it goes to its place on disk yet: the buffer is pinned in memory.  When the last of
the operations that run at the same time ends, they are committed together:

    1. the changed blocks are written to the log's own blocks, all at once, straight from their buffers
    2. the header block, naming where they belong, is written: from here on the operations have happened
    3. the blocks are written to where they belong
    4. the header is cleared; the next commit waits for that before it touches the log

After a crash, `recover` finds a header that names blocks exactly if it happened between 2 and 4, and does 3
and 4 again.  An operation may write up to MAXOPBLOCKS blocks; `begin_op` waits until the log has room for
that, so an operation never finds the log full.  One that can use more asks for it by `claim`, and gets what
has not been promised to others.  `begin_op` also waits while a commit runs: the buffers that the disk is
reading must not change.  Operations begin in the order in which they were asked for: while one waits, no
later one is let in, so those that run come to their ends, the log is committed, and there is room.  An
operation that changed nothing costs no disk write; what only reads needs none.

    log blocks    | header: n, block[0], block[1], ... | copy of block[0] | copy of block[1] | ...
"""

from collections.abc import Callable
from typing import Any, Final

from kernel.abi.disk import LOG_ENTRIES_MAX
from kernel.abi.param import MAXOPBLOCKS
from kernel.block.bio import Buf, BufferCache
from kernel.block.device import WRITE, Request
from kernel.errors import panic, settles
from kernel.wait import Threads, WaitQueue

HEADER_ENTRIES_MAX: Final = 512 // 4 - 1  # the header must be one sector, which the disk writes whole


class Log:
    """The log of the file system on device `dev`. Threads that wait for room or for a commit sleep on it.

    `on_end` is called at the end of each `with log:`, with no operation under way.
    """

    def __init__(self, threads: Threads, cache: BufferCache, dev: int) -> None:
        self._threads: Final = threads
        self._cache: Final = cache
        self._disk: Final = cache.devices[dev]
        self._dev: Final = dev
        self.on_end: Callable[[], None] = lambda: None
        self.start = 0  # block number of the header
        self.capacity = 0  # blocks that a commit can have; 0 until mounted
        self.recovered_max = 0  # and one of another kernel, which may write a longer header
        self._header: Buf  # pinned as long as the log is mounted; only the log uses it
        self.clearing: Request | None = None  # step 4 of the last commit
        self.room: dict[Any, int] = {}  # how many blocks each running operation may still write
        self.changing: list[Any] = []  # the processes whose operation has changed something
        self.changed: dict[int, Buf] = {}  # what the next commit writes, in the order of the first change
        self.committing = False
        self._queue: Final = WaitQueue(threads, self)

    def mount(self, start: int, nlog: int) -> None:
        """Use the `nlog` blocks from `start` on as the log, and finish a commit that a crash cut short."""
        self.start = start
        self.capacity = min(nlog - 1, HEADER_ENTRIES_MAX)
        self.recovered_max = min(nlog - 1, LOG_ENTRIES_MAX)
        if self.capacity < MAXOPBLOCKS:
            panic(f"log: {nlog} blocks are too few, an operation may need {MAXOPBLOCKS}")
        self._header = self._cache.bread(self._dev, start)
        self._cache.bpin(self._header)
        self._cache.in_change[self._dev] = lambda: self._threads.myproc() in self.changing
        self._cache.brelse(self._header)
        self._recover()

    # --- operations ---

    def begin_op(self) -> None:
        """Begin an operation; sleeps until the log has room for it."""
        assert self.capacity, "no operation before the file system is mounted"
        p = self._threads.myproc()
        assert p not in self.room, f"{p} begins an operation within an operation"
        self._queue.wait(self._has_room)
        self.room[p] = MAXOPBLOCKS
        self._queue.notify()

    def _has_room(self) -> bool:
        return not self.committing and self.spare >= MAXOPBLOCKS

    def end_op(self) -> None:
        """End an operation. The last one of those that run commits them all, and waits for the disk."""
        p = self._threads.myproc()
        assert p in self.room and not self.committing, "end_op without begin_op"
        del self.room[p]
        if p in self.changing:
            self.changing.remove(p)
        if not self.room and self.changed:
            self.committing = True
            self._commit()
            self.committing = False
        self._queue.notify()

    __enter__ = begin_op  # with log: ...

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if settles(exc_type):
            self.end_op()
            self.on_end()

    @property
    def outstanding(self) -> int:
        """How many operations have begun and not ended."""
        return len(self.room)

    @property
    def spare(self) -> int:
        """Blocks of the log that nothing is in and nobody was promised."""
        return self.capacity - len(self.changed) - sum(self.room.values())

    def claim(self, blocks: int) -> int:
        """Ask for room to write `blocks` more; gives how many the running operation may write in any case."""
        p = self._threads.myproc()
        room = self.room[p]
        if blocks > room:
            room = self.room[p] = room + max(0, min(blocks - room, self.spare))
        return room

    def write(self, buf: Buf) -> None:
        """Make the change that was made to a locked buffer part of the running operation."""
        p = self._threads.myproc()
        assert p in self.room, f"a change outside of an operation: {buf}"
        if p not in self.changing:
            self.changing.append(p)
        if buf.blockno not in self.changed:
            if not self.claim(1):
                panic("log: an operation writes too many blocks")
            self.room[p] -= 1
            self._cache.bpin(buf)
            self.changed[buf.blockno] = buf

    def has_begun(self, p: object) -> bool:
        """Whether `p` is in an operation."""
        return p in self.room

    def has_changed_something(self, p: object) -> bool:
        """Whether `p` is in an operation that cannot be given up any more without leaving half of it."""
        return p in self.changing

    def drain(self) -> None:
        """Wait until the disk shows no trace of the last commit: what to do before power-off."""
        if self.clearing is not None:
            self._disk.wait(self.clearing)

    # --- commit ---

    def _commit(self) -> None:
        """Steps 1 to 4. Nobody changes a buffer meanwhile: all operations have ended and none can begin."""
        disk = self._disk
        bufs = sorted(self.changed.values(), key=lambda buf: buf.blockno)  # neighbours go in one request
        if len(bufs) > self.capacity:
            panic(f"log: a commit of {len(bufs)} blocks into a log of {self.capacity}")
        copies = [(blockno, buf.pa) for blockno, buf in enumerate(bufs, self.start + 1)]
        self.drain()
        disk.wait(*disk.submit_runs(WRITE, copies))
        disk.wait(self._write_header(bufs))
        self._install(bufs)
        self.changed = {}

    def _install(self, bufs: list[Buf]) -> None:
        """Steps 3 and 4, the latter only begun; unpins the buffers."""
        disk = self._disk
        disk.wait(*disk.submit_runs(WRITE, [(buf.blockno, buf.pa) for buf in bufs]))
        self.clearing = self._write_header([])
        for buf in bufs:
            self._cache.bunpin(buf)

    def _write_header(self, bufs: list[Buf]) -> Request:
        """Start the write of a header that names these blocks; no other write of it may be under way."""
        words = self._header.words
        words[0] = len(bufs)
        for i, buf in enumerate(bufs, 1):
            words[i] = buf.blockno
        (request,) = self._disk.submit_runs(WRITE, [(self.start, self._header.pa)])
        return request

    def _recover(self) -> None:
        """Finish the commit that the header on disk tells of: bring the copies home."""
        count, *blocknos = self._header.words.tolist()
        if count > self.recovered_max:
            panic(f"log: the header names {count} blocks, the log has {self.recovered_max}")
        homes = []
        for at, blockno in enumerate(blocknos[:count], self.start + 1):
            copy, home = self._cache.bread(self._dev, at), self._cache.bclear(self._dev, blockno)
            home.data[:] = copy.data
            self._cache.bpin(home)
            self._cache.brelse(home)
            self._cache.brelse(copy)
            homes.append(home)
        if count:
            self._install(homes)
            self.drain()

    def __repr__(self) -> str:
        return "the log"
