"""VirtualMemory, Pager and UserCopy against a model: a dict of pages, each with its bytes and rights.

The page tables themselves are read with emu/cpu/sv39.py, the specification's walk and not the kernel's.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from emu.clock import Clock
from emu.cpu.sv39 import Access, TranslationFault, translate
from emu.ram import Ram
from kernel.abi.memlayout import MAXVA, PGSIZE, SUPERPGSIZE, TRAMPOLINE, TRAPFRAME, USYSCALL
from kernel.abi.riscv import PTE_A, PTE_COW, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import BadAddress, OutOfMemory
from kernel.mm.counts import MemoryCounts
from kernel.mm.cow import CopyOnWrite
from kernel.mm.fault import Pager
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.mmap import Mmap
from kernel.mm.pagetable import PageTable, VirtualMemory, pgroundup
from kernel.mm.space import AddressSpace
from kernel.mm.superpage import Superpages
from kernel.mm.usercopy import UserBuffer, UserCopy

RW = PTE_R | PTE_W
RX = PTE_R | PTE_X
RIGHTS = {Access.LOAD: PTE_R, Access.STORE: PTE_W, Access.FETCH: PTE_X}
PIECE = SUPERPGSIZE // PGSIZE  # pages of a superpage
EMPTY_SPACE_FRAMES = 3  # of create_user: the root and the two tables at the top
SMALL = settings(derandomize=True, max_examples=60, stateful_step_count=30, deadline=None)
# Sizes at which something happens: page borders, a second table, a second middle table.
SIZES = st.one_of(
    st.integers(0, 6 * PGSIZE),
    st.integers(0x20_0000 - 2 * PGSIZE, 0x20_0000 + 2 * PGSIZE),
    st.integers(0x4000_0000 - 2 * PGSIZE, 0x4000_0000 + 2 * PGSIZE),
)


class Machine:
    """RAM with some frames, and what needs them: as much of a Kernel as memory is about."""

    def __init__(self, ram_bytes: int = 16 << 20, first_frame: int = 8) -> None:
        self.ram = Ram(ram_bytes)
        self.frames = FrameAllocator(self.ram, self.ram.base + first_frame * PGSIZE)
        self.dropped: list[int] = []
        self.clock = Clock()
        self.counts = MemoryCounts()
        self.drop_code = lambda low, high: self.dropped.append(low)
        self.vm = VirtualMemory(self.ram, self.frames, self.drop_code)
        self.superpages = Superpages(self.ram, self.frames, self.vm, self.counts)
        self.vm.superpages = self.superpages
        self.cow = CopyOnWrite(self.ram, self.frames, self.vm, self.superpages, self.counts)
        nothing: Any = None
        args = (nothing, nothing, tuple, nothing, nothing)  # of files, and of whom spaces belong to
        mmap = Mmap(self.ram, self.frames, self.vm, self.cow, self.counts, self.drop_code, *args)
        self.mmap = mmap
        self.pager = Pager(self.vm, self.cow, self.superpages, self.counts, mmap.page_in)
        self.usercopy = UserCopy(
            self.ram, self.clock, self.frames, self.vm, self.drop_code, self.pager.fault, self.rest
        )
        self.trampoline = self.ram.base
        self.trapframe = self.ram.base + PGSIZE
        self.all_frames = self.frames.free_frames

    def rest(self) -> None:
        """Nobody watches."""

    def space(self) -> AddressSpace:
        return AddressSpace(self.vm.create_user(self.trapframe, self.trampoline))

    def physical(self, pagetable: PageTable, va: int, access: Access, user: bool = True) -> int | None:
        """Where the hart would find `va`, or None for a fault."""
        try:
            return translate(self.ram, pagetable.satp, va, access, user=user, sum_=False, mxr=False)
        except TranslationFault:
            return None

    def pages(self, pagetable: PageTable, top: int) -> dict[int, tuple[int, int]]:
        """Page number to (PTE, physical address) of all that is mapped below `top`."""
        found = {}
        for va, _, pte in self.vm.leaves(pagetable, 0, top):
            for i in range(PIECE if pte & PTE_SUPER else 1):
                found[va // PGSIZE + i] = pte, (pte >> 10 << 12) + i * PGSIZE
        return found

    def owners(self, pagetable: PageTable, va: int, pa: int) -> int:
        """Owners of the frame or superpage at `va`, by way of a table that may be shared itself."""
        index = self.vm.walk(pagetable, va)
        if self.ram.u64[index] & PTE_SUPER:
            return self.frames.owners(pa & -SUPERPGSIZE)
        table = (index * 8 & -PGSIZE) + self.ram.base
        return self.frames.owners(pa) * self.frames.owners(table)

    def out_of_memory_after(self, n: int) -> None:
        """The n-th allocation from now on fails, and those after it."""
        alloc, left = FrameAllocator.alloc, n

        def limited() -> int:
            nonlocal left
            left -= 1
            return alloc(self.frames) if left > 0 else 0

        self.frames.alloc = limited  # type: ignore[method-assign]

    def memory_is_back(self) -> None:
        del self.frames.alloc


class Space(AddressSpace):
    """An address space with its model: page number to (bytes, rights)."""

    def __init__(self, space: AddressSpace, sz: int = 0) -> None:
        super().__init__(space.root)
        self.sz = sz
        self.pages: dict[int, tuple[bytearray, int]] = {}

    def promised(self, page: int) -> bool:
        return page not in self.pages and 0 <= page * PGSIZE < self.sz

    def expected(self, va: int, n: int, right: int, faults: bool) -> bool:
        """Whether the kernel may touch [va, va+n); pages that were promised are mapped on the way."""
        for page in range(va // PGSIZE, (va + n - 1) // PGSIZE + 1) if n > 0 else ():
            if page not in self.pages:
                if not faults or not 0 <= max(page * PGSIZE, va) < self.sz:
                    return False
                self.pages[page] = (bytearray(PGSIZE), RW)
            if not self.pages[page][1] & right:
                return False
        return True

    def read(self, va: int, n: int) -> bytes:
        return bytes(self.pages[at // PGSIZE][0][at % PGSIZE] for at in range(va, va + n))


class AddressSpaces(RuleBasedStateMachine):
    """Several address spaces grow, shrink, fork and end, and are read and written by the kernel."""

    spaces = Bundle("spaces")

    def __init__(self) -> None:
        super().__init__()
        self.m = Machine()
        self.live: list[Space] = []

    @rule(target=spaces)
    def create(self) -> Space:
        self.live.append(Space(self.m.space()))
        return self.live[-1]

    @rule(space=spaces, pages=st.integers(0, 4), odd=st.integers(0, PGSIZE - 1), text=st.booleans())
    def grow(self, space: Space, pages: int, odd: int, text: bool) -> None:
        old, new = space.sz, space.sz + pages * PGSIZE + odd
        perm = RX if text else RW
        clean = not any(pgroundup(old) <= page * PGSIZE < new for page in space.pages)
        assert clean, "nothing is mapped beyond the size"
        self.m.vm.grow(space, old, new, perm)
        for va in range(pgroundup(old), new, PGSIZE):
            space.pages[va // PGSIZE] = (bytearray(PGSIZE), perm)
        space.sz = new

    @rule(space=spaces, size=SIZES)
    def promise(self, space: Space, size: int) -> None:
        space.sz = max(space.sz, size)

    @rule(space=spaces, size=SIZES)
    def shrink(self, space: Space, size: int) -> None:
        if size < space.sz:
            self.m.vm.unmap(space, pgroundup(size), pgroundup(space.sz))
            space.sz = size
            keep = pgroundup(size) // PGSIZE
            space.pages = {page: it for page, it in space.pages.items() if page < keep}

    @rule(space=spaces, piece=st.integers(0, 2))
    def touch(self, space: Space, piece: int) -> None:
        """What pgpte does: a piece that was promised whole is mapped by a superpage."""
        pages = range(piece * PIECE, (piece + 1) * PIECE)
        pte = self.m.pager.touch(space, piece * SUPERPGSIZE)
        if all(map(space.promised, pages)):
            assert pte & PTE_SUPER and pte & PTE_W, "the first ones fit in memory"
            space.pages |= {page: (bytearray(PGSIZE), RW) for page in pages}
        elif space.promised(pages[0]):
            space.pages[pages[0]] = (bytearray(PGSIZE), RW)
        assert bool(pte) == (pages[0] in space.pages)

    @rule(space=spaces, target=spaces, sp=SIZES)
    def fork(self, space: Space, sp: int) -> Space:
        child = Space(self.m.space())
        self.m.cow.copy(space, child, 0, space.sz, sp)
        child.sz = space.sz
        child.pages = {
            page: (bytearray(data) if perm & PTE_W else data, perm)
            for page, (data, perm) in space.pages.items()
        }
        self.live.append(child)
        return child

    @rule(space=spaces, va=SIZES, n=st.integers(-1, 3 * PGSIZE))
    def copyin(self, space: Space, va: int, n: int) -> None:
        if space.expected(va, n, PTE_R, faults=True):
            assert self.m.usercopy.copyin(space, va, n) == space.read(va, n)
        else:
            with pytest.raises(BadAddress):
                self.m.usercopy.copyin(space, va, n)

    @rule(space=spaces, va=SIZES, data=st.binary(max_size=40), times=st.sampled_from([1, 50, 150]))
    def copyout(self, space: Space, va: int, data: bytes, times: int) -> None:
        data *= times
        done = 0
        while done < len(data):  # as the kernel does: what lies before the bad page is stored
            step = min(PGSIZE - (va + done) % PGSIZE, len(data) - done)
            if not space.expected(va + done, step, PTE_W, faults=True):
                break
            at = (va + done) % PGSIZE
            space.pages[(va + done) // PGSIZE][0][at : at + step] = data[done : done + step]
            done += step
        if done == len(data):
            self.m.usercopy.copyout(space, va, data)
        else:
            with pytest.raises(BadAddress):
                self.m.usercopy.copyout(space, va, data)

    @rule(space=spaces, va=SIZES, limit=st.integers(0, 2 * PGSIZE))
    def copyinstr(self, space: Space, va: int, limit: int) -> None:
        found = bytearray()
        for at in range(va, va + limit):
            if not space.expected(at, 1, PTE_R, faults=True):
                break
            byte = space.pages[at // PGSIZE][0][at % PGSIZE]
            if not byte:
                assert self.m.usercopy.copyinstr(space, va, limit) == found
                return
            found.append(byte)
        with pytest.raises(BadAddress):
            self.m.usercopy.copyinstr(space, va, limit)

    @rule(space=consumes(spaces))
    def end(self, space: Space) -> None:
        self.m.vm.free_user(space, space.sz)
        self.live.remove(space)

    @invariant()
    def tables_say_what_the_model_says(self) -> None:
        base = self.m.ram.base
        for space in self.live:
            top = max([space.sz, *((page + 1) * PGSIZE for page in space.pages)])
            leaves = self.m.pages(space, top)
            assert leaves.keys() == space.pages.keys()
            for page, (data, perm) in space.pages.items():
                pte, pa = leaves[page]
                rights = pte & (RW | PTE_X) | (PTE_W if pte & PTE_COW else 0)
                assert rights == perm and (pte & (PTE_W | PTE_COW)) != PTE_W | PTE_COW
                assert not pte & PTE_W or self.m.owners(space, page * PGSIZE, pa) == 1
                assert self.m.ram.bytes[pa - base : pa - base + PGSIZE] == data
            for page in list(space.pages)[::100]:
                for access, right in RIGHTS.items():
                    found = self.m.physical(space, page * PGSIZE, access)
                    assert found == (leaves[page][1] if leaves[page][0] & right else None)

    @invariant()
    def every_frame_is_accounted_for(self) -> None:
        used = set()
        for space in self.live:
            used |= frames_of(self.m, space.root)
        assert self.m.frames.free_frames == self.m.all_frames - len(used)

    def teardown(self) -> None:
        for space in self.live:
            self.m.vm.free_user(space, space.sz)
        assert self.m.frames.free_frames == self.m.all_frames


def frames_of(m: Machine, table: int, level: int = 2) -> set[int]:
    """All frames of the allocator that a page table consists of or maps, found without the kernel's walk."""
    found = {table}
    first = (table - m.ram.base) // 8
    for pte in m.ram.u64[first : first + 512].tolist():
        if pte & PTE_V:
            pa = pte >> 10 << 12
            if pte & PTE_SUPER:
                assert level == 1 and pte & PTE_R
                found |= {pa + i * PGSIZE for i in range(PIECE)}
            elif level:
                assert not pte & (PTE_R | PTE_W | PTE_X)
                found |= frames_of(m, pa, level - 1)
            elif pa >= m.frames.first_pa:
                found.add(pa)
    return found


