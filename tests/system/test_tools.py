"""The tools of user/bin, driven through the shell: what they print, their status, what is on the disk then.

One machine for all tests; each test that writes has a directory of its own, in which the shell is meanwhile.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import boot
import pytest

from orrery import Machine

RNG = random.Random(3)
COUNTER = count()
NOISE = bytes(RNG.randrange(256) for _ in range(5000))
LONG = b"x" * 20000  # one line, without an end
NUMBERS = ["10", "9", "-3", "2.5", "2.25", "  7", "007", "x", "-0", "", "1" * 40, "9" * 39, "-2.5"]
TEXT = ["".join(RNG.choice("ab.") for _ in range(RNG.randrange(7))) for _ in range(40)]
PIECES = ("a", "b", ".", r"\.", "a*", "b*", ".*", r"\.*", "ab", "ba*")


def make_pattern() -> str:
    """A regular expression that means the same to Python."""
    body = "".join(RNG.choice(PIECES) for _ in range(RNG.randrange(1, 6)))
    return RNG.choice(("", "", "", "^")) + body + RNG.choice(("", "", "", "$"))


PATTERNS = sorted({make_pattern() for _ in range(60)})


def find_longest(pattern: str, line: str) -> tuple[int, int] | None:
    """Start and end of the leftmost match, and the longest of those."""
    for start in range(len(line) + 1):
        for end in range(len(line), start - 1, -1):
            inner = pattern.removeprefix("^").removesuffix("$")
            if (pattern[0] == "^" and start > 0) or (pattern[-1] == "$" and end < len(line)):
                continue
            if re.fullmatch(inner, line[start:end]):
                return start, end
    return None


# For each pattern that is found: read the text, mark what matches first in each line, print, begin anew.
FOUND = [pattern for pattern in PATTERNS if any(find_longest(pattern, line) for line in TEXT)]
MARK_ALL = "".join(f"r text\n,s/{pattern}/[&]/\n,p\n,d\n" for pattern in FOUND) + "Q\n"

FILES = {
    "noise": NOISE,
    "long": LONG,
    "longwords": (b"y" * 3000 + b"\n") * 3,
    "empty": b"",
    "nul": b"a\0b\nc\0\0d\n\n",
    "unended": b"one\ntwo",
    "numbers": "".join(line + "\n" for line in NUMBERS).encode(),
    "count": b"".join(b"%d\n" % i for i in range(1, 31)),
    "lines": b"".join(b"%d\n" % i for i in range(20000)),
    "text": "".join(line + "\n" for line in TEXT).encode(),
    "markall": MARK_ALL.encode(),
    "repeats": b"ABCDEFGHIJKLMNOP" * 5 + NOISE[:40] + bytes(64),
}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine(boot.image_with(FILES)) as machine:
        machine.boot()
        yield machine


Shell = Callable[..., str]


@pytest.fixture
def sh(machine: Machine) -> Iterator[Shell]:
    """Runs a command in the test's own directory and checks its status; what it printed."""

    def run(command: str, status: int = 0) -> str:
        printed = machine.sh(command)
        assert machine.status == status, f"{command}: status {machine.status}, printed {printed!r}"
        return printed

    name = f"/t{next(COUNTER)}"
    run(f"mkdir {name}")
    machine.sh(f"cd {name}")
    yield run
    machine.sh("cd /")


# --- cp, mv, touch ---


def test_cp_copies_a_file_and_replaces_one(sh: Shell) -> None:
    sh("cp /noise copy")
    assert sh("wc copy") == sh("wc < /noise").rstrip("\n") + "copy\n"
    sh("cp /unended copy")
    assert sh("cat copy") == "one\ntwo"


def test_cp_copies_into_a_directory(sh: Shell) -> None:
    sh("mkdir d")
    sh("cp /unended /empty /count d/")
    assert sh("find d") == "d\nd/unended\nd/empty\nd/count\n"


def test_cp_r_copies_a_tree(sh: Shell) -> None:
    sh("mkdir a a/b a/b/c")
    sh("cp /unended a/b/c/f")
    sh("cp -r a new")
    assert sh("find new") == "new\nnew/b\nnew/b/c\nnew/b/c/f\n"
    assert sh("cat new/b/c/f") == "one\ntwo"
    sh("cp -r a new")  # it is there now: into it
    assert sh("find new -name f") == "new/b/c/f\nnew/a/b/c/f\n"


