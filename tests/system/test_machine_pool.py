"""Forked machines: the same run as one that booted for itself, independent, and never in anybody's way."""

import marshal
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

import orrery_cli
import pytest
from processes import descendants, left
from source_tree import changed_tree

from kernel.abi import disk
from kernel.kernel import KernelPanic
from orrery import (
    BadInput,
    CannotBoot,
    CannotGoOn,
    Deadlock,
    ExpectTimeout,
    Machine,
    MachinePool,
    PoweredOff,
    run_program,
)
from orrery.machine.hooks import FaultEvent, SyscallEvent
from orrery.pool import serialized_exception
from orrery.pool.machine_pool import PARENTS_MAX
from orrery.pool.recipe import Recipe
from toolchain.cc import CompileError
from toolchain.mkfs import ImageError

COMMANDS = ("echo one > a; cat a a | wc", "mkdir d; ln a d/b; ls d", "nosuch; echo $", "grep o README | wc")
Own: TypeAlias = Callable[[], dict[int, str]]


@pytest.fixture(scope="module")
def pool() -> Iterator[MachinePool]:
    with MachinePool() as pool:
        yield pool


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """The programs of orrery_cli.PROGRAMS, as files."""
    paths = {name: tmp_path / f"{name}.c" for name in orrery_cli.PROGRAMS}
    for name, path in paths.items():
        path.write_text(orrery_cli.INCLUDES + orrery_cli.PROGRAMS[name])
    return paths


# --- other futures ---


def test_a_forked_machine_can_be_forked_again(pool: MachinePool) -> None:
    with pool.machine(mem_mib=16) as machine:
        machine.sh("echo before > x")
        with machine.fork() as other:
            assert (other.digest(), other.console) == (machine.digest(), machine.console)
            assert other.sh("echo other > x; cat x") == "other\n"
            assert machine.sh("cat x") == "before\n"
            assert other.used_ps > 0 and other.sh("cat x") == "other\n"
        assert machine.sh("cat x") == "before\n"


def test_a_forked_machine_goes_back_to_its_snapshots(pool: MachinePool) -> None:
    with pool.machine(mem_mib=16) as machine:
        names: list[str] = []
        start, digest, console = machine.snapshot(), machine.digest(), machine.console
        machine.on("syscall", lambda event: names.append(event.name))
        for _ in range(2):
            machine.sh("echo hi > x; cat x")
            assert "write" in names
            machine.goto(start)
            assert (machine.time_ps, machine.digest()) == (start.time_ps, digest)
            assert machine.console == console
            names.clear()
        assert machine.sh("cat x") == "cat: cannot open x\n"
        with pytest.raises(TypeError, match="goes to snapshots"):
            machine.goto(0)  # type: ignore[arg-type]


def test_a_forked_machine_that_is_lost_goes_back_to_a_snapshot(pool: MachinePool) -> None:
    with pool.machine(mem_mib=16) as machine:
        start = machine.snapshot()
        own = set(descendants(os.getpid()))
        with machine.fork() as other:
            new = set(descendants(os.getpid())) - own
            assert len(new) == 1
            os.kill(new.pop(), signal.SIGKILL)
            with pytest.raises(CannotGoOn):
                other.sh("ls")
            other.goto(start)
            assert other.sh("echo hi") == "hi\n"


def test_a_forked_machine_runs_to_events_and_can_be_changed(pool: MachinePool) -> None:
    with pool.machine(mem_mib=16) as machine:
        machine.type("echo hi\n")
        assert machine.run_until("exec").text == "process 3 runs echo"
        with pytest.raises(Deadlock, match="waiting for crash"):
            machine.run_until("crash")
        with pytest.raises(ValueError, match="no such event"):
            machine.run_until("lunch")
        machine.write(0x80400000, b"abc")
        assert machine.read(0x80400000, 3) == b"abc"


# --- the same run ---


