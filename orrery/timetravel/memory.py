"""Memory as a debugger sees it: of a process, of the kernel, and physical.

Access rights are ignored: what is mapped can be read and written.  An address of a process is looked up in
its page table first, then in the kernel's, which maps all of RAM.  Devices are left alone, as reading one
may change it.  A write to a shared page breaks the sharing first, as a store of the process would.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from emu.cpu import engine as e
from emu.cpu.hart import MACHINE
from kernel.abi.memlayout import MAXVA, PGMASK, PGSHIFT, SUPERPGMASK
from kernel.abi.riscv import PTE_COW, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import OutOfMemory
from kernel.mm.pagetable import PageTable, pa_of
from kernel.proc import Process

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

RUNS: Final = PTE_V | PTE_X | PTE_U


class Memory:
    """Of `machine`, which stands still."""

    def __init__(self, machine: "Machine") -> None:
        self._kernel: Final = machine.kernel
        self._ram: Final = machine.board.ram
        self._hart: Final = machine.board.hart

    def read(self, p: Process | None, va: int, n: int) -> bytes:
        """The `n` bytes at `va` of `p`, of the kernel for None; fewer where they are not all mapped."""
        parts = []
        for at, size in _pages(va, n):
            pa = self.find(p, at)
            if pa is None or not self._ram.holds(pa, size):
                break
            parts.append(self._ram.view(pa, size))
        return b"".join(parts)

    def executes(self, p: Process, va: int) -> bool:
        """Whether the program of `p` may execute what is at `va`."""
        return self._entry(p.space, va) & RUNS == RUNS

    def write(self, p: Process | None, va: int, data: bytes) -> bool:
        """Store `data` at `va`: all of it, or nothing and False."""
        pages = list(_pages(va, len(data)))
        if any(self._found(p, at, size) is None for at, size in pages):
            return False
        try:
            for at, _ in pages:
                if p is not None and self._entry(p.space, at):
                    self._separate(p, at)
        except OutOfMemory:
            return False  # pages that were separated before hold what they held
        done = 0
        for at, size in pages:
            pa = self._found(p, at, size)
            assert pa is not None, "a page that was separated is mapped"
            self.write_physical(pa, data[done : done + size])
            done += size
        return True

    def read_physical(self, pa: int, n: int) -> bytes:
        """The `n` bytes at physical address `pa`, as far as that is RAM."""
        n = min(n, self._ram.end - pa)
        return bytes(self._ram.view(pa, n)) if self._ram.holds(pa, n) else b""

    def write_physical(self, pa: int, data: bytes) -> bool:
        """Store `data` in RAM; False where there is none."""
        if not self._ram.holds(pa, len(data)):
            return False
        self._ram.view(pa, len(data))[:] = data
        self._kernel.drop_code(pa & ~PGMASK, pa + len(data) + PGMASK & ~PGMASK)
        return True

    def find(self, p: Process | None, va: int) -> int | None:
        """Physical address of `va` for `p`, for the kernel if that is None; None if nothing is mapped."""
        if p is not None and (pa := self._walk(p.space, va)) is not None:
            return pa
        if self._kernel.satp and not (p is None and self._hart.regs[e.PRIV] == MACHINE):
            return self._walk(self._kernel.pagetable, va)
        return va

    def _found(self, p: Process | None, va: int, size: int) -> int | None:
        pa = self.find(p, va)
        return pa if pa is not None and self._ram.holds(pa, size) else None

    def _walk(self, pagetable: PageTable, va: int) -> int | None:
        pte = self._entry(pagetable, va)
        if not pte:
            return None
        return pa_of(pte) + (va & (SUPERPGMASK if pte & PTE_SUPER else PGMASK))

    def _entry(self, pagetable: PageTable, va: int) -> int:
        pte = self._kernel.vm.pte(pagetable, va) if 0 <= va < MAXVA else 0
        return pte if pte & PTE_V else 0

    def _separate(self, p: Process, va: int) -> None:
        """Let `p` have the page at `va` for itself, unless sharing it is the point; raises OutOfMemory."""
        pte = self._kernel.vm.pte(p.space, va)
        if pte & PTE_COW:
            self._kernel.cow.break_cow(p.space, va)
        elif not pte & PTE_W:  # text
            self._kernel.cow.own_page(p.space, va)
        self._hart.engine.flush_tlb()


def _pages(va: int, n: int) -> Iterator[tuple[int, int]]:
    """The parts of [va, va + n) on each page: address and size."""
    end = va + n
    while va < end:
        size = min(end, (va >> PGSHIFT) + 1 << PGSHIFT) - va
        yield va, size
        va += size
