"""The registers of a process, as a debugger reads and writes them.

Those of the process that the hart works for are the hart's own, in the kernel's part of a trap too; those of
any other process are its program's, from the trapframe.  There is one set of CSRs, the hart's; only satp and
the privilege are given as they will be when the process runs.
"""

from typing import TYPE_CHECKING, Final

from emu.cpu import engine as e
from emu.cpu.hart import EVEN, MACHINE, MASK64, MSTATUS_FS, MSTATUS_SD, NO_RESERVATION, SUPERVISOR, USER
from kernel.proc import Process
from kernel.thread import TF_EPC, TF_RA
from orrery.machine.registers import S_VIEWS

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

CSRS: Final = (
    "sstatus", "sie", "sip", "stvec", "sscratch", "sepc", "scause", "stval", "satp",
    "mstatus", "medeleg", "mideleg", "mie", "mip", "mtvec", "mscratch", "mepc", "mcause", "mtval",
)  # fmt: skip
NAMES: Final = (*(f"x{i}" for i in range(32)), "pc", *(f"f{i}" for i in range(32)), *CSRS, "priv")
"""All registers in the order in which they are given, taken and numbered."""

PC: Final = NAMES.index("pc")
PRIV: Final = NAMES.index("priv")
SATP: Final = NAMES.index("satp")
INDICES: Final = tuple(S_VIEWS[name][0] if name in S_VIEWS else e.NAMES[name] for name in NAMES)
VIEWED: Final = tuple((NAMES.index(name), mask) for name, (_, mask) in S_VIEWS.items())
_WRITABLE: Final = dict.fromkeys(("pc", "sepc", "mepc"), EVEN)
"""The bits that a value can have, where those are not all."""
PRIVILEGES: Final = (USER, SUPERVISOR, MACHINE)


class ProcessRegisters:
    """Of `machine`, which stands still."""

    def __init__(self, machine: "Machine") -> None:
        self._hart: Final = machine.board.hart

    def read(self, p: Process | None) -> list[int]:
        """The values for NAMES: the hart's for None, else those of the program that `p` runs."""
        regs = self._hart.regs
        values = [regs[index] for index in INDICES]
        for i, mask in VIEWED:
            values[i] &= regs[e.MIDELEG] if mask is None else mask
        if p is not None:
            values[1:PC] = p.thread.tf[TF_RA : TF_RA + PC - 1].tolist()
            values[PC], values[SATP], values[PRIV] = p.thread.tf[TF_EPC], p.space.satp, USER
        return values

    def write(self, p: Process | None, index: int, value: int) -> bool:
        """Set the register with this number in NAMES; False where that cannot be."""
        if not 0 <= index < len(NAMES) or not 0 <= value <= MASK64:
            return False
        if index == 0:
            return True
        if p is None:
            return self._write_live(NAMES[index], value)
        if index > PC:
            return False
        p.thread.tf[TF_EPC if index == PC else TF_RA + index - 1] = value & _WRITABLE.get(
            NAMES[index], MASK64
        )
        return True

    def _write_live(self, name: str, value: int) -> bool:
        regs, hart = self._hart.regs, self._hart
        if name in ("mip", "sip") or (name == "priv" and value not in PRIVILEGES):
            return False  # the lines that devices hold high are theirs
        if name in S_VIEWS:
            register, mask = S_VIEWS[name]
            mask = regs[e.MIDELEG] if mask is None else mask
            value = regs[register] & ~mask | value & mask
        else:
            register = e.NAMES[name]
        if register == e.MSTATUS:
            value = value & ~MSTATUS_SD | (MSTATUS_SD if value & MSTATUS_FS == MSTATUS_FS else 0)
        regs[register] = value & _WRITABLE.get(name, MASK64)
        regs[e.LOAD_RES] = NO_RESERVATION
        if name == "pc":
            hart.waiting = False
        if name in ("satp", "sstatus", "mstatus", "priv"):
            hart.engine.flush_tlb()
        return True
