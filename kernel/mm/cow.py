"""Copy on write: fork copies no page; each is copied at the first store to it.

Both processes keep the frame and neither may write; PTE_COW says that the program may.  The store then faults
(fault.py), and `break_cow` copies the page for the writer.  The last owner takes the frame as it is.

    parent, child   --D-U-WR  ->  -CD-U--R   one frame, two owners, after `copy`
    the writer      --D-U-WR      its own copy
    the other       -CD-U--R      one owner: at its next store   --D-U-WR

Where a table maps a whole region, fork does not even copy the table: it is shared, all its pages being
read-only, and is copied before an entry changes for one of its owners (`VirtualMemory.walk` with own=True).
Superpages are shared as pages are (superpage.py).
"""

from typing import Final

from emu.ram import Ram
from kernel.abi.memlayout import PGSHIFT, PGSIZE, SUPERPGSIZE
from kernel.abi.riscv import PTE_COW, PTE_SUPER, PTE_W
from kernel.errors import OutOfMemory
from kernel.mm.counts import MemoryCounts
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.pagetable import LEAF, PPN_SHIFT, TABLE_WORDS, PageTable, VirtualMemory, pa_of
from kernel.mm.superpage import Superpages

COW_FROM_W_SHIFT: Final = 6  # from bit PTE_W to bit PTE_COW
TABLE_W: Final = sum(PTE_W << 64 * i for i in range(TABLE_WORDS))  # PTE_W in each entry of a table
TAKE_AROUND: Final = 16  # pages whose last owner takes them at one fault


class CopyOnWrite:
    """What fork does to memory, and what a store to such memory does."""

    def __init__(
        self,
        ram: Ram,
        frames: FrameAllocator,
        vm: VirtualMemory,
        superpages: Superpages,
        counts: MemoryCounts,
    ) -> None:
        self._ram: Final = ram
        self._u64: Final = ram.u64
        self._base: Final = ram.base
        self._frames: Final = frames
        self._vm: Final = vm
        self._superpages: Final = superpages
        self._counts: Final = counts

    # --- fork ---

    def copy(self, source: PageTable, target: PageTable, low: int, high: int, sp: int = -1) -> None:
        """Give `target` the memory [low, high) of `source`, copied on write, as fork does.

        The page at `sp` is copied at once: both processes will write there next. On OutOfMemory `target`
        is left without memory.
        """
        vm = self._vm
        try:
            for region, index, entry in vm.regions(source, low, high):
                if entry & LEAF:
                    self._share_superpage(source, target, region, index)
                elif low <= region and (end := region + SUPERPGSIZE) <= high and not region <= sp < end:
                    self._share_table(source, target, region, entry)
                else:
                    self._share_pages(source, target, region, entry, vm.rows(region, low, high))
            if low <= sp < high and vm.pte(target, sp) & (PTE_COW | PTE_SUPER) == PTE_COW:
                self.break_cow(target, sp)
                self.break_cow(source, sp)
        except OutOfMemory:
            vm.unmap(target, low, high)
            raise

    def _share_superpage(self, source: PageTable, target: PageTable, va: int, index: int) -> None:
        at = self._vm.entry(target, va)
        pte = self._u64[index]
        self._frames.share(pa_of(pte))
        pte = pte & ~PTE_W | (pte & PTE_W) << COW_FROM_W_SHIFT
        self._vm.write(at, pte)
        self._vm.write(index, pte)
        source.generation += 1

    def _share_table(self, source: PageTable, target: PageTable, va: int, entry: int) -> None:
        """Share a table whole: what could be written in it becomes COW, in all entries at once."""
        at = self._vm.entry(target, va)
        table = pa_of(entry)
        self._frames.share(table)
        self._vm.write(at, entry)
        words = int.from_bytes(self._ram.view(table, PGSIZE), "little")
        writable = words & TABLE_W
        if writable:
            words = words ^ writable | writable << COW_FROM_W_SHIFT
            self._vm.write_table(table, words.to_bytes(PGSIZE, "little"))
            source.generation += 1

    def _share_pages(
        self, source: PageTable, target: PageTable, region: int, entry: int, rows: tuple[int, int]
    ) -> None:
        """Share the pages of some rows of a table, which the target then has a table for."""
        there = self._vm.walk(target, region, own=True) + rows[0]
        here = (pa_of(entry) - self._base >> 3) + rows[0]
        old = self._u64[here : here + rows[1] - rows[0]].tolist()
        new = [pte ^ PTE_W | PTE_COW if pte & PTE_W else pte for pte in old]
        self._frames.share_all(new)
        self._vm.write_row(there, new)
        if new != old:
            self._vm.write_row(here, new)
            source.generation += 1

    # --- a store ---

    def break_cow(self, pagetable: PageTable, va: int) -> None:
        """Let the COW page at `va` be written: the last owner takes the frame, another gets a copy.

        Raises OutOfMemory.
        """
        index = self._vm.walk(pagetable, va, own=True)
        pte = self._u64[index]
        assert pte & PTE_COW, f"{va:#x} is not copied on write"
        if pte & PTE_SUPER:
            self._superpages.break_cow(pagetable, index)
        elif self._frames.owners(pte >> PPN_SHIFT << PGSHIFT) == 1:
            self._take_around(index, va)
        else:
            self._vm.write(index, self._vm.copy_page(pte) ^ PTE_COW | PTE_W)
            self._frames.free(pa_of(pte))
            self._counts.cow_copied += 1
            pagetable.generation += 1

    def _take_around(self, index: int, va: int) -> None:
        """Take the page with this entry, and those of its neighbours that have no other owner either."""
        owners = self._frames.owners
        first = index - (va >> PGSHIFT) % TAKE_AROUND
        for at, pte in enumerate(self._u64[first : first + TAKE_AROUND].tolist(), first):
            if pte & PTE_COW and owners(pte >> PPN_SHIFT << PGSHIFT) == 1:
                self._vm.write(at, pte ^ PTE_COW | PTE_W)
                self._counts.cow_taken += 1

    def own_page(self, pagetable: PageTable, va: int) -> None:
        """Give the address space a frame of its own for the page at `va`, as it is; raises OutOfMemory."""
        index = self._vm.walk(pagetable, va, own=True)
        pte = self._u64[index]
        if not pte & PTE_SUPER and self._frames.owners(pa_of(pte)) > 1:
            self._vm.write(index, self._vm.copy_page(pte))
            self._frames.free(pa_of(pte))
            pagetable.generation += 1
