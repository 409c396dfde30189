"""What is mapped, looked at in RAM while the machine runs: W^X, and who may reach whose frames.

The page tables are walked here, not by the kernel's own code, at many moments of a busy run.
"""

import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from boot import System, default_files, image_with

from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, TRAMPOLINE, TRAPFRAME, UART0, kstack
from kernel.abi.param import NPROC
from kernel.abi.riscv import PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X

SLICE_S_MAX = 0.02
LOOKS_MAX = 200
WX = PTE_W | PTE_X


class Page(NamedTuple):
    """A page that is mapped: at `va`, to the frame at `pa`, with the flags of its PTE."""

    va: int
    pa: int
    flags: int


class Tables:
    """The pages of one page table and the frames that the table itself takes."""

    def __init__(self, system: System, root: int) -> None:
        self._words, self._base = system.board.ram.u64, system.board.ram.base
        self.frames: list[int] = []
        self.pages = list(self._walk(root, 2, 0))

    def _walk(self, table: int, level: int, va: int) -> Iterator[Page]:
        self.frames.append(table)
        first = (table - self._base) // 8
        for i, pte in enumerate(self._words[first : first + 512].tolist()):
            if not pte & PTE_V:
                continue
            pa, here = pte >> 10 << 12, va | i << 12 + 9 * level
            if pte & (PTE_R | PTE_W | PTE_X):
                assert level == bool(pte & PTE_SUPER) and not pa & (PGSIZE << 9 * level) - 1
                for offset in range(0, PGSIZE << 9 * level, PGSIZE):
                    yield Page(here + offset, pa + offset, pte & 1023)
            else:
                yield from self._walk(pa, level - 1, here)


def check_kernel_map(system: System) -> Tables:
    """The rules for the kernel's own page table, which does not change after the start; gives it."""
    k = system.kernel
    tables = Tables(system, k.pagetable.root)
    for page in tables.pages:
        assert page.flags & WX != WX and not page.flags & PTE_U
        if page.flags & PTE_X:
            assert page.va == TRAMPOLINE or k.ram.base <= page.va < k.image.etext
        if k.ram.base <= page.pa < k.image.etext:
            assert not page.flags & PTE_W, "the kernel's text cannot be written"
    mapped = {page.va: page for page in tables.pages}
    assert mapped[TRAMPOLINE].pa == k.image.trampoline
    assert mapped[UART0].pa == UART0
    for slot in range(NPROC):
        assert kstack(slot) in mapped and kstack(slot) - PGSIZE not in mapped, "a guard page lies below"
    return tables


def check_user_maps(system: System, kernels: Tables, may_have_both: frozenset[str] = frozenset()) -> int:
    """The rules for processes; gives the number of user pages looked at."""
    k = system.kernel
    stacks = {page.pa for page in kernels.pages if kstack(NPROC - 1) <= page.va < TRAMPOLINE}
    assert len(stacks) == NPROC
    owned_by_kernel = {*kernels.frames, *stacks}
    spaces = {p: Tables(system, p.space.root) for p in k.procs}
    for p, tables in spaces.items():
        owned_by_kernel |= {*tables.frames, p.thread.trapframe_pa}
    mappings, writers = Counter[int](), Counter[int]()
    for p, tables in spaces.items():
        assert len(set(tables.frames)) == len(tables.frames), "no table is used twice"
        for page in tables.pages:
            if page.va in (TRAMPOLINE, TRAPFRAME):
                assert not page.flags & PTE_U and page.flags & WX != WX
                continue
            vma = p.space.vmas.find(page.va)
            assert page.va < p.space.sz or vma is not None, f"{p} has a page beyond its size"
            assert page.pa >= k.frames.first_pa, f"{p} can reach the kernel's own memory"
            assert page.pa not in owned_by_kernel, (
                f"{p} can reach a page table, a trapframe or a kernel stack"
            )
            assert page.flags & WX != WX or p.name in may_have_both, f"{p} has a W and X page"
            mappings[page.pa] += 1
            writers[page.pa] += bool(page.flags & PTE_W) and not (vma is not None and vma.shared)
    for pa, count in writers.items():
        assert count == 0 or mappings[pa] == 1, f"frame {pa:#x} can be written, and others see it"
    return sum(mappings.values())


def test_at_the_prompt() -> None:
    with System() as system:
        system.boot()
        assert check_user_maps(system, check_kernel_map(system)) > 4


@pytest.mark.parametrize(
    "argv",
    [
        ["/workload"],
        [
            "/usertests",
            "fork_tree",
            "sbrk_grows_and_shrinks",
            "kill_waiting",
            "many_writers",
            "replaced_program",
            "bad_segments",
        ],
    ],
)
def test_while_it_works(argv: list[str]) -> None:
    rng = random.Random(1)
    looks = pages = 0
    with System(argv=["/init", *argv], mem_mib=32) as system:
        while not any(p.space.sz for p in system.kernel.procs):
            system.run(limit_s=1e-4)
        kernels = check_kernel_map(system)
        while system.run(limit_s=rng.uniform(0, SLICE_S_MAX)) is Stop.LIMIT:
            if looks < LOOKS_MAX:
                pages += check_user_maps(system, kernels)
                looks += 1
        check_kernel_map(system)
        assert system.board.exit_code == 0 and looks > 20 and pages > 10 * looks


def writable_text(program: bytes) -> bytes:
    """The program with its text segment made writable too, as a linker's -N does."""
    changed = bytearray(program)
    header = elf.Header.unpack(program)
    assert header is not None
    changed[header.phoff + 4] |= elf.PF_W
    return bytes(changed)


def test_a_segment_that_asks_for_both_gets_both_and_nobody_else_does() -> None:
    """Stock xv6's forktest is linked like that."""
    both = writable_text(default_files()["cat"])
    with System(drive=RamDrive(image_with({"catwx": both}))) as system:
        system.boot()
        seen = []
        on_read_wait = system.kernel.console.on_read_wait
        assert on_read_wait is None
        system.kernel.console.on_read_wait = lambda p: seen.append(p.name)
        system.type("catwx\n")
        system.wait_for_shell()  # it is catwx that waits for a line now
        assert seen[-1] == "catwx"
        p = system.process("catwx")
        first = next(page for page in Tables(system, p.space.root).pages if page.va == 0)
        assert first.flags & WX == WX
        kernels = check_kernel_map(system)
        check_user_maps(system, kernels, frozenset({"catwx"}))
        with pytest.raises(AssertionError, match="W and X"):
            check_user_maps(system, kernels)
