"""What going back in time takes, and what it costs to be able to.

A program of some billion instructions, which computes, forks and writes, is run to its end on a timeline;
then it is gone back in from several depths.  Other machines run on and on, one with one process and one with
several, and are stopped at random times: what counts there is the first step back, and the first search.
All in wall time, on the timeline's own processes.  The goals are those of the debugger's issue; beside them
stands what QEMU 7.2 takes for a step back through its gdb server.
"""

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from bench.terminal import BenchError
from kernel.abi import elf
from orrery import Machine
from orrery.timetravel.place import Place
from orrery.timetravel.spacing import SPACING_S
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline
from toolchain import cc, fsimage, image

ROUNDS: Final = 150  # of some 7 million instructions
PROGRAM: Final = """
#include "kernel/types.h"
#include "user/user.h"
volatile int a[1000];
volatile int last __attribute__((aligned(4096)));
int main(void)
{
    for (int r = 0; r < ROUNDS; r++) {
        for (int k = 0; k < 1000; k++)
            for (int i = 0; i < 1000; i++)
                a[i] += i ^ r;
        last = r;
        if (r % 8 == 0) {
            if (fork() == 0)
                exit(0);
            wait(0);
        }
    }
    return 0;
}
"""
SEVERAL: Final = """
#include "kernel/types.h"
#include "user/user.h"
volatile int a[1000];
volatile int last __attribute__((aligned(4096)));
static void compute(int n)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 1000; i++)
            a[i] += i ^ k;
}
int main(void)
{
    char *argv[] = {"echo", 0};
    int there[2], back[2];
    char c = 0;
    pipe(there);
    pipe(back);
    if (fork() == 0)
        while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
            compute(20);
    if (fork() == 0)
        for (;; sleep(1))
            compute(3000);
    if (fork() == 0)
        for (;;)
            compute(1000);
    for (int r = 0;; r++) {
        write(there[1], &c, 1);
        read(back[0], &c, 1);
        compute(100);
        last = r;
        if (r % 8 == 0) {
            if (fork() == 0) {
                close(1);
                exec("echo", argv);
                exit(1);
            }
            wait(0);
        }
    }
}
"""
PID: Final = 2  # of the program: init is 1
DEPTHS: Final = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)  # instructions
STEPS: Final = 60  # back, at each depth
RUNS: Final = 100  # at each depth, each with a first step back from where it is stopped
RUN_TICKS: Final = (50_000_000, 500_000_000)  # how far each goes, at least and at most
ONE: Final = "one process"
ENDLESS: Final = 1_000_000  # rounds
STEPS_FORWARD: Final = 3000
MILLI: Final = 1e-3
REPEATS: Final = 4
TICKS_PER_INSTRUCTION: Final = 3  # bytes, as some are compressed
PART_TICKS: Final = 200_000_000
NEVER_S: Final = 1e9
STORES: Final = """
volatile int page[1024] __attribute__((aligned(4096)));
int main(void) { for (int i = 0;; i++) page[i & 511] = i; }
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """One line: `value` in `unit` should be at most `goal`, at least where `more`, or has none."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    more: bool = False
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the goal is reached, if there is one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more else self.value <= self.goal


def measure() -> Iterator[Measure]:
    """All of them; raises BenchError."""
    program = _compiled(PROGRAM.replace("ROUNDS", str(ROUNDS)))
    options = _options(program)
    at = symbols(program)
    yield from _costs(options, at)
    yield from _first_steps_back(ONE, PROGRAM.replace("ROUNDS", str(ENDLESS)), DEPTHS)
    yield from _first_steps_back("several processes", SEVERAL, DEPTHS[-1:])
    with closing(Timeline(**options)) as timeline:
        end = timeline.resume().moment
        ticks = _ticks_per_instruction(timeline, end.ticks)
        for depth in DEPTHS:
            yield from _steps_back(timeline, min(int(depth * ticks), end.ticks), depth)
        yield from _searches(timeline, at, end.ticks, ticks)


def _costs(options: dict[str, Any], at: dict[str, int]) -> Iterator[Measure]:
    """What a run pays for being recorded, and for places that are not met; the least of several times."""
    least: dict[str, float] = {}
    stores = _compiled(STORES)
    beside = (Place(PID, symbols(stores)["page"] + 4000, 4, "w"),)
    places = {
        "alone": (),
        "a breakpoint that is not met": (Place(PID, at["main"] + 0x800),),
        "a watchpoint in a page of its own": (Place(PID, at["last"] + 8, 4, "w"),),
        "a watchpoint in the page of a loop's array": (Place(PID, at["a"] + 4000, 4, "w"),),
    }
    for _ in range(REPEATS):
        for name, watched in places.items():
            least[name] = min(_run_s(options, watched), least.get(name, NEVER_S))
        for name, watched in (("stores", ()), ("stores, watched", beside)):
            least[name] = min(_run_s(_options(stores), watched), least.get(name, NEVER_S))
        for name, spacing_s in (("recorded", SPACING_S), ("without checkpoints", NEVER_S)):
            with closing(Timeline(**options, spacing_s=spacing_s)) as timeline:
                least[name] = min(_taken_s(timeline.resume), least.get(name, NEVER_S))
    recorded = 100 * (least["recorded"] / least["without checkpoints"] - 1)
    yield Measure("checkpoints make a run longer by", recorded, "%", 5)
    for name, goal in zip(list(places)[1:], (5, 900, 900), strict=True):
        yield Measure(f"{name}, by", 100 * (least[name] / least["alone"] - 1), "%", goal)
    longer = 100 * (least["stores, watched"] / least["stores"] - 1)
    yield Measure("a watchpoint in the page that a loop only stores to, by", longer, "%", 900)


