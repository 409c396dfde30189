"""Why a process was killed for what it did, in words.

Made by crash_reports.py when it happens.  The kernel tells of it beside xv6's two lines; this looks at
registers, page tables and mappings, and changes nothing, so the run is the same.  What is said is what can be
known: a bad pointer may be anything; one that is nearly 0 is called NULL.
"""

from typing import TYPE_CHECKING, Final

from emu.cpu.decode import Kind, decode, is_float
from kernel.abi.fcntl import PROT_READ, PROT_WRITE
from kernel.abi.memlayout import MAXVA, PGMASK, PGSHIFT, PGSIZE, TRAMPOLINE, TRAPFRAME, USYSCALL
from kernel.abi.riscv import CAUSE_FETCH_PAGE, PTE_COW, PTE_U, PTE_V, PTE_X
from kernel.mm.vma import Vma
from kernel.proc import Process
from kernel.thread import TF_EPC, TF_RA, TF_SP
from orrery.inspect.dwarf import S0
from orrery.machine.decode import Decoder

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

NEAR: Final = 256  # bytes from 0, where nobody means code
SP: Final = 2
ILLEGAL, BREAKPOINT = 2, 3
MISALIGNED: Final = (4, 6)
FETCHES: Final = (0, 1, CAUSE_FETCH_PAGE)
LOADS: Final = (5, 13)
STORES: Final = (7, 15)
SYSTEM: Final = 0x73
UNIMP: Final = 0xC000_1073  # how assemblers write an instruction that never is one
FCSRS: Final = (1, 2, 3)
COUNTERS: Final = {0xC00: "cycle", 0xC01: "time", 0xC02: "instret"}
NO_FLOATS: Final = "floating point is off: the kernel does not keep its registers"


