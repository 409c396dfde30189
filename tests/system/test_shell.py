"""Hundreds of mixed commands at the shell, each compared with a model; then the books and the disk."""

from random import Random

import pytest
from boot import System, image_with, program
from shell_model import ROOT, File, Session, Tree

from emu.dev.drive import RamDrive
from toolchain import fsimage

COMMANDS = 500
AUDIT_EVERY = 50
BLOCKS = 6000


def boot_in_root(engine: str = "fast") -> System:
    """A shell in the empty directory ROOT; `forever` is among the programs."""
    image = image_with({"forever": program("forever.c")}, size=BLOCKS)
    system = System(engine=engine, drive=RamDrive(image)).boot()
    assert system.sh(f"mkdir {ROOT}") == "" and system.sh(f"cd {ROOT}") == ""
    return system


def used_blocks_and_inodes(image: bytes) -> tuple[int, int]:
    """How many blocks the free map says are taken, how many inodes have a type."""
    fs = fsimage.FsImage(image)
    blocks = sum(fs.in_use(block) for block in range(fs.superblock.size))
    return blocks, sum(fs.inode(number).type != 0 for number in range(1, fs.superblock.ninodes))


def check_tree(fs: fsimage.FsImage, tree: Tree, path: str) -> None:
    """The image holds exactly these files below `path`, and the names of one file share an inode."""
    inodes: dict[File, int] = {}
    entries = {entry.path: entry for entry in fs.walk() if entry.path.startswith(f"{path}/")}

    def visit(tree: Tree, path: str) -> None:
        for name, what in tree.items():
            entry = entries.pop(f"{path}/{name}")
            if isinstance(what, File):
                assert fs.read(entry.path) == what.data
                assert inodes.setdefault(what, entry.ino) == entry.ino
            else:
                assert entry.type == 1
                visit(what, entry.path)

    visit(tree, path)
    assert not entries, "nothing else is there"


def run_session(seed: int, commands: int, engine: str = "fast") -> None:
    with boot_in_root(engine) as system:
        system.sh("echo x > first; cat first | wc; rm first")  # every program has been in memory once
        before, used_before = system.account(), used_blocks_and_inodes(system.image)
        session = Session(Random(seed))
        for number, line in enumerate(session.lines(commands)):
            text = line.text
            if line.pid_file:
                text = text.replace("PID", fsimage.FsImage(system.image).read(line.pid_file).decode().strip())
            printed = system.sh(text)
            assert line.holds(printed), f"line {number}: {text!r} printed {printed!r}, not {line.printed!r}"
            if number % AUDIT_EVERY == 0:
                assert system.audit() == []
        system.sh(f"cd {ROOT}")
        session.inside = ""
        while (line := session.kill()) is not None:
            pid = fsimage.FsImage(system.image).read(line.pid_file).decode().strip()
            assert system.sh(line.text.replace("PID", pid)) == ""

        fsimage.check(system.image)
        check_tree(fsimage.FsImage(system.image), session.top, ROOT)
        assert system.audit() == []
        remove_all(system, session.top)
        assert used_blocks_and_inodes(system.image) == used_before, "blocks and inodes came back"
        assert system.account() == before


def remove_all(system: System, tree: Tree, path: str = ROOT) -> None:
    for name, what in tree.items():
        if not isinstance(what, File):
            remove_all(system, what, f"{path}/{name}")
        assert system.sh(f"rm {path}/{name}") == ""


@pytest.mark.parametrize("seed", range(2))
def test_mixed_commands(seed: int) -> None:
    run_session(seed, COMMANDS)


def test_mixed_commands_on_the_public_engine() -> None:
    run_session(100, 60, "public")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_mixed_commands_long(seed: int) -> None:
    run_session(seed, 2 * COMMANDS)


# --- by hand ---


@pytest.fixture(scope="module")
def shell() -> System:
    with System().boot() as system:
        yield system