def test_a_fork_makes_the_run_of_a_machine_that_booted_for_itself(pool: MachinePool) -> None:
    with Machine(mem_mib=32) as machine:
        machine.boot()
        expected = [(machine.sh(command), machine.status, machine.time_ps) for command in COMMANDS]
        digest = machine.digest()
    for _ in range(3):
        with pool.machine(mem_mib=32, max_time_s=30) as fork:
            assert [(fork.sh(command), fork.status, fork.time_ps) for command in COMMANDS] == expected
            assert fork.digest() == digest


def test_on_the_public_engine_too(pool: MachinePool) -> None:
    with pool.machine(mem_mib=16, engine="public") as slow, pool.machine(mem_mib=16) as fast:
        assert slow.sh(COMMANDS[0]) == fast.sh(COMMANDS[0])
        assert slow.digest() == fast.digest()


def test_forks_do_not_see_each_other(pool: MachinePool) -> None:
    with pool.machine() as one, pool.machine() as other:
        one.sh("echo mine > f")
        assert other.sh("cat f") == "cat: cannot open f\n"
        other.sh("echo yours > f")
        assert one.sh("cat f") == "mine\n" and other.sh("cat f") == "yours\n"
        assert one.digest() != other.digest()


def test_a_fork_outlives_its_nursery() -> None:
    with MachinePool() as pool:
        fork = pool.machine()
    with fork:
        assert fork.sh("echo here") == "here\n"


def test_a_program_is_run_as_by_the_command_line(pool: MachinePool, tmp_path: Path) -> None:
    source = tmp_path / "three.c"
    text = (
        'int main(int n, char **v) { char b[9]; b[read(0, b, 8)] = 0; printf("%s,%s", v[1], b); return 3; }'
    )
    source.write_text(orrery_cli.INCLUDES + text)
    assert pool.run_program(source, ["a b"], stdin="in\nput\n") == (3, "a b,in\n")

    done = orrery_cli.orrery("run", "--digest", source, "x", stdin="y\n")
    from orrery.machine import program

    loaded = program.load(str(source), ["x"], print)
    with pool._fork(Recipe(for_program=True), None) as fork:
        assert fork.call("program", loaded.argv, loaded.elf, b"y\n") == (done.status, done.out.encode())
        assert done.lines == [f"digest: {fork.digest()}", f"time: {fork.time_ps} ps"]


def test_the_year_of_the_labs(pool: MachinePool, tmp_path: Path) -> None:
    source = tmp_path / "info.c"
    source.write_text(
        '#include "kernel/types.h"\n#include "kernel/sysinfo.h"\n#include "user/user.h"\n'
        'int main(void) { struct sysinfo info; printf("%d\\n", sysinfo(&info)); }\n'
    )
    with pool.machine(programs=[source], lab=2021) as machine:
        assert machine.sh("info") == "0\n"
    with pool.machine(programs=[source], lab=2024) as machine:
        assert machine.sh("info").endswith("info: unknown sys call 23\n-1\n")
    with pytest.raises(BadInput, match="lab 2018"):
        pool.machine(lab=2018)


@pytest.mark.parametrize("files", [{}, {"more": "x"}])
def test_the_layout_of_the_disk(pool: MachinePool, files: dict[str, str]) -> None:
    size = 4 * len(orrery_cli.default_files()["usertests"])
    assert size > disk.MAXFILE * disk.BSIZE
    for layout, said in (("lab", ""), ("stock", "cat: write error\n"), (None, "cat: write error\n")):
        with pool.machine(files=files, layout=layout) as machine:
            assert machine.sh(f"cat {'usertests ' * 4}> f") == said
    with pytest.raises(BadInput, match="layout 'big'"):
        pool.machine(files=files, layout="big")


