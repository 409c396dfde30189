"""Pipes: a bounded queue of bytes between processes.

A pipe has two Files, one for each end, and an end is open as long as its File is.  A reader sleeps while the
pipe is empty and somebody could still write; a writer sleeps while it is full and somebody could still read.
They sleep on the File of their end.  Each end serves them in the order in which they came; a write that finds
too little room queues again with the rest, behind the others, so that two writers take turns, as in xv6.

To programs, bytes seem to move one at a time: a bad buffer address ends a transfer after the bytes before it.
"""

from errno import EFAULT, EINTR, EPIPE
from typing import Final

from kernel.abi.fcntl import POLLERR, POLLHUP, POLLIN, POLLOUT
from kernel.abi.param import PIPESIZE
from kernel.errors import SyscallError
from kernel.fs.buffer import Buffer
from kernel.fs.file import File
from kernel.wait import Threads, WaitQueue


class Pipe:
    """At most PIPESIZE bytes on their way from `writer` to `reader`."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads
        self.data = b""
        self.reader: Final = PipeEnd(self, writer=False)
        self.writer: Final = PipeEnd(self, writer=True)
        self._readers: Final = WaitQueue(threads, self.reader)
        self._writers: Final = WaitQueue(threads, self.writer)

    def read(self, buf: Buffer) -> int:
        """Take as many bytes as are there and fit; waits for the first. 0: no writer is left."""
        if not self._readers.wait(self._gives, killable=True):
            raise SyscallError(EINTR, "killed while the pipe was empty")
        n = buf.remaining
        chunk, self.data = self.data[:n], self.data[n:]  # out of the pipe first: the copy may sleep
        copied = buf.put(chunk)
        if copied < len(chunk):
            self.data = chunk[copied:] + self.data
        self.notify()
        if chunk and not copied:
            raise SyscallError(EFAULT, "nothing could be stored")
        return copied

    def write(self, buf: Buffer) -> int:
        """Put in all bytes, waiting for room. Fails where the last reader goes or the caller is killed."""
        for piece in buf.pieces():
            self._put(piece)
        if buf.bad:
            self._wait_for_room()  # for the byte whose address then is found to be bad
            self.notify()
        return buf.done

    def _put(self, piece: bytes) -> None:
        """Append `piece` bit by bit as room comes up."""
        while piece:
            room = self._wait_for_room()
            self.data += piece[:room]
            piece = piece[room:]
            self.notify()

    def _wait_for_room(self) -> int:
        """How many bytes can be put in, at least one; fails where nobody will read them, or by a kill."""
        while True:
            if not self.reader.ref:
                self.notify()  # the next one fails too
                raise SyscallError(EPIPE, "nobody can read the pipe any more")
            if self._threads.mythread().interrupted:
                raise SyscallError(EINTR, "killed in a write to a pipe")
            if self._writers.wait(self._takes, killable=True) and self.reader.ref:
                return PIPESIZE - len(self.data)

    def _gives(self) -> bool:
        """Whether a reader need not wait: there are bytes or no writer."""
        return bool(self.data) or not self.writer.ref

    def _takes(self) -> bool:
        """Whether a writer need not wait: there is room (a reader may have put bytes back) or no reader."""
        return len(self.data) < PIPESIZE or not self.reader.ref

    def notify(self) -> None:
        """Something came, went or was left over, or an end was closed: wake whom it serves."""
        self._readers.notify()
        self._writers.notify()


class PipeEnd(File):
    """The end of `pipe` that is read, or the one that is written."""

    def __init__(self, pipe: Pipe, writer: bool) -> None:
        super().__init__(readable=not writer, writable=writer)
        self.pipe: Final = pipe

    def read(self, buf: Buffer) -> int:
        return self.pipe.read(buf)

    def write(self, buf: Buffer) -> int:
        return self.pipe.write(buf)

    def poll(self) -> int:
        pipe = self.pipe
        if self.writable:
            return POLLERR if not pipe.reader.ref else POLLOUT if len(pipe.data) < PIPESIZE else 0
        return (POLLIN if pipe.data else 0) | (0 if pipe.writer.ref else POLLHUP)

    def release(self) -> None:
        self.pipe.notify()

    def __repr__(self) -> str:
        return "room in a pipe" if self.writable else "bytes in a pipe"