def test_cp_r_goes_deeper_than_files_can_be_open(sh: Shell) -> None:
    for depth in range(1, 21):
        sh("mkdir t" + "/d" * (depth - 1))
    sh("cp -r t u")
    assert sh("find u | tail -n 1") == "u" + "/d" * 19 + "\n"


def test_cp_r_does_not_copy_a_directory_into_itself_for_ever(sh: Shell) -> None:
    sh("mkdir a")
    sh("cp /unended a/f")
    assert sh("cp -r a a/b", 1) == "cp: cannot copy a directory into itself: a/b\n"
    assert sh("find a") == "a\na/f\na/b\na/b/f\n"
    assert sh("cp -r a/b a", 1) == "cp: cannot copy a directory into itself: a/b\n"


def test_cp_does_not_destroy_what_it_copies(sh: Shell) -> None:
    sh("cp /unended f")
    sh("ln f g")
    assert sh("cp f g", 1) == "cp: f and g are the same file\n"
    assert sh("cp f .", 1) == "cp: f and ./f are the same file\n"
    assert sh("cat g") == "one\ntwo"


def test_mv_renames_replaces_and_moves(sh: Shell) -> None:
    sh("mkdir d")
    sh("cp /unended f")
    sh("mv f g")
    assert sh("find .") == ".\n./d\n./g\n"
    sh("cp /count h")
    sh("mv g h")
    assert sh("cat h") == "one\ntwo"
    sh("touch k")
    sh("mv h k d")
    assert sh("find .") == ".\n./d\n./d/h\n./d/k\n"


def test_mv_loses_nothing_when_it_fails(sh: Shell) -> None:
    sh("cp /unended f")
    sh("mkdir d d/f")
    assert sh("mv nope f", 1) == "mv: cannot open nope\n"
    assert sh("mv f f", 1) == "mv: f and f are the same file\n"
    assert sh("mv f d", 1) == "mv: cannot replace directory d/f\n"
    assert sh("mv f no/f", 1) == "mv: cannot create no/f\n"
    assert sh("mv d e", 1) == "mv: d is a directory (copy it with cp -r, then remove it)\n"
    assert sh("cat f") == "one\ntwo"


def test_touch_makes_files_and_leaves_those_that_are_there(sh: Shell) -> None:
    sh("cp /unended f")
    sh("touch f new . /console")
    assert sh("cat f new") == "one\ntwo"


# --- find ---


def test_find_selects_by_name_and_type(sh: Shell) -> None:
    sh("mkdir a a/b.c")
    sh("touch a/x.c a/y.h a/b.c/x.c main.c")
    assert sh("find -name '*.c'") == "./a/b.c\n./a/b.c/x.c\n./a/x.c\n./main.c\n"
    assert sh("find . -name '*.c' -type f") == "./a/b.c/x.c\n./a/x.c\n./main.c\n"
    assert sh("find a/ main.c -type d") == "a\na/b.c\n"
    assert sh("find a -name '?.?'") == "a/b.c\na/b.c/x.c\na/x.c\na/y.h\n"
    assert sh("find . x.c") == "./a/b.c/x.c\n./a/x.c\n"  # as in the labs
    assert sh("find / -type c") == "/console\n"


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("*", True),
        ("a*b*c", True),
        ("*bb*", True),
        ("*ab?c", False),
        ("?????", True),
        ("????", False),
        ("a", False),
    ],
)
def test_find_matches_patterns(sh: Shell, pattern: str, fits: bool) -> None:
    sh("touch abbac")
    assert sh(f"find . -name '{pattern}' -type f") == ("./abbac\n" if fits else "")


# --- head, tail ---


@pytest.mark.parametrize("name", ["count", "lines", "noise", "long", "empty", "nul", "unended"])
@pytest.mark.parametrize("n", [0, 1, 10, 25])
def test_head_and_tail_print_so_many_lines(sh: Shell, name: str, n: int) -> None:
    lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", FILES[name])
    for command, expected in (("head", lines[:n]), ("tail", lines[-n:] if n else [])):
        assert sh(f"{command} -n {n} /{name}") == b"".join(expected).decode(errors="replace")
        assert sh(f"cat /{name} | {command} -{n} | hexdump") == dump(b"".join(expected))


def test_head_and_tail_print_ten_lines_unless_told(sh: Shell) -> None:
    assert sh("head /count | tail -n 1") == "10\n"
    assert sh("tail < /count | head -n 1") == "21\n"


