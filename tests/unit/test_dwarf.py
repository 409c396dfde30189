"""DWARF: functions, lines, inlined calls and ways to the caller, as our toolchain and others have them."""

import re
import subprocess
from pathlib import Path

import pytest

from orrery.inspect.dwarf import DebugInfo, SourceLine
from toolchain import cc

# Nobody calls the first functions: the linker drops them and moves what DWARF says of them to address 0,
# where main is.
SOURCE = """\
#include "user/user.h"
static int seven(void);
int dropped_early(int x) { return x * 3; }
int dropped_long(int x)
{
    for (int i = 0; i < x; i++)
        printf("%d %d %d\\n", i, x, x * i);
    return x ? dropped_early(x) + 1 : dropped_long(x - 1);
}
static inline __attribute__((always_inline)) int innermost(int x)
{
    return x + getpid();
}
static inline __attribute__((always_inline)) int inner(int x)
{
    return innermost(x) * 2;
}
int main(void)
{
    int sum = seven();
    sum += inner(sum);
    return sum;
}
static __attribute__((noinline)) int seven(void)
{
    int x = getpid();
    return x + 7;
}
"""
MAIN, SEVEN = range(18, 24), range(24, 29)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dwarf") / "prog.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def elf(source: Path) -> bytes:
    return cc.compile_user([source])


@pytest.fixture(scope="module")
def info(elf: bytes) -> DebugInfo:
    return DebugInfo(elf)


def named(info: DebugInfo, name: str) -> range:
    """The addresses of a function."""
    pc = next(pc for pc in range(0, 0x4000, 2) if (f := info.function(pc)) is not None and f.name == name)
    function = info.function(pc)
    assert function is not None and function.low == pc
    return range(function.low, function.high, 2)


def lines(info: DebugInfo, name: str) -> set[int]:
    """The lines that a function's code is said to come from, where it was not inlined from elsewhere."""
    return {info.places(pc)[-1].line for pc in named(info, name)} - {0}


def test_a_function_has_its_own_lines_though_dropped_ones_claim_its_address(info: DebugInfo) -> None:
    assert named(info, "main").start == 0
    assert {19, 20, 21} <= lines(info, "main") <= set(MAIN)
    assert {25, 26, 27} <= lines(info, "seven") <= set(SEVEN)


def test_files_are_named_as_a_person_names_them(info: DebugInfo) -> None:
    assert info.places(0) == (SourceLine("main", "prog.c", 19),)
    assert info.places(named(info, "_start").start)[0].file == "user/lib/start.S"
    (stub,) = info.places(named(info, "getpid").start)
    assert (stub.function, stub.file) == ("getpid", "include/usys.S")


def test_inlined_calls_come_innermost_first(info: DebugInfo) -> None:
    calls = {
        tuple((one.function, one.line, one.inlined) for one in info.places(pc)) for pc in named(info, "main")
    }
    assert (("innermost", 12, True), ("inner", 16, True), ("main", 21, False)) in calls


def test_outside_of_all_code_nothing_is_known(info: DebugInfo) -> None:
    for pc in (0x10_0000, 1 << 40, (1 << 64) - 1):
        assert (info.function(pc), info.places(pc), info.frame_rule(pc)) == (None, (), None)


def test_the_way_to_the_caller_changes_in_the_prologue(info: DebugInfo) -> None:
    code = named(info, "seven")
    rules = {pc: info.frame_rule(pc) for pc in code}
    first = rules[code.start]
    assert first is not None and (first.base, first.offset, first.saved) == (2, 0, {})
    assert any(
        rule is not None and rule.base == 8 and rule.saved == {1: -8, 8: -16} for rule in rules.values()
    )
    assert info.frame_rule(named(info, "getpid").start) is None
    outermost = info.frame_rule(named(info, "_start").start)
    assert outermost is not None and outermost.outermost and not first.outermost


def test_without_dwarf_nothing_is_known(source: Path) -> None:
    stripped = DebugInfo(cc.compile_user([source], debug=False))
    assert not stripped.has_lines and stripped.code == []
    assert (stripped.function(0), stripped.places(0), stripped.frame_rule(0)) == (None, (), None)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"no ELF file at all, but long enough to be one" * 9])
def test_what_is_no_elf_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an ELF file"):
        DebugInfo(data)


def test_the_code_tells_programs_apart(elf: bytes, info: DebugInfo) -> None:
    ((address, code),) = info.code
    assert address == 0 and code in elf and len(code) > 50


@pytest.mark.parametrize(
    "version", ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -gdwarf64"]
)
@pytest.mark.parametrize("folder", ["f", "folder/with/another"])
def test_other_compilers_ways(version: str, folder: str, tmp_path: Path) -> None:
    """All versions of DWARF, one section for all functions, unwinding in .eh_frame, as in stock images."""
    tmp_path /= folder
    tmp_path.mkdir(parents=True)
    source = tmp_path / "other.c"
    source.write_text(re.sub(r"#include.*", "int getpid(void); int printf(const char *, ...);", SOURCE))
    stubs = """
__attribute__((noinline)) int getpid(void) { int pid; asm volatile("li %0, 1" : "=r"(pid)); return pid; }
int printf(const char *format, ...) { return 2; }
"""
    source.write_text(source.read_text() + stubs)
    object_, out = tmp_path / "other.o", tmp_path / "other"
    zig = str(cc.zig_path())
    flags = [
        "--target=riscv64-unknown-elf",
        "-march=rv64gc",
        "-ffreestanding",
        "-fasynchronous-unwind-tables",
    ]
    compile_ = [zig, "clang", *flags, "-O1", *version.split(), "-c", str(source), "-o", str(object_)]
    subprocess.run(compile_, check=True, capture_output=True)
    link = [zig, "ld.lld", "-e", "main", "--image-base=0", "-Ttext=0", str(object_), "-o", str(out)]
    subprocess.run(link, check=True, capture_output=True)
    info = DebugInfo(out.read_bytes())
    assert {20, 21} <= lines(info, "main") <= set(MAIN) and not info.trouble
    assert info.places(named(info, "seven").start)[0].file.endswith("other.c")
    rule = info.frame_rule(named(info, "seven").start)
    assert rule is not None and (rule.base, rule.offset) == (2, 0)
