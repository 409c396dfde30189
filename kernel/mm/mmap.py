"""Memory mappings: files, and memory that parents and children share, in the address spaces of processes.

    0              sz                             MMAP_TOP
    | program, heap -> |  ...  <- mappings | b | a | guard page | what the kernel maps |

What is promised where is in `AddressSpace.vmas` (vma.py), which changes here only; what is there already is
in the page table.  mmap reads nothing: the first touch of a page comes to `page_in`, by way of fault.py.  The
pages are frames of the page cache, private ones until a store copies them, so that all see one truth of a
file.

In each page table the hart marks by PTE_D which pages were stored to through it.  Exactly these are written
back to the file, by msync and before they are unmapped: by munmap, exec, exit, or a mapping in their place.
So a frame that nobody maps holds nothing that is not in the file, and the cache may drop it.

Write-back, and giving up an inode, begin operations of the log: who calls is in none and has no inode locked.
"""

from collections.abc import Sequence
from errno import EACCES, EINVAL, ENODEV, ENOMEM, EOVERFLOW
from typing import TYPE_CHECKING, Final

from kernel.abi import fcntl
from kernel.abi.memlayout import PGMASK, PGSHIFT, PGSIZE, TRAPFRAME, USYSCALL
from kernel.abi.param import MAXOPBLOCKS
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import OutOfMemory, SyscallError
from kernel.fs.file import InodeFile
from kernel.mm.pagetable import LEAF, PA_FROM_PTE_SHIFT, pa_of, pgroundup
from kernel.mm.space import AddressSpace
from kernel.mm.vma import Vma, VmaList

if TYPE_CHECKING:
    from kernel.fs.xv6fs.inode import Inode
    from kernel.kernel import Kernel
    from kernel.proc import Proc

MMAP_TOP: Final = USYSCALL - PGSIZE
UNMAPPED_MAX: Final = 8  # ranges that a process remembers
AROUND: Final = 16 * PGSIZE  # the window around a fault in which pages that are in memory are mapped too
OFFSET_MAX: Final = (1 << 63) - 1  # what a signed 64-bit offset can say
RIGHTS: Final = LEAF | PTE_U | PTE_COW  # of an entry
KIND: Final = fcntl.MAP_SHARED | fcntl.MAP_PRIVATE
WRITE_EXEC: Final = fcntl.PROT_WRITE | fcntl.PROT_EXEC
SYNC_ASYNC: Final = fcntl.MS_SYNC | fcntl.MS_ASYNC


class SharedMemory:
    """Behind MAP_SHARED | MAP_ANONYMOUS: the frames touched so far, owned as long as it has `mappings`."""

    def __init__(self) -> None:
        self.pages: Final[dict[int, int]] = {}  # frame by page index
        self.mappings = 0


def rights(prot: int) -> int:
    """The PTE bits for PROT bits, which stand in the same order; RISC-V cannot have W without R."""
    return prot << 1 | (PTE_R if prot & fcntl.PROT_WRITE else 0)


def require(holds: bool, code: int, what: str) -> None:
    """The call fails with `code` where something does not hold."""
    if not holds:
        raise SyscallError(code, what)


