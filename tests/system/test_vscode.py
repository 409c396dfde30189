"""Debugging with VS Code: what .vscode/launch.json says is done here as VS Code does it, without VS Code.

debugpy has the kernel's Python, a gdb the program in C, both at once on one machine.
"""

import ast
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dap import Session
from editor import ROOT, Workspace, settings
from gdbs import gdb_paths
from mi import Gdb
from orrery_cli import orrery
from source_tree import changed_tree, line_of

from orrery.cli import command_line
from toolchain import cc

SYSFILE = ROOT / "kernel/xv6/sysfile.py"
SCORES = ROOT / "docs/examples/scores.c"
PROGRAM = """#include "user/user.h"

int fds[2];

int add(int a, int b)
{
    int sum = a + b;
    return sum;
}

int main(void)
{
    int total = add(30, 5);
    pipe(fds);
    total = add(total, 7);
    printf("total %d\\n", total);
    return 3;
}
"""
SCRIPT = """
from orrery import Machine
with Machine(mem_mib=32) as machine:
    print(machine.boot().sh("echo one two"))
"""
TWO_LINES = """
from orrery import Machine
with Machine(mem_mib=32) as machine:
    machine.boot()
    one = machine.sh("echo one")
    print(one + machine.sh("echo two"), end="")
"""
FORKS = """
from orrery.timetravel.timeline import Timeline
from orrery.pool.machine_pool import MachinePool
with MachinePool() as pool, pool.machine() as machine:
    print(machine.sh("echo one"), end="")
with Timeline(mem_mib=32) as timeline:
    timeline.resume()
    before = timeline.moment
    timeline.reverse_step(5)
    timeline.step(5)
    print(timeline.moment == before)
"""
WAIT = "    return k.procs.wait(p, status_va)\n"
BOOT = "Orrery: boot, the kernel under debugpy"
RUN = "Orrery: run this C file, the kernel under debugpy"
PYTHON = "Orrery: this Python file, with its machines"
BOTH = "Orrery: this C file under gdb, and the kernel under debugpy"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    """A C file, with a name that no other has: what it is compiled to is in build/, in the tree."""
    path = tmp_path / f"p{uuid.uuid4().hex[:8]}.c"
    path.write_text(PROGRAM)
    yield path
    (ROOT / "build" / path.stem).unlink(missing_ok=True)


def first_line(file: Path, function: str) -> int:
    """That of a function's body, behind its docstring."""
    tree = ast.parse(file.read_text())
    (found,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    body = found.body
    return body[1 if ast.get_docstring(found) is not None else 0].lineno


def test_breaking_in_the_kernel_and_in_c_at_once(program: Path) -> None:
    for gdb in gdb_paths():
        break_in_both(program, gdb)


def break_in_both(program: Path, gdb_path: str) -> None:
    kernel_side, c_side = Workspace(program, gdb_path).compound(BOTH)
    in_pipe = first_line(SYSFILE, "sys_pipe")
    with Gdb(c_side) as gdb, Session(kernel_side) as python:
        connection = gdb.start_connecting()
        python.set_breakpoints(SYSFILE, in_pipe)
        python.begin()
        gdb.finish_connecting(connection)
        assert int(gdb.setting("remotetimeout")) > 3600, "it waits while the kernel stands in an answer"
        gdb.set_breakpoint(program, line_of(program, "return sum"))
        gdb.begin()

        stop = gdb.stopped()
        assert 'reason="breakpoint-hit"' in stop and f'fullname="{program}"' in stop
        assert gdb.functions()[:2] == ["add", "main"]
        assert gdb.variables() == {"a": "30", "b": "5", "sum": "35"}

        gdb.resume()
        frames = python.stopped()
        assert [frame["name"] for frame in frames][:3] == ["sys_pipe", "dispatch", "_usertrap"]
        assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(SYSFILE), in_pipe)
        assert python.value("(p.pid, p.name)", frames[0]) == repr((2, program.stem))
        assert gdb.runs, "for gdb the machine is in the system call still"

        python.resume("next")
        assert python.stopped()[0]["line"] > in_pipe
        assert gdb.runs
        python.resume()
        gdb.stopped()
        assert gdb.variables() == {"a": "35", "b": "7", "sum": "42"}
        gdb.resume("finish")
        assert 'func="main"' in gdb.stopped()

        gdb.resume()
        assert 'reason="exited",exit-code="03"' in gdb.stopped()
        gdb.quit()
        status, shown = python.end()
    assert status == 3
    assert shown.endswith("total 42\n")


