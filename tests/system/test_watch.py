"""`boot --watch`: edits of a copy of the source tree, with a person at a terminal and with -c; and `run
--watch`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("emu", "kernel", "orrery", "toolchain", "user")
WAITS = "booting again when a source changes, C-a x ends this"
PROMPT = "\r\n$ "
COMMAND = [sys.executable, "-P", "-m", "orrery", "boot", "--watch"]


class Tree:
    """A copy of the sources, to edit and to run."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for part in PARTS:
            shutil.copytree(ROOT / part, top / part, ignore=shutil.ignore_patterns("__pycache__"))
        (top / "README.md").write_text("a copy\n")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.top)}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file; everything is as fresh as a file that was just saved."""
        path = self.top / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {old!r} once"
        path.write_text(text.replace(old, new))

    def spawn(self, *words: str) -> pexpect.spawn:
        """`orrery boot --watch` of the copy, on a terminal."""
        first, *rest = [*COMMAND, *words]
        child = pexpect.spawn(
            first, rest, timeout=30, encoding="utf-8", env=self.environment, cwd=str(self.top)
        )
        child.delaybeforesend = None
        return child


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


def ended(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def type_lines(child: pexpect.spawn, *lines: str) -> None:
    """Type lines at the prompt, one after the other."""
    for line in lines:
        child.expect_exact("$ ")
        child.send(f"{line}\r")
        child.expect_exact(f"{line}\r\n")


def test_an_edit_of_the_kernel_boots_it_and_types_the_lines_again(tree: Tree) -> None:
    child = tree.spawn()
    child.expect_exact("kernel in Python is booting")
    type_lines(child, "mkdir d", "cd d", "echo made > f", "", "cat f")
    child.expect_exact("made" + PROMPT)
    tree.edit("kernel/kernel.py", "xv6 kernel in Python", "xv6 KERNEL in Python")
    child.expect_exact("orrery: kernel/kernel.py changed: booting again")
    child.expect_exact("KERNEL in Python is booting")
    # A fresh disk: "cat f" prints only if all lines were typed again, in order.
    child.expect_exact(f"$ mkdir d{PROMPT}cd d{PROMPT}echo made > f{PROMPT}cat f\r\nmade{PROMPT}")
    child.send("echo and on\r")
    child.expect_exact("echo and on\r\nand on" + PROMPT)
    # As long as before, and within the same second maybe: what Python compiled must not be taken for it.
    tree.edit("kernel/kernel.py", "xv6 KERNEL in Python", "xv6 kErNeL in Python")
    child.expect_exact("kErNeL in Python is booting")
    child.expect_exact(f"made{PROMPT}echo and on\r\nand on{PROMPT}")
    child.send("\x01x")
    assert ended(child) == 0


def test_what_is_broken_is_shown_and_waited_out(tree: Tree) -> None:
    child = tree.spawn()
    type_lines(child, "echo here")
    child.expect_exact("here" + PROMPT)
    line = 1 + (tree.top / "kernel/fs/pipe.py").read_text().splitlines().index("class Pipe:")
    tree.edit("kernel/fs/pipe.py", "class Pipe:\n", "class Pipe\n")
    child.expect_exact(f"orrery: kernel/fs/pipe.py:{line}: SyntaxError: expected ':'\r\norrery: {WAITS}\r\n")
    tree.edit("kernel/fs/pipe.py", "class Pipe\n", "class Pipe:\n")
    child.expect_exact("echo here\r\nhere" + PROMPT)
    tree.edit("user/bin/echo.c", "int main(", "int broken(void) { return nothing; }\nint main(")
    child.expect(r"orrery: user/bin/echo.c:\d+:\d+: error: use of undeclared identifier 'nothing'\r\n")
    child.expect_exact(f"orrery: {WAITS}\r\n")
    tree.edit("user/bin/echo.c", "return nothing;", 'return write(1, "mended", 6);')
    child.expect_exact("echo here\r\nhere" + PROMPT)
    tree.edit(
        "kernel/dev/console.py",
        "        self._uart: Final = uart\n",
        "        self._uart: Final = nowhere\n",
    )
    child.expect(r"orrery: kernel/dev/console.py:\d+: NameError: name 'nowhere' is not defined\r\n")
    child.expect_exact(f"orrery: {WAITS}\r\n")
    child.send("\x01x")
    assert ended(child) == 0


def test_a_panic_is_shown_and_waited_out(tree: Tree) -> None:
    child = tree.spawn()
    type_lines(child, "uptime")
    child.expect(r"\d+\r\n\$ ")
    tree.edit("kernel/xv6/sysproc.py", "return k.timer.ticks ", "return k.timer.tocks ")
    child.expect_exact("$ uptime\r\n")
    child.expect(r"orrery: panic: AttributeError: [^\r]*\r\nprocess \d+ \(uptime\), [^\r]*\r\n")
    child.expect(r"at kernel/xv6/sysproc.py:\d+ in sys_uptime, called from user/bin/uptime.c:\d+ in main\r\n")
    child.expect_exact(f"orrery: status 125; {WAITS}\r\n")
    tree.edit("kernel/xv6/sysproc.py", "return k.timer.tocks ", "return k.timer.ticks ")
    child.expect(r"\$ uptime\r\n\d+\r\n\$ ")
    child.kill(signal.SIGTERM)
    assert ended(child) == 128 + signal.SIGTERM


def test_broken_from_the_start(tree: Tree) -> None:
    for file in ("toolchain/paths.py", "emu/clock.py"):
        (tree.top / file).write_text((tree.top / file).read_text() + "\n)\n")
    child = tree.spawn()
    child.expect(r"orrery: (emu/clock|toolchain/paths).py:\d+: SyntaxError: unmatched '\)'\r\n")
    for file in ("toolchain/paths.py", "emu/clock.py"):
        tree.edit(file, "\n)\n", "\n")
    child.expect_exact("kernel in Python is booting")
    child.expect_exact("$ ")
    child.send("\x01x")
    assert ended(child) == 0


def test_with_c_lines_the_command_runs_after_each_change(tree: Tree) -> None:
    run = subprocess.Popen(
        [*COMMAND, "-c", "echo one; cat nofile"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=tree.environment,
        cwd=tree.top,
    )
    with run:
        assert run.stdout is not None
        shown = iter(run.stdout)
        assert [next(shown) for _ in range(3)] == [
            "one\n", "cat: cannot open nofile\n", f"orrery: status 1; {WAITS}\n"
        ]  # fmt: skip
        tree.edit("user/bin/cat.c", "cannot open", "will not open")
        assert next(shown) == "orrery: user/bin/cat.c changed: booting again\n"
        assert [next(shown) for _ in range(2)] == ["one\n", "cat: will not open nofile\n"]
        assert next(shown) == f"orrery: status 1; {WAITS}\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 128 + signal.SIGINT


def test_a_command_that_runs_is_stopped_by_a_change(tree: Tree) -> None:
    child = tree.spawn("-c", "echo begins", "-c", "sleep 1000")
    child.expect_exact("begins\r\n")
    (tree.top / "user/bin/fresh.c").write_text("int main(void) { return 0; }\n")
    child.expect_exact("orrery: user/bin/fresh.c changed: booting again\r\n")
    child.expect_exact("begins\r\n")
    child.sendintr()
    assert ended(child) == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "--watch: nobody is at a terminal to type; give a line with -c"),
        (["--drive", "nofile.img", "-c", "ls"], "nofile.img: .*"),
        (["--snapshot", "-c", "ls"], "--snapshot: there is no drive to protect.*"),
    ],
)
def test_a_wrong_command_line_is_not_waited_out(words: list[str], error: str) -> None:
    done = subprocess.run(
        [*COMMAND, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"orrery: {error}\n", done.stderr)


def test_run_watch_runs_the_program_again_when_what_it_is_made_from_changes(tmp_path: Path) -> None:
    """A source, a header in another folder, one that comes into being; by name not of one alone."""
    text = '#include "own.h"\nint main(int argc, char **argv) { return X + argc; }\n'
    source, header = tmp_path / "p.c", tmp_path / "inc" / "own.h"
    header.parent.mkdir()
    source.write_text(text)
    header.write_text("#define X 30\n")
    words = ["-P", "-m", "orrery", "run", "--watch", "-I", "inc", "-m", "16", "p.c", "--watch"]
    child = pexpect.spawn(sys.executable, words, timeout=30, encoding="utf-8", cwd=str(tmp_path))
    again = "running again when a source changes, C-a x ends this"
    child.expect_exact(f"status 32; {again}")
    header.write_text("#define X 300\n")
    child.expect_exact("inc/own.h changed: running again")
    child.expect_exact(f"status {302 & 255}; {again}")
    source.write_text(text.replace("X + argc", "a + b"))
    child.expect_exact("p.c:2:42: error: ")
    child.expect_exact("p.c:2:46: error: ")
    child.expect_exact(f"orrery: 2 errors; correct the source and try again\r\norrery: {again}")
    source.write_text(text.replace("X + argc", "0"))
    (tmp_path / "own.h").write_text("int main(void) { for (;;); }\n#define main other\n")
    child.expect_exact("changed: running again")
    header.unlink()  # which is not included any more
    (tmp_path / "own.h").write_text("#define X 0\n")
    child.expect_exact("status 0; ")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_run_watch_is_over_where_no_edit_can_help(tmp_path: Path) -> None:
    (tmp_path / "p.c").write_text("int main(void) { return 0; }\n")
    done = subprocess.run(
        [sys.executable, "-m", "orrery", "run", "--watch", "-m", "1", "p.c"],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith(b"orrery: 1 MiB of memory")
