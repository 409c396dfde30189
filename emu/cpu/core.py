"""A core: one hart with all that is its own: engine, clock, timer, the CSRs that the board adds, and spots.

The board makes one for each hart; the machine loop (emu/loop.py) says which of them runs and until when.  The
hart (emu/cpu/hart.py) is the architectural state; here is how it is moved on where the engine does not do
that alone: one instruction at a time, to an exact deadline or past a debugger's spots, and over exits.
A core never runs an event and never calls the kernel: when it has come to a gate it leaves AT_GATE as the
reason, and the loop does the rest.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from emu.bus import Bus
from emu.cpu import engine as e
from emu.cpu.csr import AddedCsrs, SupervisorTimer
from emu.cpu.decode import Kind, decode, length, may_write_float
from emu.cpu.exits import Exits
from emu.cpu.hart import MASK64, S_TIMER, WFI, Hart
from emu.events import EventQueue
from emu.ram import Ram


class Hit(NamedTuple):
    """An access to a watched place: the instruction, and what it touched."""

    pc: int
    va: int
    size_bytes: int
    kind: int  # engine.LOADS or engine.STORES


class Core:
    """A hart on `engine`, over the board's `ram`, `bus` and `events`.

    `hit` is the access at which the last step touched a watched place; `came_to_spot` says that step_to
    ended before its deadline, at a breakpoint or behind such an access.
    """

    def __init__(self, engine: e.Engine, ram: Ram, bus: Bus, events: EventQueue) -> None:
        self.hart: Final = Hart(engine, ram)
        self.clock: Final = self.hart.clock
        self.timer: Final = SupervisorTimer(self.clock, events, self.hart.line(S_TIMER))
        self.csrs: Final = AddedCsrs(self.timer)
        self.hit: Hit | None = None
        self.came_to_spot = False
        self._exits: Final = Exits(self.hart, bus, self.csrs)
        self._events: Final = events
        self._spots: tuple[e.Spot, ...] = ()
        self._watches = False

    @property
    def awake(self) -> bool:
        """Whether there is something for it to run: it is not in a wfi, or an interrupt ends that."""
        return not self.hart.waiting or self.hart.wakes()

    def set_spots(self, spots: Sequence[e.Spot]) -> None:
        """Have the engine stop at these breakpoints and watchpoints."""
        self._spots = tuple(spots)
        self._watches = any(spot.kinds & (e.LOADS | e.STORES) for spot in spots)
        self.hart.engine.set_spots(self._spots)

    def at_break(self) -> bool:
        """Whether pc is at a breakpoint, for the address space in force."""
        if not self._spots:
            return False
        regs = self.hart.regs
        pc, satp = regs[e.PC], regs[e.SATP]
        return any(s.low == pc and s.kinds & e.FETCHES and s.satp in (0, satp) for s in self._spots)

    def step(self) -> None:
        """Retire one instruction, enter one trap, or come to a gate.  Not while the hart waits."""
        hart = self.hart
        cells = hart.cells
        if hart.take_interrupt():
            cells[e.REASON] = e.TRAPPED
            return
        word = hart.instruction()
        if word is not None and may_write_float(word):
            hart.mark_float()
        touched = self._touched(word) if self._watches else None
        error = hart.engine.step(length(word or 0))
        reason = cells[e.REASON]
        if touched is not None and not error and reason == e.RAN and self._has_stored(word):
            self.hit = touched
        if reason != e.AT_GATE and (error or reason != e.RAN or word == WFI):
            straddles = self._exits.handle(error, stepped=True)
            assert not straddles, "one instruction is stepped, but the engine wants that of its block"

    def step_to(self, deadline: int) -> None:
        """Step until the deadline, or until the path leaves the block: a step that took no time.

        Ends at a spot, too, and at a gate, whose call is still to be made.
        """
        cells, epoch = self.hart.cells, self.clock.epoch
        while (now := cells[e.NOW] + epoch) < deadline and not self.hart.waiting:
            if self._spots and (self.hit is not None or self.at_break()):
                self.came_to_spot = True
                return
            self.step()
            passed = cells[e.NOW] + epoch - now
            if cells[e.REASON] != e.RAN or not passed or self._events.next_ticks < deadline:
                return

    def handle_exit(self, error: int) -> None:
        """The engine has stopped for something that only Python can do: do it, or step through the block."""
        self.came_to_spot = False
        if self._exits.handle(error):
            self.step_to(self.clock.epoch + self.hart.cells[e.DEADLINE])

    def pay_back(self) -> None:
        """Take back the time of the part of the block that did not run, from pc on."""
        self._exits.pay_back()

    def _touched(self, word: int | None) -> Hit | None:
        """The watched place that the instruction at pc is about to touch."""
        op = decode(word or 0)
        if op is None:
            return None
        regs = self.hart.regs
        low, satp = regs[op.base] + op.offset & MASK64, regs[e.SATP]
        kinds = {Kind.LOAD: e.LOADS, Kind.LR: e.LOADS, Kind.STORE: e.STORES}.get(op.kind, e.LOADS | e.STORES)
        for spot in self._spots:
            meets = spot.low < low + op.size and low < spot.high and spot.satp in (0, satp)
            if meets and spot.kinds & kinds:
                return Hit(regs[e.PC], low, op.size, spot.kinds & kinds)
        return None

    def _has_stored(self, word: int | None) -> bool:
        """Whether the instruction, now retired, was anything but a failed SC, which touches nothing."""
        op = decode(word or 0)
        return op is None or op.kind is not Kind.SC or self.hart.regs[op.rd] == 0
