"""What of the console's output reaches whom: the filters between a machine and a reader.

Used by the front ends (terminal.py, script.py, dialogue.py).  All pass bytes on at once, but for what a
shell itself writes to CommandOutput: that may turn out to be its prompt.
"""

import os
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from kernel.dev.console import ECHO

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

PROMPT: Final = b"$ "

Write: TypeAlias = Callable[[bytes], None]


class Shown(StrEnum):
    """How much of the console is shown, as a recording names it."""

    CONSOLE = "console"
    COMMANDS = "commands"
    PROGRAM = "program"
    PROGRAM_AND_ECHO = "program and echo"

    def filter(self, machine: "Machine", write: Write) -> "Filter":
        """What lets so much through to `write`."""
        match self:
            case Shown.CONSOLE:
                return Everything(write)
            case Shown.COMMANDS:
                return CommandOutput(machine, write)
            case Shown.PROGRAM:
                return ProgramOutput(machine, write, echo=False)
            case Shown.PROGRAM_AND_ECHO:
                return ProgramOutput(machine, write, echo=True)


class Filter(Protocol):
    """Takes what the console shows and passes a part of it on."""

    def output(self, pid: int | None, data: bytes) -> None:
        """As Front.output."""

    def prompted(self) -> None:
        """The shell waits for a line."""

    def finish(self) -> bytes:
        """The run is over: pass on what is held back; returns what was never to be shown."""


class Everything(Filter):
    """The console as it is."""

    def __init__(self, write: Write) -> None:
        self._write: Final = write

    def output(self, pid: int | None, data: bytes) -> None:
        self._write(data)

    def prompted(self) -> None:
        pass

    def finish(self) -> bytes:
        return b""


class ProgramOutput(Everything):
    """What programs print, and what the kernel says of them; not its greeting. `echo`: keys, too."""

    def __init__(self, machine: "Machine", write: Write, *, echo: bool) -> None:
        super().__init__(write)
        self._processes: Final = machine.kernel.procs
        self._echo: Final = echo

    def output(self, pid: int | None, data: bytes) -> None:
        if pid == ECHO:
            shown = self._echo
        else:
            shown = pid is not None or next(iter(self._processes), None) is not None
        if shown:
            self._write(data)


class CommandOutput(Everything):
    """What commands print from the shell's first prompt on: no echo of keys, no prompt of the shell.

    The prompt is what the shell itself has written last when it waits for a line: `$ `, or else all of
    that line.  So the shell's own output is held back up to a newline.  With `booted` that first prompt
    has been there already.
    """

    def __init__(self, machine: "Machine", write: Write, *, booted: bool = False) -> None:
        super().__init__(write)
        self._machine: Final = machine
        self._booted = booted
        self._greeting = b""  # what was shown before the first prompt
        self._held = b""  # an unfinished line by the shell

    def output(self, pid: int | None, data: bytes) -> None:
        if pid == ECHO:
            return
        if not self._booted:
            self._greeting += data
        elif not self._machine.is_shell(pid):
            self._write(data)
        else:
            lines, newline, self._held = (self._held + data).rpartition(b"\n")
            if newline:
                self._write(lines + newline)

    def prompted(self) -> None:
        self._booted, self._greeting = True, b""
        if self._held.endswith(PROMPT) and self._held != PROMPT:
            self._write(self._held.removesuffix(PROMPT))
        self._held = b""

    def finish(self) -> bytes:
        if self._held and not PROMPT.startswith(self._held):
            self._write(self._held)
        self._held = b""
        return self._greeting


class HostOutput:
    """Writes to a file descriptor of the host, at once.

    When the reader has gone, or nothing more can be written, `error` is set, `failed()` called once and
    the rest dropped: the kernel that called must not be disturbed.
    """

    def __init__(self, fd: int, failed: Callable[[], None]) -> None:
        self._fd: Final = fd
        self._failed: Final = failed
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                self._wait()
            except OSError as error:
                self.error = error
                self._failed()

    def _wait(self) -> None:
        """Somebody else made the descriptor non-blocking: wait until it takes more."""
        import select

        select.select([], [self._fd], [])
