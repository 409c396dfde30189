"""Page frames: who has which 4096 bytes of RAM.

Frames go to user memory, page tables, trapframes and kernel stacks; RAM from behind the kernel's image,
its buffer cache and the disk's queue to the end is theirs.  A frame may have several owners (text is shared
by all processes that run one file), so each has a count: `alloc` gives it one owner, `share` one more,
`free` takes one away, and the last one gives the frame back.  Contents are not cleared on either way: who
needs zeroes asks `alloc_zeroed`.
"""

from array import array
from collections.abc import Callable
from typing import Final

from emu.ram import Ram
from kernel.abi.memlayout import PGSHIFT, PGSIZE

ZERO_PAGE: Final = bytes(PGSIZE)


class FrameAllocator:
    """Hands out the frames of [first_pa, ram.end), the one that was freed last first.

    `reclaim` is asked when none is left: it frees what is only kept for speed, and says whether that
    was anything.
    """

    def __init__(self, ram: Ram, first_pa: int) -> None:
        assert first_pa % PGSIZE == 0 and ram.base <= first_pa <= ram.end, "frames are pages of RAM"
        self.first_pa: Final = first_pa
        self.reclaim: Callable[[], bool] = lambda: False
        self._bytes = ram.bytes
        self._base = ram.base
        self._free = list(range(ram.end - PGSIZE, first_pa - 1, -PGSIZE))
        self._owners = array("H", bytes(2 * (ram.size >> PGSHIFT)))

    @property
    def free_frames(self) -> int:
        """How many frames have no owner."""
        return len(self._free)

    def alloc(self) -> int:
        """The physical address of a frame that is now the caller's, or 0 where memory is exhausted."""
        if not self._free and not self.reclaim():
            return 0
        pa = self._free.pop()
        self._owners[pa - self._base >> PGSHIFT] = 1
        return pa

    def alloc_zeroed(self) -> int:
        """As alloc, filled with zeroes."""
        pa = self.alloc()
        if pa:
            offset = pa - self._base
            self._bytes[offset : offset + PGSIZE] = ZERO_PAGE
        return pa

    def share(self, pa: int) -> None:
        """Give the frame one more owner."""
        index = pa - self._base >> PGSHIFT
        assert self._owners[index] > 0, f"frame {pa:#x} is shared, but nobody owns it"
        self._owners[index] += 1

    def free(self, pa: int) -> None:
        """Take one owner away; the frame is free when it was the last."""
        index = pa - self._base >> PGSHIFT
        owners = self._owners[index]
        assert owners > 0 and pa % PGSIZE == 0, f"frame {pa:#x} is freed, but nobody owns it"
        self._owners[index] = owners - 1
        if owners == 1:
            self._free.append(pa)

    def owners(self, pa: int) -> int:
        """How many owners the frame has."""
        return self._owners[pa - self._base >> PGSHIFT]
