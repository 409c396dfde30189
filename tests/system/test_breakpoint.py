"""breakpoint() in the kernel of a machine at a terminal: pdb, on a real pseudo-terminal driven by pexpect."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from source_tree import changed_tree, line_of

WAIT = "    return k.procs.wait(p, status_va)\n"
ASK = "(Pdb) "
PROMPT = "\r\n$ "


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A source tree with a breakpoint() in sys_wait, for the shell alone."""
    stop = "    if p.name == 'sh':\n        breakpoint()\n"
    return changed_tree(tmp_path / "tree", "kernel/xv6/sysproc.py", WAIT, stop + WAIT)


@pytest.fixture
def terminal(edited: Path) -> Iterator[pexpect.spawn]:
    yield from spawned(edited, {})


def spawned(tree: Path, environment: dict[str, str]) -> Iterator[pexpect.spawn]:
    """`orrery boot` of this tree, at its prompt."""
    child = pexpect.spawn(
        sys.executable,
        ["-P", "-m", "orrery", "boot"],
        cwd=str(tree),
        env={**os.environ, "PYTHONPATH": str(tree), "TERM": "dumb", **environment},
        timeout=30,
        encoding="utf-8",
    )
    child.delaybeforesend = None
    child.expect_exact(PROMPT)
    yield child
    child.close(force=True)


def ask(child: pexpect.spawn, line: str) -> str:
    """What pdb says to a line."""
    child.send(f"{line}\r")
    child.expect_exact(ASK)
    text: str = child.before
    return text.removeprefix(line).strip()


def test_pdb_stops_in_the_kernel_and_lets_it_go_on(terminal: pexpect.spawn) -> None:
    for word in ("one", "two"):
        terminal.send(f"echo {word}\r")
        terminal.expect_exact(ASK)
        assert "sys_wait()" in terminal.before
        assert ask(terminal, "p p.name, p.pid") == "('sh', 2)"
        where = ask(terminal, "where")
        assert [where.index(name) for name in ("_usertrap()", "dispatch()", "sys_wait()")]
        assert "KeyboardInterrupt" in ask(terminal, "\x03")
        terminal.send("c\r")
        terminal.expect_exact(f"{word}{PROMPT}")
    terminal.send("echo ab\x7fc\r")  # the guest's own line editing again
    terminal.expect_exact(ASK)
    terminal.send("c\r")
    terminal.expect_exact(f"ac{PROMPT}")
    terminal.send("\x01x")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def before_wait(child: pexpect.spawn, line: str) -> None:
    """Have the shell run a line, and pdb stand before the wait for it."""
    child.send(f"{line}\r")
    child.expect_exact(ASK)
    if "-> breakpoint()" in child.before:  # from Python 3.13 on it stops there, and not behind
        ask(child, "n")
    assert ask(child, "where").endswith(WAIT.strip())


@pytest.mark.parametrize("step", ["n", "r", "until"])
def test_a_step_over_a_wait_ends_behind_it(terminal: pexpect.spawn, step: str) -> None:
    before_wait(terminal, "echo one")
    said = ask(terminal, step)
    assert "one\r\n" in said, "the child has run meanwhile, in a thread of its own"
    assert said.endswith("return k.procs.wait(p, status_va)") and "sys_wait()->3" in said
    assert "dispatch()" in ask(terminal, "n")


def test_a_step_into_a_wait_goes_on_where_python_does(terminal: pexpect.spawn, edited: Path) -> None:
    before_wait(terminal, "echo one")
    assert "wait()" in ask(terminal, "s")
    switch = line_of(edited / "kernel/sched.py", "gate: int = self._loop.switch()")
    ask(terminal, f"tbreak kernel/sched.py:{switch}")
    assert "run_hart()" in ask(terminal, "c")
    said = [ask(terminal, "s") for _ in range(2)]
    assert "enter()" in said[0] and "_take_gate()" in said[1], "functions that waited for this thread"


def test_a_breakpoint_in_a_thread_that_waits_already(terminal: pexpect.spawn, edited: Path) -> None:
    before_wait(terminal, "sleep 30 &")
    terminal.send("c\r")
    terminal.expect_exact(PROMPT)
    before_wait(terminal, "echo one")
    behind = "if k.timer.ticks < until:"
    ask(terminal, f"b kernel/xv6/sysproc.py:{line_of(edited / 'kernel/xv6/sysproc.py', behind)}")
    said = ask(terminal, "c")
    assert said.endswith(behind) and "sys_sleep()" in said
    assert ask(terminal, "p p.name") == "'sleep'"


def test_quitting_pdb_switches_the_machine_off(terminal: pexpect.spawn) -> None:
    terminal.send("echo one\r")
    terminal.expect_exact(ASK)
    terminal.send("\x04")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def test_another_debugger_can_be_named(edited: Path) -> None:
    for terminal in spawned(edited, {"PYTHONBREAKPOINT": "0"}):
        terminal.send("echo one\r")
        terminal.expect_exact(f"one{PROMPT}")
