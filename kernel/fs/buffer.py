"""Buffers: where a write takes its bytes from, and where a read puts them.

Files, pipes and drivers move bytes through a Buffer and know no addresses.  The buffer of a system call is in
the program's memory (`UserBuffer` in mm/usercopy.py), in one range or several; moving its bytes may sleep, so
the caller holds no locks.  A KernelBuffer is what the kernel itself reads into or writes from.
"""

from collections.abc import Iterator
from typing import Protocol

from kernel.errors import SyscallError


class Buffer(Protocol):
    """Bytes move in order, and up to the first bad address: then `bad` says why."""

    @property
    def done(self) -> int:
        """How many bytes were moved."""

    @property
    def remaining(self) -> int:
        """How many bytes are still to be moved."""

    @property
    def bad(self) -> SyscallError | None:
        """Why fewer were moved than were asked for; whether that fails the call is for the caller to say."""

    def take(self, n: int, /) -> bytes:
        """The next `n` bytes, or as many as there are."""

    def give_back(self, n: int, /) -> None:
        """The last `n` bytes taken were not used: they come again."""

    def put(self, data: bytes, /) -> int:
        """Store `data`, or as much of it as there is room for; gives how much."""

    def pieces(self, unit: int = 1, /) -> Iterator[bytes]:
        """What remains, piece by piece, in units of `unit` bytes."""


class KernelBuffer:
    """A Buffer in the kernel's own memory: `data` is what can be taken, and what was put is in its place."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = bytearray(data)
        self.done = 0
        self.bad: SyscallError | None = None

    @property
    def remaining(self) -> int:
        """See Buffer."""
        return len(self.data) - self.done

    def take(self, n: int) -> bytes:
        """See Buffer."""
        taken = bytes(self.data[self.done : self.done + n])
        self.done += len(taken)
        return taken

    def give_back(self, n: int) -> None:
        """See Buffer."""
        self.done -= n

    def put(self, data: bytes) -> int:
        """See Buffer."""
        n = min(len(data), self.remaining)
        self.data[self.done : self.done + n] = data[:n]
        self.done += n
        return n

    def pieces(self, unit: int = 1) -> Iterator[bytes]:
        """See Buffer."""
        if self.remaining:
            yield self.take(self.remaining)
