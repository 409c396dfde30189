"""The reference engine: the same behaviour from the public interface of Unicorn alone.

It runs wherever Unicorn does, with Python hooks, and is slow.  What the fast engine does natively (the
clock, the stop before a deadline, entering traps) is done here in Python to the same effect; the tests
compare the two.  Traps are not entered in the hook: it notes the cause and stops, and emu/cpu/exits.py enters
the trap.  Instructions that are done there, accesses to the board's own CSRs and fence.i, always end a block,
and such a block is not entered whole.  Code that was written through another mapping of its page is seen
only after a fence.i; the fast engine sees it at once, as QEMU does.
"""

from array import array
from collections.abc import Sequence
from typing import Any, Final

from emu.cpu import engine as e
from emu.cpu.csr import SYSTEM, takes, writes_epc
from emu.cpu.decode import is_fence_i, is_float, length, may_write_float
from emu.cpu.hart import EVEN, MACHINE, MASK64, MSTATUS_FS, SUPERVISOR, USER, Hart
from emu.cpu.library import CTL_TLB_FLUSH, make_uc, riscv_const, unicorn
from emu.cpu.sv39 import TranslationFault
from emu.ram import Ram

FENCE: Final = 0x0F  # opcode
FETCH_ACCESS: Final = 1
ILLEGAL: Final = 2
ECALL: Final = 8
FETCH_PAGE: Final = 12
C_JUMP_SIZE: Final = 2
SRET: Final = 0x1020_0073
MRET: Final = 0x3020_0073
NO_BLOCK: Final = -1
BLOCKS_KNOWN_MAX: Final = 4096

_CSRS: Final = {
    e.FRM: "FRM", e.MHARTID: "MHARTID", e.MSTATUS: "MSTATUS", e.MIE: "MIE",
    e.MIDELEG: "MIDELEG", e.SATP: "SATP", e.STVAL: "STVAL", e.MTVAL: "MTVAL", e.MEDELEG: "MEDELEG",
    e.STVEC: "STVEC", e.SEPC: "SEPC", e.SCAUSE: "SCAUSE", e.MTVEC: "MTVEC", e.MEPC: "MEPC",
    e.MCAUSE: "MCAUSE", e.SCOUNTEREN: "SCOUNTEREN", e.MCOUNTEREN: "MCOUNTEREN",
    e.SSCRATCH: "SSCRATCH", e.MSCRATCH: "MSCRATCH",
}  # fmt: skip


class _Registers:
    """`regs` over reg_read and reg_write.

    A CSR is only reached with the privilege raised, and raising it drops the reservation that LR made.
    So the hart is put back as it was after a CSR is read; one is written only where a trap has dropped the
    reservation anyway.
    """

    def __init__(self, uc: Any) -> None:
        self._uc = uc
        self._saved = uc.context_save()
        self._plain = {e.X + i: riscv_const.UC_RISCV_REG_X0 + i for i in range(32)}
        self._plain |= {e.F + i: riscv_const.UC_RISCV_REG_F0 + i for i in range(32)}
        self._plain |= {e.PC: riscv_const.UC_RISCV_REG_PC, e.PRIV: riscv_const.UC_RISCV_REG_PRIV}
        self._csrs = {i: getattr(riscv_const, f"UC_RISCV_REG_{name}") for i, name in _CSRS.items()}
        self._mip = 0  # kept from the library, which would take interrupts in its own order

    def __getitem__(self, index: int) -> int:
        register = self._plain.get(index)
        if register is not None:
            return int(self._uc.reg_read(register))
        if index == e.MIP:
            return self._mip
        if self._uc.reg_read(riscv_const.UC_RISCV_REG_PRIV) == MACHINE:
            return int(self._uc.reg_read(self._csrs[index]))
        self._uc.context_update(self._saved)
        self._uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, MACHINE)
        value = int(self._uc.reg_read(self._csrs[index]))
        self._uc.context_restore(self._saved)
        return value

    def __setitem__(self, index: int, value: int) -> None:
        register = self._plain.get(index)
        if register is not None:
            self._uc.reg_write(register, value)
        elif index == e.MIP:
            self._mip = value
        elif index != e.LOAD_RES:  # a write to the privilege has set it
            if index in (e.SEPC, e.MEPC):
                value &= EVEN
            privilege = self._uc.reg_read(riscv_const.UC_RISCV_REG_PRIV)
            self._uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, MACHINE)
            self._uc.reg_write(self._csrs[index], value)
            self._uc.reg_write(riscv_const.UC_RISCV_REG_PRIV, privilege)