AddressSpaces.TestCase.settings = SMALL
TestAddressSpaces = pytest.mark.slow(AddressSpaces.TestCase)


# --- one rule at a time ---


def test_trampoline_and_trapframe_are_not_the_users() -> None:
    m = Machine()
    pagetable = m.space()
    assert m.frames.free_frames == m.all_frames - EMPTY_SPACE_FRAMES
    for access in Access:
        assert m.physical(pagetable, TRAMPOLINE, access) is None
        assert m.physical(pagetable, TRAPFRAME, access) is None
    assert m.physical(pagetable, TRAMPOLINE + 4, Access.FETCH, user=False) == m.trampoline + 4
    assert m.physical(pagetable, TRAMPOLINE, Access.STORE, user=False) is None
    assert m.physical(pagetable, TRAPFRAME, Access.STORE, user=False) == m.trapframe
    assert m.physical(pagetable, TRAPFRAME, Access.FETCH, user=False) is None


@pytest.mark.parametrize("va", [TRAMPOLINE, TRAPFRAME, MAXVA, -1, 1 << 63, (1 << 64) - 1, MAXVA - 8])
def test_no_pointer_reaches_the_kernels_pages(va: int) -> None:
    m = Machine()
    pagetable = m.space()
    before = m.frames.free_frames
    for sz in (0, PGSIZE, TRAPFRAME):
        space = Space(pagetable, sz)
        with pytest.raises(BadAddress):
            m.usercopy.copyin(space, va, 16)
        with pytest.raises(BadAddress):
            m.usercopy.copyout(space, va, b"x" * 16)
    with pytest.raises(BadAddress):
        m.usercopy.copyinstr(space, va, 16)
    assert m.vm.peek(pagetable, va, 1) is None
    assert m.frames.free_frames == before


