"""Memory mappings: files, and memory that parent and child share, in the address spaces of processes.

    0              sz                             MMAP_TOP
    | program, heap -> |  ...  <- mappings | b | a | guard page | what the kernel maps |

What is mapped where is recorded in `AddressSpace.vmas` (vma.py), which changes only here; which of its pages
are present, in the page table.  mmap itself reads nothing: the first access to a page faults, and fault.py
calls `page_in`.  The pages are frames of the page cache (private ones until a store copies them), so that
mappings, read and write always agree on the contents of a file.

The hart sets PTE_D in the entry of each page that is stored to.  Exactly these pages are written back to the
file: by msync, and before they are unmapped by munmap, exec, exit, or a mapping that takes their place.  So a
frame that nobody maps is never dirty, and the page cache may drop it.

Write-back, and dropping an inode's last reference, start transactions: the caller has none open and holds no
locks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from errno import EINVAL, ENOMEM
from typing import Final

from emu.ram import Ram
from kernel.abi import fcntl
from kernel.abi.memlayout import PGMASK, PGSHIFT, PGSIZE, USYSCALL
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import OutOfMemory, SyscallError, require
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import Inode
from kernel.mm.counts import MemoryCounts
from kernel.mm.cow import CopyOnWrite
from kernel.mm.kalloc import FrameAllocator, Holding
from kernel.mm.pagecache import PageCache
from kernel.mm.pagetable import LEAF, PA_FROM_PTE_SHIFT, VirtualMemory, pa_of, pgroundup
from kernel.mm.space import AddressSpace
from kernel.mm.vma import SharedMemory, Vma, VmaList

MMAP_TOP: Final = USYSCALL - PGSIZE
AROUND: Final = 16 * PGSIZE  # fault-around: the window in which pages that are cached are mapped too
RIGHTS: Final = LEAF | PTE_U | PTE_COW  # of an entry


def rights(prot: int) -> int:
    """The PTE bits for PROT bits, which stand in the same order; RISC-V cannot have W without R."""
    return prot << 1 | (PTE_R if prot & fcntl.PROT_WRITE else 0)


class Mmap:
    """The mappings of all address spaces.

    `spaces()` returns these; `kill(space)` kills the process that one belongs to; `report(space, why)` tells
    that its stores to a file are lost.
    """

    def __init__(
        self,
        ram: Ram,
        frames: FrameAllocator,
        vm: VirtualMemory,
        cow: CopyOnWrite,
        counts: MemoryCounts,
        drop_code: Callable[[int, int], None],
        pages: PageCache,
        inodes: InodeTable,
        spaces: Callable[[], Iterable[AddressSpace]],
        kill: Callable[[AddressSpace], object],
        report: Callable[[AddressSpace, SyscallError], None],
    ) -> None:
        self._ram: Final = ram
        self._frames: Final = frames
        self._vm: Final = vm
        self._cow: Final = cow
        self._counts: Final = counts
        self._drop_code: Final = drop_code
        self._pages: Final = pages
        self._inodes: Final = inodes
        self._spaces: Final = spaces
        self._kill: Final = kill
        self._report: Final = report

    # --- the first touch of a page ---

    def page_in(self, space: AddressSpace, vma: Vma, va: int, access: int) -> bool:
        """Map the page at `va`, which is in `vma` and not mapped, for `access` (PTE_R, _W, _X); may sleep.

        Returns False if that is not allowed, past the end of the file, and if memory or the disk fails.
        """
        perm, page = rights(vma.prot), va & ~PGMASK
        if not perm & access:
            return False
        try:
            if vma.ip is None and vma.memory is None:
                self._vm.map_new(space, page, perm)
                self._counts.zero_filled += 1
                return True
            pa = self._frame(vma, vma.page_index(page))
            if pa:
                self._map(space, vma, page, pa, access)
            return pa != 0
        except SyscallError:  # OutOfMemory, EIO: the program sees the same
            return False

    def _frame(self, vma: Vma, index: int) -> int:
        """The frame with page `index` of what backs `vma`, 0 if none. The caller maps it at once."""
        ip, pages = vma.ip, vma.pages
        if index in pages:  # never past the end: truncation drops the pages
            return pages[index]
        if ip is not None:
            with ip.locked():
                return self._pages.frame(ip, index) if index << PGSHIFT < ip.size else 0
        self._counts.zero_filled += 1
        return pages.setdefault(index, self._vm.create())

    def _map(self, space: AddressSpace, vma: Vma, page: int, pa: int, access: int) -> None:
        """Map a frame, or the copy of it that a store needs, and the cached pages around it."""
        perm = rights(vma.prot)
        if perm & PTE_W and not vma.shared:
            perm ^= PTE_W | PTE_COW
        self._vm.map_shared(space, page, pa, perm)
        if not perm & access:
            self._cow.break_cow(space, page)
        low, high = max(page & -AROUND, vma.start), min((page & -AROUND) + AROUND, vma.end)
        frames = [vma.pages.get(i, 0) for i in range(vma.page_index(low), vma.page_index(high))]
        mapped = self.map_missing(space, low, frames, perm)
        for new in (pa, *mapped) if perm & PTE_X else ():
            self._drop_code(new, new + PGSIZE)
        self._counts.paged_in += vma.ip is not None
        self._counts.mapped_around += len(mapped)

    def map_missing(self, space: AddressSpace, va: int, frames: Sequence[int], perm: int) -> list[int]:
        """Map frames (0: none) at the pages from `va` on that are not mapped; returns those it mapped.

        All are in one table, in which an entry was just written. Each frame has another owner.
        """
        mapped = []
        for index, pa in enumerate(frames, self._vm.walk(space, va)):
            if pa and not self._ram.u64[index]:
                self._frames.share(pa)
                self._vm.write(index, pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V)
                mapped.append(pa)
        return mapped

    # --- write-back ---

    def write_back(self, space: AddressSpace, low: int, high: int) -> SyscallError | None:
        """Write the dirty pages of [low, high) to their files; tries all and returns the first failure.

        Bytes past the end of a file are not written. Pages that could not be written stay dirty.
        """
        failures = list[SyscallError]()
        for vma in space.vmas.parts(low, high):
            if vma.ip is None or not vma.writes_file:
                continue
            dirty = [va for va, _, pte in self._vm.leaves(space, vma.start, vma.end) if pte & PTE_D]
            dirty.reverse()
            while dirty:
                try:
                    with vma.ip.update():
                        self._write_some(space, vma, vma.ip, dirty)
                except SyscallError as error:
                    failures.append(error)
                    dirty.pop()
        return failures[0] if failures else None

    def _write_some(self, space: AddressSpace, vma: Vma, ip: Inode, dirty: list[int]) -> None:
        """Write pages, taking each from the end of `dirty`, while the transaction has room."""
        while True:
            index, pte = vma.page_index(dirty[-1]), self._vm.pte(space, dirty[-1])
            if pte & PTE_D and ip.pages.get(index) == pa_of(pte):  # else truncated while we slept
                if not ip.fs.write_page(ip, index):
                    return
                # fork shares no table with pages of a shared mapping in it: the entry is this space's own
                self._vm.clear(space, self._vm.walk(space, dirty[-1]), PTE_D)
                self._counts.pages_written += 1
            dirty.pop()
            if not dirty or not ip.fs.has_room():
                return

    # --- changing what is mapped ---

    def place(self, space: AddressSpace, addr: int, size: int, fixed: bool) -> int:
        """The address for a mapping of `size` bytes: `addr` if fixed or free, else the highest free one."""
        bottom, hint = pgroundup(space.sz), pgroundup(addr)
        require(not fixed or bottom <= addr == hint, EINVAL, f"nothing can be mapped at {addr:#x}")
        fits = max(bottom, PGSIZE) <= hint <= MMAP_TOP - size
        if fixed or (fits and not space.vmas.parts(hint, hint + size)):
            start = hint if fits else -1
        else:
            start = space.vmas.gap(size, bottom, MMAP_TOP)
        require(start >= 0, ENOMEM, f"no {size:#x} bytes of addresses are free")
        return start

    def replace(self, space: AddressSpace, low: int, high: int, *vmas: Vma) -> None:
        """Unmap [low, high) and put `vmas` there; if it fails, nothing has changed."""
        new = space.vmas.remove(low, high).insert(*vmas)
        failure = self.write_back(space, low, high)
        self._vm.unmap(space, low, high)
        if failure:
            self._report(space, failure)
            for vma in space.vmas.parts(low, high):
                if vma.ip is not None:
                    self._pages.forget(vma.ip)
        self._set(space, new)

    def protect(self, space: AddressSpace, part: Vma, prot: int) -> None:
        """Change the rights of a mapping, or of a part of one, to `prot`."""
        self.protect_pages(space, part.start, part.end, rights(prot), private=not part.shared)
        self._set(space, space.vmas.protect(part.start, part.end, prot))

    def protect_pages(self, space: AddressSpace, low: int, high: int, perm: int, *, private: bool) -> None:
        """Change the rights of the present pages of [low, high) to `perm` (0: none); raises OutOfMemory.

        A private page that was not writable becomes copy-on-write.
        """
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(self._vm.leaves(space, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and not old & PTE_W:
                new = new & ~PTE_W | PTE_COW
            self._vm.write(self._vm.walk(space, va, own=True), new)
            if perm & PTE_X:
                self._drop_code(pa_of(new), pa_of(new) + PGSIZE)
            space.generation += 1

    def _set(self, space: AddressSpace, vmas: VmaList) -> None:
        """Make `vmas` the mappings of `space`; may sleep when a reference is dropped."""
        before, after = ({vma.start: vma for vma in each} for each in (space.vmas, vmas))
        space.vmas = vmas
        for vma in after.values():
            if before.get(vma.start) != vma:
                self._count(vma, 1)
        for vma in before.values():
            if after.get(vma.start) != vma:
                self._count(vma, -1)

    def _count(self, vma: Vma, change: int) -> None:
        """Count one Vma more, or fewer, for the object that backs it."""
        ip, memory = vma.ip, vma.memory
        if memory is not None:
            memory.mappings += change
            for pa in memory.pages.values() if not memory.mappings else ():
                self._frames.free(pa)
        elif ip is not None:
            ip.mappings += change
            ip.writable_mappings += change * vma.writes_file
            if change > 0:
                ip.dup()
            else:
                with self._inodes.reaping():
                    ip.put()

    # --- processes and files that come and go ---

    def fork(self, parent: AddressSpace, child: AddressSpace, sp: int) -> None:
        """Give `child` the mappings of `parent`; `sp` is as in CopyOnWrite.copy.

        Pages of a shared mapping are not copied: the child faults them in.  On OutOfMemory the child is left
        without memory, including its heap.
        """
        if not parent.vmas:
            return
        try:
            for vma in parent.vmas:
                if not vma.shared:
                    self._cow.copy(parent, child, vma.start, vma.end, sp)
        except OutOfMemory:
            self._vm.unmap(child, 0, MMAP_TOP)
            raise
        self._set(child, parent.vmas)

    def drop_all(self, space: AddressSpace) -> None:
        """Remove all mappings of `space`, which exits or execs, and its heap with them.

        Unmapping everything never needs memory; unmapping a part might, to split a shared table.
        """
        if space.vmas:
            self.replace(space, 0, MMAP_TOP)

    def shared_memories(self) -> list[SharedMemory]:
        """The objects that back shared anonymous mappings, each once."""
        memories = (vma.memory for space in self._spaces() for vma in space.vmas if vma.memory is not None)
        return list(dict.fromkeys(memories))

    def holdings(self) -> Iterator[Holding]:
        """See FrameOwner."""
        for memory in self.shared_memories():
            for index, pa in memory.pages.items():
                yield Holding(pa, "shared memory", f"memory that is mapped shared, as page {index}")

    def truncated(self, ip: Inode) -> None:
        """The file was truncated: unmap the pages past its end, so that an access kills."""
        for space in self._spaces() if ip.mappings else ():
            for vma in space.vmas:
                low = max(vma.start, vma.start - vma.offset + pgroundup(ip.size))
                if vma.ip is ip and low < vma.end:
                    try:
                        self._vm.unmap(space, low, vma.end)
                    except OutOfMemory:  # no frame for a copy of a shared table
                        self._kill(space)
