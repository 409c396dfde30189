"""A property of the time machine: every moment of a long run has one state, from wherever it is reached.

Each run takes some 400 M instructions, in which processes compute, preempt each other, fork, write to the
disk and read from a console on which somebody types at odd moments.  One machine goes through it once and
notes its states at random points, half of them in the trampoline, in swtch or at a gate; a timeline with
hardly any checkpoints must show the same states, whichever way it comes there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

import pytest
from debugged import kernel_symbols, options

from emu.cpu.hart import SUPERVISOR
from emu.events import NEVER
from kernel.abi.memlayout import TRAMPOLINE
from kernel.abi.ps import RUNNABLE
from kernel.abi.syscalls import Syscall
from kernel.errors import SyscallError
from kernel.proc import Process
from orrery import Machine
from orrery.machine.hooks import Watcher
from orrery.timetravel.input_log import Change
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline

INSTRUCTIONS_MIN: Final = 100_000_000
ROUNDS: Final = 3
SPIN: Final = 2_000_000  # by the parent
CHILD_SPIN: Final = 20_000_000  # more than a turn, which is 100 ms, some 120 M instructions
SPIN_INSTRUCTIONS: Final = 8  # of the loop in spin(), each time around
assert ROUNDS * (SPIN + CHILD_SPIN) * SPIN_INSTRUCTIONS >= INSTRUCTIONS_MIN, "a run is long enough"
PROGRAM: Final = (
    """
volatile long sums[2];
static void spin(int who, long n) {
    long t;
    asm volatile("1: ld %1, 0(%2)\\n add %1, %1, %0\\n sd %1, 0(%2)\\n xori %1, %1, 5\\n add %1, %1, %1\\n"
                 "mul %1, %1, %0\\n addi %0, %0, -1\\n bnez %0, 1b"
                 : "+r"(n), "=&r"(t) : "r"(&sums[who]) : "memory");
}
int main(void) {
    char line[64];
    for (int round = 0; round < ROUNDS; round++) {
        int fds[2];
        pipe(fds);
        if (fork() == 0) {
            spin(1, CHILD_SPIN);
            write(fds[1], (void *)sums, sizeof sums);
            if (round == 1) *(volatile int *)0x5000000000 = 1;
            exit(round);
        }
        int fd = open("out", O_CREATE | O_RDWR);
        for (int i = 0; i < 4; i++) {
            spin(0, SPIN / 4);
            write(fd, (void *)sums, sizeof sums);
        }
        close(fd);
        write(1, line, read(0, line, sizeof line));
        if (round == 0) sleep(2);
        read(fds[0], line, sizeof sums);
        close(fds[0]), close(fds[1]);
        wait(0);
    }
    return sums[0] & 63;
}
""".replace("ROUNDS", str(ROUNDS))
    .replace("CHILD_SPIN", str(CHILD_SPIN))
    .replace("SPIN", str(SPIN))
)
MEM_MIB: Final = 16
KEYS: Final = (b"one\n", b"two\x7f\x7fz", b"\na line of more than a FIFO\nx\x15t")  # typed at odd moments
TYPING_TICKS: Final = 400_000_000  # at the most from one of them to the next
TURN_TICKS: Final = 500_000_000  # and a bit: soon after there is a trap
STEPS_MAX: Final = 60
EVENT_TICKS: Final = 48  # some instructions
LATER_TICKS: Final = 300_000  # what devices and timers hold shows itself in that time
CHECKPOINTS_MAX: Final = 4
LOOKS: Final = ("irq", "ps", "memory")  # of the monitor
SYMBOLS: Final = kernel_symbols()
WAYS_IN: Final = tuple(SYMBOLS[name] for name in ("swtch", "usertrap", "kerneltrap", "kernelvec", "idle"))
IDLE: Final = Place(ALL, SYMBOLS["idle"])
ODD: Final = (Place(ALL, TRAMPOLINE), *(Place(ALL, va) for va in WAYS_IN))
"""Where the hart is on its way into the kernel, or out of it, or between two processes."""


@dataclass(frozen=True, slots=True)
class State:
    """All that can be seen of a machine at a moment."""

    moment: Moment
    registers: tuple[int, ...]
    digest: str  # of RAM, disk, console and registers
    looks: tuple[str, ...]  # at devices, processes and counts

    @classmethod
    def of(cls, it: Target | Timeline) -> "State":
        looks = tuple(it.monitor(line) for line in LOOKS)
        return cls(it.moment, tuple(it.registers(KERNEL)), it.digest(), looks)


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the run: its state, the moments of the steps behind it, and what comes of it."""

    state: State
    path: tuple[Moment, ...]
    behind: State  # at the end of the path
    later: State  # some time later
    is_whole: bool  # not in the midst of a wait, which is one step


class Seen(Watcher):
    """Counts what happens in a run."""

    def __init__(self) -> None:
        self.calls: Final[Counter[str]] = Counter()
        self.faults = self.preemptions = 0
        self._last: Process | None = None

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        self.calls[call.name] += result >= 0

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        self.faults += 1

    def switch(self, p: Process) -> None:
        last, self._last = self._last, p
        self.preemptions += last is not None and last is not p and last.state == RUNNABLE


