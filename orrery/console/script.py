"""A script at the machine's console: -c lines, and input that is no terminal (DESIGN rule 6).

A front end of Machine for the command line.  A line goes in when the guest waits for one and nothing else
is pending, so wall time has no part in the run: the same lines make the same run.
"""

import os
from types import FrameType
from typing import Final

from emu.clock import TICKS_PER_S
from emu.events import Event
from kernel.abi.ps import SLEEPING
from kernel.abi.syscalls import Syscall
from kernel.dev.console import CTRL_D
from kernel.proc import Process
from kernel.thread import TF_A0
from orrery.console.signals import Signals
from orrery.machine.hooks import Watcher
from orrery.machine.machine import Machine
from orrery.machine.output import Filter
from toolchain.hostfile import LINE_BYTES_MAX

READ_MAX: Final = 1 << 16  # bytes of input read at a time
PATIENCE_S: Final = 1.0  # of wall time
PENDING_TICKS_MAX: Final = 60 * TICKS_PER_S
"""How long a line is held back for what else is pending: something in the background that wakes up again
and again would hold it back for ever."""

BUSY_TICKS_MAX: Final = TICKS_PER_S // 4
"""The same for a guest that computes all the while; this costs wall time, so it is less."""


class Lines:
    """The lines of a file descriptor, read when they are asked for."""

    def __init__(self, fd: int, signals: Signals) -> None:
        self._fd: Final = fd
        self._signals: Final = signals
        self._buffer = bytearray()
        self._ended = False
        self._touched = False  # somebody has asked for a line

    def next(self) -> bytes | None:
        """The next line, with its newline if it has one; b"" at the end; None when a signal came first.

        Of a line of more than LINE_BYTES_MAX, which may have no end, this gives so much at a time.
        """
        line = self._peek()
        del self._buffer[: len(line or b"")]
        return line

    def at_end(self) -> bool:
        """Whether no line is left; False when a signal came before that was known.

        A descriptor that never had anything and has nothing for PATIENCE_S is one that this program only
        inherited, such as the open pipe of a script around it: that is taken for the end.
        """
        if not self._touched and not self._signals.wait(self._fd, PATIENCE_S) and not self._signals.came:
            self._ended = True
        return self._peek() == b""

    def _peek(self) -> bytes | None:
        self._touched = True
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched) + 1
            if end or self._ended or len(self._buffer) >= LINE_BYTES_MAX:
                return bytes(self._buffer[: min(end or len(self._buffer), LINE_BYTES_MAX)])
            searched = len(self._buffer)
            if self._signals.came or not self._signals.wait(self._fd, None):
                return None
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_MAX)
        except OSError:  # a terminal that has gone
            data = b""
        self._buffer += data
        self._ended = not data


class Script:
    """Types `commands` at the shell's prompt, and `lines` for whoever waits for input.

    The end of `lines` is one ^D for who waits then.  With commands the machine is done (`status` is set)
    when the shell waits and no line is left; without, when the shell exits after the ^D, or next waits.
    `shell_reads`: the shell gets lines, too, not only the programs that it starts.
    """

    def __init__(
        self,
        machine: Machine,
        commands: list[bytes],
        lines: Lines,
        shown: Filter,
        *,
        shell_reads: bool = True,
    ) -> None:
        self._machine: Final = machine
        self._commands: Final = commands
        self._by_command: Final = bool(commands)
        self._lines: Final = lines
        self._shown: Final = shown
        self._shell_reads: Final = shell_reads
        self._hold_until: int | None = None  # ticks; a line is held back for what is pending before that
        self._busy: Event | None = None  # comes when the hart has not been idle for BUSY_TICKS_MAX
        self._in_line = False  # what was typed last did not end its line
        self._end_sent = False  # the one ^D
        self.status: int | None = None
        if self._by_command:
            machine.hub.add(_ShellExit(machine, self))

    # --- as a front end ---

    def output(self, pid: int | None, data: bytes) -> None:
        self._shown.output(pid, data)

    def waits(self, p: Process) -> None:
        machine = self._machine
        if machine.is_shell(p.pid) and machine.at_prompt:
            self._shown.prompted()
            if self._nothing_for_shell():
                self.finish()
                return
        if self._commands or not self._end_sent:
            self._hold_until = machine.board.clock.now + PENDING_TICKS_MAX
            self._watch()

    def idle(self, until_ticks: int) -> bool:
        if self._hold_until is not None:
            self._unwatch()
            # Not until_ticks: a limit of the run is nothing to wait for.
            if self._machine.board.events.next_ticks < self._hold_until:
                self._watch()
                return False
        return self._feed()

    def slice(self) -> None:
        pass

    def peek(self, frame: FrameType | None) -> None:
        """As Console.peek: nobody types."""

    def finish(self) -> None:
        """Switch the machine off, with the status of the child that the shell reaped last."""
        self._end(self._machine.status)

    def shell_exits(self, status: int) -> None:
        """The shell exits: of -c lines that is `exit`, with its status; else what was typed has ended."""
        self._end(status & 0xFF if self._by_command else self._machine.status)

    def _end(self, status: int) -> None:
        if self.status is None:
            self.status = status
        self._machine.ask_stop()

    # --- lines ---

    def _nothing_for_shell(self) -> bool:
        """Whether the shell, which waits, is to get no further line."""
        if self._commands:
            return False
        if self._end_sent:
            return True
        return self._by_command and (not self._shell_reads or self._lines.at_end())

    def _watch(self) -> None:
        """Let a line go in after BUSY_TICKS_MAX even if the hart is never idle."""
        self._unwatch()
        machine = self._machine
        self._busy = machine.board.events.at(machine.board.clock.now + BUSY_TICKS_MAX, self._on_busy)

    def _unwatch(self) -> None:
        if self._busy is not None:
            self._machine.board.events.cancel(self._busy)
            self._busy = None

    def _on_busy(self) -> None:
        self._busy = None
        self._feed()

    def _feed(self) -> bool:
        """Type the next line; False where nobody waits for one, or none is left."""
        machine = self._machine
        readers = [p for p in machine.kernel.console.readers if p.state == SLEEPING]
        if not readers or machine.keyboard.pending or self.status is not None:
            return False
        shell_waits = any(machine.is_shell(p.pid) for p in readers)
        if self._commands and shell_waits:
            self._type(self._commands.pop(0) + b"\n")
            return True
        if self._end_sent:
            return False
        line = self._lines.next()
        if line is None:
            return True  # a signal came, and the loop is to look
        if line:
            self._type(line)
        elif self._by_command and shell_waits and not self._in_line:
            self.finish()
        else:
            self._send_end()
        return True

    def _send_end(self) -> None:
        self._end_sent = True
        if not self._by_command:
            self._machine.hub.add(_ShellExit(self._machine, self))
        self._type(bytes((CTRL_D,)))

    def _type(self, keys: bytes) -> None:
        self._unwatch()
        self._hold_until = None
        self._in_line = not keys.endswith(b"\n")
        self._machine.type(keys)


class _ShellExit(Watcher):
    """Finishes the script when the shell exits."""

    def __init__(self, machine: Machine, script: Script) -> None:
        self._machine: Final = machine
        self._script: Final = script

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        if call.noreturn and self._machine.is_shell(p.pid):
            self._script.shell_exits(p.thread.tf[TF_A0])
