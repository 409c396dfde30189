"""Virtual memory: Sv39 page tables in guest RAM.

The page tables are the only record of what is mapped: the emulated MMU walks them, so they are read and
written in RAM, by the 64-bit word.  An index into `ram.u64` stands for the address of a PTE.

    va    38      30 29      21 20      12 11           0
         +----------+----------+----------+--------------+
         | VPN[2]   | VPN[1]   | VPN[0]   | page offset  |      a piece: the 2 MiB of one entry of level 1
         +----------+----------+----------+--------------+

Fork copies every page.  That is what the lab changes.

A heap that grows by whole pieces gets superpages, leaves of level 1 marked by PTE_SUPER.  They are split when
only a part is given back.

A new mapping needs no TLB flush, because the engine does not cache misses; one that is taken away, changes
its frame or loses rights does: this raises `PageTable.generation`, and a hart that returns to user mode then
flushes (trap.py).  Nothing is both writable and executable, except a segment whose ELF file asks for both.
"""


class VirtualMemory:
    def protect(self, pagetable: PageTable, low: int, high: int, perm: int, *, private: bool) -> None:
        """Give the pages of [low, high) that are mapped the rights `perm` (0: nobody's); raises OutOfMemory.

        A private page that becomes writable is a frame of its own from then on.
        """
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(self.leaves(pagetable, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and self._frames.owners(pa_of(old)) > 1:
                new = self._copy_page(new)
                self._frames.free(pa_of(old))
            self._u64[self.walk(pagetable, va, own=True)] = new
            if perm & PTE_X:
                self._drop_code(pa_of(new), pa_of(new) + PGSIZE)
            pagetable.generation += 1

    def copy(self, source: PageTable, target: PageTable, low: int, high: int, sp: int = -1) -> None:
        """Give `target` a copy of the memory [low, high) of `source`, as fork does.

        `sp` is where the program's stack is: both processes will write there next. On OutOfMemory `target`
        is left without memory.
        """
        try:
            for va, _, pte in list(self.leaves(source, low, high)):
                at = self._entry(target, va)
                whole = self._frames.alloc_super() if pte & PTE_SUPER else 0
                if whole:
                    self._copy(pa_of(pte), whole, SUPERPGSIZE)
                    self._u64[at] = whole >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS
                    continue
                for i in range(TABLE_WORDS if pte & PTE_SUPER else 1):
                    page = self._copy_page((pte & ~PTE_SUPER) + (i << PPN_SHIFT))
                    self._u64[self.walk(target, va + (i << PGSHIFT), own=True)] = page
        except OutOfMemory:
            self.unmap(target, low, high)
            raise

    def _split(self, pagetable: PageTable, index: int) -> None:
        """Let the piece with this entry have a table, with single pages; raises OutOfMemory."""
        pte = self._u64[index]
        if not pte & PTE_SUPER:
            return
        table = self.create()
        self._frames.split_super(pa_of(pte))
        self._fill_table(table - self._base >> 3, pa_of(pte), TABLE_WORDS, pte & PTE_FLAGS & ~PTE_SUPER)
        self._u64[index] = table >> PA_FROM_PTE_SHIFT | PTE_V
        pagetable.generation += 1
