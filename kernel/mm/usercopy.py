"""The kernel's way to the memory of programs, through their page tables.

Every pointer that a program hands the kernel goes through here: the page must be the user's and allow the
access.  `copyin` and `copyout` treat a page that is not there as the hart would, by a page fault: it may be
promised, copied on write, or part of a mapped file, and reading that may sleep.  So the caller holds no locks
and has no transaction open.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from emu.clock import Clock
from emu.ram import Ram
from kernel.abi.memlayout import MAXVA, PGMASK, PGSIZE, SUPERPGMASK
from kernel.abi.riscv import PTE_A, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.errors import BadAddress
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.pagetable import VirtualMemory, byte_at
from kernel.mm.space import AddressSpace

READABLE: Final = PTE_V | PTE_U | PTE_R
WRITABLE: Final = PTE_V | PTE_U | PTE_W
PIECE_MAX: Final = 4096  # bytes fetched from a program at a time; divides REST_IN_BYTES
# Bytes of one call after which the machine may be stopped: consuming them may be slow, storing them is fast.
REST_IN_BYTES: Final = 1 << 16
REST_OUT_BYTES: Final = 1 << 20
DIRTY: Final = PTE_A | PTE_D


class UserCopy:
    """Copying between the kernel and address spaces. A byte costs a tick of virtual time.

    `fault(space, va, access)` faults a page in, and says whether it could.  `rest` lets the workbench stop
    the machine in the middle of a long copy.
    """

    def __init__(
        self,
        ram: Ram,
        clock: Clock,
        frames: FrameAllocator,
        vm: VirtualMemory,
        drop_code: Callable[[int, int], None],
        fault: Callable[[AddressSpace, int, int], bool],
        rest: Callable[[], None],
    ) -> None:
        self._clock: Final = clock
        self._bytes: Final = ram.bytes
        self._u64: Final = ram.u64
        self._base: Final = ram.base
        self._walk: Final = vm.walk
        self._peek: Final = vm.peek
        self._write: Final = vm.write
        self._owners: Final = frames.owners
        self._drop_code: Final = drop_code
        self._fault: Final = fault
        self.rest: Final = rest

    def _offset(self, space: AddressSpace, va: int, need: int) -> int:
        """The offset in RAM of address `va` of `space`, whose PTE must have the bits `need`."""
        if not 0 <= va < MAXVA:
            raise BadAddress(va)
        index = self._walk(space, va)
        pte = self._u64[index] if index >= 0 else 0
        if pte & need != need:
            if not self._fault(space, va, need & (PTE_R | PTE_W)):
                raise BadAddress(va)
            index = self._walk(space, va)
            pte = self._u64[index]
            assert pte & need == need, f"the page at {va:#x} was faulted in without the right to be used"
        pa = (pte >> 10 << 12) + (va & (SUPERPGMASK if pte & PTE_SUPER else PGMASK))
        if need == WRITABLE:
            if pte & DIRTY != DIRTY:
                self._write(index, pte | DIRTY)  # as the hart does
            page = pa & ~PGMASK
            if pte & PTE_X or self._owners(page) > 1:  # here or elsewhere these may be instructions
                self._drop_code(page, page + PGSIZE)
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
                self.rest()

    def store(self, space: AddressSpace, va: int, data: bytes) -> None:
        """Store at mapped pages, whatever their rights: for exec, which fills what nobody else has yet."""
        done = 0
        while done < len(data):
            step = min(PGSIZE - (va + done & PGMASK), len(data) - done)
            pte = self._u64[self._walk(space, va + done)]
            pa = byte_at(pte, va + done)
            self._bytes[pa - self._base : pa - self._base + step] = data[done : done + step]
            if pte & PTE_X:
                self._drop_code(pa, pa + step)
            done += step

    def copyinstr(self, space: AddressSpace, va: int, limit: int) -> bytes:
        """The string at address `va` of `space` without its NUL, which is among the first `limit` bytes.

        Raises BadAddress where it is not.
        """
        parts = []
        at = va
        while at < va + limit:
            chunk = self._peek(space, at, min(va + limit - at, PGSIZE - (at & PGMASK)))
            if chunk is None:
                if not self._fault(space, at, PTE_R):
                    break
                continue
            head, end, _ = chunk.partition(b"\0")
            parts.append(head)
            if end:
                return b"".join(parts)
            at += len(chunk)
        raise BadAddress(at)


class Memory(Protocol):
    """What a `UserBuffer` copies with: a UserCopy."""

    def copyin(self, space: AddressSpace, va: int, n: int) -> bytes: ...

    def copyout(self, space: AddressSpace, va: int, data: bytes) -> None: ...

    def rest(self) -> object: ...


class UserBuffer:
    """Where a system call reads what a program sends, or stores what it receives: ranges of its memory.

    Bytes move in order and up to the first bad address.  Where `take` or `put` moves fewer than asked,
    `bad` says why, and the caller decides whether that fails the call.
    """

    def __init__(self, memory: Memory, space: AddressSpace, *ranges: tuple[int, int]) -> None:
        """`ranges` are (address, length); those with a negative length count as empty."""
        self._memory: Final = memory
        self._space: Final = space
        self._ranges: Final = ranges
        self._va: int | None = None  # of the range, if it is the only one
        if len(ranges) == 1:  # fast path: so it is for all but vectors
            self._va, end = ranges[0]
        else:
            end = sum(n for _, n in ranges if n > 0)
        self._end: Final = end if end > 0 else 0
        self.done = 0  # bytes moved
        self.bad: BadAddress | None = None

    @property
    def remaining(self) -> int:
        """How many bytes are still to be moved."""
        return self._end - self.done

    def _next(self, left: int) -> tuple[int, int]:
        """Where the next bytes are, up to `left` of them: their address, and how many are in that range."""
        at = self.done
        if self._va is not None:
            return self._va + at, left
        for va, n in self._ranges:
            if at < n:
                return va + at, min(n - at, left)
            at -= max(n, 0)
        return 0, 0

    def take(self, n: int) -> bytes:
        """The next `n` bytes, or as many as there are."""
        data, left = b"", min(n, self._end - self.done)
        while left > 0 and self.bad is None:
            va, size = self._next(left)
            try:
                part = self._memory.copyin(self._space, va, size)
            except BadAddress as bad:
                self.bad = bad
                part = self._memory.copyin(self._space, va, bad.va - va)
            data += part
            self.done += len(part)
            left -= size
        return data

    def give_back(self, n: int) -> None:
        """The last `n` bytes taken were not used: they come again."""
        self.done -= n

    def put(self, data: bytes) -> int:
        """Store `data`, or as much of it as there is room for; gives how much."""
        before = self.done
        left = min(len(data), self._end - before)
        while left > 0 and self.bad is None:
            va, step = self._next(left)
            start = self.done - before
            try:
                self._memory.copyout(self._space, va, data[start : start + step])
            except BadAddress as bad:
                self.bad = bad
                step = bad.va - va
            self.done += step
            left -= step
        return self.done - before

    def pieces(self, unit: int = 1) -> Iterator[bytes]:
        """What remains, piece by piece, up to a bad address; after some the machine may be stopped.

        They come in units of `unit` bytes, a divisor of PIECE_MAX, and one with a bad address in it does not.
        """
        begin = self.done
        while self.done < self._end:
            data = self.take(PIECE_MAX)
            if self.bad:
                self.give_back(len(data) % unit)
                yield data[: len(data) // unit * unit]
                return
            yield data
            if not (self.done - begin) % REST_IN_BYTES:
                self._memory.rest()
