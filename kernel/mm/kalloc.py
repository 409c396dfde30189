"""The frame allocator: reference-counted page frames of 4096 bytes.

Frames hold user memory, page tables, trapframes and kernel stacks, and fill RAM from the end of the kernel's
image, buffer cache and disk queue.  A frame may have several owners (pages that fork shares, text, cached
pages of files), so each has a reference count: `alloc` sets it to one, `share` increments it, `free`
decrements it and releases the frame at zero.  Frames are not cleared; `alloc_zeroed` returns one that is.

Free memory is kept as whole regions of 2 MiB, for superpages, and as single frames.  A region is broken up
when the single frames run out, and coalesced again when a superpage is requested.  The owners of a superpage
are counted at its first frame.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from emu.ram import Ram
from kernel.abi.memlayout import PGSHIFT, PGSIZE, SUPERPGSHIFT, SUPERPGSIZE
from kernel.errors import OutOfMemory

ZERO_PAGE: Final = bytes(PGSIZE)
ZERO_SUPERPAGE: Final = bytes(SUPERPGSIZE)
SUPER_FRAMES: Final = SUPERPGSIZE // PGSIZE


class FrameCache(Protocol):
    """A cache of frames. Those that nobody maps can be reclaimed when memory is short."""

    @property
    def reclaimable(self) -> int:
        """How many frames could be freed."""

    def reclaim(self) -> bool:
        """Free some frames; False if there are none to free."""


class Holding(NamedTuple):
    """A frame that has an owner: its address, the kind of use, and a description of the owner."""

    pa: int
    kind: str
    what: str


class FrameOwner(Protocol):
    """An owner of frames other than through a page-table entry, so that the audit can count them."""

    def holdings(self) -> Iterable[Holding]:
        """Every frame that it owns, once for each reference."""


class FrameAllocator:
    """Allocates the frames of [first_pa, ram.end), the most recently freed first.

    When none is left, `caches` are asked in order to reclaim some.
    """

    def __init__(self, ram: Ram, first_pa: int) -> None:
        assert first_pa % PGSIZE == 0 and ram.base <= first_pa <= ram.end, "frames are pages of RAM"
        self.first_pa: Final = first_pa
        self.caches: Final[list[FrameCache]] = []
        self._bytes = ram.bytes
        self._base = ram.base
        first_super = first_pa + SUPERPGSIZE - 1 & -SUPERPGSIZE
        end_super = max(ram.end & -SUPERPGSIZE, first_super)
        self._supers = list(range(end_super - SUPERPGSIZE, first_super - 1, -SUPERPGSIZE))
        self._free = list(range(ram.end - PGSIZE, end_super - 1, -PGSIZE))
        self._free += range(min(first_super, ram.end) - PGSIZE, first_pa - 1, -PGSIZE)
        self._owners = array("H", bytes(2 * (ram.size >> PGSHIFT)))

    @property
    def free_frames(self) -> int:
        """The number of frames without an owner."""
        return len(self._free) + SUPER_FRAMES * len(self._supers)

    @property
    def available(self) -> int:
        """The number of frames that could be allocated, by reclaiming from caches if need be."""
        return self.free_frames + sum(cache.reclaimable for cache in self.caches)

    def free_list(self) -> Iterator[int]:
        """The frames in the allocator's free lists."""
        yield from self._free
        for pa in self._supers:
            yield from range(pa, pa + SUPERPGSIZE, PGSIZE)

    # --- frames ---

    def alloc(self) -> int:
        """Allocate a frame; returns its physical address, or 0 if memory is exhausted."""
        if not self._free and not self._refill():
            return 0
        pa = self._free.pop()
        self._owners[pa - self._base >> PGSHIFT] = 1
        return pa

    def _refill(self) -> bool:
        """Break up a region of 2 MiB or reclaim from a cache; returns whether there are free frames now."""
        if self._supers:
            pa = self._supers.pop()
            self._free.extend(range(pa + SUPERPGSIZE - PGSIZE, pa - 1, -PGSIZE))
            return True
        return self.reclaim()

    def reclaim(self) -> bool:
        """Have a cache free frames that nobody maps; returns whether there were any."""
        return any(cache.reclaim() for cache in self.caches)

    def alloc_zeroed(self) -> int:
        """As alloc, filled with zeroes."""
        pa = self.alloc()
        if pa:
            offset = pa - self._base
            self._bytes[offset : offset + PGSIZE] = ZERO_PAGE
        return pa

    def alloc_copy(self, pa: int) -> int:
        """A frame with the same bytes as the one at `pa`, which has an owner; raises OutOfMemory."""
        new = self.alloc()
        if not new:
            raise OutOfMemory
        old, at = pa - self._base, new - self._base
        self._bytes[at : at + PGSIZE] = self._bytes[old : old + PGSIZE]
        return new

    def share(self, pa: int) -> None:
        """Give the frame, or the superpage that begins with it, one more owner."""
        index = pa - self._base >> PGSHIFT
        assert self._owners[index] > 0, f"frame {pa:#x} is shared, but nobody owns it"
        self._owners[index] += 1

    def free(self, pa: int) -> None:
        """Remove one owner; the last one releases the frame."""
        self._drop(pa, self._free)

    def _drop(self, pa: int, free: list[int]) -> None:
        index = pa - self._base >> PGSHIFT
        owners = self._owners[index]
        assert owners > 0 and pa % PGSIZE == 0, f"frame {pa:#x} is freed, but nobody owns it"
        self._owners[index] = owners - 1
        if owners == 1:
            free.append(pa)

    def share_all(self, ptes: Iterable[int]) -> None:
        """Give each frame that one of these entries points to one more owner; entries may be 0."""
        owners, base = self._owners, self._base >> PGSHIFT
        for pte in filter(None, ptes):
            owners[(pte >> 10) - base] += 1

    def free_all(self, ptes: Iterable[int]) -> None:
        """Remove one owner of each frame that one of these entries points to; entries may be 0."""
        owners, base, free = self._owners, self._base >> PGSHIFT, self._free
        for pte in filter(None, ptes):
            index = (pte >> 10) - base
            owners[index] -= 1
            if not owners[index]:
                free.append(pte >> 10 << PGSHIFT)

    def owners(self, pa: int) -> int:
        """The number of owners of the frame, or of the superpage that begins with it."""
        return self._owners[pa - self._base >> PGSHIFT]

    # --- superpages ---

    def alloc_super(self) -> int:
        """Allocate 2 MiB, aligned and zeroed; returns the physical address, or 0 if there are none."""
        if not self._supers:
            self._coalesce()
        if not self._supers:
            return 0
        pa = self._supers.pop()
        offset = pa - self._base
        self._bytes[offset : offset + SUPERPGSIZE] = ZERO_SUPERPAGE
        self._owners[offset >> PGSHIFT] = 1
        return pa

    def _coalesce(self) -> None:
        """Coalesce single free frames into regions where all 2 MiB are free."""
        counts = Counter(pa >> SUPERPGSHIFT for pa in self._free)
        if SUPER_FRAMES in counts.values():
            self._free = [pa for pa in self._free if counts[pa >> SUPERPGSHIFT] < SUPER_FRAMES]
            whole = (region << SUPERPGSHIFT for region, count in counts.items() if count == SUPER_FRAMES)
            self._supers = sorted(whole, reverse=True)

    def free_super(self, pa: int) -> None:
        """Remove one owner of a superpage; the last one releases its 2 MiB."""
        assert pa % SUPERPGSIZE == 0, f"{pa:#x} is no superpage"
        self._drop(pa, self._supers)

    def split_super(self, pa: int) -> None:
        """Make the only owner of a superpage the owner of each of its frames."""
        index = pa - self._base >> PGSHIFT
        assert self._owners[index] == 1, f"superpage {pa:#x} has other owners: it cannot be split in place"
        self._owners[index : index + SUPER_FRAMES] = array("H", [1]) * SUPER_FRAMES
