"""exec of programs of any segments, in any order and over each other, against a model of what xv6 does.

In xv6 each segment extends the memory to its own end, with its own rights, and stores its bytes over what is
there.  A page so has the rights of the first segment that reached it, and the bytes of the last.  Afterwards
the process lives on: it forks, stores, gives memory back and takes it again.
"""

import struct
from dataclasses import dataclass

import pytest
from exec_bench import Bench
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.abi.param import SEGMENTS_MAX, USERSTACK
from kernel.abi.riscv import PTE_COW, PTE_R, PTE_SUPER, PTE_U, PTE_W, PTE_X
from kernel.errors import SyscallError
from kernel.mm.pagetable import pgroundup
from kernel.mm.space import AddressSpace
from kernel.proc import Process
from kernel.xv6.sysmem import sys_sbrk

MEM_MIB = 14  # five superpages, and some hundred frames
MAX = (1 << 64) - 1
HEADERS_END = elf.HEADER_SIZE + 8 * elf.PROGRAM_SIZE
BODY = bytes(range(1, 252)) * 100  # no page of it is like another
PT_NOTE = 4
R, W, X = elf.PF_R, elf.PF_W, elf.PF_X


@dataclass(frozen=True)
class Piece:
    """A program header."""

    vaddr: int
    memsz: int
    flags: int = R
    filesz: int = 0
    offset: int = HEADERS_END
    type: int = elf.PT_LOAD


def program(*pieces: Piece, size: int | None = None) -> bytes:
    """An ELF file with these headers and BODY, cut off at `size`."""
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 243, 1, 0, 64, 0, 0, 64, 56, len(pieces), 0, 0, 0
    )
    table = b"".join(
        struct.pack("<IIQQQQQQ", p.type, p.flags, p.offset, p.vaddr, p.vaddr, p.filesz, p.memsz, PGSIZE)
        for p in pieces
    )
    return ((header + table).ljust(HEADERS_END, b"\0") + BODY)[:size]


