"""The console monitor: what its commands show, that they change nothing, and its prompt on a terminal."""

import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orrery_cli import ORRERY, compile_text, image_with, orrery
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from emu.clock import TICKS_PER_S
from emu.cpu.sv39 import Access, TranslationFault, translate
from emu.loop import Stop
from kernel.abi.memlayout import MAXVA, PGSIZE, SUPERPGSIZE
from kernel.thread import CONTEXT_SP
from orrery import Machine
from orrery.console.prompt import Prompt
from orrery.console.signals import Signals
from orrery.inspect import pages, stacks
from orrery.inspect.audit import Audit
from orrery.inspect.monitor import COMMANDS, Monitor
from toolchain import cc, fsimage, image

COMMAND_LINES = [
    "help", "ps", "irq", "time", "memory", "regs", "frames", "frames 0x87f00000", "pt 0", "stack 0",
    "sched", "log", "devices", "frame 0x80210", "frame 0x80003", "frame 0",
    *(f"{line} {pid}" for pid in range(1, 9) for line in ("pt", "stack", "vmas")),
    *(f"pt {pid} 0x3ff8" for pid in range(1, 9)),
    "x 0x80000000 100", "x 1:0 4096", "x 0:0x80000000", "pt 2 0x3fffffe000", "nonsense", "p", "pt", "x zz",
]  # fmt: skip
RECURSIVE = """
int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) int call(int n) { return getpid() + fib(n); }
int main(void) { int sum = 0; for (;;) sum += call(DEPTH); return sum; }
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """At the shell's prompt, with a process that sleeps and one that waits for a pipe. For looking only."""
    with Machine() as machine:
        machine.boot().sh("sleep 1000 &")
        machine.sh("sleep 1000 | wc &")
        assert machine.run(machine.board.clock.now + TICKS_PER_S) is Stop.LIMIT  # until all of them wait
        yield machine


@pytest.fixture(scope="module")
def monitor(machine: Machine) -> Monitor:
    return Monitor(machine)


@cache
def init() -> bytes:
    return fsimage.FsImage(image.default_image()).read("/init")


def running(program: bytes, name: bytes = b"prog", engine: str = "fast") -> Machine:
    """A machine in which init is to run `program`, as `orrery run` makes it."""
    return Machine(engine=engine, init_argv=(b"/init", name), modules={b"/init": init(), name: program})


def pid_of(machine: Machine, name: str) -> int:
    return next(p.pid for p in machine.kernel.procs if p.name == name)


# --- it changes nothing ---


def digest_of_workload(seed: int | None) -> str:
    """Of a whole run; with a seed, the monitor looks at it at random moments."""
    workload = fsimage.FsImage(image.default_image()).read("/workload")
    with running(workload, b"workload") as machine:
        rng, monitor, looks = random.Random(seed), Monitor(machine), 0
        while True:
            limit = machine.board.clock.now + rng.randrange(1, 40_000_000)
            stop = machine.run(limit) if seed is not None else machine.run()
            if stop is not Stop.LIMIT:
                break
            looks += 1
            for line in rng.sample(COMMAND_LINES, 6):
                monitor.execute(line)
        assert machine.board.exit_code == 0 and (seed is None or looks > 20)
        return machine.digest()


def test_a_run_that_was_looked_at_is_the_same_run() -> None:
    undisturbed = digest_of_workload(None)
    assert digest_of_workload(1) == undisturbed


def test_looking_changes_nothing_on_the_public_engine() -> None:
    digests = set()
    for look in (False, True):
        with Machine(engine="public") as machine:
            monitor = Monitor(machine)
            for limit in range(1_000_000, 40_000_000, 8_000_000):
                machine.run(limit)
                for line in COMMAND_LINES if look else ():
                    monitor.execute(line)
            digests.add(machine.digest())
    assert len(digests) == 1


def test_no_command_touches_a_device(machine: Machine, monitor: Monitor) -> None:
    for address in ("0x10000000", "0x0c200004", "0x10001000", "0x2000000", "0x100000", "0:0x10000000"):
        answer = monitor.execute(f"x {address}")
        assert "to read it might change it" in answer and answer.count("\n") == 1
    assert "no RAM there" in monitor.execute("x 0x4000")


