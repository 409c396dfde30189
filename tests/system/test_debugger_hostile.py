"""Debug information that nobody vouches for: a session goes on whatever is in the file, and so do backtraces.

A scripted session looks at all that a program's ELF file tells, on a target whose memory and registers are
those of a program that has stopped in it.  No machine runs, so that many files can be tried.
"""

import random
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from elftools.elf.elffile import ELFFile
from orrery_cli import INCLUDES

from emu.cpu.hart import USER
from orrery.debugger.commands.interpreter import Interpreter
from orrery.debugger.debugger import Debugger
from orrery.inspect.dwarf import DebugInfo
from orrery.timetravel.moment import Moment
from orrery.timetravel.registers import NAMES, PC, PRIV
from orrery.timetravel.target import ProcessInfo
from orrery.timetravel.timeline import Timeline
from toolchain import cc

PROGRAM = """
struct node { struct node *next; int key; unsigned bits : 3; char name[8]; };
enum color { RED, GREEN = 5 };
struct node first = {0, 1, 2, "one"}; enum color color = GREEN; long double wide = 1.5L;
int grid[2][3]; int (*fn)(int); void *volatile kept;
static inline __attribute__((always_inline)) int inlined(int x) { int y = x * 3; return y + 1; }
static int deep(int n, struct node *node)
{
    int vla[n + 1];
    vla[n] = inlined(n) + node->key;
    return vla[n];
}
int main(int argc, char **argv)
{
    fn = (int (*)(int))deep;
    kept = &wide;
    int sum = deep(argc, &first);
    return sum + color + grid[1][1];
}
"""
SCRIPT = (
    "backtrace full",
    "info frame",
    "info locals",
    "info args",
    "up",
    "info locals",
    "print first",
    "print *first.next",
    "print node",
    "print vla",
    "print grid[1][1]",
    "print wide",
    "print color",
    "ptype struct node",
    "whatis fn",
    "print/x first",
    "print &first.name",
    "info functions",
    "info variables",
    "info types",
    "info scope deep",
    "info line deep",
    "info source",
    "info symbol 0",
    "info address first",
    "list deep",
    "break deep",
    "tbreak 11",
    "break inlined",
    "info breakpoints",
    "disassemble",
    "x/3i $pc",
    "watch first.key",
    "condition 1 n == 2",
    "display sum",
    "print deep::n",
    "print sizeof(struct node)",
    "finish",
)
SECTIONS = (
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_line_str",
    ".debug_loclists",
    ".debug_rnglists",
    ".debug_frame",
    ".symtab",
    ".strtab",
    ".shstrtab",
)
PID = 2
STACK = 0x3F00


class Still:
    """A target whose process 2 stands in the program at `pc`, and does nothing else."""

    def __init__(self, elf: bytes, loaded: list[tuple[int, bytes]], pc: int) -> None:
        self._elf = elf
        self._loaded = [*loaded, (STACK - 0x100, bytes(0x400))]
        self.moment = Moment(0, False, USER, pc)
        self.current = PID
        self.on_slice: Callable[[], None] = lambda: None
        self.awaits_keys = False

    def registers(self, pid: int) -> list[int]:
        found = [0] * len(NAMES)
        found[PC], found[PRIV], found[2], found[8] = self.moment.pc, USER, STACK, STACK + 0x60
        return found

    def read(self, pid: int, address: int, n: int) -> bytes:
        for low, data in self._loaded:
            if low <= address < low + len(data):
                return data[address - low : address - low + n]
        return b""

    def processes(self) -> list[ProcessInfo]:
        return [ProcessInfo(PID, "prog", "run", 1, True)]

    def program(self, pid: int) -> bytes:
        return self._elf

    def program_named(self, name: str) -> bytes:
        return b""

    def step(self, *_: Any) -> Any:
        raise LookupError("the machine stands still")

    resume = step

    def set_places(self, places: object) -> None:
        pass

    catch = set_places


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("hostile") / "prog.c"
    source.write_text(INCLUDES + PROGRAM)
    return cc.compile_user([source], optimize=False)


@pytest.fixture(scope="module")
def loaded(program: bytes) -> list[tuple[int, bytes]]:
    """The segments of the program, as exec reads them."""
    segments = ELFFile(BytesIO(program)).iter_segments()
    return [(one["p_vaddr"], one.data().ljust(one["p_memsz"], b"\0")) for one in segments if one["p_memsz"]]


@pytest.fixture(scope="module")
def pc(program: bytes) -> int:
    """In what deep has inlined."""
    info = DebugInfo(program)
    deep = next(one for one in info.functions if one.name == "deep")
    return [at for at in range(deep.low, deep.high, 2) if len(info.places(at)) > 1][1]


def talk(elf: bytes, loaded: list[tuple[int, bytes]], pc: int) -> dict[str, str]:
    """What a session on this file says, whatever is wrong with it."""
    target = cast(Timeline, Still(elf, loaded, pc))
    try:
        debugger = Debugger(target, {"prog": elf}, [Path("/nowhere")])
    except ValueError:
        return {}
    commands = Interpreter(debugger)
    debugger.moved(PID)
    return {line: commands.execute(line) for line in SCRIPT}


