"""Page faults: the one place where it is decided which page a program was promised, and how it gets it.

Called where the hart faulted in user mode (trap.py) and where the kernel copies for a program (usercopy.py):

    at the address                   for               what is done
    an entry                                           nothing: the program did what it may not
    no entry, below `sz`             a load or store   a page of zeroes: sbrk promised it
    no entry, in a Vma               what it allows    a page of the file, or zeroes (mmap.py)
    no entry, elsewhere                                nothing: it was not promised
"""


class Pager:
    def fault(self, space: AddressSpace, va: int, access: int) -> bool:
        """Make the page at `va` of `space` ready for `access` (PTE_R, PTE_W or PTE_X); may sleep.

        False where the program may not do that, or memory is exhausted: it cannot go on.
        """
        if not 0 <= va < MAXVA:
            return False
        if self._vm.pte(space, va) & PTE_V:
            return False
        try:
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

        A region of heap of which nothing was touched yet gets a superpage: for pgpte, by which programs look
        for superpages.
        """
        vm, region = self._vm, va & ~SUPERPGMASK
        if not 0 <= va < MAXVA:
            return 0
        try:
            if not vm.pte(space, va) and region + SUPERPGSIZE <= pgroundup(space.sz):
                self._superpages.map(space, region, PTE_R | PTE_W)
        except OutOfMemory:
            return 0
        if not vm.pte(space, va):
            self.fault(space, va, PTE_R)
        return vm.pte(space, va)