# --- lines that are no commands ---


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("foo", f"foo: no such command; there are {', '.join(c.name for c in COMMANDS)}"),
        ("p", "p: could be ps or pt"),
        ("pt", "pt: wrong number of arguments; write pt PID [VA]"),
        ("ps all", "ps: wrong number of arguments; write ps"),
        ("vmas 0", "0: the kernel has no mappings of files; give the number of a process"),
        ("pt 77", "77: no such process; there are 1, 2, 3, 4, 5, 6, and 0 for the kernel"),
        ("pt init", "init: give the number of a process, or 0 for the kernel, in decimal or as 0x..."),
        ("pt -1", "-1: give the number of a process, or 0 for the kernel, in decimal or as 0x..."),
        ("pt 1 0x4000000000", "0x4000000000: no virtual address; they are below 0x4000000000"),
        ("x 0x80000000 0", "x: 0 bytes: give from 1 to 4096"),
        ("x 1:0x100000000", "0x100000000: not mapped"),
        ("frames 0", "0x0: no RAM there; RAM is from 0x80000000 to 0x88000000"),
        ("goto 1s", "goto: a machine with a past has this: use `orrery debug`, or gdb by --gdb"),
        ("", None),
        ("   ", None),
    ],
)
def test_a_bad_line_gets_one_clear_line(monitor: Monitor, line: str, answer: str | None) -> None:
    pattern = r"there are 1, [\d, ]+ and 0"  # who runs is no matter here
    shown = re.sub(pattern, "there are ... and 0", monitor.execute(line))
    assert shown == ("" if answer is None else re.sub(pattern, "there are ... and 0", answer) + "\n")


words = st.sampled_from([c.name for c in COMMANDS if c.name != "quit"]) | st.text(max_size=5)
arguments = st.one_of(
    st.integers(0, MAXVA + 5).map(hex),
    st.integers(-3, 9).map(str),
    st.tuples(st.integers(0, 7), st.integers(0, 1 << 40)).map(lambda pair: f"{pair[0]}:{pair[1]:#x}"),
    st.text(max_size=4),
)


@settings(max_examples=80, deadline=None)
@given(st.tuples(words, st.lists(arguments, max_size=3)))
def test_no_line_breaks_it(machine: Machine, parts: tuple[str, list[str]]) -> None:
    answer = Monitor(machine).execute(" ".join([parts[0], *parts[1]]))
    assert answer == "" or answer.endswith("\n")


def test_names_may_be_shortened(monitor: Monitor) -> None:
    for short, whole in (("h", "help"), ("?", "help"), ("f", "frames"), ("st 2", "stack 2"), ("t", "time")):
        assert monitor.execute(short) == monitor.execute(whole)
    assert monitor.execute("help pt").startswith("pt PID [VA]  ")
    assert len(monitor.execute("help").splitlines()) == len(COMMANDS) + 1


def test_before_the_kernel_has_started_there_is_little_to_see() -> None:
    with Machine() as machine:
        monitor = Monitor(machine)
        for line in COMMAND_LINES:
            assert monitor.execute(line)
        assert monitor.execute("ps") == "the kernel has not started\n"
        assert "pc 0000000080000000  _entry+0x0" in monitor.execute("regs")


# --- what the commands show ---


def test_ps(machine: Machine, monitor: Monitor) -> None:
    heading, *lines = monitor.execute("ps").splitlines()
    assert heading.split()[:7] == ["pid", "ppid", "state", "size", "pc", "name", "waits"]
    first, shell, sleeper = (line.split(maxsplit=6) for line in lines[:3])
    assert (first[:3], first[5:]) == (["1", "0", "sleep"], ["init", "a child of process 1 (init)"])
    assert (shell[:3], shell[5:]) == (["2", "1", "sleep"], ["sh", "a line from the console"])
    assert sleeper[5] == "sleep" and re.fullmatch(r"tick \d+", sleeper[6])
    assert any(line.endswith("bytes in a pipe") for line in lines)
    sizes = {p.pid: p.space.sz for p in machine.kernel.procs}
    assert {int(line.split()[0]): int(line.split()[3]) for line in lines} == sizes


def test_ps_of_a_zombie_and_of_who_runs(tmp_path: Path) -> None:
    text = "int main(void) { if (fork() == 0) exit(7); sleep(1); for (;;); }"
    with running(compile_text(tmp_path, "prog", text)) as machine:
        machine.run(machine.board.clock.now + 2_000_000_000)
        lines = Monitor(machine).execute("ps").splitlines()
        assert any("zombie" in line and line.endswith("exited with status 7") for line in lines)
        (runner,) = (line.split() for line in lines if " run " in line)
        assert int(runner[4], 0) == machine.reg("pc") and machine.reg("priv") == 0


