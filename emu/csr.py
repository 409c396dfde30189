"""CSRs that the board has and the engine lacks: time, and Sstc's stimecmp with menvcfg.

The engine raises an illegal-instruction exception for them; the machine loop brings the instruction
here before it enters a trap.  The counters of cycles and instructions are the other way round: the engine
has them, and they show the host's time, so the board is one without, and both engines see to it that an
access is an illegal instruction.  Source: RISC-V unprivileged specification, chapter 7 (Zicsr) and 8
(Zicntr); privileged specification, section 3.1.11 (mcounteren); the Sstc extension, chapter 2.

    31        20 19  15 14  12 11   7 6     0
    +-----------+------+------+------+-------+
    | CSR       | rs1  | op   | rd   | 1110011
    +-----------+------+------+------+-------+
"""

from collections.abc import Callable
from typing import Final

from emu import engine as e
from emu.clock import PS_PER_TICK, Clock
from emu.events import NEVER, Event, EventQueue
from emu.hart import MACHINE, MASK64, SUPERVISOR, Hart

SYSTEM: Final = 0b1110011
TIME: Final = 0xC01
STIMECMP: Final = 0x14D
MENVCFG: Final = 0x30A
MENVCFG_STCE: Final = 1 << 63
COUNTEREN_TM: Final = 1 << 1
HOST_COUNTERS: Final = tuple(first + n for first in (0xB00, 0xC00) for n in range(32) if n != 1)
"""mcycle, minstret and mhpmcounter3-31, and cycle, instret and hpmcounter3-31."""

MTIME_TICKS: Final = 100_000 // PS_PER_TICK
"""One count of mtime is 100 ns, as on QEMU's virt board."""


class SupervisorTimer:
    """Sstc's comparator: S-mode's timer line is high while time >= stimecmp.

    The line follows stimecmp only; a kernel that does not use it leaves it at its reset value, never.
    """

    def __init__(self, clock: Clock, events: EventQueue, set_level: Callable[[bool], None]) -> None:
        self._clock = clock
        self._events = events
        self._set_level = set_level
        self._event: Event | None = None
        self.compare: int = MASK64

    @property
    def time(self) -> int:
        """The time CSR: counts of 100 ns since power-on."""
        return self._clock.now // MTIME_TICKS

    def set_compare(self, value: int) -> None:
        """Write stimecmp: a count of the time CSR."""
        self.compare = value
        if self._event is not None:
            self._events.cancel(self._event)
            self._event = None
        due = value * MTIME_TICKS
        reached = due <= self._clock.now
        self._set_level(reached)
        if not reached and due < NEVER:
            self._event = self._events.at(due, self._expire)

    def _expire(self) -> None:
        self._event = None
        self._set_level(True)


class AddedCsrs:
    """Executes accesses to the CSRs above."""

    def __init__(self, timer: SupervisorTimer) -> None:
        self._timer = timer
        self.menvcfg = 0

    def execute(self, hart: Hart, word: int) -> bool:
        """Do the Zicsr instruction `word` if it is an allowed access to one of these CSRs."""
        csr, rs1, op, rd = word >> 20, word >> 15 & 31, word >> 12 & 7, word >> 7 & 31
        if word & 0x7F != SYSTEM or op in (0, 4) or not self._allowed(hart, csr):
            return False
        writes = op in (1, 5) or rs1 != 0
        if writes and csr >> 10 == 3:
            return False  # read-only
        old = self._read(csr)
        if writes:
            operand = rs1 if op & 4 else hart.regs[rs1]
            new = {1: operand, 2: old | operand, 3: old & ~operand}[op & 3]
            self._write(csr, new & MASK64)
        if rd:
            hart.regs[rd] = old
        return True

    def _allowed(self, hart: Hart, csr: int) -> bool:
        privilege, regs = hart.privilege, hart.regs
        if privilege == MACHINE:
            return csr in (TIME, STIMECMP, MENVCFG)
        counts = bool(regs[e.MCOUNTEREN] & COUNTEREN_TM)
        if csr == TIME:
            return counts and (privilege == SUPERVISOR or bool(regs[e.SCOUNTEREN] & COUNTEREN_TM))
        return csr == STIMECMP and privilege == SUPERVISOR and counts and bool(self.menvcfg & MENVCFG_STCE)

    def _read(self, csr: int) -> int:
        if csr == TIME:
            return self._timer.time
        return self._timer.compare if csr == STIMECMP else self.menvcfg

    def _write(self, csr: int, value: int) -> None:
        if csr == STIMECMP:
            self._timer.set_compare(value)
        else:
            self.menvcfg = value & MENVCFG_STCE


def touches_host_counter(word: int) -> bool:
    """Whether the instruction `word` reads or writes one of HOST_COUNTERS."""
    return word & 0x7F == SYSTEM and word >> 12 & 3 != 0 and word >> 20 in HOST_COUNTERS
