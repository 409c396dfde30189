"""A machine under a debugger, going forward: stops, steps, memory, registers; and the run is the same."""

import random
from collections.abc import Iterator

import pytest
from debugged import PID, Debugged, options

from emu.cpu.hart import SUPERVISOR, USER
from kernel.abi.memlayout import TRAMPOLINE
from kernel.abi.riscv import PTE_COW
from orrery import Machine
from orrery.timetravel.pace import Pace
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.registers import NAMES, PC
from orrery.timetravel.target import KERNEL, Stopped, Target

ECALL = (0x73).to_bytes(4, "little")
PROGRAM = """
volatile int sum;
char text[64];
__attribute__((noinline)) int add(int n) { sum += n; return sum; }
int main(void) {
    int fds[2];
    for (int i = 0; i < 5; i++) add(i);
    pipe(fds);
    if (fork() == 0) { add(100); exit(3); }
    wait(0);
    write(fds[1], "hello", 5);
    read(fds[0], text, 5);
    printf("%s %d\\n", text, add(1));
    return sum;
}
"""
OUTPUT = b"\norrery: the xv6 kernel in Python is booting\n\nhello 11\n"


@pytest.fixture
def debugged() -> Iterator[Debugged]:
    """Where the program has begun: behind the gate of its exec."""
    it = Debugged(PROGRAM)
    it.target.catch({"exec"})
    stopped = it.target.resume()
    assert (stopped.why, stopped.detail, stopped.pid) == ("event", "exec process 2 runs prog", PID)
    it.target.catch(())
    yield it
    it.machine.close()


@pytest.fixture
def target(debugged: Debugged) -> Target:
    return debugged.target


def to(target: Target, *places: Place) -> Stopped:
    """Run to one of the places."""
    target.set_places(places)
    stopped = target.resume()
    assert stopped.why == "place", stopped
    return stopped


def reg(target: Target, name: str, pid: int = PID) -> int:
    return target.registers(pid)[NAMES.index(name)]


def test_a_breakpoint_hits_in_its_process_alone(debugged: Debugged, target: Target) -> None:
    add = debugged.symbols["add"]
    seen = []
    target.set_places([Place(PID, add)])
    while (stopped := target.resume()).why == "place":
        assert (stopped.pid, stopped.moment.pc, stopped.moment.priv) == (PID, add, USER)
        seen.append(reg(target, "x10"))
    assert (seen, stopped.why, stopped.status) == ([0, 1, 2, 3, 4, 1], "exit", 11)


def test_a_breakpoint_for_all_hits_in_a_child_too(debugged: Debugged, target: Target) -> None:
    target.set_places([Place(ALL, debugged.symbols["add"])])
    pids = []
    while (stopped := target.resume()).why == "place":
        pids.append(stopped.pid)
    assert pids == [PID] * 5 + [PID + 1, PID]


def test_a_debugged_run_is_the_same_run(debugged: Debugged, target: Target) -> None:
    alone = Debugged(PROGRAM)
    assert alone.target.resume().why == "exit"
    sum_va = debugged.symbols["sum"]
    target.catch({"syscall", "fork", "fault", "switch"})
    target.set_places([Place(ALL, debugged.symbols["add"]), Place(PID, sum_va, 4, "rw")])
    whys = set()
    while (stopped := target.resume()).why != "exit":
        whys.add(stopped.why)
        target.step(7)
    assert whys == {"place", "event"}
    assert stopped.moment == alone.target.moment
    assert target.digest() == alone.target.digest()
    assert target.take_output() == OUTPUT


def test_stores_and_loads_are_told_behind_the_instruction(debugged: Debugged, target: Target) -> None:
    sum_va = debugged.symbols["sum"]
    target.set_places([Place(PID, sum_va, 4, "w")])
    values = []
    while (stopped := target.resume()).why == "place" and len(values) < 5:
        assert (stopped.va, stopped.access, stopped.detail) == (sum_va, "w", "")
        values.append(int.from_bytes(target.read(PID, sum_va, 4), "little"))
    assert values == [0, 1, 3, 6, 10]
    assert to(target, Place(PID, sum_va, 4, "r")).access == "r"


def test_what_the_kernel_writes_is_told_behind_its_gate(debugged: Debugged, target: Target) -> None:
    stopped = to(target, Place(PID, debugged.symbols["text"] + 2, 2, "w"))
    assert (stopped.access, stopped.pid) == ("w", PID)
    assert stopped.detail == "the kernel behind gate usertrap, read of process 2 (prog)"
    assert target.read(PID, debugged.symbols["text"], 6) == b"hello\0"
    assert target.resume().why == "exit", "exit and the end of the process are no writes"


