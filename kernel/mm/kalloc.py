"""Page frames: who has which 4096 bytes of RAM.

Frames go to user memory, page tables, trapframes and kernel stacks; RAM from behind the kernel's image,
its buffer cache and the disk's queue to the end is theirs.  A frame may have several owners (pages that fork
shares, text, cached pages of files), so each has a count: `alloc` gives it one owner, `share` one more,
`free` takes one away, and the last one gives the frame back.  Contents are not cleared on either way: who
needs zeroes asks `alloc_zeroed`.

Free frames are kept in two ways: pieces of 2 MiB that are free as a whole, for superpages, and single
frames.  A piece is broken up when the single frames run out, and put together again when a superpage is
asked for.  The owners of a superpage are counted at its first frame.
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
    """Who keeps frames only for speed: those that nobody maps are free memory."""

    @property
    def reclaimable(self) -> int:
        """How many frames could be freed."""

    def reclaim(self) -> bool:
        """Free some frames; False where there is none to free."""


class Holding(NamedTuple):
    """A frame that somebody owns: where it is, what kind of use that is, and in words who has it for what."""

    pa: int
    kind: str
    what: str


class FrameOwner(Protocol):
    """Who has frames other than by an entry of a page table. The audit compares what all of them say."""

    def holdings(self) -> Iterable[Holding]:
        """Each frame that it owns, as often as it does."""


class FrameAllocator:
    """Hands out the frames of [first_pa, ram.end), the one that was freed last first.

    `caches` are asked, in order, when none is left.
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
        """How many frames have no owner."""
        return len(self._free) + SUPER_FRAMES * len(self._supers)

    @property
    def available(self) -> int:
        """How many frames could be had: those without an owner, and those that caches would give up."""
        return self.free_frames + sum(cache.reclaimable for cache in self.caches)

    def free_list(self) -> Iterator[int]:
        """The frames without an owner, as the allocator keeps them."""
        yield from self._free
        for pa in self._supers:
            yield from range(pa, pa + SUPERPGSIZE, PGSIZE)

    # --- frames ---

    def alloc(self) -> int:
        """The physical address of a frame that is now the caller's, or 0 where memory is exhausted."""
        if not self._free and not self._refill():
            return 0
        pa = self._free.pop()
        self._owners[pa - self._base >> PGSHIFT] = 1
        return pa

    def _refill(self) -> bool:
        """Break up a piece of 2 MiB, or have a cache give up frames; whether there are free frames now."""
        if self._supers:
            pa = self._supers.pop()
            self._free.extend(range(pa + SUPERPGSIZE - PGSIZE, pa - 1, -PGSIZE))
            return True
        return self.reclaim()

    def reclaim(self) -> bool:
        """Have a cache give up frames that nobody maps; whether there were any."""
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
        """Take one owner away; the frame is free when it was the last."""
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
        """Take one owner of each frame that one of these entries points to away; entries may be 0."""
        owners, base, free = self._owners, self._base >> PGSHIFT, self._free
        for pte in filter(None, ptes):
            index = (pte >> 10) - base
            owners[index] -= 1
            if not owners[index]:
                free.append(pte >> 10 << PGSHIFT)

    def owners(self, pa: int) -> int:
        """How many owners the frame, or the superpage that begins with it, has."""
        return self._owners[pa - self._base >> PGSHIFT]

    # --- superpages ---

    def alloc_super(self) -> int:
        """The physical address of 2 MiB, aligned and zeroed, the caller's now; 0 if there are none."""
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
        """Put single free frames together where 2 MiB of them are free."""
        counts = Counter(pa >> SUPERPGSHIFT for pa in self._free)
        if SUPER_FRAMES in counts.values():
            self._free = [pa for pa in self._free if counts[pa >> SUPERPGSHIFT] < SUPER_FRAMES]
            whole = (piece << SUPERPGSHIFT for piece, count in counts.items() if count == SUPER_FRAMES)
            self._supers = sorted(whole, reverse=True)

    def free_super(self, pa: int) -> None:
        """Take one owner of a superpage away; its 2 MiB are free when it was the last."""
        assert pa % SUPERPGSIZE == 0, f"{pa:#x} is no superpage"
        self._drop(pa, self._supers)

    def split_super(self, pa: int) -> None:
        """Make the only owner of a superpage the owner of each of its frames."""
        index = pa - self._base >> PGSHIFT
        assert self._owners[index] == 1, f"superpage {pa:#x} has other owners: it cannot be split in place"
        self._owners[index : index + SUPER_FRAMES] = array("H", [1]) * SUPER_FRAMES
