"""The console: a terminal that hands whole lines to programs, and the kernel's own voice.

Keys come from the UART through `intr`, which edits the line that is being typed and echoes; `read` gives a
program a finished line, `write` and `putstr` send bytes out.  The line editor's keys:

    Enter   ends the line            ^H, DEL   take back a byte      ^D   ends the input
    ^P      prints the processes     ^U        takes back the line

The input buffer is a ring of INPUT_BUF_SIZE bytes and three counters that only grow, r <= w <= e:

    ... read already  r  lines that are finished  w  line being edited  e  ...

Whoever watches the machine (the workbench) sets `on_output` and `on_read_wait`, and looks at `readers`; they
must not change anything in here.
"""

from collections.abc import Callable
from errno import EINTR
from typing import TYPE_CHECKING, Final

from kernel.abi.param import INPUT_BUF_SIZE
from kernel.errors import SyscallError
from kernel.uart import UartDriver
from kernel.usercopy import copyin_most, copyout_most

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc

CTRL_D: Final = 0x04
CTRL_H: Final = 0x08
NEWLINE: Final = 0x0A
RETURN: Final = 0x0D
CTRL_P: Final = 0x10
CTRL_U: Final = 0x15
DELETE: Final = 0x7F
RUBOUT: Final = b"\b \b"  # wipes the byte before the cursor
WRITE_MAX: Final = 4096  # bytes fetched from a program at a time
ECHO: Final = 0  # in place of a pid: the bytes are the echo of keys


class Console:
    """The console on `uart`. Sleepers for input sleep on this object."""

    def __init__(self, k: "Kernel", uart: UartDriver) -> None:
        self._k = k
        self._uart = uart
        uart.receive = self.intr
        self._ring: Final = bytearray(INPUT_BUF_SIZE)
        self._r = self._w = self._e = 0
        # Called with the bytes that go out, in order, and the pid of the process that writes them
        # (ECHO: echo of keys, None: the kernel's own messages).
        self.on_output: Callable[[int | None, bytes], None] | None = None
        # Processes that wait for a line, in the order in which they began to; on_read_wait is called when
        # one joins them, before it sleeps.
        self.readers: Final[list[Proc]] = []
        self.on_read_wait: Callable[[Proc], None] | None = None

    # --- input ---

    @property
    def room(self) -> int:
        """How many keys can come in before one is dropped."""
        return INPUT_BUF_SIZE - (self._e - self._r)

    def intr(self, key: int) -> None:
        """A byte was typed: edit the line, echo. Never blocks."""
        if key == CTRL_P:
            self._k.procdump()
        elif key == CTRL_U:
            while self._e != self._w:  # w is where the line being edited begins
                self._rub_out()
        elif key in (CTRL_H, DELETE):
            if self._e != self._w:
                self._rub_out()
        elif key and self._e - self._r < INPUT_BUF_SIZE:
            self._append(NEWLINE if key == RETURN else key)

    def _rub_out(self) -> None:
        self._e -= 1
        self._put(ECHO, RUBOUT)

    def _append(self, key: int) -> None:
        self._put(ECHO, bytes((key,)))
        self._ring[self._e % INPUT_BUF_SIZE] = key
        self._e += 1
        if key in (NEWLINE, CTRL_D) or self._e - self._r == INPUT_BUF_SIZE:
            self._w = self._e
            self._k.wakeup(self)

    def read(self, p: "Proc", va: int, n: int) -> int:
        """Give `p` the next line, or as much of it as fits in `n` bytes at `va`; returns the length.

        0 means end of input (^D).  A bad `va` ends the read after the bytes before it.  Fails where `p` is
        killed while it waits.
        """
        done = 0
        while done < n:
            self._wait_for_line(p)
            if self._ring[self._r % INPUT_BUF_SIZE] == CTRL_D:
                if not done:
                    self._r += 1  # otherwise it stays, and makes the next read return 0
                break
            line = self._next_line(n - done)
            copied = copyout_most(self._k, p, va + done, line)
            done += copied
            self._r += copied
            if copied < len(line):
                self._r += 1  # the byte that could not be stored is lost
                break
            if line[-1] == NEWLINE:
                break
        return done

    def _next_line(self, limit: int) -> bytes:
        """Up to `limit` finished bytes at r: to the end of a line, or to before a ^D, at the most."""
        start, count = self._r % INPUT_BUF_SIZE, self._w - self._r
        finished = bytes(self._ring[start : start + count])
        finished += self._ring[: count - len(finished)]
        line, newline, _ = finished[:limit].partition(b"\n")
        return line.partition(b"\x04")[0] if b"\x04" in line else line + newline

    def _wait_for_line(self, p: "Proc") -> None:
        """Sleep until finished input is there."""
        while self._r == self._w:
            if p.killed:
                raise SyscallError(EINTR, "killed while it waited for the console")
            self.readers.append(p)
            if self.on_read_wait is not None:
                self.on_read_wait(p)
            self._k.sleep(self)
            self.readers.remove(p)

    # --- output ---

    def write(self, p: "Proc", va: int, n: int) -> int:
        """Send the `n` bytes at `va` of `p`; returns how many, fewer where `va` goes bad on the way."""
        done = 0
        while done < n:
            wanted = min(n - done, WRITE_MAX)
            chunk = copyin_most(self._k, p, va + done, wanted)
            if chunk:
                self._put(p.pid, chunk)
            done += len(chunk)
            if len(chunk) < wanted:
                break
        return done

    def putstr(self, text: str) -> None:
        """The kernel's own messages. Never blocks, needs no process, works in a panic."""
        self._put(None, text.encode())

    def _put(self, pid: int | None, data: bytes) -> None:
        self._uart.write(data)
        if self.on_output is not None:
            self.on_output(pid, data)

    def __repr__(self) -> str:
        return "a line from the console"
