"""The buffer cache: the one copy in memory of each disk block in use.

Whoever wants a block's bytes calls `bread`, has the buffer to itself (locked) until `brelse`, and in between
may read or change `data`.  A change goes to the disk by `Log.write` inside a transaction; only the log itself
calls `bwrite`.  The bytes lie in guest RAM, where the disk's DMA finds them; the bookkeeping is Python's.

    in use    refcnt > 0: someone holds it, waits for it, or the log has pinned it until it is installed
    idle      refcnt = 0: still good, found again by its number, until its place is needed

Idle buffers are replaced least recently used first; an idle buffer is never dirty, because the log keeps what
it has not yet installed pinned.
"""

from collections.abc import Sequence
from errno import EIO
from itertools import islice
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from kernel.abi.disk import BSIZE
from kernel.abi.param import MAXOPBLOCKS, NBUF
from kernel.errors import SyscallError
from kernel.sleeplock import SleepLock
from kernel.virtio_disk import BLOCKS_PER_REQUEST_MAX, READ, WRITE, Request, VirtioDisk

if TYPE_CHECKING:
    from kernel.kernel import Kernel

REGION_SIZE: Final = NBUF * BSIZE  # bytes of RAM that the cache is given
ZEROES: Final = bytes(BSIZE)
PREFETCH_MAX: Final = 16  # buffers that one process takes for reading ahead at a time


class Block(Protocol):
    """What is read and written: the bytes at `pa` in RAM and the block on disk."""

    @property
    def blockno(self) -> int: ...

    @property
    def pa(self) -> int: ...


class Buf:
    """Block `blockno` of device `dev`, its BSIZE bytes at physical address `pa`.

    `data` is those bytes, `words` the same as 32-bit words.  Without `valid` they mean nothing yet.
    """

    __slots__ = ("blockno", "data", "dev", "key", "lock", "pa", "refcnt", "valid", "words")

    def __init__(self, k: "Kernel", pa: int) -> None:
        self.dev = 0
        self.blockno = 0
        self.key = 0
        self.pa: Final = pa
        self.data: Final = k.ram.view(pa, BSIZE)
        self.words: Final = self.data.cast("I")
        self.refcnt = 0
        self.valid = False
        self.lock: Final = SleepLock(k, self)

    def __repr__(self) -> str:
        return f"block {self.blockno}"


class BufferCache:
    """`nbuf` buffers whose bytes are `nbuf` * BSIZE bytes of RAM at `region_pa`."""

    def __init__(self, k: "Kernel", disk: VirtioDisk, region_pa: int, nbuf: int = NBUF) -> None:
        assert region_pa % BSIZE == 0, "buffers do not cross a page"
        assert nbuf > 3 * MAXOPBLOCKS, "the log must be able to pin a full transaction and still read"
        self._k = k
        self._disk = disk
        self._unused: Final = [Buf(k, region_pa + i * BSIZE) for i in range(nbuf - 1, -1, -1)]
        # All others by device and number. In this order they are replaced: a buffer moves to the end when
        # its last user lets go of it.
        self.buffers: Final[dict[int, Buf]] = {}

    def bread(self, dev: int, blockno: int) -> Buf:
        """The buffer of a block, locked, with the block's bytes in it."""
        buf = self.buffers.get(dev << 32 | blockno)
        if buf is None:
            buf = self._recycle(dev, blockno)
        buf.refcnt += 1
        buf.lock.acquire()
        if not buf.valid:
            buf.valid = self._disk.transfer(READ, blockno, (buf.pa,))
            if not buf.valid:
                self._fail(buf)
        return buf

    def _fail(self, buf: Buf) -> NoReturn:
        """A block cannot be read: an error of the call, as long as that has changed nothing yet."""
        self.brelse(buf)
        if self._k.log.has_changed_something(self._k.myproc()):
            self._k.panic(f"disk: block {buf.blockno} cannot be read in the middle of a change")
        raise SyscallError(EIO, f"block {buf.blockno} cannot be read")

    def bclear(self, dev: int, blockno: int) -> Buf:
        """The buffer of a block whose bytes on disk do not matter, locked, all zero: no disk read."""
        buf = self.buffers.get(dev << 32 | blockno)
        if buf is None:
            buf = self._recycle(dev, blockno)
        buf.refcnt += 1
        buf.lock.acquire()
        buf.data[:] = ZEROES
        buf.valid = True
        return buf

    def brelse(self, buf: Buf) -> None:
        """Unlock a buffer and let go of it."""
        buf.lock.release()
        buf.refcnt -= 1
        if not buf.refcnt:
            self._make_youngest(buf)

    def bwrite(self, buf: Buf) -> None:
        """Write a locked buffer to its place on disk, and wait."""
        assert buf.lock.holder is not None, f"only a locked buffer is written: {buf}"
        self._disk.transfer(WRITE, buf.blockno, (buf.pa,))

    def bpin(self, buf: Buf) -> None:
        """Keep a buffer in memory, though nobody holds its lock."""
        buf.refcnt += 1

    def bunpin(self, buf: Buf) -> None:
        """Take back one bpin."""
        assert buf.refcnt > 0, f"more bunpin than bpin: {buf}"
        buf.refcnt -= 1
        if not buf.refcnt:
            self._make_youngest(buf)

    def prefetch(self, dev: int, blocknos: Sequence[int]) -> None:
        """Read those of the blocks that are not in memory, neighbours in one request, and wait for all."""
        for start in range(0, len(blocknos), PREFETCH_MAX):
            self._prefetch_some(dev, blocknos[start : start + PREFETCH_MAX])

    def _prefetch_some(self, dev: int, blocknos: Sequence[int]) -> None:
        missing = []
        for blockno in blocknos:
            if dev << 32 | blockno not in self.buffers:
                buf = self._recycle(dev, blockno)
                buf.refcnt = 1
                buf.lock.acquire()  # nobody else knows it: never sleeps
                missing.append(buf)
        bufs = iter(missing)
        for request in self.submit_runs(READ, missing):
            self._disk.wait(request)
            for buf in islice(bufs, request.count):
                buf.valid = not request.failed
                self.brelse(buf)

    def submit_runs(self, kind: int, bufs: Sequence[Block]) -> list[Request]:
        """Start a READ or WRITE of each block at its place on disk, runs of neighbours as one request.

        The caller waits for each request, and sees to it that nobody changes the bytes before.
        """
        requests = []
        run: list[Block] = []
        for buf in bufs:
            if run and (buf.blockno != run[-1].blockno + 1 or len(run) == BLOCKS_PER_REQUEST_MAX):
                requests.append(self._disk.submit(kind, run[0].blockno, [b.pa for b in run]))
                run = []
            run.append(buf)
        if run:
            requests.append(self._disk.submit(kind, run[0].blockno, [b.pa for b in run]))
        self._disk.kick()
        return requests

    def _make_youngest(self, buf: Buf) -> None:
        table = self.buffers
        del table[buf.key]
        table[buf.key] = buf

    def _recycle(self, dev: int, blockno: int) -> Buf:
        """A buffer for a block that has none yet, entered in the table, not valid, refcnt 0. Never blocks."""
        buf = self._unused.pop() if self._unused else self._oldest_idle()
        buf.dev = dev
        buf.blockno = blockno
        buf.key = dev << 32 | blockno
        buf.valid = False
        self.buffers[buf.key] = buf
        return buf

    def _oldest_idle(self) -> Buf:
        for buf in self.buffers.values():
            if not buf.refcnt:
                del self.buffers[buf.key]
                return buf
        self._k.panic("buffer cache: every buffer is in use")