def test_head_and_tail_print_headers_for_several_files(sh: Shell) -> None:
    expected = "==> /unended <==\none\n\n==> /count <==\n1\n"
    assert sh("head -n1 /unended /count") == expected
    expected = "tail: cannot open nope\n==> /count <==\n30\n\n==> /empty <==\n\n==> /unended <==\ntwo"
    assert sh("tail -1 nope /count /empty /unended", 1) == expected


# --- sort ---


def test_sort_orders_bytes(sh: Shell) -> None:
    expected = sorted(NOISE.split(b"\n"))
    assert sh("sort /noise | hexdump") == dump(b"\n".join(expected) + b"\n")
    assert sh("sort -r < /noise | hexdump") == dump(b"\n".join(expected[::-1]) + b"\n")


def test_sort_takes_many_lines_and_several_files(sh: Shell) -> None:
    lines = sorted(FILES["lines"].split(), reverse=True)
    assert sh("sort -r /lines").encode().split() == lines
    text = [line.encode() for line in TEXT]
    assert sh("sort /text /unended").encode() == b"\n".join(sorted([*text, b"one", b"two"])) + b"\n"
    assert sh("sort -u /text /text").encode() == b"\n".join(sorted(set(text))) + b"\n"
    assert sh("sort /empty") == ""


def test_sort_n_orders_numbers_of_any_length(sh: Shell) -> None:
    order = ["-3", "-2.5", "", "-0", "x", "2.25", "2.5", "  7", "007", "9", "10", "9" * 39, "1" * 40]
    assert sh("sort -n /numbers").split("\n") == [*order, ""]
    assert sh("sort -rn /numbers").split("\n") == [*order[::-1], ""]
    unique = [line for line in order if line not in ("", "-0", "007")]  # the file has x and "  7" before them
    assert sh("sort -n -u /numbers").split("\n") == [*unique, ""]


def test_sort_says_when_memory_is_out() -> None:
    with Machine(boot.image_with(FILES), mem_mib=8) as small:
        printed = small.sh("cat " + "lines " * 12 + "| sort > out")
        assert (printed, small.status) == ("sort: out of memory\n", 1)
        assert small.sh("echo b > f; echo a >> f; sort f") == "a\nb\n"


# --- tee, xargs, sleep ---


def test_tee_copies_and_adds(sh: Shell) -> None:
    assert sh("echo one | tee a b") == "one\n"
    assert sh("echo two | tee -a b c") == "two\n"
    assert sh("cat a b c") == "one\none\ntwo\ntwo\n"
    assert sh("echo three | tee a d/e", 1) == "tee: cannot open d/e\nthree\n"
    assert sh("cat a") == "three\n"


def test_tee_goes_on_when_nobody_reads(sh: Shell) -> None:
    assert sh("cat /lines | tee all | head -n 1") == "0\n"
    assert sh("wc all").split()[0] == "20000"


def test_xargs_runs_a_command_for_each_line(sh: Shell) -> None:
    assert sh("(echo a b; echo; echo '  c ') | xargs echo x y") == "x y a b\nx y c\n"
    assert sh("(echo 1; echo 2) | xargs") == "1\n2\n"
    sh("cp /unended /count .")
    assert sh("find . -type f -name une* | xargs grep t") == "two\n"
    assert sh("xargs nope < /empty") == ""


def test_xargs_n_takes_words_wherever_lines_end(sh: Shell) -> None:
    assert sh("(echo a b c; echo d e) | xargs -n 2 echo -") == "- a b\n- c d\n- e\n"
    assert sh("xargs -n 100 < /count") == " ".join(str(i) for i in range(1, 31)) + "\n"


def test_xargs_splits_what_is_too_much_for_one_command(sh: Shell) -> None:
    sh("xargs -n 1000 < /count > line")
    sh("cat line line line | xargs -n 1000 > out")
    assert sh("cat out").split() == [str(i) for i in range(1, 31)] * 3
    assert sh("wc out").split()[0] == "3"
    assert sh("xargs echo < /longwords", 1) == "xargs: a word or the command is too long\n"


def test_xargs_tells_what_became_of_its_commands(sh: Shell) -> None:
    expected = "cat: cannot open one\ncat: cannot open two\n"
    assert sh("xargs cat < /unended", 123) == expected
    assert sh("xargs nope < /unended", 127) == "xargs: cannot run nope\n"