def test_pt_shows_every_page(machine: Machine, monitor: Monitor) -> None:
    for p in machine.kernel.procs:
        shown = {}
        for line in monitor.execute(f"pt {p.pid}").splitlines()[1:]:
            virtual, physical, count, permissions, history = line.split()[:5]
            va, pa = (int(part.split("-")[0], 16) for part in (virtual, physical))
            for page in range(int(count)):
                shown[va + page * PGSIZE] = (pa + page * PGSIZE, f"{permissions} {history}")
        leaves = machine.kernel.vm.leaves(p.space, 0, MAXVA)
        assert shown == {va: (pte >> 10 << 12, pages.flags_text(pte)) for va, _, pte in leaves}
    assert monitor.execute("pt 2").endswith("r-x-- a--  trampoline\n")
    assert re.search(r"r---- --[c-]  guard\n", monitor.execute("pt 2"))
    kernel = monitor.execute("pt 0")
    assert "the PLIC, the UART, virtio" in kernel and "kernel stack of slot 63" in kernel


def test_pt_walks_as_the_hardware_does(machine: Machine, monitor: Monitor) -> None:
    rng, ram = random.Random(5), machine.kernel.ram
    for p in machine.kernel.procs:
        for va in [0, 0x3FFF, 0x3F_FFFF_EFFF, *(rng.randrange(p.space.sz + 0x4000) for _ in range(30))]:
            try:
                expected = translate(ram, p.space.satp, va, Access.LOAD, user=va < MAXVA - 2 * PGSIZE)
            except TranslationFault:
                continue
            *steps, last = monitor.execute(f"pt {p.pid} {va:#x}").splitlines()
            assert last == f"{va:#x} is at physical address {expected:#x}"
            assert [step.split(":")[0] for step in steps] == ["satp", "level 2", "level 1", "level 0"]


def test_pt_tells_where_a_walk_ends(machine: Machine, monitor: Monitor) -> None:
    answer = monitor.execute("pt 2 0x10000000").splitlines()
    assert answer[-2].endswith("is 0x0000000000000000: not valid") and answer[-2].startswith("level 1:")
    assert answer[-1] == "0x10000000 is not mapped"


def test_pt_tells_what_is_promised(tmp_path: Path) -> None:
    text = 'int main(void) { char *p = sbrklazy(40960); printf("%p ready\\n", p); pause(100); return 0; }'
    text = text.replace("pause", "sleep")
    with running(compile_text(tmp_path, "prog", text)) as machine:
        start = int(machine.expect(r"(0x\w+) ready")[1], 16)
        answer = Monitor(machine).execute(f"pt {pid_of(machine, 'prog')} {start + 0x5000:#x}")
        assert answer.endswith("is not mapped, but promised: it will be when it is touched\n")


@pytest.fixture(scope="module")
def holding() -> Iterator[Machine]:
    """A machine in which `holder` and its child have memory of every kind. For looking only."""
    holder = cc.compile_user([Path(__file__).with_name("programs") / "holder.c"])
    with Machine(modules={b"holder": holder}) as machine:
        machine.boot().sh("holder &")
        assert machine.run(machine.board.clock.now + TICKS_PER_S) is Stop.ASLEEP
        yield machine


