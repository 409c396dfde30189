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

from collections.abc import Callable
from enum import Enum
from typing import Final

from emu import engine as e
from emu.bus import Bus, BusError
from emu.clock import TICKS_PER_US, Clock
from emu.csr import AddedCsrs
from emu.decode import Kind, decode, length
from emu.events import NEVER, EventQueue
from emu.hart import WFI, Hart
from emu.sv39 import Access, TranslationFault

GATE_TICKS: Final = 20 * TICKS_PER_US
"""What a gate call costs: 20 us, about what a short system call of xv6 takes in QEMU.

It is more than the host takes for one, so that a program which makes system calls until some ticks have
passed is not slower than the wall clock.
"""

SLICE_TICKS: Final = 10_000 * TICKS_PER_US
"""How long the engine may run before the outside world is looked at: 10 ms of virtual time."""

END_OF_TIME: Final = 1 << 62
"""No run goes on beyond this, 36 years: a guest can sleep that long in a moment, and the count is 64 bits."""

EBREAKS: Final = (0x0010_0073, 0x9002)
CAUSE_ILLEGAL: Final = 2
CAUSE_BREAKPOINT: Final = 3


class Stop(Enum):
    """Why run() returned."""

    LIMIT = "limit"  # virtual time has come to the limit
    ASKED = "asked"  # ask_stop was called
    ASLEEP = "asleep"  # the hart waits, no event is pending and nothing will come from outside


