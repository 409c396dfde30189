"""The books of a kernel at rest: whether everything that has an owner has exactly those that are there.

Used by the tests after hostile programs and injected failures, and by the console monitor.  It only reads.
A kernel is at rest when every process sleeps outside the file system, as when the shell waits for a line:
then no operation is half done, and every count can be derived from what is reachable.  Each finding is one
line that names the thing, what its count is and what it should be.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from kernel.abi.memlayout import PGSHIFT, TRAPFRAME
from kernel.abi.ps import UNUSED
from kernel.abi.riscv import PTE_R, PTE_SUPER, PTE_V, PTE_W, PTE_X
from kernel.file import File, InodeFile
from kernel.inode import Inode
from kernel.kernel import Kernel

TABLE_WORDS: Final = 512
LEAF: Final = PTE_R | PTE_W | PTE_X


class Audit:
    """The audit of `k`; `sites` may tell where a frame was allocated (see `track_allocations`)."""

    def __init__(self, k: Kernel, sites: dict[int, str] | None = None) -> None:
        self._k = k
        self._sites = sites or {}
        self._owners: Final[dict[int, list[str]]] = {}  # who owns a frame, by physical address
        self._kinds: Final[dict[int, str]] = {}  # what it is used for
        self._tables: Final[dict[int, str]] = {}  # page tables whose entries are entered already
        self._inside: Final[dict[int, int]] = {}  # frames of superpages but the first, by superpage

    def findings(self) -> list[str]:
        """All that does not add up; empty if all is well."""
        return [*self._frames(), *self._files(), *self._inodes(), *self._threads(), *self._buffers()]

    def owners_of(self, pa: int) -> list[str]:
        """Who owns the frame at `pa`, as far as page tables and the kernel tell."""
        self._collect_owners()
        return self._owners.get(pa, [])

    def frame_kinds(self) -> Counter[str]:
        """How many frames are in use for what."""
        self._collect_owners()
        return Counter(self._kinds.values())

    # --- frames ---

    def _frames(self) -> Iterator[str]:
        self._collect_owners()
        frames = self._k.frames
        for pa in range(frames.first_pa, self._k.ram.end, 1 << PGSHIFT):
            owners = self._owners.get(pa, [])
            counted = frames.owners(pa)
            if counted != len(owners):
                found = ", ".join(owners) or "nobody"
                site = f", allocated at {self._sites[pa]}" if pa in self._sites else ""
                yield f"frame {pa:#x} counts {counted} owners, but belongs to {found}{site}"
        every = range(frames.first_pa, self._k.ram.end, 1 << PGSHIFT)
        free = sum(1 for pa in every if not frames.owners(pa) and pa not in self._inside)
        if free != frames.free_frames:
            yield f"{frames.free_frames} frames are in the free list, but {free} have no owner"

    def _collect_owners(self) -> None:
        k = self._k
        self._owners.clear()
        self._kinds.clear()
        self._tables.clear()
        self._inside.clear()
        for ip, pages in k.text.inodes.items():
            for pa in pages.values():
                self._own(pa, "cached text", f"the cached text of {ip}")
        for ip in k.fs.inodes.values():
            for pa in ip.pages.values():
                self._own(pa, "cached files", f"the page cache, for {ip}")
        stacks = {p.kstack_va for p in k.procs.slots}
        self._table_owners(k.pagetable, "the kernel's page table", "kernel stacks", stacks.__contains__)
        for p in k.procs:
            self._own(p.trapframe_pa, "trapframes", f"{p}, as its trapframe")
            self._table_owners(p.pagetable, str(p), "user memory", lambda va: va < TRAPFRAME)

    def _table_owners(
        self, table: int, owner: str, kind: str, counts: Callable[[int], bool], level: int = 2, va: int = 0
    ) -> None:
        """Enter `table`, those below it, and the leaves, used for `kind`, whose address counts as owning."""
        self._own(table, "page tables", f"{owner}, as a page table")
        if table in self._tables:
            return  # fork shares it: what it maps is owned once, by the table
        self._tables[table] = owner
        first = table - self._k.ram.base >> 3
        for i, pte in enumerate(self._k.ram.u64[first : first + TABLE_WORDS].tolist()):
            if not pte & PTE_V:
                continue
            pa = pte >> 10 << PGSHIFT
            at = va | i << PGSHIFT + 9 * level
            if not pte & LEAF:
                self._table_owners(pa, owner, kind, counts, level - 1, at)
            elif counts(at):
                self._own(pa, kind, f"{owner}, at {at:#x}")
                if pte & PTE_SUPER:
                    inside = [pa + (i << PGSHIFT) for i in range(1, TABLE_WORDS)]
                    self._inside.update(dict.fromkeys(inside, pa))
                    self._kinds.update(dict.fromkeys(inside, kind))

    def _own(self, pa: int, kind: str, owner: str) -> None:
        self._owners.setdefault(pa, []).append(owner)
        self._kinds.setdefault(pa, kind)

    # --- files, inodes, pipes ---

    def _open_files(self) -> Counter[File]:
        """How many descriptors each open file has."""
        return Counter(f for p in self._k.procs for f in p.ofile if f is not None)

    def _files(self) -> Iterator[str]:
        counted = self._open_files()
        for file, descriptors in counted.items():
            if file.ref != descriptors:
                yield f"{file!r} counts {file.ref} descriptors, but {descriptors} are there"
        if self._k.files.open_count != len(counted):
            yield f"the file table counts {self._k.files.open_count} files, but {len(counted)} are open"

    def _inodes(self) -> Iterator[str]:
        expected: Counter[Inode] = Counter()
        for file in self._open_files():
            if isinstance(file, InodeFile):
                expected[file.ip] += 1
        for p in self._k.procs:
            if p.cwd is not None:
                expected[p.cwd] += 1
        for ip in self._k.fs.inodes.values():
            if ip.ref != expected[ip]:
                yield f"{ip} counts {ip.ref} references, but {expected[ip]} are there"
            if ip.lock.holder is not None:
                yield f"{ip} is locked by {ip.lock.holder}"

    # --- threads, buffers ---

    def _threads(self) -> Iterator[str]:
        started = [p for p in self._k.procs.slots if p.thread is not None]
        for p in started:
            if p.state == UNUSED:
                yield f"slot {p.slot} is unused, but has a kernel thread"
        threads = len(self._k.sched.threads)
        if threads != len(started) + 1:
            yield f"{threads} kernel threads, but {len(started)} processes and the scheduler"

    def _buffers(self) -> Iterator[str]:
        for buf in self._k.cache.buffers.values():
            if buf.lock.holder is not None:
                yield f"{buf} is locked by {buf.lock.holder}"
        if self._k.log.outstanding:
            yield f"the log counts {self._k.log.outstanding} operations that have not ended"


def track_allocations(k: Kernel) -> dict[int, str]:
    """From now on note for each frame the line of the kernel that allocated it; returns those notes."""
    sites: dict[int, str] = {}
    alloc = k.frames.alloc

    def noted() -> int:
        pa = alloc()
        if pa:
            sites[pa] = _allocating_line()
        return pa

    k.frames.alloc = noted  # type: ignore[method-assign]
    return sites


def _allocating_line() -> str:
    """file:line of the innermost caller outside the allocator and the page tables."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.endswith(("kalloc.py", "vm.py")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rsplit('/', 2)[-1]}:{frame.f_lineno} ({frame.f_code.co_name})"
