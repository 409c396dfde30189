class Mmap:
    def _map(self, space: AddressSpace, vma: Vma, page: int, pa: int, access: int) -> None:
        """Map a frame, or a copy of it where stores are private, and neighbours that are in memory too."""
        k, perm = self._k, rights(vma.prot)
        if perm & PTE_W and not vma.shared:
            k.frames.share(pa)  # so that it stays while memory is looked for
            try:
                own = k.vm.map_new(space, page, perm)
                k.ram.view(own, PGSIZE)[:] = k.ram.view(pa, PGSIZE)
            finally:
                k.frames.free(pa)
            k.counts.paged_in += vma.ip is not None
            return
        k.vm.map_shared(space, page, pa, perm)
        low, high = max(page & -AROUND, vma.start), min((page & -AROUND) + AROUND, vma.end)
        frames = [vma.pages.get(i, 0) for i in range(vma.page_index(low), vma.page_index(high))]
        mapped = self.map_missing(space, low, frames, perm)
        for new in (pa, *mapped) if perm & PTE_X else ():
            k.drop_code(new, new + PGSIZE)
        k.counts.paged_in += vma.ip is not None
        k.counts.mapped_around += len(mapped)

    def protect_pages(self, space: AddressSpace, low: int, high: int, perm: int, *, private: bool) -> None:
        """Give the pages of [low, high) that are mapped the rights `perm` (0: nobody's); raises OutOfMemory.

        A private page that becomes writable is a frame of its own from then on.
        """
        k = self._k
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(k.vm.leaves(space, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and k.frames.owners(pa_of(old)) > 1:
                new = k.vm.copy_page(new)
                k.frames.free(pa_of(old))
            k.vm.write(k.vm.walk(space, va, own=True), new)
            if perm & PTE_X:
                k.drop_code(pa_of(new), pa_of(new) + PGSIZE)
            space.generation += 1
