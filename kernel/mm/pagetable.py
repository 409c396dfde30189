"""Page tables: Sv39 tables in guest RAM, the walk through them, and the one place where an entry is written.

The tables are the only record of what is mapped: the emulated MMU walks them, so they are read and written in
RAM, by the 64-bit word.  An index into `ram.u64` stands for the address of an entry (PTE).

    va    38      30 29      21 20      12 11           0
         +----------+----------+----------+--------------+
         | VPN[2]   | VPN[1]   | VPN[0]   | page offset  |   a region: the 2 MiB of an entry of level 1
         +----------+----------+----------+--------------+

Called for the kernel's own table (kernel.py), by exec and sbrk, and by the layers above, which read entries
for themselves and have them written here: fault.py, cow.py (memory that fork shares), superpage.py, mmap.py.

A table may have several owners after a fork.  Code that writes an entry gets its index from `walk` with
own=True, which first gives the address space a table of its own.

A new mapping needs no TLB flush, because the engine does not cache misses; one that is taken away, changes
its frame or loses rights does: this raises `PageTable.generation`, and a hart that returns to user mode then
flushes (trap.py).  Nothing is both writable and executable, except a segment whose ELF file asks for both.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeAlias

from emu.ram import Ram
from kernel.abi.memlayout import (
    MAXVA,
    PGMASK,
    PGSHIFT,
    PGSIZE,
    SUPERPGMASK,
    SUPERPGSHIFT,
    SUPERPGSIZE,
    TRAMPOLINE,
)
from kernel.abi.riscv import PTE_A, PTE_D, PTE_FLAGS, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X, SATP_SV39
from kernel.errors import OutOfMemory
from kernel.mm.kalloc import ZERO_PAGE, FrameAllocator

PPN_SHIFT: Final = 10
TABLE_WORDS: Final = 512
ROOT_WORDS: Final = MAXVA >> 30  # entries of a root; the rest would be for addresses that Sv39 sign-extends
LEAF: Final = PTE_R | PTE_W | PTE_X
PA_FROM_PTE_SHIFT: Final = 2  # (pte >> 10) << 12, once the flags are masked off
NO_ENTRIES: Final = memoryview(array("Q", bytes(PGSIZE)))
END_WORDS: Final = 4  # of a table, at either end: most tables are used nowhere else


def pgroundup(n: int) -> int:
    """`n` rounded up to whole pages."""
    return n + PGMASK & ~PGMASK


def satp_of(root: int) -> int:
    """The value of satp that makes the table with this root the one in force."""
    return SATP_SV39 | root >> PGSHIFT


def pa_of(pte: int) -> int:
    """The physical address of what an entry points to."""
    return pte >> PPN_SHIFT << PGSHIFT


def byte_at(pte: int, va: int) -> int:
    """The physical address of `va`, which this leaf maps."""
    return (pte >> PPN_SHIFT << PGSHIFT) + (va & (SUPERPGMASK if pte & PTE_SUPER else PGMASK))


class PageTable:
    """A page table: where its root is, and how often it took something away.

    `generation` goes up when a mapping goes, loses a right or changes its frame.  A hart whose TLB has this
    table's translations remembers it, and flushes them before it uses the table at another generation.
    """

    __slots__ = ("generation", "root", "satp")

    def __init__(self, root: int) -> None:
        self.root: Final = root  # its physical address; 0 for none
        self.satp: Final = satp_of(root) if root else 0
        self.generation = 0


Entry: TypeAlias = tuple[int, int, int]
"""(va, index, pte): the address that the entry is for, where it stands, what it is."""


class LargePages(Protocol):
    """The superpages that a heap may have (superpage.py), as far as this file needs them."""

    def map(self, pagetable: PageTable, va: int, perm: int) -> bool:
        """Map 2 MiB of zeroes at `va` for the user; False where that cannot be."""

    def split(self, pagetable: PageTable, index: int) -> None:
        """Replace this leaf of level 1 by a table of single pages; raises OutOfMemory."""


class VirtualMemory:
    """Operations on page tables.

    `drop_code(low_pa, high_pa)` drops the engine's translations of code in a range; it is called for every
    frame that becomes executable.  `superpages` is set by kernel.py; without it there are none.
    """

    def __init__(self, ram: Ram, frames: FrameAllocator, drop_code: Callable[[int, int], None]) -> None:
        self._ram: Final = ram
        self._u64: Final = ram.u64
        self._bytes: Final = ram.bytes
        self._base: Final = ram.base
        self._frames: Final = frames
        self._drop_code: Final = drop_code
        self.superpages: LargePages | None = None

    # --- the walk, and writing entries ---

    def walk(self, pagetable: PageTable, va: int, *, own: bool = False) -> int:
        """Index of the leaf PTE for `va` (of level 1 for a superpage), or -1 where a table is missing.

        With `own`, missing tables are made and a shared one is copied first, so that the entry may be
        written; OutOfMemory where there is no frame for that.
        """
        assert 0 <= va < MAXVA, f"walk: {va:#x} is no virtual address"
        u64, base = self._u64, self._base
        index = (pagetable.root - base >> 3) + (va >> 30)
        pte = u64[index]
        if not pte & PTE_V:
            if not own:
                return -1
            pte = self._add_table(index)
        index = ((pte >> PPN_SHIFT << PGSHIFT) - base >> 3) + (va >> SUPERPGSHIFT & 0x1FF)
        pte = u64[index]
        if not pte & PTE_V:
            if not own:
                return -1
            pte = self._add_table(index)
        elif pte & LEAF:
            return index
        elif own and self._frames.owners(pte >> PPN_SHIFT << PGSHIFT) > 1:
            pte = self.unshare(index)
        return ((pte >> PPN_SHIFT << PGSHIFT) - base >> 3) + (va >> PGSHIFT & 0x1FF)

    def _add_table(self, index: int) -> int:
        pte = self._u64[index] = self.create() >> PA_FROM_PTE_SHIFT | PTE_V
        return pte

    def unshare(self, index: int) -> int:
        """Give the address space with this entry of level 1 its own copy of the table it points to."""
        shared = pa_of(self._u64[index])
        own = self._frames.alloc_copy(shared)
        self._frames.share_all(self.ptes(own, TABLE_WORDS))
        self._frames.free(shared)
        pte = self._u64[index] = own >> PA_FROM_PTE_SHIFT | PTE_V
        return pte

    def write(self, index: int, pte: int) -> None:
        """Write one entry. For the layers above; one that takes something away raises `generation`."""
        self._u64[index] = pte

    def write_row(self, index: int, ptes: Iterable[int]) -> None:
        """Write the entries from `index` on, which are in one table."""
        row = memoryview(array("Q", ptes))
        self._u64[index : index + len(row)] = row

    def write_table(self, table: int, words: bytes) -> None:
        """Write a whole table."""
        self._ram.view(table, PGSIZE)[:] = words

    def pte(self, pagetable: PageTable, va: int) -> int:
        """The leaf PTE for `va`; 0 where there is none."""
        index = self.walk(pagetable, va)
        return self._u64[index] if index >= 0 else 0

    def create(self) -> int:
        """A frame of zeroes, which is an empty table too; raises OutOfMemory."""
        pa = self._frames.alloc_zeroed()
        if not pa:
            raise OutOfMemory
        return pa

    def mappage(self, pagetable: PageTable, va: int, pa: int, perm: int) -> None:
        """Map the page at `va` to the frame at `pa`; raises OutOfMemory. The page must not be mapped."""
        index = self.walk(pagetable, va, own=True)
        assert not self._u64[index] & PTE_V, f"remap of {va:#x}"
        self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_V

    def map_range(self, pagetable: PageTable, va: int, pa: int, size: int, perm: int) -> None:
        """Map [va, va+size) to [pa, pa+size), whole pages, a table at a time. For the kernel's own map."""
        assert not (va | pa | size) & PGMASK, "mappings are whole pages"
        done = 0
        while done < size:
            index = self.walk(pagetable, va + done, own=True)
            pages = min(TABLE_WORDS - (va + done >> PGSHIFT) % TABLE_WORDS, (size - done) >> PGSHIFT)
            self.map_run(index, pa + done, pages, perm)
            done += pages << PGSHIFT

    def map_run(self, index: int, pa: int, pages: int, perm: int) -> None:
        """Write entries from `index` on, in one table, for `pages` frames that follow each other."""
        step = PGSIZE >> PA_FROM_PTE_SHIFT
        first = pa >> PA_FROM_PTE_SHIFT | perm | PTE_V
        self.write_row(index, range(first, first + pages * step, step))

    def regions(self, pagetable: PageTable, low: int, high: int) -> list[Entry]:
        """The entries of level 1 that there are for [low, high), in order of va."""
        root, found = pagetable.root - self._base >> 3, []
        first, last = low >> SUPERPGSHIFT, high + SUPERPGMASK >> SUPERPGSHIFT if low < high else 0
        top, end = first // TABLE_WORDS, -(-last // TABLE_WORDS)
        for i, middle in enumerate(self._u64[root + top : root + end].tolist(), top):
            if middle:
                zero = (pa_of(middle) - self._base >> 3) - i * TABLE_WORDS  # where region 0 would be
                if last - first == 1:  # fast path: most processes have one
                    pte = self._u64[zero + first]
                    return [(first << SUPERPGSHIFT, zero + first, pte)] if pte else []
                begin, stop = max(first, i * TABLE_WORDS), min(last, (i + 1) * TABLE_WORDS)
                entries = self._used(zero + begin, zero + stop)
                found += [(index - zero << SUPERPGSHIFT, index, pte) for index, pte in entries]
        return found

    def _used(self, first: int, last: int) -> list[tuple[int, int]]:
        """(index, pte) of the nonzero entries with an index in [first, last), all in one table."""
        u64, spans = self._u64, self._spans(first, last)
        return [entry for low, high in spans for entry in enumerate(u64[low:high].tolist(), low) if entry[1]]

    def _spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """The index ranges to search for these: one, or the two ends where all between is zero."""
        low, high = first + END_WORDS, last - END_WORDS
        if low < high and bytes(self._bytes[8 * low : 8 * high]) == ZERO_PAGE[: 8 * (high - low)]:
            return [(first, low), (high, last)]
        return [(first, last)]

    def leaves(self, pagetable: PageTable, low: int, high: int) -> Iterator[Entry]:
        """The leaves that map pages in [low, high), in order of va.

        The cost depends on what is mapped, not on the range. A superpage is one leaf, at its first page.
        """
        for region, index, entry in self.regions(pagetable, low, high):
            if entry & LEAF:
                yield region, index, entry
            else:
                first, last = self.rows(region, low, high)
                table = pa_of(entry) - self._base >> 3
                for at, pte in self._used(table + first, table + last):
                    yield region + (at - table << PGSHIFT), at, pte

    def rows(self, region: int, low: int, high: int) -> tuple[int, int]:
        """The rows of a region's table that are for [low, high): the first, and the last plus one."""
        first = low - region >> PGSHIFT if low > region else 0
        return first, high - region + PGMASK >> PGSHIFT if high < region + SUPERPGSIZE else TABLE_WORDS

    # --- user memory ---

    def create_user(self, trapframe_pa: int, trampoline_pa: int, usyscall_pa: int = 0) -> int:
        """The root of a new page table: the kernel's pages at the top, no user memory; raises OutOfMemory."""
        root = self.create()
        try:
            index = self.walk(PageTable(root), TRAMPOLINE, own=True)
        except OutOfMemory:
            self._free_tables(root)
            raise
        # Below the trampoline's entry is that of the trapframe, and below that USYSCALL's.
        self._u64[index] = trampoline_pa >> PA_FROM_PTE_SHIFT | PTE_R | PTE_X | PTE_A | PTE_V
        self._u64[index - 1] = trapframe_pa >> PA_FROM_PTE_SHIFT | PTE_R | PTE_W | PTE_A | PTE_D | PTE_V
        if usyscall_pa:
            self._u64[index - 2] = usyscall_pa >> PA_FROM_PTE_SHIFT | PTE_R | PTE_U | PTE_A | PTE_V
        return root

    def free_user(self, pagetable: PageTable, sz: int) -> None:
        """Free a process's page table with its memory, [0, sz); nothing else is mapped any more.

        Nothing needs to be split or copied: whatever is shared as a whole ends at or below `sz`.
        """
        self.unmap(pagetable, 0, sz)
        self._free_tables(pagetable.root)
        pagetable.generation += 1

    def _free_tables(self, root: int) -> None:
        """Free all tables. Leaves of level 0 are left alone: they are what create_user mapped."""
        middles = self.ptes(root, ROOT_WORDS)
        for middle in middles:
            tables = self.ptes(pa_of(middle), TABLE_WORDS)
            assert not any(table & LEAF for table in tables), "a page table is freed with memory in it"
            self._frames.free_all(tables)
        self._frames.free_all(middles)
        self._frames.free(root)

    def ptes(self, table: int, count: int) -> list[int]:
        """The nonzero ones of a table's first `count` entries."""
        first = table - self._base >> 3
        return [pte for a, b in self._spans(first, first + count) for pte in self._u64[a:b].tolist() if pte]

    def unmap(self, pagetable: PageTable, low: int, high: int) -> None:
        """Unmap the pages of [low, high), of which not all need be mapped, and release their frames.

        Tables stay, as in xv6, except shared ones that map nothing else.  Where part of a superpage or of a
        shared table remains, it is split or copied first; if that raises OutOfMemory, nothing is unmapped.
        """
        u64, frames = self._u64, self._frames
        regions = self.regions(pagetable, low, high)
        for region, index, entry in regions:
            if low <= region and region + SUPERPGSIZE <= high:
                continue
            if entry & LEAF:
                assert self.superpages, "there is a superpage"
                self.superpages.split(pagetable, index)
            elif frames.owners(pa_of(entry)) > 1:
                self.unshare(index)
        for region, index, _ in regions:
            pagetable.generation += 1
            entry = u64[index]  # it may have been split
            pa = entry >> PPN_SHIFT << PGSHIFT
            if entry & LEAF:
                u64[index] = 0
                frames.free_super(pa)
            elif frames.owners(pa) > 1:
                u64[index] = 0
                frames.free(pa)
            else:
                first, last = self.rows(region, low, high)
                table = pa - self._base >> 3
                for begin, end in self._spans(table + first, table + last):
                    frames.free_all(u64[begin:end].tolist())
                u64[table + first : table + last] = NO_ENTRIES[first:last]

    def grow(self, pagetable: PageTable, old: int, new: int, perm: int) -> None:
        """Map zeroed pages from size `old` up to size `new`; on OutOfMemory nothing is left mapped.

        Whole regions get superpages as long as there are any, except for text.
        """
        start, end = pgroundup(old), pgroundup(new)
        va = start
        try:
            while va < end:
                whole = not (va & SUPERPGMASK or perm & PTE_X) and va + SUPERPGSIZE <= end
                if whole and self.superpages and self.superpages.map(pagetable, va, perm):
                    va += SUPERPGSIZE
                else:
                    self.map_new(pagetable, va, perm)
                    va += PGSIZE
        except OutOfMemory:
            self.unmap(pagetable, start, va)
            raise

    def map_new(self, pagetable: PageTable, va: int, perm: int) -> int:
        """Map a zeroed frame at `va` for the user and return it; raises OutOfMemory."""
        index = self.walk(pagetable, va, own=True)
        assert not self._u64[index] & PTE_V, f"remap of {va:#x}"
        pa = self._frames.alloc_zeroed()
        if not pa:
            raise OutOfMemory
        self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V
        if perm & PTE_X:
            self._drop_code(pa, pa + PGSIZE)
        return pa

    def entry(self, pagetable: PageTable, va: int) -> int:
        """Index of the entry of level 1 for `va`; raises OutOfMemory."""
        index = (pagetable.root - self._base >> 3) + (va >> 30)
        entry = self._u64[index] or self._add_table(index)
        return (pa_of(entry) - self._base >> 3) + (va >> SUPERPGSHIFT & 0x1FF)

    def copy_page(self, pte: int) -> int:
        """An entry as `pte` for a new frame with the same bytes; raises OutOfMemory."""
        new = self._frames.alloc_copy(pte >> PPN_SHIFT << PGSHIFT)
        if pte & PTE_X:
            self._drop_code(new, new + PGSIZE)
        return new >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS

    def map_shared(self, pagetable: PageTable, va: int, pa: int, perm: int) -> None:
        """Map a frame that has another owner at `va` for the user; raises OutOfMemory."""
        self._frames.share(pa)  # first: allocating a table may reclaim frames with one owner
        try:
            self.mappage(pagetable, va, pa, perm | PTE_U)
        except OutOfMemory:
            self._frames.free(pa)
            raise

    def peek(self, pagetable: PageTable, va: int, n: int) -> bytes | None:
        """The `n` bytes at user address `va`, all in one page, or None; changes nothing."""
        if not 0 <= va < MAXVA:
            return None
        pte = self.pte(pagetable, va)
        if pte & (PTE_V | PTE_U | PTE_R) != PTE_V | PTE_U | PTE_R:
            return None
        return bytes(self._ram.view(byte_at(pte, va), n))

    # --- rights ---

    def forbid(self, pagetable: PageTable, va: int) -> None:
        """Make the page at `va` inaccessible to the user: the guard below the stack."""
        self._u64[self.walk(pagetable, va, own=True)] &= ~PTE_U
        pagetable.generation += 1

    def clear(self, pagetable: PageTable, index: int, bits: int) -> None:
        """Clear A or D in an entry that `leaves` gave: the hart sets it again at the next access."""
        self._u64[index] &= ~bits
        pagetable.generation += 1