class PublicEngine:
    """Engine over the public interface; see emu.cpu.engine.Engine."""

    name = "public"

    def __init__(self, ram: Ram) -> None:
        self._uc = make_uc(ram)
        self._buffer = array("q", [0] * e.CELLS)
        self.cells: e.Words = memoryview(self._buffer)
        self.regs: e.Words = _Registers(self._uc)
        self._hart = Hart(self, ram)  # to see what stands at pc and whether an interrupt is due
        self._ram = ram
        self._parcels = ram.bytes.cast("H")
        self._pages: dict[int, int] = {}  # where in RAM the pages of code are that this run has met
        self._known_blocks: dict[bytes, tuple[int | None, int | None]] = {}  # see _floats, by a block's bytes
        self._block = NO_BLOCK  # address of the block entered last, in this run
        self._breaks: list[int] = []
        self._watching = False
        self._uc.hook_add(unicorn.UC_HOOK_BLOCK, self._on_block, begin=1, end=0)
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_trap, begin=1, end=0)

    def run(self) -> int:
        return self._emulate()

    def step(self, length: int) -> int:
        word = self._hart.instruction() or 0
        if _is_done_by_loop(word) or (is_float(word) and not self._hart.has_float()):
            self.cells[e.REASON] = e.AT_ILLEGAL
            return e.OK
        # An exit behind the instruction ends its block there, if no block without it is known.  The library
        # looks the exit up again afterwards, which must not be in another mode: that can mark a page as used.
        pc = self.regs[e.PC]
        exits = [] if word in (MRET, SRET) else [pc + length & MASK64]
        page = pc & ~0xFFF
        self._uc.ctl_remove_cache(page, min(page + 0x1000, MASK64))
        self._uc.ctl_set_exits(exits)
        self.cells[e.STEPPING] = length
        error = self._emulate()
        entered = self.cells[e.STEPPING] == e.STEPPED
        self.cells[e.STEPPING] = 0
        self._uc.ctl_set_exits([])
        return e.OK if entered and error == e.FETCH_UNMAPPED else error  # that of the next instruction

    def flush_tlb(self) -> None:
        self._uc.ctl(CTL_TLB_FLUSH, unicorn.UC_CTL_IO_WRITE)

    def set_spots(self, spots: Sequence[e.Spot]) -> None:
        self._breaks = [spot.low for spot in spots if spot.kinds & e.FETCHES]
        self._watching = any(spot.kinds & (e.LOADS | e.STORES) for spot in spots)

    def drop_code(self, low: int, high: int) -> None:
        # The public call takes virtual addresses of the space that happens to be in force.
        self._uc.ctl_flush_tb()

    def _emulate(self) -> int:
        self.cells[e.REASON] = e.RAN
        self._block = NO_BLOCK
        self._pages.clear()
        try:
            self._uc.emu_start(self.regs[e.PC], 0)
        except unicorn.UcError as error:
            return int(error.errno)
        return e.OK

    def _stop(self, reason: int) -> None:
        self.cells[e.REASON] = reason
        self._uc.emu_stop()

    def _on_block(self, uc: Any, address: int, size: int, _: Any) -> None:
        cells = self.cells
        if cells[e.STEPPING] == e.STEPPED:
            self._uc.emu_stop()
            return
        if cells[e.STEPPING]:
            cells[e.STEPPING] = e.STEPPED
        else:
            reason = self._reason_to_stop(address, size)
            if reason != e.RAN:
                self._stop(reason)
                return
        self._block = address
        cells[e.NOW] += size
        cells[e.BLOCK_END] = _signed(address + size)

    def _reason_to_stop(self, address: int, size: int) -> int:
        """Why the block at pc is not to be entered, in the order in which the fast engine asks; or RAN."""
        cells = self.cells
        if self.regs[e.MIP] and self._hart.takeable_interrupt() is not None:
            return e.AT_INTERRUPT
        if address == self._block and size == C_JUMP_SIZE and self.regs[e.PRIV] == USER:
            cells[e.NOW] += max(0, cells[e.DEADLINE] - cells[e.NOW]) // size * size  # a jump to itself
        if cells[e.NOW] + size > cells[e.DEADLINE]:
            return e.AT_DEADLINE
        if self._watching or any(0 <= va - address < size for va in self._breaks):
            return e.AT_STRADDLE  # the loop looks at each instruction
        if size >= 4 and self._may_be_done_by_loop(address + size - 4):
            return e.AT_ILLEGAL if size == 4 else e.AT_STRADDLE
        held_back = self._held_back(address, size)
        if held_back is None:
            return e.RAN
        if held_back:
            cells[e.DEADLINE] = cells[e.NOW] + held_back  # the loop steps to there, and no further
            return e.AT_STRADDLE
        return e.AT_ILLEGAL

    def _held_back(self, address: int, size: int) -> int | None:
        """How far into a block the first instruction is that the library must not get while FS is as it is.

        The fast engine has the library translate something illegal in its place (native/fetch.h).
        """
        code = self._code(address, size)
        known = self._known_blocks.get(code)
        if known is None:
            if len(self._known_blocks) >= BLOCKS_KNOWN_MAX:
                self._known_blocks.clear()
            known = self._known_blocks[code] = _floats(code)
        first, first_write = known
        if first is None and first_write is None:
            return None
        fs = self.regs[e.MSTATUS] & MSTATUS_FS
        return None if fs == MSTATUS_FS else first_write if fs else first

    def _code(self, address: int, size: int) -> bytes:
        """The bytes of a block; those that cannot be fetched are left out."""
        code = b""
        while size > 0:
            part = min(size, 0x1000 - (address & 0xFFF))
            offset = self._page(address)
            if offset < 0:
                break
            start = offset + (address & 0xFFF)
            code += self._ram.bytes[start : start + part]
            address, size = address + part & MASK64, size - part
        return code

    def _may_be_done_by_loop(self, va: int) -> bool:
        """Whether a block whose last 4 bytes are at `va` ends in an instruction that the loop does.

        Only the last instruction of a block can be one.  If those bytes are no instruction, a yes may be
        wrong, and costs time only.
        """
        return self._parcel(va) & 0x7F in (SYSTEM, FENCE) and _is_done_by_loop(self._word(va))

    def _word(self, va: int) -> int:
        """The 4 bytes of code at `va`; 0 where there are none."""
        return self._parcel(va) | self._parcel(va + 2) << 16

    def _parcel(self, va: int) -> int:
        offset = self._page(va)
        return self._parcels[offset + (va & 0xFFF) >> 1] if offset >= 0 else 0

    def _page(self, va: int) -> int:
        """Where in RAM the page of code at `va` is, or -1."""
        offset = self._pages.get(va >> 12)
        if offset is None:
            offset = self._pages[va >> 12] = self._page_offset(va)
        return offset

    def _page_offset(self, va: int) -> int:
        try:
            pa = self._hart.fetch_pa(va & ~0xFFF)
        except TranslationFault:
            return -1
        return pa - self._ram.base if self._ram.holds(pa, 0x1000) else -1

    def _on_trap(self, uc: Any, cause: int, _: Any) -> None:
        # The engine has moved pc 4 on before it calls, whatever the instruction's length.
        cells = self.cells
        pc = self.regs[e.PC] - 4 & MASK64
        self.regs[e.PC] = pc
        cells[e.CAUSE] = cause
        if cause in (FETCH_PAGE, FETCH_ACCESS):
            self._stop(self._reason_for_fetch_fault())
            return
        left = _signed(cells[e.BLOCK_END] - pc)
        cells[e.NOW] -= left
        if not left and not cells[e.STEPPING] and cells[e.NOW] >= cells[e.DEADLINE]:
            # A compressed instruction that does not exist is not counted in its block.
            self._stop(e.AT_DEADLINE)
        elif cause == ECALL and self._is_gate(pc):
            self._stop(e.AT_GATE)
        else:
            self._stop(e.AT_ILLEGAL if cause == ILLEGAL else e.AT_TRAP)

    def _reason_for_fetch_fault(self) -> int:
        """Why to stop when a fetch failed, with pc on the next instruction to be run."""
        cells = self.cells
        if cells[e.STEPPING] == e.STEPPED:
            return e.RAN  # the fault is that of the instruction behind the one stepped
        if not cells[e.STEPPING]:
            if self.regs[e.MIP] and self._hart.takeable_interrupt() is not None:
                return e.AT_INTERRUPT
            if cells[e.NOW] >= cells[e.DEADLINE]:
                return e.AT_DEADLINE
            if self._hart.instruction() is not None:
                return e.AT_STRADDLE
        return e.AT_TRAP

    def _is_gate(self, pc: int) -> bool:
        low, high = self.cells[e.GATE_LOW], self.cells[e.GATE_HIGH]
        return low <= pc < high and self.regs[e.PRIV] == SUPERVISOR


def _is_done_by_loop(word: int) -> bool:
    """Whether the library would do `word` wrong.

    It has host time in counters, fence.i does nothing there, and sepc and mepc keep bit 0.
    """
    return takes(word) or is_fence_i(word) or writes_epc(word)


def _floats(code: bytes) -> tuple[int | None, int | None]:
    """Where in `code` the first floating-point instruction is, and the first that may write its state."""
    first: int | None = None
    at = 0
    while at + 2 <= len(code):
        word = int.from_bytes(code[at : at + 4], "little")
        if first is None and is_float(word):
            first = at
        if may_write_float(word):
            return first, at
        at += length(word)
    return first, None


def _signed(word: int) -> int:
    """A 64-bit word as the signed number that a cell holds."""
    return (word + (1 << 63)) % (1 << 64) - (1 << 63)
