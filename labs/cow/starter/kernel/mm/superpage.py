"""Superpages: 2 MiB of a heap behind one entry of level 1, a leaf marked by PTE_SUPER.

A heap that grows by whole regions gets them while there are any (`VirtualMemory.grow`), and pgpte asks for
one.  Where only a part of one is given back, single pages take its place.
"""


class Superpages:
    def split(self, pagetable: PageTable, index: int) -> None:
        """Put a table with single pages in place of the superpage with this entry; raises OutOfMemory."""
        pte = self._u64[index]
        table = self._vm.create()
        self._frames.split_super(pa_of(pte))
        self._vm.map_run(table - self._base >> 3, pa_of(pte), TABLE_WORDS, pte & PTE_FLAGS & ~PTE_SUPER)
        self._vm.write(index, table >> PA_FROM_PTE_SHIFT | PTE_V)
        pagetable.generation += 1
