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
        mapped = k.vm.map_missing(space, low, frames, perm)
        for new in (pa, *mapped) if perm & PTE_X else ():
            k.drop_code(new, new + PGSIZE)
        k.counts.paged_in += vma.ip is not None
        k.counts.mapped_around += len(mapped)
