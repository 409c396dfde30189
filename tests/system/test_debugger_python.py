"""Breakpoints of the built-in debugger in the kernel's Python: forwards, backwards, with conditions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from debugged import Session

from orrery.debugger import python_code
from orrery.timetravel.timeline import Timeline
from toolchain.paths import KERNEL_SOURCES

LINES = (b"echo hi > file; cat file | wc", b"cat file")


class Booting(Session):
    """A machine at power-on; LINES are typed for its shell."""

    def __init__(self) -> None:
        super().__init__(Timeline(mem_mib=16), {})
        self.debugger.stepper.lines.extend(LINES)

    def stops(self, command: str, count: int) -> list[str]:
        """Where the debugger stands, and when, after the command, again and again."""
        return [f"{self.say(command).splitlines()[-1]} {self.say('when')}" for _ in range(count)]


@pytest.fixture
def session() -> Iterator[Booting]:
    made = Booting()
    yield made
    made.timeline.close()


def test_a_function_of_the_kernel_is_found_by_each_of_its_names() -> None:
    (copy,) = python_code.named("CopyOnWrite.copy")
    assert python_code.named("cow.copy") == python_code.named("uvmcopy") == [copy]
    assert python_code.at_line("cow.py", copy.body - 1) == copy
    assert not python_code.named("copie") and python_code.at_line("kernel/mm/pagetable.py", 99999) is None


def test_a_stop_in_a_method_shows_its_variables_and_the_program(session: Booting) -> None:
    assert session.say("b ProcTable.fork").startswith("Breakpoint 1 in ProcTable.fork at kernel/proc.py:")
    said = session.say("c")
    assert "[Switching to process 1]\n\nBreakpoint 1, ProcTable.fork at kernel/proc.py:" in said
    calls = session.say("bt").splitlines()
    assert [line.split()[1] for line in calls[:4]] == [
        "ProcTable.fork", "sys_fork", "Dispatcher.dispatch", "Trap._usertrap",
    ]  # fmt: skip
    assert " in fork () at include/usys.S:" in calls[4]
    assert "parent = <process 1 (init)>\n" in session.say("info locals")
    session.say("finish")
    assert session.say("f").startswith("#0  Dispatcher.dispatch at ")  # sys_fork has no line to go on


def test_stops_backwards_are_those_forwards(session: Booting) -> None:
    session.say("b Pipe.read", "b ProcTable.fork", "b sys_exec")
    forwards = session.stops("c", 7)
    assert len(set(forwards)) == 7
    assert session.stops("rc", 6) == forwards[-2::-1]
    assert session.stops("c", 6) == forwards[1:]


def test_a_loop_in_one_gate_is_stopped_in_again_and_again(session: Booting) -> None:
    text = (Path(KERNEL_SOURCES) / "exec.py").read_text().splitlines()
    loop = 1 + next(i for i, line in enumerate(text) if line.strip().startswith("size = max(0"))
    assert session.say(f"b exec.py:{loop}").startswith("Breakpoint 1 in _Program._load_segment at ")
    assert "Breakpoint 1, " in session.say("c 3")
    moment, variables = session.say("when"), session.say("info locals")
    assert "Breakpoint 1, " in session.say("c")
    assert session.say("when") == moment
    assert session.say("info locals") != variables
    assert "Breakpoint 1, " in session.say("rc")
    assert session.say("info locals") == variables
    assert session.say("rn").startswith(f"{loop - 1}\t")


def test_a_condition_is_one_of_python(session: Booting) -> None:
    session.say("b ProcTable.fork if parent.name == 'sh' and parent.pid > 2")
    said = session.say("c")
    assert "Breakpoint 1, ProcTable.fork" in said
    assert re.search(r"parent = <process [3-9] \(sh\)>", session.say("info locals"))
    assert "only looks" in session.say("condition 1 parent.kill()")
    assert "no expression" in session.say("b ProcTable.fork if parent.pid =")
    assert "stop only if parent.name" in session.say("info b")


def test_a_thread_that_goes_on_in_the_middle_of_a_function_is_stopped_in_there(session: Booting) -> None:
    wait = python_code.named("ProcTable.wait")[0]
    session.say(f"tb kernel/proc.py:{wait.lines[-1]}", "c")  # where it sleeps
    said = session.say(f"b kernel/proc.py:{wait.body + 1}", "c")
    assert "Breakpoint 2, ProcTable.wait" in said
    names = [line.split()[1] for line in session.say("bt").splitlines()[:4]]
    assert names == ["ProcTable.wait", "sys_wait", "Dispatcher.dispatch", "Trap._usertrap"]


def test_a_run_with_stops_in_python_is_the_same_run(session: Booting) -> None:
    session.say("c")
    digest = session.timeline.digest()
    assert session.say("rc").startswith("No more history")
    session.say("b bread if False", "b FileSystem.readi if ip.inum == 99999", "b ProcTable.sleep", "c", "c")
    session.say("delete 3", "c")
    assert session.timeline.digest() == digest


def test_a_step_in_the_program_stops_at_the_first_line_that_is_marked(session: Booting) -> None:
    session.say("b cat:main", "c", "tb read", "c")
    session.say("b sys_read", "s")
    assert "Breakpoint 3, sys_read at kernel/" in session.say("n 3")
    assert "Breakpoint 3, sys_read at kernel/" in session.say("rs 2", "c")


def test_an_expression_is_evaluated_in_python_and_changes_nothing(session: Booting) -> None:
    session.say("b ProcTable.fork if parent.pid > 2", "c")
    digest = session.timeline.digest()
    assert session.say("p parent.pid * 1000") == "4000 (0xfa0)\n"
    assert session.say("p [one.name for one in self if one.pid == parent.pid]") == "['sh']\n"
    assert session.say("p self.slots.clear()", "p len(self.slots)") == "64 (0x40)\n"
    assert session.say("up", "p k.procs.find(2)") == "<process 2 (sh)>\n"
    assert session.say("p nothing").startswith("NameError: ")
    assert "no expression" in session.say("p 1 +")
    assert session.timeline.digest() == digest


def test_a_stop_that_is_added_in_the_middle_of_a_walk_keeps_the_place(session: Booting) -> None:
    session.say("b cat:main", "c", "tb read", "c", "delete", "s 12")
    line = session.say("frame")
    assert line.startswith("#0  ") and " at kernel/" in line
    session.say("catch exec", "catch syscall", "n", "rn")
    assert session.say("frame") == line
