"""A hart as the privileged specification describes it: registers, traps, interrupt lines, waiting.

The engine runs the instructions; this is everything about the hart that the engine leaves to Python:
entering traps that it did not enter itself, the level of the interrupt lines, where pc is in physical
memory.  Used by the machine loop, by the kernel (registers, satp, flushes) and by debuggers.
Source: RISC-V privileged specification, sections 3.1.6 (mstatus), 3.1.8 (delegation), 3.1.9 (mip, mie).

    mstatus     12  11   8     7     5     3     1
              +--------+---+------+------+-----+-----+
              |  MPP   |SPP| MPIE | SPIE | MIE | SIE |
              +--------+---+------+------+-----+-----+
"""

from collections.abc import Callable
from typing import Final

from emu.clock import Clock
from emu.cpu import engine as e
from emu.cpu.sv39 import Access, TranslationFault, translate
from emu.ram import PAGE_SIZE, Ram

USER: Final = 0
SUPERVISOR: Final = 1
MACHINE: Final = 3

MSTATUS_SIE: Final = 1 << 1
MSTATUS_MIE: Final = 1 << 3
MSTATUS_SPIE: Final = 1 << 5
MSTATUS_MPIE: Final = 1 << 7
MSTATUS_SPP: Final = 1 << 8
MSTATUS_MPP: Final = 3 << 11
MSTATUS_FS: Final = 3 << 13  # off, initial, clean or (both bits) dirty: floating-point state has changed
MSTATUS_SD: Final = 1 << 63  # says so too
MSTATUS_MPRV: Final = 1 << 17
MSTATUS_SUM: Final = 1 << 18
MSTATUS_MXR: Final = 1 << 19

INTERRUPT: Final = 1 << 63
S_SOFT, M_SOFT, S_TIMER, M_TIMER, S_EXTERNAL, M_EXTERNAL = 1, 3, 5, 7, 9, 11
PRIORITY: Final = (M_EXTERNAL, M_SOFT, M_TIMER, S_EXTERNAL, S_SOFT, S_TIMER)
"""Interrupts in the order in which they are taken, highest first (section 3.1.9)."""

WFI: Final = 0x1050_0073
MASK64: Final = (1 << 64) - 1
EVEN: Final = MASK64 - 1  # of the bits of an instruction's address: pc, sepc and mepc hold no other
NO_RESERVATION: Final = MASK64


