"""Exits of the engine: what stops it at an instruction, and is done for the hart in Python.

The engine gives an instruction up when there is no RAM at its address (a device, or nothing), when it knows
no such CSR, or when it found an exception without its address.  `Exits.handle` does the instruction, or
enters the trap that it raises; the core (emu/cpu/core.py) calls it after each run and step of the engine.
The hart stands on the instruction then, or on the next where the trap has been entered.
"""

from typing import Final

from emu.bus import Bus, BusError
from emu.cpu import engine as e
from emu.cpu.csr import AddedCsrs
from emu.cpu.decode import Kind, decode, is_fence_i, may_write_float
from emu.cpu.hart import MACHINE, MASK64, Hart
from emu.cpu.sv39 import Access, TranslationFault
from emu.ram import PAGE_SIZE

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


class Exits:
    """Handles the exits of one hart's engine.  Raises TrapLoop."""

    def __init__(self, hart: Hart, bus: Bus, csrs: AddedCsrs) -> None:
        self._hart: Final = hart
        self._bus: Final = bus
        self._csrs: Final = csrs

    def handle(self, error: int, *, stepped: bool = False) -> bool:
        """Do for the hart at pc what the engine could not; `stepped`: it tried that one instruction alone.

        True if the block at pc is to be stepped through: the engine cannot run it whole.
        """
        reason = self._hart.cells[e.REASON]
        if error in (e.READ_UNMAPPED, e.WRITE_UNMAPPED):
            self.pay_back()
            self._device_access()
        elif error == e.FETCH_UNMAPPED:
            return self._fetch_unmapped(stepped)
        elif error in (e.INSN_INVALID, e.EXCEPTION):
            self.pay_back()
            self._break_point()
        elif error != e.OK:
            raise AssertionError(f"the engine does not give error {error}")
        elif reason == e.RAN:
            self.pay_back()
            self._hart.waiting = True
        elif reason == e.AT_ILLEGAL:
            self._illegal()
        elif reason == e.AT_TRAP:
            self._trap_for(self._hart.cells[e.CAUSE])
        elif reason == e.AT_STRADDLE:
            return True
        elif reason == e.TRAP_LOOP:
            raise TrapLoop(self._hart)
        else:
            assert reason in (e.TRAPPED, e.AT_INTERRUPT), f"nothing is to be done for reason {reason}"
        return False

    def pay_back(self) -> None:
        """Take back the time of the part of the block that did not run, from pc on."""
        cells = self._hart.cells
        cells[e.NOW] -= cells[e.BLOCK_END] - self._hart.regs[e.PC] & MASK64

    def _trap(self, cause: int, tval: int) -> None:
        """Enter the trap of an exception."""
        regs = self._hart.regs
        before = regs[e.PC], regs[e.PRIV]
        self._hart.trap(cause, tval)
        if before == (regs[e.PC], regs[e.PRIV]):
            raise TrapLoop(self._hart)

    def _retire(self, length: int) -> None:
        """Step over an instruction that was done in Python."""
        regs = self._hart.regs
        regs[e.PC] = regs[e.PC] + length & MASK64
        self._hart.cells[e.NOW] += length

    def _break_point(self) -> None:
        """The engine has stopped at an ebreak, or at an instruction that it will not run."""
        if self._hart.instruction() in EBREAKS:
            self._trap(CAUSE_BREAKPOINT, self._hart.regs[e.PC])
        else:
            self._illegal()

    def _illegal(self) -> None:
        """The engine will not run the instruction: a CSR that the board does, a fence.i, or a trap.

        Or it is the first that may write floating-point state: once that is marked as dirty, it will run.
        """
        hart = self._hart
        word = hart.instruction()
        if word is not None and is_fence_i(word):
            hart.engine.drop_code(hart.ram.base, hart.ram.end)
            self._retire(4)
        elif word is not None and self._csrs.execute(hart, word):
            self._retire(4)
        elif word is None or not may_write_float(word) or not hart.mark_float():
            self._trap(CAUSE_ILLEGAL, 0)

    def _fetch_unmapped(self, stepped: bool) -> bool:
        """There is no RAM at pc, or at an instruction further on in the block that straddles two pages.

        True if it is the latter, so that the block is to be stepped through.
        """
        hart = self._hart
        cells = hart.cells
        if not stepped and (cells[e.NOW] >= cells[e.DEADLINE] or hart.takeable_interrupt() is not None):
            return False  # these come first
        try:
            hart.fetch()
        except TranslationFault as fault:
            self._trap(fault.cause, fault.va)
            return False
        assert not stepped, "an instruction can be fetched, but the engine cannot"
        return True

    def _trap_for(self, cause: int) -> None:
        """Enter a trap of which the engine gave only the cause; find its address."""
        hart = self._hart
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
        op = decode(self._hart.instruction() or 0)
        if op is None:
            self._fetch_again()
            return
        va = self._hart.regs[op.base] + op.offset & MASK64
        access = _access(op.kind)
        if cause in (CAUSE_MISALIGNED_LOAD, CAUSE_MISALIGNED_STORE):
            self._trap(CAUSE_MISALIGNED_LOAD if access is Access.LOAD else CAUSE_MISALIGNED_STORE, va)
            return
        assert cause in (Access.LOAD.page_fault, Access.STORE.page_fault), f"an unknown cause {cause}"
        if not self._data_faults(va, access):
            va = (va | PAGE_SIZE - 1) + 1 & MASK64  # the fault is on the second page
        self._trap(access.page_fault, va)

    def _fetch_again(self) -> None:
        """The engine ran an instruction that is not at pc: without an sfence.vma its TLB had an old page.

        A TLB may forget at any time, so it does, before that instruction.
        """
        self._hart.engine.flush_tlb()
        try:
            self._hart.fetch()
        except TranslationFault as fault:
            self._trap(fault.cause, fault.va)

    def _data_faults(self, va: int, access: Access) -> bool:
        try:
            self._hart.data_pa(va, access)
        except TranslationFault:
            return True
        return False

    def _device_access(self) -> None:
        """Do a load or store that the engine stopped at because there is no RAM at its address."""
        hart, regs = self._hart, self._hart.regs
        op = decode(hart.instruction() or 0)
        if op is None:
            self._fetch_again()
            return
        va = regs[op.base] + op.offset & MASK64
        access = _access(op.kind)
        try:
            pa = hart.data_pa(va, access)
            if va % PAGE_SIZE + op.size > PAGE_SIZE:
                raise BusError(pa)  # RAM on one page does not help
            if op.kind is Kind.LOAD:
                raw = self._bus.load(pa, op.size)
                if op.is_float:
                    regs[e.F + op.rd] = op.register_value(raw)
                elif op.rd:
                    regs[op.rd] = op.register_value(raw)
            elif op.kind is Kind.STORE:
                self._bus.store(pa, op.size, regs[e.F + op.rs2 if op.is_float else op.rs2])
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