def sections(elf: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of each section."""
    return {one.name: (one["sh_offset"], one["sh_size"]) for one in ELFFile(BytesIO(elf)).iter_sections()}


def test_the_session_sees_what_the_file_tells(
    program: bytes, loaded: list[tuple[int, bytes]], pc: int
) -> None:
    said = talk(program, loaded, pc)
    assert said["backtrace full"].startswith("#0  inlined (x=0) at prog.c:"), said["backtrace full"]
    assert f"first\n{said['print first']}" == 'first\n$1 = {next = 0x0, key = 1, bits = 2, name = "one"}\n'
    assert said["print wide"].endswith("= 1.5\n") and said["print color"].endswith("= GREEN\n")
    assert "4 bytes" in said["info scope deep"] and said["info symbol 0"] != "No symbol matches 0.\n"


def damaged(program: bytes, chance: random.Random) -> bytes:
    """The file with a few bytes of its debug information, or of its headers, changed, or its end cut off."""
    elf = bytearray(program)
    known = sections(program)
    name = chance.choice([one for one in SECTIONS if one in known])
    low, size = known[name]
    headers = struct.unpack_from("<Q", program, 40)[0]  # e_shoff
    spans = [(low, size)] * 6 + [(0, 64), (headers, len(program) - headers)]
    begin, length = chance.choice(spans)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        at = begin + chance.randrange(length)
        elf[at] = chance.choice(
            (0, 0xFF, 0x7F, 0x80, elf[at] ^ 1 << chance.randrange(8), chance.randrange(256))
        )
    if chance.random() < 0.1:
        del elf[chance.randrange(len(elf)) :]
    return bytes(elf)


def seeds(request: pytest.FixtureRequest) -> Iterator[int]:
    yield from range(4000 if request.config.getoption("--long") else 60)


def test_no_byte_of_it_ends_a_session(
    program: bytes, loaded: list[tuple[int, bytes]], pc: int, request: pytest.FixtureRequest
) -> None:
    for seed in seeds(request):
        elf = damaged(program, random.Random(seed))
        for line, said in talk(elf, loaded, pc).items():
            assert "a fault of the debugger" not in said, (seed, line, said)


def test_the_abbreviation_that_there_is_not(program: bytes, loaded: list[tuple[int, bytes]], pc: int) -> None:
    elf = bytearray(program)
    elf[sections(program)[".debug_abbrev"][0] + 2] = 0x7F
    said = talk(bytes(elf), loaded, pc)
    warnings = [text for text in said.values() if "warning: " in text]
    assert len(warnings) == 1 and warnings[0].count("warning: ") == 1
    assert "#0  0x" in said["backtrace full"] and "deep" in said["backtrace full"]


@pytest.mark.parametrize("cut", ["headers", "end", "count"])
def test_a_file_without_section_headers_is_a_program_without_symbols(
    program: bytes, loaded: list[tuple[int, bytes]], pc: int, cut: str
) -> None:
    elf = bytearray(program)
    if cut == "headers":
        elf[40:48] = bytes(8)
    elif cut == "count":
        elf[58:60] = b"\x10\0"  # e_shentsize: all of them are one
    else:
        del elf[struct.unpack_from("<Q", program, 40)[0] :]
    info = DebugInfo(bytes(elf))
    assert [address for address, _ in info.executable] == [0] and info.executable[0][1].startswith(
        DebugInfo(program).code[0][1]
    )
    said = talk(bytes(elf), loaded, pc)
    assert said["backtrace full"].startswith(f"#0  {pc:#018x} in ?? ()") and "=> " in said["x/3i $pc"]
    assert said["info functions"].startswith("All defined functions:\n")
    assert ("warning: prog: " in "".join(said.values())) == (cut != "headers")


def test_references_may_lead_anywhere(program: bytes, loaded: list[tuple[int, bytes]], pc: int) -> None:
    """To the entry itself, so that types are made of themselves, and to others of any kind."""
    begin, _ = sections(program)[".debug_info"]
    (unit, *_) = ELFFile(BytesIO(program)).get_dwarf_info().iter_CUs()
    dies = [one for one in unit.iter_DIEs() if one.tag is not None]
    references = [
        (one.tag, one.offset, attribute.offset)
        for one in dies
        for attribute in one.attributes.values()
        if attribute.form == "DW_FORM_ref4"
    ]
    assert len(references) > 20, "there is something to change"

    def changed(goal: Callable[[int], int], only: str = "") -> bytes:
        elf = bytearray(program)
        for tag, die, at in references:
            if tag == only or not only:
                struct.pack_into("<I", elf, begin + at, goal(die) - unit.cu_offset)
        return bytes(elf)

    for tag in sorted({tag for tag, _, _ in references}):
        said = talk(changed(lambda die: die, tag), loaded, pc)
        assert "backtrace full" in said and "a fault of the debugger" not in "".join(said.values())
    said = talk(changed(lambda die: die), loaded, pc)
    assert "without an end" in "".join(said.values())
    for seed in range(12):
        chance = random.Random(seed)
        said = talk(changed(lambda die, chance=chance: chance.choice(dies).offset), loaded, pc)  # type: ignore[misc]
        assert "a fault of the debugger" not in "".join(said.values())
