"""What a kernel counts on in the MMU, on both engines: A and D bits, superpages, entries that it changes.

The rules of the kernel's pagetable.py: a flush after an entry lost rights, bits or its frame, and none after
one that gained rights or became valid.  A and D are set by the engine in RAM, D by stores alone.
"""

from dataclasses import dataclass, field

import pytest
from assembler import A0, A1, LR, NOP, ZERO, Code, atomic, ld, sd
from bare import ENGINES, TABLES_PA, TEXT, Machine, R, U, V, W, X
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from emu.cpu import engine as e
from emu.cpu.sv39 import Access, PageFault, translate
from emu.ram import PAGE_SIZE, RAM_BASE

A, D = 1 << 6, 1 << 7
RSW = 3 << 8  # the kernel's two bits: the engine neither looks at them nor changes them
SC = 3
BASE = 0x4000_0000  # a gigabyte that the bare machine does not use
SUPER = BASE + 0x20_0000
GIGA = 0xC000_0000
TABLE_PA, LEAVES_PA = RAM_BASE + 0x40000, RAM_BASE + 0x41000
FRAME_PA = RAM_BASE + 0x80000  # and 15 more behind it
FRAMES = 16
CODE_OFFSET = 0x800  # of an instruction in each frame
BEGINS = {1: (SUPER, RAM_BASE), 2: (GIGA, RAM_BASE)}  # of large pages: va, pa
RWXU = R | W | X | U
ACCESSES = ("load", "store", "amo", "lr", "sc", "fetch")
LOOKING = tuple(access for access in ACCESSES if access != "sc")  # sc without lr does not look at the page
CAUSES = {"load": 13, "lr": 13, "fetch": 12, "store": 15, "amo": 15, "sc": 15}
EACH = pytest.mark.parametrize("engine", ENGINES)
STEPPED = pytest.mark.parametrize("stepped", [False, True], ids=["run", "stepped"])


@dataclass
class Trap:
    """An access that ended in the handler."""

    cause: int
    tval: int


