"""The reference engine: the same behaviour from the public interface of Unicorn alone.

It runs wherever Unicorn does, with Python hooks, and is slow.  What the fast engine does natively (the
clock, the stop before a deadline, entering traps) is done here in Python to the same effect; the tests
compare the two.  Traps are not entered in the hook: it notes the cause and stops, and the machine loop
enters the trap.
"""

from array import array
from typing import Any, Final

import unicorn
from unicorn import riscv_const

from emu import engine as e
from emu.csr import SYSTEM, touches_host_counter
from emu.fast import UC_CTL_TLB_FLUSH, make_uc
from emu.hart import M_EXTERNAL, M_SOFT, M_TIMER, MACHINE, MASK64, SUPERVISOR, Hart
from emu.ram import Ram
from emu.sv39 import TranslationFault

FETCH_ACCESS: Final = 1
ILLEGAL: Final = 2
ECALL: Final = 8
FETCH_PAGE: Final = 12
MACHINE_LINES: Final = 1 << M_SOFT | 1 << M_TIMER | 1 << M_EXTERNAL

_CSRS: Final = {
    e.FRM: "FRM", e.MHARTID: "MHARTID", e.MSTATUS: "MSTATUS", e.MIP: "MIP", e.MIE: "MIE",
    e.MIDELEG: "MIDELEG", e.SATP: "SATP", e.STVAL: "STVAL", e.MTVAL: "MTVAL", e.MEDELEG: "MEDELEG",
    e.STVEC: "STVEC", e.SEPC: "SEPC", e.SCAUSE: "SCAUSE", e.MTVEC: "MTVEC", e.MEPC: "MEPC",
    e.MCAUSE: "MCAUSE", e.SCOUNTEREN: "SCOUNTEREN", e.MCOUNTEREN: "MCOUNTEREN",
    e.SSCRATCH: "SSCRATCH", e.MSCRATCH: "MSCRATCH",
}  # fmt: skip


class _Registers:
    """`regs` over reg_read and reg_write: a CSR is only reached with the privilege raised."""

    def __init__(self, uc: unicorn.Uc) -> None:
        self._uc = uc
        self._plain = {e.X + i: riscv_const.UC_RISCV_REG_X0 + i for i in range(32)}
        self._plain |= {e.F + i: riscv_const.UC_RISCV_REG_F0 + i for i in range(32)}
        self._plain |= {e.PC: riscv_const.UC_RISCV_REG_PC, e.PRIV: riscv_const.UC_RISCV_REG_PRIV}
        self._csrs = {i: getattr(riscv_const, f"UC_RISCV_REG_{name}") for i, name in _CSRS.items()}

    def __getitem__(self, index: int) -> int:
        register = self._plain.get(index)
        if register is not None:
            return int(self._uc.reg_read(register))
        with _AsMachine(self._uc):
            return int(self._uc.reg_read(self._csrs[index]))

    def __setitem__(self, index: int, value: int) -> None:
        register = self._plain.get(index)
        if register is not None:
            self._uc.reg_write(register, value)
            return
        with _AsMachine(self._uc):
            self._uc.reg_write(self._csrs[index], value)


class _AsMachine:
    """Raise the hart to M-mode for the duration of a block."""

    def __init__(self, uc: unicorn.Uc) -> None:
        self._uc = uc

    def __enter__(self) -> None:
        self._privilege = self._uc.reg_read(riscv_const.UC_RISCV_REG_PRIV)
        if self._privilege != MACHINE:
            self._uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, MACHINE)

    def __exit__(self, *_: object) -> None:
        if self._privilege != MACHINE:
            self._uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, self._privilege)


