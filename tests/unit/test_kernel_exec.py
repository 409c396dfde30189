"""exec against damaged programs: whatever the file holds, -1 or a program, and no frame is lost.
The kernel is one of exec_bench.py.
"""

import struct
from pathlib import Path

import pytest
from exec_bench import Bench
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.abi import elf
from kernel.abi.fcntl import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from kernel.abi.memlayout import PGSIZE, TRAPFRAME
from kernel.abi.param import MAXARG, USERSTACK
from kernel.abi.riscv import PTE_R, PTE_W
from kernel.errors import BadAddress
from kernel.exec import Exec
from kernel.fs.vfs import Inode
from kernel.thread import TF_A1, TF_EPC, TF_SP
from kernel.xv6.lab import sys_sigalarm
from kernel.xv6.sysmem import sys_mmap
from kernel.xv6.sysproc import fetch_argv
from toolchain import cc

SH = cc.compile_user([Path(__file__).resolve().parents[2] / "user" / "bin" / "sh.c"])
HEADER = elf.Header.unpack(SH)
assert HEADER is not None
PHDR = [HEADER.phoff + i * elf.PROGRAM_SIZE for i in range(2)]  # text, data
PHDRS_END = PHDR[-1] + elf.PROGRAM_SIZE
LOADED = elf.segments(SH, HEADER)
assert [segment.flags for segment in LOADED] == [elf.PF_R | elf.PF_X, elf.PF_R | elf.PF_W]
FILE_END = max(segment.offset + segment.filesz for segment in LOADED)

STACK = USERSTACK * PGSIZE

# Where in a program header the fields are
FLAGS, OFFSET, VADDR, FILESZ, MEMSZ = 4, 8, 16, 32, 40
WORDS = st.one_of(
    st.sampled_from(
        [0, 1, PGSIZE - 1, PGSIZE, TRAPFRAME, TRAPFRAME - PGSIZE, 1 << 38, 1 << 63, (1 << 64) - 1]
    ),
    st.integers(0, 1 << 16),
    st.integers(0, (1 << 64) - 1),
    st.integers(1, 1 << 14).map(lambda n: (1 << 64) - n),
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def patched(*fields: tuple[int, str, int]) -> bytes:
    """sh with some fields replaced: (offset, struct format, value)."""
    program = bytearray(SH)
    for offset, form, value in fields:
        struct.pack_into(form, program, offset, value)
    return bytes(program)


def test_a_program_as_it_should_be(bench: Bench) -> None:
    k, p = bench.k, bench.p
    assert bench.exec(SH, [b"echo", b"a", b"long one"]) == 3
    assert p.name == "sh" and p.thread.tf[TF_EPC] == HEADER.entry  # type: ignore[union-attr]
    sp, argv = p.thread.tf[TF_SP], p.thread.tf[TF_A1]
    assert sp % 16 == 0 and sp == argv
    pointers = struct.unpack("<4Q", k.copyin(p.space, argv, 32))
    assert pointers[3] == 0 and all(pointer % 16 == 0 for pointer in pointers)
    strings = [k.usercopy.copyinstr(p.space, pointer, 99) for pointer in pointers[:3]]
    assert strings == [b"echo", b"a", b"long one"]
    stack_top = p.space.sz
    with pytest.raises(BadAddress):
        k.copyin(p.space, stack_top - (1 + USERSTACK) * PGSIZE, 1)  # the guard
    assert k.copyin(p.space, stack_top - USERSTACK * PGSIZE, 1) == b"\0"
    text, *_ = LOADED
    assert k.copyin(p.space, 0, text.filesz) == SH[text.offset : text.offset + text.filesz]
    with pytest.raises(BadAddress):
        k.copyout(p.space, 0, b"x")


def test_truncated_at_every_boundary(bench: Bench) -> None:
    for size in {*range(PHDRS_END + 16), *range(0, FILE_END, 37), FILE_END - 1}:
        if size < FILE_END:
            assert bench.exec(SH[:size]) == -1, f"{size} bytes of {FILE_END} are no program"
    assert bench.exec(SH[:FILE_END]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(0, "<I", 0)], id="magic"),
        pytest.param([(56, "<H", 65535)], id="phnum huge"),
        pytest.param([(32, "<Q", 1 << 63)], id="phoff huge"),
        pytest.param([(32, "<Q", (1 << 64) - 1)], id="phoff wraps"),
        pytest.param([(PHDR[0] + VADDR, "<Q", 1)], id="unaligned"),
        pytest.param([(PHDR[0] + VADDR, "<Q", TRAPFRAME)], id="at the trapframe"),
        pytest.param([(PHDR[0] + VADDR, "<Q", TRAPFRAME - PGSIZE)], id="up to the trapframe"),
        pytest.param([(PHDR[0] + VADDR, "<Q", (1 << 64) - PGSIZE)], id="wraps"),
        pytest.param([(PHDR[0] + MEMSZ, "<Q", (1 << 64) - 1)], id="memsz wraps"),
        pytest.param([(PHDR[0] + MEMSZ, "<Q", 1 << 37)], id="memsz huge"),
        pytest.param([(PHDR[0] + MEMSZ, "<Q", 8 << 20)], id="memsz more than there is"),
        pytest.param([(PHDR[0] + FILESZ, "<Q", 1 << 20)], id="filesz over memsz"),
        pytest.param(
            [(PHDR[0] + FILESZ, "<Q", 1 << 20), (PHDR[0] + MEMSZ, "<Q", 1 << 20)], id="filesz over the file"
        ),
        pytest.param([(PHDR[0] + OFFSET, "<Q", (1 << 64) - 1)], id="offset wraps"),
        pytest.param([(PHDR[1] + VADDR, "<Q", 1 << 36)], id="a hole too large"),
    ],
)
def test_refused(bench: Bench, fields: list[tuple[int, str, int]]) -> None:
    assert bench.exec(patched(*fields)) == -1