def test_machines_of_one_kind_are_forked_from_one_that_has_booted(pool: MachinePool) -> None:
    """How long that takes is told in docs/grading.md; that nothing boots again can be tested anywhere."""
    with pool.machine() as first:
        booted_ps, parents = first.time_ps, dict(pool._parents)
    with pool.machine() as second:
        assert second.time_ps == booted_ps > 0
        assert dict(pool._parents) == parents, "no parent was made for it"
    with pool.machine(mem_mib=65):
        assert set(pool._parents) - set(parents), "another kind has a parent of its own"


# --- what a machine can do ---


def test_the_methods_of_a_machine(pool: MachinePool) -> None:
    with pool.machine() as fork:
        assert fork.boot() is fork
        fork.type("echo 4")
        fork.type(b"2; sleep 10\n")
        match = fork.expect(r"\n(4(?P<two>2))\n")
        assert match["two"] == "2"
        assert fork.reg("x0") == 0 and fork.reg("pc") != 0
        assert fork.read(0x8000_0000, 8) != bytes(8)
        before = fork.time_ps
        assert fork.sh("cat nosuch") == "cat: cannot open nosuch\n" and fork.status == 1
        assert 9 * 10**11 < fork.time_ps - before < 11 * 10**11  # ten ticks of sleep, less what was left
        assert fork.used_ps < fork.time_ps
        assert fork.console.endswith("$ cat nosuch\ncat: cannot open nosuch\n$ ")
        assert fork.console.startswith("\norrery: the xv6 kernel in Python is booting\n")
        with pytest.raises(ValueError, match="no register 'pq'"):
            fork.reg("pq")
        with pytest.raises(ValueError, match="RAM is from"):
            fork.read(0, 8)
        assert fork.sh("echo fine") == "fine\n"


def test_hooks_get_the_events_of_a_machine_in_this_process(pool: MachinePool) -> None:
    expected: list[object] = []
    with Machine() as machine:
        machine.boot()
        for kind in ("syscall", "fault", "switch"):
            machine.on(kind, expected.append)
        machine.sh("echo hi | cat")
    events: list[object] = []
    with pool.machine() as fork:
        for kind in ("syscall", "fault", "switch"):
            fork.on(kind, events.append)
        also: list[SyscallEvent] = []
        fork.on("syscall", also.append)
        fork.sh("echo hi | cat")
        with pytest.raises(ValueError, match="no events of kind 'page'"):
            fork.on("page", print)
    assert events == expected
    assert also == [event for event in events if isinstance(event, SyscallEvent)]
    assert any(isinstance(event, FaultEvent) for event in events) or len(also) > 5


def test_what_is_on_the_disk(pool: MachinePool, sources: dict[str, Path], tmp_path: Path) -> None:
    with pool.machine(programs=[sources["status"]], files={"in": "a\nb\n", "raw": b"\0\1"}) as fork:
        assert fork.sh("cat in; wc raw") == "a\nb\n0 1 2 raw\n"
        fork.sh("status 7")
        assert fork.status == 7
    sources["status"].write_text("int main(void) { return 8; }")
    with pool.machine(programs=[sources["status"]]) as fork:
        fork.sh("status 7")
        assert fork.status == 8  # a source that has changed is another recipe
    drive = tmp_path / "fs.img"
    image = orrery_cli.image_with(tmp_path, {})
    drive.write_bytes(image)
    with pool.machine(drive) as fork, pool.machine(image) as same, pool.machine(str(drive)) as third:
        for machine in (fork, same, third):
            machine.sh("echo x > new")
        assert fork.digest() == same.digest() == third.digest()
    assert drive.read_bytes() == image
    with Machine(drive) as machine:  # nobody has it locked
        assert "new" not in machine.boot().sh("ls")


def test_a_crash_is_told_by_the_line(pool: MachinePool, sources: dict[str, Path]) -> None:
    with pool.machine(programs=[sources["crash"]]) as fork:
        assert fork.sh("crash").startswith("usertrap(): unexpected scause 0xf pid=3\n")
        (crash,) = fork.crashes
        what, place, _ = crash.splitlines()
        assert what.startswith("crash (pid 3) was killed: it wrote to 0x5000000000, which is no address: ")
        assert re.fullmatch("  #0  0x[0-9a-f]+ main.* at crash.c:4", place)


