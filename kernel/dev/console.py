"""The console: a terminal that hands whole lines to programs, and the kernel's own voice.

Keys come from the UART through `intr`, which edits the line that is being typed and echoes; `read` gives a
program a finished line, `write` and `putstr` send bytes out.  The line editor's keys:

    Enter   ends the line            ^H, DEL   take back a byte      ^D   ends the input
    ^P      prints the processes     ^U        takes back the line

A program can take over the editing, where a terminal is at the console: in the raw mode of ttymode() it gets
each key as it comes, and what was typed ahead is handed over.  The mode ends with the process.

A key goes to the line being edited.  The end of the line moves this to the finished input, from where it is
read.  Both together have at most INPUT_BUF_SIZE bytes.  Processes that wait get a line each, in the order in
which they came; what a short read leaves of a line goes to the next reader, as in xv6.

The workbench watches the machine through `on_output`, `on_read_wait` and `readers`; what it does there must
not change anything here.
"""

import re
from collections.abc import Callable
from errno import EINTR, EINVAL, ENOTTY
from typing import TYPE_CHECKING, Final

from kernel.abi.fcntl import POLLIN, POLLOUT
from kernel.abi.param import INPUT_BUF_SIZE
from kernel.abi.tty import TTY_ASK, TTY_COOKED, TTY_MODE, TTY_RAW
from kernel.dev.uart import UartDriver
from kernel.errors import SyscallError
from kernel.fs.buffer import Buffer
from kernel.fs.chardev import CharDevice
from kernel.wait import Threads, WaitQueue

if TYPE_CHECKING:
    from kernel.proc import Process
    from kernel.thread import Thread

CTRL_D, CTRL_H, CTRL_P, CTRL_U = 0x04, 0x08, 0x10, 0x15
NEWLINE, RETURN, DELETE = 0x0A, 0x0D, 0x7F
LINE: Final = re.compile(rb"[^\n\x04]*\n?")  # to the end of a line, or to before a ^D
WRITE_UNIT, WRITE_UNIT_SINCE = 32, 2025  # bytes that the console of xv6 takes at once, and since which year
RUBOUT: Final = b"\b \b"  # wipes the byte before the cursor
ECHO: Final = 0  # in place of a pid: the bytes are the echo of keys


