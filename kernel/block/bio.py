"""The buffer cache: the one copy in memory of each disk block in use, of all disks.

A caller that needs a block calls `bread`, has the buffer to itself (locked) until `brelse`, and in between
may read or change `data`.  A change goes to the disk by `Log.write` inside a transaction, and in no other
way.  The bytes lie in guest RAM, where the disk's DMA finds them; the bookkeeping is Python's.

    in use    refcnt > 0: someone holds it, waits for it, or the log has pinned it until it is installed
    idle      refcnt = 0: still good, found again by its number, until its place is needed

Idle buffers are replaced least recently used first; an idle buffer is never dirty, because the log keeps what
it has not yet installed pinned.
"""

from collections.abc import Callable, Mapping, Sequence
from errno import EIO
from itertools import islice
from typing import Final, NoReturn

from emu.ram import Ram
from kernel.abi.disk import BSIZE
from kernel.abi.param import MAXOPBLOCKS, NBUF
from kernel.block.device import READ, BlockDevice
from kernel.errors import SyscallError, panic
from kernel.sleeplock import SleepLock
from kernel.wait import Threads

REGION_SIZE: Final = NBUF * BSIZE  # bytes of RAM that the cache is given
ZEROES: Final = bytes(BSIZE)
PREFETCH_MAX: Final = 16  # buffers that one process takes for reading ahead at a time


class Buf:
    """Block `blockno` of device `dev`, and its BSIZE bytes at physical address `pa`.

    `data` is those bytes, `words` the same as 32-bit words.  Without `valid` they mean nothing yet.
    """

    __slots__ = ("blockno", "data", "dev", "key", "lock", "pa", "refcnt", "valid", "words")

    def __init__(self, threads: Threads, ram: Ram, pa: int, key: int) -> None:
        self.key = key  # in the table of buffers
        self.dev = 0
        self.blockno = 0
        self.pa: Final = pa
        self.data: Final = ram.view(pa, BSIZE)
        self.words: Final = self.data.cast("I")
        self.refcnt = 0
        self.valid = False
        self.lock: Final = SleepLock(threads, self)

    def __repr__(self) -> str:
        return f"block {self.blockno}"


class BufferCache:
    """`nbuf` buffers whose bytes are `nbuf` * BSIZE bytes of RAM at `region_pa`, for `devices` by number."""

    def __init__(
        self,
        threads: Threads,
        ram: Ram,
        devices: Mapping[int, BlockDevice],
        region_pa: int,
        nbuf: int = NBUF,
    ) -> None:
        assert region_pa % BSIZE == 0, "buffers do not cross a page"
        assert nbuf > 3 * MAXOPBLOCKS, "the log must be able to pin a full transaction and still read"
        self.devices: Final = devices
        # By device, where it has a log: whether the running process is in the middle of a change to it.
        self.in_change: Final[dict[int, Callable[[], bool]]] = {}
        # By device and number; those that have no block yet by numbers below 0. In this order they are
        # replaced: a buffer moves to the end when its last user lets go of it.
        self.buffers: Final = {~i: Buf(threads, ram, region_pa + i * BSIZE, ~i) for i in range(nbuf)}

    def bread(self, dev: int, blockno: int) -> Buf:
        """The buffer of a block, locked, with the block's bytes in it."""
        buf = self._get(dev, blockno)
        if not buf.valid:
            buf.valid = self.devices[dev].transfer(READ, blockno, (buf.pa,))
            if not buf.valid:
                self._fail(buf)
        return buf

    def copy(self, dev: int, blockno: int) -> bytes:
        """The bytes of a block."""
        buf = self.bread(dev, blockno)
        data = bytes(buf.data)
        self.brelse(buf)
        return data

    def bclear(self, dev: int, blockno: int) -> Buf:
        """The buffer of a block whose bytes on disk do not matter, locked, all zero: no disk read."""
        buf = self._get(dev, blockno)
        buf.data[:] = ZEROES
        buf.valid = True
        return buf

    def _get(self, dev: int, blockno: int) -> Buf:
        """The buffer of a block, locked; valid or not."""
        key = dev << 32 | blockno
        buf = self.buffers.get(key) or self._recycle(dev, blockno)
        buf.refcnt += 1
        buf.lock.acquire()
        return buf

    def _recycle(self, dev: int, blockno: int) -> Buf:
        """Give a block that has no buffer the one that is idle longest. Never blocks."""
        for buf in self.buffers.values():
            if not buf.refcnt:
                break
        else:
            panic("buffer cache: every buffer is in use")
        del self.buffers[buf.key]
        buf.key, buf.dev, buf.blockno, buf.valid = dev << 32 | blockno, dev, blockno, False
        self.buffers[buf.key] = buf
        return buf

    def _fail(self, buf: Buf) -> NoReturn:
        """A block cannot be read: an error of the call, as long as that has changed nothing yet."""
        self.brelse(buf)
        if buf.dev in self.in_change and self.in_change[buf.dev]():
            panic(f"disk: block {buf.blockno} cannot be read in the middle of a change")
        raise SyscallError(EIO, f"block {buf.blockno} cannot be read")

    def brelse(self, buf: Buf) -> None:
        """Unlock a buffer and let go of it."""
        buf.lock.release()
        self.bunpin(buf)

    def bpin(self, buf: Buf) -> None:
        """Keep a buffer in memory, though nobody holds its lock."""
        buf.refcnt += 1

    def bunpin(self, buf: Buf) -> None:
        """Take back one bpin."""
        assert buf.refcnt > 0, f"more bunpin than bpin: {buf}"
        buf.refcnt -= 1
        if not buf.refcnt:
            del self.buffers[buf.key]
            self.buffers[buf.key] = buf

    def find(self, dev: int, blockno: int) -> Buf | None:
        """The buffer of a block that is in memory with its bytes, for a look; else None. Never blocks."""
        buf = self.buffers.get(dev << 32 | blockno)
        return buf if buf is not None and buf.valid else None

    def prefetch(self, dev: int, blocknos: Sequence[int]) -> None:
        """Read those of the blocks that are not in memory, neighbours in one request, and wait for all."""
        device = self.devices[dev]
        for start in range(0, len(blocknos), PREFETCH_MAX):
            missing = []
            for blockno in blocknos[start : start + PREFETCH_MAX]:
                if dev << 32 | blockno not in self.buffers:
                    missing.append(self._get(dev, blockno))  # nobody else knows it: never sleeps
            bufs = iter(missing)
            for request in device.submit_runs(READ, [(buf.blockno, buf.pa) for buf in missing]):
                device.wait(request)
                for buf in islice(bufs, len(request.pas)):
                    buf.valid = not request.failed
                    self.brelse(buf)