def test_xargs_keeps_its_input_from_the_command(sh: Shell) -> None:
    assert sh("(echo; echo; echo -) | xargs sort") == ""
    assert sh("(echo /unended; echo /empty) | xargs wc") == "1 2 7 /unended\n0 0 0 /empty\n"


def test_sleep_counts_ticks(sh: Shell, machine: Machine) -> None:
    before = machine.time_ps
    sh("sleep 7")
    assert 0.6 < (machine.time_ps - before) / 1e12 < 0.8


# --- hexdump ---


def dump(data: bytes, show_all: bool = False) -> str:
    """What hexdump -C prints."""
    printed, last, starred = [], None, False
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        if row == last and not show_all:
            printed += [] if starred else ["*"]
            starred = True
            continue
        last, starred = row, False
        cells = [f"{byte:02x}" for byte in row] + ["  "] * (16 - len(row))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        printed.append(f"{at:08x}  {' '.join(cells[:8])}  {' '.join(cells[8:])}  |{text}|")
    return "".join(line + "\n" for line in [*printed, f"{len(data):08x}"]) if data else ""


@pytest.mark.parametrize("name", ["noise", "repeats", "unended", "empty", "long"])
def test_hexdump_prints_every_byte(sh: Shell, name: str) -> None:
    assert sh(f"hexdump -C /{name}") == dump(FILES[name])
    assert sh(f"cat /{name} | hexdump -n 77 -v") == dump(FILES[name][:77], show_all=True)


def test_hexdump_takes_several_files_as_one(sh: Shell) -> None:
    assert sh("hexdump /unended nope /nul", 1) == "hexdump: cannot open nope\n" + dump(
        FILES["unended"] + FILES["nul"]
    )


# --- ed ---

FOUR = "(echo one; echo two; echo three; echo four) > f"


def ed(sh: Shell, script: str, arguments: str = "-s f", status: int = 0) -> str:
    """Run ed with commands that ";" separates, which come from a pipe."""
    typed = "; ".join(f"echo '{line}'" for line in script.split(";"))
    return sh(f"({typed}) | ed {arguments}", status)


def converse(machine: Machine, dialogue: Sequence[tuple[str, str]]) -> None:
    """Type each line, and expect exactly its answer before the next."""
    machine.boot()
    for typed, answer in dialogue:
        machine.type(typed + "\n")
        machine.expect(r"(?:\A|\$ )" + re.escape(f"{typed}\n{answer}") + (r"\Z" if answer else ""))


def test_ed_writes_a_new_file_at_the_console() -> None:
    text = [("a", ""), ("one", ""), ("three", ""), (".", ""), ("1a", ""), ("two", ""), (".", "")]
    look = [(",n", "1\tone\n2\ttwo\n3\tthree\n"), ("w", "14\n"), ("q", "$ ")]
    with Machine() as machine:
        converse(machine, [("ed poem", "ed: poem is a new file\n"), *text, *look])
        assert machine.sh("cat poem") == "one\ntwo\nthree\n"


