"""Going back in time: by steps, to what happened last, and to other futures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from debugged import PID, kernel_symbols, options, symbols
from hypothesis import given
from hypothesis import strategies as st

from emu.ram import RAM_BASE
from kernel.abi.memlayout import TRAMPOLINE
from orrery import Machine
from orrery.errors import BadInput, CannotGoOn
from orrery.pool.channel import Channel, Value
from orrery.timetravel.checkpoint_proxy import CheckpointProxy, NoRoom
from orrery.timetravel.checkpoints import victim
from orrery.timetravel.input_log import Change
from orrery.timetravel.kernel_writes import ELSEWHERE
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.registers import NAMES
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline
from toolchain import image

# A run with all that could differ: fork, preemption, writes to the disk, console input, time that jumps.
BUSY = """
volatile int sum;
static void spin(int n) { for (volatile int i = 0; i < n; i++) sum += i; }
int main(void) {
    char line[32];
    for (int round = 0; round < ROUNDS; round++) {
        if (fork() == 0) { spin(SPIN); exit(round); }
        spin(SPIN);
        int fd = open("out", O_CREATE | O_RDWR);
        for (int i = 0; i < 4; i++) write(fd, &sum, sizeof sum);
        close(fd);
        if (round % 3 == 0) write(1, line, read(0, line, sizeof line));
        if (round == 1) sleep(1);
        wait(0);
    }
    return sum & 63;
}
"""
SHORT = BUSY.replace("ROUNDS", "3").replace("SPIN", "60000")
LONG = BUSY.replace("ROUNDS", "8").replace("SPIN", "1200000")
LINES = (b"one\n", b"two\x7f\x7fz\n", b"three\n")
MEM_MIB = 16


@cache
def input_log(source: str) -> tuple[Change, ...]:
    """What somebody types who answers when all wait."""
    with Machine(**options(source, MEM_MIB)) as machine:
        target = Target(machine)
        for line in LINES:
            if target.resume().why == "asleep":
                target.type(line)
        assert target.resume().why == "exit"
        return target.input_log.changes()


def timeline(source: str, checkpoints_max: int = 6) -> Timeline:
    """A timeline over the whole run, with few checkpoints; the cursor is at its end."""
    it = Timeline(**options(source, MEM_MIB), checkpoints_max=checkpoints_max)
    for line in LINES:
        if it.resume().why == "asleep":
            it.type(line)
    assert it.resume().why == "exit"
    return it


@pytest.fixture(scope="module")
def short() -> Iterator[Timeline]:
    with timeline(SHORT) as it:
        yield it


def test_steps_back_of_a_process_pass_over_what_others_did_meanwhile() -> None:
    ecall = Place(PID, symbols(SHORT)["wait"] + 2)
    with Timeline(**options(SHORT, MEM_MIB)) as it:
        it.resume()
        it.type(LINES[0])
        it.set_places([ecall])
        assert it.resume().why == "place"
        before, count = it.moment, 0
        while it.moment.pc != ecall.va + 4:
            assert it.step(1, PID).why == "step"
            count += 1
        behind = it.moment
        for _ in range(count):
            assert it.reverse_step_of(PID).why == "step" and it.current == PID
        assert it.moment == before
        it.goto(behind)
        assert it.reverse_step_of(PID, user=True).why == "step"
        assert it.moment == before


# --- back to where something happened ---

WRITER = """
volatile int sum, other;
char text[8];
__attribute__((noinline)) void add(int n) { sum += n; }
int main(void) {
    int fds[2];
    for (int i = 1; i <= 3; i++) add(i);
    for (volatile int i = 0; i < 300000; i++) other = i;
    pipe(fds);
    if (fork() == 0) { add(100); exit(3); }
    write(fds[1], "hello", 5);
    read(fds[0], text, 5);
    wait(0);
    return sum;
}
"""
AT = symbols(WRITER)
KERNELTRAP, KERNELVEC = (kernel_symbols()[name] for name in ("kerneltrap", "kernelvec"))


@pytest.fixture
def ended() -> Iterator[Timeline]:
    """At the end of WRITER."""
    with Timeline(**options(WRITER, MEM_MIB)) as it:
        assert it.resume().why == "exit"
        yield it


def sum_of(it: Timeline) -> int:
    return int.from_bytes(it.read(PID, AT["sum"], 4), "little")


def test_who_wrote_this_is_found_backwards(ended: Timeline) -> None:
    ended.set_places([Place(PID, AT["sum"], 4, "w")])
    sums = []
    while (stopped := ended.reverse_resume()).why == "place":
        assert (stopped.access, stopped.moment) == ("w", ended.moment)
        assert AT["add"] <= ended.moment.pc < AT["main"] or AT["main"] < AT["add"] <= ended.moment.pc
        sums.append(sum_of(ended))
        hit = ended.step()
        assert (hit.why, hit.since) == ("place", stopped.moment)
        ended.reverse_step()
        assert ended.moment == stopped.moment
    assert sums == [3, 1, 0]
    assert stopped.why == "begin" and ended.moment.ticks == 0
    assert ended.reverse_step().why == ended.reverse_resume().why == "begin"


def test_what_the_kernel_wrote_is_found_at_its_gate(ended: Timeline) -> None:
    ended.set_places([Place(PID, AT["text"], 5, "w")])
    stopped = ended.reverse_resume()
    assert stopped.detail.startswith("kernel/mm/usercopy.py:")
    assert stopped.detail.endswith(
        " in UserCopy.copyout, the kernel behind gate usertrap, read of process 2 (prog)"
    )
    assert ended.read(PID, AT["text"], 5) == bytes(5)
    assert ended.resume().detail == stopped.detail
    ended.reverse_step()
    ended.set_places(())
    ended.step()
    assert ended.read(PID, AT["text"], 5) == b"hello"


def test_what_the_disk_wrote_is_found_at_its_moment() -> None:
    with Timeline(mem_mib=MEM_MIB) as it:
        it.resume()
        it.type(b"cat README\n")
        it.resume()
        pa = RAM_BASE + it.read_physical(RAM_BASE, MEM_MIB << 20).index(b"# Orrery\n")
        it.set_places([Place(KERNEL, pa, 8, "w")])
        stopped = it.reverse_resume()
        assert (stopped.why, stopped.detail) == ("place", ELSEWHERE)
        assert it.read_physical(pa, 8) == bytes(8)
        it.set_places([])
        it.step()
        assert it.read_physical(pa, 8) == b"# Orrery"


def test_what_the_disk_wrote_is_found_by_a_run_in_parts() -> None:
    """The next gate tells of it, wherever a run ended between the write and that gate."""
    with Timeline(mem_mib=MEM_MIB) as it:
        it.resume()
        it.type(b"cat README\n")
        it.resume()
        pa = RAM_BASE + it.read_physical(RAM_BASE, MEM_MIB << 20).index(b"# Orrery\n")
        place = Place(KERNEL, pa, 8, "w")
        it.set_places([place])
        assert it.reverse_resume().detail == ELSEWHERE
        before = it.moment
        told = it.resume()
        assert told.detail == ELSEWHERE
        it.goto(before)
        it.set_places([])
        it.step()
        behind = it.moment
        assert before.ticks <= behind.ticks < told.moment.ticks
        it.set_places([place])
        assert it.reverse_resume().detail == ELSEWHERE
        assert it.moment == before, "there was no gate yet to tell of it"
        assert it.resume(behind).why == "limit"
        assert it.resume()._replace(since=None) == told._replace(since=None)


def test_the_last_of_very_many_stops_is_found(ended: Timeline) -> None:
    ended.set_places([Place(PID, AT["other"], 4, "w")])
    ended.reverse_resume()
    assert int.from_bytes(ended.read(PID, AT["other"], 4), "little") == 299_998
    ended.set_places([Place(ALL, AT["add"])])
    stopped = ended.reverse_resume()
    assert (stopped.moment.pc, sum_of(ended)) == (AT["add"], 3)
    assert ended.resume().pid == PID + 1, "the child's call comes next"


def test_events_are_found_in_both_directions(ended: Timeline) -> None:
    end = ended.moment
    last = ended.run_until("fork", backwards=True)
    assert (last.why, last.detail) == ("event", "fork process 2 (prog) has a child, process 3")
    assert [one.pid for one in ended.processes()] == [1, 2, 3]
    assert ended.run_until("syscall:pipe", backwards=True).pid == PID
    assert ended.run_until("fork") == last
    assert ended.run_until("crash").moment == end
    with pytest.raises(ValueError, match="no such event: lunch"):
        ended.run_until("lunch")


def test_an_event_is_found_behind_a_checkpoint_in_the_midst_of_its_call() -> None:
    """exec waits for the disk."""
    with Timeline(**options(WRITER, MEM_MIB)) as it:
        in_exec = it.run_until("syscall:exec").moment
    with Timeline(**options(WRITER, MEM_MIB)) as it:
        it.goto(in_exec)
        it.goto(0)
        assert it.checkpoints[-1] == in_exec
        it.resume()
        assert it.run_until("exec", backwards=True).detail == "exec process 2 runs prog"


def test_going_to_a_time_stops_behind_it(ended: Timeline) -> None:
    end = ended.moment
    stopped = ended.goto(end.ticks // 2)
    assert stopped.why == "limit" and stopped.moment.ticks >= end.ticks // 2
    assert ended.goto(0).moment.ticks == 0
    assert ended.goto(end.ticks * 2).why == "exit" and ended.moment == end


@pytest.mark.parametrize(
    ("places", "kinds"),
    [
        ([Place(ALL, TRAMPOLINE)], ()),
        ([Place(PID, symbols(SHORT)["sum"], 4, "w"), Place(PID + 1, symbols(SHORT)["main"])], ()),
        ([Place(ALL, kernel_symbols()["idle"])], ("fork", "syscall:write", "fault")),
    ],
)
def test_the_way_back_meets_the_stops_of_the_way_forward(
    short: Timeline, places: list[Place], kinds: tuple[str, ...]
) -> None:
    short.set_places(())
    short.catch(())
    end = short.goto(1 << 60).moment
    middle = short.goto(11_000_000).moment
    short.set_places(places)
    short.catch(kinds)
    forward = []
    while len(forward) < 40 and (stopped := short.resume()).why in ("place", "event"):
        forward.append(stopped.since or stopped.moment)
    last = short.moment
    if short.step().why == "exit":
        short.goto(last)
    backward = []
    while short.reverse_resume().why in ("place", "event") and short.moment.ticks >= middle.ticks:
        backward.append(short.moment)
    # A step forward made the last one one of the past.
    assert backward[::-1] == forward[: len(backward)] and len(backward) >= len(forward) - 1 > 5
    short.set_places(())
    short.catch(())
    assert short.goto(end).moment == end


# --- other futures ---


def test_a_change_in_the_past_begins_another_future(ended: Timeline) -> None:
    end = ended.moment
    ended.set_places([Place(PID, AT["add"])])
    ended.reverse_resume()
    changed = ended.moment
    assert ended.set_register(PID, NAMES.index("x10"), 40)
    ended.set_places(())
    assert max(ended.checkpoints) <= changed
    assert ended.resume().status == 1 + 2 + 40
    digest, newest = ended.digest(), ended.moment
    ended.goto(0)
    assert ended.goto(newest).moment == newest and ended.digest() == digest, "the change is made again"
    assert newest.ticks == end.ticks
    ended.goto(changed)
    assert ended.registers(PID)[NAMES.index("x10")] == 40


def test_a_change_that_fails_changes_nothing(ended: Timeline) -> None:
    end = ended.moment
    ended.goto(end.ticks // 2)
    assert not ended.write(PID, 0x7000_0000, b"x")
    assert not ended.set_register(PID, 1000, 0)
    with pytest.raises(LookupError, match="no process 99"):
        ended.write(99, 0, b"x")
    assert ended.goto(end).moment == end


def test_one_who_answers_differently_gets_another_run() -> None:
    with timeline(SHORT, checkpoints_max=100) as it:
        assert b"one" in it.take_output()
        typed = input_log(SHORT)[0].moment
        it.goto(typed)
        it.type(b"eno\n")
        it.resume()
        assert b"eno" in it.take_output()
        it.goto(typed)
        assert it.resume().why == "exit"
        assert b"eno" in it.take_output()


# --- ends ---


def test_a_machine_that_sleeps_for_ever_can_go_back() -> None:
    with Timeline(**options("int main(void) { char c; read(0, &c, 1); return c; }", MEM_MIB)) as it:
        asleep = it.resume()
        assert (asleep.why, it.resume().why, it.step().why) == ("asleep", "asleep", "asleep")
        it.reverse_step(3)
        assert it.moment < asleep.moment
        assert it.step(3).moment == asleep.moment
        it.type(b"B\n")
        assert it.resume().status == ord("B")
        assert it.goto(asleep.moment).moment == asleep.moment
        assert it.resume().status == ord("B")


def test_a_panic_can_be_gone_back_from() -> None:
    with Timeline(**options("int main(void) { kill(1); exit(0); }", MEM_MIB)) as it:
        assert it.resume().why == "exit"
        it.run_until("syscall:kill", backwards=True)
        before = it.moment
        assert it.set_register(0, NAMES.index("pc"), KERNELTRAP)
        panic = it.resume()
        assert panic.why == "panic" and "user code came back at gate" in panic.detail
        assert it.resume().why == it.step().why == "panic"
        assert it.goto(before.ticks - 100_000).why == "limit"
        assert it.resume().why == "panic"
        assert it.reverse_step().why == "step" and it.moment < panic.moment


def test_a_hart_that_can_do_nothing_more_can_be_gone_back_from() -> None:
    with Timeline(**options("int main(void) { kill(1); exit(0); }", MEM_MIB)) as it:
        it.run_until("syscall:kill")
        before = it.moment
        assert it.write_physical(KERNELVEC, b"\0\0\0\0")
        assert it.set_register(0, NAMES.index("stvec"), KERNELVEC)
        assert it.set_register(0, NAMES.index("pc"), KERNELVEC)
        looping = it.moment
        panic = it.resume()
        assert panic.why == "panic" and "faults itself" in panic.detail
        assert it.reverse_step().moment == looping
        assert it.reverse_step().moment.ticks < before.ticks
        assert it.resume().moment == panic.moment


def test_an_interrupt_ends_a_run_that_would_not() -> None:
    with Timeline(**options("int main(void) { for (;;); }", MEM_MIB)) as it:
        it.on_slice = it.ask_stop
        assert it.resume().why == "interrupt"
        moment = it.moment
        it.set_places([Place(PID, 0x100_0000)])
        assert it.reverse_resume().why in ("interrupt", "begin")
        it.on_slice = lambda: None
        assert it.goto(moment).moment == moment


def test_an_interrupt_ends_a_search_where_the_cursor_is(ended: Timeline) -> None:
    end = ended.moment
    ended.set_places([Place(PID, 0x100_0000)])
    ended.on_slice = ended.ask_stop
    for search in (ended.reverse_resume, lambda: ended.run_until("crash", backwards=True)):
        assert search().why == "interrupt" and ended.moment == end
    ended.on_slice = lambda: None
    assert ended.reverse_resume().why == "begin"


def test_a_step_of_one_that_never_runs_again_can_be_interrupted() -> None:
    """The child spins for ever, its parent waits for it."""
    source = "int main(void) { if (fork() == 0) for (;;); wait(0); return 0; }"
    with Timeline(**options(source, MEM_MIB)) as it:
        it.run_until("syscall:wait")
        assert it.step(3, PID).why == "step"
        calls = []
        it.on_slice = lambda: calls.append(it.ask_stop()) if len(calls) > 2 else calls.append(None)
        assert it.step(100_000, PID).why == "interrupt"
        assert it.current != PID


def test_many_steps_are_as_many_single_ones(ended: Timeline) -> None:
    ended.goto(ended.moment.ticks // 2)
    begin = ended.moment
    far = ended.step(5_000).moment
    ended.goto(begin)
    for _ in range(5):
        ended.step(1_000)
    assert ended.moment == far
    ended.reverse_step(10)
    assert ended.step(10).moment == far
    assert ended.reverse_step(5_000).moment == begin
    ended.goto(20_000)
    assert ended.reverse_step(1 << 40).why == "begin" and ended.moment.ticks == 0


def test_a_wait_is_one_step_back_wherever_checkpoints_are() -> None:
    with Timeline(**options("int main(void) { sleep(3); return 0; }", MEM_MIB)) as it:
        it.run_until("syscall:sleep")
        while not it.moment.waiting:
            it.step()
        begin, behind = it.moment, it.step().moment
        assert behind.ticks - begin.ticks > 100_000_000
        it.resume()
        it.goto((begin.ticks + behind.ticks) // 2)
        it.goto(behind)
        assert it.reverse_step().moment == begin


def test_each_moment_at_the_end_of_a_wait_is_met_backwards() -> None:
    """Time does not pass as the hart wakes up; and a checkpoint may be at any of them."""
    with Timeline(**options("int main(void) { sleep(3); return 0; }", MEM_MIB)) as it:
        it.run_until("syscall:sleep")
        while not it.moment.waiting:
            it.step()
        path = [it.moment]
        for _ in range(6):
            path.append(it.step().moment)
            it.goto(path[0])  # the newest one becomes a checkpoint
            assert it.goto(path[-1]).moment == path[-1]
        assert path[1].ticks == path[2].ticks > path[0].ticks
        for earlier in reversed(path[:-1]):
            assert it.reverse_step().moment == earlier


def test_a_machine_that_comes_back_to_where_it_had_come_is_the_one_that_was_there(ended: Timeline) -> None:
    end, pid, digest = ended.moment, ended.pids[0], ended.digest()
    for _ in range(2):
        ended.reverse_step()
        assert ended.pids[0] != pid
        assert ended.goto(end).moment == end
        assert ended.pids[0] == pid and ended.digest() == digest
        assert end not in ended.checkpoints
    ended.goto(end.ticks // 2)
    assert end in ended.checkpoints
    os.kill(pid, signal.SIGKILL)
    assert ended.goto(end).moment == end and ended.digest() == digest


# --- processes and memory ---

DIRTY = """
int main(void) {
    int n = 8 << 20;
    char *p = sbrk(n);
    for (int round = 0; round < 60; round++)
        for (int i = 0; i < n; i += 64) *(volatile long *)(p + i) = i * round;
    return 0;
}
"""


def memory_bytes(it: Timeline) -> int:
    """What all processes take."""
    return it._cursor.memory_bytes + sum(one.memory_bytes for one in it._checkpoints._checkpoints)


def test_checkpoints_keep_within_their_memory() -> None:
    limit = 160 << 20
    most = []
    with Timeline(**options(DIRTY, MEM_MIB), memory_bytes_max=limit, spacing_s=0.01) as it:
        it.on_slice = lambda: most.append(memory_bytes(it))
        end = it.resume().moment
        digest = it.digest()
        for ticks in (end.ticks // 3, end.ticks // 5, end.ticks // 2):
            it.goto(ticks)
            it.reverse_step(2)
            most.append(memory_bytes(it))
        assert len(most) > 4 and max(most) <= limit
        assert 2 <= len(it.checkpoints) < 20
        it.goto(end)
        assert it.digest() == digest


def test_checkpoints_behind_a_machine_that_goes_on_are_twice_as_far_apart() -> None:
    source = "int main(void) { for (volatile int i = 0; i < 300000000; i++); return 0; }"
    with Timeline(**options(source, MEM_MIB), spacing_s=0.03) as it:
        end = it.resume().moment
        times = [one.ticks for one in it.checkpoints]
        assert len(times) > 8
        far = [b - a for a, b in pairwise(times[1:-4])]
        assert end.ticks - times[-1] < sum(far) / len(far), "the last one is near"


def has_gone(pid: int) -> bool:
    """Whether the process has ended, or is about to vanish."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def wait_until_gone(pids: tuple[int, ...]) -> None:
    end = time.monotonic() + 20
    while not all(has_gone(pid) for pid in pids):
        assert time.monotonic() < end, f"{[pid for pid in pids if not has_gone(pid)]} are left"
        time.sleep(0.01)


