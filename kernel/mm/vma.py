"""The mappings of one address space: what backs which addresses, and with which rights.

A Vma is what a call of mmap made, or the part of it that later calls left; its pages are all of one kind:

    mmap(RW)      |             RW             |
    mprotect(R)   |   RW   |   R    |    RW    |
    munmap        |   RW   | R |        |  RW  |

A VmaList holds those of an address space, sorted, without overlaps, and with adjacent ones merged where they
continue each other.  Both are values: an operation returns a new list, or fails (for more than NVMA mappings)
without having changed anything.  Nothing here knows of page tables or files; mmap.py keeps both up to date.
"""

from collections.abc import Iterable
from errno import ENOMEM
from typing import Final, NamedTuple

from kernel.abi.fcntl import MAP_SHARED
from kernel.abi.memlayout import MAXVA, PGMASK, PGSHIFT
from kernel.abi.param import NVMA
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode


class SharedMemory:
    """Behind MAP_SHARED | MAP_ANONYMOUS: the frames touched so far, owned as long as it has `mappings`."""

    def __init__(self) -> None:
        self.pages: Final[dict[int, int]] = {}  # frame by page index
        self.mappings = 0


class Vma(NamedTuple):
    """The pages of [start, end): of the file `ip`, of `memory`, or zeroes of the process's own.

    `offset` is where `start` is in the backing object; for private zeroes it is the address itself.
    """

    start: int
    end: int
    prot: int  # PROT_READ, PROT_WRITE, PROT_EXEC: what the program may do now
    flags: int  # MAP_SHARED or MAP_PRIVATE, and MAP_ANONYMOUS
    ip: Inode | None = None
    offset: int = 0
    memory: SharedMemory | None = None
    may_write: bool = True  # whether PROT_WRITE may be asked for

    @property
    def shared(self) -> bool:
        """Whether stores are seen by all processes that map the same."""
        return bool(self.flags & MAP_SHARED)

    @property
    def writes_file(self) -> bool:
        """Whether stores can reach a file."""
        return self.ip is not None and self.shared and self.may_write

    @property
    def pages(self) -> dict[int, int]:
        """The frames of the backing object that are in memory, by page index."""
        behind = self.ip or self.memory
        return behind.pages if behind is not None else {}

    def page_index(self, va: int) -> int:
        """Which page of the backing object is at `va`."""
        return va - self.start + self.offset >> PGSHIFT

    def part(self, low: int, high: int) -> "Vma":
        """What of it is in [low, high); empty (start >= end) where that is nothing."""
        if low <= self.start and self.end <= high:
            return self
        start = max(self.start, low)
        return self._replace(start=start, end=min(self.end, high), offset=self.offset + start - self.start)

    def continued_by(self, other: "Vma") -> bool:
        """Whether `other` follows immediately, in memory and in the backing object, and is alike."""
        touch = self.end == other.start and self.prot == other.prot  # fast path: most differ here
        return touch and self._replace(end=other.end).part(self.end, other.end) == other


class VmaList(tuple[Vma, ...]):
    """The mappings of a process, in order of their addresses."""

    def __new__(cls, vmas: Iterable[Vma] = ()) -> "VmaList":
        merged: list[Vma] = []
        for vma in sorted(vmas, key=lambda vma: vma.start):
            assert not (vma.start | vma.end | vma.offset) & PGMASK and vma.start < vma.end, "whole pages"
            assert not merged or merged[-1].end <= vma.start, f"two mappings at {vma.start:#x}"
            if merged and merged[-1].continued_by(vma):
                merged[-1] = merged[-1]._replace(end=vma.end)
            else:
                merged.append(vma)
        if len(merged) > NVMA:
            raise SyscallError(ENOMEM, f"a process has at most {NVMA} mappings")
        return super().__new__(cls, merged)

    def find(self, va: int) -> Vma | None:
        """The mapping in which `va` is."""
        return next((vma for vma in self if vma.start <= va < vma.end), None)

    def parts(self, low: int, high: int) -> list[Vma]:
        """What of the mappings is in [low, high)."""
        return [vma.part(low, high) for vma in self if max(vma.start, low) < min(vma.end, high)]

    def cover(self, low: int, high: int) -> bool:
        """Whether [low, high) has no hole."""
        return sum(part.end - part.start for part in self.parts(low, high)) == high - low

    def gap(self, size: int, low: int, high: int) -> int:
        """Where the highest `size` free bytes of [low, high) begin; -1 where there are none."""
        for vma in reversed(self):
            if high - vma.end >= size:
                break
            high = min(high, vma.start)
        return high - size if high - size >= low else -1

    def insert(self, *vmas: Vma) -> "VmaList":
        """With `vmas`, whose addresses are free."""
        return VmaList((*self, *vmas))

    def remove(self, low: int, high: int) -> "VmaList":
        """Without what is in [low, high)."""
        return VmaList((*self.parts(0, low), *self.parts(high, MAXVA)))

    def protect(self, low: int, high: int, prot: int) -> "VmaList":
        """With the rights `prot` in [low, high)."""
        return self.remove(low, high).insert(*(part._replace(prot=prot) for part in self.parts(low, high)))


NOTHING_MAPPED: Final = VmaList()
