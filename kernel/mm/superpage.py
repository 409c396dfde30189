"""Superpages: 2 MiB of a heap behind one entry of level 1, a leaf marked by PTE_SUPER.

A heap that grows by whole regions gets them while there are any (`VirtualMemory.grow`), and pgpte asks for
one.  Fork shares them as it shares pages (cow.py).  The owners of a superpage are counted at its first frame;
where only a part of one is given back or memory is too fragmented for a copy, single pages take its place.
"""

from typing import Final

from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE, SUPERPGMASK, SUPERPGSIZE
from kernel.abi.riscv import PTE_COW, PTE_FLAGS, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import OutOfMemory
from kernel.mm.counts import MemoryCounts
from kernel.mm.kalloc import ZERO_PAGE, FrameAllocator
from kernel.mm.pagetable import (
    LEAF,
    PA_FROM_PTE_SHIFT,
    PPN_SHIFT,
    TABLE_WORDS,
    PageTable,
    VirtualMemory,
    pa_of,
)


class Superpages:
    """Making, copying and splitting superpages."""

    def __init__(self, ram: Ram, frames: FrameAllocator, vm: VirtualMemory, counts: MemoryCounts) -> None:
        self._ram: Final = ram
        self._u64: Final = ram.u64
        self._base: Final = ram.base
        self._frames: Final = frames
        self._vm: Final = vm
        self._counts: Final = counts

    def map(self, pagetable: PageTable, va: int, perm: int) -> bool:
        """Map a zeroed superpage at `va` for the user, where nothing of the region is mapped; else False."""
        assert not va & SUPERPGMASK and not perm & PTE_X, "superpages are aligned, and hold no text"
        index = self._vm.entry(pagetable, va)
        entry = self._u64[index]
        table = pa_of(entry)
        empty = not entry or (not entry & LEAF and self._ram.view(table, PGSIZE) == ZERO_PAGE)
        pa = self._frames.alloc_super() if empty else 0
        if not pa:
            return False
        if entry:
            self._frames.free(table)
            pagetable.generation += 1
        self._vm.write(index, pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V | PTE_SUPER)
        return True

    def break_cow(self, pagetable: PageTable, index: int) -> None:
        """Let the COW superpage with this entry be written; raises OutOfMemory.

        The last owner takes it, another gets a copy: one of single pages where there are no 2 MiB in a row.
        """
        pte = self._u64[index]
        pa = pa_of(pte)
        if self._frames.owners(pa) > 1:
            copy = self._frames.alloc_super()
            if not copy:
                self.split(pagetable, index)
                return
            self._ram.view(copy, SUPERPGSIZE)[:] = self._ram.view(pa, SUPERPGSIZE)
            self._frames.free_super(pa)
            self._counts.cow_copied += TABLE_WORDS
            pte = copy >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS
            pagetable.generation += 1
        else:
            self._counts.cow_taken += TABLE_WORDS
        self._vm.write(index, pte ^ PTE_COW | PTE_W)

    def split(self, pagetable: PageTable, index: int) -> None:
        """Put a table with single pages in place of the superpage with this entry; raises OutOfMemory.

        One that others share is copied, because its owners are counted for the whole of it.
        """
        pte = self._u64[index]
        pa = pa_of(pte)
        table = self._vm.create()
        if self._frames.owners(pa) == 1:
            self._frames.split_super(pa)
            self._vm.map_run(table - self._base >> 3, pa, TABLE_WORDS, pte & PTE_FLAGS & ~PTE_SUPER)
        else:
            self._copy_pages(pte, table)
            self._frames.free_super(pa)
        self._vm.write(index, table >> PA_FROM_PTE_SHIFT | PTE_V)
        pagetable.generation += 1

    def _copy_pages(self, pte: int, table: int) -> None:
        """Fill an empty table with copies of the pages of a superpage; on OutOfMemory it is freed."""
        at = table - self._base >> 3
        page = pte & ~PTE_SUPER
        if page & PTE_COW:
            page = page ^ PTE_COW | PTE_W
        try:
            for i in range(TABLE_WORDS):
                self._vm.write(at + i, self._vm.copy_page(page + (i << PPN_SHIFT)))
        except OutOfMemory:
            self._frames.free_all(self._vm.ptes(table, TABLE_WORDS))
            self._frames.free(table)
            raise
