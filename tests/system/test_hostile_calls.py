"""Every system call with every argument wrong in every way, from several processes at once.

A table of calls is written as a C array; the program around it (programs/hostile_calls.h) carries it out:
what Hypothesis writes in attackers that run side by side, and every wrong argument of the newer calls in a
process of its own.  Whatever they do, the kernel does not raise, the shell goes on, and the books add up: a
leak names its owner and the line that allocated it.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kernel.abi import kinds
from kernel.abi.syscalls import BY_NAME, LAB_YEAR, SYSCALLS, Arg, Syscall
from orrery import Machine
from orrery.inspect.audit import Audit, track_allocations
from toolchain import cc, fsimage

PROGRAMS = Path(__file__).parent / "programs"
SIDE_BY_SIDE = "run_attackers(calls, sizeof calls / sizeof calls[0], 4)"
ONE_BY_ONE = "run_each(calls, sizeof calls / sizeof calls[0])"
MACHINES = ((LAB_YEAR, False), (2021, True))  # lab year, page at USYSCALL
UNKNOWN_NUMBERS = (0, -1, 22, 63, 99, 0x7FFFFFFF)

INTS = ("0", "1", "2", "3", "7", "15", "16", "17", "99", "1024", "4096", "0x7fffffff", "-1", "-2", "-4096")
INTS += ("(int)0x80000000", "0x100000000", "0xffffffff00000001")
ADDRESSES = (
    "0", "1", "(uint64)good", "(uint64)good + 1", "(uint64)good + PGSIZE - 3",
    "(uint64)good + sizeof good - 1", "(uint64)unended", "(uint64)attack", "PGSIZE - 1", "0x4000",
    "0x100000", "0x3fffffff", "0x40000000", "KERNBASE", "KERNBASE + 0x100000", "UART0", "PLIC",
    "TRAPFRAME", "TRAPFRAME + 8", "TRAMPOLINE", "TRAMPOLINE - PGSIZE - 1", "MAXVA - 1", "MAXVA",
    "MAXVA + PGSIZE", "1UL << 63", "-1UL", "-8UL", "-PGSIZE", "USYSCALL", "USYSCALL - PGSIZE",
    "MAXVA - (2UL << 20)", "STACK", "STACK - PGSIZE", "STACK - 1", "(uint64)sbrk(0)", "(uint64)sbrk(0) - 1",
)  # fmt: skip
MAPPINGS = ("MAPPED", "PRIVATE", "READABLE", "COMMON", "ZEROES", "NONE")
INSIDE = (
    "",
    " + PGSIZE",
    " + 2 * PGSIZE",
    " + 3 * PGSIZE",
    " + 1",
    " - 1",
    " + 4 * PGSIZE - 1",
    " + (2UL << 20)",
)
LENGTHS = (
    "0", "1", "PGSIZE - 1", "PGSIZE", "PGSIZE + 1", "2 * PGSIZE", "4 * PGSIZE", "2UL << 20", "1UL << 38",
    "MAP_TOP", "MAXVA", "1UL << 63", "-1UL", "-PGSIZE", "-MAPPED", "-PGSIZE - 1", "1UL << 32", "0xffffffffUL",
)  # fmt: skip
RIGHTS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "-1", "0x80000000")
MAP_FLAGS = ("0x01", "0x02", "0x21", "0x22", "0x11", "0x12", "0x31", "0x32", "0", "3", "0x33", "0x42", "-1")
SYNC_FLAGS = ("0", "1", "2", "4", "5", "6", "7", "8", "-1")
OFFSETS = ("0", "PGSIZE", "2 * PGSIZE", "1", "PGSIZE + 1", "MAXVA", "-PGSIZE", "1UL << 63", "1UL << 32")
PATHS = ("d", "f", "d/f", "d/d", ".", "..", "/", "", "//", "nosuch/f", "f/f", "g" * 14, "g" * 127, "h" * 200)
PATHS += ("mapped", "l", "console", "/echo", "/README", "d/../f", "\\xff\\x01", "d/./../d/.")
KILLABLE = ("0", "-1", "99999", "0x7fffffff")  # not the shell: it is to tell when all is over


OWN_WORDS = {
    ("kill", "pid"): KILLABLE,
    ("mmap", "flags"): MAP_FLAGS,
    ("mmap", "offset"): OFFSETS,
    ("mmap", "len"): LENGTHS,
    ("munmap", "len"): LENGTHS,
    ("mprotect", "len"): LENGTHS,
    ("msync", "len"): LENGTHS,
    ("msync", "flags"): SYNC_FLAGS,
    ("mmap", "prot"): RIGHTS,
    ("mprotect", "prot"): RIGHTS,
}


def words(arg: Arg, call: Syscall) -> st.SearchStrategy[str]:
    """C expressions for one argument, good and bad."""
    if (call.name, arg.name) in OWN_WORDS:
        return st.sampled_from(OWN_WORDS[call.name, arg.name])
    ints = st.sampled_from(INTS)
    mapped = st.builds("{}{}".format, st.sampled_from(MAPPINGS), st.sampled_from(INSIDE))
    addresses = st.one_of(st.sampled_from(ADDRESSES), mapped)
    if isinstance(arg.kind, kinds.Int):
        return ints
    if isinstance(arg.kind, kinds.Str):
        return st.one_of(st.sampled_from(PATHS).map(lambda path: f'(uint64)"{path}"'), addresses)
    if isinstance(arg.kind, kinds.Argv):
        vectors = st.sampled_from(("(uint64)arguments", "(uint64)bad_arguments"))
        return st.one_of(vectors, addresses)
    return addresses


def entry(number: int, args: list[str]) -> str:
    return ", ".join([str(number), *(f"(uint64)({arg})" for arg in [*args, *["0"] * (6 - len(args))])])


@st.composite
def one_call(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 15)) == 0:
        args = draw(st.lists(st.sampled_from(ADDRESSES), max_size=6))
        return entry(draw(st.sampled_from(UNKNOWN_NUMBERS)), args)
    call = draw(st.sampled_from(SYSCALLS))
    return entry(call.number, [draw(words(arg, call)) for arg in call.args])


def program(calls: list[str], how: str, where: Path) -> bytes:
    """A program with a table of calls, which `how` carries out."""
    table = "".join(f"    set(&calls[{i}], {call});\n" for i, call in enumerate(calls))
    where.write_text(
        '#include "hostile_calls.h"\n\n'
        f"static struct call calls[{len(calls)}];\n\nint main(void)\n{{\n{table}    return {how};\n}}\n"
    )
    (where.parent / "hostile_calls.h").write_text((PROGRAMS / "hostile_calls.h").read_text())
    return cc.compile_user([where])


def attack(elf: bytes, lab: int = LAB_YEAR, usyscall: bool = False) -> None:
    with Machine(lab=lab, usyscall=usyscall) as machine:
        machine.kernel.modules[b"attack"] = elf
        sites = track_allocations(machine.kernel)
        machine.boot()
        assert machine.sh("mkdir d; attack", timeout_s=1000).endswith("attacked\n")
        # Not echo: the attackers may have opened it with O_TRUNC.
        assert machine.sh("ls nosuch", timeout_s=100) == "ls: cannot open nosuch\n"
        assert Audit(machine.kernel, sites).findings() == []
        drive = machine.board.drive
        assert drive is not None
        fsimage.check(drive.read(0, drive.capacity), "the image after the attack")


# --- tables at random ---

TABLES = st.lists(one_call(), min_size=40, max_size=120)
BOUNDS = settings(
    max_examples=12, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@BOUNDS
@given(calls=TABLES, machine=st.sampled_from(MACHINES))
def test_every_call_with_every_argument_wrong(
    calls: list[str], machine: tuple[int, bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    attack(program(calls, SIDE_BY_SIDE, tmp_path_factory.mktemp("attack") / "attack.c"), *machine)


@pytest.mark.long
@pytest.mark.parametrize("chance", range(20))
def test_every_call_with_every_argument_wrong_long(
    chance: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @seed(chance)
    @settings(BOUNDS, derandomize=False, max_examples=25)
    @given(calls=TABLES, machine=st.sampled_from(MACHINES))
    def try_some(calls: list[str], machine: tuple[int, bool]) -> None:
        attack(program(calls, SIDE_BY_SIDE, tmp_path_factory.mktemp("attack") / "attack.c"), *machine)

    try_some()


# --- each argument of the newer calls, one wrong at a time ---

GOOD = {
    "trace": ["0"],
    "sysinfo": ["(uint64)good"],
    "interpose": ["1 << 15", '(uint64)"f"'],
    "sigalarm": ["1", "(uint64)attack"],
    "sigreturn": [],
    "symlink": ['(uint64)"f"', '(uint64)"l"'],
    "mmap": ["0", "4 * PGSIZE", "3", "0x22", "-1", "0"],
    "munmap": ["MAPPED", "4 * PGSIZE"],
    "pgaccess": ["ZEROES", "64", "(uint64)good"],
    "pgpte": ["ZEROES"],
    "kpgtbl": [],
    "mprotect": ["MAPPED", "4 * PGSIZE", "1"],
    "msync": ["MAPPED", "4 * PGSIZE", "4"],
    "ttymode": ["0", "2"],
}
ALL_ADDRESSES = (*ADDRESSES, *(base + offset for base in MAPPINGS for offset in INSIDE))


def wrong(arg: Arg, call: Syscall) -> tuple[str, ...]:
    """All that is tried for one argument."""
    if isinstance(arg.kind, kinds.Str):
        return tuple(f'(uint64)"{path}"' for path in PATHS) + ALL_ADDRESSES
    return OWN_WORDS.get((call.name, arg.name), INTS if isinstance(arg.kind, kinds.Int) else ALL_ADDRESSES)


def one_at_a_time() -> list[str]:
    calls = []
    for name, good in GOOD.items():
        call = BY_NAME[name]
        calls.append(entry(call.number, good))
        for i, arg in enumerate(call.args):
            calls += [entry(call.number, [*good[:i], bad, *good[i + 1 :]]) for bad in wrong(arg, call)]
    return calls


def test_every_call_since_22_is_attacked() -> None:
    ours_before = {"poweroff", "ps"}
    assert set(GOOD) | ours_before == {call.name for call in SYSCALLS if call.number >= 22}
    assert all(len(good) == len(BY_NAME[name].args) for name, good in GOOD.items())


@pytest.mark.parametrize("machine", MACHINES)
def test_one_argument_wrong_at_a_time(machine: tuple[int, bool], tmp_path: Path) -> None:
    calls = one_at_a_time()
    assert len(calls) > 1000
    attack(program(calls, ONE_BY_ONE, tmp_path / "attack.c"), *machine)
