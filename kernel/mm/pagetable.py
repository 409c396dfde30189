"""Virtual memory: Sv39 page tables in guest RAM.

The page tables are the only record of what is mapped: the emulated MMU walks them, so they are read and
written in RAM, by the 64-bit word.  An index into `ram.u64` stands for the address of a PTE.

    va    38      30 29      21 20      12 11           0
         +----------+----------+----------+--------------+
         | VPN[2]   | VPN[1]   | VPN[0]   | page offset  |      a piece: the 2 MiB of one entry of level 1
         +----------+----------+----------+--------------+

Fork copies no page.  Both processes keep the frame, neither may write, PTE_COW says that the program may;
`break_cow` then copies it for the one that writes, and the last owner takes it as it is.  Where a table maps
a whole piece, fork does not even copy the table: it is shared, all its pages being read-only, and who wants
to change an entry gets its own first (`walk` with own=True).

A heap that grows by whole pieces gets superpages, leaves of level 1 marked by PTE_SUPER.  They are shared
by fork too, and split when only a part is given back.

A new mapping needs no TLB flush, because the engine does not cache misses; one that is taken away, changes
its frame or loses rights does: this raises `PageTable.generation`, and a hart that returns to user mode then
flushes (trap.py).  Nothing is both writable and executable, except a segment whose ELF file asks for both.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

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
from kernel.abi.riscv import (
    PTE_A,
    PTE_COW,
    PTE_D,
    PTE_FLAGS,
    PTE_R,
    PTE_SUPER,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    SATP_SV39,
)
from kernel.errors import OutOfMemory
from kernel.mm.kalloc import ZERO_PAGE, FrameAllocator

PPN_SHIFT: Final = 10
TABLE_WORDS: Final = 512
ROOT_WORDS: Final = MAXVA >> 30  # entries of a root; the rest would be for addresses that Sv39 sign-extends
LEAF: Final = PTE_R | PTE_W | PTE_X
RIGHTS: Final = LEAF | PTE_U | PTE_COW
PA_FROM_PTE_SHIFT: Final = 2  # (pte >> 10) << 12, once the flags are masked off
COW_FROM_W_SHIFT: Final = 6  # from bit PTE_W to bit PTE_COW
TABLE_W: Final = sum(PTE_W << 64 * i for i in range(TABLE_WORDS))  # PTE_W in each entry of a table
NO_ENTRIES: Final = memoryview(array("Q", bytes(PGSIZE)))
END_WORDS: Final = 4  # of a table, at either end: most tables are used nowhere else
TAKE_AROUND: Final = 16  # pages whose last owner takes them at one fault


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


@dataclass
class MemoryCounts:
    """What the memory system has done since power-on, in pages."""

    zero_filled: int = 0  # promised pages that were touched
    cow_copied: int = 0  # pages that fork shared and a write separated
    cow_taken: int = 0  # pages that their last owner took without copying
    paged_in: int = 0  # pages of mapped files that were touched
    mapped_around: int = 0  # their neighbours that were mapped with them
    pages_read: int = 0  # pages of files that the page cache brought in
    pages_written: int = 0  # dirty pages of shared mappings that were written back


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


class VirtualMemory:
    """Operations on page tables.

    `drop_code(low_pa, high_pa)` makes the hart forget instructions that it has seen in these addresses;
    it is called for every frame that becomes executable.
    """

    def __init__(
        self, ram: Ram, frames: FrameAllocator, drop_code: Callable[[int, int], None], counts: MemoryCounts
    ) -> None:
        self._u64: Final = ram.u64
        self._bytes: Final = ram.bytes
        self._base: Final = ram.base
        self._frames: Final = frames
        self._drop_code: Final = drop_code
        self._counts: Final = counts

    # --- page tables ---

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
            pte = self._unshare(index)
        return ((pte >> PPN_SHIFT << PGSHIFT) - base >> 3) + (va >> PGSHIFT & 0x1FF)

    def _add_table(self, index: int) -> int:
        pte = self._u64[index] = self.create() >> PA_FROM_PTE_SHIFT | PTE_V
        return pte

    def _unshare(self, index: int) -> int:
        """Give the address space with this entry of level 1 its own copy of the table behind it."""
        shared = pa_of(self._u64[index])
        own = self._frames.alloc()
        if not own:
            raise OutOfMemory
        self._copy(shared, own, PGSIZE)
        self._frames.share_all(self._ptes(own, TABLE_WORDS))
        self._frames.free(shared)
        pte = self._u64[index] = own >> PA_FROM_PTE_SHIFT | PTE_V
        return pte

    def _copy(self, source: int, target: int, size: int) -> None:
        data, source, target = self._bytes, source - self._base, target - self._base
        data[target : target + size] = data[source : source + size]

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
            self._fill_table(index, pa + done, pages, perm)
            done += pages << PGSHIFT

    def _fill_table(self, index: int, pa: int, pages: int, perm: int) -> None:
        step = PGSIZE >> PA_FROM_PTE_SHIFT
        first = pa >> PA_FROM_PTE_SHIFT | perm | PTE_V
        self._u64[index : index + pages] = memoryview(array("Q", range(first, first + pages * step, step)))

    def _pieces(self, pagetable: PageTable, low: int, high: int) -> list[Entry]:
        """The entries of level 1 that there are for [low, high), in order of va."""
        root, found = pagetable.root - self._base >> 3, []
        first, last = low >> SUPERPGSHIFT, high + SUPERPGMASK >> SUPERPGSHIFT if low < high else 0
        top, end = first // TABLE_WORDS, -(-last // TABLE_WORDS)
        for i, middle in enumerate(self._u64[root + top : root + end].tolist(), top):
            if middle:
                zero = (pa_of(middle) - self._base >> 3) - i * TABLE_WORDS  # where piece 0 would be
                if last - first == 1:  # in a hurry: so it is for most processes
                    pte = self._u64[zero + first]
                    return [(first << SUPERPGSHIFT, zero + first, pte)] if pte else []
                begin, stop = max(first, i * TABLE_WORDS), min(last, (i + 1) * TABLE_WORDS)
                entries = self._used(zero + begin, zero + stop)
                found += [(index - zero << SUPERPGSHIFT, index, pte) for index, pte in entries]
        return found

    def _used(self, first: int, last: int) -> list[tuple[int, int]]:
        """(index, pte) of the entries that are not 0 from index `first` of a table to before `last`."""
        u64, spans = self._u64, self._spans(first, last)
        return [entry for low, high in spans for entry in enumerate(u64[low:high].tolist(), low) if entry[1]]

    def _spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """From where to where to look for these: all entries, or both ends if there is nothing between."""
        low, high = first + END_WORDS, last - END_WORDS
        if low < high and bytes(self._bytes[8 * low : 8 * high]) == ZERO_PAGE[: 8 * (high - low)]:
            return [(first, low), (high, last)]
        return [(first, last)]

    def leaves(self, pagetable: PageTable, low: int, high: int) -> Iterator[Entry]:
        """The leaves that map pages in [low, high), in order of va.

        The cost is that of what is mapped and not of the range. A superpage is one leaf, at its first page.
        """
        for piece, index, entry in self._pieces(pagetable, low, high):
            if entry & LEAF:
                yield piece, index, entry
            else:
                first, last = self._rows(piece, low, high)
                table = pa_of(entry) - self._base >> 3
                for at, pte in self._used(table + first, table + last):
                    yield piece + (at - table << PGSHIFT), at, pte

    def _rows(self, piece: int, low: int, high: int) -> tuple[int, int]:
        """First and last + 1 of the entries for [low, high) in the table of a piece."""
        first = low - piece >> PGSHIFT if low > piece else 0
        return first, high - piece + PGMASK >> PGSHIFT if high < piece + SUPERPGSIZE else TABLE_WORDS

    # --- user memory: making and freeing ---

    def create_user(self, trapframe_pa: int, trampoline_pa: int, usyscall_pa: int = 0) -> int:
        """The root of a table with what the kernel maps for a process, and no user memory.

        Raises OutOfMemory.
        """
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

        There is nothing to split or to copy for that: what is shared as a whole ends at or below `sz`.
        """
        self.unmap(pagetable, 0, sz)
        self._free_tables(pagetable.root)
        pagetable.generation += 1

    def _free_tables(self, root: int) -> None:
        """Free all tables. Leaves of level 0 are left alone: they are what create_user mapped."""
        middles = self._ptes(root, ROOT_WORDS)
        for middle in middles:
            tables = self._ptes(pa_of(middle), TABLE_WORDS)
            assert not any(table & LEAF for table in tables), "a page table is freed with memory in it"
            self._frames.free_all(tables)
        self._frames.free_all(middles)
        self._frames.free(root)

    def _ptes(self, table: int, count: int) -> list[int]:
        """The first `count` entries of a table but for those that are 0."""
        first = table - self._base >> 3
        return [pte for a, b in self._spans(first, first + count) for pte in self._u64[a:b].tolist() if pte]

    def unmap(self, pagetable: PageTable, low: int, high: int) -> None:
        """Unmap the pages of [low, high) and give up their frames; not all need be mapped.

        Tables stay, as xv6's do, but for those that others have too and that map nothing else.  A superpage
        or a shared table of which a part stays is split or copied, which may raise OutOfMemory; nothing is
        unmapped then.
        """
        u64, frames = self._u64, self._frames
        pieces = self._pieces(pagetable, low, high)
        for piece, index, _ in pieces:
            if piece < low or high < piece + SUPERPGSIZE:
                self._split(pagetable, index)
        for piece, index, _ in pieces:
            pagetable.generation += 1
            entry = u64[index]
            pa = entry >> PPN_SHIFT << PGSHIFT
            if entry & LEAF:
                u64[index] = 0
                frames.free_super(pa)
            elif frames.owners(pa) > 1:
                u64[index] = 0
                frames.free(pa)
            else:
                first, last = self._rows(piece, low, high)
                table = pa - self._base >> 3
                for begin, end in self._spans(table + first, table + last):
                    frames.free_all(u64[begin:end].tolist())
                u64[table + first : table + last] = NO_ENTRIES[first:last]

    def grow(self, pagetable: PageTable, old: int, new: int, perm: int) -> None:
        """Map zeroed pages from size `old` up to size `new`; on OutOfMemory nothing is left mapped.

        Whole pieces get superpages as long as there are any, except for text.
        """
        start, end = pgroundup(old), pgroundup(new)
        va = start
        try:
            while va < end:
                whole = not (va & SUPERPGMASK or perm & PTE_X) and va + SUPERPGSIZE <= end
                if whole and self.map_super(pagetable, va, perm):
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

    def map_super(self, pagetable: PageTable, va: int, perm: int) -> bool:
        """Map a zeroed superpage at `va` for the user, where nothing of the piece is mapped; else False."""
        assert not va & SUPERPGMASK and not perm & PTE_X, "superpages are aligned, and hold no text"
        index = self._entry(pagetable, va)
        entry = self._u64[index]
        table = pa_of(entry)
        empty = not entry or (not entry & LEAF and self._bytes_at(table, PGSIZE) == ZERO_PAGE)
        pa = self._frames.alloc_super() if empty else 0
        if not pa:
            return False
        if entry:
            self._frames.free(table)
            pagetable.generation += 1
        self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V | PTE_SUPER
        return True

    def _entry(self, pagetable: PageTable, va: int) -> int:
        """Index of the entry of level 1 for `va`; raises OutOfMemory."""
        index = (pagetable.root - self._base >> 3) + (va >> 30)
        entry = self._u64[index] or self._add_table(index)
        return (pa_of(entry) - self._base >> 3) + (va >> SUPERPGSHIFT & 0x1FF)

    def _bytes_at(self, pa: int, n: int) -> memoryview:
        return self._bytes[pa - self._base : pa - self._base + n]

    def map_shared(self, pagetable: PageTable, va: int, pa: int, perm: int) -> None:
        """Map a frame that has another owner too at `va` for the user; raises OutOfMemory."""
        self._frames.share(pa)  # first: making page tables may reclaim frames with one owner
        try:
            self.mappage(pagetable, va, pa, perm | PTE_U)
        except OutOfMemory:
            self._frames.free(pa)
            raise

    def map_missing(self, pagetable: PageTable, va: int, frames: Sequence[int], perm: int) -> list[int]:
        """Map frames (0: none) at the pages from `va` on where nothing is mapped; gives those it mapped.

        All are in one table, in which something was mapped just before. Each frame has another owner.
        """
        mapped = []
        for index, pa in enumerate(frames, self.walk(pagetable, va)):
            if pa and not self._u64[index]:
                self._frames.share(pa)
                self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V
                mapped.append(pa)
        return mapped

    def store(self, pagetable: PageTable, va: int, data: bytes) -> None:
        """Store at mapped pages, whatever their rights: for exec, which fills what nobody else has yet."""
        done = 0
        while done < len(data):
            step = min(PGSIZE - (va + done & PGMASK), len(data) - done)
            pte = self.pte(pagetable, va + done)
            pa = byte_at(pte, va + done)
            self._bytes_at(pa, step)[:] = data[done : done + step]
            if pte & PTE_X:
                self._drop_code(pa, pa + step)
            done += step

    def peek(self, pagetable: PageTable, va: int, n: int) -> bytes | None:
        """The `n` bytes at user address `va`, all in one page, or None; changes nothing."""
        if not 0 <= va < MAXVA:
            return None
        pte = self.pte(pagetable, va)
        if pte & (PTE_V | PTE_U | PTE_R) != PTE_V | PTE_U | PTE_R:
            return None
        return bytes(self._bytes_at(byte_at(pte, va), n))

    # --- rights ---

    def protect(self, pagetable: PageTable, low: int, high: int, perm: int, *, private: bool) -> None:
        """Give the pages of [low, high) that are mapped the rights `perm` (0: nobody's); raises OutOfMemory.

        A private page that could not be written before becomes writable by copying.
        """
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(self.leaves(pagetable, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and not old & PTE_W:
                new = new & ~PTE_W | PTE_COW
            self._u64[self.walk(pagetable, va, own=True)] = new
            if perm & PTE_X:
                self._drop_code(pa_of(new), pa_of(new) + PGSIZE)
            pagetable.generation += 1

    def forbid(self, pagetable: PageTable, va: int) -> None:
        """Take the page at `va` from the user: the guard below the stack."""
        self._u64[self.walk(pagetable, va, own=True)] &= ~PTE_U
        pagetable.generation += 1

    def clear(self, pagetable: PageTable, index: int, bits: int) -> None:
        """Clear A or D in an entry that `leaves` gave: the hart sets it again at the next access."""
        self._u64[index] &= ~bits
        pagetable.generation += 1

    # --- fork, and what it leaves behind ---

    def copy(self, source: PageTable, target: PageTable, low: int, high: int, sp: int = -1) -> None:
        """Give `target` the memory [low, high) of `source`, copied on write, as fork does.

        The page at `sp` is copied at once: both processes will write there next. On OutOfMemory `target`
        is left without memory.
        """
        try:
            for piece, index, entry in self._pieces(source, low, high):
                if entry & LEAF:
                    self._share_superpage(source, target, piece, index)
                elif low <= piece and piece + SUPERPGSIZE <= high and not piece <= sp < piece + SUPERPGSIZE:
                    self._share_table(source, target, piece, entry)
                else:
                    self._share_pages(source, target, piece, entry, self._rows(piece, low, high))
            if low <= sp < high and self.pte(target, sp) & (PTE_COW | PTE_SUPER) == PTE_COW:
                self.break_cow(target, sp)
                self.break_cow(source, sp)
        except OutOfMemory:
            self.unmap(target, low, high)
            raise

    def _share_superpage(self, source: PageTable, target: PageTable, va: int, index: int) -> None:
        at = self._entry(target, va)
        pte = self._u64[index]
        self._frames.share(pa_of(pte))
        self._u64[at] = self._u64[index] = pte & ~PTE_W | (pte & PTE_W) << COW_FROM_W_SHIFT
        source.generation += 1

    def _share_table(self, source: PageTable, target: PageTable, va: int, entry: int) -> None:
        """Share a table whole: what could be written in it becomes COW, in all entries at once."""
        at = self._entry(target, va)
        table = pa_of(entry)
        self._frames.share(table)
        self._u64[at] = entry
        data = self._bytes_at(table, PGSIZE)
        words = int.from_bytes(data, "little")
        writable = words & TABLE_W
        if writable:
            data[:] = (words ^ writable | writable << COW_FROM_W_SHIFT).to_bytes(PGSIZE, "little")
            source.generation += 1

    def _share_pages(
        self, source: PageTable, target: PageTable, piece: int, entry: int, rows: tuple[int, int]
    ) -> None:
        """Share the pages of some rows of a table, which the target then has a table for."""
        u64, count = self._u64, rows[1] - rows[0]
        there = self.walk(target, piece, own=True) + rows[0]
        here = (pa_of(entry) - self._base >> 3) + rows[0]
        old = u64[here : here + count].tolist()
        new = [pte ^ PTE_W | PTE_COW if pte & PTE_W else pte for pte in old]
        self._frames.share_all(new)
        row = memoryview(array("Q", new))
        u64[there : there + count] = row
        if new != old:
            u64[here : here + count] = row
            source.generation += 1

    def _copy_page(self, pte: int) -> int:
        """An entry as `pte` for a new frame with the same bytes; raises OutOfMemory."""
        new = self._frames.alloc()
        if not new:
            raise OutOfMemory
        self._copy(pte >> PPN_SHIFT << PGSHIFT, new, PGSIZE)
        if pte & PTE_X:
            self._drop_code(new, new + PGSIZE)
        return new >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS

    def break_cow(self, pagetable: PageTable, va: int) -> None:
        """Let the COW page at `va` be written: the last owner takes the frame, another gets a copy.

        Raises OutOfMemory.
        """
        index = self.walk(pagetable, va, own=True)
        pte = self._u64[index]
        assert pte & PTE_COW, f"{va:#x} is not copied on write"
        if pte & PTE_SUPER:
            self._break_cow_super(pagetable, index)
        elif self._frames.owners(pte >> PPN_SHIFT << PGSHIFT) == 1:
            self._take_around(index, va)
        else:
            self._u64[index] = self._copy_page(pte) ^ PTE_COW | PTE_W
            self._frames.free(pa_of(pte))
            self._counts.cow_copied += 1
            pagetable.generation += 1

    def own_page(self, pagetable: PageTable, va: int) -> None:
        """Give the address space a frame of its own for the page at `va`, as it is; raises OutOfMemory."""
        index = self.walk(pagetable, va, own=True)
        pte = self._u64[index]
        if not pte & PTE_SUPER and self._frames.owners(pa_of(pte)) > 1:
            self._u64[index] = self._copy_page(pte)
            self._frames.free(pa_of(pte))
            pagetable.generation += 1

    def _take_around(self, index: int, va: int) -> None:
        """Take the page with this entry, and those of its neighbours that have no other owner either."""
        u64, owners = self._u64, self._frames.owners
        first = index - (va >> PGSHIFT) % TAKE_AROUND
        for at, pte in enumerate(u64[first : first + TAKE_AROUND].tolist(), first):
            if pte & PTE_COW and owners(pte >> PPN_SHIFT << PGSHIFT) == 1:
                u64[at] = pte ^ PTE_COW | PTE_W
                self._counts.cow_taken += 1

    def _break_cow_super(self, pagetable: PageTable, index: int) -> None:
        """As break_cow; where there are no 2 MiB in one piece for the copy, it is one of single pages."""
        pte = self._u64[index]
        pa = pa_of(pte)
        if self._frames.owners(pa) > 1:
            copy = self._frames.alloc_super()
            if not copy:
                self._split(pagetable, index)
                return
            self._copy(pa, copy, SUPERPGSIZE)
            self._frames.free_super(pa)
            self._counts.cow_copied += TABLE_WORDS
            pte = copy >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS
            pagetable.generation += 1
        else:
            self._counts.cow_taken += TABLE_WORDS
        self._u64[index] = pte ^ PTE_COW | PTE_W

    def _split(self, pagetable: PageTable, index: int) -> None:
        """Let the piece with this entry have a table of its own, with single pages; raises OutOfMemory.

        A superpage that others share is copied, because its owners are counted for the whole of it.
        """
        pte = self._u64[index]
        pa = pa_of(pte)
        if not pte & PTE_SUPER:
            if self._frames.owners(pa) > 1:
                self._unshare(index)
            return
        table = self.create()
        at = table - self._base >> 3
        if self._frames.owners(pa) == 1:
            self._frames.split_super(pa)
            self._fill_table(at, pa, TABLE_WORDS, pte & PTE_FLAGS & ~PTE_SUPER)
        else:
            self._copy_superpage(pte, table)
            self._frames.free_super(pa)
        self._u64[index] = table >> PA_FROM_PTE_SHIFT | PTE_V
        pagetable.generation += 1

    def _copy_superpage(self, pte: int, table: int) -> None:
        """Fill an empty table with copies of the pages of a superpage; on OutOfMemory it is freed."""
        at = table - self._base >> 3
        page = pte & ~PTE_SUPER
        if page & PTE_COW:
            page = page ^ PTE_COW | PTE_W
        try:
            for i in range(TABLE_WORDS):
                self._u64[at + i] = self._copy_page(page + (i << PPN_SHIFT))
        except OutOfMemory:
            self._frames.free_all(self._ptes(table, TABLE_WORDS))
            self._frames.free(table)
            raise
