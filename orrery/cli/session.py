"""A session: one run of a machine for the command line, from power-on to an exit status.

Called by commands.py, with a machine and the options of boot and run.  It gives the machine a terminal or
a script for a console, watches the limits, and says on stderr why a run ended that did not end by itself.
What the exit statuses mean is in console/exit_status.py.
"""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from emu.clock import PS_PER_TICK
from emu.events import NEVER
from emu.loop import Stop
from orrery.console.exit_status import BAD_INPUT, BY_SIGNAL, DEADLOCK, PANIC, TIMEOUT
from orrery.console.script import Lines, Script
from orrery.console.signals import Halted, Signals
from orrery.gdb.owner import GdbOwner
from orrery.inspect.crash_reports import Crashes
from orrery.inspect.strace import Strace
from orrery.machine.front import EndingFront
from orrery.machine.machine import Machine
from orrery.machine.output import HostOutput, Shown
from orrery.pool.watchdog import PATIENCE_S, STUCKS_MAX, Patience

if TYPE_CHECKING:
    from orrery.gdb.server import Server

STDIN, STDOUT = 0, 1
KEYS: Final = "C-a x switches the machine off, C-a h tells of other keys"
PS_PER_S: Final = 10**12


class SessionFront(EndingFront, Protocol):
    """The front end of a session: a terminal or a script."""

    def peek(self, frame: FrameType | None) -> None:
        """The machine does not come back; in a handler of signals, which was given `frame`."""


@dataclass(frozen=True)
class Options:
    """What the command line says of a run.

    `commands` are -c lines; `again` are typed at a terminal before the person types.  `program` says that
    the machine is for one program (run), not for a shell.  `strace_fd` is a file descriptor for strace; the
    limits are in virtual ticks and seconds of wall time.  `gdb` is the address of a gdb server; with
    `gdb_wait` the machine waits for a gdb, and with a `gdb_owner` it ends with its gdb.
    """

    commands: tuple[bytes, ...] = ()
    again: tuple[bytes, ...] = ()
    program: bool = False
    strace_fd: int | None = None
    digest: bool = False
    max_ticks: int | None = None
    timeout_s: float | None = None
    gdb: tuple[str, int] | None = None
    gdb_wait: bool = False
    gdb_owner: GdbOwner | None = None