def test_the_first_time_as_the_page_tells_it() -> None:
    kernel_side, c_side = Workspace(SCORES, gdb_paths()[0]).compound(BOTH)
    with Gdb(c_side) as gdb, Session(kernel_side) as python:
        connection = gdb.start_connecting()
        python.set_breakpoints(SYSFILE, first_line(SYSFILE, "sys_write"))
        python.begin()
        gdb.finish_connecting(connection)
        gdb.set_breakpoint(SCORES, line_of(SCORES, "strcpy(player->name, name)"))
        gdb.begin()
        for name in ("Ada", "Bob", "Eve", "Ada Lovelace"):
            assert f'fullname="{SCORES}"' in gdb.stopped()
            assert gdb.functions()[:2] == ["set_name", "main"]
            variables = gdb.variables()
            assert set(variables) == {"player", "name"}
            assert name in variables["name"]
            gdb.resume()
        frames = python.stopped()
        assert [frame["name"] for frame in frames][:4] == ["sys_write", "dispatch", "_usertrap", "run"]
        assert python.value("p.name", frames[0]) == "'scores'"
        assert gdb.runs
        python.set_breakpoints(SYSFILE)
        python.resume()
        assert 'reason="exited' in gdb.stopped()
        gdb.quit()
        assert "Lovelace" not in python.end()[1], "the bug that docs/debugger.md finds"


def test_the_shell_at_a_terminal_with_breakpoints_that_come_later() -> None:
    machine = Workspace(SYSFILE).configuration(BOOT)
    with Session(machine) as python:
        python.begin()
        python.until_shown(b"$ ")
        python.set_breakpoints(SYSFILE, first_line(SYSFILE, "sys_write"), condition="p.name == 'echo'")
        python.type(b"echo one two\n")
        frame = python.stopped()[0]
        assert python.value("n", frame) == "4", "it writes word by word"
        python.set_breakpoints(SYSFILE)
        python.resume("stepOut")
        assert python.stopped()[0]["name"] == "dispatch"
        python.resume()
        python.until_shown(b"one two\r\n$ ")
        python.type(b"\x01x")
        assert python.end()[0] == 0


def test_a_c_file_alone_and_its_run_is_the_same_as_ever(program: Path) -> None:
    configuration = Workspace(program).configuration(RUN)
    configuration["args"].insert(1, "--digest")
    with Session(configuration) as python:
        python.set_breakpoints(SYSFILE, first_line(SYSFILE, "sys_pipe"))
        python.begin()
        assert python.value("p.name", python.stopped()[0]) == repr(program.stem)
        python.resume()
        status, shown = python.end()
    alone = orrery("run", "--digest", program)
    assert (status, alone.status) == (3, 3)
    assert shown.endswith(f"total 42\n{alone.err}"), "digest and virtual time"