def test_ed_answers_mistakes_at_the_console_and_goes_on() -> None:
    dialogue = [
        ("ed f", "4\n"),
        ("h", ""),
        ("xyz", "?\n"),
        ("h", "unknown command xyz\n"),
        ("9p", "?\n"),
        ("h", "no such line\n"),
        ("a", ""),
        ("two", ""),
        (".", ""),
        ("q", "?\n"),
        ("h", "changes are not written; the same again loses them\n"),
        ("e", "?\n"),
        ("p", "two\n"),
        ("w no/f", "?\n"),
        ("h", "cannot open no/f\n"),
    ]
    with Machine() as machine:
        machine.sh("echo one > f")
        machine.expect(r"one > f\n\$ \Z")
        converse(machine, dialogue)
        machine.type("\x04")  # the end of the input is a q
        machine.expect(r"\?\n\Z")
        converse(machine, [("q", "$ ")])
        assert machine.sh("cat f") == "one\n"


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (",p", "one\ntwo\nthree\nfour\n"),
        ("p;1;2,3n;.=;=", "four\none\n2\ttwo\n3\tthree\n3\n4\n"),
        ("1;;", "one\ntwo\nthree\n"),
        ("/t/;//;?o?;/e$/-1;$-2n", "two\nthree\ntwo\ntwo\n2\ttwo\n"),
        ("2;+;-1p;+2-3p", "two\nthree\ntwo\none\n"),
        ("3,n;,2n;%p", "3\tthree\n1\tone\n2\ttwo\none\ntwo\nthree\nfour\n"),
        ("2a;x;y;.;=;.,+1p;Q", "6\ny\nthree\n"),
        ("0a;x;.p;.;,3p;Q", "x\n.p\none\n"),
        ("1i;x;.;1,2p;Q", "x\none\n"),
        ("2,3c;x;.;,p;2c;.;p;Q", "one\nx\nfour\nfour\n"),
        ("2ap;x;.;2dn;Q", "x\n2\tx\n"),
        ("2,3d;p;dp;,d;=;Q", "four\none\n0\n"),
        (",s/o/0/g;,n;Q", "1\t0ne\n2\ttw0\n3\tthree\n4\tf0ur\n"),
        (r"1s/n*/-/gp;s,/*,<&\&\,/>,p;Q", "-o-e-\n<&,/>-o-e-\n"),
        ("$s/.*/(&)/p;s/$/!/p;s/^/!/;p;Q", "(four)\n(four)!\n!(four)!\n"),
        (r"3s/e/E/gp;s/h.*//n;s/t/\/.*/;s/\/\.\*/x/p;Q", "thrEE\n3\tt\nx\n"),
        ("3s/e*$/X;s//Y/;p;Q", "thrX\nthrXY\n"),
        ("1r /unended;,p;Q", "one\none\ntwo\ntwo\nthree\nfour\n"),
    ],
)
def test_ed_commands(sh: Shell, script: str, printed: str) -> None:
    sh(FOUR)
    assert ed(sh, script) == printed


def test_ed_reads_and_writes_files(sh: Shell) -> None:
    sh(FOUR)
    assert ed(sh, "f;f new;f;2,3w part;w;w f;q", "f") == "19\nf\nnew\nnew\n10\n19\n19\n"
    assert sh("cat part") == "two\nthree\n"
    assert ed(sh, "1d;w;e /unended;f;wq new", "f") == "19\n15\n8\n/unended\n8\n"
    assert sh("cat f new") == "two\nthree\nfour\none\ntwo\n"
    assert ed(sh, "r f;wq", "") == "15\n15\n"


def test_ed_keeps_bytes_of_any_value(sh: Shell) -> None:
    assert ed(sh, "1s/b$/B/p;w f", "-s /nul") == "a\0B\n"
    assert sh("hexdump f") == dump(b"a\0B\nc\0\0d\n\n")
    ed(sh, "w f", "/noise")
    assert sh("hexdump f") == dump(NOISE + b"\n")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("5p", "no such line"),
        ("1,9d", "no such line"),
        ("0p", "no such line"),
        ("-9p", "no such line"),
        ("99999999999999999999p", "no such line"),
        ("3,1p", "the first line is behind the last"),
        ("1,2,3p", "unknown command ,3p"),
        ("x", "unknown command x"),
        ("1q", "this command is not for lines"),
        ("pz", "the command goes on with z"),
        ("wf", "the command goes on with f"),
        ("/nope/", "no match"),
        ("s/nope/x/", "no match"),
        ("//", "no previous expression"),
        ("s", "no delimiter"),
        ("s/o/x/y", "the command goes on with y"),
        ("e nope", "cannot open nope"),
        ("r /", "this is a directory: /"),
        ("w /", "cannot open /"),
        ("d;q", "changes are not written; the same again loses them"),
        ("a;text", "changes are not written; the same again loses them"),
    ],
)
def test_ed_ends_a_script_at_its_first_mistake(sh: Shell, script: str, reason: str) -> None:
    sh(FOUR)
    assert ed(sh, script + ";w", status=1) == f"?\ned: {reason}\n"
    assert sh("wc f") == "4 4 19 f\n"


def test_ed_says_when_memory_is_out() -> None:
    with Machine(boot.image_with(FILES), mem_mib=8) as small:
        small.sh("(" + "echo r /lines; " * 8 + "echo Q) > script")  # while ed runs nobody else needs memory
        printed = small.sh("ed -s < script")
        assert (printed, small.status) == ("?\ned: out of memory\n", 1)


# --- expressions ---


