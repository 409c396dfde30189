"""The page cache: the contents of regular files in memory, by page, for read(), write() and mmap alike.

    Inode.pages    page index -> frame, of each inode; the cache is one owner of it, each mapping another
    read()         copies from the frames; a page that is missing is read from disk, with read-ahead where
                   the file is read in order
    write()        goes through the log's buffers to the disk, and updates the frames that are cached
    mmap           maps the frames; stores to them are on disk after `FileSystem.write_page`

The inode's file system is the backing store: it knows where pages are on the disk and brings them in
(`locate`, `fill`, `read_blocks` of fs/vfs.py).

A page is cached whole or not at all, with zeroes past the end of the file.  Pages are added and changed under
the inode's lock.  They are dropped, if nobody maps them, whenever the allocator runs short: a frame that
nobody maps is never newer than the disk or its buffers, and a caller that gets one shares it before sleeping.
Directories and symbolic links are not cached here.
"""

from collections.abc import Callable, Iterable, Iterator
from errno import EIO
from itertools import islice, pairwise
from typing import Final

from emu.ram import Ram
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGMASK, PGSHIFT, PGSIZE
from kernel.block.device import BLOCKS_PER_REQUEST_MAX
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode
from kernel.mm.counts import MemoryCounts
from kernel.mm.kalloc import FrameAllocator, Holding

AHEAD_MAX: Final = BLOCKS_PER_REQUEST_MAX * BSIZE // PGSIZE  # pages read at a time: a request of neighbours
RECLAIM_BATCH: Final = 64  # frames freed at a time


def cut(off: int, n: int) -> list[tuple[int, int]]:
    """The parts of [off, off + n) on each page: start and end."""
    return list(pairwise([off, *range((off | PGMASK) + 1, off + n, PGSIZE), off + n]))


