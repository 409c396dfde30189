"""The scheduler's view of the processes: `sched`.

Who runs, who would run next and in which order, who sleeps and on what, and where the saved context of each
goes on: in forkret at its first turn, in resumed behind the swtch that it gave the hart away with.
"""

from collections.abc import Iterator
from typing import Final

from emu.clock import PS_PER_TICK
from emu.cpu import engine as e
from emu.cpu.hart import MASK64, USER
from kernel.abi.param import TICK_PS
from kernel.abi.ps import STATE_NAMES, ZOMBIE
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.thread import CONTEXT_RA, CONTEXT_SP
from kernel.timer import Ticks
from orrery.inspect.reports.words import MTIME_PS, seconds
from orrery.inspect.tables import Table
from toolchain.names import shown

COLUMNS: Final = (
    ">turn", ">pid", "name", "state", ">slot", "context", "goes on in", ">sp", "waits for",
)  # fmt: skip


def schedule_parts(k: Kernel) -> Iterator[str | Table]:
    """The hart, the timer, and the processes in the order of their turn; sleepers behind them."""
    yield from _hart(k)
    yield from _timer(k)
    rows = []
    current = k.sched.process
    turns = {thread.process: str(i) for i, thread in enumerate(k.sched.ready, 1)}
    if current is None:
        rows.append(_row("now", None, _context(k, k.cpu_context, live=True)))
    else:
        turns = {current: "now", **turns}
        rows.append(_row("-", None, _context(k, k.cpu_context, live=False)))
    for p in [*turns, *(p for p in k.procs if p not in turns)]:
        context = _context(k, p.thread.stack.context_pa, live=p is current)
        rows.append(_row(turns.get(p, "-"), p, context, waits_for(k, p)))
    yield Table(COLUMNS, rows)


def waits_for(k: Kernel, p: Process) -> str:
    """What a process waits for, with the time where that is a tick; how it ended if it has."""
    if p.state == ZOMBIE:
        return f"its parent to wait: it has exited with status {p.xstate}"
    chan = k.procs.waits_for(p.thread)
    for subject in p.thread.waits_for:
        if isinstance(subject, Ticks):
            chan += f", in {seconds(max(subject.until * TICK_PS - k.clock.time_ps, 0))}"
    return f"{chan} (killed)".lstrip() if p.killed else chan


def _hart(k: Kernel) -> Iterator[str]:
    hart, current = k.board.hart, k.sched.process
    if current is not None:
        where = "user mode" if hart.regs[e.PRIV] == USER else "the kernel"
        yield f"hart 0 works for {current}, in {where}"
    elif hart.waiting:
        yield "hart 0 waits for an interrupt, in the scheduler: nothing is runnable"
    else:
        yield "hart 0 is in the scheduler"


def _timer(k: Kernel) -> Iterator[str]:
    compare = k.board.timer.compare
    yield f"kernel ticks {k.timer.ticks}, of {seconds(TICK_PS)}; now is {seconds(k.clock.now * PS_PER_TICK)}"
    if compare == MASK64:
        yield "timer off: no turn has to end, and nobody sleeps for ticks"
        return
    due = compare * MTIME_PS
    why = "wakes the first sleeper" if k.sched.process is None and not k.sched.ready else "ends the turn"
    when = f"in {seconds(due - k.clock.time_ps)}" if due > k.clock.time_ps else "pending"
    yield f"timer {when}, at {seconds(due)}: {why}"


def _row(turn: str, p: Process | None, context: tuple[str, ...], waits: str = "") -> tuple[object, ...]:
    if p is None:
        return (turn, "-", "the scheduler", "", "-", *context, waits)
    return (turn, p.pid, shown(p.name), STATE_NAMES[p.state], p.thread.stack.slot, *context, waits)


def _context(k: Kernel, pa: int, *, live: bool) -> tuple[str, ...]:
    """Where a context is, and what is saved in it; of who has the hart nothing that still holds."""
    first = pa - k.ram.base >> 3
    ra, sp = k.ram.u64[first + CONTEXT_RA], k.ram.u64[first + CONTEXT_SP]
    gates = {k.image.forkret: "forkret", k.image.resumed: "resumed"}
    saved = ("(in the hart)", "-") if live else (f"{gates.get(ra, hex(ra))}", f"{sp:#x}")
    return (f"{pa:#x}", *saved)