def test_nothing_is_left_of_a_timeline_that_was_closed() -> None:
    with Timeline(**options(DIRTY, MEM_MIB), spacing_s=0.01) as it:
        it.resume()
        pids = it.pids
        assert len(pids) > 3 and not any(has_gone(pid) for pid in pids)
    it.close()
    wait_until_gone(pids)


def test_nothing_is_left_of_a_front_that_was_killed() -> None:
    script = """
from orrery.timetravel.timeline import Timeline
from orrery.timetravel.kernel_writes import ELSEWHERE
it = Timeline(mem_mib=16, spacing_s=0.01)
it.resume()
it.type(b"usertests\\n")
it.resume(500_000_000)
print(*it.pids, flush=True)
it.resume()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as front:
        assert front.stdout is not None
        pids = tuple(int(pid) for pid in front.stdout.readline().split())
        front.kill()
    assert len(pids) > 3
    wait_until_gone(pids)


def test_a_cursor_that_was_killed_is_missed_and_made_again(ended: Timeline) -> None:
    moment, digest = ended.moment, ended.digest()
    os.kill(ended._cursor.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(CannotGoOn, match="has ended"):
            ended.step()
    assert ended.goto(moment).moment == moment
    assert ended.digest() == digest


def test_checkpoints_that_were_killed_are_not_missed(short: Timeline) -> None:
    end = short.goto(1 << 60).moment
    short.goto(end.ticks // 2)
    middle, digest = short.step().moment, short.digest()
    short.goto(end)
    for one in short._checkpoints._checkpoints[1:]:
        os.kill(one.pid, signal.SIGKILL)
    assert short.goto(middle).moment == middle and short.digest() == digest
    for one in short._checkpoints._checkpoints[1:]:
        os.kill(one.pid, signal.SIGKILL)
    short.reverse_step(3)
    assert short.step(3).moment == middle
    for one in short._checkpoints._checkpoints[1:]:
        os.kill(one.pid, signal.SIGKILL)
    short.set_places([Place(ALL, TRAMPOLINE)])
    assert short.reverse_resume().why == "place"
    short.set_places(())
    assert short.goto(end).moment == end


def test_the_loss_of_the_first_checkpoint_is_said() -> None:
    with Timeline(**options(WRITER, MEM_MIB)) as it:
        it.resume()
        for one in it._checkpoints._checkpoints:
            os.kill(one.pid, signal.SIGKILL)
        with pytest.raises(CannotGoOn, match="has ended"):
            it.goto(1000)


def test_a_host_that_gives_no_more_processes_gets_fewer_checkpoints() -> None:
    """Those that there are give way; where none is left to do so, that is said."""
    with Timeline(**options(DIRTY, MEM_MIB), spacing_s=0.01) as it:
        end = it.resume(300_000_000).moment
        real = CheckpointProxy._copy
        room = [3]

        def copy(self: CheckpointProxy, channel: Channel, forked: Value, *where: Any) -> CheckpointProxy:
            if len(it.pids) > room[0]:
                forked = "there is none"
            return real(self, channel, forked, *where)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CheckpointProxy, "_copy", copy)
            it.goto(end.ticks // 2)
            assert len(it.pids) <= 4
            it.reverse_step(2)
            assert it.goto(end).moment == end
            room[0] = 0
            with pytest.raises(NoRoom, match="there is none; end some processes"):
                it.goto(end.ticks // 2)
        it.goto(end.ticks // 2)
        assert it.goto(end).moment == end


def test_the_public_engine_goes_back_too() -> None:
    with Timeline(**options(SHORT, MEM_MIB), engine="public", changes=input_log(SHORT)) as it:
        it.run_until("syscall:fork")
        it.set_places([Place(ALL, TRAMPOLINE)])
        assert it.resume().moment.pc == TRAMPOLINE
        it.set_places(())
        path = [it.step().moment for _ in range(20)]
        for earlier in reversed(path[:-1]):
            assert it.reverse_step().moment == earlier


def test_a_drive_is_left_as_it_is(tmp_path: Path) -> None:
    drive = tmp_path / "fs.img"
    drive.write_bytes(image.default_image())
    with Timeline(drive=str(drive), mem_mib=MEM_MIB) as it:
        it.resume()
        it.type(b"echo new > file\n")
        it.resume()
    assert drive.read_bytes() == image.default_image()


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(BadInput, match="0 MiB of memory"):
        Timeline(mem_mib=0)
    with pytest.raises(BadInput, match="no such file"):
        Timeline(drive="/nowhere.img")


# --- which checkpoints are kept ---


@given(st.lists(st.integers(1, 10**12), min_size=2, unique=True), st.integers(0, 10**12))
def test_thinning_keeps_the_beginning_and_what_is_near(times: list[int], cursor: int) -> None:
    kept = [0, *sorted(times)]
    while len(kept) > 8:
        del kept[victim(kept, cursor)]
    assert kept[0] == 0
    assert max(one for one in kept if one <= cursor) == max(one for one in [0, *times] if one <= cursor)
    assert victim([0, max(times)], cursor) == 1, "one of two is let go, wherever the cursor is"