def test_fork_shares_all_pages_but_the_one_of_the_stack_pointer() -> None:
    m = Machine()
    parent, child = Space(m.space(), 3 * PGSIZE), Space(m.space(), 3 * PGSIZE)
    m.vm.grow(parent, 0, PGSIZE, RX)
    m.vm.grow(parent, PGSIZE, 3 * PGSIZE, RW)
    m.cow.copy(parent, child, 0, parent.sz, sp=2 * PGSIZE + 8)

    def frames(page: int) -> list[int]:
        return [m.pages(space, space.sz)[page][1] for space in (parent, child)]

    text, data, stack = map(frames, range(3))
    assert text[0] == text[1] and data[0] == data[1] and stack[0] != stack[1]
    assert [m.frames.owners(pa) for pa in (text[0], data[0], stack[0], stack[1])] == [2, 2, 1, 1]
    m.usercopy.copyout(child, PGSIZE, b"child")
    assert frames(1) == [data[0], m.pages(child, child.sz)[1][1]] and frames(1)[1] != data[0]
    assert (m.counts.cow_copied, m.counts.cow_taken) == (2, 1)
    m.usercopy.copyout(parent, PGSIZE, b"parent")
    assert frames(1)[0] == data[0], "the last owner takes the frame"
    assert (m.counts.cow_copied, m.counts.cow_taken) == (2, 2)
    m.vm.free_user(parent, parent.sz)
    assert m.frames.owners(text[1]) == 1


