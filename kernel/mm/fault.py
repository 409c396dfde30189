"""Page faults: the one place that decides which page a program was promised, and how it gets it.

Called where the hart faulted in user mode (trap.py) and where the kernel copies for a program (usercopy.py):

    at the address                   for               what is done
    an entry with PTE_COW            a store           a copy, or the frame for its last owner (cow.py)
    any other entry                                    nothing: the access is forbidden
    no entry, below `sz`             a load or store   a page of zeroes: sbrk promised it
    no entry, in a Vma               what it allows    a page of the file, or zeroes (mmap.py)
    no entry, elsewhere                                nothing: it was not promised
"""

from collections.abc import Callable
from typing import Final

from kernel.abi.memlayout import MAXVA, PGMASK, SUPERPGMASK, SUPERPGSIZE
from kernel.abi.riscv import PTE_COW, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import OutOfMemory
from kernel.mm.counts import MemoryCounts
from kernel.mm.cow import CopyOnWrite
from kernel.mm.pagetable import VirtualMemory, pgroundup
from kernel.mm.space import AddressSpace
from kernel.mm.superpage import Superpages
from kernel.mm.vma import Vma


class Pager:
    """Page faults. `page_in(space, vma, va, access)` maps a page of a mapping, where that is allowed."""

    def __init__(
        self,
        vm: VirtualMemory,
        cow: CopyOnWrite,
        superpages: Superpages,
        counts: MemoryCounts,
        page_in: Callable[[AddressSpace, Vma, int, int], bool],
    ) -> None:
        self._vm: Final = vm
        self._cow: Final = cow
        self._superpages: Final = superpages
        self._counts: Final = counts
        self._page_in: Final = page_in

    def fault(self, space: AddressSpace, va: int, access: int) -> bool:
        """Make the page at `va` of `space` ready for `access` (PTE_R, PTE_W or PTE_X); may sleep.

        False where the program may not do that, or memory is exhausted: it cannot go on.
        """
        if not 0 <= va < MAXVA:
            return False
        pte = self._vm.pte(space, va)
        try:
            if pte & PTE_V:
                if access != PTE_W or pte & (PTE_COW | PTE_U) != PTE_COW | PTE_U:
                    return False
                self._cow.break_cow(space, va)
                return True
            if va < space.sz and access != PTE_X:
                self._vm.map_new(space, va & ~PGMASK, PTE_R | PTE_W)
                self._counts.zero_filled += 1
                return True
        except OutOfMemory:
            return False
        vma = space.vmas.find(va)
        return vma is not None and self._page_in(space, vma, va, access)

    def touch(self, space: AddressSpace, va: int) -> int:
        """The PTE of the page at `va` after it was faulted in if need be; 0 where there is none.

        A region of heap of which nothing was touched yet gets a superpage, and one that fork shares is
        copied: for pgpte, by which programs look for superpages.
        """
        vm, region = self._vm, va & ~SUPERPGMASK
        if not 0 <= va < MAXVA:
            return 0
        try:
            pte = vm.pte(space, va)
            if pte & PTE_SUPER and pte & PTE_COW:
                self._cow.break_cow(space, va)
            elif not pte and region + SUPERPGSIZE <= pgroundup(space.sz):
                self._superpages.map(space, region, PTE_R | PTE_W)
        except OutOfMemory:
            return 0
        if not vm.pte(space, va):
            self.fault(space, va, PTE_R)
        return vm.pte(space, va)
