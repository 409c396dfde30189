"""Who owns which page frame: page tables, caches and shared memory, read as they stand.

Made anew for each question, by the audit, which compares it with the allocator's counts, and by the console
monitor, which shows it.  It only reads.  The rules are those of kernel/mm/: a frame belongs to each entry of
a page table that names it, and to whoever else says that it holds it (`Kernel.frame_owners`); a table that
fork shares belongs to each of the processes, and what it maps belongs to the table, once.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from kernel.abi.memlayout import MAXVA, PGSHIFT, PGSIZE, TRAPFRAME
from kernel.abi.riscv import PTE_V
from kernel.kernel import Kernel
from kernel.proc import Process
from orrery.inspect.pages import INDEX_BITS, LEAF, LEVELS, TABLE_ENTRIES, target


class Leaf(NamedTuple):
    """An entry that maps memory of `p`: for address `va`, in the table at `table_pa` of `level`."""

    p: Process
    va: int
    pte: int
    level: int
    table_pa: int

    @property
    def pa(self) -> int:
        """The first frame that it maps."""
        return target(self.pte)

    @property
    def size(self) -> int:
        """How many bytes it maps."""
        return PGSIZE << INDEX_BITS * self.level

    def __str__(self) -> str:
        return f"{self.p}, at {self.va:#x}"


class FrameOwners:
    """The frame owners of `k`, as it was when this was made."""

    def __init__(self, k: Kernel) -> None:
        self._k: Final = k
        self.leaves: Final[list[Leaf]] = []  # of all processes; those of a shared table for each of them
        self.sharers: Final[dict[int, list[str]]] = {}  # whose a page table is
        self.inside: Final[dict[int, int]] = {}  # superpages, by their frames but the first
        self._owners: Final[dict[int, list[Leaf | str]]] = {}
        self._kinds: Final[dict[int, str]] = {}
        for owner in k.frame_owners:
            for pa, kind, what in owner.holdings():
                self._own(pa, kind, what)
        self._kernel()
        for p in k.procs:
            self._process(p)

    def whole(self, pa: int) -> int:
        """Where the owners of the frame at `pa` are counted: if it is in a superpage, at its first frame."""
        return self.inside.get(pa, pa)

    def owners_of(self, pa: int) -> list[str]:
        """Who owns the frame at `pa`, or the superpage that it is a part of."""
        return [self._name(owner) for owner in self._owners.get(self.whole(pa), ())]

    def _name(self, owner: Leaf | str) -> str:
        if isinstance(owner, str):
            return owner
        size = "" if owner.level == 0 else ", by a superpage"
        others = self.sharers[owner.table_pa][1:]
        return f"{owner}{size}" + (f", in a page table shared with {', '.join(others)}" if others else "")

    def kinds(self) -> Counter[str]:
        """How many frames are in use for what."""
        return Counter(self._kinds.values())

    def _own(self, pa: int, kind: str, owner: Leaf | str) -> None:
        self._owners.setdefault(pa, []).append(owner)
        self._kinds.setdefault(pa, kind)

    def _kernel(self) -> None:
        """The kernel's page table owns its tables and the stacks; the rest that it maps is for all to use."""
        k, stacks = self._k, {stack.va: stack for stack in self._k.procs.stacks}
        self._own(k.pagetable.root, "page tables", f"the kernel, {_table_text(LEVELS - 1, 0)}")
        for va, pte, level, _ in self._entries(k.pagetable.root):
            if self._is_table(pte, level):
                self._own(target(pte), "page tables", f"the kernel, {_table_text(level - 1, va)}")
            elif va in stacks:
                stack = stacks[va]
                whose = stack.thread or "no process"
                text = f"the kernel, at {va:#x}: the kernel stack of {whose}, slot {stack.slot}"
                self._own(target(pte), "kernel stacks", text)

    def _process(self, p: Process) -> None:
        self._own_table(p, p.space.root, LEVELS - 1, 0)
        for va, pte, level, table_pa in self._entries(p.space.root):
            if self._is_table(pte, level):
                self._own_table(p, target(pte), level - 1, va)
            elif va < TRAPFRAME:
                self._own_leaf(Leaf(p, va, pte, level, table_pa))

    def _own_table(self, p: Process, table: int, level: int, va: int) -> None:
        self.sharers.setdefault(table, []).append(str(p))
        self._own(table, "page tables", f"{p}, {_table_text(level, va)}")
        if len(self.sharers[table]) > 1:
            self._kinds[table] = "page tables, shared"

    def _own_leaf(self, leaf: Leaf) -> None:
        self.leaves.append(leaf)
        if len(self.sharers[leaf.table_pa]) > 1:
            return  # it is entered already, as of the first of those who share the table
        kind = "user memory" if leaf.level == 0 else "user memory in superpages"
        self._own(leaf.pa, kind, leaf)
        for pa in range(leaf.pa + PGSIZE, leaf.pa + leaf.size, PGSIZE):
            self.inside[pa] = leaf.pa
            self._kinds.setdefault(pa, kind)

    def _entries(
        self, table: int, level: int = LEVELS - 1, start: int = 0
    ) -> Iterator[tuple[int, int, int, int]]:
        """(va, pte, level, table) of the valid entries of a table and of those below it, in order of va."""
        first = table - self._k.ram.base >> 3
        for i, pte in enumerate(self._k.ram.u64[first : first + TABLE_ENTRIES].tolist()):
            va = start | i << PGSHIFT + INDEX_BITS * level
            if pte & PTE_V:
                yield va, pte, level, table
                if self._is_table(pte, level):
                    yield from self._entries(target(pte), level - 1, va)

    def _is_table(self, pte: int, level: int) -> bool:
        return level > 0 and not pte & LEAF and self._k.ram.holds(target(pte), PGSIZE)


def _table_text(level: int, va: int) -> str:
    last = va + (PGSIZE << INDEX_BITS * (level + 1)) - 1
    return f"as a page table of level {level}, for {va:#x} to {min(last, MAXVA - 1):#x}"