class Console(CharDevice):
    """The console on `uart`.

    `year` is that of the course; `columns` are those of the terminal at its other end; 0: there is a pipe,
    or nobody.
    """

    def __init__(self, uart: UartDriver, threads: Threads, year: int, columns: int) -> None:
        self._uart: Final = uart
        self._threads: Final = threads
        self._write_unit: Final = WRITE_UNIT if year >= WRITE_UNIT_SINCE else 1
        self.processes: Callable[[], str] = lambda: ""  # what ^P prints
        uart.receive = self.intr
        self._finished = b""  # input that can be read
        self._in_line = False  # it begins in the middle of a line: the next reader gets the rest at once
        self._line = b""  # the line being edited
        self._columns: Final = columns
        self._raw_for: Process | None = None  # the process that edits its lines itself
        # Called with the bytes that go out, in order, and the pid of the process that writes them
        # (ECHO: echo of keys, None: the kernel's own messages).
        self.on_output: Callable[[int | None, bytes], None] | None = None
        self._lines: Final = WaitQueue(threads, self)  # for finished input
        self._lines.on_pause = self._told_of_wait
        self.on_read_wait: Callable[[Process], None] | None = None  # called before a process waits for a line

    @property
    def readers(self) -> list["Process"]:
        """Processes that wait for a line, in the order in which they began to."""
        return [thread.process for thread, _ in self._lines.waiting]

    def _told_of_wait(self, thread: "Thread") -> None:
        if self.on_read_wait is not None:
            self.on_read_wait(thread.process)

    # --- input ---

    @property
    def room(self) -> int:
        """How many keys can come in before one is dropped."""
        return INPUT_BUF_SIZE - len(self._finished) - len(self._line)

    def intr(self, key: int) -> None:
        """A byte was typed: edit the line, echo. Never blocks."""
        if self._raw_for is not None:
            if self.room > 0:
                self._finished += bytes((NEWLINE if key == RETURN else key,))
                self._lines.notify()
        elif key == CTRL_P:
            self.putstr(self.processes())
        elif key in (CTRL_H, DELETE, CTRL_U):
            kept = b"" if key == CTRL_U else self._line[:-1]
            for _ in self._line[len(kept) :]:
                self._put(ECHO, RUBOUT)
            self._line = kept
        elif key and self.room > 0:
            typed = bytes((NEWLINE if key == RETURN else key,))
            self._put(ECHO, typed)
            self._line += typed
            if key in (NEWLINE, RETURN, CTRL_D) or not self.room:
                self._finished += self._line
                self._line = b""
                self._lines.notify()

    def read(self, buf: Buffer) -> int:
        """Give the next line, or as much of it as fits in `buf`; returns the length.

        0 means end of input (^D).  A bad address ends the read after the bytes before it.  Fails where the
        process is killed while it waits.
        """
        while buf.remaining:
            self._wait_for_line()
            if self._raw_for is not None:
                self._read_keys(buf)
                return buf.done
            if self._finished[0] == CTRL_D:
                if not buf.done:
                    self._finished = self._finished[1:]  # otherwise the next read returns 0
                    self._in_line = False
                break
            found = LINE.match(self._finished, 0, buf.remaining)
            assert found, "finished input begins with a line or ^D"
            line = found[0]
            self._finished = self._finished[len(line) :]  # before the copy, which may sleep
            self._in_line = line[-1] != NEWLINE
            copied = buf.put(line)
            if buf.bad:
                self._finished = line[copied + 1 :] + self._finished  # the byte at the bad address is lost
                break
            if line[-1] == NEWLINE:
                break
        self._lines.notify()
        return buf.done

    def _read_keys(self, buf: Buffer) -> None:
        """In raw mode: the keys that are there, as many as fit."""
        keys = self._finished[: buf.remaining]
        self._finished = self._finished[len(keys) :]
        copied = buf.put(keys)
        self._finished = keys[copied + 1 :] + self._finished  # the byte at a bad address is lost

    def poll(self) -> int:
        """Output never waits; there is input once a line is finished."""
        return POLLOUT | (POLLIN if self._finished else 0)

    def ioctl(self, request: int, arg: int) -> int:
        """Set the mode, as ttymode() does."""
        if request != TTY_MODE:
            return super().ioctl(request, arg)
        return self.set_mode(self._threads.myproc(), arg)

    def set_mode(self, p: "Process", mode: int) -> int:
        """Let `p` have the keys (TTY_RAW), or edit lines here again; returns the terminal's columns."""
        if not self._columns:
            raise SyscallError(ENOTTY, "no terminal is at the console")
        if mode == TTY_RAW:
            self._finished += self._line  # and no longer to be edited here
            self._line = b""
            self._raw_for = p
            self._lines.notify()
        elif mode == TTY_COOKED:
            self._cook()
        elif mode != TTY_ASK:
            raise SyscallError(EINVAL, "no such mode")
        return self._columns

    def release(self, p: "Process") -> None:
        """`p` exits."""
        if self._raw_for is p:
            self._cook()

    def _cook(self) -> None:
        """Edit lines here from now on; keys that nobody has read count as typed now."""
        if self._raw_for is None:
            return
        self._raw_for = None
        keys, self._finished = self._finished, b""
        for key in keys:
            self.intr(key)

    def _wait_for_line(self) -> None:
        """Sleep until finished input is there, and those that waited before have had a line each."""
        if self._finished and self._in_line:
            return
        if not self._lines.wait(lambda: bool(self._finished), killable=True):
            raise SyscallError(EINTR, "killed while it waited for the console")

    # --- output ---

    def write(self, buf: Buffer) -> int:
        """Send all bytes; returns how many, fewer where an address goes bad on the way."""
        pid = self._threads.myproc().pid
        for piece in buf.pieces(self._write_unit):
            self._put(pid, piece)
        return buf.done

    def putstr(self, text: str) -> None:
        """The kernel's own messages. Never blocks, needs no process, works in a panic.

        The name of a process in one is printed as the bytes that it is.
        """
        self._put(None, text.encode("utf-8", "surrogateescape"))

    def _put(self, pid: int | None, data: bytes) -> None:
        self._uart.write(data)
        if data and self.on_output is not None:
            self.on_output(pid, data)

    def __repr__(self) -> str:
        return "a line from the console"
