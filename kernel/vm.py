"""Virtual memory: Sv39 page tables in guest RAM, and the kernel's way to user memory through them.

The page tables are the only record of what is mapped: the emulated MMU walks them, so they are read and
written in RAM, by the 64-bit word.  An index into `ram.u64` stands for the address of a PTE.

    va    38      30 29      21 20      12 11           0
         +----------+----------+----------+--------------+
         | VPN[2]   | VPN[1]   | VPN[0]   | page offset  |
         +----------+----------+----------+--------------+

A process's memory runs from 0 to `Proc.sz`.  Pages that sbrk promised are mapped when they are first
touched, by the program (usertrap calls `fault`) or by the kernel on its behalf (copyin, copyout).  A new
mapping needs no TLB flush, because the engine does not cache misses; one that is taken away or loses
rights does: `changed` is set, and the next return to user mode flushes.  Nothing is both writable and
executable, except a segment whose ELF file asks for both.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import Final

from emu.ram import Ram
from kernel.abi.memlayout import MAXVA, PGSHIFT, PGSIZE, TRAMPOLINE, TRAPFRAME
from kernel.abi.riscv import PTE_A, PTE_D, PTE_FLAGS, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, SATP_SV39
from kernel.errors import BadAddress
from kernel.kalloc import FrameAllocator

PPN_SHIFT: Final = 10
TABLE_WORDS: Final = 512
LEAF: Final = PTE_R | PTE_W | PTE_X
PGMASK: Final = PGSIZE - 1
PA_FROM_PTE_SHIFT: Final = 2  # (pte >> 10) << 12, once the flags are masked off


def pgroundup(n: int) -> int:
    """`n` rounded up to whole pages."""
    return n + PGMASK & ~PGMASK


def satp_of(pagetable: int) -> int:
    """The value of satp that makes `pagetable` the one in force."""
    return SATP_SV39 | pagetable >> PGSHIFT


class OutOfMemory(Exception):
    """No frame is left for a page or a page table."""


class VirtualMemory:
    """Operations on page tables.  A page table is named by the physical address of its root.

    `drop_code(low_pa, high_pa)` makes the hart forget instructions that it has seen in these addresses;
    it is called for every frame that becomes executable.
    """

    def __init__(self, ram: Ram, frames: FrameAllocator, drop_code: Callable[[int, int], None]) -> None:
        self._u64: Final = ram.u64
        self._bytes: Final = ram.bytes
        self._base: Final = ram.base
        self._frames: Final = frames
        self._drop_code: Final = drop_code
        self.changed = False  # a valid PTE was changed: a flush is owed

    # --- page tables ---

    def walk(self, pagetable: int, va: int, *, alloc: bool = False) -> int:
        """Index of the level-0 PTE for `va`, or -1 where a table on the way is missing.

        With alloc, missing tables are made; OutOfMemory where there is no frame for one.
        """
        assert 0 <= va < MAXVA, f"walk: {va:#x} is no virtual address"
        u64, base = self._u64, self._base
        table = pagetable
        for shift in (30, 21):
            index = (table - base >> 3) + (va >> shift & 0x1FF)
            pte = u64[index]
            if pte & PTE_V:
                table = pte >> PPN_SHIFT << PGSHIFT
            elif alloc:
                table = self._frames.alloc_zeroed()
                if not table:
                    raise OutOfMemory
                u64[index] = table >> PA_FROM_PTE_SHIFT | PTE_V
            else:
                return -1
        return (table - base >> 3) + (va >> 12 & 0x1FF)

    def create(self) -> int:
        """An empty page table; raises OutOfMemory."""
        pagetable = self._frames.alloc_zeroed()
        if not pagetable:
            raise OutOfMemory
        return pagetable

    def mappage(self, pagetable: int, va: int, pa: int, perm: int) -> None:
        """Map the page at `va` to the frame at `pa`; raises OutOfMemory. The page must not be mapped."""
        index = self.walk(pagetable, va, alloc=True)
        assert not self._u64[index] & PTE_V, f"remap of {va:#x}"
        self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_V

    def map_range(self, pagetable: int, va: int, pa: int, size: int, perm: int) -> None:
        """Map [va, va+size) to [pa, pa+size), whole pages, a table at a time. For the kernel's own map."""
        assert not (va | pa | size) & PGMASK, "mappings are whole pages"
        done = 0
        while done < size:
            index = self.walk(pagetable, va + done, alloc=True)
            pages = min(TABLE_WORDS - (va + done >> PGSHIFT) % TABLE_WORDS, (size - done) >> PGSHIFT)
            first = (pa + done) >> PA_FROM_PTE_SHIFT | perm | PTE_V
            step = PGSIZE >> PA_FROM_PTE_SHIFT
            ptes = array("Q", range(first, first + pages * step, step))
            self._u64[index : index + pages] = memoryview(ptes)
            done += pages << PGSHIFT

    def leaves(self, pagetable: int, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """(va, index, pte) of the valid level-0 PTEs of pages in [low, high), in order of va.

        Skips what has no table, so the cost is that of what is mapped and not of the range.
        """
        u64 = self._u64
        va = low & ~PGMASK
        while va < high:
            index = self.walk(pagetable, va)
            if index < 0:
                va = self._next_table(pagetable, va)
                continue
            count = min(TABLE_WORDS - (va >> PGSHIFT) % TABLE_WORDS, pgroundup(high - va) >> PGSHIFT)
            for offset, pte in enumerate(u64[index : index + count].tolist()):
                if pte & PTE_V:
                    yield va + (offset << PGSHIFT), index + offset, pte
            va += count << PGSHIFT

    def _next_table(self, pagetable: int, va: int) -> int:
        """The first address behind the hole at `va` that a missing table makes."""
        pte = self._u64[(pagetable - self._base >> 3) + (va >> 30 & 0x1FF)]
        shift = 21 if pte & PTE_V else 30
        return (va >> shift) + 1 << shift

    # --- user memory ---

    def create_user(self, trapframe_pa: int, trampoline_pa: int) -> int:
        """A page table with the trampoline and the trapframe, and no user memory; raises OutOfMemory."""
        pagetable = self.create()
        try:
            self.mappage(pagetable, TRAMPOLINE, trampoline_pa, PTE_R | PTE_X | PTE_A)
            self.mappage(pagetable, TRAPFRAME, trapframe_pa, PTE_R | PTE_W | PTE_A | PTE_D)
        except OutOfMemory:
            self._free_tables(pagetable, 2)
            raise
        return pagetable

    def free_user(self, pagetable: int, sz: int) -> None:
        """Free a process's page table with all its memory, [0, sz)."""
        self.unmap(pagetable, 0, sz)
        self._free_tables(pagetable, 2)

    def _free_tables(self, table: int, level: int) -> None:
        """Free a table and those below it. Leaves are left alone: the trampoline's and the trapframe's."""
        first = table - self._base >> 3
        if level:
            for pte in filter(None, self._u64[first : first + TABLE_WORDS].tolist()):
                assert not pte & LEAF, "superpages are not the user's"
                self._free_tables(pte >> PPN_SHIFT << PGSHIFT, level - 1)
        self._frames.free(table)
        self.changed = True

    def unmap(self, pagetable: int, low: int, high: int) -> None:
        """Unmap the pages of [low, high) and give up their frames; pages that are not mapped may be there."""
        u64, frames = self._u64, self._frames
        for _, index, pte in self.leaves(pagetable, low, high):
            u64[index] = 0
            frames.free(pte >> PPN_SHIFT << PGSHIFT)
            self.changed = True

    def grow(self, pagetable: int, old: int, new: int, perm: int) -> None:
        """Map zeroed pages from size `old` up to size `new`; on OutOfMemory nothing is left mapped."""
        for va in range(pgroundup(old), new, PGSIZE):
            try:
                self.map_new(pagetable, va, perm)
            except OutOfMemory:
                self.unmap(pagetable, pgroundup(old), va)
                raise

    def map_new(self, pagetable: int, va: int, perm: int) -> int:
        """Map a zeroed frame at `va` for the user and return it; raises OutOfMemory."""
        index = self.walk(pagetable, va, alloc=True)
        assert not self._u64[index] & PTE_V, f"remap of {va:#x}"
        pa = self._frames.alloc_zeroed()
        if not pa:
            raise OutOfMemory
        self._u64[index] = pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V
        if perm & PTE_X:
            self._drop_code(pa, pa + PGSIZE)
        return pa

    def map_shared(self, pagetable: int, va: int, pa: int, perm: int) -> None:
        """Map a frame that has another owner too at `va` for the user; raises OutOfMemory."""
        self._frames.share(pa)  # first: making page tables may reclaim frames with one owner
        try:
            self.mappage(pagetable, va, pa, perm | PTE_U)
        except OutOfMemory:
            self._frames.free(pa)
            raise

    def shrink(self, pagetable: int, old: int, new: int) -> None:
        """Unmap the whole pages between size `new` and size `old`."""
        self.unmap(pagetable, pgroundup(new), pgroundup(old))

    def copy(self, source: int, target: int, sz: int) -> None:
        """Give `target` a copy of the memory [0, sz) of `source`, as fork does.

        Pages that nobody can write are shared, the others copied; what is not mapped stays so.  On
        OutOfMemory `target` is left without memory.
        """
        data, base, frames, u64 = self._bytes, self._base, self._frames, self._u64
        try:
            for va, _, pte in self.leaves(source, 0, sz):
                pa = pte >> PPN_SHIFT << PGSHIFT
                if not pte & PTE_W:
                    self.mappage(target, va, pa, pte & PTE_FLAGS)
                    frames.share(pa)
                    continue
                index = self.walk(target, va, alloc=True)
                new = frames.alloc()
                if not new:
                    raise OutOfMemory
                data[new - base : new - base + PGSIZE] = data[pa - base : pa - base + PGSIZE]
                u64[index] = new >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS
                if pte & PTE_X:
                    self._drop_code(new, new + PGSIZE)
        except OutOfMemory:
            self.unmap(target, 0, sz)
            raise

    def forbid(self, pagetable: int, va: int) -> None:
        """Take the page at `va` from the user: the guard below the stack."""
        index = self.walk(pagetable, va)
        assert index >= 0, "the guard page is mapped"
        self._u64[index] &= ~PTE_U
        self.changed = True

    def fault(self, pagetable: int, sz: int, va: int) -> bool:
        """Map a zeroed page where a process of size `sz` touched one it was promised; say if that was it."""
        if va >= sz:
            return False
        index = self.walk(pagetable, va)
        if index >= 0 and self._u64[index] & PTE_V:
            return False  # it is mapped: the access was not allowed
        try:
            self.map_new(pagetable, va & ~PGMASK, PTE_R | PTE_W)
        except OutOfMemory:
            return False
        return True

    # --- the kernel's way to user memory ---

    def _user_offset(self, pagetable: int, sz: int, va: int, need: int) -> int:
        """Offset in RAM of user address `va`, faulted in if promised; its PTE must have the bits `need`."""
        if not 0 <= va < MAXVA:
            raise BadAddress(va)
        index = self.walk(pagetable, va)
        pte = self._u64[index] if index >= 0 else 0
        if not pte & PTE_V and self.fault(pagetable, sz, va):
            pte = self._u64[self.walk(pagetable, va)]
        if pte & need != need:
            raise BadAddress(va)
        if pte & need & PTE_W and pte & PTE_X:
            page_pa = pte >> PPN_SHIFT << PGSHIFT
            self._drop_code(page_pa, page_pa + PGSIZE)  # the kernel is about to write instructions
        return (pte >> PPN_SHIFT << PGSHIFT) - self._base + (va & PGMASK)

    def copyin(self, pagetable: int, sz: int, va: int, n: int) -> bytes:
        """The `n` bytes at user address `va`; raises BadAddress."""
        if n <= 0:
            return b""
        offset = self._user_offset(pagetable, sz, va, PTE_V | PTE_U | PTE_R)
        room = PGSIZE - (va & PGMASK)
        if n <= room:
            return bytes(self._bytes[offset : offset + n])
        parts = [self._bytes[offset : offset + room]]
        done = room
        while done < n:
            offset = self._user_offset(pagetable, sz, va + done, PTE_V | PTE_U | PTE_R)
            step = min(PGSIZE, n - done)
            parts.append(self._bytes[offset : offset + step])
            done += step
        return b"".join(parts)

    def copyout(self, pagetable: int, sz: int, va: int, data: bytes | memoryview) -> None:
        """Store `data` at user address `va`; raises BadAddress, with the pages before the bad one stored."""
        n, done = len(data), 0
        while done < n:
            offset = self._user_offset(pagetable, sz, va + done, PTE_V | PTE_U | PTE_W)
            step = min(PGSIZE - (va + done & PGMASK), n - done)
            self._bytes[offset : offset + step] = data[done : done + step]
            done += step

    def copyinstr(self, pagetable: int, va: int, limit: int) -> bytes:
        """The string at user address `va` without its NUL, which is among the first `limit` bytes.

        Raises BadAddress where it is not, and, unlike copyin, at a page that was promised only.
        """
        parts = []
        start = va
        while limit > 0:
            chunk = self.peek(pagetable, va, min(limit, PGSIZE - (va & PGMASK)))
            if chunk is None:
                raise BadAddress(va)
            end = chunk.find(b"\0")
            if end >= 0:
                parts.append(chunk[:end])
                return b"".join(parts)
            parts.append(chunk)
            va += len(chunk)
            limit -= len(chunk)
        raise BadAddress(start)

    def peek(self, pagetable: int, va: int, n: int) -> bytes | None:
        """The `n` bytes at user address `va`, all in one page, or None; changes nothing."""
        if not 0 <= va < MAXVA:
            return None
        index = self.walk(pagetable, va)
        pte = self._u64[index] if index >= 0 else 0
        if pte & (PTE_V | PTE_U | PTE_R) != PTE_V | PTE_U | PTE_R:
            return None
        offset = (pte >> PPN_SHIFT << PGSHIFT) - self._base + (va & PGMASK)
        return bytes(self._bytes[offset : offset + n])