class Run:
    """A run by `seed`: what is typed and when, `count` points, and where it ends."""

    def __init__(self, seed: int, count: int) -> None:
        self.chance: Final = Random(seed)
        self.changes: Final = self._typed()
        self.seen: Final = Seen()
        with Machine(**options(PROGRAM, MEM_MIB)) as machine:
            machine.hub.add(self.seen)
            target = Target(machine)
            target.input_log.load(self.changes)
            end = self._end_ticks
            times = sorted(self.chance.randrange(1000, end) for _ in range(count))
            self.points: Final = tuple(self._point(target, i, ticks) for i, ticks in enumerate(times))
            assert target.resume().why == "exit"
            self.end: Final = State.of(target)

    def _typed(self) -> tuple[Change, ...]:
        """Keys at odd moments, and answers to who waits for a line."""
        with Machine(**options(PROGRAM, MEM_MIB)) as machine:
            target = Target(machine)
            for keys in KEYS:
                target.resume(target.moment.ticks + self.chance.randrange(TYPING_TICKS))
                self._to_odd_place(target)
                target.type(keys)
            while target.resume().why == "asleep":
                target.type(b"hree\n")
            self._end_ticks = target.moment.ticks
            return target.input_log.changes()

    def _to_odd_place(self, target: Target) -> None:
        """On to one of ODD, and some steps more: uservec and userret have some 40 each."""
        to_place(target, self.chance.choice(ODD))
        target.step(self.chance.randrange(40))

    def _point(self, target: Target, number: int, ticks: int) -> Point:
        target.resume(ticks)
        steps, until_ticks = self.chance.randrange(1, STEPS_MAX), NEVER
        match number % 4:
            case 1:
                self._to_odd_place(target)
            case 2:
                to_place(target, IDLE)  # soon the hart will wait
            case 3:
                steps, until_ticks = EVENT_TICKS, to_event(target)
        waits, state, path = target.moment.waiting, State.of(target), []
        while len(path) < steps and target.moment.ticks < until_ticks:
            if target.step().why != "step":
                break
            path.append(target.moment)
        behind = State.of(target)
        target.resume(target.moment.ticks + LATER_TICKS)
        return Point(state, tuple(path), behind, State.of(target), not waits)


def to_place(target: Target, place: Place) -> None:
    """On to `place`, if it is met within a turn."""
    target.set_places([place])
    target.resume(target.moment.ticks + TURN_TICKS)
    target.set_places(())


def to_event(target: Target) -> int:
    """On to shortly before a device does something; when that is."""
    due = target._machine.board.events.next_ticks
    target.resume(due - EVENT_TICKS)
    return due


def check(seed: int, count: int) -> None:
    """The property, at `count` points of the run of `seed`."""
    run = Run(seed, count)
    seen, calls = run.seen, run.seen.calls
    assert calls["fork"] > ROUNDS and calls["write"] > 4 * ROUNDS and calls["read"] > ROUNDS
    assert seen.preemptions > 0 and seen.faults > ROUNDS
    assert any(point.state.registers[-1] == SUPERVISOR for point in run.points), "some are in the kernel"
    limits = {"checkpoints_max": CHECKPOINTS_MAX, "memory_bytes_max": 200 << 20, "spacing_s": 0.01}
    with Timeline(**options(PROGRAM, MEM_MIB), changes=run.changes, **limits) as it:
        assert it.resume().why == "exit" and State.of(it) == run.end
        for point in shuffled(run.points, run.chance):
            it.goto(run.chance.randrange(run.end.moment.ticks))  # from anywhere
            assert it.goto(point.state.moment).moment == point.state.moment
            assert State.of(it) == point.state, f"seed {seed}: gone to"
            check_steps(it, point, run.chance)
            assert it.goto(point.behind.moment).moment == point.behind.moment
            assert State.of(it) == point.behind, f"seed {seed}: gone to behind some steps"
            it.goto(point.later.moment)
            assert State.of(it) == point.later, f"seed {seed}: what comes of it"
            assert len(it.checkpoints) <= CHECKPOINTS_MAX
        assert it.goto(run.end.moment).moment == run.end.moment and State.of(it) == run.end


def check_steps(it: Timeline, point: Point, chance: Random) -> None:
    """Steps forward meet the same moments, and as many back meet them again."""
    if not point.path:
        return
    n = len(point.path)
    assert [it.step().moment for _ in range(n)] == list(point.path)
    assert State.of(it) == point.behind
    if not point.is_whole:
        return
    back = chance.randrange(1, n + 1)
    way = [point.state.moment, *point.path]
    for i in range(1, back + 1):
        assert it.reverse_step().moment == way[n - i]
    it.reverse_step(n - back)
    assert State.of(it) == point.state
    it.step(n)
    assert State.of(it) == point.behind
    it.reverse_step(n)
    assert State.of(it) == point.state


def shuffled(points: Iterable[Point], chance: Random) -> Iterator[Point]:
    """All of them, in any order."""
    order = list(points)
    chance.shuffle(order)
    return iter(order)


@pytest.mark.parametrize("seed", [1])
def test_every_moment_has_one_state(seed: int) -> None:
    check(seed, 4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 32))
def test_every_moment_of_other_runs_has_one_state(seed: int) -> None:
    check(seed, 20)
