"""The machine loop: the only place that runs a hart (DESIGN rule 3).

It enters the engine, and when the engine comes back it does what only Python can do: runs events whose
time has come, serves accesses to devices, emulates CSRs that the engine lacks, enters traps, hands gates
to the kernel, and lets time jump when the hart waits.  The kernel's threads, the debugger and the
workbench all go through `run`; nothing is called from inside an engine callback.

Time: an event falls on the first instruction boundary at or after its time.  The engine stops before
the block that reaches over the deadline, and the loop steps through that block:

        |-- block --|-- block --|------- block -------|
                                ^ stop     ^ deadline: stepped to
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from emu.bus import Bus, BusError
from emu.clock import TICKS_PER_US, Clock
from emu.cpu import engine as e
from emu.cpu.csr import AddedCsrs
from emu.cpu.decode import Kind, decode, is_fence_i, length, may_write_float
from emu.cpu.hart import MACHINE, MASK64, WFI, Hart
from emu.cpu.sv39 import Access, TranslationFault
from emu.events import NEVER, EventQueue
from emu.ram import PAGE_SIZE

GATE_TICKS: Final = 20 * TICKS_PER_US
"""What a gate call costs: 20 us, about what a short system call of xv6 takes in QEMU.

It is more than the host takes for one, so that a program which makes system calls until some ticks have
passed is not slower than the wall clock.
"""

SLICE_TICKS: Final = 10_000 * TICKS_PER_US
"""How long the engine may run before the outside world is looked at: 10 ms of virtual time."""

EBREAKS: Final = (0x0010_0073, 0x9002)
CAUSE_ILLEGAL: Final = 2
CAUSE_BREAKPOINT: Final = 3
CAUSE_MISALIGNED_LOAD: Final = 4
CAUSE_MISALIGNED_STORE: Final = 6
CAUSE_ECALL: Final = 8  # from U-mode; the others follow by privilege


class TrapLoop(Exception):
    """The first instruction at a trap vector raises an exception itself, so the hart can do nothing more."""

    def __init__(self, hart: Hart) -> None:
        regs = hart.regs
        cause = regs[e.MCAUSE if hart.privilege == MACHINE else e.SCAUSE]
        super().__init__(f"the trap vector at {regs[e.PC]:#x} faults itself (cause {cause})")


class Hit(NamedTuple):
    """An access to a watched place: the instruction, and what it touched."""

    pc: int
    va: int
    size_bytes: int
    kind: int  # engine.LOADS or engine.STORES


class Stop(Enum):
    """Why run() returned."""

    LIMIT = "limit"  # virtual time has come to the limit
    ASKED = "asked"  # ask_stop was called
    ASLEEP = "asleep"  # the hart waits, no event is pending and nothing will come from outside
    BREAK = "break"  # pc is at a breakpoint
    WATCH = "watch"  # the instruction before pc touched a watched place: `hit` says which


class Loop:
    """Runs `hart` against `events`.

    `on_gate(hart)` is called with pc on a gate; it must leave pc elsewhere, or the machine stands still.
    `on_idle(until_ticks)` is called when the hart waits and nothing happens before `until_ticks` (NEVER:
    nothing at all); it may let wall time pass, and returns True if it brought something in.
    `on_slice()` is called at least every SLICE_TICKS; it may bring something in too.
    run() and step() raise TrapLoop.
    """

    def __init__(self, hart: Hart, bus: Bus, clock: Clock, events: EventQueue, csrs: AddedCsrs) -> None:
        self.hart: Final = hart
        self.bus: Final = bus
        self.clock: Final = clock
        self.events: Final = events
        self.csrs: Final = csrs
        self.on_gate: Callable[[Hart], None] = _no_gate
        self.on_idle: Callable[[int], bool] = lambda until_ticks: False
        self.on_slice: Callable[[], None] = lambda: None
        self.hit: Hit | None = None  # the access at which run() stopped last
        self._spots: tuple[e.Spot, ...] = ()
        self._watching = False
        self._came_to_spot = False  # _step_to did, before the deadline
        self._asked = False

    def ask_stop(self) -> None:
        """Make run() return at the next occasion; may be called from a signal handler or a hook."""
        self._asked = True

    def set_spots(self, spots: Sequence[e.Spot]) -> None:
        """Have run() stop at these breakpoints and watchpoints; they change nothing in the run itself.

        A watched place that Python writes (the kernel, a device) is for the caller to look at.
        """
        self._spots = tuple(spots)
        self._watching = any(spot.kinds & (e.LOADS | e.STORES) for spot in spots)
        self.hart.engine.set_spots(self._spots)

    def at_break(self) -> bool:
        """Whether pc is at a breakpoint, for the address space in force."""
        if not self._spots:
            return False
        regs = self.hart.regs
        pc, satp = regs[e.PC], regs[e.SATP]
        return any(s.low == pc and s.kinds & e.FETCHES and s.satp in (0, satp) for s in self._spots)

    def run(self, limit: int = NEVER) -> Stop:
        """Run until virtual time `limit` (ticks), or until asked to stop, or until all sleep for ever.

        With spots also until one is met; a breakpoint at the first instruction does not count.
        """
        self.hit = None
        if self._spots and self.clock.now < limit and self.at_break():
            self.step(limit)
            if self.hit is not None:
                return Stop.WATCH
        hart, events = self.hart, self.events
        cells, regs, engine = hart.cells, hart.regs, hart.engine
        clock, epoch = self.clock, self.clock.epoch
        slice_end = clock.now + SLICE_TICKS
        while True:
            now = cells[e.NOW] + epoch
            if events.next_ticks <= now:
                events.run_due(now)
                continue
            if self._asked:
                self._asked = False
                return Stop.ASKED
            if now >= limit:
                return Stop.LIMIT
            if now >= slice_end:
                slice_end = now + SLICE_TICKS
                self.on_slice()
                continue
            if hart.waiting:
                if not self._wait(limit):
                    return Stop.ASLEEP
                epoch = clock.epoch  # which only a jump of time moves on
                continue
            if regs[e.MIP] and hart.take_interrupt():
                continue
            deadline = events.next_ticks
            if limit < deadline:
                deadline = limit
            cells[e.DEADLINE] = (deadline if deadline < slice_end else slice_end) - epoch
            error = engine.run()
            if cells[e.REASON] == e.AT_GATE:
                cells[e.NOW] += GATE_TICKS
                self.on_gate(hart)
            elif cells[e.REASON] == e.AT_DEADLINE:
                if deadline <= slice_end:
                    self._step_to(deadline)
                    if self.hit is not None:
                        return Stop.WATCH
                    if self._spots and clock.now < deadline and self.at_break():
                        return Stop.BREAK
                else:
                    slice_end = clock.now  # close enough: nothing hangs on where a slice ends
            elif cells[e.REASON] == e.AT_BREAK:
                self._pay_back()
                return Stop.BREAK
            elif cells[e.REASON] == e.AT_WATCH:
                self._pay_back()
                self.step(limit)
                if self.hit is not None:
                    return Stop.WATCH
            else:
                self._came_to_spot = False
                self._attend(error)
                if (self._came_to_spot or self.hit is not None) and (stop := self._met()) is not None:
                    return stop

    def _met(self) -> Stop | None:
        """The spot that the last steps have come to."""
        return Stop.WATCH if self.hit is not None else Stop.BREAK if self.at_break() else None

    def step(self, limit: int = NEVER) -> bool:
        """Run due events, then retire one instruction, enter one trap, pass one gate, or wait to `limit`.

        False if the hart sleeps for ever.
        """
        cells, hart = self.hart.cells, self.hart
        self.events.run_due(cells[e.NOW] + self.clock.epoch)
        if hart.waiting:
            return self._wait(limit)
        if hart.take_interrupt():
            cells[e.REASON] = e.TRAPPED
            return True
        word = hart.instruction()
        if word is not None and may_write_float(word):
            hart.mark_float()
        touched = self._touched(word) if self._watching else None
        error = hart.engine.step(length(word or 0))
        if touched is not None and not error and cells[e.REASON] == e.RAN and self._has_stored(word):
            self.hit = touched
        if cells[e.REASON] == e.AT_GATE:
            cells[e.NOW] += GATE_TICKS
            self.on_gate(hart)
        elif error or cells[e.REASON] != e.RAN or word == WFI:
            self._attend(error, stepped=True)
        return True

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
        """Whether the instruction, which has retired, was no SC that failed: such a one touches nothing."""
        op = decode(word or 0)
        return op is None or op.kind is not Kind.SC or self.hart.regs[op.rd] == 0

    def _step_to(self, deadline: int) -> None:
        """Step until the deadline, or until the path leaves the block: a step that took no time."""
        cells, epoch = self.hart.cells, self.clock.epoch
        while (now := cells[e.NOW] + epoch) < deadline and not self.hart.waiting:
            if self._spots and self._met() is not None:
                self._came_to_spot = True
                return
            self.step()
            passed = cells[e.NOW] + epoch - now
            if cells[e.REASON] != e.RAN or not passed or self.events.next_ticks < deadline:
                return

    def _wait(self, limit: int) -> bool:
        """Let time pass in a wfi; False if it would pass for ever."""
        hart = self.hart
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

    def _attend(self, error: int, *, stepped: bool = False) -> None:
        """Do for the hart at pc what the engine could not; `stepped`: it tried that one instruction alone."""
        reason = self.hart.cells[e.REASON]
        if error in (e.READ_UNMAPPED, e.WRITE_UNMAPPED):
            self._pay_back()
            self._device_access()
        elif error == e.FETCH_UNMAPPED:
            self._fetch_unmapped(stepped)
        elif error in (e.INSN_INVALID, e.EXCEPTION):
            self._pay_back()
            self._break_point()
        elif error != e.OK:
            raise AssertionError(f"the engine does not give error {error}")
        elif reason == e.RAN:
            self._pay_back()
            self.hart.waiting = True
        elif reason == e.AT_ILLEGAL:
            self._illegal()
        elif reason == e.AT_TRAP:
            self._trap_for(self.hart.cells[e.CAUSE])
        elif reason == e.AT_STRADDLE:
            self._step_to(self._deadline)
        elif reason == e.TRAP_LOOP:
            raise TrapLoop(self.hart)
        else:
            assert reason in (e.TRAPPED, e.AT_INTERRUPT), f"nothing is to be done for reason {reason}"

    def _trap(self, cause: int, tval: int) -> None:
        """Enter the trap of an exception."""
        regs = self.hart.regs
        before = regs[e.PC], regs[e.PRIV]
        self.hart.trap(cause, tval)
        if before == (regs[e.PC], regs[e.PRIV]):
            raise TrapLoop(self.hart)

    def _pay_back(self) -> None:
        """Take back the time of the part of the block that did not run, from pc on."""
        cells = self.hart.cells
        cells[e.NOW] -= cells[e.BLOCK_END] - self.hart.regs[e.PC] & MASK64

    @property
    def _deadline(self) -> int:
        """The time before which the engine was asked to stop."""
        return self.clock.epoch + self.hart.cells[e.DEADLINE]

    def _retire(self, length: int) -> None:
        """Step over an instruction that was done in Python."""
        regs = self.hart.regs
        regs[e.PC] = regs[e.PC] + length & MASK64
        self.hart.cells[e.NOW] += length

    def _break_point(self) -> None:
        """The engine has stopped at an ebreak, or at what it will not run."""
        if self.hart.instruction() in EBREAKS:
            self._trap(CAUSE_BREAKPOINT, self.hart.regs[e.PC])
        else:
            self._illegal()

    def _illegal(self) -> None:
        """The engine will not run the instruction: a CSR that the board does, a fence.i, or a trap.

        Or it is the first that may write floating-point state: once that is marked as dirty, it will run.
        """
        hart = self.hart
        word = hart.instruction()
        if word is not None and is_fence_i(word):
            hart.engine.drop_code(hart.ram.base, hart.ram.end)
            self._retire(4)
        elif word is not None and self.csrs.execute(hart, word):
            self._retire(4)
        elif word is None or not may_write_float(word) or not hart.mark_float():
            self._trap(CAUSE_ILLEGAL, 0)

    def _fetch_unmapped(self, stepped: bool) -> None:
        """No RAM answers at pc, or at an instruction further on in the block that straddles two pages."""
        cells = self.hart.cells
        if not stepped and (cells[e.NOW] >= cells[e.DEADLINE] or self.hart.takeable_interrupt() is not None):
            return  # these come first
        try:
            self.hart.fetch()
        except TranslationFault as fault:
            self._trap(fault.cause, fault.va)
        else:
            assert not stepped, "an instruction can be fetched, but the engine cannot"
            self._step_to(self._deadline)

    def _trap_for(self, cause: int) -> None:
        """Enter a trap of which the engine gave only the cause; find its address."""
        hart = self.hart
        if cause == Access.FETCH.page_fault:
            try:
                hart.fetch()
            except TranslationFault as fault:
                self._trap(cause, fault.va)
            else:  # the engine looked for the last byte of a block that has none (docs/engine.md)
                self._illegal()
        elif cause == CAUSE_ECALL:
            self._trap(cause + hart.privilege, 0)
        else:
            self._trap_for_data(cause)

    def _trap_for_data(self, cause: int) -> None:
        """Enter the trap for a page fault or misalignment of the load, store or atomic at pc."""
        op = decode(self.hart.instruction() or 0)
        if op is None:
            self._fetch_anew()
            return
        va = self.hart.regs[op.base] + op.offset & MASK64
        access = _access(op.kind)
        if cause in (CAUSE_MISALIGNED_LOAD, CAUSE_MISALIGNED_STORE):
            self._trap(CAUSE_MISALIGNED_LOAD if access is Access.LOAD else CAUSE_MISALIGNED_STORE, va)
            return
        assert cause in (Access.LOAD.page_fault, Access.STORE.page_fault), f"an unknown cause {cause}"
        if not self._data_faults(va, access):
            va = (va | PAGE_SIZE - 1) + 1 & MASK64  # the fault is on the second page
        self._trap(access.page_fault, va)

    def _fetch_anew(self) -> None:
        """The engine ran an instruction that is not at pc: without an sfence.vma its TLB had an old page.

        A TLB may forget at any time, so it does, before that instruction.
        """
        self.hart.engine.flush_tlb()
        try:
            self.hart.fetch()
        except TranslationFault as fault:
            self._trap(fault.cause, fault.va)

    def _data_faults(self, va: int, access: Access) -> bool:
        try:
            self.hart.data_pa(va, access)
        except TranslationFault:
            return True
        return False

    def _device_access(self) -> None:
        """Do a load or store that the engine stopped at because no RAM answers there."""
        hart, regs = self.hart, self.hart.regs
        op = decode(hart.instruction() or 0)
        if op is None:
            self._fetch_anew()
            return
        va = regs[op.base] + op.offset & MASK64
        access = _access(op.kind)
        try:
            pa = hart.data_pa(va, access)
            if va % PAGE_SIZE + op.size > PAGE_SIZE:
                raise BusError(pa)  # RAM on one page does not help
            if op.kind is Kind.LOAD:
                raw = self.bus.load(pa, op.size)
                if op.is_float:
                    regs[e.F + op.rd] = op.register_value(raw)
                elif op.rd:
                    regs[op.rd] = op.register_value(raw)
            elif op.kind is Kind.STORE:
                self.bus.store(pa, op.size, regs[e.F + op.rs2 if op.is_float else op.rs2])
            else:
                raise BusError(pa)  # devices take no atomic operations
        except TranslationFault as fault:
            self._trap(fault.cause, fault.va)
        except BusError:
            self._trap(access.access_fault, va)
        else:
            self._retire(op.length)


def _access(kind: Kind) -> Access:
    """What an instruction counts as when it fails; the engine's view of atomics is another one."""
    return Access.LOAD if kind in (Kind.LOAD, Kind.LR) else Access.STORE


def _no_gate(hart: Hart) -> None:
    raise AssertionError(f"a gate at {hart.regs[e.PC]:#x}, but no kernel to take it")
