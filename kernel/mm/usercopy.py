"""The kernel's way to the memory of programs, through their page tables.

Every pointer that a program hands the kernel goes through here: the page must be the user's and allow the
access.  `copyin` and `copyout` treat a page that is not there as the hart would, by a page fault: it may be
promised, copied on write, or part of a mapped file, and reading that may sleep.  So who copies holds no lock
and is in no operation of the log.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kernel.abi.memlayout import MAXVA, PGMASK, PGSIZE, SUPERPGMASK
from kernel.abi.riscv import PTE_A, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import BadAddress
from kernel.mm.space import AddressSpace

if TYPE_CHECKING:
    from kernel.kernel import Kernel

READABLE: Final = PTE_V | PTE_U | PTE_R
WRITABLE: Final = PTE_V | PTE_U | PTE_W
PIECE_MAX: Final = 4096  # bytes fetched from a program at a time; divides REST_IN_BYTES
REST_IN_BYTES: Final = 1 << 16  # copied for one call, after which the machine may be stopped: who takes
REST_OUT_BYTES: Final = 1 << 20  # them may be slow, and storing is not
DIRTY: Final = PTE_A | PTE_D


class UserCopy:
    """Copying between the kernel and processes. A byte costs a tick of virtual time."""

    def __init__(self, k: "Kernel") -> None:
        self._k = k
        self._clock: Final = k.clock
        self._bytes: Final = k.ram.bytes
        self._u64: Final = k.ram.u64
        self._base: Final = k.ram.base
        self._walk: Final = k.vm.walk
        self._owners: Final = k.frames.owners

    def _offset(self, space: AddressSpace, va: int, need: int) -> int:
        """Offset in RAM of address `va` of `space`, whose PTE must have the bits `need`."""
        if not 0 <= va < MAXVA:
            raise BadAddress(va)
        index = self._walk(space, va)
        pte = self._u64[index] if index >= 0 else 0
        if pte & need != need:
            if not self._k.pager.fault(space, va, need & (PTE_R | PTE_W)):
                raise BadAddress(va)
            index = self._walk(space, va)
            pte = self._u64[index]
            assert pte & need == need, f"the page at {va:#x} was faulted in without the right to be used"
        pa = (pte >> 10 << 12) + (va & (SUPERPGMASK if pte & PTE_SUPER else PGMASK))
        if need == WRITABLE:
            if pte & DIRTY != DIRTY:
                self._u64[index] = pte | DIRTY  # as the hart does
            page = pa & ~PGMASK
            if pte & PTE_X or self._owners(page) > 1:  # here or elsewhere these may be instructions
                self._k.drop_code(page, page + PGSIZE)
        return pa - self._base

    def copyin(self, space: AddressSpace, va: int, n: int) -> bytes:
        """The `n` bytes at address `va` of `space`; raises BadAddress."""
        if n <= 0:
            return b""
        self._clock.charge(n)
        offset = self._offset(space, va, READABLE)
        room = PGSIZE - (va & PGMASK)
        if n <= room:
            return bytes(self._bytes[offset : offset + n])
        parts = [bytes(self._bytes[offset : offset + room])]
        for at in range(va + room, va + n, PGSIZE):
            offset = self._offset(space, at, READABLE)
            parts.append(bytes(self._bytes[offset : offset + min(PGSIZE, va + n - at)]))
        return b"".join(parts)

    def copyout(self, space: AddressSpace, va: int, data: bytes | memoryview) -> None:
        """Store `data` at address `va` of `space`; raises BadAddress, with what lies before it stored."""
        n, done, rest_at = len(data), 0, REST_OUT_BYTES
        self._clock.charge(n)
        while done < n:
            offset = self._offset(space, va + done, WRITABLE)
            step = min(PGSIZE - (va + done & PGMASK), n - done)
            self._bytes[offset : offset + step] = data[done : done + step]
            done += step
            if done >= rest_at:
                rest_at += REST_OUT_BYTES
                self._k.sched.rest()

    def copyinstr(self, space: AddressSpace, va: int, limit: int) -> bytes:
        """The string at address `va` of `space` without its NUL, which is among the first `limit` bytes.

        Raises BadAddress where it is not.
        """
        parts = []
        at = va
        while at < va + limit:
            chunk = self._k.vm.peek(space, at, min(va + limit - at, PGSIZE - (at & PGMASK)))
            if chunk is None:
                if not self._k.pager.fault(space, at, PTE_R):
                    break
                continue
            head, end, _ = chunk.partition(b"\0")
            parts.append(head)
            if end:
                return b"".join(parts)
            at += len(chunk)
        raise BadAddress(at)


# What moves data for a program does so up to the first bad address.


def copyin_good(k: "Kernel", space: AddressSpace, va: int, n: int) -> bytes:
    """The `n` bytes at user address `va`, or those before the first bad one."""
    try:
        return k.copyin(space, va, n)
    except BadAddress as bad:
        return k.copyin(space, va, bad.va - va)


def copyin_most(
    k: "Kernel", space: AddressSpace, va: int, n: int, take: Callable[[bytes], object], unit: int = 1
) -> int:
    """Hand the `n` bytes at user address `va` piece by piece to `take`, up to a bad one; gives how many.

    They come in units of `unit` bytes, a divisor of PIECE_MAX, and one with a bad address in it does not.
    """
    done = 0
    while done < n:
        size = min(n - done, PIECE_MAX)
        data = copyin_good(k, space, va + done, size)
        if len(data) < size:
            data = data[: len(data) // unit * unit]
            take(data)
            return done + len(data)
        take(data)
        done += size
        if not done % REST_IN_BYTES:
            k.sched.rest()
    return done


def copyout_most(k: "Kernel", space: AddressSpace, va: int, data: bytes) -> int:
    """Store `data` at user address `va` up to the first page that cannot be written; gives how much."""
    try:
        k.copyout(space, va, data)
    except BadAddress as bad:
        return bad.va - va
    return len(data)