@pytest.mark.quick
@pytest.mark.parametrize(
    "line, printed",
    [
        ("echo hi", "hi\n"),
        ("echo a | cat | cat | wc", "1 1 2 \n"),
        ("echo one ; echo two", "one\ntwo\n"),
        ("(echo one; echo two) | wc", "2 2 8 \n"),
        ("echo 'a  b' \"c | d\"", "a  b c | d\n"),
        ("nosuch", "exec nosuch failed\n"),
        ("cat < nosuch", "open nosuch failed\n"),
        ("cd nosuch", "cannot cd nosuch\n"),
        ("((((echo deep))))", "deep\n"),
        ("true && echo yes || echo no", "yes\n"),
        ("false && echo yes || echo no", "no\n"),
        ("false || false || echo 3 && echo 4", "3\n4\n"),
        ("true || echo 1; echo 2", "2\n"),
        ("false; echo $? \"$?\" '$?' $x a$?b", "1 1 $? $x a1b\n"),
        ("nosuch; echo $?", "exec nosuch failed\n127\n"),
        ("(exit 5); echo $?; cat nofile | wc; echo $?", "5\ncat: cannot open nofile\n0 0 0 \n0\n"),
        ("(false; exit) || echo $?", "1\n"),
        ("echo hi # comment | nosuch", "hi\n"),
        ("echo a#b '#' \"# c\" #", "a#b # # c\n"),
        ("# nothing", ""),
        ("echo $x $; echo [ ] [x !y ^z", "$x $\n[ ] [x !y ^z\n"),
        ("&& echo", "sh: syntax\n"),
        ("echo a &&", "sh: syntax\n"),
        ("echo a || | echo", "sh: syntax\n"),
        ("true & false && echo no; echo $?", "1\n"),
        ("(true && false) || (echo a; echo b) | wc", "2 2 4 \n"),
    ],
)
def test_a_line(shell: System, line: str, printed: str) -> None:
    assert shell.sh(line) == printed


def test_patterns(shell: System) -> None:
    """Each line finds the files of those before it."""
    for line, printed in [
        ("mkdir g; echo 1 > g/x1; echo 2 > g/x2; echo 3 > g/yé; cat g/x*; echo 4 > g/.dot", "1\n2\n"),
        ("echo g/* g/.* /g/[xy]? *g/x?", "g/x1 g/x2 g/yé g/. g/.. g/.dot /g/x1 /g/x2 /g/yé g/x1 g/x2\n"),
        ("echo g/x[!1] g/x[0-1] g/y? g/[^x]*", "g/x2 g/x1 g/yé g/yé\n"),
        ("echo 'g/*' \"g/*\" g/'x'* 'g'/x'*' no/such* g/x??", "g/* g/* g/x1 g/x2 g/x* no/such* g/x??\n"),
        ("echo g/x1/* g//x1 /./g/x1 ../*/x1", "g/x1/* g//x1 /./g/x1 ../g/x1\n"),
        ("cd g && echo * | cat; cd /; cd nowhere || echo none", "x1 x2 yé\ncannot cd nowhere\nnone\n"),
        ("cat < g/x1 > g/$?; cat g/0; wc g/nothing? || echo bad", "1\nwc: cannot open g/nothing?\nbad\n"),
        ("echo 5 > 'g/*'; cat 'g/*'; echo g/'*'; rm g/*; ls g | wc", "5\ng/*\n3 12 70 \n"),
    ]:
        assert shell.sh(line) == printed, line


def test_a_pattern_for_too_many_names_is_told(shell: System) -> None:
    assert shell.sh("echo /* || echo failed") == "sh: too many args\nfailed\n"
    assert shell.sh(f"echo {'?' * 200} {'[' * 100}").startswith("??")
    assert shell.sh(f"echo {'*/' * 12}").endswith("\n")
    assert shell.sh("help").count("\n") == 5 and "exit [STATUS]" in shell.sh("help")


def test_line_editing_keys(shell: System) -> None:
    start = len(shell.output)
    shell.type("garbage\x15echoo\x7f hullo\x08\x08\x08ello\n")
    shell.wait_for_shell()
    assert shell.output[start:].decode().endswith("huello\n$ ")


def test_end_of_input_starts_another_shell(shell: System) -> None:
    pid = shell.process("sh").pid
    start = len(shell.output)
    shell.type("\x04")
    shell.wait_for_shell()
    assert shell.output[start:].decode().lstrip("\x04") == "init: starting sh\n$ "
    assert shell.process("sh").pid != pid


def test_list_of_processes(shell: System) -> None:
    start = len(shell.output)
    shell.type("\x10\n")
    shell.wait_for_shell()
    listing = shell.output[start:].decode()
    assert "1 sleep init\n" in listing and f"{shell.process('sh').pid} sleep sh\n" in listing
    rows = [row.split() for row in shell.sh("ps").splitlines()]
    assert [row[-1] for row in rows[1:]] == ["init", "sh", "ps"]