# --- what can go wrong in a machine ---


def test_limits_of_virtual_time(pool: MachinePool, sources: dict[str, Path]) -> None:
    with pool.machine(programs=[sources["spin"]], max_time_s=0.1) as fork:
        with pytest.raises(ExpectTimeout, match=r"waiting for the end of 'spin': 0.01 s"):
            fork.sh("spin", timeout_s=0.01)
        with pytest.raises(ExpectTimeout, match=r"limit of 0.1 s of virtual time is over.*shows ''"):
            fork.expect("never", timeout_s=5)
        assert fork.used_ps >= 10**11
        with pytest.raises(ExpectTimeout, match=r"limit of 0\.1 s"):
            fork.sh("ls")
    with pytest.raises(ExpectTimeout, match=r"limit of 0\.2 s"):
        pool.run_program(sources["doze"], max_time_s=0.2)


def test_all_asleep(pool: MachinePool, sources: dict[str, Path]) -> None:
    with (
        pool.machine(programs=[sources["stuck"]], max_time_s=1) as fork,
        pytest.raises(Deadlock, match=r"waiting for the end of 'stuck': .*stuck.* waits for"),
    ):
        fork.sh("stuck")
    with pytest.raises(Deadlock, match=r"stuck.* waits for"):
        pool.run_program(sources["stuck"])


def test_switched_off(pool: MachinePool) -> None:
    with pool.machine() as fork:
        fork.sh("rm sh")
        fork.type("\x04")
        for _ in range(2):
            with pytest.raises(PoweredOff) as off:
                fork.sh("ls")
            assert off.value.status == 127 and "status 127" in str(off.value)


@pytest.fixture
def same_programs(tmp_path: Path) -> list[Path]:
    """Programs that call uptime(), for a kernel that tells them by their names."""
    paths = [tmp_path / f"{name}.c" for name in ("raises", "panics", "loops", "works")]
    for path in paths:
        path.write_text(orrery_cli.INCLUDES + "int main(void) { return uptime() < 0; }")
    return paths


def test_a_kernel_that_breaks(tmp_path: Path, same_programs: list[Path]) -> None:
    """An exception, a panic and an endless loop in a system call: all are panics, and tell where."""
    uptime = "    return k.timer.ticks & 0xFFFF_FFFF\n"
    broken = """    if p.name == "raises":
        p.nosuch += 1
    if p.name == "panics":
        k.panic("I do not like it")
    while p.name == "loops":
        pass
"""
    tree = changed_tree(tmp_path / "tree", "kernel/xv6/sysproc.py", uptime, broken + uptime)
    stuck = "Stuck: no progress in 3 s of CPU time: it loops in kernel/xv6/sysproc.py, line "
    with MachinePool(tree) as pool:
        for name, message in (
            ("raises", "AttributeError: 'Process' object has no attribute 'nosuch'"),
            ("panics", "I do not like it"),
            ("loops", stuck),
        ):
            with pool.machine(programs=same_programs, max_time_s=5) as fork:
                assert fork.sh("works") == ""
                with pytest.raises(KernelPanic) as panic:
                    fork.sh(name)
                assert str(panic.value).startswith(message)
                (report,) = panic.value.__notes__
                assert f"({name}), " in report and "kernel/xv6/sysproc.py" in report
                with pytest.raises(KernelPanic) as again:
                    fork.sh("works")
                assert str(again.value) == str(panic.value)
        with pytest.raises(KernelPanic, match="I do not like it"):
            pool.run_program(same_programs[1])