class Mmap:
    """The mappings of the processes of `k`."""

    def __init__(self, k: "Kernel") -> None:
        self._k = k

    # --- the first touch of a page ---

    def page_in(self, space: AddressSpace, vma: Vma, va: int, access: int) -> bool:
        """Map the page at `va`, which is in `vma` and not mapped, for `access` (PTE_R, _W, _X); may sleep.

        False where that is not allowed, behind the end of the file, or where memory or the disk fails.
        """
        k, perm, page = self._k, rights(vma.prot), va & ~PGMASK
        if not perm & access:
            return False
        try:
            if vma.ip is None and vma.memory is None:
                k.vm.map_new(space, page, perm)
                k.counts.zero_filled += 1
                return True
            pa = self._frame(vma, vma.page_index(page))
            if pa:
                self._map(space, vma, page, pa, access)
            return pa != 0
        except SyscallError:  # OutOfMemory, EIO: to the program as if there were nothing
            return False

    def _frame(self, vma: Vma, index: int) -> int:
        """The frame with page `index` of what is behind `vma`, to be mapped at once; 0 for none."""
        k, ip, pages = self._k, vma.ip, vma.pages
        if index in pages:  # not behind the end: a file that is cut off has no pages in memory
            return pages[index]
        if ip is not None:
            with k.fs.locked(ip):
                return k.pages.frame(ip, index) if index << PGSHIFT < ip.size else 0
        k.counts.zero_filled += 1
        return pages.setdefault(index, k.vm.create())

    def _map(self, space: AddressSpace, vma: Vma, page: int, pa: int, access: int) -> None:
        """Map a frame, or the copy of it that a store needs, and the neighbours that are in memory too."""
        k, perm = self._k, rights(vma.prot)
        if perm & PTE_W and not vma.shared:
            perm ^= PTE_W | PTE_COW
        k.vm.map_shared(space, page, pa, perm)
        if not perm & access:
            k.cow.break_cow(space, page)
        low, high = max(page & -AROUND, vma.start), min((page & -AROUND) + AROUND, vma.end)
        frames = [vma.pages.get(i, 0) for i in range(vma.page_index(low), vma.page_index(high))]
        mapped = self.map_missing(space, low, frames, perm)
        for new in (pa, *mapped) if perm & PTE_X else ():
            k.drop_code(new, new + PGSIZE)
        k.counts.paged_in += vma.ip is not None
        k.counts.mapped_around += len(mapped)

    def map_missing(self, space: AddressSpace, va: int, frames: Sequence[int], perm: int) -> list[int]:
        """Map frames (0: none) at the pages from `va` on where nothing is mapped; gives those it mapped.

        All are in one table, in which something was mapped just before. Each frame has another owner.
        """
        k, mapped = self._k, []
        for index, pa in enumerate(frames, k.vm.walk(space, va)):
            if pa and not k.ram.u64[index]:
                k.frames.share(pa)
                k.vm.write(index, pa >> PA_FROM_PTE_SHIFT | perm | PTE_U | PTE_V)
                mapped.append(pa)
        return mapped

    # --- write-back ---

    def write_back(self, space: AddressSpace, low: int, high: int) -> SyscallError | None:
        """Write to the files what was stored in [low, high). All is tried; gives the first failure.

        What lies behind the end of a file has no place there. What could not be written stays dirty.
        """
        k, failures = self._k, list[SyscallError]()
        for vma in space.vmas.parts(low, high):
            if vma.ip is None or not vma.writes_file:
                continue
            dirty = [va for va, _, pte in k.vm.leaves(space, vma.start, vma.end) if pte & PTE_D]
            dirty.reverse()
            while dirty:
                try:
                    with k.log, k.fs.locked(vma.ip):
                        self._write_some(space, vma, vma.ip, dirty)
                except SyscallError as error:
                    failures.append(error)
                    dirty.pop()
        return failures[0] if failures else None

    def _write_some(self, space: AddressSpace, vma: Vma, ip: "Inode", dirty: list[int]) -> None:
        """Write pages, taking each from the end of `dirty`, as far as one operation has room for them."""
        k = self._k
        while True:
            index, pte = vma.page_index(dirty[-1]), k.vm.pte(space, dirty[-1])
            if pte & PTE_D and ip.pages.get(index) == pa_of(pte):  # else it was cut off while we waited
                if not k.fs.write_page(ip, index):
                    return
                # fork shares no table with pages of a shared mapping in it: the entry is this space's own
                k.vm.clear(space, k.vm.walk(space, dirty[-1]), PTE_D)
                k.counts.pages_written += 1
            dirty.pop()
            if not dirty or k.log.claim(MAXOPBLOCKS) < MAXOPBLOCKS:
                return

    # --- changing what is mapped ---

    def place(self, space: AddressSpace, addr: int, size: int, fixed: bool) -> int:
        """Where to map `size` bytes: at `addr` if it is fixed or free, else as high as possible."""
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
        """Unmap [low, high) and put `vmas` there; fails before it has changed anything."""
        k, new = self._k, space.vmas.remove(low, high).insert(*vmas)
        failure = self.write_back(space, low, high)
        k.vm.unmap(space, low, high)
        if failure:
            p = k.procs.of(space)
            k.printf(f"{p.pid} {p.name}: stores to a mapped file are lost: {failure}\n")
            for vma in space.vmas.parts(low, high):
                if vma.ip is not None:
                    k.pages.forget(vma.ip)
        self._set(space, new)

    def protect(self, space: AddressSpace, part: Vma, prot: int) -> None:
        """Give a mapping or a part of one the rights `prot`."""
        self.protect_pages(space, part.start, part.end, rights(prot), private=not part.shared)
        self._set(space, space.vmas.protect(part.start, part.end, prot))

    def protect_pages(self, space: AddressSpace, low: int, high: int, perm: int, *, private: bool) -> None:
        """Give the pages of [low, high) that are mapped the rights `perm` (0: nobody's); raises OutOfMemory.

        A private page that could not be written before becomes writable by copying.
        """
        k = self._k
        rights = perm | PTE_U if perm else PTE_R  # an entry without R, W and X would point to a table
        for va, _, old in list(k.vm.leaves(space, low, high)):
            assert not old & PTE_SUPER, "superpages are the heap's"
            new = old & ~RIGHTS | rights
            if private and perm & PTE_W and not old & PTE_W:
                new = new & ~PTE_W | PTE_COW
            k.vm.write(k.vm.walk(space, va, own=True), new)
            if perm & PTE_X:
                k.drop_code(pa_of(new), pa_of(new) + PGSIZE)
            space.generation += 1

    def _set(self, space: AddressSpace, vmas: VmaList) -> None:
        """Make `vmas` the mappings of `space`; may sleep where a reference is given up."""
        before, after = ({vma.start: vma for vma in each} for each in (space.vmas, vmas))
        space.vmas = vmas
        for vma in after.values():
            if before.get(vma.start) != vma:
                self._count(vma, 1)
        for vma in before.values():
            if after.get(vma.start) != vma:
                self._count(vma, -1)

    def _count(self, vma: Vma, change: int) -> None:
        """One Vma more, or fewer, refers to what is behind it."""
        k, ip, memory = self._k, vma.ip, vma.memory
        if memory is not None:
            memory.mappings += change
            for pa in memory.pages.values() if not memory.mappings else ():
                k.frames.free(pa)
        elif ip is not None:
            ip.mappings += change
            ip.writable_mappings += change * vma.writes_file
            if change > 0:
                k.fs.idup(ip)
            else:
                with k.fs.unlogged():
                    k.fs.iput(ip)

    # --- processes and files that come and go ---

    def fork(self, parent: AddressSpace, child: AddressSpace, sp: int) -> None:
        """Give `child` the mappings of `parent`; `sp` is as in CopyOnWrite.copy.

        Pages of a shared mapping need no copying: the child finds them as its parent did.  On OutOfMemory it
        is left without memory, its heap included.
        """
        vm = self._k.vm
        try:
            for vma in parent.vmas:
                if not vma.shared:
                    self._k.cow.copy(parent, child, vma.start, vma.end, sp)
        except OutOfMemory:
            vm.unmap(child, 0, MMAP_TOP)
            raise
        self._set(child, parent.vmas)

    def drop_all(self, space: AddressSpace) -> None:
        """End the mappings of `space`, which exits or begins another program; the heap goes with them.

        Unmapping all that the process has never needs memory; a part of it might, to split a table.
        """
        if space.vmas:
            self.replace(space, 0, MMAP_TOP)

    def truncated(self, ip: "Inode") -> None:
        """The file became shorter: unmap what is wholly behind its end, so that a touch kills."""
        for p in self._k.procs if ip.mappings else ():
            for vma in p.space.vmas:
                low = max(vma.start, vma.start - vma.offset + pgroundup(ip.size))
                if vma.ip is ip and low < vma.end:
                    try:
                        self._k.vm.unmap(p.space, low, vma.end)
                    except OutOfMemory:  # it shares a table with another, and there is no room for a second
                        self._k.procs.kill(p.pid)

    def lowest(self, space: AddressSpace) -> int:
        """Where its heap must end."""
        return space.vmas[0].start if space.vmas else USYSCALL if self._k.usyscall else TRAPFRAME


