"""Address spaces: the memory of one process.

An `AddressSpace` is the page table that the hart walks, and beside it what the process was promised but does
not have yet.  A process begins with an empty one, fork fills it from the parent's, and exec puts another in
its place.

    0              sz                             MMAP_TOP
    | program, heap -> |  ...  <- mappings | b | a | guard page | what the kernel maps |

The pages below `sz` are the program's, its stack's and its heap's; those in `vmas` are what mmap gave.  Only
the page table says which of them are present.
"""

from typing import Final

from kernel.abi.memlayout import TRAPFRAME, USYSCALL
from kernel.mm.pagetable import PageTable
from kernel.mm.vma import NOTHING_MAPPED


class AddressSpace(PageTable):
    """A page table, how far the heap goes and what is mapped above it."""

    __slots__ = ("sz", "unmapped", "usyscall_pa", "vmas")

    def __init__(self, root: int = 0, usyscall_pa: int = 0) -> None:
        super().__init__(root)
        self.usyscall_pa: Final = usyscall_pa  # of the page at USYSCALL, where the machine has that; else 0
        self.sz = 0  # bytes of program, stack and heap
        self.vmas = NOTHING_MAPPED  # above them
        self.unmapped: tuple[tuple[int, int], ...] = ()  # the last few ranges given to munmap, for a report

    @property
    def heap_max(self) -> int:
        """Where the heap must end: at the lowest mapping, or at what the kernel maps."""
        return self.vmas[0].start if self.vmas else USYSCALL if self.usyscall_pa else TRAPFRAME
