"""Executable text in memory, shared by all processes that run the same file.

A page of a segment that can be executed and not written is the same for every process, so exec maps the
frame that an earlier exec filled.  This keeps the engine's translations of it too, which cost more than
the copy.  The inode refers to the frames (`Inode.text`); the cache is one owner of each, each mapping
another.  They are dropped when the file changes, and those that nobody maps when memory is short.
"""

from collections.abc import Callable, Iterator
from typing import Final

from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE
from kernel.fs.vfs import Inode
from kernel.mm.kalloc import FrameAllocator, Holding


class TextCache:
    """Text frames, by inode and by offset and size in its file."""

    def __init__(self, ram: Ram, frames: FrameAllocator, drop_code: Callable[[int, int], None]) -> None:
        self._ram = ram
        self._frames = frames
        self._drop_code = drop_code
        self.inodes: Final[dict[Inode, dict[tuple[int, int], int]]] = {}

    def frame(self, ip: Inode, offset: int, size: int, read: Callable[[int, int], bytes]) -> int:
        """The frame with `size` bytes of the file at `offset`, then zeroes; 0 if memory is exhausted.

        The cache owns it: the caller shares it before it sleeps.  `read(offset, n)` reads the file.
        """
        pa = self.inodes.get(ip, {}).get((offset, size), 0)
        if pa:
            return pa
        data = read(offset, size)  # may sleep: another process may have filled it
        pa = self.inodes.get(ip, {}).get((offset, size), 0)
        if not pa:
            pa = self._frames.alloc()  # may reclaim the inode's last text frame
            if pa:
                self._ram.view(pa, PGSIZE)[:] = data.ljust(PGSIZE, b"\0")
                self._drop_code(pa, pa + PGSIZE)
                pages = ip.text = self.inodes.setdefault(ip, {})
                pages[offset, size] = pa
        return pa

    def drop(self, ip: Inode) -> None:
        """The file changed or is gone: drop its frames. Processes that map them keep them."""
        for pa in self.inodes.pop(ip, {}).values():
            self._frames.free(pa)
        ip.text = None

    def holdings(self) -> Iterator[Holding]:
        """See FrameOwner."""
        for ip, pages in self.inodes.items():
            for pa in pages.values():
                yield Holding(pa, "cached text", f"the cached text of {ip}")

    @property
    def reclaimable(self) -> int:
        """The number of frames that nobody maps."""
        frames = (pa for pages in self.inodes.values() for pa in pages.values())
        return sum(self._frames.owners(pa) == 1 for pa in frames)

    def reclaim(self) -> bool:
        """Free the frames that nobody maps; returns whether there were any."""
        freed = False
        for ip, pages in list(self.inodes.items()):
            for key, pa in list(pages.items()):
                if self._frames.owners(pa) == 1:
                    del pages[key]
                    self._frames.free(pa)
                    freed = True
            if not pages:
                del self.inodes[ip]
                ip.text = None
        return freed
