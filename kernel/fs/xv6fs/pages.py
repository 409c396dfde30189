"""Pages of files: how the page cache gets them from the blocks of a disk, and how they get back.

The caller has locked the inode, and to write a page has begun an operation of the log.
"""

from collections.abc import Sequence
from typing import Final

from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGMASK, PGSHIFT, PGSIZE
from kernel.block.bio import BufferCache
from kernel.block.device import READ
from kernel.fs.xv6fs.content import Content
from kernel.fs.xv6fs.inode import Inode
from kernel.mm.pagecache import PageCache

BLOCKS_PER_PAGE: Final = PGSIZE // BSIZE


class PageBlocks:
    """The pages of the files on device `dev`."""

    def __init__(self, cache: BufferCache, dev: int, content: Content, pages: PageCache) -> None:
        self._cache: Final = cache
        self._dev: Final = dev
        self._content: Final = content
        self._pages: Final = pages

    def locate(self, ip: Inode, index: int, end: int) -> list[int]:
        """The blocks with the pages of [index, end), 0 for a hole."""
        first, last = index * BLOCKS_PER_PAGE, min(end * BLOCKS_PER_PAGE, (ip.size + BSIZE - 1) // BSIZE)
        return self._content.blocknos(ip, first, last - first)

    def fill(self, frames: Sequence[int], blocknos: Sequence[int]) -> set[int]:
        """Get blocks into frames, from buffers if there, as these are newer; gives the frames that failed."""
        pieces = []
        for i, blockno in enumerate(blocknos[: len(frames) * BLOCKS_PER_PAGE]):
            pa = frames[i // BLOCKS_PER_PAGE] + i % BLOCKS_PER_PAGE * BSIZE
            buf = self._cache.find(self._dev, blockno) if blockno else None
            if buf is not None:
                self._pages.store(pa, buf.data)
            elif blockno:  # 0 is a hole
                pieces.append((blockno, pa))
        self._pages.counts.pages_read += len({pa & ~PGMASK for _, pa in pieces})
        device, failed = self._cache.devices[self._dev], set[int]()
        for request in device.submit_runs(READ, pieces):
            device.wait(request)
            if request.failed:
                failed.update(pa & ~PGMASK for pa in request.pas)
        return failed

    def write(self, ip: Inode, index: int) -> bool:
        """Write the cached page `index` as far as the file goes.

        Whether all of it was written: where it fills holes, it may need another operation.  It may sleep, and
        what others store to the page meanwhile stays in the page: the cache is not patched.
        """
        data = self._pages.cut_off(ip, index)
        done, full = self._content.write(ip, index << PGSHIFT, data)
        if full:
            raise full
        return done == len(data)
