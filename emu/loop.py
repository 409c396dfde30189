"""The machine loop: the only place that runs a hart (DESIGN rule 3).

It says which hart runs and until when, enters its engine, and between two instructions does what is the
board's: runs events whose time has come, hands gates to the kernel, and lets time jump when all harts wait.
The kernel's threads, the debugger and the workbench all go through it; nothing is called from inside an
engine callback.

The kernel lets the hart go on by returning from a gate, or else by `go_on`, which runs it to the next gate if
nothing else comes before.  So a thread of the kernel that is entered again and again stays where it is.

Time: an event falls on the first instruction boundary at or after its time.  The engine stops before
the block that reaches over the deadline, and the core steps through that block:

        |-- block --|-- block --|------- block -------|
                                ^ stop     ^ deadline: stepped to

Several harts take turns.  Each has its own clock; the turn goes to the one that is furthest behind, the
first of them where two are at one time.  It ends TURN_TICKS ahead of the next hart, or when this one waits,
or when an event is due and another hart has yet to come to its time:

        hart 0   |=======================>.         TURN_TICKS ahead of hart 1: its turn ends
        hart 1   |=========>.                       furthest behind: runs next
                            ^ board time until then was hart 0's; now it is this

Whose turn it is and when that ends is kept from one run() to the next, so how a run is sliced does not show.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from emu.clock import TICKS_PER_US, BoardClock
from emu.cpu import engine as e
from emu.cpu.core import Core, Hit
from emu.cpu.hart import Hart
from emu.events import NEVER, EventQueue

GATE_TICKS: Final = 20 * TICKS_PER_US
"""What a gate call costs: 20 us, about what a short system call of xv6 takes in QEMU.