class Crash:
    """What process `p` did when it raised the exception `scause`, for the address `va`; `why`: in words."""

    def __init__(self, machine: "Machine", p: Process, scause: int, va: int) -> None:
        self._p: Final = p
        self._vm: Final = machine.kernel.vm
        self._va: Final = va
        self._word: Final = int.from_bytes(Decoder(machine.kernel).peek(p, p.thread.tf[TF_EPC], 4), "little")
        self._scause: Final = scause

    @property
    def why(self) -> str:
        scause, va = self._scause, self._va
        if scause == ILLEGAL:
            return self._illegal()
        if scause == BREAKPOINT:
            return "it came to a breakpoint, ebreak"
        if scause in FETCHES:
            return f"it jumped to {va:#x}, {self._no_code()}"
        if scause in MISALIGNED:
            return f"it used {va:#x} in an atomic operation, which takes multiples of its size"
        if scause in LOADS:
            return self._access(f"it read from {va:#x}", write=False)
        if scause in STORES:
            return self._access(f"it wrote to {va:#x}", write=True)
        return f"exception {scause}, for {va:#x}"

    # --- instructions ---

    def _illegal(self) -> str:
        word, csr = self._word, self._word >> 20
        if is_float(word):
            return f"it used floating point, and {NO_FLOATS}"
        if word & 0xFFFF == 0 or word == UNIMP:
            return "it came to unimp, which stands where a program must not come (a trap of the compiler)"
        if word & 0x7F == SYSTEM and word >> 12 & 3:
            if csr in FCSRS:
                return f"it used fcsr, and {NO_FLOATS}"
            name = f"the counter {COUNTERS[csr]}" if csr in COUNTERS else f"CSR {csr:#x}"
            return f"it used {name}, which user programs may not"
        if word & 0x7F == SYSTEM:
            return "it came to an instruction that is for the kernel only"
        size, digits = (4, 8) if word & 3 == 3 else (2, 4)
        return f"it came to an instruction that does not exist, {word & (1 << 8 * size) - 1:#0{digits + 2}x}"

    def _no_code(self) -> str:
        """Why there is nothing to run at the address."""
        if self._is_null:
            return "a NULL pointer"
        if self._va >= MAXVA:
            return "which is no address"
        if self._pte & PTE_V and self._pte & PTE_U and not self._pte & PTE_X:
            return "which is data, and no code"
        return "where it has no code"

    # --- loads and stores ---

    def _access(self, did: str, *, write: bool) -> str:
        va = self._va
        if self._is_overflow:
            return f"stack overflow: {did}, and its stack goes down to {self._guard + PGSIZE:#x} only"
        if self._is_null:
            return f"{did}, {self._null}"
        if va >= MAXVA:
            return f"{did}, which is no address: they end at {MAXVA:#x}"
        if va >= TRAPFRAME:
            return f"{did}, which is the kernel's ({'trampoline' if va >= TRAMPOLINE else 'trapframe'})"
        if self._pte & PTE_V:
            return f"{did}, {self._forbidden(write=write)}"
        vma = self._p.space.vmas.find(va)
        if vma is not None:
            return f"{did}, {_missing(vma, va, PROT_WRITE if write else PROT_READ)}"
        if va < self._p.space.sz:
            return f"{did}: out of memory, no page was left for it"
        if any(low <= va < high for low, high in self._p.space.unmapped):
            return f"{did}, in a mapping that it has unmapped"
        return f"{did}, beyond the heap, which ends at {self._p.space.sz:#x}"

    def _forbidden(self, *, write: bool) -> str:
        """Why what is mapped may not be used."""
        if not self._pte & PTE_U:
            return "in the guard page below its stack"
        if not write:
            return "which may not be read"
        if self._pte & PTE_COW:
            return "which it shares, and out of memory: no page was left for a copy"
        if self._va < PGSIZE:
            return f"which is read-only: code or a constant, or {self._null}"
        if self._va >= USYSCALL:
            return "the page at USYSCALL, which is read-only"
        if self._p.space.vmas.find(self._va) is not None:
            return "in a mapping that is read-only"
        return "which is read-only: code or a constant"

    @property
    def _pte(self) -> int:
        return self._vm.pte(self._p.space, self._va) if 0 <= self._va < MAXVA else 0

    @property
    def _is_null(self) -> bool:
        """Whether the address was made from 0, or is that near, where programs have their first page."""
        op, va = decode(self._word), _signed(self._va)
        if op is not None and self._scause not in FETCHES:
            made_from_0 = op.base == 0 or self._p.thread.tf[TF_RA + op.base - 1] == 0
            return -PGSIZE < va < (PGSIZE if made_from_0 or not self._pte & PTE_V else NEAR)
        return 0 <= va < PGSIZE

    @property
    def _null(self) -> str:
        """The address as one that was made from 0."""
        offset = _signed(self._va)
        return f"a NULL pointer{f' {offset:+d}' if offset else ''}"

    @property
    def _is_overflow(self) -> bool:
        """Whether the stack has grown beyond what it has, and this is the part that it would need."""
        guard, sp, va = self._guard, _signed(self._p.thread.tf[TF_SP]), _signed(self._va)
        if not guard or sp >= guard + PGSIZE:
            return False
        op = decode(self._word)
        by_frame = op is not None and op.base in (SP, S0) and op.kind in (Kind.LOAD, Kind.STORE)
        return guard <= va < guard + PGSIZE or (by_frame and va < guard + PGSIZE) or (sp <= va < guard)

    @property
    def _guard(self) -> int:
        """The page below the stack; 0 where there is none. Only exec takes a page from the user."""
        p = self._p
        for va in range(0, p.space.sz, PGSIZE):
            if self._vm.pte(p.space, va) & (PTE_V | PTE_U) == PTE_V:
                return va
        return 0


def _missing(vma: Vma, va: int, right: int) -> str:
    """Why there is no page in a mapping."""
    if not vma.prot & right:
        return f"in a mapping that may not be {'written' if right == PROT_WRITE else 'read'}"
    if vma.ip is not None and vma.page_index(va & ~PGMASK) << PGSHIFT >= vma.ip.size:
        return f"in a mapping, behind the end of its file, which has {vma.ip.size} bytes"
    return "in a mapping: out of memory, no page was left for it"


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