class PublicEngine:
    """Engine over the public interface; see emu.engine.Engine."""

    name = "public"

    def __init__(self, ram: Ram) -> None:
        self._uc = make_uc(ram)
        self._buffer = array("q", [0] * e.CELLS)
        self.cells: e.Words = memoryview(self._buffer)
        self.regs: e.Words = _Registers(self._uc)
        self._hart = Hart(self, ram)  # to decode what stands at pc; its lines are kept as the board's
        self._ram = ram
        self._parcels = ram.bytes.cast("H")
        self._pages: dict[int, int] = {}  # where in RAM the pages of code are that this run has met
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block, begin=1, end=0)
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_trap, begin=1, end=0)

    def run(self) -> int:
        return self._emulate(count=0)

    def step(self, length: int) -> int:
        page = self.regs[e.PC] & ~0xFFF
        self._uc.ctl_remove_cache(page, page + 0x1000)
        self.cells[e.STEPPING] = length
        try:
            return self._emulate(count=1)
        finally:
            self.cells[e.STEPPING] = 0
            self._uc.ctl_flush_tb()

    def set_pending(self, mask: int, bits: int) -> None:
        self._hart.lines = self._hart.lines & ~mask | bits
        self.regs[e.MIP] = self.regs[e.MIP] & ~mask | bits  # the engine drops M-level bits: see _on_block

    def flush_tlb(self) -> None:
        self._uc.ctl(UC_CTL_TLB_FLUSH & 0xFF, unicorn.UC_CTL_IO_WRITE)

    def drop_code(self, low: int, high: int) -> None:
        # The public call takes virtual addresses of the space that happens to be in force.
        self._uc.ctl_flush_tb()

    def _emulate(self, count: int) -> int:
        self.cells[e.REASON] = e.RAN
        self._pages.clear()
        try:
            self._uc.emu_start(self.regs[e.PC], 0, count=count)
        except unicorn.UcError as error:
            return int(error.errno)
        return e.OK

    def _stop(self, reason: int) -> None:
        self.cells[e.REASON] = reason
        self._uc.emu_stop()

    def _on_block(self, uc: unicorn.Uc, address: int, size: int, _: Any) -> None:
        cells = self.cells
        if self._hart.lines & MACHINE_LINES and self._hart.takeable_interrupt() is not None:
            self._stop(e.AT_INTERRUPT)
            return
        stepping = cells[e.STEPPING]
        if stepping == e.STEPPED:
            self._uc.emu_stop()
            return
        length = stepping or size  # `size` is that of a whole block
        if not stepping and cells[e.NOW] + length > cells[e.DEADLINE]:
            self._stop(e.AT_DEADLINE)
            return
        if length >= 4 and self._may_touch_counter(address + length - 4):
            self._stop(e.AT_ILLEGAL if length == 4 else e.AT_STRADDLE)
            return
        if stepping:
            cells[e.STEPPING] = e.STEPPED
        cells[e.NOW] += length
        cells[e.BLOCK_END] = _signed(address + length)

    def _may_touch_counter(self, va: int) -> bool:
        """Whether a block whose last 4 bytes are at `va` ends in an access to the host's counters.

        Only the last instruction of a block can be one.  If those bytes are no instruction, a yes may be
        wrong, and costs time only.
        """
        low = self._parcel(va)
        return low & 0x7F == SYSTEM and touches_host_counter(low | self._parcel(va + 2) << 16)

    def _parcel(self, va: int) -> int:
        """The 16 bits of code at `va`; 0 where there are none."""
        offset = self._pages.get(va >> 12)
        if offset is None:
            offset = self._pages[va >> 12] = self._page_offset(va)
        return self._parcels[offset + (va & 0xFFF) >> 1] if offset >= 0 else 0

    def _page_offset(self, va: int) -> int:
        try:
            offset = self._hart.fetch_pa(va & ~0xFFF) - self._ram.base
        except TranslationFault:
            return -1
        return offset if 0 <= offset < self._ram.size else -1

    def _on_trap(self, uc: unicorn.Uc, cause: int, _: Any) -> None:
        # The engine has moved pc 4 on before it calls, whatever the instruction's length.
        cells = self.cells
        pc = self.regs[e.PC] - 4 & MASK64
        self.regs[e.PC] = pc
        cells[e.CAUSE] = cause
        if cause in (FETCH_PAGE, FETCH_ACCESS):
            self._stop(e.AT_TRAP if cells[e.STEPPING] or self._faults_at(pc) else e.AT_STRADDLE)
            return
        cells[e.NOW] -= _signed(cells[e.BLOCK_END] - pc)
        if cause == ECALL and self.regs[e.PRIV] == SUPERVISOR and cells[e.GATE_LOW] <= pc < cells[e.GATE_HIGH]:
            self._stop(e.AT_GATE)
        else:
            self._stop(e.AT_ILLEGAL if cause == ILLEGAL else e.AT_TRAP)

    def _faults_at(self, va: int) -> bool:
        try:
            self._hart.fetch_pa(va)
        except TranslationFault:
            return True
        return False


def _signed(word: int) -> int:
    """A 64-bit word as the signed number that a cell holds."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)