class Expected:
    """What xv6 makes of the headers: `pages` has the rights by page number, `stored` the bytes in order."""

    def __init__(self, pieces: tuple[Piece, ...], file: bytes) -> None:
        self.sz = 0
        self.pages: dict[int, int] = {}
        self.stored: list[tuple[int, bytes]] = []
        self.good = all(self._load(p, file) for p in pieces if p.type == elf.PT_LOAD)
        self.frames = len(self.pages)

    def _load(self, p: Piece, file: bytes) -> bool:
        end = p.vaddr + p.memsz
        data = file[p.offset : p.offset + p.filesz]
        if p.memsz < p.filesz or p.vaddr % PGSIZE or end > 64 << 20 or len(data) < p.filesz:
            return False
        perm = PTE_R | (PTE_W if p.flags & W else 0) | (PTE_X if p.flags & X else 0)
        for page in range(pgroundup(self.sz) // PGSIZE, pgroundup(end) // PGSIZE):
            self.pages[page] = perm
        self.sz = max(self.sz, end)
        self.stored.append((p.vaddr, data))
        return True

    def bytes_of(self, page: int) -> bytes:
        """What is in a page."""
        at, found = page * PGSIZE, bytearray(PGSIZE)
        for va, data in self.stored:
            low, high = max(at, va), min(at + PGSIZE, va + len(data))
            if low < high:
                found[low - at : high - at] = data[low - va : high - va]
        return bytes(found)


def check(bench: Bench, pieces: tuple[Piece, ...], size: int | None = None) -> bool:
    """Exec, compare, live on; whether it ran."""
    file = program(*pieces, size=size)
    expected = Expected(pieces, file)
    ran = bench.exec(file) == 1
    if not expected.good:
        assert not ran
    elif expected.frames < (MEM_MIB - 8) << 8:
        assert ran, "there is memory for it"
    if ran:
        compare(bench, expected)
        live_on(bench, expected)
    return ran


def compare(bench: Bench, expected: Expected) -> None:
    """The address space is the expected one, with guard and stack behind it."""
    k, p = bench.k, bench.p
    base = pgroundup(expected.sz) // PGSIZE
    found = {}
    for va, _, pte in k.vm.leaves(p.space, 0, p.space.sz):
        assert not (pte & PTE_SUPER and pte & PTE_X), "superpages hold no text"
        for page in range(va // PGSIZE, (va + (SUPERPGSIZE if pte & PTE_SUPER else PGSIZE)) // PGSIZE):
            found[page] = pte & (PTE_R | PTE_W | PTE_X | PTE_U)
    guard, stack = {base: PTE_R | PTE_W}, [base + 1]
    assert p.space.sz == (base + 2) * PGSIZE
    assert found == {
        **{page: perm | PTE_U for page, perm in expected.pages.items()},
        **guard,
        **dict.fromkeys(stack, PTE_R | PTE_W | PTE_U),
    }
    for page in sample(expected):
        assert k.vm.peek(p.space, page * PGSIZE, PGSIZE) == expected.bytes_of(page)


def sample(expected: Expected) -> list[int]:
    """Pages worth a look: those with bytes of the file, the first and the last of all, some in between."""
    of_file = {
        page for va, data in expected.stored for page in range(va // PGSIZE, -(-(va + len(data)) // PGSIZE))
    }
    pages = sorted(expected.pages)
    return sorted(of_file | {*pages[:2], *pages[-2:], *pages[::200]})


def live_on(bench: Bench, expected: Expected) -> None:
    """Fork, store on both sides, give back and take again: nobody sees the other's, no frame is lost."""
    k, p = bench.k, bench.p
    before = k.frames.free_frames
    child = Process(2, k.personality)
    child.space = AddressSpace(k.vm.create_user(p.thread.trapframe_pa, k.image.trampoline))
    try:
        k.cow.copy(p.space, child.space, 0, p.space.sz)
        child.space.sz = p.space.sz
        for page in sample(expected)[:8]:
            store(bench, child, page, expected)
            store(bench, p, page, expected)
    except SyscallError:  # no memory for a copy
        assert k.frames.free_frames < 2 * SUPERPGSIZE // PGSIZE
    k.vm.free_user(child.space, child.space.sz)
    size = p.space.sz
    for keep in (size - PGSIZE, size // 2, PGSIZE, 0):
        assert sys_sbrk(k, p, keep - p.space.sz, 0) >= 0
        assert sys_sbrk(k, p, 3 * PGSIZE, 1) == keep
    assert k.copyin(p.space, 0, 3 * PGSIZE) == bytes(3 * PGSIZE)
    k.copyout(p.space, 0, b"heap")
    sys_sbrk(k, p, -p.space.sz, 0)
    assert k.frames.free_frames >= before


def store(bench: Bench, p: Process, page: int, expected: Expected) -> None:
    """The kernel stores for a process where it may, and where it may not it says so."""
    k, at = bench.k, page * PGSIZE
    assert k.vm.peek(p.space, at, PGSIZE) == expected.bytes_of(page)
    if expected.pages[page] & PTE_W:
        k.copyout(p.space, at + 5, b"%d" % p.pid)
        data = expected.bytes_of(page)
        assert k.copyin(p.space, at, PGSIZE) == data[:5] + b"%d" % p.pid + data[6:]
        assert not k.vm.pte(p.space, at) & PTE_COW
    else:
        with pytest.raises(SyscallError):
            k.copyout(p.space, at + 5, b"x")


BORDERS = [0, 1, PGSIZE - 1, PGSIZE, PGSIZE + 1, 0x1800, 3 * PGSIZE]
LARGE = [SUPERPGSIZE + n for n in (-PGSIZE, -1, 0, 1, PGSIZE)] + [2 * SUPERPGSIZE, 2 * SUPERPGSIZE + 1]
SIZES = st.one_of(st.sampled_from(BORDERS), st.sampled_from(BORDERS), st.sampled_from(LARGE))
WILD = st.sampled_from(
    [1, 0x801, 1 << 31, 1 << 32, (1 << 38) - 2 * PGSIZE, 1 << 38, 1 << 63, MAX - 0xFFF, MAX]
)
SOMETIMES = st.integers(0, 30).map(lambda n: n == 0)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    memsz = draw(SIZES)
    vaddr = draw(
        st.one_of(st.integers(0, 6).map(PGSIZE.__mul__), st.sampled_from(LARGE).map(lambda n: n & -PGSIZE))
    )
    filesz = min(memsz, draw(st.sampled_from([0, 1, 0x800, PGSIZE, PGSIZE + 1, 0x2800])))
    offset = draw(st.sampled_from([0, 0x100, HEADERS_END, 0x1000, 0x2003]))
    values = [vaddr, memsz, filesz, offset]
    if draw(SOMETIMES):
        values[draw(st.integers(0, 3))] = draw(WILD)
    vaddr, memsz, filesz, offset = values
    return Piece(
        vaddr, memsz, draw(st.integers(0, 7)), filesz, offset, draw(st.sampled_from([1, 1, 1, 1, PT_NOTE]))
    )


MODULE_BENCH: list[Bench] = []


@given(st.lists(pieces(), max_size=8), st.sampled_from([None] * 6 + [0x1000, 0x3000]))
@settings(derandomize=True, max_examples=100, deadline=None)
@example([Piece(0, 3 << 20, R | X)], None)
@example([Piece(0, 3 << 20, R | W | X)], None)
@example([Piece(0, 0x1800, R | X, 0x1800), Piece(0x1000, 0x1800, R | X, 0x1800)], None)
@example([Piece(3 << 20, 1, R | X, 1), Piece(0, PGSIZE, R | W, 5)], None)
def test_segments_do_what_xv6_does(segments: list[Piece], size: int | None) -> None:
    if not MODULE_BENCH:
        MODULE_BENCH.append(Bench(MEM_MIB))
    check(MODULE_BENCH[0], tuple(segments), size)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(MEM_MIB)


def test_large_data_has_superpages_and_large_text_has_not(bench: Bench) -> None:
    def supers() -> int:
        return sum(bool(pte & PTE_SUPER) for *_, pte in bench.k.vm.leaves(bench.p.space, 0, bench.p.space.sz))

    for flags, count in ((R, 1), (R | W, 1), (R | X, 0), (R | W | X, 0)):
        assert bench.exec(program(Piece(0, 3 << 20, flags, 100))) == 1
        assert supers() == count, f"flags {flags}"


@pytest.mark.parametrize("count, expected", [(0, 1), (SEGMENTS_MAX, 1), (SEGMENTS_MAX + 1, -1), (65535, -1)])
def test_as_many_headers_as_there_may_be(bench: Bench, count: int, expected: int) -> None:
    assert bench.exec(program(*[Piece(0, 100, R | W)] * count)) == expected


def stack_pages(bench: Bench, *wanted: int) -> int:
    """How many pages the stack has of a program that asks for so many bytes; the guard below is nobody's."""
    asks = [Piece(0, size, R | W, type=elf.PT_GNU_STACK) for size in wanted]
    assert bench.exec(program(Piece(0, 3 * PGSIZE, R | W), *asks)) == 1
    k, p = bench.k, bench.p
    assert k.vm.pte(p.space, 3 * PGSIZE) & (PTE_R | PTE_U) == PTE_R
    with pytest.raises(SyscallError):
        k.copyin(p.space, 4 * PGSIZE - 1, 1)
    stack = k.copyin(p.space, 4 * PGSIZE, p.space.sz - 4 * PGSIZE)
    assert len(stack) % PGSIZE == 0
    return len(stack) // PGSIZE


@pytest.mark.parametrize(
    "lab, wanted, pages",
    [
        (2025, (), 1),
        (2025, (0,), 1),
        (2025, (1,), 1),
        (2025, (PGSIZE + 1,), USERSTACK),
        (2024, (MAX,), USERSTACK),
        (2024, (2 * PGSIZE, 0), 1),
        (2023, (2 * PGSIZE,), 1),
    ],
)
def test_a_stack_is_as_large_as_program_and_year_say(lab: int, wanted: tuple[int, ...], pages: int) -> None:
    assert stack_pages(Bench(lab=lab), *wanted) == pages


@pytest.mark.parametrize("ustack", [1, 2, 3, 512])
def test_a_machine_may_say_how_large_stacks_are(ustack: int) -> None:
    bench = Bench(MEM_MIB, ustack=ustack)
    for wanted in ((), (2 * PGSIZE,), (MAX,)):
        assert stack_pages(bench, *wanted) == ustack


def test_arguments_may_fill_the_stack_and_no_more() -> None:
    bench, page = Bench(ustack=3), b"x" * (PGSIZE - 1)
    assert bench.exec(program(Piece(0, 100, R | W)), [page] * 2) == 2
    assert bench.exec(program(Piece(0, 100, R | W)), [page] * 3) == -1


def test_the_guard_stays_below_a_stack_that_has_a_superpage() -> None:
    bench = Bench(MEM_MIB, ustack=600)
    for size in (SUPERPGSIZE - PGSIZE, SUPERPGSIZE):
        assert bench.exec(program(Piece(0, size, R | W))) == 1
        k, p = bench.k, bench.p
        assert k.vm.pte(p.space, SUPERPGSIZE if size < SUPERPGSIZE else 0) & PTE_SUPER
        with pytest.raises(SyscallError):
            k.copyin(p.space, size + PGSIZE - 1, 1)
        assert not any(k.copyin(p.space, size + PGSIZE, 590 * PGSIZE))


@pytest.mark.long
@settings(max_examples=3000, deadline=None)
@given(st.lists(pieces(), max_size=8), st.sampled_from([None, 0x1000, 0x3000]))
def test_segments_do_what_xv6_does_long(segments: list[Piece], size: int | None) -> None:
    test_segments_do_what_xv6_does.hypothesis.inner_test(segments, size)  # type: ignore[attr-defined]
