"""The outputs of docs/02-page-tables.md."""

from collections.abc import Iterator
from itertools import pairwise

from book_machine import Lines, flags, output, the

from kernel.abi.memlayout import (
    CLINT,
    KERNBASE,
    PGSIZE,
    PLIC,
    PLIC_SIZE,
    TEST_FINISHER,
    TRAMPOLINE,
    TRAPFRAME,
    UART0,
    VIRTIO0,
    kstack,
)
from kernel.abi.param import NPROC
from kernel.abi.riscv import PTE_R, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.proc import Process
from kernel.thread import TF_SP
from orrery import Machine

LEAF = PTE_R | PTE_W | PTE_X


def entries(machine: Machine, table: int) -> Iterator[tuple[int, int]]:
    """(index, PTE) of the valid entries of the page table at a physical address."""
    for index, pte in enumerate(machine.board.ram.view(table, PGSIZE).cast("Q").tolist()):
        if pte & PTE_V:
            yield index, pte


def leaves(machine: Machine, table: int, level: int = 2, va: int = 0) -> Iterator[tuple[int, int]]:
    """(va, PTE) of every page that is mapped."""
    for index, pte in entries(machine, table):
        here = va | index << 12 + 9 * level
        if pte & LEAF:
            yield here, pte
        else:
            yield from leaves(machine, pte >> 10 << 12, level - 1, here)


# --- memory ---


@output("ram-map")
def ram_map() -> Lines:
    """What is where in RAM."""
    with Machine().boot() as machine:
        k = machine.kernel
        image = k.image
        parts = [
            (image.entry, "text: entry, kernelvec, swtch, the gates"),
            (image.trampoline, "the trampoline's page"),
            (image.etext, "data: the boot stack, the contexts"),
            (image.end, "buffer cache"),
            (k.disk._region_pa, "disk queue"),
            (k.frames.first_pa, "frames"),
            (k.ram.end, "the end of RAM"),
        ]
        lines = []
        for (low, what), (high, _) in pairwise(parts):
            lines.append(f"{low:#x}  {high - low:>#9x} bytes  {what}")
        used = (k.ram.end - k.frames.first_pa) // PGSIZE - k.frames.free_frames
        lines.append(f"{k.ram.end:#x}                   {parts[-1][1]}")
        return [*lines, f"{used} frames in use, {k.frames.free_frames} free"]


@output("kernel-map")
def kernel_map() -> Lines:
    """The kernel's page table, neighbours of one kind as one line."""
    names = {TEST_FINISHER: "finisher", CLINT: "CLINT", PLIC: "PLIC, UART, disk", KERNBASE: "text"}
    with Machine().boot() as machine:
        k = machine.kernel
        names |= {k.image.etext: "data, buffers, frames", TRAMPOLINE: "trampoline"}
        assert PLIC + PLIC_SIZE == UART0 and UART0 + PGSIZE == VIRTIO0, "three neighbours make one run"
        lines = ["virtual       physical      pages  flags"]
        stacks = 0
        for low, pa, pages, low_flags in runs(list(leaves(machine, k.pagetable.root))):
            if kstack(NPROC - 1) <= low < TRAMPOLINE:
                stacks += 1
                if 2 < stacks < NPROC:
                    continue
                if stacks == NPROC:
                    lines.append("...")
                slot = (TRAMPOLINE - low) // (2 * PGSIZE) - 1
                name = f"kernel stack {slot}"
            else:
                name = names[low]
            lines.append(f"{low:#012x}  {pa:#012x}  {pages:5}  {low_flags}  {name}")
        return lines


def runs(pages: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, str]]:
    """(va, pa, number, flags) of runs of pages that are neighbours in both and alike; A and D are ignored."""
    at = 0
    while at < len(pages):
        va, pte = pages[at]
        pa, kind, count = pte >> 10 << 12, flags(pte)[4:], 1
        while at + count < len(pages):
            next_va, next_pte = pages[at + count]
            step = count * PGSIZE
            if next_va != va + step or next_pte >> 10 << 12 != pa + step or flags(next_pte)[4:] != kind:
                break
            count += 1
        yield va, pa, count, kind
        at += count


# --- one process ---


@output("sh-pages")
def sh_pages() -> Lines:
    """The whole page table of the shell at its prompt."""
    with Machine().boot() as machine:
        p = the(machine, "sh")
        lines = [f"satp {p.space.satp:#x}, sz {p.space.sz:#x}"]
        return lines + table_lines(machine, p, p.space.root, 2, 0)


def table_lines(machine: Machine, p: Process, table: int, level: int, va: int) -> Lines:
    indent = "  " * (2 - level)
    lines = [f"{indent}level {level} table at {table:#x}"]
    for index, pte in entries(machine, table):
        here = va | index << 12 + 9 * level
        line = f"{indent} [{index:3}] {pte:#012x} -> {pte >> 10 << 12:#x} {flags(pte)}"
        if pte & LEAF:
            lines.append(f"{line}  {here:#x} {what_at(machine, p, here, pte)}")
        else:
            lines += [line, *table_lines(machine, p, pte >> 10 << 12, level - 1, here)]
    return lines


def what_at(machine: Machine, p: Process, va: int, pte: int) -> str:
    """What a page of a process is for."""
    if va == TRAMPOLINE:
        return "trampoline"
    if va == TRAPFRAME:
        return "trapframe"
    if not pte & PTE_U:
        return "guard"
    stack = p.thread.tf[TF_SP] & ~(PGSIZE - 1)
    if va == stack:
        return "stack"
    if pte & PTE_X:
        return f"text, {machine.kernel.frames.owners(pte >> 10 << 12)} owners"
    return "data" if va < stack else "heap"


@output("sh-walk")
def sh_walk() -> Lines:
    """The three steps from the shell's sp to RAM."""
    with Machine().boot() as machine:
        p, ram = the(machine, "sh"), machine.board.ram
        va = p.thread.tf[TF_SP]
        table = p.space.root
        lines = [f"va {va:#x} = {va >> 30 & 511}, {va >> 21 & 511}, {va >> 12 & 511}, offset {va & 0xFFF:#x}"]
        for level in (2, 1, 0):
            index = va >> 12 + 9 * level & 511
            pte = ram.u64[(table - ram.base) // 8 + index]
            frame = f"frame {pte >> 10 << 12:#x} {flags(pte)}"
            lines.append(f"level {level}: word {index} of {table:#x} is {pte:#012x}: {frame}")
            table = pte >> 10 << 12
        return [*lines, f"pa {table | va & 0xFFF:#x}"]
