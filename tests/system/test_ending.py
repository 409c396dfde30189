"""Ending a command whose kernel does not come back: from a terminal, by a signal, and without orphans."""

import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pexpect
import pytest
from orrery_cli import ORRERY
from processes import descendants, left
from source_tree import changed_tree

from orrery import Machine

WALL_S_MAX = 60
LOOPS = '\n    __import__("os").write(1, b"loops\\n")\n    while True:\n        pass\n'
SPIN = '#include "user/user.h"\nint main(void) { printf("on\\n"); for (volatile long i = 0;; i++); }\n'
CALLS = '#include "user/user.h"\nint main(void) { printf("on\\n"); return uptime(); }\n'


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source tree whose kernel loops in Python, in uptime(), and whose watchdog has little patience."""
    text = "    return k.timer.ticks & 0xFFFF_FFFF\n"
    top = changed_tree(tmp_path_factory.mktemp("tree"), "kernel/xv6/sysproc.py", text, LOOPS)
    watchdog = top / "orrery" / "pool" / "watchdog.py"
    watchdog.write_text(watchdog.read_text().replace('"fast": 3', '"fast": 1'))
    (top / "calls.c").write_text(CALLS)
    return top


def started(tree: Path, *words: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """A command of the tree, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "orrery", *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "TMPDIR": str(tree)},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("how", ["signal", "watchdog"])
def test_a_kernel_that_loops_is_ended(tree: Path, how: str) -> None:
    with started(tree, "run", "calls.c") as process:
        assert process.stdout is not None and process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"on\n", b"loops\n"]
        pids = list(descendants(process.pid))
        if how == "signal":
            process.terminate()
        err = process.stderr.read().decode()
        status = process.wait(WALL_S_MAX)
    assert status == {"signal": 143, "watchdog": 125}[how]
    assert "kernel/xv6/sysproc.py" in err and "sys_uptime" in err
    assert left(pids) == []


@pytest.mark.parametrize(("keys", "status"), [("\x03\x03", 130), ("\x01x", 0)])
def test_it_is_ended_from_its_terminal(tree: Path, keys: str, status: int) -> None:
    child = at_terminal(sys.executable, "-P", "-m", "orrery", "boot", cwd=tree)
    child.expect_exact("C-a x switches the machine off")
    child.expect(r"\$ ")
    child.send("uptime\r")
    child.expect_exact("uptime\r\n")
    child.send(keys)
    assert ended(child) == status


def at_terminal(*words: str, cwd: Path) -> pexpect.spawn:
    """A command at a terminal of its own."""
    child = pexpect.spawn(
        words[0],
        list(words[1:]),
        cwd=str(cwd),
        env={**os.environ, "PYTHONPATH": str(cwd)},
        timeout=WALL_S_MAX,
        encoding="utf-8",
    )
    child.delaybeforesend = None
    return child


def ended(child: pexpect.spawn) -> int | None:
    """Wait for the end; the exit status. The terminal has to be as it was."""
    child.expect(pexpect.EOF)
    child.wait()
    mode = termios.tcgetattr(child.child_fd)
    assert mode[3] & termios.ICANON and mode[3] & termios.ISIG
    child.close()
    status: int | None = child.exitstatus
    return status


def test_c_c_ends_a_program_that_spins(tmp_path: Path) -> None:
    (tmp_path / "spin.c").write_text(SPIN)
    child = at_terminal(ORRERY, "run", "spin.c", cwd=tmp_path)
    child.expect_exact("on\r\n")
    child.send("\x03")
    assert ended(child) == 130
    with subprocess.Popen(
        [ORRERY, "run", "spin.c"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(WALL_S_MAX) == 130


def test_c_c_twice_ends_a_machine_that_takes_no_keys(tmp_path: Path, drive: Path) -> None:
    child = at_terminal(ORRERY, "boot", "--drive", str(drive), "--snapshot", cwd=tmp_path)
    child.expect(r"\$ ")
    child.send("\x03\x03\x15echo still here\r")  # the shell takes them
    child.expect_exact("\r\nstill here\r\n")
    child.send("spin\r")
    child.expect_exact("spin\r\n")
    child.send("\x03")
    child.expect_exact("C-c again, or C-a x, ends the machine")
    child.send("\x03")
    assert ended(child) == 130


def test_gdb_leaves_nothing_behind(tree: Path) -> None:
    with started(tree, "gdb", "calls.c", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b'printf "%s\\n", "ready"\ncontinue\n')
        process.stdin.flush()
        for line in process.stdout:
            if b"Continuing" in line:
                break
        assert list(tree.glob("orrery-gdb-*"))
        pids = list(descendants(process.pid))
        process.terminate()
        assert process.wait(WALL_S_MAX) == 143
    assert left(pids) == [] and not list(tree.glob("orrery-gdb-*"))


def test_the_debugger_leaves_nothing_behind(tree: Path) -> None:
    with started(tree, "debug", "calls.c", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"next\nnext\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith(b"on"):
                break
        pids = list(descendants(process.pid))
        process.terminate()
        assert process.wait(WALL_S_MAX) == 143
    assert pids and left(pids) == []


# --- long copies ---


def test_a_long_copy_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    """A write of heap that nobody has touched, to the console."""
    source = tmp_path / "large.c"
    source.write_text(
        '#include "user/user.h"\n#include "kernel/vm.h"\n'
        "int main(void) { char *h = sbrklazy(150000); return write(1, h, 150000) != 150000; }\n"
    )
    from functools import partial

    from orrery.machine import program
    from toolchain import fsimage, image

    loaded = program.load(str(source), [], lambda text: None)
    init = fsimage.FsImage(image.default_image()).read("/init")
    make = partial(
        Machine, init_argv=(b"/init", *loaded.argv), modules={b"/init": init, loaded.name: loaded.elf}
    )
    with make() as whole, make() as stopped:
        whole.run()
        shown: list[int] = []
        dialogue = stopped.front.output

        def output(pid: int | None, data: bytes) -> None:
            dialogue(pid, data)
            shown.append(len(data))
            if sum(shown) > 50_000 and not stops:
                stopped.ask_stop()

        stops: list[int] = []
        stopped.front.output = output  # type: ignore[method-assign]
        while stopped.board.exit_code is None:
            stopped.run()
            stops.append(sum(shown))
        assert 50_000 < stops[0] < 100_000 and len(stops) == 2
        assert (whole.status, whole.digest()) == (stopped.status, stopped.digest())