class Session:
    """One run of `machine`. `say` prints a line on stderr."""

    def __init__(self, machine: Machine, options: Options, say: Callable[[str], None]) -> None:
        self._machine: Final = machine
        self._options: Final = options
        self._say: Final = say
        self._host: Final = HostOutput(STDOUT, machine.ask_stop)
        self._front: SessionFront
        self._server: Server | None = None
        self._trace = self._host  # where strace goes
        self._report = ""  # of a panic

    @property
    def shown(self) -> Shown:
        """What of the console is shown."""
        if self._options.program:
            return Shown.PROGRAM_AND_ECHO if os.isatty(STDIN) else Shown.PROGRAM
        return Shown.COMMANDS if self._options.commands else Shown.CONSOLE

    def play(self) -> int:
        """Run to the end; the exit status."""
        machine, options = self._machine, self._options
        if options.gdb is not None:
            self._server = self._listen(options.gdb)
        strace = self._strace()
        with Signals(options.timeout_s) as signals:
            self._patience = Patience(lambda: machine.board.clock.now, PATIENCE_S[machine.board.engine.name])
            signals.on_tick = partial(self._on_tick, signals)
            signals.attach(machine.ask_stop)
            stop = self._run(signals)
            if strace is not None:
                strace.finish()
            status = self._status(stop, signals)
        if self._server is not None:
            self._server.close()
        if options.digest:
            self._say(f"digest: {machine.digest()}")
            self._say(f"time: {machine.time_ps} ps")
        return status

    def _strace(self) -> Strace | None:
        fd = self._options.strace_fd
        if fd is None:
            return None
        self._trace = HostOutput(fd, self._machine.ask_stop)
        write = self._trace.write
        strace = Strace(self._machine.kernel, lambda line: write(line.encode(errors="backslashreplace")))
        self._machine.hub.add(strace)
        return strace

    def _run(self, signals: Signals) -> Stop:
        """Run with a console; a panic is kept for the report, which needs the terminal as it was."""
        machine = self._machine
        shown = self.shown.filter(machine, self._host.write)
        if self._options.gdb_owner is None:  # whose gdb stops there, and tells
            Crashes(machine, lambda text: self._say(f"orrery: {text}"), kills=self._options.program)
        with ExitStack() as stack:
            if os.isatty(STDIN) and not self._options.commands:
                from orrery.console.terminal import Terminal

                terminal = Terminal(
                    machine,
                    STDIN,
                    shown,
                    self._host.write,
                    signals,
                    self._options.again,
                    for_program=self._options.program,
                )
                if not self._options.program:
                    self._say(f"orrery: {KEYS}")
                self._front = stack.enter_context(terminal)
            else:
                self._front = Script(
                    machine,
                    list(self._options.commands),
                    self._lines(signals),
                    shown,
                    shell_reads=not os.isatty(STDIN),
                )
            machine.front = self._front
            try:
                limit = NEVER if self._options.max_ticks is None else self._options.max_ticks
                stop = (
                    machine.run(limit) if self._server is None else self._debug(self._server, limit, signals)
                )
            except Halted:
                stop = Stop.ASKED
            except Exception as error:  # any: the kernel or the hardware has broken a rule of its own
                from orrery.inspect import postmortem

                self._report = postmortem.report(machine, error)
                stop = Stop.ASKED
        self._greeting = shown.finish()
        return stop

    def _on_tick(self, signals: Signals, frame: FrameType | None) -> None:
        """See that the machine moves, and if not, whether the person wants it to stop."""
        if not self._machine.is_busy:
            self._patience.begin()
        elif self._patience.stucks >= STUCKS_MAX:
            self._say("orrery: panic: the kernel loops, and does not let itself be stopped")
            signals.leave(PANIC)
        elif not self._patience.look(frame):
            self._front.peek(frame)

    def _lines(self, signals: Signals) -> Lines:
        """Where the console's lines come from."""
        owner = self._options.gdb_owner
        if self._server is None or owner is None:
            return Lines(STDIN, signals)
        from orrery.gdb.terminal_lines import GdbLines

        return GdbLines(self._server.read_line if owner is GdbOwner.TERMINAL else self._server.miss_line)

    def _listen(self, address: tuple[str, int]) -> "Server":
        from orrery.gdb.server import Server
        from orrery.gdb.timeline_session import TimelineSession
        from orrery.timetravel.target import Target

        traveller = TimelineSession(self._machine, Target(self._machine))
        options = self._options
        return Server(
            self._machine, traveller, address, self._say, wait=options.gdb_wait, owned=bool(options.gdb_owner)
        )

    def _debug(self, server: "Server", limit: int, signals: Signals) -> Stop:
        """Run with a gdb server."""
        from orrery.timetravel.stops import StopKind

        is_script = isinstance(self._front, Script)

        def ended() -> bool:
            broken = self._host.error or self._trace.error
            left = not is_script and self._front.status is not None
            return left or signals.came or broken is not None

        def finished() -> int | None:
            return self._front.status if is_script else None

        stopped = server.run(limit, self._front, signals, ended, finished)
        if stopped.why == StopKind.PANIC:
            self._report = stopped.detail
        return {StopKind.LIMIT: Stop.LIMIT, StopKind.ASLEEP: Stop.ASLEEP}.get(stopped.why, Stop.ASKED)

    def _status(self, stop: Stop, signals: Signals) -> int:
        """Why the run ended: the exit status, with a line on stderr where the guest did not end it."""
        machine = self._machine
        if self._report:
            return self._broken_off(PANIC, f"panic: {self._report}")
        if self._front.status is not None:
            return self._front.status
        if machine.board.exit_code is not None:
            return machine.board.exit_code & 0xFF
        failed = self._host.error or self._trace.error
        if failed is not None:
            return self._output_failed(failed)
        if signals.timed_out:
            where = f"; the machine was at {signals.halted.where}" if signals.halted is not None else ""
            return self._broken_off(
                TIMEOUT, f"timeout: {self._options.timeout_s} s of wall time are over{where}"
            )
        if signals.terminated:
            if signals.halted is not None:
                self._say(f"orrery: halted at {signals.halted.where}")
            return BY_SIGNAL + signals.terminated
        if stop is Stop.LIMIT:
            limit_s = machine.board.clock.now * PS_PER_TICK / PS_PER_S
            return self._broken_off(TIMEOUT, f"timeout: {limit_s:g} s of virtual time are over")
        assert stop is Stop.ASLEEP, "a machine that nobody asked to stop is asleep"
        return self._broken_off(DEADLOCK, f"deadlock: {machine.kernel.procs.sleepers_report()}")

    def _broken_off(self, status: int, why: str) -> int:
        """Report an end that the guest did not bring about; with what a greeting would have hidden."""
        if self._greeting:
            self._say(self._greeting.decode(errors="replace").strip())
        self._say(f"orrery: {why}")
        return status

    def _output_failed(self, error: OSError) -> int:
        if isinstance(error, BrokenPipeError):
            return BY_SIGNAL + signal.SIGPIPE  # as a program that wrote to a reader that has gone
        self._say(f"orrery: the output cannot be written: {error.strerror}; send it elsewhere")
        return BAD_INPUT
