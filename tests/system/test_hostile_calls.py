"""Every system call with every argument wrong in every way, from several processes at once.

Hypothesis writes a table of calls as a C array; the program around it (programs/hostile_calls.h) carries it
out in attackers that run side by side.  Whatever they do, the kernel does not raise, the shell goes on, and
the books add up: a leak names its owner and the line that allocated it.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kernel.abi.syscalls import SYSCALLS, Arg, Syscall
from orrery import Machine
from orrery.audit import Audit, track_allocations
from toolchain import cc, fsimage

PROGRAMS = Path(__file__).parent / "programs"
ATTACKERS = 4
UNKNOWN_NUMBERS = (0, -1, 22, 63, 99, 0x7FFFFFFF)

INTS = ("0", "1", "2", "3", "7", "15", "16", "17", "99", "1024", "4096", "0x7fffffff", "-1", "-2", "-4096")
INTS += ("(int)0x80000000", "0x100000000", "0xffffffff00000001")
ADDRESSES = (
    "0", "1", "(uint64)good", "(uint64)good + 1", "(uint64)good + PGSIZE - 3",
    "(uint64)good + sizeof good - 1", "(uint64)unended", "(uint64)attack", "PGSIZE - 1", "0x4000",
    "0x100000", "0x3fffffff", "0x40000000", "KERNBASE", "KERNBASE + 0x100000", "UART0", "PLIC",
    "TRAPFRAME", "TRAPFRAME + 8", "TRAMPOLINE", "TRAMPOLINE - PGSIZE - 1", "MAXVA - 1", "MAXVA",
    "MAXVA + PGSIZE", "1UL << 63", "-1UL", "-8UL", "-PGSIZE",
)  # fmt: skip
PATHS = ("d", "f", "d/f", "d/d", ".", "..", "/", "", "//", "nosuch/f", "f/f", "g" * 14, "g" * 127, "h" * 200)
PATHS += ("console", "/echo", "/README", "d/../f", "\\xff\\x01", "d/./../d/.")
KILLABLE = ("0", "-1", "99999", "0x7fffffff")  # not the shell: it is to tell when all is over


def words(arg: Arg, call: Syscall) -> st.SearchStrategy[str]:
    """C expressions for one argument, good and bad."""
    if call.name == "kill":
        return st.sampled_from(KILLABLE)
    ints, addresses = st.sampled_from(INTS), st.sampled_from(ADDRESSES)
    if arg.kind in ("int", "fd"):
        return ints
    if arg.kind == "str":
        return st.one_of(st.sampled_from(PATHS).map(lambda path: f'(uint64)"{path}"'), addresses)
    if arg.kind == "argv":
        vectors = st.sampled_from(("(uint64)arguments", "(uint64)bad_arguments"))
        return st.one_of(vectors, addresses)
    return addresses


def entry(number: int, args: list[str]) -> str:
    return f"    {{{number}, {{{', '.join(f'(uint64)({arg})' for arg in args) or '0'}}}}},\n"


@st.composite
def one_call(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 15)) == 0:
        args = draw(st.lists(st.sampled_from(ADDRESSES), max_size=6))
        return entry(draw(st.sampled_from(UNKNOWN_NUMBERS)), args)
    call = draw(st.sampled_from(SYSCALLS))
    return entry(call.number, [draw(words(arg, call)) for arg in call.args])


def program(calls: list[str], where: Path) -> bytes:
    where.write_text(
        '#include "hostile_calls.h"\n\n'
        f"static const struct call calls[] = {{\n{''.join(calls)}}};\n\n"
        "int main(void)\n{\n"
        f"    return run_attackers(calls, sizeof calls / sizeof calls[0], {ATTACKERS});\n}}\n"
    )
    (where.parent / "hostile_calls.h").write_text((PROGRAMS / "hostile_calls.h").read_text())
    return cc.compile_user([where])


def attack(elf: bytes) -> None:
    with Machine() as machine:
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


TABLES = st.lists(one_call(), min_size=40, max_size=120)
BOUNDS = settings(
    max_examples=12, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@BOUNDS
@given(calls=TABLES)
def test_every_call_with_every_argument_wrong(
    calls: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    attack(program(calls, tmp_path_factory.mktemp("attack") / "attack.c"))


@pytest.mark.long
@pytest.mark.parametrize("chance", range(20))
def test_every_call_with_every_argument_wrong_long(
    chance: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @seed(chance)
    @settings(BOUNDS, derandomize=False, max_examples=25)
    @given(calls=TABLES)
    def try_some(calls: list[str]) -> None:
        attack(program(calls, tmp_path_factory.mktemp("attack") / "attack.c"))

    try_some()
