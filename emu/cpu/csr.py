"""CSRs that the board does instead of the engine: timers, counters, pending interrupts.

The engine has no Sstc, reads the host's clock as a counter, and takes interrupts in the wrong order where
it sees them in mip (docs/engine.md).  So none of these CSRs exists for it: an access is an illegal
instruction, and emu/cpu/exits.py brings it here before it enters a trap.

Source: RISC-V unprivileged specification, chapters 7 (Zicsr) and 8 (Zicntr); privileged specification,
sections 2.1 (CSR numbers), 3.1.9 (mip), 3.1.10 (counters), 3.1.11 (mcounteren); the Sstc extension, ch. 2.

    31        20 19  15 14  12 11   7 6     0
    +-----------+------+------+------+-------+
    | CSR       | rs1  | op   | rd   | 1110011     the CSR's bits 11:10 are 3 if it is read-only,
    +-----------+------+------+------+-------+     9:8 the lowest privilege that has it
"""

from collections.abc import Callable
from typing import Final

from emu.clock import PS_PER_TICK, Clock
from emu.cpu import engine as e
from emu.cpu.hart import EVEN, MACHINE, MASK64, NO_RESERVATION, S_EXTERNAL, S_SOFT, S_TIMER, USER, Hart
from emu.events import Event, EventQueue

SYSTEM: Final = 0b1110011

SEPC: Final = 0x141
SIP: Final = 0x144
STIMECMP: Final = 0x14D
MENVCFG: Final = 0x30A
MEPC: Final = 0x341
MIP: Final = 0x344
PMP: Final = (*range(0x3A0, 0x3A4), *range(0x3B0, 0x3C0))
MCYCLE: Final = 0xB00
MINSTRET: Final = 0xB02
MHPMCOUNTERS: Final = range(0xB03, 0xB20)
CYCLE: Final = 0xC00
TIME: Final = 0xC01
INSTRET: Final = 0xC02
HPMCOUNTERS: Final = range(0xC03, 0xC20)

TAKEN: Final = frozenset(
    (SIP, STIMECMP, MENVCFG, MIP, *PMP, MCYCLE, MINSTRET, *MHPMCOUNTERS, CYCLE, TIME, INSTRET, *HPMCOUNTERS)
)
"""All CSRs that the engine must not have."""

EPCS: Final = {SEPC: e.SEPC, MEPC: e.MEPC}
"""Where the engine has the CSRs that hold the pc of a trap, of which bit 0 is always 0."""

MENVCFG_STCE: Final = 1 << 63
COUNTEREN_TM: Final = 1 << 1
SIP_WRITABLE: Final = 1 << S_SOFT
MIP_WRITABLE: Final = 1 << S_SOFT | 1 << S_TIMER | 1 << S_EXTERNAL

MTIME_TICKS: Final = 100_000 // PS_PER_TICK
"""One count of mtime is 100 ns, as on QEMU's virt board."""

CYCLE_TICKS: Final = 4
"""One count of cycle and of instret is 1 ns, the time of an instruction of 4 bytes."""


def takes(word: int) -> bool:
    """Whether instruction `word` is an access to one of these CSRs, allowed or not."""
    return word & 0x7F == SYSTEM and bool(word >> 12 & 3) and word >> 20 & 0xFFF in TAKEN


def writes_epc(word: int) -> bool:
    """Whether `word` writes sepc or mepc, allowed or not: the library keeps bit 0 of what is written.

    The fast engine has the library taught better; with the public one `Exits` does these too.
    """
    is_write = word >> 12 & 3 == 1 or (word >> 12 & 3 and word >> 15 & 31)
    return word & 0x7F == SYSTEM and bool(is_write) and word >> 20 & 0xFFF in EPCS