def test_fork_shares_the_tables_of_a_large_heap_whole() -> None:
    m = Machine(64 << 20)
    sz = 7 * SUPERPGSIZE + 5 * PGSIZE
    parent, child = Space(m.space(), sz), Space(m.space(), sz)
    for va in range(0, sz, PGSIZE):
        m.vm.map_new(parent, va, RW)
    before = m.frames.free_frames
    m.cow.copy(parent, child, 0, sz, sp=100)
    assert before - m.frames.free_frames == 4, "the table with sp, its page, the last table, one of level 1"
    m.usercopy.copyout(child, 3 * SUPERPGSIZE, b"own")
    assert before - m.frames.free_frames == 6, "one table and one page more"
    m.vm.unmap(parent, SUPERPGSIZE + PGSIZE, sz)
    assert m.usercopy.copyin(child, 3 * SUPERPGSIZE, 3) == b"own"
    m.vm.free_user(parent, SUPERPGSIZE + PGSIZE)
    assert m.usercopy.copyin(child, sz - 4, 4) == bytes(4)
    m.vm.free_user(child, sz)
    assert m.frames.free_frames == m.all_frames


@pytest.mark.parametrize("forked", [False, True])
def test_a_superpage_splits_where_a_part_is_given_back(forked: bool) -> None:
    m = Machine()
    sz = 2 * SUPERPGSIZE
    space = Space(m.space(), sz)
    m.vm.grow(space, 0, sz, RW)
    assert len(list(m.vm.leaves(space, 0, sz))) == 2
    m.usercopy.copyout(space, sz - SUPERPGSIZE // 2 - 4, b"kept")
    child = m.space()
    if forked:
        m.cow.copy(space, child, 0, sz)
    m.vm.unmap(space, sz - SUPERPGSIZE // 2, sz)
    leaves = list(m.vm.leaves(space, 0, sz))
    assert len(leaves) == 1 + PIECE // 2 and not any(pte & PTE_SUPER for _, _, pte in leaves[1:])
    assert m.usercopy.copyin(space, sz - SUPERPGSIZE // 2 - 4, 4) == b"kept"
    assert m.vm.peek(child, sz - SUPERPGSIZE // 2 - 4, 4) == (b"kept" if forked else None)
    m.vm.free_user(space, sz - SUPERPGSIZE // 2)
    m.vm.free_user(child, sz)
    assert m.frames.free_frames == m.all_frames
    m.vm.grow(again := m.space(), 0, sz, RW)
    assert len(list(m.vm.leaves(again, 0, sz))) == 2, "the single frames were put together again"


def test_guard_page_is_nobodys() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.grow(pagetable, 0, 2 * PGSIZE, RW)
    generation = pagetable.generation
    m.vm.forbid(pagetable, 0)
    assert pagetable.generation > generation
    for access in Access:
        assert m.physical(pagetable, 0, access) is None
    space = Space(pagetable, 2 * PGSIZE)
    with pytest.raises(BadAddress):
        m.usercopy.copyout(space, 0, b"x")
    m.cow.copy(pagetable, m.space(), 0, 2 * PGSIZE)
    assert not m.pager.fault(space, 0, PTE_W), "it stays so after a fork"


@pytest.mark.parametrize("what", ["unmap", "copy", "break_cow", "forbid", "free"])
def test_a_mapping_that_goes_asks_for_a_flush(what: str) -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.grow(pagetable, 0, PGSIZE, RW)
    generation = pagetable.generation
    assert not generation, "a new mapping needs none"
    if what == "unmap":
        m.vm.unmap(pagetable, 0, PGSIZE)
    elif what == "copy":
        m.cow.copy(pagetable, m.space(), 0, PGSIZE)
    elif what == "break_cow":
        m.cow.copy(pagetable, m.space(), 0, PGSIZE)
        generation = pagetable.generation
        m.cow.break_cow(pagetable, 0)
    elif what == "forbid":
        m.vm.forbid(pagetable, 0)
    else:
        m.vm.free_user(pagetable, PGSIZE)
    assert pagetable.generation > generation


def test_tables_that_go_ask_for_a_flush_even_where_no_page_went() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.free_user(pagetable, 0)
    assert pagetable.generation


@pytest.mark.parametrize("low", [0, SUPERPGSIZE // 2])
@pytest.mark.parametrize("shared", ["a superpage", "a table"])
def test_of_a_piece_that_is_shared_a_part_goes_and_the_rest_stays(shared: str, low: int) -> None:
    """Whichever end it is; the other process keeps all."""
    m = Machine()
    parent, child = Space(m.space(), SUPERPGSIZE), Space(m.space(), SUPERPGSIZE)
    if shared == "a superpage":
        m.vm.grow(parent, 0, SUPERPGSIZE, RW)
    else:
        for va in range(0, SUPERPGSIZE, PGSIZE):
            m.vm.map_new(parent, va, RW)
    m.cow.copy(parent, child, 0, SUPERPGSIZE)
    m.vm.unmap(parent, low, low + SUPERPGSIZE // 2)
    half = {page for page in range(PIECE) if not low <= page * PGSIZE < low + SUPERPGSIZE // 2}
    assert set(m.pages(parent, SUPERPGSIZE)) == half
    assert len(m.pages(child, SUPERPGSIZE)) == PIECE
    m.vm.free_user(parent, SUPERPGSIZE)
    m.vm.free_user(child, SUPERPGSIZE)
    assert m.frames.free_frames == m.all_frames


def test_a_superpage_takes_the_place_of_an_empty_table() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.map_new(pagetable, 0, RW)
    assert not m.superpages.map(pagetable, 0, RW), "a page is mapped in the piece"
    m.vm.unmap(pagetable, 0, PGSIZE)
    generation = pagetable.generation
    assert m.superpages.map(pagetable, 0, RW)
    assert pagetable.generation > generation, "the hart may know the table"
    m.vm.free_user(pagetable, SUPERPGSIZE)
    assert m.frames.free_frames == m.all_frames, "and the table is free"


def test_code_is_dropped_whenever_a_frame_becomes_executable() -> None:
    m = Machine()
    parent, child = m.space(), m.space()
    m.vm.grow(parent, 0, PGSIZE, RX)
    m.vm.grow(parent, PGSIZE, 2 * PGSIZE, RW | PTE_X)
    m.vm.grow(parent, 2 * PGSIZE, 3 * PGSIZE, RW)
    assert m.dropped == [m.physical(parent, va, Access.LOAD) for va in (0, PGSIZE)]
    m.cow.copy(parent, child, 0, 3 * PGSIZE)
    assert len(m.dropped) == 2, "shared frames hold what they held"
    m.cow.break_cow(child, PGSIZE)
    assert m.dropped[2:] == [m.physical(child, PGSIZE, Access.LOAD)]


def test_code_is_dropped_where_bytes_are_stored_or_rights_are_given() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.grow(pagetable, 0, PGSIZE, RX)
    m.vm.grow(pagetable, PGSIZE, 3 * PGSIZE, RW)
    text, data, more = (m.physical(pagetable, va, Access.LOAD) for va in (0, PGSIZE, 2 * PGSIZE))
    m.dropped.clear()
    m.usercopy.store(pagetable, PGSIZE - 4, b"12345678")
    assert m.dropped == [(text or 0) + PGSIZE - 4], "data may be stored as it is"
    m.dropped.clear()
    m.mmap.protect_pages(pagetable, PGSIZE, 2 * PGSIZE, RX, private=True)
    m.mmap.protect_pages(pagetable, 2 * PGSIZE, 3 * PGSIZE, PTE_R, private=True)
    assert m.dropped == [data] and m.physical(pagetable, 2 * PGSIZE, Access.LOAD) == more


@pytest.mark.parametrize("private", [False, True])
def test_rights_are_taken_and_given_back(private: bool) -> None:
    """A private page that may be written again is copied first: it may be another's too by now."""
    m = Machine()
    pagetable = m.space()
    m.vm.grow(pagetable, 0, 2 * PGSIZE, RW)

    def may(perm: int) -> tuple[int, bool]:
        generation = pagetable.generation
        m.mmap.protect_pages(pagetable, 0, PGSIZE, perm, private=private)
        return m.vm.pte(pagetable, 0) & (RW | PTE_X | PTE_COW | PTE_U), pagetable.generation > generation

    assert may(RW) == (RW | PTE_U, True)
    assert may(0) == (PTE_R, True), "nobody's: R keeps it a leaf"
    assert may(PTE_R) == (PTE_R | PTE_U, True)
    assert may(RW) == (PTE_R | PTE_U | (PTE_COW if private else PTE_W), True)
    assert may(RX) == (RX | PTE_U, True)
    assert m.vm.pte(pagetable, PGSIZE) & 0x3FF == RW | PTE_U | PTE_V


def test_a_frame_that_is_mapped_has_an_owner_more_unless_that_fails() -> None:
    m = Machine()
    pagetable = m.space()
    kept = m.frames.alloc()
    m.out_of_memory_after(1)
    with pytest.raises(OutOfMemory):
        m.vm.map_shared(pagetable, 0, kept, PTE_R)
    assert m.frames.owners(kept) == 1
    m.memory_is_back()
    m.vm.map_shared(pagetable, 0, kept, PTE_R)
    assert m.frames.owners(kept) == 2


def test_only_what_is_missing_is_mapped_around() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.map_new(pagetable, PGSIZE, RW)
    there = m.vm.pte(pagetable, PGSIZE)
    kept = [m.frames.alloc() for _ in range(3)]
    assert m.mmap.map_missing(pagetable, 0, [kept[0], kept[1], 0, kept[2]], PTE_R) == [kept[0], kept[2]]
    assert m.vm.pte(pagetable, PGSIZE) == there and not m.vm.pte(pagetable, 2 * PGSIZE)
    assert [m.frames.owners(pa) for pa in kept] == [2, 1, 2]
    assert m.physical(pagetable, 3 * PGSIZE, Access.LOAD) == kept[2]


def test_a_page_gets_a_frame_of_its_own_once() -> None:
    m = Machine()
    pagetable = m.space()
    kept = m.frames.alloc()
    m.vm.map_shared(pagetable, 0, kept, RX)
    generation = pagetable.generation
    m.cow.own_page(pagetable, 0)
    own = m.physical(pagetable, 0, Access.FETCH)
    assert own != kept and pagetable.generation > generation and m.frames.owners(kept) == 1
    m.cow.own_page(pagetable, 0)
    assert m.physical(pagetable, 0, Access.FETCH) == own


@pytest.mark.parametrize("page", ["single", "in a table", "super"])
def test_what_fork_takes_the_right_from_asks_for_a_flush(page: str) -> None:
    m = Machine()
    size = PGSIZE if page == "single" else SUPERPGSIZE
    pagetable = m.space()
    if page == "in a table":
        m.vm.map_new(pagetable, 5 * PGSIZE, RW)
    else:
        m.vm.grow(pagetable, 0, size, RW)
    generation = pagetable.generation
    m.cow.copy(pagetable, m.space(), 0, size)
    assert pagetable.generation > generation


@pytest.mark.parametrize("room", [True, False])
def test_a_superpage_that_is_shared_is_copied_whole_or_by_single_pages(room: bool) -> None:
    m = Machine()
    parent, child = m.space(), m.space()
    m.vm.grow(parent, 0, SUPERPGSIZE, RW)
    m.usercopy.store(parent, 7 * PGSIZE, b"seven")
    m.cow.copy(parent, child, 0, SUPERPGSIZE)
    if not room:
        m.frames.alloc_super = lambda: 0  # type: ignore[method-assign]
    generation = child.generation
    m.cow.break_cow(child, 0)
    assert child.generation > generation, "the frame is another"
    leaves = list(m.vm.leaves(child, 0, SUPERPGSIZE))
    assert len(leaves) == (1 if room else PIECE)
    assert all(pte & (RW | PTE_COW) == RW and bool(pte & PTE_SUPER) == room for _, _, pte in leaves)
    assert m.vm.peek(child, 7 * PGSIZE, 5) == b"seven"
    before = m.frames.free_frames
    m.cow.break_cow(parent, 0)
    assert m.frames.free_frames == before, "the last owner takes it as it is"
    for pagetable in (parent, child):
        m.vm.free_user(pagetable, SUPERPGSIZE)
    assert m.frames.free_frames == m.all_frames


@pytest.mark.parametrize("n", [1, 2, 3, PIECE + 1])
def test_a_copy_by_single_pages_for_which_there_is_no_memory_leaves_nothing(n: int) -> None:
    m = Machine()
    parent, child = m.space(), m.space()
    m.vm.grow(parent, 0, SUPERPGSIZE, RW)
    m.cow.copy(parent, child, 0, SUPERPGSIZE)
    before, was = m.frames.free_frames, m.vm.pte(child, 0)
    m.out_of_memory_after(n)
    m.frames.alloc_super = lambda: 0  # type: ignore[method-assign]
    with pytest.raises(OutOfMemory):
        m.cow.break_cow(child, 0)
    assert m.frames.free_frames == before and m.vm.pte(child, 0) == was


def test_the_page_for_ugetpid_is_read_only() -> None:
    m = Machine()
    page = m.frames.alloc()
    pagetable = AddressSpace(m.vm.create_user(m.trapframe, m.trampoline, page))
    found = [m.physical(pagetable, USYSCALL, access) for access in (Access.LOAD, Access.STORE, Access.FETCH)]
    assert found == [page, None, None]
    assert m.physical(m.space(), USYSCALL, Access.LOAD) is None


def test_a_bit_that_is_taken_from_an_entry_asks_for_a_flush() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.grow(pagetable, 0, PGSIZE, RW | PTE_A | PTE_D)
    generation = pagetable.generation
    m.vm.clear(pagetable, m.vm.walk(pagetable, 0), PTE_D)
    assert pagetable.generation > generation and m.vm.pte(pagetable, 0) & (PTE_A | PTE_D) == PTE_A


def test_mapping_twice_is_a_bug() -> None:
    m = Machine()
    pagetable = m.space()
    m.vm.map_new(pagetable, 0, RW)
    for again in (
        lambda: m.vm.map_new(pagetable, 0, RW),
        lambda: m.vm.mappage(pagetable, 0, m.trapframe, RW),
    ):
        with pytest.raises(AssertionError, match="remap"):
            again()
    with pytest.raises(AssertionError, match="no virtual address"):
        m.vm.walk(pagetable, MAXVA)


@given(pages=st.integers(1, 1200), first=st.sampled_from([0, 0x1FF000, 0x3FE00000, 0x40000000]))
@settings(derandomize=True, max_examples=25, deadline=None)
def test_map_range_is_mappage_many_times(pages: int, first: int) -> None:
    m = Machine(8 << 20)
    pagetable = PageTable(m.vm.create())
    pa = 0x1000_0000
    m.vm.map_range(pagetable, first, pa, pages * PGSIZE, RW | PTE_A | PTE_D)
    for page in (0, pages // 2, pages - 1):
        va = first + page * PGSIZE
        assert m.physical(pagetable, va, Access.STORE, user=False) == pa + page * PGSIZE
    assert m.physical(pagetable, first + pages * PGSIZE, Access.LOAD, user=False) is None
    assert first == 0 or m.physical(pagetable, first - PGSIZE, Access.LOAD, user=False) is None
    assert len(list(m.vm.leaves(pagetable, 0, MAXVA))) == pages


def test_leaves_costs_what_is_mapped_and_not_the_range() -> None:
    m = Machine()
    pagetable = m.space()
    for va in (0, 0x20_0000, 0x4000_0000, TRAPFRAME - PGSIZE):
        m.vm.map_new(pagetable, va, RW)
    pieces = list(m.vm.regions(pagetable, 0, TRAPFRAME))
    assert [va for va, _, _ in pieces] == [0, 0x20_0000, 0x4000_0000, TRAPFRAME & -SUPERPGSIZE]
    found = [va for va, _, _ in m.vm.leaves(pagetable, 0, TRAPFRAME)]
    assert found == [0, 0x20_0000, 0x4000_0000, TRAPFRAME - PGSIZE]


# --- buffers ---


def buffer(m: Machine, *ranges: tuple[int, int]) -> UserBuffer:
    """A buffer in a space of three pages of bytes 0, 1, 2 ..., of which the last cannot be used."""
    space = m.space()
    m.vm.grow(space, 0, 3 * PGSIZE, RW)
    m.usercopy.copyout(space, 0, bytes(i % 251 for i in range(2 * PGSIZE)))
    m.vm.forbid(space, 2 * PGSIZE)
    return UserBuffer(m.usercopy, space, *ranges)


def test_a_buffer_goes_through_its_ranges_in_order() -> None:
    buf = buffer(Machine(), (5, 3), (100, 0), (50, -7), (20, 4))
    assert buf.remaining == 7
    assert (buf.take(2), buf.take(3), buf.done) == (b"\5\6", b"\7\x14\x15", 5)
    buf.give_back(3)
    assert (buf.take(100), buf.remaining, buf.take(1), buf.bad) == (b"\7\x14\x15\x16\x17", 0, b"", None)


def test_a_buffer_stores_no_more_than_it_has_room_for() -> None:
    m = Machine()
    buf = buffer(m, (5, 3), (20, 4))
    assert (buf.put(b"abcde"), buf.put(b"fghij"), buf.put(b"k")) == (5, 2, 0)
    read = UserBuffer(m.usercopy, buf._space, (4, 20))
    assert read.take(20) == b"\4abc" + bytes(range(8, 20)) + b"defg"


def test_a_buffer_ends_at_a_bad_address() -> None:
    end = 2 * PGSIZE
    taken, stored = buffer(Machine(), (end - 6, 10), (0, 10)), buffer(Machine(), (end - 6, 10), (0, 10))
    assert len(taken.take(20)) == 6 and taken.bad is not None and taken.bad.va == end
    assert (taken.take(1), taken.remaining) == (b"", 14)
    assert stored.put(bytes(20)) == 6 and stored.bad is not None and stored.bad.va == end


@pytest.mark.parametrize(("n", "unit", "sizes"), [(PGSIZE + 3, 1, [PGSIZE, 3]), (PGSIZE + 3, 2, [PGSIZE, 3])])
def test_the_pieces_of_a_buffer(n: int, unit: int, sizes: list[int]) -> None:
    assert [len(piece) for piece in buffer(Machine(), (0, n)).pieces(unit)] == sizes
    bad = buffer(Machine(), (2 * PGSIZE - 7, 20))
    assert [len(piece) for piece in bad.pieces(unit)] == [7 // unit * unit]
    assert bad.done == 7 // unit * unit


# --- memory runs out ---


def scenario(m: Machine, what: str, parent: AddressSpace) -> None:
    """One operation that takes several frames."""
    if what == "create":
        m.vm.free_user(m.space(), 0)
    elif what == "grow":
        m.vm.grow(parent, 4 * PGSIZE, 0x20_3000, RW)
    elif what == "copy":
        child = m.space()
        try:
            m.cow.copy(parent, child, 0, 0x4000_2000, sp=0x1000)
        finally:
            m.vm.free_user(child, 0)
    elif what == "fault":
        if not m.pager.fault(Space(parent, TRAPFRAME), 0x8000_0000, PTE_W):
            raise OutOfMemory
    elif what == "copyout":
        try:
            m.usercopy.copyout(Space(parent, TRAPFRAME), 0x8000_0000 - 4, b"12345678")
        except BadAddress:
            raise OutOfMemory from None


@pytest.mark.parametrize("what", ["create", "grow", "copy", "fault", "copyout"])
def test_out_of_memory_at_every_allocation_loses_nothing(what: str) -> None:
    m = Machine(8 << 20)
    failures = 0
    for n in range(1, 700):
        parent = m.space()
        m.vm.grow(parent, 0, 4 * PGSIZE, RW)
        for va in (0x20_0000, 0x4000_0000):
            m.vm.map_new(parent, va + PGSIZE, RW)
        if what == "grow":
            m.vm.unmap(parent, 0x20_0000, 0x20_2000)
        before = m.frames.free_frames
        m.out_of_memory_after(n)
        try:
            scenario(m, what, parent)
        except OutOfMemory:
            failures += 1
            m.memory_is_back()
            # Tables that were made on the way stay with the page table; no page does.
            mapped = {va for va, _, _ in m.vm.leaves(parent, 0, TRAPFRAME)}
            pages = {0, 0x1000, 0x2000, 0x3000, 0x4000_1000} | ({0x20_1000} if what != "grow" else set())
            assert mapped - pages <= ({0x7FFF_F000} if what == "copyout" else set())
            assert pages <= mapped
            assert before - m.frames.free_frames <= 4
            m.vm.free_user(parent, TRAPFRAME)
            assert m.frames.free_frames == m.all_frames
        else:
            break
    else:
        pytest.fail("it never came to have enough")
    assert failures >= 3