# --- the system calls ---


def sys_mmap(
    k: "Kernel", p: "Proc", addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """Map `length` bytes of a file from `offset` on, or of zeroes, into memory; gives the address."""
    shared, anonymous = bool(flags & fcntl.MAP_SHARED), bool(flags & fcntl.MAP_ANONYMOUS)
    known = not flags & ~(KIND | fcntl.MAP_FIXED | fcntl.MAP_ANONYMOUS)
    require(known and flags & KIND not in (0, KIND), EINVAL, f"flags {flags:#x}")
    require(length > 0 and not offset & PGMASK, EINVAL, f"{length:#x} bytes at offset {offset:#x}")
    file = None if anonymous else _file_to_map(p, fd)
    may_write = file is None or file.writable or not shared
    _check_rights(prot, may_write)
    size = pgroundup(length)
    start = k.mmap.place(p.space, addr, size, bool(flags & fcntl.MAP_FIXED))
    require(offset + length <= OFFSET_MAX, EOVERFLOW, f"{length:#x} bytes at offset {offset:#x}")
    memory = SharedMemory() if anonymous and shared else None
    if anonymous:
        offset = 0 if shared else start
    ip, kind = file.ip if file else None, flags & ~fcntl.MAP_FIXED
    vma = Vma(start, start + size, prot, kind, ip, offset, memory, may_write)
    k.mmap.replace(p.space, start, vma.end, vma)
    return start


def _file_to_map(p: "Proc", fd: int) -> InodeFile:
    file = p.files.file(fd)
    if not isinstance(file, InodeFile) or file.ip.type != fcntl.T_FILE:
        raise SyscallError(ENODEV, "only files can be mapped")
    require(file.readable, EACCES, "the file is not open for reading")
    return file


def _check_rights(prot: int, may_write: bool) -> None:
    require(not prot & ~(WRITE_EXEC | fcntl.PROT_READ), EINVAL, f"rights {prot:#x}")
    require(prot & WRITE_EXEC != WRITE_EXEC, EACCES, "nothing is both writable and executable")
    require(may_write or not prot & fcntl.PROT_WRITE, EACCES, "the file is not open for writing")


def _end_of_range(p: "Proc", addr: int, length: int) -> int:
    """The end of a range of addresses, which is one of whole pages where mmap may map."""
    high = addr + pgroundup(length)
    in_area = pgroundup(p.space.sz) <= addr and high <= MMAP_TOP and not addr & PGMASK
    require(in_area, EINVAL, f"{length:#x} bytes at {addr:#x}")
    return high


def sys_munmap(k: "Kernel", p: "Proc", addr: int, length: int) -> int:
    """End the mappings, or parts of them, in a range of addresses."""
    require(length > 0, EINVAL, "no bytes")
    high = _end_of_range(p, addr, length)
    k.mmap.replace(p.space, addr, high)
    p.space.unmapped = (*p.space.unmapped[1 - UNMAPPED_MAX :], (addr, high))
    return 0


def sys_mprotect(k: "Kernel", p: "Proc", addr: int, length: int, prot: int) -> int:
    """Change what the program may do in a range of addresses; its first part, where memory is exhausted."""
    high = _end_of_range(p, addr, length)
    parts = p.space.vmas.parts(addr, high)
    _check_rights(prot, all(part.may_write for part in parts))
    require(p.space.vmas.cover(addr, high), ENOMEM, "not all of it is mapped")
    p.space.vmas.protect(addr, high, prot)  # fails here if these would be too many
    for part in parts:
        k.mmap.protect(p.space, part, prot)
    return 0


def sys_msync(k: "Kernel", p: "Proc", addr: int, length: int, flags: int) -> int:
    """Write what was stored in a range of addresses to its files. There is one cache: that is all."""
    known = not flags & ~(SYNC_ASYNC | fcntl.MS_INVALIDATE)
    require(known and flags & SYNC_ASYNC != SYNC_ASYNC, EINVAL, f"flags {flags:#x}")
    high = _end_of_range(p, addr, length)
    failure = k.mmap.write_back(p.space, addr, high)
    if failure:
        raise failure
    require(p.space.vmas.cover(addr, high), ENOMEM, "not all of it is mapped")
    return 0