def test_vmas_counts_the_pages_of_each_mapping(holding: Machine) -> None:
    p = min((p for p in holding.kernel.procs if p.name == "holder"), key=lambda p: p.pid)
    heading, *lines = Monitor(holding).execute(f"vmas {p.pid}").splitlines()
    assert heading.split()[1:8] == ["prot", "pages", "there", "used", "dirty", "cow", "what"]
    for line, vma in zip(lines, p.space.vmas, strict=True):
        addresses, rights, *counts = line.split()[:7]
        ptes = [pte for _, _, pte in holding.kernel.vm.leaves(p.space, vma.start, vma.end)]
        expected = [sum(1 for pte in ptes if pte & bit) for bit in (1, 1 << 6, 1 << 7, 1 << 8)]
        assert [int(count) for count in counts] == [(vma.end - vma.start) // PGSIZE, *expected]
        assert addresses == f"{vma.start:#012x}-{vma.end - 1:#012x}"
        assert rights == "".join("rwx"[i] if vma.prot >> i & 1 else "-" for i in range(3))
    ends = [line.split("  ")[-1] for line in lines]
    inode = next(vma.ip for vma in p.space.vmas if vma.ip is not None)
    assert ends[-3:] == [
        f"private: {inode} from 0x2000", f"private: {inode} from 0x0", f"shared: {inode} from 0x0",
    ]  # fmt: skip
    assert "shared: memory of 2 mappings" in ends and ends[0] == "private: zeroes"


def test_vmas_of_who_has_none(machine: Machine, monitor: Monitor) -> None:
    assert monitor.execute("vmas 1").startswith("process 1 (init) has mapped nothing; its program, stack")


def test_pt_shows_superpages_mappings_and_shared_tables(holding: Machine) -> None:
    monitor = Monitor(holding)
    p = min((p for p in holding.kernel.procs if p.name == "holder"), key=lambda p: p.pid)
    large = max(p.space.vmas, key=lambda vma: vma.end - vma.start)
    shown = monitor.execute(f"pt {p.pid}")
    assert re.search(r"\n0x0000200000-0x00005fffff  \S+ +1024  r--u- adc  2 superpages\n", shown)
    assert re.search(r" +1  rw-u- ad-  shared: inode \d+ from 0x0\n", shown)
    walk = monitor.execute(f"pt {p.pid} 0x345678")
    assert re.search(r"level 1: .*: r--u- adc, superpage at 0x\w+00000\n0x345678 is at physical", walk)
    shared = monitor.execute(f"pt {p.pid} {large.end - SUPERPGSIZE - large.end % SUPERPGSIZE:#x}")
    assert re.search(r"level 1: .*: table at 0x\w+, shared by 2 processes\n", shared)
    assert (
        shared.endswith("is not mapped, but promised; behind it is, private: zeroes\n") or "page at" in shared
    )


def test_frames_knows_what_is_shared(holding: Machine) -> None:
    monitor = Monitor(holding)
    parent, child = sorted((p for p in holding.kernel.procs if p.name == "holder"), key=lambda p: p.pid)
    vma = parent.space.vmas[-1]
    answer = monitor.execute(f"frames {vma.pages[0]:#x}").splitlines()
    assert answer[0].endswith("counts 3 owners:")
    assert sorted(answer[1:]) == sorted([
        f"  the page cache, as page 0 of {vma.ip}",
        f"  {parent}, at {vma.start:#x}", f"  {child}, at {vma.start:#x}",
    ])  # fmt: skip
    inside = pages.find(holding.kernel.ram, parent.space.root, 0x345678) or 0
    answer = monitor.execute(f"frames {inside:#x}").splitlines()
    assert answer[0] == f"frame {inside & -SUPERPGSIZE:#x}, a superpage, counts 2 owners:"
    assert sorted(answer[1:]) == sorted(f"  {p}, at 0x200000, by a superpage" for p in (parent, child))
    kinds = dict(line.split(maxsplit=1)[::-1] for line in monitor.execute("frames").splitlines()[:-1])
    assert kinds["user memory in superpages"] == "1024" and int(kinds["page tables, shared"]) >= 2


def test_memory_tells_what_was_done(holding: Machine) -> None:
    counts = vars(holding.kernel.counts)
    first, *lines = Monitor(holding).execute("memory").splitlines()
    assert [int(line.split()[0]) for line in lines] == list(counts.values())
    free, cached = (int(word) for word in first.split() if word.isdigit())
    assert (free, free + cached) == (holding.kernel.frames.free_frames, holding.kernel.frames.available)


def test_stack_shows_c_and_python(machine: Machine, monitor: Monitor) -> None:
    program, kernel = monitor.execute("stack 2").split(
        "process 2 (sh) in the kernel, the innermost call first:\n"
    )
    lines = program.splitlines()
    assert lines[0] == "process 2 (sh) in its program, the innermost call first:"
    assert re.fullmatch(r"#0  0x\w+ read\+0x6 at include/usys.S:\d+", lines[1])
    assert any(re.search(r" main\+0x\w+ at user/bin/sh.c:\d+$", line) for line in lines)
    assert re.search(r" _start\+0x\w+ at user/lib/start.S:\d+$", lines[-1])
    calls = re.findall(r"#\d+ +(kernel/[\w/]+\.py):(\d+) ([\w.]+)\n", kernel)
    assert len(calls) == len(kernel.splitlines())
    names = [name for _, _, name in calls]
    assert names[0] == "Scheduler.run_hart" and names[-1] == "Scheduler._begin"
    assert names.index("Console.read") < names.index("sys_read") < names.index("Dispatcher.dispatch")
    file, line, _ = calls[names.index("sys_read")]
    assert "read(" in cc.source_of(file).read_text().splitlines()[int(line) - 1]


def test_stack_of_the_scheduler(monitor: Monitor) -> None:
    answer = monitor.execute("stack 0").splitlines()
    assert answer[0] == "the scheduler, the innermost call first:" and answer[-1].endswith("Scheduler._main")


@pytest.mark.parametrize(("depth", "ticks_max", "functions"), [(3, 1, 4), (15, 300_000, 2)])
def test_stack_is_right_at_every_instruction(
    tmp_path: Path, depth: int, ticks_max: int, functions: int
) -> None:
    """In prologues, in a system call's stub and on the way through the trampoline: it ends in _start.

    Step by step through a short loop, and at moments up to `ticks_max` apart in a long one.
    """
    elf = cc.compile_user([write(tmp_path, "prog", RECURSIVE.replace("DEPTH", str(depth)))])
    with running(elf) as machine:
        while not any(p.name == "prog" for p in machine.kernel.procs):
            machine.run(machine.board.clock.now + 100_000)
        p = machine.kernel.procs.find(pid_of(machine, "prog"))
        assert p is not None
        programs, rng, seen = stacks.Programs(machine), random.Random(3), set()
        for _ in range(600):
            machine.run(machine.board.clock.now + rng.randrange(ticks_max))
            machine.board.loop.step()
            frames = list(stacks.user_frames(machine, p, programs))
            names = [frame.function.name for frame in frames if frame.function is not None]
            assert len(names) == len(frames), f"all is known at {frames[0].pc:#x}"
            outermost = ["_start", "main", "call"][: len(names)]
            assert names[::-1][: len(outermost)] == outermost
            assert set(names[:-3]) <= {"fib", "getpid"}
            seen.add(names[0])
        assert len(seen & {"fib", "call", "getpid", "main"}) >= functions


def write(directory: Path, name: str, text: str) -> Path:
    """A source, with the headers of the C library."""
    compile_text(directory, name, text)
    return directory / f"{name}.c"


def test_stack_says_only_the_address_where_the_program_is_not_known(tmp_path: Path) -> None:
    """Another program by the name of one of ours, without DWARF: frame pointers, and no line of ours."""
    nap = "__attribute__((noinline)) int nap(int n) { return sleep(n); }"
    text = f"{nap} int main(void) {{ return nap(1000) + 1; }}"
    with running(compile_text(tmp_path, "cat", text), b"cat") as machine:
        machine.run(machine.board.clock.now + 400_000_000)
        answer = Monitor(machine).execute(f"stack {pid_of(machine, 'cat')}")
        user = answer.splitlines()[1 : answer.splitlines().index(next(
            line for line in answer.splitlines() if "in the kernel" in line
        ))]  # fmt: skip
        assert len(user) == 4  # the stub, nap, main, _start
        assert all(re.fullmatch(r"#\d  0x\w{10}", line) for line in user)


def test_stack_bears_damaged_dwarf(tmp_path: Path) -> None:
    elf = bytearray(cc.compile_user([write(tmp_path, "prog", RECURSIVE.replace("DEPTH", "9"))]))
    rng = random.Random(11)
    start = elf.rindex(b"prog.c")  # in .debug_line_str, behind what is loaded
    for _ in range(400):
        elf[rng.randrange(0x1000 + 200, start)] ^= 1 << rng.randrange(8)
    with running(bytes(elf)) as machine:
        machine.run(machine.board.clock.now + 200_000_000)
        for p in machine.kernel.procs:
            assert "in its program" in Monitor(machine).execute(f"stack {p.pid}")


def test_frames_add_up(machine: Machine, monitor: Monitor) -> None:
    counts = [line.split(maxsplit=1) for line in monitor.execute("frames").splitlines()]
    assert [kind for _, kind in counts[:-1]] == [
        "free", "cached files", "cached text", "kernel stacks", "page tables", "trapframes", "user memory",
    ]  # fmt: skip
    assert sum(int(count) for count, _ in counts[:-1]) == int(counts[-1][0])
    assert {kind: int(count) for count, kind in counts}["kernel stacks"] == 64


def test_frames_names_the_owners(machine: Machine, monitor: Monitor) -> None:
    kernel = machine.kernel
    shell = kernel.procs.find(2)
    assert shell is not None and Audit(kernel).findings() == []
    text_pa = pages.find(kernel.ram, shell.space.root, 0)
    assert text_pa is not None
    first, *owners = monitor.execute(f"frames {text_pa:#x}").splitlines()
    assert first == f"frame {text_pa:#x} counts {kernel.frames.owners(text_pa)} owners:"
    assert "  process 2 (sh), at 0x0" in owners and any("cached text" in owner for owner in owners)
    assert "as a page table" in monitor.execute(f"frames {shell.space.root + 8:#x}")
    assert monitor.execute("frames 0x80000000") == "0x80000000 is the kernel's own: text\n"
    free = monitor.execute("frames 0x87ffffff")
    assert free == "frame 0x87fff000 counts 0 owners; it is free\n"


def test_a_frame_goes_by_its_number_too(machine: Machine, monitor: Monitor) -> None:
    kernel = machine.kernel
    for p in kernel.procs:
        for pa, what in (
            (p.thread.trapframe_pa, f"{p}, as its trapframe"),
            (p.space.root, f"{p}, as a page table of level 2, for 0x0 to 0x3fffffffff"),
            (
                pages.find(kernel.ram, kernel.pagetable.root, p.thread.stack.va) or 0,
                f"the kernel stack of {p}, slot",
            ),
        ):
            answer = monitor.execute(f"frame {pa >> 12:#x}")
            assert answer == monitor.execute(f"frames {pa:#x}") == monitor.execute(f"fr {pa >> 12}")
            assert answer.startswith(f"frame {pa:#x} counts 1 owner:\n  ") and what in answer
    assert monitor.execute("frame 0x80001").endswith("text, the trampoline, which every process maps\n")
    buf = next(buf for buf in kernel.cache.buffers.values() if buf.valid)
    assert monitor.execute(f"frame {buf.pa:#x}").endswith(f"the buffer cache, the buffer of {buf}\n")
    for word, answer in (("0x88000", "0x88000: no RAM there"), ("-1", "-1: give the number of a page frame")):
        assert monitor.execute(f"frame {word}").startswith(answer)


def test_sched_tells_who_runs_and_in_which_order_the_others_will(tmp_path: Path) -> None:
    text = "int main(void) { fork(); fork(); if (fork() == 0) sleep(50); for (;;); }"
    with running(compile_text(tmp_path, "prog", text)) as machine:
        kernel, monitor, seen = machine.kernel, Monitor(machine), set()
        while machine.board.clock.now < 4 * TICKS_PER_S:
            machine.run(machine.board.clock.now + TICKS_PER_S // 7)
            lines = monitor.execute("sched").splitlines()
            rows = [line.split() for line in lines if re.match(r" *(\d+|now|-) +\d+ ", line)]
            assert {int(row[1]) for row in rows} == {p.pid for p in kernel.procs}
            turns = [int(row[1]) for row in rows if row[0] != "-"]
            current = kernel.sched.process
            ready = [thread.process.pid for thread in kernel.sched.ready]
            assert current is not None and turns == [current.pid, *ready]
            assert lines[0].startswith(f"hart 0 works for {current}, in ") and "ends the turn" in lines[2]
            for row in rows[1:]:
                p = kernel.procs.find(int(row[1]))
                assert p is not None and row[6] in ("resumed", "forkret")
                assert row[7] == hex(p.thread.stack.context[CONTEXT_SP])
            seen.add(current.pid)
        assert len(seen) == 4 and sum("tick 5" in line for line in lines) == 4


def test_log_and_devices_follow_a_commit() -> None:
    with Machine().boot() as machine:
        log, disk, monitor = machine.kernel.fs.log, machine.board.virtio[0], Monitor(machine)
        machine.type("echo hello > x; cat x README > y; sync\n")
        seen: Counter[str] = Counter()
        for _ in range(600):
            machine.run(machine.board.clock.now + 20_000)
            shown = monitor.execute("log")
            commit = re.search(r"^commit: (.*)$", shown, re.MULTILINE)
            on_disk = re.search(r"^header on disk: names (no )?blocks ?([\d, ]*);", shown, re.MULTILINE)
            assert commit is not None and on_disk is not None
            seen[commit[1]] += 1
            assert f"operations under way: {log.outstanding or 'none'}\n" in shown
            if "go home" in commit[1]:
                assert on_disk[2] == ", ".join(map(str, sorted(log.changed)))
            for blockno in log.changed:
                assert re.search(rf"^ +{blockno}  0x\w+ +\d+  ", shown, re.MULTILINE)
            devices = monitor.execute("devices")
            queue = disk.state.queues[0].queue
            assert queue is not None and f"{queue.taken:>5}, {queue.in_flight} of them in work" in devices
            assert len(re.findall(r"^    head \d+: (?:read|write) of \d+ bytes", devices, re.MULTILINE)) == (
                queue.in_flight
            )
            seen["waits"] += bool(
                re.search(r"from block \d+ on, done in 0\.0000\d+ s; process \d+ ", devices)
            )
        assert {"none", "runs: its blocks go home", "runs: the log is written, then the header"} <= set(seen)
        assert "done; the header is being cleared" in seen and seen["waits"] > 10


def test_devices_names_each(monitor: Monitor) -> None:
    shown = monitor.execute("devices")
    for part in (
        "0x10000000    10  UART      0 of 16 bytes wait", "interrupts for: bytes received; now: none",
        "virtio 0  disk of ", "status 0xf: driver ok", "nothing is plugged into virtio 1, 2, 3, 4, 5, 6, 7",
        "console: process 2 (sh) waits for a line; room for 128 keys; 0 keys typed",
    ):  # fmt: skip
        assert part in shown


def test_irq_and_time_tell_what_comes(machine: Machine, monitor: Monitor) -> None:
    irq, time = monitor.execute("irq"), monitor.execute("time")
    assert "hart 0: waits in a wfi, in supervisor mode" in irq
    assert "  enabled by mie:  S timer, S external\n" in irq and "  taken next:      none\n" in irq
    assert "  10 UART     priority 1, enabled for S\n" in irq
    assert "   1 virtio 0 priority 1, enabled for S\n" in irq
    assert re.search(r"next event    in [\d.]+ s: the timer \(stimecmp\)\n", time)
    assert f"{machine.board.clock.now} ticks of 250 ps" in time
    seconds = re.search(r"virtual time  (\d+)\.(\d+) s", time)
    assert seconds is not None
    assert int(seconds[1]) * 10**12 + int(seconds[2].ljust(12, "0")) == machine.time_ps


def test_irq_shows_an_interrupt_on_its_way() -> None:
    with Machine().boot() as machine:
        assert machine.run() is Stop.ASLEEP
        machine.keyboard.type(b"x")
        answer = Monitor(machine).execute("irq")
        assert "  pending in mip:  S external\n  lines held high: S external\n" in answer
        assert "10 UART     priority 1, pending, enabled for S" in answer


def test_x_and_regs_show_what_is_there(machine: Machine, monitor: Monitor) -> None:
    dumped = monitor.execute("x 0x80000000 100").splitlines()
    assert len(dumped) == 7 and dumped[0].startswith("0x0080000000  ")
    found = bytes.fromhex("".join(line.split("  ")[1] for line in dumped))
    assert found == machine.read(0x8000_0000, 100)
    shell = machine.kernel.procs.find(2)
    assert shell is not None
    end = (shell.space.sz + PGSIZE - 1) // PGSIZE * PGSIZE
    assert "-- -- -- -- --" in monitor.execute(f"x 2:{end - 8:#x} 16")
    regs = monitor.execute("regs")
    for name in ("zero", "sp", "t6", "a0", "s11", "satp", "scause", "mstatus"):
        assert f"{name} {machine.reg(name):016x}" in regs
    assert f"pc {machine.reg('pc'):016x}  idle+" in regs and "priv supervisor" in regs


def test_quit_is_only_a_wish(machine: Machine) -> None:
    monitor = Monitor(machine)
    assert (monitor.execute("quit"), monitor.quitting, machine.closed) == ("", True, False)


# --- the prompt ---


class Typed(NamedTuple):
    """A prompt; `talk` types and gives what was shown, and what was left for the guest."""

    prompt: Prompt
    signals: Signals
    talk: Callable[[bytes], tuple[str, bytes]]


@pytest.fixture
def typed(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Typed]:
    """A prompt at a terminal that shows nothing, with a history of its own."""
    monkeypatch.setattr("orrery.console.line_editor.cache_dir", lambda: tmp_path)
    shown = bytearray()
    with create_pipe_input() as keys, create_app_session(keys, DummyOutput()), Signals(None) as signals:
        prompt = Prompt(machine, shown.extend, signals)

        def carry_out(text: bytes) -> tuple[str, bytes]:
            shown.clear()
            rest = prompt.talk(text)
            return shown.decode(), rest

        yield Typed(prompt, signals, carry_out)


def test_the_prompt_edits_a_line_and_completes_it(typed: Typed) -> None:
    shown, rest = typed.talk(b"timx\x7fe\rjunk\x03st\t 77\r\xff\x15\x1b[3~\x04")
    assert shown.startswith("\nvirtual time") and "\n77: no such process" in shown and "junk" not in shown
    assert rest == b"" and typed.prompt.closed and not typed.prompt.quitting


def test_the_prompt_keeps_a_history(typed: Typed, tmp_path: Path) -> None:
    typed.talk(b"help ps\r  \rhelp pt\r\x04")
    kept = (tmp_path / "monitor_history").read_text().splitlines()
    assert [line for line in kept if line.startswith("+")] == ["+help ps", "+  ", "+help pt"]


@pytest.mark.parametrize(
    ("keys", "quits"), [(b"\x04", False), (b"\x01c", False), (b"\x01x", True), (b"q\r", True)]
)
def test_the_prompt_closes_and_the_rest_is_the_guests(typed: Typed, keys: bytes, quits: bool) -> None:
    _, rest = typed.talk(b"ab\x15" + keys + b"ls\r\x1b[A\xc3\xa4\xff")
    assert (typed.prompt.closed, typed.prompt.quitting) == (True, quits)
    assert rest == b"ls\r\x1b[A\xc3\xa4\xff"


def test_who_wants_the_machine_gets_it_and_the_line_is_kept(typed: Typed) -> None:
    read, write = os.pipe()
    typed.signals.visitors.add(read)
    os.write(write, b"x")
    assert typed.talk(b"time") == ("\n", b"") and not typed.prompt.closed
    typed.signals.visitors.clear()
    assert typed.talk(b"\r\x04")[0].startswith("\nvirtual time")
    os.close(read)
    os.close(write)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert typed.talk(b"half")[0] == "\n" and not typed.prompt.closed
    timer.join()
    assert typed.signals.terminated == signal.SIGTERM


# --- on a terminal ---


def spawn(*words: str) -> pexpect.spawn:
    env = {**os.environ, "NO_COLOR": "1"}
    child = pexpect.spawn(ORRERY, list(words), timeout=20, encoding="utf-8", echo=True, env=env)
    child.delaybeforesend = None
    return child


def ended(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_the_monitor_opens_on_a_running_machine() -> None:
    child = spawn("boot")
    child.expect(r"\$ ")
    child.send("echo half")
    child.expect("echo half")
    child.send("\x01c")
    child.expect_exact("(orrery) ")
    child.send("ps\r")
    child.expect(r"sh.*a line from the console")
    child.expect_exact("(orrery) ")
    child.send("\x1b[A\r")  # the line before
    child.expect(r"sh.*a line from the console")
    child.send("\x01c")
    child.expect_exact("$ echo half")  # the guest's line goes on
    child.send(" a line\r")
    child.expect_exact("half a line\r\n$ ")
    child.send("\x01c\x04echo after\r")  # what follows the monitor's keys is the guest's
    child.expect_exact("after\r\n$ ")
    child.send("\x01cquit\r")
    assert ended(child) == 0


def test_the_machine_stands_still_while_the_monitor_is_open(drive: Path) -> None:
    child = spawn("boot", "--drive", str(drive))
    child.expect(r"\$ ")
    child.send("spin &\r")
    child.expect(r"\$ ")
    child.send("\x01c")
    times = []
    for _ in range(2):
        child.send("time\r")
        child.expect(r"virtual time  ([\d.]+) s[^(]*\(stimecmp\)\r\n")
        times.append(child.match[1])
    assert times[0] == times[1]
    child.send("ps\r")
    child.expect(r" (\d+) +1 +run\w* .* spin\r\n")
    child.send(f"stack {child.match[1]}\r")
    child.expect(r"#0 +0x\w+\r\n")
    child.expect_exact("(orrery) ")
    child.send("\x04\x01ctime\r")
    child.expect(r"virtual time  ([\d.]+) s")
    assert float(child.match[1]) >= float(times[0])
    child.send("\x01x")
    assert ended(child) == 0


def test_a_signal_ends_an_open_monitor() -> None:
    child = spawn("boot")
    child.expect(r"\$ ")
    child.send("\x01c")
    child.expect_exact("(orrery) ")
    child.kill(signal.SIGTERM)
    assert ended(child) == 128 + signal.SIGTERM


def test_the_monitor_looks_into_a_program_of_ones_own(tmp_path: Path) -> None:
    text = 'int main(void) { char c; printf("ready\\n"); read(0, &c, 1); return 4; }'
    child = spawn("run", str(write(tmp_path, "asks", text)))
    child.expect_exact("ready")
    child.send("\x01cstack 2\r")
    child.expect(r"main\+0x\w+ at asks.c:4\r\n")
    child.send("\x04\r")
    assert ended(child) == 4


# --- reports of ends ---


def test_a_panic_shows_the_line_of_c_beside_the_kernels(tmp_path: Path) -> None:
    text = "int f(int n) { if (n) return f(n - 1) + 1; exit(3); }\nint main(void) { return f(2); }"
    drive = tmp_path / "fs.img"
    drive.write_bytes(image_with(tmp_path, {"init": text}))
    stripped = orrery("boot", "--drive", drive, "-c", "ls")
    assert re.search(r"\nat kernel/proc.py:\d+ in exit\n", stripped.err)
    with_dwarf = {"init": cc.compile_user([tmp_path / "init.c"])}
    drive.write_bytes(bytes(image_of(with_dwarf)))
    done = orrery("boot", "--drive", drive, "-c", "ls")
    assert re.search(r"\nat kernel/proc.py:\d+ in exit, called from init.c:4 in f\n", done.err)
    assert re.search(r"\n  #1  0x\w+ f\+0x\w+ at init.c:4\n", done.err)


def image_of(files: dict[str, bytes]) -> bytearray:
    from toolchain import mkfs

    return mkfs.build(files)


def test_a_fault_under_run_prints_what_stock_prints(tmp_path: Path) -> None:
    source = write(tmp_path, "crash", "int main(void) { *(volatile int *)0x5000000000 = 1; return 0; }")
    done = orrery("run", source)
    assert re.fullmatch(
        r"usertrap\(\): unexpected scause 0xf pid=2\n            sepc=0x\w+ stval=0x5000000000\n", done.out
    )
    assert done.status == 255
    assert done.err.startswith("orrery: crash (pid 2) was killed: it wrote to 0x5000000000")
