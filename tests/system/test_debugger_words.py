"""What is typed to the debugger, and its answers: gdb's words, for what is right and for what is wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from debugged import ProgramSession
from orrery_cli import INCLUDES

PROGRAM = """
struct bits { unsigned b : 3; int s : 5; } bits;
struct player { int score; char name[8]; } players[2] = {{1, "Ada"}, {2, "Bob"}};
long double wide = 3.25L; void *volatile kept;
static int leaf(int n) { return n * 2; }
int main(int argc, char **argv)
{
    int n = argc + 1;
    int grid[n][n];
    int (*row)[n] = grid;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            grid[i][j] = 10 * i + j;
    bits.b = grid[1][1] & 1;
    bits.s = -leaf(n);
    kept = &wide;
    return bits.b + players[1].score + row[1][0];
}
"""
SAID = {
    "print grid": "$1 = {{0, 1}, {10, 11}}\n",
    "print sizeof grid": "$2 = 16\n",
    "print *grid": "$3 = {0, 1}\n",
    "print grid[1]": "$4 = {10, 11}\n",
    "whatis grid": "type = int [2][2]\n",
    "whatis row": "type = int (*)[]\n",
    "print row[1]": "Cannot perform pointer math on incomplete types, "
    "try casting to a known type, or void *.\n",
    "print wide": "$5 = 3.25\n",
    "print wide * 2": "$6 = 6.5\n",
    "print wide = 1.5L": "$7 = 1.5\n",
    "print bits.s = -3": "$8 = -3\n",
    "print bits.b = 9": "$9 = 1\n",
    "print bits": "$10 = {b = 1, s = -3}\n",
    "print players[0].score=1e999": "$11 = -1\n",
    "print $9 + 1": "$12 = 2\n",
    "print leaf(1)": "leaf cannot be called from here: the machine would no longer be as it was.\n",
    "print -5 % 3": "$13 = -2\n",
    r"print '\x41'": "$14 = 65 'A'\n",
    r"print '\377'": "$15 = 255 '\\377'\n",
    r'print "\x41"': '$16 = "A"\n',
    "print/i 5": 'Format letter "i" is meaningless in "print" command.\n',
    "print/2x 5": 'Item count other than 1 is meaningless in "print" command.\n',
    "print/y 5": 'Undefined output format "y".\n',
    "print/w 5": 'Size letters are meaningless in "print" command.\n',
    "print $mine = 4": "$17 = 4\n",
    "print $mine++ + $mine": "$18 = 9\n",
    "info registers nosuch": "Invalid register `nosuch'\n",
    "watch 5": "Cannot watch constant value `5'.\n",
    "watch sizeof(int) + 1": "Cannot watch constant value `sizeof(int) + 1'.\n",
    "break leaf if bogus == 1": 'No symbol "bogus" in current context.\n',
    "watch bits.b if bogus": 'No symbol "bogus" in current context.\n',
    "break leaf if n == 2": "Breakpoint 2 at 0x{leaf:x}: file my prog.c, line {line}.\n",
    "condition 2 bogus==1": 'No symbol "bogus" in current context.\n',
    "condition 2 players[0].score + n": "",
    "condition 2 1 +": "A syntax error in expression, near the end of `1 +'.\n",
    "condition": "Argument required (breakpoint number).\n",
    "set foo bar": 'No symbol "foo" in current context.\n',
    "set nosuch 5": 'No symbol "nosuch" in current context.\n',
    "set print nosuch on": 'Undefined set print command: "nosuch on".\n',
    "set confirm maybe": "set confirm what? on, off.\n",
    "set confirm off": "",
    "set height 0": "",
    "up x": "'x' is no number of frames\n",
    f"directory {'d' * 300}": f"{'d' * 300}: is no directory.\n",
    'printf "%lu\\n", -1': "18446744073709551615\n",
    'printf "%5d|%-5d|%05d|%+d|%05.2d|", 1, 2, 3, 4, 5': "    1|2    |00003|+4|   05|",
    'printf "%#x %#o %#x %hd %hhu", 255, 8, 0, 70000, -1': "0xff 010 0 4464 255",
    'printf "%s %.2s|%5s|%c%%", players[0].name, players[1].name, "x", 65': "Ada Bo|    x|A%",
    'printf "%p %p", 0, 4096': "(nil) 0x1000",
    'printf "%f %g %Lf", 1.5, 2.25f, wide': "1.500000 2.25 1.500000",
    'printf "%d %d", (1, 2), 3': "2 3",
    'printf "%s", 0': "(null)",
    'printf "%q", 1': "Unrecognized format specifier 'q' in printf\n",
    'printf "%n", 1': "Format specifier `n' not supported in printf\n",
    'printf "%*d", 1, 2': "`*' not supported for precision or width in printf\n",
    'printf "%", 1': "Incomplete format specifier at end of format string\n",
    'printf "%d"': "Wrong number of arguments for specified format-string\n",
    'printf "abc': "Bad format string, non-terminated '\"'.\n",
    "printf abc": "Bad format string, missing '\"'.\n",
    'printf "%d" 1': "Invalid argument syntax\n",
    'printf "%s", 5': None,
    'printf "%99999999d", 1': "%99999999d: 10000 characters are the most that printf writes for a value\n",
    "printf": "Argument required (format-control string and values to print).\n",
    r"echo a\tb\n": "a\tb\n",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProgramSession]:
    folder = tmp_path_factory.mktemp("words") / "my folder"
    folder.mkdir()
    (folder / "my prog.c").write_text(INCLUDES + PROGRAM)
    session = ProgramSession(folder / "my prog.c")
    session.say(f"tbreak {line('bits.b = grid')}", "continue")
    yield session
    session.timeline.close()


def line(text: str) -> int:
    """The number of a line of the program."""
    return INCLUDES.count("\n") + PROGRAM[: PROGRAM.index(text)].count("\n") + 1


def test_answers(session: ProgramSession) -> None:
    info = session.debugger.info
    assert info is not None, "the program is known"
    leaf = next(one for one in info.functions if one.name == "leaf")
    body = session.debugger.locations(info).body(leaf)
    for command, wanted in SAID.items():
        said = session.say(command)
        if wanted is not None:
            number = f"{line('static int leaf')}"
            assert said == wanted.replace("{leaf:x}", f"{body:x}").replace("{line}", number), command
    here = f"at {body:#x}: file my prog.c, line {number}.\n"
    for place in (
        f'"my prog.c":{number}', f"my prog.c:{number}", f'"my prog.c:{number}"', f"'my prog.c' : {number}",
        "my prog.c:leaf", '"my prog.c":leaf', "leaf",
    ):  # fmt: skip
        assert session.say(f"tbreak {place} if n == 1").endswith(here), place
    assert session.say('break "your prog.c":3') == "No source file named your prog.c.\n"
    assert session.say('break "my prog.c":999') == 'No compiled code for line 999 in file "my prog.c".\n'
    assert session.say("break my prog.c:nobody") == 'Function "nobody" not defined in "my prog.c".\n'
    assert session.say(f'list "my prog.c":{number},{number}').startswith(f"{number}\tstatic int leaf")
    assert session.say("delete", "watch bits.s").endswith(": bits.s\n")
    said = session.say("continue")
    assert "Old value = -3\nNew value = -4\n" in said, said  # and not where its neighbour is stored


def test_a_place_needs_no_memory(session: ProgramSession) -> None:
    """Of the kernel, where no program runs, and of a frame whose variable is in no memory."""
    session.timeline.goto(0)
    session.debugger.moved(session.timeline.current)
    info = session.debugger.info
    assert info is not None, "the program is known"
    at = info.objects["players"][0] + 16
    assert session.say("print &players[1].name").endswith(f"(char (*)[8]) {at:#x} <players+16>\n")
    assert session.say("print sizeof players").endswith(" = 24\n")
    assert session.say("whatis players[0].name") == "type = char [8]\n"
    assert (
        session.say("ptype struct bits")
        == "type = struct bits {\n    unsigned int b : 3;\n    int s : 5;\n}\n"
    )
    assert "Cannot access memory" in session.say("print players[0].score")
    session.say("start")


def test_a_program_without_main_begins_at_its_first_instruction(tmp_path: Path) -> None:
    (tmp_path / "prog.S").write_text(".globl _start\n_start:\n    li a0, 3\n    li a7, 2\n    ecall\n")
    session = ProgramSession(tmp_path / "prog.S")
    try:
        assert session.greeting.startswith('Function "main" not defined; this is the first instruction.\n')
        assert session.greeting.endswith("_start () at prog.S:3\n3\t    li a0, 3\n"), session.greeting
        assert session.say("stepi") == "4\t    li a7, 2\n"
    finally:
        session.timeline.close()


def test_a_fault_of_the_debugger_does_not_end_the_session(
    session: ProgramSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orrery.debugger.commands import interpreter

    def broken(number: int) -> None:
        raise ZeroDivisionError("for a test")

    monkeypatch.setattr(session.debugger.breakpoints, "delete", broken)
    with pytest.raises(ZeroDivisionError):
        session.say("delete 3")
    assert bool(os.environ["ORRERY_STRICT"]) == interpreter.STRICT
    monkeypatch.setattr(interpreter, "STRICT", False)
    assert (
        session.say("delete 3") == "delete: a fault of the debugger itself: ZeroDivisionError: for a test\n"
    )
