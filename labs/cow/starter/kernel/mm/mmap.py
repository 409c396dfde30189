class Mmap:
    def _map(self, space: AddressSpace, vma: Vma, page: int, pa: int, access: int) -> None:
        """Map a frame, or a copy of it where stores are private, and neighbours that are in memory too."""
        perm = rights(vma.prot)
        if perm & PTE_W and not vma.shared:
            self._frames.share(pa)  # so that it stays while memory is looked for
            try:
                own = self._vm.map_new(space, page, perm)
                self._ram.view(own, PGSIZE)[:] = self._ram.view(pa, PGSIZE)
            finally:
                self._frames.free(pa)
            self._counts.paged_in += vma.ip is not None
            return
        self._vm.map_shared(space, page, pa, perm)
        low, high = max(page & -AROUND, vma.start), min((page & -AROUND) + AROUND, vma.end)
        frames = [vma.pages.get(i, 0) for i in range(vma.page_index(low), vma.page_index(high))]
        mapped = self.map_missing(space, low, frames, perm)
        for new in (pa, *mapped) if perm & PTE_X else ():
            self._drop_code(new, new + PGSIZE)
        self._counts.paged_in += vma.ip is not None
        self._counts.mapped_around += len(mapped)

    def protect_pages(self, space: AddressSpace, low: int, high: int, perm: int, *, private: bool) -> None:
        """Give the pages of [low, high) that are mapped the rights `perm` (0: nobody's); raises OutOfMemory.

        A private page that becomes writable is a frame of its own from then on.
        """
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(self._vm.leaves(space, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and self._frames.owners(pa_of(old)) > 1:
                new = self._vm.copy_page(new)
                self._frames.free(pa_of(old))
            self._vm.write(self._vm.walk(space, va, own=True), new)
            if perm & PTE_X:
                self._drop_code(pa_of(new), pa_of(new) + PGSIZE)
            space.generation += 1