class PageCache:
    """The cached pages of all inodes. `on_truncate(ip)` unmaps the pages past the end of a truncated file."""

    def __init__(
        self,
        ram: Ram,
        frames: FrameAllocator,
        drop_code: Callable[[int, int], None],
        counts: MemoryCounts,
    ) -> None:
        self._bytes: Final = ram.bytes
        self._base: Final = ram.base
        self._frames: Final = frames
        self._drop_code: Final = drop_code
        self.counts: Final = counts
        self._homes: Final[dict[int, tuple[Inode, int]]] = {}  # inode and index by frame, the oldest first
        self.on_truncate: Callable[[Inode], None] = lambda ip: None

    def frame(self, ip: Inode, index: int) -> int:
        """The frame with page `index` of a locked inode; 0 if memory is exhausted."""
        return ip.pages.get(index) or self._load(ip, index, 1)

    def read(self, ip: Inode, off: int, n: int) -> bytes:
        """The `n` bytes at `off` of a locked inode, all within the file."""
        pieces = [self._read_page(ip, start, end - start, off + n - start) for start, end in cut(off, n)]
        return b"".join(pieces)

    def _read_page(self, ip: Inode, off: int, n: int, wanted: int) -> bytes:
        """`n` bytes, all from one page, of `wanted` bytes from `off` on that the call will read."""
        index = off >> PGSHIFT
        pa = ip.pages.get(index)
        if pa is None:
            in_order = not index or index - 1 in ip.pages
            try:
                pa = self._load(ip, index, AHEAD_MAX if in_order else len(cut(off, wanted)[:AHEAD_MAX]))
            except SyscallError:  # perhaps only a page of the read-ahead cannot be read
                pa = 0
            if not pa:
                return ip.fs.read_blocks(ip, off, n)
        at = pa - self._base + (off & PGMASK)
        return bytes(self._bytes[at : at + n])

    def _load(self, ip: Inode, index: int, count: int) -> int:
        """Bring in page `index`, which is missing, and up to `count` - 1 after it; returns its frame.

        0 if there is no frame for it; fails if it cannot be read. The others are brought in if possible.
        """
        end = max(index + 1, min(index + count, ip.size + PGMASK >> PGSHIFT))
        end = next((i for i in range(index + 1, end) if i in ip.pages), end)
        places = ip.fs.locate(ip, index, end)
        frames: list[int] = []
        while len(frames) < end - index and (pa := self._frames.alloc_zeroed()):
            frames.append(pa)
        failed = self._copy(ip, index, frames) if places is None else ip.fs.fill(ip, frames, places)
        for i, pa in enumerate(frames, index):
            if pa in failed:
                self._frames.free(pa)
            else:
                ip.pages[i] = pa
                self._homes[pa] = ip, i
        if frames and frames[0] in failed:
            raise SyscallError(EIO, f"page {index} of {ip} cannot be read")
        tail = ip.pages.get(ip.size >> PGSHIFT)
        if tail is not None:  # zeroes past the end, whatever the last block holds there
            start, end = tail - self._base + (ip.size & PGMASK), tail - self._base + PGSIZE
            self._bytes[start:end] = bytes(end - start)
        return ip.pages.get(index, 0)

    def _copy(self, ip: Inode, index: int, frames: list[int]) -> set[int]:
        """Fill frames from a file system without blocks of its own; returns those that failed."""
        failed: set[int] = set()
        for i, pa in enumerate(frames, index):
            try:
                self.store(pa, ip.fs.read_blocks(ip, i << PGSHIFT, PGSIZE))
            except SyscallError:
                failed.add(pa)
        return failed

    def store(self, pa: int, data: bytes | memoryview) -> None:
        """Store bytes in a frame that is being filled."""
        self._bytes[pa - self._base : pa - self._base + len(data)] = data

    def patch(self, ip: Inode, off: int, data: bytes) -> None:
        """The bytes at `off` of a locked inode are now `data`: update the cached pages."""
        for start, end in cut(off, len(data)):
            pa = ip.pages.get(start >> PGSHIFT)
            if pa is not None:
                at = pa - self._base + (start & PGMASK)
                self._bytes[at : at + end - start] = data[start - off : end - off]
                if ip.mappings:  # they may be instructions somewhere
                    self._drop_code(pa, pa + PGSIZE)

    def cut_off(self, ip: Inode, index: int) -> bytes:
        """The bytes of page `index` up to the end of the file; bytes stored past it are zeroed."""
        size = max(0, min(PGSIZE, ip.size - (index << PGSHIFT)))
        at = ip.pages[index] - self._base
        self._bytes[at + size : at + PGSIZE] = bytes(PGSIZE - size)
        return bytes(self._bytes[at : at + size])

    def truncated(self, ip: Inode) -> None:
        """The file was emptied, or its inode leaves the table: drop its pages."""
        self.on_truncate(ip)
        for pa in ip.pages.values():
            del self._homes[pa]
            self._frames.free(pa)
        ip.pages.clear()

    def cached(self) -> Iterator[tuple[int, Inode, int]]:
        """Frame, inode and index of each page, the oldest first."""
        return ((pa, ip, index) for pa, (ip, index) in self._homes.items())

    def holdings(self) -> Iterator[Holding]:
        """See FrameOwner."""
        for pa, ip, index in self.cached():
            yield Holding(pa, "cached files", f"the page cache, as page {index} of {ip}")

    @property
    def reclaimable(self) -> int:
        """The number of frames that nobody maps."""
        return sum(1 for pa in self._homes if self._frames.owners(pa) == 1)

    def reclaim(self) -> bool:
        """Free some frames that nobody maps, the oldest first; False if there were none. Never blocks."""
        return self._forget(self._homes)

    def forget(self, ip: Inode) -> None:
        """Drop the pages of a file that could not be written back, so that the next user reads the disk."""
        while self._forget(ip.pages.values()):
            pass

    def _forget(self, pas: Iterable[int]) -> bool:
        unmapped = (pa for pa in pas if self._frames.owners(pa) == 1)
        victims = list(islice(unmapped, RECLAIM_BATCH))
        for pa in victims:
            ip, index = self._homes.pop(pa)
            del ip.pages[index]
            self._frames.free(pa)
        return bool(victims)