def test_ed_finds_the_leftmost_and_longest_match(sh: Shell) -> None:
    expected = []
    for pattern in FOUND:
        for line in TEXT:
            start, end = find_longest(pattern, line) or (-1, -1)
            marked = line if start < 0 else f"{line[:start]}[{line[start:end]}]{line[end:]}"
            expected.append(marked)
    sh("cp /text text")
    assert sh("ed -s < /markall").split("\n") == [*expected, ""]


def test_grep_finds_the_lines_that_match(sh: Shell) -> None:
    assert len(FOUND) > 30
    for pattern in PATTERNS:
        expected = [line + "\n" for line in TEXT if re.search(pattern, line)]
        assert sh(f"grep '{pattern}' /text", 0 if expected else 1) == "".join(expected), pattern


def test_expressions_take_no_time_that_grows_with_their_stars(sh: Shell, machine: Machine) -> None:
    before = machine.time_ps
    sh("(echo /" + "x*" * 40 + "y/) | ed -s /long", 1)
    assert machine.time_ps - before < 2e12


# --- what is wrong is said in one line ---


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("cp", "usage: cp [-r] source ... target\n"),
        ("cp -x a b", "usage: cp [-r] source ... target\n"),
        ("cp nope x", "cp: cannot open nope\n"),
        ("cp / x", "cp: / is a directory (cp -r copies it)\n"),
        ("cp /cat /ls no", "cp: no directory: no\n"),
        ("cp /cat no/x", "cp: cannot create no/x\n"),
        ("mv", "usage: mv source ... target\n"),
        ("mv /cat", "usage: mv source ... target\n"),
        ("mv /cat /ls no", "mv: no directory: no\n"),
        ("find nope", "find: cannot open nope\n"),
        ("find . -name", "usage: find [path ...] [-name pattern] [-type f|d|c]\n"),
        ("find -type x", "usage: find [path ...] [-name pattern] [-type f|d|c]\n"),
        ("head -n", "usage: head [-n lines] [file ...]\n"),
        ("head -n -1 /cat", "usage: head [-n lines] [file ...]\n"),
        ("head /", "head: / is a directory\n"),
        ("tail -n 99999999999 /cat", "usage: tail [-n lines] [file ...]\n"),
        ("tail -x", "usage: tail [-n lines] [file ...]\n"),
        ("tail nope", "tail: cannot open nope\n"),
        ("sort -z", "usage: sort [-nru] [file ...]\n"),
        ("sort /", "sort: / is a directory\n"),
        ("tee -x", "usage: tee [-a] [file ...]\n"),
        ("touch", "usage: touch file ...\n"),
        ("touch no/x", "touch: cannot create no/x\n"),
        ("xargs -n 0 echo", "usage: xargs [-n words] [command [arg ...]]\n"),
        ("xargs -n", "usage: xargs [-n words] [command [arg ...]]\n"),
        ("hexdump -n x", "usage: hexdump [-Cv] [-n bytes] [file ...]\n"),
        ("hexdump nope", "hexdump: cannot open nope\n"),
        ("sleep", "usage: sleep ticks (10 are a second)\n"),
        ("sleep -1", "usage: sleep ticks (10 are a second)\n"),
        ("sleep 99999999999", "usage: sleep ticks (10 are a second)\n"),
        ("ed a b", "usage: ed [-s] [file]\n"),
        ("ed -x", "usage: ed [-s] [file]\n"),
        ("ed /", "ed: this is a directory: /\n"),
    ],
)
def test_mistakes_are_told_in_one_line(sh: Shell, command: str, printed: str) -> None:
    assert sh(command, 1) == printed


def test_a_full_disk_is_told() -> None:
    files = [*boot.default_files().values(), FILES["long"]]
    blocks = [-(-len(content) // 1024) for content in files]
    used = 99 + 1 + sum(n + (n > 12) for n in blocks)  # what mkfs makes, the root directory, the files
    with Machine(boot.image_with({"long": FILES["long"]}, size=used + 15)) as full:
        assert full.sh("cp long copy") == "cp: cannot write copy\n"
        assert full.status == 1
        printed = full.sh("rm copy; mkdir d; cat long | tee d/copy | wc")
        assert printed == "tee: cannot write d/copy\n0 1 20000 \n"
        assert full.sh("mv long d/copy; wc d/copy") == "0 1 20000 d/copy\n"
        assert full.sh("(echo r d/copy; echo w full; echo Q) | ed -s") == "?\ned: cannot write full\n"
        assert full.sh("sort d/copy > sorted") == "sort: write error\n"
