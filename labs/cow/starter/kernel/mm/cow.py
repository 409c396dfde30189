"""Fork copies the memory of a process.

Every page is copied, at once.  That is what the lab changes.  `VirtualMemory` in pagetable.py has what it
takes to walk tables and to write entries; superpages (PTE_SUPER) are in superpage.py.
"""


class CopyOnWrite:
    def copy(self, source: PageTable, target: PageTable, low: int, high: int, sp: int = -1) -> None:
        """Give `target` a copy of the memory [low, high) of `source`, as fork does.

        `sp` is where the program's stack is: both processes will write there next. On OutOfMemory `target`
        is left without memory.
        """
        vm = self._vm
        try:
            for va, _, pte in list(vm.leaves(source, low, high)):
                at = vm.entry(target, va)
                whole = self._frames.alloc_super() if pte & PTE_SUPER else 0
                if whole:
                    self._ram.view(whole, SUPERPGSIZE)[:] = self._ram.view(pa_of(pte), SUPERPGSIZE)
                    vm.write(at, pte - pa_of(pte) // 4 + whole // 4)
                    continue
                for i in range(TABLE_WORDS if pte & PTE_SUPER else 1):
                    page = vm.copy_page((pte & ~PTE_SUPER) + (i << PPN_SHIFT))
                    vm.write(vm.walk(target, va + (i << PGSHIFT), own=True), page)
        except OutOfMemory:
            vm.unmap(target, low, high)
            raise