class Hart:
    """One hart: `regs` by the indices of emu.cpu.engine, and what the engine does not do itself."""

    def __init__(self, engine: e.Engine, ram: Ram) -> None:
        self.engine: Final = engine
        self.ram: Final = ram
        self.regs: Final = engine.regs
        self.cells: Final = engine.cells
        assert isinstance(engine.cells, memoryview), "the clock shares the engine's cells"
        self.clock: Final = Clock(engine.cells)
        self.waiting = False  # in a wfi: runs no instruction until an interrupt is pending
        # mip is what the devices hold high, or what the guest wrote into it.
        self.lines = 0
        self.software = 0

    @property
    def privilege(self) -> int:
        """0 user, 1 supervisor, 3 machine."""
        return self.regs[e.PRIV]

    def line(self, number: int) -> Callable[[bool], None]:
        """The input for interrupt `number` (a bit of mip), to hand to a device."""
        bit = 1 << number

        def set_level(level: bool) -> None:
            lines = self.lines | bit if level else self.lines & ~bit
            if lines != self.lines:
                self.lines = lines
                self.regs[e.MIP] = lines | self.software

        return set_level

    def set_software(self, mask: int, bits: int) -> None:
        """Set the bits of `mask` that the guest has in mip to those of `bits`."""
        self.software = self.software & ~mask | bits & mask
        self.regs[e.MIP] = self.lines | self.software

    def wakes(self) -> bool:
        """Whether a wfi ends: an interrupt is pending that mie lets through, enabled or not."""
        return bool(self.regs[e.MIP] & self.regs[e.MIE])

    def takeable_interrupt(self) -> int | None:
        """The interrupt that is to be taken before the next instruction, if there is one."""
        regs = self.regs
        pending = regs[e.MIP] & regs[e.MIE]
        if not pending:
            return None
        privilege, mstatus, mideleg = regs[e.PRIV], regs[e.MSTATUS], regs[e.MIDELEG]
        machine, supervisor = pending & ~mideleg, pending & mideleg
        if machine and (privilege < MACHINE or mstatus & MSTATUS_MIE):
            return next(n for n in PRIORITY if machine >> n & 1)
        if supervisor and (privilege < SUPERVISOR or (privilege == SUPERVISOR and mstatus & MSTATUS_SIE)):
            return next(n for n in PRIORITY if supervisor >> n & 1)
        return None

    def take_interrupt(self) -> bool:
        """Enter the trap of the interrupt that is to be taken now; False if there is none."""
        number = self.takeable_interrupt()
        if number is None:
            return False
        self.trap(number, 0, interrupt=True)
        return True

    def trap(self, cause: int, tval: int, *, interrupt: bool = False) -> None:
        """Enter a trap at the current pc: to S-mode where delegated, else to M-mode.

        An exception costs TRAP_TICKS.  The engine's reservation for SC is lost, as with any trap.
        """
        regs = self.regs
        privilege, mstatus = regs[e.PRIV], regs[e.MSTATUS]
        delegated = regs[e.MIDELEG if interrupt else e.MEDELEG] >> cause & 1
        code = cause | INTERRUPT if interrupt else cause
        regs[e.PRIV] = MACHINE  # the public interface refuses CSR writes from below
        if privilege <= SUPERVISOR and delegated:
            regs[e.SCAUSE], regs[e.SEPC], regs[e.STVAL] = code, regs[e.PC], tval
            mstatus = _move(mstatus, MSTATUS_SIE, MSTATUS_SPIE)
            mstatus = mstatus | MSTATUS_SPP if privilege == SUPERVISOR else mstatus & ~MSTATUS_SPP
            vector, target = regs[e.STVEC], SUPERVISOR
        else:
            regs[e.MCAUSE], regs[e.MEPC], regs[e.MTVAL] = code, regs[e.PC], tval
            mstatus = _move(mstatus, MSTATUS_MIE, MSTATUS_MPIE)
            mstatus = mstatus & ~MSTATUS_MPP | privilege << 11
            vector, target = regs[e.MTVEC], MACHINE
        regs[e.MSTATUS] = mstatus
        vectored = 4 * cause if interrupt and vector & 3 == 1 else 0
        regs[e.PC] = (vector & ~3) + vectored & MASK64
        regs[e.PRIV] = target
        regs[e.LOAD_RES] = NO_RESERVATION
        if not interrupt:
            self.cells[e.NOW] += e.TRAP_TICKS

    def has_float(self) -> bool:
        """Whether floating point is switched on."""
        return self.regs[e.MSTATUS] & MSTATUS_FS != 0

    def mark_float(self) -> bool:
        """Mark floating-point state as dirty, where it is on and not marked yet; whether that was so.

        The reservation for SC is lost, as the public interface cannot write mstatus without.
        """
        mstatus = self.regs[e.MSTATUS]
        if mstatus & MSTATUS_FS in (0, MSTATUS_FS):
            return False
        self.regs[e.MSTATUS] = mstatus | MSTATUS_FS | MSTATUS_SD
        self.regs[e.LOAD_RES] = NO_RESERVATION
        return True

    def data_pa(self, va: int, access: Access) -> int:
        """Physical address of a load or store by the hart as it stands; raises TranslationFault."""
        regs = self.regs
        mstatus, privilege = regs[e.MSTATUS], regs[e.PRIV]
        if privilege == MACHINE and mstatus & MSTATUS_MPRV:
            privilege = mstatus >> 11 & 3
        if privilege == MACHINE:
            return va
        return translate(
            self.ram,
            regs[e.SATP],
            va,
            access,
            user=privilege == USER,
            sum_=bool(mstatus & MSTATUS_SUM),
            mxr=bool(mstatus & MSTATUS_MXR),
        )

    def fetch_pa(self, va: int) -> int:
        """Physical address of an instruction at `va`; raises TranslationFault."""
        privilege = self.regs[e.PRIV]
        if privilege == MACHINE:
            return va
        return translate(self.ram, self.regs[e.SATP], va, Access.FETCH, user=privilege == USER)

    def fetch(self) -> int:
        """The 16 or 32 bits at pc; raises TranslationFault."""
        pc = self.regs[e.PC]
        offset = self._offset(pc)
        ram = self.ram.bytes
        low = ram[offset] | ram[offset + 1] << 8
        if low & 3 != 3:
            return low
        if pc & PAGE_SIZE - 1 == PAGE_SIZE - 2:
            offset = self._offset(pc + 2 & MASK64) - 2
        return low | ram[offset + 2] << 16 | ram[offset + 3] << 24

    def instruction(self) -> int | None:
        """The 16 or 32 bits at pc, or None where they cannot be fetched."""
        try:
            return self.fetch()
        except TranslationFault:
            return None

    def _offset(self, va: int) -> int:
        """Where in RAM the 16 bits are that are fetched from `va`; raises TranslationFault."""
        pa = self.fetch_pa(va)
        if not self.ram.holds(pa, 2):
            raise TranslationFault(va, Access.FETCH.access_fault)
        return pa - self.ram.base


def _move(mstatus: int, enable: int, previous: int) -> int:
    """Save an interrupt-enable bit in its `previous` bit and clear it."""
    saved = mstatus | previous if mstatus & enable else mstatus & ~previous
    return saved & ~enable