def test_steps_go_through_a_trap_and_back(debugged: Debugged, target: Target) -> None:
    image = debugged.machine.kernel.image
    to(target, Place(PID, debugged.symbols["pipe"]))
    while target.read(PID, target.moment.pc, 4) != ECALL:
        target.step()
    ecall = target.moment.pc
    target.set_places(())
    target.step()
    assert target.moment.pc == TRAMPOLINE + image.uservec - image.trampoline
    seen = {target.moment.pc}
    while target.moment.priv == SUPERVISOR:
        assert target.current == PID
        target.step()
        seen.add(target.moment.pc)
    assert image.usertrap in seen
    assert (target.moment.pc, reg(target, "x10")) == (ecall + 4, 0)


def test_steps_of_one_process_pass_over_the_others(debugged: Debugged, target: Target) -> None:
    to(target, Place(PID, debugged.symbols["wait"]))
    target.set_places(())
    while target.read(PID, debugged.symbols["wait"] + 8, 1) and target.step(1, PID).why == "step":
        assert target.current == PID
        if target.moment.priv == USER and target.moment.pc >= debugged.symbols["write"]:
            break
    assert int.from_bytes(target.read(PID, debugged.symbols["sum"], 4), "little") == 10


def test_breaking_on_the_kernels_side_of_a_trap(debugged: Debugged, target: Target) -> None:
    usertrap = debugged.machine.kernel.image.usertrap
    stopped = to(target, Place(PID, usertrap))
    assert (stopped.pid, stopped.moment.pc, stopped.moment.priv) == (PID, usertrap, SUPERVISOR)
    assert target.read(PID, debugged.symbols["main"], 4), "the process's memory is still to be seen"


def test_registers_of_one_that_does_not_run_are_those_of_its_program(target: Target) -> None:
    init, live = target.registers(1), target.registers(KERNEL)
    assert target.registers(PID) == live
    assert init[PC] != live[PC]
    assert target.read(1, init[PC] - 4, 4) == ECALL, "init waits in a system call"
    with pytest.raises(LookupError, match="no process 77"):
        target.registers(77)


def test_registers_can_be_set(debugged: Debugged, target: Target) -> None:
    to(target, Place(PID, debugged.symbols["add"]))
    assert target.set_register(PID, NAMES.index("x10"), 40)
    assert target.set_register(1, NAMES.index("x10"), 7)
    assert reg(target, "x10") == 40 and reg(target, "x10", 1) == 7
    assert not target.set_register(PID, len(NAMES), 0)
    assert not target.set_register(PID, 1, 1 << 64)
    assert not target.set_register(PID, NAMES.index("sip"), 2)
    for pid, name in ((1, "pc"), (PID, "pc"), (PID, "sepc"), (PID, "mepc")):
        value = reg(target, name, pid)
        assert target.set_register(pid, NAMES.index(name), value | 1)
        assert reg(target, name, pid) == value, "no instruction is at an odd address"
    for fs, sd in ((3, 1), (1, 0)):
        sstatus = reg(target, "sstatus")
        assert target.set_register(PID, NAMES.index("sstatus"), sstatus & ~(3 << 13) | fs << 13)
        assert reg(target, "sstatus") >> 13 & 3 == fs and reg(target, "sstatus") >> 63 == sd
    target.set_places(())
    assert target.resume().status == 51


def test_a_write_to_shared_text_changes_one_process(debugged: Debugged, target: Target) -> None:
    """The child calls add too, with the code that it was forked with."""
    add = debugged.symbols["add"]
    frames = debugged.machine.kernel.frames.free_frames
    original = target.read(PID, add, 8)
    target.catch({"fork"})
    target.resume()
    to(target, Place(PID + 1, add))
    assert target.write(PID, add, b"\x09\x45\x82\x80")  # li a0, 2; ret
    assert target.read(PID + 1, add, 8) == original
    assert debugged.machine.kernel.frames.free_frames < frames
    target.set_places(())
    target.catch(())
    assert target.resume().status == 10
    assert target.take_output().endswith(b"hello 2\n")


def test_a_write_to_a_page_that_fork_shared_changes_one_process(debugged: Debugged, target: Target) -> None:
    kernel, sum_va = debugged.machine.kernel, debugged.symbols["sum"]
    target.catch({"fork"})
    target.resume()
    child = kernel.procs.find(PID + 1)
    assert child is not None and kernel.vm.pte(child.space, sum_va) & PTE_COW
    assert target.write(PID + 1, sum_va, b"\x63")
    assert (target.read(PID, sum_va, 1), target.read(PID + 1, sum_va, 1)) == (b"\x0a", b"\x63")
    assert target.monitor("frames").strip()


