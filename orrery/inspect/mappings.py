"""Memory mappings and memory's counts as a person reads them: the monitor's `vmas` and `memory`.

It only reads, and formats: what a mapping promises is in its Vma, what is there already in the page table.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from kernel.abi.fcntl import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.abi.memlayout import PGSHIFT, PGSIZE
from kernel.abi.riscv import PTE_A, PTE_COW, PTE_D
from kernel.kernel import Kernel
from kernel.mm.vma import Vma
from kernel.proc import Process
from orrery.inspect.tables import Table

COLUMNS: Final = ("virtual", "prot", ">pages", ">there", ">used", ">dirty", ">cow", "what is behind")
RIGHTS: Final = {PROT_READ: "r", PROT_WRITE: "w", PROT_EXEC: "x"}
ABOUT_COUNTS: Final = {
    "zero_filled": "promised pages that were touched, and filled with zeroes",
    "cow_copied": "pages that were shared until a store, which had to be copied",
    "cow_taken": "pages that were shared until a store, whose last owner took them as they were",
    "paged_in": "pages of mapped files that were touched",
    "mapped_around": "their neighbours that were in memory, and were mapped with them",
    "pages_read": "pages of files that were read from the disk",
    "pages_written": "dirty pages of mapped files that were written back",
}


def mapping_table(k: Kernel, p: Process) -> Table | str:
    """The mappings of a process, and how many pages of each are there, were used, and are dirty."""
    if not p.space.vmas:
        return f"{p} has mapped nothing; its program, stack and heap are {p.space.sz} bytes"
    rows = []
    for vma in p.space.vmas:
        ptes = [pte for _, _, pte in k.vm.leaves(p.space, vma.start, vma.end)]
        used, dirty, cow = (sum(bool(pte & bit) for pte in ptes) for bit in (PTE_A, PTE_D, PTE_COW))
        virtual, pages = f"{vma.start:#012x}-{vma.end - 1:#012x}", vma.end - vma.start >> PGSHIFT
        rows.append((virtual, _rights(vma), pages, len(ptes), used, dirty, cow, behind(vma, vma.start)))
    return Table(COLUMNS, rows)


def behind(vma: Vma, va: int) -> str:
    """What is behind the page at `va` of a mapping, and the pages that follow it."""
    kind = "shared" if vma.shared else "private"
    if vma.ip is not None:
        return f"{kind}: {vma.ip} from {vma.page_index(va) * PGSIZE:#x}"
    if vma.memory is not None:
        return f"{kind}: memory of {vma.memory.mappings} mappings"
    return f"{kind}: zeroes"


def _rights(vma: Vma) -> str:
    return "".join(letter if vma.prot & bit else "-" for bit, letter in RIGHTS.items())


def memory_lines(k: Kernel) -> Iterator[str]:
    """How much memory is free, and what the memory system has done since power-on."""
    cached = sum(cache.reclaimable for cache in k.frames.caches)
    yield f"{k.frames.free_frames:>7} frames are free, and {cached} more are kept only as a cache"
    for field in fields(k.counts):
        yield f"{getattr(k.counts, field.name):>7} {ABOUT_COUNTS[field.name]}"