def test_a_segment_over_the_text_changes_nobody_elses(bench: Bench) -> None:
    """A writable segment over the text, which other processes run: it gets a copy, as exec() checks."""
    over = patched(
        (PHDR[1] + FLAGS, "<I", elf.PF_R | elf.PF_W),
        (PHDR[1] + OFFSET, "<Q", 0),
        (PHDR[1] + VADDR, "<Q", 0),
        (PHDR[1] + FILESZ, "<Q", 64),
        (PHDR[1] + MEMSZ, "<Q", 64),
    )
    text = LOADED[0]
    assert bench.exec(over) == 1
    assert bench.k.copyin(bench.p.space, 0, 128) == SH[:64] + SH[text.offset + 64 : text.offset + 128]
    with pytest.raises(BadAddress):
        bench.k.copyout(bench.p.space, 0, b"x")


def test_zeroes_behind_the_file_part_of_a_page(bench: Bench) -> None:
    """.bss begins in the last page of .data, and nothing of the file shows there."""
    short = patched((PHDR[1] + FILESZ, "<Q", 8), (PHDR[1] + MEMSZ, "<Q", 2 * PGSIZE))
    assert bench.exec(short) == 1
    data = LOADED[1]
    expected = SH[data.offset : data.offset + 8] + bytes(2 * PGSIZE - 8)
    assert bench.k.copyin(bench.p.space, data.vaddr, 2 * PGSIZE) == expected
    assert any(SH[data.offset + 8 : data.offset + PGSIZE]), "there was something that could have shown"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PHDR),
            st.sampled_from(
                [(0, "<I"), (FLAGS, "<I"), (OFFSET, "<Q"), (VADDR, "<Q"), (FILESZ, "<Q"), (MEMSZ, "<Q")]
            ),
            WORDS,
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(derandomize=True, max_examples=300, deadline=None)
def test_any_fields(fields: list[tuple[int, tuple[int, str], int]]) -> None:
    bench = shared_bench()
    bench.exec(
        patched(
            *(
                (at + offset, form, value % (1 << 8 * struct.calcsize(form)))
                for at, (offset, form), value in fields
            )
        )
    )


@given(st.binary(min_size=0, max_size=300), st.integers(0, PHDRS_END))
@example(b"", 0)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_any_bytes(noise: bytes, at: int) -> None:
    shared_bench().exec(SH[:at] + noise + SH[at + len(noise) :])


def shared_bench() -> Bench:
    """One bench for all examples."""
    global _bench
    if _bench is None:
        _bench = Bench()
    return _bench


_bench: Bench | None = None


# --- arguments ---


@pytest.mark.parametrize(
    "argv, expected",
    [
        ([b"echo"] * MAXARG, MAXARG),
        ([b"echo"] * (MAXARG + 1), -1),
        ([b"x" * (STACK - 40)], 1),
        ([b"x" * (STACK - 17)], 1),  # all of it: the string with its NUL, and 16 bytes of argv
        ([b"x" * (STACK - 16)], -1),
        ([b"x" * (STACK - 1)], -1),
        ([b"x" * STACK], -1),
        ([b"x" * 1000] * (4 * USERSTACK), 4 * USERSTACK),
        ([b"x" * 1000] * (4 * USERSTACK + 1), -1),
        ([b""] * 8, 8),
    ],
)
def test_arguments_fit_on_the_stack_or_not(bench: Bench, argv: list[bytes], expected: int) -> None:
    assert bench.exec(SH, argv) == expected