class Loop:
    """Runs `hart` against `events`.

    `on_gate(hart)` is called with pc on a gate; it must leave pc elsewhere, or the machine stands still.
    `on_idle(until_ticks)` is called when the hart waits and nothing happens before `until_ticks` (NEVER:
    nothing at all); it may let wall time pass, and returns True if it brought something in.
    `on_slice()` is called at least every SLICE_TICKS; it may bring something in too.
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
        self._asked = False

    def ask_stop(self) -> None:
        """Make run() return at the next occasion; may be called from a signal handler or a hook."""
        self._asked = True

    def run(self, limit: int = END_OF_TIME) -> Stop:
        """Run until virtual time `limit` (ticks), or until asked to stop, or until all sleep for ever."""
        cells, events, hart, engine = self.hart.cells, self.events, self.hart, self.hart.engine
        slice_end = cells[e.NOW] + SLICE_TICKS
        while True:
            now = cells[e.NOW]
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
                continue
            deadline = events.next_ticks
            if limit < deadline:
                deadline = limit
            cells[e.DEADLINE] = deadline if deadline < slice_end else slice_end
            error = engine.run()
            if cells[e.REASON] == e.AT_GATE:
                cells[e.NOW] += GATE_TICKS
                self.on_gate(hart)
            elif cells[e.REASON] == e.AT_DEADLINE:
                if deadline <= slice_end:
                    self._step_to(deadline)
                else:
                    slice_end = cells[e.NOW]  # close enough: nothing hangs on where a slice ends
            elif error == e.OK and cells[e.REASON] == e.RAN:
                hart.waiting = True
            else:
                self._attend(error)

    def step(self) -> None:
        """Run due events, then retire one instruction, enter one trap or pass one gate."""
        cells, hart = self.hart.cells, self.hart
        self.events.run_due(cells[e.NOW])
        if hart.waiting:
            hart.waiting = not hart.wakes()
            return
        interrupt = hart.takeable_interrupt()
        if interrupt is not None:
            hart.trap(interrupt, 0, interrupt=True)
            cells[e.REASON] = e.TRAPPED
            return
        word = hart.instruction()
        waits = word == WFI
        pc = hart.regs[e.PC]
        error = hart.engine.step(length(word or 0))
        reason = cells[e.REASON]
        if reason == e.AT_GATE:
            cells[e.NOW] += GATE_TICKS
            self.on_gate(hart)
        elif error or reason not in (e.RAN, e.TRAPPED):
            self._attend(error)
        elif waits and hart.regs[e.PC] == pc + 4:
            hart.waiting = True

    def _step_to(self, deadline: int) -> None:
        """Step until the deadline, or until the path leaves the block: a step that took no time."""
        cells = self.hart.cells
        while (now := cells[e.NOW]) < deadline and not self.hart.waiting:
            self.step()
            if cells[e.REASON] != e.RAN or cells[e.NOW] == now or self.events.next_ticks < deadline:
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

    def _attend(self, error: int) -> None:
        """Do for the hart at pc what the engine could not."""
        hart, cells = self.hart, self.hart.cells
        reason = cells[e.REASON]
        if reason == e.AT_ILLEGAL:
            self._illegal()
        elif reason == e.AT_TRAP:
            self._enter_trap(cells[e.CAUSE])
        elif reason == e.AT_INTERRUPT:
            number = hart.takeable_interrupt()
            assert number is not None, "the engine stopped for an interrupt that cannot be taken"
            hart.trap(number, 0, interrupt=True)
        elif reason == e.AT_STRADDLE or (error == e.FETCH_UNMAPPED and not self._fetch_faults()):
            self._step_through()
        elif error == e.FETCH_UNMAPPED:
            hart.trap(Access.FETCH.access_fault, hart.regs[e.PC])
        elif error in (e.READ_UNMAPPED, e.WRITE_UNMAPPED):
            self._pay_back()
            self._device_access()
        elif error in (e.INSN_INVALID, e.EXCEPTION):
            self._pay_back()
            if hart.instruction() in EBREAKS:
                hart.trap(CAUSE_BREAKPOINT, hart.regs[e.PC])
            else:
                self._illegal()
        else:
            assert reason in (e.RAN, e.TRAPPED, e.AT_DEADLINE), f"engine error {error}, reason {reason}"

    def _pay_back(self) -> None:
        """Take back the time of the part of the block that did not run, from pc on."""
        cells = self.hart.cells
        left = cells[e.BLOCK_END] - self.hart.regs[e.PC] & (1 << 64) - 1
        cells[e.NOW] -= left

    def _retire(self, length: int) -> None:
        """Step over an instruction that was done in Python."""
        regs = self.hart.regs
        regs[e.PC] = regs[e.PC] + length & (1 << 64) - 1
        self.hart.cells[e.NOW] += length

    def _fetch_faults(self) -> bool:
        return self.hart.instruction() is None or bool(self.hart.cells[e.STEPPING])

    def _step_through(self) -> None:
        """Step until the path leaves straight code: the fault that the block runs into is then at pc."""
        cells = self.hart.cells
        while True:
            now = cells[e.NOW]
            self.step()
            if cells[e.REASON] != e.RAN or cells[e.NOW] == now or self.hart.waiting:
                return
            if self.events.next_ticks <= cells[e.NOW]:
                return

    def _illegal(self) -> None:
        """The engine does not know the instruction: a CSR that the board adds, or a trap."""
        hart = self.hart
        word = hart.instruction()
        if word is not None and self.csrs.execute(hart, word):
            self._retire(4)
        else:
            hart.trap(CAUSE_ILLEGAL, 0)

    def _enter_trap(self, cause: int) -> None:
        """Enter a trap of which the engine gave only the cause; find its address."""
        hart = self.hart
        access = {a.page_fault: a for a in Access}.get(cause)
        tval = 0
        if access is Access.FETCH:
            pc = hart.regs[e.PC]
            tval = pc if self._page_faults(pc) else pc + 2
        elif access is not None:
            tval = self._faulting_va(access)
        if cause == 8:
            cause += hart.privilege
        hart.trap(cause, tval)

    def _page_faults(self, va: int) -> bool:
        try:
            self.hart.fetch_pa(va)
        except TranslationFault:
            return True
        return False

    def _faulting_va(self, access: Access) -> int:
        """stval of a page fault by the instruction at pc, as the engine would set it.

        An access that crosses pages is split by the engine: a load into two aligned ones, a store is
        tried on its second page first.
        """
        hart = self.hart
        op = decode(hart.instruction() or 0)
        assert op is not None, "a load or store fault on an instruction that is neither"
        va = hart.regs[op.base] + op.offset & (1 << 64) - 1
        if (va & 0xFFF) + op.size <= 0x1000:
            return va
        second = (va & ~(op.size - 1)) + op.size
        if access is Access.STORE:
            return second if self._data_faults(second, access) else va
        first = va & ~(op.size - 1)
        return first if self._data_faults(first, access) else second

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
        assert op is not None, "the engine stopped for an access, but pc is on no load or store"
        va = regs[op.base] + op.offset & (1 << 64) - 1
        access = Access.LOAD if op.kind in (Kind.LOAD, Kind.LR) else Access.STORE
        try:
            pa = hart.data_pa(va, access)
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
            hart.trap(fault.cause, fault.va)
        except BusError:
            hart.trap(access.access_fault, va)
        else:
            self._retire(op.length)


def _no_gate(hart: Hart) -> None:
    raise AssertionError(f"a gate at {hart.regs[e.PC]:#x}, but no kernel to take it")