@dataclass
class Pages:
    """A program in user mode that makes one access at a time, and the page tables that it goes through."""

    engine: str
    stepped: bool = False
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        code = Code(TEXT)
        code.put(ld(A1, A0, 0), sd(A1, A0, 0), atomic(0, True, A1, A0, A1), atomic(LR, True, A1, A0, 0))
        code.put(atomic(SC, True, ZERO, A0, A1), NOP)
        self.machine = Machine(self.engine, code.finish(), 0)
        self.words = self.machine.board.ram.u64
        for i in range(FRAMES):
            self.words[(FRAME_PA + i * PAGE_SIZE + CODE_OFFSET - RAM_BASE) // 8] = NOP | NOP << 32
        self.set(self.at(TABLES_PA, BASE >> 30), TABLE_PA >> 2 | V)
        self.set(self.at(TABLE_PA, 0), LEAVES_PA >> 2 | V)
        self.flush()

    @staticmethod
    def at(table_pa: int, index: int) -> int:
        return (table_pa - RAM_BASE) // 8 + index

    def set(self, index: int, pte: int) -> None:
        self.words[index] = pte

    def flush(self) -> None:
        self.machine.board.engine.flush_tlb()

    def map(self, level: int, flags: int, pa: int = FRAME_PA, page: int = 0) -> tuple[int, int]:
        """Map a page of level 0, 1 or 2 so that the frame at `pa` can be used; its address and entry."""
        if level == 0:
            va, index, begin = BASE + page * PAGE_SIZE, self.at(LEAVES_PA, page), pa
        else:
            start, begin = BEGINS[level]
            va = start + pa - begin
            index = self.at(TABLE_PA, 1) if level == 1 else self.at(TABLES_PA, GIGA >> 30)
        self.set(index, begin >> 2 | flags | V)
        return va, index

    def do(self, access: str, va: int, value: int = 0) -> int | Trap:
        """Make one access; what was loaded, or how it ended."""
        regs = self.machine.hart.regs
        regs[A0], regs[A1] = va, value
        fetch = access == "fetch"
        regs[e.PC] = va + CODE_OFFSET if fetch else TEXT + 4 * ACCESSES.index(access)
        before, start = self.machine.clock.now, regs[e.PC]
        if self.stepped:
            self.machine.loop.step()
        else:
            self.machine.loop.run(before + 1)
        if regs[e.PRIV] == 0:
            assert self.machine.clock.now == before + 4 and regs[e.PC] == start + 4
            return int(regs[A1])
        assert self.machine.clock.now == before + e.TRAP_TICKS and regs[e.SEPC] == start
        regs[e.PRIV] = 0
        return Trap(regs[e.SCAUSE], regs[e.STVAL])

    def fault(self, access: str, va: int) -> Trap:
        """How `access` to `va` ends where it is not allowed."""
        return Trap(CAUSES[access], va + (CODE_OFFSET if access == "fetch" else 0))

    def word(self, pa: int) -> int:
        return int(self.words[(pa - RAM_BASE) // 8])


LEVELS = pytest.mark.parametrize("level", [0, 1, 2])


@EACH
@STEPPED
@LEVELS
@pytest.mark.parametrize("access", ACCESSES)
def test_who_sets_a_and_d(access: str, level: int, stepped: bool, engine: str) -> None:
    """All set A, the store and the amo D; sc sets it too where it stores, and nothing else changes."""
    pages = Pages(engine, stepped)
    va, index = pages.map(level, RWXU | RSW)
    if access == "sc":
        pages.do("lr", va)
    before = pages.words[index]
    assert not isinstance(pages.do(access, va, 5), Trap)
    stores = access in ("store", "amo", "sc")
    assert pages.words[index] == before | A | (D if stores else 0)
    assert pages.word(FRAME_PA) == (5 if stores else 0)


@EACH
@STEPPED
@LEVELS
def test_a_load_never_sets_d_and_the_next_store_sets_it_again(level: int, stepped: bool, engine: str) -> None:
    """D is cleared in RAM and the TLB flushed, as after write-back: the next store shows, and no load."""
    pages = Pages(engine, stepped)
    va, index = pages.map(level, R | W | U)
    for value in range(1, 5):
        pages.do("store", va + 8, value)
        assert pages.words[index] & (A | D) == A | D
        pages.set(index, pages.words[index] & ~D)
        pages.flush()
        for access in ("load", "lr", "load"):
            assert pages.do(access, va + 8) == value
        assert pages.words[index] & (A | D) == A
    pages.set(index, pages.words[index] & ~A)
    pages.flush()
    pages.do("load", va)
    assert pages.words[index] & (A | D) == A


@EACH
@STEPPED
@LEVELS
@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.parametrize(("flags", "allowed"), [
    (R | U, {"load", "lr"}), (X | U, {"load", "lr", "fetch"}), (R | X | U, {"load", "lr", "fetch"}),
    (R | W | U, set(ACCESSES) - {"fetch"}), (R | W, set()), (W | U, set()), (W | X | U, set()), (0, set()),
])  # fmt: skip
def test_rights(flags: int, allowed: set[str], access: str, level: int, stepped: bool, engine: str) -> None:
    """Of pages of each size. MXR is on: what can be executed can be read.

    What faults sets neither A nor D; but the engine begins an amo as a load, which may set A.
    """
    pages = Pages(engine, stepped)
    va, index = pages.map(level, flags)
    if flags == 0:
        pages.set(index, 0)
    if access == "sc":
        reserved = pages.do("lr", va) == 0
        allowed = allowed if reserved else {"sc"}
    before = pages.words[index]
    result = pages.do(access, va)
    if access in allowed:
        assert not isinstance(result, Trap) and (access == "sc" or pages.words[index] & A)
    else:
        speculated = A if access == "amo" and "load" in allowed else 0
        assert result == pages.fault(access, va) and pages.words[index] | speculated == before | speculated


@EACH
@STEPPED
@pytest.mark.parametrize("access", LOOKING)
@pytest.mark.parametrize("level", [1, 2])
def test_a_misaligned_superpage_faults(level: int, access: str, stepped: bool, engine: str) -> None:
    """Each bit of the frame's number that has to be zero is one in turn; A and D stay clear."""
    for bit in range(9 * level):
        pages = Pages(engine, stepped)
        va, index = pages.map(level, RWXU)
        pages.set(index, pages.words[index] ^ 1 << 10 + bit)
        pages.flush()
        before = pages.words[index]
        assert pages.do(access, va) == pages.fault(access, va)
        assert pages.words[index] == before


@EACH
@STEPPED
def test_an_entry_of_level_0_without_rights_is_no_table(stepped: bool, engine: str) -> None:
    for access in LOOKING:
        pages = Pages(engine, stepped)
        va, index = pages.map(0, U)
        assert pages.do(access, va) == pages.fault(access, va) and not pages.words[index] & (A | D)


# --- the kernel changes an entry ---


@EACH
@STEPPED
@LEVELS
def test_what_became_valid_or_gained_rights_needs_no_flush(level: int, stepped: bool, engine: str) -> None:
    """A lazy page after its fault; a COW page that its last owner takes while the TLB has it, read-only."""
    pages = Pages(engine, stepped)
    va, index = pages.map(level, R | U)
    valid = pages.words[index]
    pages.set(index, 0)
    assert pages.do("load", va) == pages.fault("load", va)
    pages.set(index, valid)
    assert pages.do("load", va) == 0
    assert pages.do("store", va, 1) == pages.fault("store", va)
    assert pages.do("load", va) == 0
    pages.set(index, pages.words[index] | W)
    pages.do("store", va, 7)
    assert pages.word(FRAME_PA) == 7 and pages.words[index] & D


@EACH
@STEPPED
@pytest.mark.parametrize("dirty", [False, True])
def test_copy_on_write_while_the_page_is_in_the_tlb(dirty: bool, stepped: bool, engine: str) -> None:
    """Fork takes W away, the store faults, and goes to the new frame; the old one keeps what it has."""
    pages = Pages(engine, stepped)
    va, index = pages.map(0, R | W | U | (A | D if dirty else 0))
    pages.do("store", va, 1)
    pages.set(index, pages.words[index] & ~W)
    pages.flush()
    assert pages.do("load", va) == 1
    for access in ("store", "amo", "lr", "sc"):
        if access == "lr":
            assert pages.do(access, va) == 1
            continue
        assert pages.do(access, va, 2) == pages.fault(access, va)
        assert pages.words[index] & W == 0 and pages.word(FRAME_PA) == 1
    pages.map(0, R | W | U | A | D, FRAME_PA + PAGE_SIZE)
    pages.words[(FRAME_PA + PAGE_SIZE - RAM_BASE) // 8] = 1
    pages.flush()
    assert pages.do("load", va) == 1
    pages.do("store", va, 2)
    assert (pages.word(FRAME_PA), pages.word(FRAME_PA + PAGE_SIZE)) == (1, 2)


@EACH
@STEPPED
def test_a_superpage_is_split(stepped: bool, engine: str) -> None:
    """The same frames by a table of pages: what was there is there, and each page has bits of its own."""
    pages = Pages(engine, stepped)
    va, index = pages.map(1, R | W | U)
    for i in range(FRAMES):
        pages.do("store", va + i * PAGE_SIZE, i)
    for i in range(512):
        pages.set(pages.at(LEAVES_PA, i), RAM_BASE + i * PAGE_SIZE >> 2 | R | W | U | V)
    pages.set(index, LEAVES_PA >> 2 | V)
    pages.flush()
    first = pages.at(LEAVES_PA, (FRAME_PA - RAM_BASE) // PAGE_SIZE)
    for i in range(FRAMES):
        assert pages.do("load", va + i * PAGE_SIZE) == i
        pages.do("store" if i % 2 else "load", va + i * PAGE_SIZE, i)
    bits = [pages.words[first + i] & (A | D) for i in range(FRAMES)]
    assert bits == [A, A | D] * (FRAMES // 2)


@EACH
@STEPPED
def test_a_shared_table_is_copied_under_the_tlb(stepped: bool, engine: str) -> None:
    """Another table with the same entries takes its place without a flush; A and D go to the new one."""
    pages = Pages(engine, stepped)
    va, index = pages.map(0, R | W | U)
    pages.do("load", va)
    copy = RAM_BASE + 0x42000
    pages.set(pages.at(copy, 0), pages.words[index])
    pages.set(pages.at(TABLE_PA, 0), copy >> 2 | V)
    pages.do("store", va, 3)
    assert pages.words[pages.at(copy, 0)] & D and not pages.words[index] & D


# --- any sequence ---

LARGE = 5  # pages 0 to 4 are small, this one is a superpage
CHANGES = st.tuples(
    st.just("change"), st.integers(0, LARGE), st.integers(0, FRAMES - 1),
    st.sampled_from((0, R | U, R | W | U, R | X | U, R, R | W | U | A | D, X | U, R | W | U | A)),
)  # fmt: skip
USES = st.tuples(
    st.sampled_from(("load", "store", "amo", "fetch")), st.integers(0, LARGE), st.integers(0, 200), st.just(0)
)
STEPS = st.lists(st.one_of(USES, USES, CHANGES), min_size=10, max_size=60)
WANTED: dict[str, Access] = {"load": Access.LOAD, "fetch": Access.FETCH}


def carry_out(pages: Pages, steps: list[tuple[str, int, int, int]]) -> list[object]:
    """Five pages and a superpage, changed and used; each step's result, compared with a walk in Python."""
    ram, satp, seen = pages.machine.board.ram, pages.machine.hart.regs[e.SATP], list[object]()
    for kind, page, number, flags in steps:
        pa = FRAME_PA + number % FRAMES * PAGE_SIZE
        is_super = page == LARGE
        index = pages.at(TABLE_PA, 1) if is_super else pages.at(LEAVES_PA, page)
        va = SUPER + pa - RAM_BASE if is_super else BASE + page * PAGE_SIZE
        if kind == "change":
            pages.set(index, (RAM_BASE if is_super else pa) >> 2 | flags | V if flags else 0)
            pages.flush()
            continue
        before, wanted = pages.words[index], WANTED.get(kind, Access.STORE)
        at = va + (CODE_OFFSET if kind == "fetch" else 8)
        try:
            target = translate(ram, satp, at, wanted, user=True, mxr=True)
        except PageFault as fault:
            assert pages.do(kind, va if kind == "fetch" else at, number) == Trap(fault.cause, at)
            assert pages.words[index] | A == before | A and not (before ^ pages.words[index]) & D
        else:
            old = pages.word(target)
            result = pages.do(kind, va if kind == "fetch" else at, number)
            stores = wanted is Access.STORE
            assert pages.words[index] == before | A | (D if stores else 0)
            expected = {"store": number, "amo": old + number}.get(kind, old)
            assert pages.word(target) == expected
            assert kind not in ("load", "amo") or result == old
        seen.append((pages.words[index], pages.machine.clock.now))
    return seen


@pytest.mark.slow
@given(STEPS, st.booleans())
@settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
def test_both_engines_follow_the_tables(steps: list[tuple[str, int, int, int]], stepped: bool) -> None:
    fast, public = (carry_out(Pages(engine, stepped), steps) for engine in ENGINES)
    assert fast == public