def _run_s(options: dict[str, Any], places: tuple[Place, ...]) -> float:
    """A part of the run, without a timeline."""
    with Machine(**options) as machine:
        target = Target(machine)
        target.catch({"exec"})
        begin = target.resume().moment.ticks
        target.catch(())
        target.set_places(places)
        return _taken_s(lambda: target.resume(begin + PART_TICKS))


def _steps_back(timeline: Timeline, ticks: int, depth: int) -> Iterator[Measure]:
    """Steps back from a moment that was just come to, by going there and by running there."""
    timeline.goto(ticks)
    took = sorted(_taken_s(timeline.reverse_step) for _ in range(STEPS))
    name = f"step back, {depth / 1e6:,.0f} M instructions deep"
    note = "QEMU 4-17 ms near its snapshot, 3.3-4.1 s at 120 M" if depth == DEPTHS[2] else ""
    yield Measure(f"{name}: half take at most", took[STEPS // 2] / MILLI, "ms", 20, note=note)
    yield Measure(f"{name}: the slowest", took[-1] / MILLI, "ms", 100)


def _first_steps_back(kind: str, source: str, depths: Sequence[int]) -> Iterator[Measure]:
    """The first step back, and the first search for the last write, behind runs and where one has gone to."""
    program = _compiled(source)
    chance = random.Random(1)
    write = Place(PID, symbols(program)["last"], 4, "w")
    with closing(Timeline(**_options(program))) as timeline:
        ticks = timeline.run_until("exec").moment.ticks
        for depth in depths:
            timeline.resume(ticks + depth * TICKS_PER_INSTRUCTION)
            where = f"{kind}, {depth / 1e6:,.0f} M instructions deep"
            steps, searches = _behind_runs(timeline, chance, write)
            yield from _half_and_most(f"first step back, {where}", steps, 100)
            if kind == ONE:  # the others let a second pass between two writes
                yield from _half_and_most(f"first search for a write, {where}", searches)
        end = timeline.newest.ticks
        took = []
        for _ in range(RUNS):
            timeline.goto(chance.randrange(ticks, end))
            took.append(_taken_s(timeline.reverse_step))
        yield from _half_and_most(f"first step back, {kind}, where one has gone to", took, 100)


def _behind_runs(timeline: Timeline, chance: random.Random, write: Place) -> tuple[list[float], list[float]]:
    """What the first step back takes behind each of some runs, and what a search takes behind others."""
    steps, searches = [], []
    for i in range(RUNS + RUNS // 4):
        here = timeline.resume(timeline.moment.ticks + chance.randrange(*RUN_TICKS)).moment
        if i % 5:
            steps.append(_taken_s(timeline.reverse_step))
        else:
            timeline.set_places([write])
            searches.append(_taken_s(timeline.reverse_resume))
            timeline.set_places(())
        timeline.goto(here)
    return steps, searches


def _half_and_most(name: str, took: list[float], goal: float | None = None) -> Iterator[Measure]:
    took = sorted(took)
    yield Measure(f"{name}: half take at most", took[len(took) // 2] / MILLI, "ms")
    yield Measure(f"{name}: 99 of 100 take at most", took[len(took) * 99 // 100 - 1] / MILLI, "ms", goal)


def _searches(timeline: Timeline, at: dict[str, int], end: int, ticks: float) -> Iterator[Measure]:
    """The last write, and a search through all of the run for what was long ago."""
    chance = random.Random(1)
    timeline.set_places([Place(PID, at["last"], 4, "w")])
    took = []
    for _ in range(8):
        timeline.goto(end // 4 + chance.randrange(end // 2))
        took.append(_taken_s(timeline.reverse_resume))
    name = "back to the last write, up to 7 M instructions ago"
    yield Measure(f"{name}: half take at most", sorted(took)[len(took) // 2] / MILLI, "ms", 100)
    timeline.set_places([Place(PID, at["main"])])
    timeline.goto(end)
    took_s = _taken_s(timeline.reverse_resume)
    passed = (end - timeline.moment.ticks) / ticks
    yield Measure("search for what was long ago", passed / took_s / 1e6, "MIPS", 100, more=True)
    begin = perf_counter()
    for _ in range(STEPS_FORWARD):
        timeline.step()
        timeline.registers(PID)
    rate = STEPS_FORWARD / (perf_counter() - begin)
    yield Measure("steps forward, with registers", rate, "a second", 10_000, more=True)


def _ticks_per_instruction(timeline: Timeline, end: int) -> float:
    """In the middle of the computation."""
    timeline.goto(end // 2)
    begin = timeline.moment.ticks
    timeline.step(1000)
    return (timeline.moment.ticks - begin) / 1000


def _taken_s(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def _compiled(text: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "prog.c"
        path.write_text(text)
        try:
            return cc.compile_user([path])
        except cc.CompileError as error:
            raise BenchError(str(error)) from error


def symbols(program: bytes) -> dict[str, int]:
    """Addresses of what an ELF file names."""
    header = elf.Header.unpack(program)
    assert header is not None, "the compiler makes ELF files"
    return elf.symbols(program, header)


def _options(program: bytes) -> dict[str, Any]:
    init = fsimage.FsImage(image.default_image()).read("/init")
    modules = {b"/init": init, b"prog": cc.strip(program)}
    return {"init_argv": (b"/init", b"prog"), "modules": modules}