def test_what_is_not_mapped_is_not_written_even_in_part(debugged: Debugged, target: Target) -> None:
    sz = next(p.space.sz for p in debugged.machine.kernel.procs if p.pid == PID)
    before = target.read(PID, sz - 4, 4)
    assert target.read(PID, sz - 4, 100) == before
    assert not target.write(PID, sz - 4, bytes(100))
    assert not target.write(PID, 0x1000_0000, b"x") and not target.write_physical(0x1000_0000, b"x")
    assert target.read(KERNEL, 0x1000_0000, 4) == b"", "the UART is left alone"
    assert target.read(PID, sz - 4, 4) == before
    assert target.read(PID, 1 << 63, 4) == target.read_physical(0, 4) == b""


def test_a_limit_and_a_request_stop(debugged: Debugged, target: Target) -> None:
    at = target.moment.ticks + 101
    stopped = target.resume(at)
    assert stopped.why == "limit" and at <= stopped.moment.ticks < at + 4
    target.ask_stop()
    assert target.resume().why == "interrupt"
    with pytest.raises(ValueError, match="no such event: nonsense"):
        target.catch({"nonsense"})


def test_a_step_to_the_time_of_an_event_comes_behind_it() -> None:
    """The disk writes to memory, say; who runs to the same moment finds it written."""
    with Machine(**options(PROGRAM, mem_mib=16)) as stepped, Machine(**options(PROGRAM, mem_mib=16)) as run:
        stepping, running = Target(stepped), Target(run)
        seen, events = 0, stepped.board.events
        while stepping.resume(min(events.next_ticks - 1000, stepping.moment.ticks + 100_000)).why == "limit":
            due = events.next_ticks
            if due - stepping.moment.ticks > 2000:
                continue
            while stepping.moment.ticks < due and stepping.step().why == "step":
                pass
            assert events.next_ticks > stepping.moment.ticks
            assert running.resume(stepping.moment).moment == stepping.moment
            assert running.digest() == stepping.digest()
            seen += 1
        assert seen > 10


def test_a_sleeping_machine_wakes_up_by_a_key() -> None:
    it = Debugged("int main(void) { char c; read(0, &c, 1); return c; }")
    assert it.target.resume().why == "asleep"
    assert it.target.step().why == "asleep"
    it.target.type(b"A\n")
    stopped = it.target.resume()
    assert (stopped.why, stopped.status) == ("exit", ord("A"))
    assert it.target.resume() == it.target.step() == stopped


def test_a_broken_kernel_is_a_panic_for_good(debugged: Debugged, target: Target) -> None:
    debugged.machine.kernel.syscalls.dispatch = lambda p: 1 // 0  # type: ignore[method-assign,assignment]
    stopped = target.resume()
    assert stopped.why == "panic" and stopped.detail.startswith("ZeroDivisionError")
    assert target.resume().why == target.step().why == "panic"


# --- running for a wall time ---

WAITING = """
volatile int sum;
int main(void) {
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 300000; i++) sum += i;
        if (fork() == 0) exit(round);
        sleep(1);
        wait(0);
    }
    return 7;
}
"""


def test_a_run_in_parts_of_any_length_is_the_same_run_and_stops_where_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = Debugged(WAITING), Debugged(WAITING)
    pace, limit, chosen = Pace(parts.target), 600_000_000, random.Random(1)

    def learn(ticks: int, took_s: float) -> None:
        """In place of the host's speed: parts of 1,000 to 1,000,000 ticks."""
        monkeypatch.setattr(pace, "_ticks_per_s", int(10 ** chosen.uniform(6, 9)))

    monkeypatch.setattr(pace, "_learn", learn)
    for one in (whole, parts):
        one.target.catch({"fork", "exit"})
        one.target.set_places([Place(ALL, TRAMPOLINE)])
    slices, stops = 0, 0
    while True:
        expected = whole.target.resume(limit)
        while (stopped := pace.run(limit, 0.0)).why == "slice":
            slices += 1
            assert not parts.target.moment.waiting, "a checkpoint can be made here"
        assert stopped == expected
        stops += 1
        if stopped.why in ("exit", "limit"):
            break
    assert parts.target.digest() == whole.target.digest()
    assert slices > 20 and stops > 20
    for one in (whole, parts):
        one.machine.close()