NO_BOOT = {
    "a syntax error": (
        "kernel/proc.py",
        ("    def kill(self", "    def kill((self"),
        (CannotBoot, r"the kernel cannot be loaded: SyntaxError: .* \(kernel/proc.py, line \d+\)"),
    ),
    "a module that is not there": (
        "kernel/fs/pipe.py",
        ("from typing import", "import nosuch\nfrom typing import"),
        (CannotBoot, r"cannot be loaded: ModuleNotFoundError: .*nosuch.* \(kernel/fs/pipe.py, line \d+\)"),
    ),
    "a declaration that is wrong": (
        "kernel/abi/syscalls.py",
        ("LAB_YEARS: Final = range", "LAB_YEARS: Final = nosuch"),
        (CannotBoot, r"the kernel cannot be loaded: \w+Error: .* \(kernel/abi/syscalls.py, line \d+\)"),
    ),
    "a kernel that cannot be put together": (
        "kernel/kernel.py",
        ("= FileTable()\n", "= FileTable(1)\n"),
        (CannotBoot, r"the machine cannot be made: TypeError: .* \(kernel/kernel.py, line \d+\)"),
    ),
    "a panic": (
        "kernel/kernel.py",
        ("        self.devices.init()\n", '        self.panic("not today")\n'),
        (KernelPanic, r"^not today\n"),
    ),
    "an init that loops": (
        "user/bin/init.c",
        ("    int status;\n\n    open_console();", "    int status;\n    for (;;);"),
        (ExpectTimeout, "the limit of 20 s of virtual time is over"),
    ),
    "an init that waits": (
        "user/bin/init.c",
        ("    int status;\n\n    open_console();", "    int status;\n    open_console(); read(0, &argc, 1);"),
        (Deadlock, "waiting for the shell's first prompt: process 1 \\(init\\) waits for a line"),
    ),
    "a shell that is no C": (
        "user/bin/sh.c",
        ('#include "kernel/types.h"', "oops"),
        (CompileError, r"user/bin/sh.c:\d+:\d+: error: "),
    ),
}


@pytest.mark.parametrize("fault", NO_BOOT)
def test_a_tree_that_does_not_boot_says_so_each_time(tmp_path: Path, fault: str) -> None:
    file, change, (error, message) = NO_BOOT[fault]
    with MachinePool(changed_tree(tmp_path / "tree", file, *change)) as pool:
        for _ in range(2):
            with pytest.raises(error, match=message):
                pool.machine()


def test_a_broken_workbench(tmp_path: Path) -> None:
    """Not even the fork server starts: the one thing that is left to show is what Python printed."""
    tree = changed_tree(tmp_path / "tree", "orrery/pool/recipe.py", "class Recipe", "class Recipe of")
    with MachinePool(tree) as pool:
        for _ in range(2):
            with pytest.raises(CannotGoOn) as lost:
                pool.machine()
            assert "SyntaxError" in lost.value.__notes__[0]


def test_bad_input(pool: MachinePool, sources: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a source tree of Orrery: it has no emu, kernel"):
        MachinePool(tmp_path)
    for arguments, error, message in (
        ({"mem_mib": 1}, BadInput, "1 MiB of memory"),
        ({"engine": "steam"}, BadInput, "engine 'steam'"),
        ({"drive": tmp_path / "nosuch.img"}, BadInput, "nosuch.img"),
        ({"drive": b"no image" * 512}, ImageError, "the image in memory"),
        ({"drive": b"", "files": {"f": ""}}, BadInput, "they go on the default image only"),
        ({"files": {"f/g": ""}}, ImageError, "not a file name"),
        ({"files": {"spin": ""}, "programs": [sources["spin"]]}, BadInput, "two programs or files named"),
        ({"programs": [tmp_path / "nosuch.c"]}, CompileError, "nosuch.c: No such file"),
        ({"programs": [tmp_path / "notes.txt"]}, CompileError, "not a C or assembly source"),
    ):
        with pytest.raises(error, match=message):
            pool.machine(**arguments)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="check the name of the program"):
        pool.run_program(tmp_path / "nosuch")


# --- processes ---