It is more than the host takes for one, so that a program which makes system calls until some ticks have
passed is not slower than the wall clock.
"""

SLICE_TICKS: Final = 10_000 * TICKS_PER_US
"""How long the engine may run before the outside world is looked at: 10 ms of virtual time."""

TURN_TICKS: Final = 10 * TICKS_PER_US
"""How far a hart may get ahead of the others before it is their turn: 10 us of virtual time."""


class Stop(Enum):
    """Why run() returned."""

    LIMIT = "limit"  # virtual time has come to the limit
    ASKED = "asked"  # ask_stop was called
    ASLEEP = "asleep"  # all harts wait, no event is pending and nothing will come from outside
    BREAK = "break"  # pc is at a breakpoint
    WATCH = "watch"  # the instruction before pc touched a watched place: `hit` says which


class Loop:
    """Runs the harts of `cores` against `events`; `core` is the one whose turn it is.

    `on_gate(hart)` is called with pc on a gate; it must leave pc elsewhere, or the machine stands still.  A
    function that is put in place of the kernel's, which `connect` has set, is called at every gate.
    `on_idle(until_ticks)` is called when all harts wait and nothing happens before `until_ticks` (NEVER:
    nothing at all); it may let wall time pass, and returns True if it brought something in.
    `on_slice()` is called at least every SLICE_TICKS; it may bring something in too.
    run() and step() raise emu.cpu.exits.TrapLoop.
    """

    def __init__(
        self, cores: Sequence[Core], clock: BoardClock, events: EventQueue, turn_ticks: int = TURN_TICKS
    ) -> None:
        self.cores: Final = tuple(cores)
        self.clock: Final = clock
        self.events: Final = events
        self.core: Core = self.cores[0]
        self.on_gate: Callable[[Hart], None] = _no_gate
        self.on_idle: Callable[[int], bool] = lambda until_ticks: False
        self.on_slice: Callable[[], None] = lambda: None
        self._kernel: Callable[[Hart], None] | None = None  # on_gate, if that may call go_on
        self._go_on_end = 0  # the time at which go_on returns to run()
        self._error: int | None = None  # of the run in which go_on came to no gate
        self._turn_ticks: Final = turn_ticks
        self._turn_end = NEVER if len(self.cores) == 1 else turn_ticks
        self._slice_end = 0
        self._has_spots = False
        self._asked = False

    @property
    def hit(self) -> Hit | None:
        """The access at which run() or step() stopped last, by the hart whose turn it is."""
        return self.core.hit

    def forget_hit(self) -> None:
        """Have `hit` tell of what is stepped from now on."""
        self.core.hit = None

    def connect(self, on_gate: Callable[[Hart], None]) -> None:
        """Have this function, which may call go_on, called at gates."""
        self.on_gate = self._kernel = on_gate

    def ask_stop(self) -> None:
        """Make run() return at the next occasion; may be called from a signal handler or a hook."""
        self._asked = True
        self._go_on_end = 0

    def set_spots(self, spots: Sequence[e.Spot]) -> None:
        """Have run() stop at these breakpoints and watchpoints; they change nothing in the run itself.

        A watched place that Python writes (the kernel, a device) is for the caller to look at.
        """
        self._has_spots = bool(spots)
        for core in self.cores:
            core.set_spots(spots)

    def at_break(self) -> bool:
        """Whether the hart has met a breakpoint: it is at one, and no interrupt comes first.

        After the interrupt it is there again.  An event that is due may raise one, so due events are run.
        """
        core = self.core
        if not core.at_break():
            return False
        self.events.run_due(core.clock.now)
        return core.hart.takeable_interrupt() is None

    def run(self, limit: int = NEVER) -> Stop:
        """Run until virtual time `limit` (ticks), or until asked to stop, or until all sleep for ever.

        With spots also until one is met; a breakpoint at the first instruction does not count.
        """
        self.core.hit = None
        if self._has_spots and self.clock.now < limit and self.at_break():
            self.step(limit)
            if self.core.hit is not None:
                return Stop.WATCH
        self._slice_end = self.clock.now + SLICE_TICKS
        while (stop := self._turn(limit)) is None:
            self._pass_turn()
        return stop

    def go_on(self) -> bool:
        """Called at a gate: run to the next one. False: run() has something to do first; return to it."""
        hart, next_ticks, deadline = self.core.hart, self.events.next_ticks, self._go_on_end
        cells, epoch = hart.cells, hart.clock.epoch
        if next_ticks < deadline:
            deadline = next_ticks
        if cells[e.NOW] + epoch >= deadline or hart.lines or hart.software:
            return False
        cells[e.DEADLINE] = deadline - epoch
        error = hart.engine.run()
        if cells[e.REASON] != e.AT_GATE:
            self._error = error
            return False
        cells[e.NOW] += GATE_TICKS
        return True

    def step(self, limit: int = NEVER) -> bool:
        """Run due events, then retire one instruction, enter one trap, pass one gate, or wait to `limit`.

        False if all harts sleep for ever.
        """
        while self._turn_is_over():
            self._pass_turn()
        core = self.core
        self.events.run_due(core.clock.now)
        if core.hart.waiting:
            return self._wait(limit)
        core.step()
        self._call_gate(core.hart)
        return True

    def _turn(self, limit: int) -> Stop | None:
        """Run the hart whose turn it is; None when the turn is over."""
        core, events, hart = self.core, self.events, self.core.hart
        cells, regs, engine = hart.cells, hart.regs, hart.engine
        clock, epoch = core.clock, core.clock.epoch
        end, slice_end = min(limit, self._turn_end), self._slice_end
        while True:
            now = cells[e.NOW] + epoch
            if events.next_ticks <= now:
                if self._turn_is_over():
                    return None
                events.run_due(now)
                continue
            if self._asked:
                self._asked = False
                return Stop.ASKED
            if now >= end:
                return Stop.LIMIT if now >= limit else None
            if now >= slice_end:
                slice_end = self._slice_end = now + SLICE_TICKS
                self.on_slice()
                continue
            if hart.waiting:
                if self._turn_is_over():
                    return None
                if not self._wait(limit):
                    return Stop.ASLEEP
                epoch = clock.epoch  # which only a jump of time moves on
                continue
            if regs[e.MIP] and hart.take_interrupt():
                continue
            deadline = events.next_ticks
            if end < deadline:
                deadline = end
            cells[e.DEADLINE] = (deadline if deadline < slice_end else slice_end) - epoch
            error = engine.run()
            if cells[e.REASON] == e.AT_GATE:
                last_error = self._take_gate(hart, min(end, slice_end))
                if last_error is None:
                    continue
                error, deadline = last_error, min(events.next_ticks, end)
            reason = cells[e.REASON]
            if reason == e.AT_DEADLINE and deadline > slice_end:
                slice_end = self._slice_end = clock.now  # near enough: nothing depends on where a slice ends
            elif reason == e.AT_BREAK:
                core.pay_back()
                return Stop.BREAK
            elif (stop := self._after_exit(error, deadline)) is not None:
                return stop

    def _take_gate(self, hart: Hart, end: int) -> int | None:
        """Hand over to the kernel, which may go on until `end`; gives the error if that came to no gate."""
        may_go_on = self.on_gate is self._kernel and not self._has_spots and not self._asked
        self._go_on_end, self._error = end if may_go_on else 0, None
        hart.cells[e.NOW] += GATE_TICKS
        self.on_gate(hart)
        return self._error

    def _after_exit(self, error: int, deadline: int) -> Stop | None:
        """The engine has stopped before the deadline's block, at a watched place, or for an exit; go on."""
        core = self.core
        reason = core.hart.cells[e.REASON]
        if reason == e.AT_DEADLINE:
            core.step_to(deadline)
            self._call_gate(core.hart)
            if core.hit is None:
                at_break = self._has_spots and core.clock.now < deadline and core.at_break()
                return Stop.BREAK if at_break else None
        elif reason == e.AT_WATCH:
            core.pay_back()
            core.step()
            self._call_gate(core.hart)
        else:
            core.handle_exit(error)
            self._call_gate(core.hart)
            if core.came_to_spot and core.hit is None and core.at_break():
                return Stop.BREAK
        return Stop.WATCH if core.hit is not None else None

    def _call_gate(self, hart: Hart) -> None:
        """Hand over to the kernel, if stepping has come to a gate."""
        if hart.cells[e.REASON] == e.AT_GATE:
            self._go_on_end = 0
            hart.cells[e.NOW] += GATE_TICKS
            self.on_gate(hart)

    def _wait(self, limit: int) -> bool:
        """Let time pass in a wfi; False if it would pass for ever."""
        hart = self.core.hart
        if hart.wakes():
            hart.waiting = False
            return True
        next_ticks = self.events.next_ticks
        until = next_ticks if next_ticks == NEVER else min(next_ticks, limit)
        if self.on_idle(until):
            return True
        if until == NEVER:
            return False
        self.clock.advance_to(until)
        return True

    def _turn_is_over(self) -> bool:
        """Whether another hart is to go on before this one, or before an event that is due."""
        if len(self.cores) == 1:
            return False
        now = self.clock.now
        others = [core for core in self.cores if core is not self.core and core.awake]
        if now >= self._turn_end or (others and not self.core.awake):
            return True
        event_ticks = self.events.next_ticks
        return event_ticks <= now and any(core.clock.now < event_ticks for core in others)

    def _pass_turn(self) -> None:
        """Give the turn to the hart that is furthest behind; the first of them where times are equal."""
        awake = [core for core in self.cores if core.awake] or list(self.cores)
        for core in awake:
            if core.hart.waiting:  # time has passed there, too, up to what has woken it
                core.clock.advance_to(self.clock.now)
        self.core = min(awake, key=_now_of)
        others = [core.clock.now for core in awake if core is not self.core]
        self.clock.running = self.core.clock
        self._turn_end = min(others, default=self.core.clock.now) + self._turn_ticks


def _now_of(core: Core) -> int:
    return core.clock.now


def _no_gate(hart: Hart) -> None:
    raise AssertionError(f"a gate at {hart.regs[e.PC]:#x}, but no kernel to take it")
