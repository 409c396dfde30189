"""The books of a kernel at rest: whether everything that has an owner has exactly those that are there.

Used by the tests after hostile programs and injected failures.  It only reads.
A kernel is at rest when every process sleeps outside the file system, as when the shell waits for a line:
then no operation is half done, and every count can be derived from what is reachable.  Each finding is one
line that names the thing, what its count is and what it should be.  What concerns memory is in
audit_memory.py.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from kernel.abi.memlayout import PGSHIFT
from kernel.fs.file import File, InodeFile
from kernel.fs.vfs import Inode
from kernel.kernel import Kernel
from orrery.inspect.audit_memory import MemoryAudit


class Audit:
    """The audit of `k`; `sites` may tell where a frame was allocated (see `track_allocations`)."""

    def __init__(self, k: Kernel, sites: Mapping[int, str] | None = None) -> None:
        self._k = k
        self._sites = sites or {}

    def findings(self) -> list[str]:
        """All that does not add up; empty if all is well."""
        memory = MemoryAudit(self._k, self._sites).findings()
        return [*memory, *self._files(), *self._inodes(), *self._threads(), *self._buffers()]

    # --- files, inodes, pipes ---

    def _open_files(self) -> Counter[File]:
        """How many descriptors each open file has."""
        return Counter(f for p in self._k.procs for f in p.files.ofile if f is not None)

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
            if p.files.cwd is not None:
                expected[p.files.cwd] += 1
            expected.update(vma.ip for vma in p.space.vmas if vma.ip is not None)
        expected.update(fs.covered for fs in self._k.mounts.mounted if fs.covered is not None)
        for ip in self._k.inodes.inodes.values():
            if ip.ref != expected[ip]:
                yield f"{ip} counts {ip.ref} references, but {expected[ip]} are there"
            if ip.lock.holder is not None:
                yield f"{ip} is locked by {ip.lock.holder}"

    # --- threads, buffers ---

    def _threads(self) -> Iterator[str]:
        k = self._k
        started = [t for p in k.procs for t in p.threads if t.greenlet is not None]
        used = {t.stack.va >> PGSHIFT: t for t in started}
        for stack in k.procs.stacks:
            page = stack.va >> PGSHIFT
            if page in k.sched.threads and page not in used:
                yield f"slot {stack.slot} is unused, but has a kernel thread"
        threads = len(k.sched.threads)
        if threads != len(started) + 1:
            yield f"{threads} kernel threads, but {len(started)} processes and the scheduler"

    def _buffers(self) -> Iterator[str]:
        for buf in self._k.cache.buffers.values():
            if buf.lock.holder is not None:
                yield f"{buf} is locked by {buf.lock.holder}"
        if self._k.fs.log.outstanding:
            yield f"the log counts {self._k.fs.log.outstanding} operations that have not ended"


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
    while frame.f_back is not None and frame.f_code.co_filename.endswith(("kalloc.py", "pagetable.py")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rsplit('/', 2)[-1]}:{frame.f_lineno} ({frame.f_code.co_name})"