@pytest.fixture
def own() -> Callable[[], dict[int, str]]:
    """Says which processes this test has started, with their states; parents come before children."""
    others = descendants(os.getpid())
    return lambda: {pid: state for pid, state in descendants(os.getpid()).items() if pid not in others}


def test_processes_that_are_killed(own: Own) -> None:
    with MachinePool() as pool:
        fork = pool.machine()
        (server, parent, child) = own()
        os.kill(child, signal.SIGSEGV)
        with pytest.raises(CannotGoOn, match="the process of the machine has ended") as lost:
            fork.sh("ls")
        assert "Fatal Python error: Segmentation fault" in lost.value.__notes__[0]
        os.kill(parent, signal.SIGKILL)
        assert left([parent]) == []
        assert pool.machine().sh("echo again") == "again\n"
        os.kill(server, signal.SIGKILL)
        assert left([server]) == []
        assert pool.machine(mem_mib=16).sh("echo and again") == "and again\n"


def test_no_process_stays(own: Own) -> None:
    with MachinePool() as pool:
        forks = [pool.machine() for _ in range(3)]
        pids = list(own())
        assert len(pids) == 5
        for fork in forks:
            fork.close()
            fork.close()
        assert left(pids[2:]) == []
        assert "Z" not in own().values()
    assert own() == {}


def test_a_caller_that_is_killed_leaves_nothing_behind(sources: dict[str, Path]) -> None:
    """Not the machine in the midst of an endless command, either."""
    script = (
        "import sys; from orrery import MachinePool; pool = MachinePool();"
        "idle = pool.machine(); busy = pool.machine(programs=[sys.argv[1]]);"
        "print('begun', flush=True); busy.sh('spin')"
    )
    with subprocess.Popen([sys.executable, "-c", script, sources["spin"]], stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None and caller.stdout.readline() == b"begun\n"
        pids = list(descendants(caller.pid))
        assert len(pids) == 5  # the fork server, two parents, two children
        caller.kill()
    assert left(pids) == []


def test_only_so_many_booted_machines_are_kept(own: Own) -> None:
    with MachinePool() as pool:
        pool.machine(mem_mib=8, files={"f": "0"}).close()
        first = list(own())[1:]
        for i in range(1, PARENTS_MAX + 1):
            pool.machine(mem_mib=8, files={"f": str(i)}).close()
        assert left(first) == []
        with pool.machine(mem_mib=8, files={"f": "0"}) as again:
            assert again.sh("cat f") == "0"


def test_a_wire_that_is_interrupted_is_not_used_again(pool: MachinePool) -> None:
    """An answer that comes later must not be taken for the answer to another call."""
    fork = pool.machine(max_time_s=100)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                fork.sh("usertests forkfork")
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(AssertionError, match="closed, or lost"):
        fork.sh("ls")


# --- the rest ---


def test_run_program_of_the_package(tmp_path: Path) -> None:
    source = tmp_path / "hello.c"
    source.write_text(orrery_cli.INCLUDES + 'int main(void) { printf("hello\\n"); return 9; }')
    result = run_program(source)
    assert result == (9, "hello\n") and result.status == 9 and result.output == "hello\n"


@pytest.mark.parametrize("name", serialized_exception.HOMES)
def test_exceptions_travel(name: str) -> None:
    cls = getattr(import_module(serialized_exception.HOMES[name]), name)
    error: Exception = PoweredOff(3) if cls is PoweredOff else cls("what\nwent wrong")
    error.add_note("and why")
    arrived = serialized_exception.unwrap(marshal.loads(marshal.dumps(serialized_exception.wrap(error))))
    assert type(arrived) is cls
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_an_exception_without_a_name_travels_as_the_nearest() -> None:
    assert isinstance(serialized_exception.unwrap(serialized_exception.wrap(FileNotFoundError("x"))), OSError)
    arrived = serialized_exception.unwrap(serialized_exception.wrap(ZeroDivisionError("x")))
    assert isinstance(arrived, CannotGoOn) and str(arrived) == "ZeroDivisionError: x"