class SupervisorTimer:
    """Sstc's comparator: S-mode's timer line is high while time >= stimecmp.

    The line follows stimecmp only; a kernel that does not use it leaves it at its reset value, never.
    `time` does not stop at 64 bits, which are 58,000 years, and the board's own kernel may compare with more;
    a guest's CSRs have the low 64 bits.
    """

    def __init__(self, clock: Clock, events: EventQueue, set_level: Callable[[bool], None]) -> None:
        self.clock: Final = clock
        self._events = events
        self._set_level = set_level
        self._event: Event | None = None
        self.compare: int = MASK64  # which is never

    @property
    def time(self) -> int:
        """The time CSR: counts of 100 ns since power-on."""
        return self.clock.now // MTIME_TICKS

    def set_compare(self, value: int) -> None:
        """Write stimecmp: a count of the time CSR."""
        self.compare = value
        if self._event is not None:
            self._events.cancel(self._event)
            self._event = None
        due = value * MTIME_TICKS
        reached = due <= self.clock.now
        self._set_level(reached)
        if not reached and value != MASK64:
            self._event = self._events.at(due, self._expire)

    def _expire(self) -> None:
        self._event = None
        self._set_level(True)


class AddedCsrs:
    """Executes accesses to the CSRs above, on one hart."""

    def __init__(self, timer: SupervisorTimer) -> None:
        self._timer = timer
        self.menvcfg = 0
        self._count_offsets = {MCYCLE: 0, MINSTRET: 0}  # what the guest wrote, less the count then

    def execute(self, hart: Hart, word: int) -> bool:
        """Do the Zicsr instruction `word` if that is an allowed access to one of these or writes xepc."""
        csr, rs1, op, rd = word >> 20, word >> 15 & 31, word >> 12 & 7, word >> 7 & 31
        if not (takes(word) or writes_epc(word)) or not self._allowed(hart, csr):
            return False
        writes = op & 3 == 1 or rs1 != 0
        if writes and csr >> 10 == 3:
            return False
        old = self._read(hart, csr)
        if writes:
            operand = rs1 if op & 4 else hart.regs[rs1]
            base = hart.software if csr == MIP else old
            new = {1: operand, 2: base | operand, 3: base & ~operand}[op & 3]
            self._write(hart, csr, new & MASK64)
        if rd:
            hart.regs[rd] = old
        return True

    def _allowed(self, hart: Hart, csr: int) -> bool:
        privilege, regs = hart.privilege, hart.regs
        if privilege < csr >> 8 & 3:
            return False
        if privilege == MACHINE:
            return True
        if csr == STIMECMP:
            return bool(regs[e.MCOUNTEREN] & COUNTEREN_TM and self.menvcfg & MENVCFG_STCE)
        if csr >= CYCLE:
            enabled = regs[e.MCOUNTEREN]
            if privilege == USER:
                enabled &= regs[e.SCOUNTEREN]
            return bool(enabled >> (csr & 31) & 1)
        assert csr in (SIP, SEPC) and privilege != USER, f"CSR {csr:#x} is M-mode's alone"
        return True

    def _read(self, hart: Hart, csr: int) -> int:
        if csr == TIME:
            return self._timer.time & MASK64
        if csr == STIMECMP:
            return self._timer.compare & MASK64
        if csr == MENVCFG:
            return self.menvcfg
        if csr == MIP:
            return hart.regs[e.MIP]
        if csr == SIP:
            return hart.regs[e.MIP] & hart.regs[e.MIDELEG]
        if csr in EPCS:
            return hart.regs[EPCS[csr]]
        offset = self._count_offsets.get(MCYCLE | csr & 31) if csr >= MCYCLE else None
        return 0 if offset is None else self._timer.clock.now // CYCLE_TICKS + offset & MASK64

    def _write(self, hart: Hart, csr: int, value: int) -> None:
        if csr == STIMECMP:
            self._timer.set_compare(value)
        elif csr == MENVCFG:
            self.menvcfg = value & MENVCFG_STCE
        elif csr == MIP:
            hart.set_software(MIP_WRITABLE, value)
        elif csr == SIP:
            hart.set_software(SIP_WRITABLE & hart.regs[e.MIDELEG], value)
        elif csr in EPCS:
            hart.regs[EPCS[csr]] = value & EVEN
            hart.regs[e.LOAD_RES] = NO_RESERVATION  # neither engine keeps it
        elif csr in self._count_offsets:
            self._count_offsets[csr] = value - self._timer.clock.now // CYCLE_TICKS