@pytest.mark.parametrize("argc", [1, 2, 3, 4])
def test_argv_ends_with_a_null(bench: Bench, argc: int) -> None:
    """The last word, be there padding behind it or a string."""
    bench.exec(SH, [b"an argument"] * argc)
    pointers = struct.unpack(
        f"<{argc + 1}Q", bench.k.copyin(bench.p.space, bench.p.thread.tf[TF_A1], 8 * argc + 8)
    )
    assert all(pointers[:-1]) and pointers[-1] == 0


@pytest.mark.parametrize(
    ("count", "length", "fits"),
    [
        (0, 0, True),
        (MAXARG - 1, 4, True),
        (MAXARG, 4, False),
        (1, PGSIZE - 1, True),
        (1, PGSIZE, False),
    ],
)
def test_argv_is_fetched_up_to_its_limits(bench: Bench, count: int, length: int, fits: bool) -> None:
    """MAXARG words with the NULL, each string within a page with its NUL."""
    k, p = bench.k, bench.p
    bench.exec(SH)
    old = p.space.sz
    k.vm.grow(p.space, old, old + 3 * PGSIZE, PTE_R | PTE_W)
    p.space.sz = old + 3 * PGSIZE
    k.copyout(p.space, old, b"".join(struct.pack("<Q", old + PGSIZE) for _ in range(count)) + bytes(8))
    k.copyout(p.space, old + PGSIZE, b"x" * length + bytes(1))
    if fits:
        assert fetch_argv(k.usercopy, p.space, old) == [b"x" * length] * count
    else:
        with pytest.raises(BadAddress):
            fetch_argv(k.usercopy, p.space, old)
    bench.exec(SH)


def test_of_the_old_program_nothing_goes_on(bench: Bench) -> None:
    """Neither its mappings nor its alarm."""
    k, p = bench.k, bench.p
    bench.exec(SH)
    sys_sigalarm(k, p, 1, 0x100)
    at = sys_mmap(k, p, 0, PGSIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)
    k.copyout(p.space, at, b"x")
    assert bench.exec(SH) == 1
    assert p.traits.alarm is None and not p.space.vmas
    with pytest.raises(BadAddress):
        k.copyin(p.space, at, 1)


def test_bit_0_of_the_entry_does_not_count(bench: Bench) -> None:
    assert bench.exec(patched((24, "<Q", HEADER.entry | 1))) == 1  # type: ignore[union-attr]
    assert bench.p.thread.tf[TF_EPC] == HEADER.entry  # type: ignore[union-attr]


@pytest.mark.parametrize("stored_to", [False, True])
def test_text_of_a_file_that_programs_may_store_to_is_not_shared(bench: Bench, stored_to: bool) -> None:
    k, p = bench.k, bench.p
    ip = Inode(k.fs, 9, k, k.inodes)
    ip.writable_mappings = int(stored_to)
    new = k.exec._build(p, [b"sh"], ip, lambda offset, n: SH[offset : offset + n])
    assert bool(k.text.inodes.get(ip)) != stored_to
    k.vm.free_user(new.space, new.space.sz)
    k.text.drop(ip)


def test_the_machines_own_program_is_that_of_process_1_and_of_its_child_till_that_execs(bench: Bench) -> None:
    class Family:
        def __init__(self, name: str, parent: "Family | None") -> None:
            self.name, self.parent = name, parent

    init = Family("init", None)
    child, other = Family("init", init), Family("sh", init)
    cases = [(init, True), (child, True), (other, False), (Family("init", child), False)]
    for p, starts in cases:
        assert Exec._is_start(p) == starts  # type: ignore[arg-type]


def test_out_of_memory_at_every_allocation(bench: Bench) -> None:
    """exec fails at the n-th frame that it wants for every n, and then does not."""
    k = bench.k
    alloc = k.frames.alloc
    for n in range(1, 100):
        left = n

        def limited() -> int:
            nonlocal left
            left -= 1
            return alloc() if left > 0 else 0

        k.frames.alloc = limited  # type: ignore[method-assign]
        try:
            result = bench.exec(SH)
        finally:
            del k.frames.alloc
        if result == 1:
            break
    assert 8 <= n < 100, "root, two middle tables, two tables, text, data, guard and stack"