def test_a_script_with_a_machine(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with Session(Workspace(script).configuration(PYTHON)) as python:
        python.set_breakpoints(SYSFILE, first_line(SYSFILE, "sys_write"), condition="p.name == 'echo'")
        python.begin()
        frames = python.stopped()
        assert (frames[0]["name"], python.value("p.name", frames[0])) == ("sys_write", "'echo'")
        python.set_breakpoints(SYSFILE)
        python.resume()
        status, shown = python.end()
    assert status == 0
    assert "one two\n" in shown


def test_a_breakpoint_in_a_function_that_waits_already(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TWO_LINES)
    queue = ROOT / "kernel/wait.py"
    waits, behind = line_of(queue, "self._threads.pause(self.subject)"), line_of(queue, "del self.waiting[0]")
    with Session(Workspace(script).configuration(PYTHON)) as python:
        python.set_breakpoints(script, line_of(script, "echo one"))
        python.begin()
        assert python.stopped()[0]["name"] == "<module>", "the shell waits for a line"
        python.set_breakpoints(queue, behind)
        python.resume()
        frames = python.stopped()
        assert (frames[0]["name"], frames[0]["line"]) == ("wait", behind)
        python.set_breakpoints(queue, waits)
        python.resume()
        assert python.stopped()[0]["line"] == waits
        python.resume("next")
        frame = python.stopped()[0]
        again = line_of(queue, "while not (killable and")
        assert python.value("entry[0].process.name", frame) == "'sh'", "others ran meanwhile"
        assert frame["line"] == again
        python.set_breakpoints(queue)
        python.resume("stepOut")
        assert python.stopped()[0]["name"] == "_wait_for_line"
        python.resume()
        assert python.end()[1].endswith("one\ntwo\n")


def test_a_breakpoint_that_is_set_again_in_a_function_that_waits(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TWO_LINES)
    queue = ROOT / "kernel/wait.py"
    behind = line_of(queue, "del self.waiting[0]")
    with Session(Workspace(script).configuration(PYTHON)) as python:
        python.set_breakpoints(script, line_of(script, "echo one"), line_of(script, "echo two"))
        python.begin()
        for _ in range(2):
            assert python.stopped()[0]["name"] == "<module>", "the shell waits for a line"
            python.set_breakpoints(queue, behind)
            python.resume()
            assert python.stopped()[0]["line"] == behind
            python.set_breakpoints(queue)
            python.resume("next")
            assert python.stopped()[0]["line"] == behind + 1
            python.resume()
        assert python.end()[1].endswith("one\ntwo\n")


def test_from_the_kernel_to_the_script_that_waits_for_the_machine(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TWO_LINES)
    sched, loop = ROOT / "kernel/sched.py", ROOT / "emu/loop.py"
    switch = line_of(sched, "gate: int = self._loop.switch()")
    with Session(Workspace(script).configuration(PYTHON)) as python:
        python.set_breakpoints(SYSFILE, first_line(SYSFILE, "sys_write"), condition="p.name == 'echo'")
        python.begin()
        assert python.stopped()[0]["name"] == "sys_write"
        python.set_breakpoints(SYSFILE)
        python.set_breakpoints(script, line_of(script, "echo two"))
        python.resume()
        assert python.stopped()[0]["name"] == "<module>"
        python.set_breakpoints(sched, switch)
        python.resume()
        assert python.stopped()[0]["line"] == switch
        python.set_breakpoints(sched)
        python.resume("stepIn")
        frames = python.stopped()
        assert frames[0]["source"]["path"] == str(loop), "it lets the hart run"
        assert "<module>" in [frame["name"] for frame in frames]
        python.resume()
        assert python.end()[1].endswith("one\ntwo\n")


def test_breakpoint_in_the_kernel_stops_in_the_editor(tmp_path: Path) -> None:
    tree = changed_tree(tmp_path / "tree", "kernel/xv6/sysproc.py", WAIT, f"    breakpoint()\n{WAIT}")
    configuration = Workspace(tree).configuration(BOOT)
    with Session({**configuration, "cwd": str(tree), "env": {"PYTHONPATH": str(tree)}}) as python:
        python.begin()
        frame = python.stopped()[0]
        assert (frame["source"]["path"], frame["name"]) == (str(tree / "kernel/xv6/sysproc.py"), "sys_wait")
        assert python.value("p.name", frame) == "'init'"
        python.resume()
        python.until_shown(b"$ ")
        python.type(b"\x01x")
        assert python.end()[0] == 0


def test_a_debugger_that_follows_processes_lets_those_alone_that_fork(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FORKS)
    with Session({**Workspace(script).configuration(PYTHON), "subProcess": True}) as python:
        python.begin()
        assert python.end() == (0, "one\nTrue\n")


def test_the_extensions_are_offered_that_the_configurations_need() -> None:
    types = {one["type"] for one in settings("launch.json")["configurations"]}
    extensions = {"debugpy": "ms-python.debugpy", "cppdbg": "ms-vscode.cpptools"}
    assert {extensions[one] for one in types} == set(settings("extensions.json")["recommendations"])


def test_no_configuration_lets_debugpy_follow_processes_that_fork() -> None:
    ours = [one for one in settings("launch.json")["configurations"] if one["type"] == "debugpy"]
    assert len(ours) == 4
    assert all(one["subProcess"] is False for one in ours)


def test_an_editor_is_told_the_flags(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed for editors is enough to compile, and says what compiles differently."""
    (tmp_path / "p.c").write_text('#include "user/user.h"\n#include "kernel/fs.h"\nint n = BSIZE + OWN;\n')
    assert command_line.main(["cc", "--print-flags", "-DOWN=3"]) == 0
    flags = capfd.readouterr().out.splitlines()
    command = [str(cc.zig_path()), "clang", *flags, "-fsyntax-only", "-Werror", str(tmp_path / "p.c")]
    assert subprocess.run(command, check=False, capture_output=True, timeout=30).stderr == b""
    assert command_line.main(["cc", "--print-flags=vscode", "-DOWN=3", "-I", str(tmp_path)]) == 0
    [configuration] = json.loads(capfd.readouterr().out)["configurations"]
    assert configuration["includePath"][0] == str(tmp_path) and "OWN=3" in configuration["defines"]
    [ours] = settings("c_cpp_properties.json")["configurations"]
    for told in (configuration["includePath"], ours["includePath"]):
        places = [Path(one.replace("${workspaceFolder}", str(ROOT))) for one in told]
        assert any((place / "user" / "user.h").is_file() for place in places)
