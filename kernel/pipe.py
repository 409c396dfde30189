"""Pipes: a bounded queue of bytes between processes.

A pipe has two Files, one for each end.  A reader sleeps while the pipe is empty and somebody could still
write; a writer sleeps while it is full and somebody could still read.  Readers sleep on `Pipe.readers`,
writers on `Pipe.writers`, so that a wakeup finds the ones it means.

As programs see it bytes move one at a time: a bad buffer address ends a transfer after the bytes before it.
"""

from errno import EBADF, EFAULT, EINTR, EPIPE
from typing import TYPE_CHECKING, Final

from kernel.abi.param import PIPESIZE
from kernel.errors import SyscallError
from kernel.file import File
from kernel.usercopy import copyin_most, copyout_most

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc

FETCH_MAX: Final = 4096  # bytes fetched from a writer at a time


class _Side:
    """What one side of a pipe sleeps on."""

    def __init__(self, what: str) -> None:
        self.what: Final = what

    def __repr__(self) -> str:
        return self.what


class Pipe:
    """At most PIPESIZE bytes on their way."""

    def __init__(self, k: "Kernel") -> None:
        self._k = k
        self.data = b""
        self.read_open = True
        self.write_open = True
        self.readers: Final = _Side("bytes in a pipe")
        self.writers: Final = _Side("room in a pipe")

    def read(self, p: "Proc", va: int, n: int) -> int:
        """Take up to `n` bytes that are there; waits for the first. 0: no writer is left."""
        while not self.data and self.write_open:
            if p.killed:
                raise SyscallError(EINTR, "killed while the pipe was empty")
            self._k.sleep(self.readers)
        n = max(n, 0)
        chunk, self.data = self.data[:n], self.data[n:]  # out of the pipe first: the copy may sleep
        copied = copyout_most(self._k, p, va, chunk) if chunk else 0
        if copied < len(chunk):
            self.data = chunk[copied:] + self.data
        self._k.wakeup(self.writers)
        if chunk and not copied:
            raise SyscallError(EFAULT, "nothing could be stored")
        return copied

    def write(self, p: "Proc", va: int, n: int) -> int:
        """Put in `n` bytes, waiting for room. Fails where the last reader goes or `p` is killed first."""
        done = 0
        while done < n:
            wanted = min(n - done, FETCH_MAX)
            chunk = copyin_most(self._k, p, va + done, wanted)
            self._put(p, chunk)
            done += len(chunk)
            if len(chunk) < wanted:
                break
        self._k.wakeup(self.readers)
        return done

    def _put(self, p: "Proc", chunk: bytes) -> None:
        """Append `chunk` piece by piece as room comes up."""
        while True:
            if not self.read_open:
                raise SyscallError(EPIPE, "nobody can read the pipe any more")
            if p.killed:
                raise SyscallError(EINTR, "killed in a write to a pipe")
            room = max(0, PIPESIZE - len(self.data))  # less than none where a reader put bytes back
            self.data += chunk[:room]
            chunk = chunk[room:]
            if not chunk:
                return
            self._k.wakeup(self.readers)
            self._k.sleep(self.writers)

    def close(self, writer: bool) -> None:
        """Close one end for good and tell the other. Never blocks."""
        if writer:
            self.write_open = False
        else:
            self.read_open = False
        self._k.wakeup(self.readers if writer else self.writers)


class PipeEnd(File):
    """The end of `pipe` that is read, or the one that is written."""

    def __init__(self, k: "Kernel", pipe: Pipe, writer: bool) -> None:
        super().__init__(k, readable=not writer, writable=writer)
        self.pipe: Final = pipe

    def read(self, p: "Proc", va: int, n: int) -> int:
        if not self.readable:
            raise SyscallError(EBADF, "not open for reading")
        return self.pipe.read(p, va, n)

    def write(self, p: "Proc", va: int, n: int) -> int:
        if not self.writable:
            raise SyscallError(EBADF, "not open for writing")
        return self.pipe.write(p, va, n)

    def release(self) -> None:
        self.pipe.close(self.writable)
