"""What a stock gdb gets: steps, forwards and back, through the protocol, and what a server costs a run.

As timetravel.py, but all from outside, by packets.  The rival is the gdb server of QEMU 7.2, with xv6 where
its tree is here; its figures for going back were measured elsewhere, from a snapshot at the beginning.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.remote import Process, Remote, free_port
from bench.terminal import BenchError
from bench.timetravel import MILLI, PID, Measure, symbols
from toolchain import cc

STEPS_REFERENCE: Final = "QEMU 7.2: 2,300 to 2,800, not measured in this run"
BACK_REFERENCE: Final = (
    "QEMU 7.2: 4 to 17 ms near its snapshot, 3.3 to 4.1 s at 120 M, not measured in this run"
)
STEPS: Final = 3000
PARTS: Final = 10  # of the steps, of which the quickest counts: others use the host too
STEPS_BACK: Final = 100
REPEATS: Final = 4
A0: Final = 10
WARM_S: Final = 0.5

ROUND_M: Final = 7  # million instructions that a round of this program takes
MARKS: Final = (1, 15, 143)  # rounds behind which it calls mark
DEEP: Final = """
#include "kernel/types.h"
#include "user/user.h"
volatile int a[1000];
volatile int last __attribute__((aligned(4096)));
__attribute__((noinline)) void mark(int r) { __asm__ volatile("" : : "r"(r)); }
int main(void)
{
    for (int r = 1;; r++) {
        for (int k = 0; k < 1000; k++)
            for (int i = 0; i < 1000; i++)
                a[i] += i ^ r;
        last = r;
        if (MARKED)
            mark(r);
        if (r % 8 == 0) {
            if (fork() == 0)
                exit(0);
            wait(0);
        }
    }
}
"""
LOOP: Final = """
volatile int x;
int main(void) { for (int i = 0;; i++) x += i; }
"""
WORK: Final = """
#include "kernel/types.h"
#include "user/user.h"
volatile int a[1000];
int main(void)
{
    write(1, "<", 1);
    for (int k = 0; k < 150000; k++)
        for (int i = 0; i < 1000; i++)
            a[i] += i ^ k;
    write(1, ">", 1);
    return 0;
}
"""


def measure(orrery: str, rival: Callable[[int], list[str]] | None) -> Iterator[Measure]:
    """All of them; `rival` gives the command line of QEMU with a gdb server on a port.  Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="orrery-bench-") as name:
        directory = Path(name)
        yield from _steps(orrery, _source(directory, "loop", LOOP), rival)
        yield from _back(orrery, _source(directory, "deep", DEEP.replace("MARKED", _marked())))
        yield from _costs(orrery, _source(directory, "work", WORK), directory / "run.orr")


def _steps(orrery: str, program: Path, rival: Callable[[int], list[str]] | None) -> Iterator[Measure]:
    """Single steps, of a program that computes."""
    note = STEPS_REFERENCE
    if rival is not None:
        port = free_port()
        with Process(rival(port)):
            remote = Remote(port)
            remote.interrupt_after(WARM_S)
            note = f"QEMU, measured now: {_rate(lambda: remote.ask(b'vCont;s:' + remote.thread)):,.0f}"
    with Process([orrery, "run", "--gdb=0", "-S", str(program)]) as machine:
        remote = Remote(machine.port())
        remote.meet(PID)
        step = b"vCont;s:" + remote.thread
        for _ in range(STEPS):  # into the loop
            remote.ask(step)
        name = "steps through gdb's protocol"
        yield Measure(name, _rate(lambda: remote.ask(step)), "a second", 10_000, more=True, note=note)

        def with_registers() -> None:
            remote.ask(step)
            remote.ask(b"g")

        yield Measure(f"{name}, all registers asked for", _rate(with_registers), "a second")


def _rate(step: Callable[[], object]) -> float:
    """How many a second."""
    count = STEPS // PARTS
    return count / min(_taken_s(lambda: [step() for _ in range(count)]) for _ in range(PARTS))


def _back(orrery: str, program: Path) -> Iterator[Measure]:
    """Steps back, and back to the last write, from where the machine has come to by running."""
    at = symbols(cc.compile_user([program]))
    breakpoint_, watchpoint = b"0,%x,4" % at["mark"], b"2,%x,4" % at["last"]
    with Process([orrery, "run", "--gdb=0", "-S", str(program)]) as machine:
        remote = Remote(machine.port())
        remote.meet(PID)
        remote.ask(b"Z" + breakpoint_)
        for r in MARKS:
            _go_to(remote, r)
            where = f"{r * ROUND_M:,} M instructions deep"
            first_s = _taken_s(lambda: remote.stop(b"bs"))
            took = sorted(_taken_s(lambda: remote.stop(b"bs")) for _ in range(STEPS_BACK))
            note = BACK_REFERENCE if r == MARKS[1] else ""
            yield Measure(f"bs, {where}: the first after a run", first_s / MILLI, "ms", 100)
            yield Measure(
                f"bs, {where}: half take at most", took[STEPS_BACK // 2] / MILLI, "ms", 20, note=note
            )
            yield Measure(f"bs, {where}: 99 of 100 take at most", took[-2] / MILLI, "ms", 100)
            _go_to(remote, r)
            remote.ask(b"Z" + watchpoint)
            took_s = _taken_s(lambda: remote.stop(b"bc"))
            remote.ask(b"qXfer:threads:read::0,1000")  # as gdb does where it stops for a person
            remote.ask(b"z" + watchpoint)
            yield Measure(f"bc to the last write, {where}", took_s / MILLI, "ms", 100)


def _go_to(remote: Remote, r: int) -> None:
    """Go on to where mark is called for round `r`."""
    while True:
        answer = remote.go_on()
        if b"swbreak" not in answer:
            raise BenchError(f"the machine stopped where it should not: {answer.decode()}")
        if int.from_bytes(bytes.fromhex(remote.ask(b"p%x" % A0).decode()), "little") == r:
            return


def _costs(orrery: str, program: Path, recording: Path) -> Iterator[Measure]:
    """How much longer a program takes with a server, or recorded; the least of several times."""
    run = [orrery, "run", str(program)]
    served = [orrery, "run", "--gdb=0", str(program)]
    runs: dict[str, Callable[[], float]] = {
        "alone": lambda: _work_s(run),
        "recorded": lambda: _work_s([orrery, "record", "-o", str(recording), *run[1:]]),
        "with a gdb server, nobody there": lambda: _work_s(served),
        "with a gdb that has let it go on": lambda: _attached_s([*served, "-S"]),
    }
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run_s in runs.items():
            least[name] = min(least[name], run_s())
    for name, goal in zip(list(runs)[1:], (5, None, None), strict=True):
        yield Measure(f"a run {name}: longer by", 100 * (least[name] / least["alone"] - 1), "%", goal)


def _work_s(argv: list[str]) -> float:
    with Process(argv) as machine:
        return machine.between(b"<", b">")


def _attached_s(argv: list[str]) -> float:
    with Process(argv) as machine:
        remote = Remote(machine.port(), offers=b"multiprocess+")  # no stop at each exec
        remote.send(b"vCont;c")
        return machine.between(b"<", b">")


def _taken_s(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def _marked() -> str:
    return " || ".join(f"r == {r}" for r in MARKS)


def _source(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.c"
    path.write_text(text)
    return path
