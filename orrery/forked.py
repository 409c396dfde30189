"""A forked machine, as its user sees it: the methods of orrery.Machine, carried out in another process.

Made by nursery.py; attendant.py is at the other end of the wire.  Between calls the machine stands still, so
the time, the status and the console that came with the last answer are those of now.
"""

import os
import re
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Self

from orrery import parcel
from orrery.errors import CannotGoOn
from orrery.wire import PROTOCOL, Hangup, Value, Wire

if TYPE_CHECKING:
    from orrery.debugger.events import Happening
    from orrery.hooks import Event, Hook

CONSOLE_CHARS_MAX: Final = 1 << 18


class ForkedMachine:
    """A machine in a process of its own, forked from one that has booted.

    Methods raise what they raise in Machine, and CannotGoOn when the process is lost.  A Python exception in
    the kernel comes as KernelPanic, with the post-mortem report as a note.  Hooks given to `on` are called
    before the call returns during which their events happened.
    Close it after use, or use it in a `with` statement.  `warnings` has a line for each thing that did not
    keep the machine from booting: what the compiler said of programs, an engine that cannot be had.
    """

    def __init__(self, wire: Wire, log: Callable[[], str]) -> None:
        """The machine at the other end of `wire`; `log()` is what its process has printed lately."""
        self._wire = wire
        self._log: Final = log
        self._hooks: Final[dict[str, list[Hook]]] = {}
        self._time_ps = 0
        self._status = 0
        self._console = ""
        self._crashes: list[str] = []
        self._snapshots: Final[list[ForkedSnapshot]] = []
        self.closed = False
        protocol, warnings = self._answer()
        assert protocol == PROTOCOL, "the machine's source tree is of another version: bring it up to date"
        self.warnings: tuple[str, ...] = tuple(warnings)
        self._start_ps = self._time_ps

    # --- as in Machine ---

    def boot(self) -> Self:
        """Nothing to do: it has booted."""
        return self

    def type(self, text: str | bytes) -> None:
        """Type on the console; the keys go in as the machine runs."""
        __tracebackhide__ = True  # a test that fails shows its own line, not these
        self.call("type", text)

    def expect(self, regex: str, timeout_s: float = 10.0) -> re.Match[str]:
        """Run until what the console shows, from the last match on, matches; returns the match."""
        __tracebackhide__ = True
        pattern = re.compile(regex)
        match = pattern.search(self.call("expect", regex, timeout_s))
        assert match is not None, "what matches there matches here"
        return match

    def sh(self, cmd: str, timeout_s: float | None = None) -> str:
        """Type a line for the shell, run until it waits again; what was printed, without prompt and echo."""
        __tracebackhide__ = True
        output: str = self.call("sh", cmd, timeout_s)
        return output

    @property
    def status(self) -> int:
        """Exit status, 0 to 255, of the child that the shell reaped last; 0 if it has reaped none."""
        return self._status

    @property
    def time_ps(self) -> int:
        """Virtual time since power-on, in picoseconds."""
        return self._time_ps

    def read(self, pa: int, n: int) -> bytes:
        """The `n` bytes of RAM at physical address `pa`."""
        data: bytes = self.call("read", pa, n)
        return data

    def reg(self, name: str) -> int:
        """The hart's register of this name."""
        value: int = self.call("reg", name)
        return value

    def on(self, kind: str, hook: "Hook") -> None:
        """Call hook(event) for each 'syscall', 'fault' or 'switch' from now on."""
        if kind not in self._hooks:
            self.call("on", kind)
        self._hooks.setdefault(kind, []).append(hook)

    def digest(self) -> str:
        """SHA-256, in hex, of console output, registers, time, RAM and disk: all that the machine is."""
        digest: str = self.call("digest")
        return digest

    def run_until(self, event: str, timeout_s: float | None = None) -> "Happening":
        """Run until an event of orrery/debugger/events.py: fork, exec, exit, fault, syscall:NAME ..."""
        __tracebackhide__ = True
        from orrery.debugger.events import Happening

        return Happening(*self.call("run_until", event, timeout_s))

    def write(self, pa: int, data: bytes) -> None:
        """Store `data` in RAM at physical address `pa`, to see what becomes of it."""
        self.call("write", pa, data)

    def fork(self) -> "ForkedMachine":
        """Another machine in the state of this one, in milliseconds; what becomes of it is its own.

        It calls no hooks but those that are given to it.  Close it, too.
        """
        __tracebackhide__ = True
        wire, far = Wire.pair()
        with far:
            self.call("fork", passenger=far)
        other = ForkedMachine(wire, self._log)
        other._console, other._crashes, other._start_ps = self._console, [*self._crashes], self._start_ps
        other.warnings = self.warnings
        return other

    def snapshot(self) -> "ForkedSnapshot":
        """Now, to come back to, as often as you like: a process that stands still, until this is closed."""
        snapshot = ForkedSnapshot(self.fork())
        self._snapshots.append(snapshot)
        return snapshot

    def goto(self, when: "ForkedSnapshot") -> None:
        """Go to where a snapshot was taken, of this machine or another one. Hooks stay."""
        if not isinstance(when, ForkedSnapshot):
            raise TypeError(f"{when!r}: a forked machine goes to snapshots; a time is for orrery.Machine")
        copy = when.machine.fork()
        self._wire.close()
        self._wire, self.closed = copy._wire, False
        self._time_ps, self._status, self._start_ps = copy._time_ps, copy._status, copy._start_ps
        self._console, self._crashes = copy._console, copy._crashes
        copy.closed = True  # it is this one now
        for kind in self._hooks:
            self.call("on", kind)

    def close(self) -> None:
        """Let the machine and its snapshots go. Closing twice is harmless."""
        self.closed = True
        self._wire.close()
        for snapshot in self._snapshots:
            snapshot.machine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- beyond it ---

    @property
    def used_ps(self) -> int:
        """Virtual time since the fork, in picoseconds."""
        return self._time_ps - self._start_ps

    @property
    def console(self) -> str:
        """What the console has shown since power-on; of very much, the end."""
        return self._console

    @property
    def crashes(self) -> tuple[str, ...]:
        """Each process that was killed for what it did: one line, and its backtrace.

        Kept on machines with programs of their own.
        """
        return tuple(self._crashes)

    def __repr__(self) -> str:
        return f"<machine, {self._time_ps // 10**6} us after power-on, last status {self._status}>"

    def call(self, name: str, *arguments: Value, passenger: socket.socket | None = None) -> Value:
        """Have the attendant carry out call `name`; its result."""
        __tracebackhide__ = True
        assert not self.closed, "a machine that was closed, or lost, cannot be used"
        try:
            self._wire.send((name, arguments), passenger)
        except Hangup:
            raise self._lost() from None
        return self._answer()

    def _answer(self) -> Value:
        """Wait for an answer; raises the exception that it is, if it is one."""
        __tracebackhide__ = True
        try:
            (done, value, state), _ = self._wire.receive()
        except Hangup:
            raise self._lost() from None
        except BaseException:
            self._hang_up()  # the answer, when it comes, would be taken for that to another call
            raise
        self._time_ps, self._status, shown, events, crashes = state
        self._crashes.extend(crashes)
        self._console = (self._console + shown.decode(errors="replace"))[-CONSOLE_CHARS_MAX:]
        self._tell(events)
        if not done:
            raise parcel.unwrap(value)
        return value

    def _tell(self, events: Iterable[tuple[Any, ...]]) -> None:
        """Give the hooks their events."""
        for kind, *fields in events:
            event = _event_class(kind)(*fields)
            for hook in self._hooks.get(kind, ()):
                hook(event)

    def _hang_up(self) -> None:
        """The machine is lost; its snapshots are not."""
        self.closed = True
        self._wire.close()

    def _lost(self) -> CannotGoOn:
        """The process has gone without a word."""
        self._hang_up()
        return lost("the process of the machine has ended: it was killed, or has crashed", self._log())


class ForkedSnapshot:
    """A state of a forked machine, which is in `machine`; nobody lets that run."""

    def __init__(self, machine: ForkedMachine) -> None:
        self.machine: Final = machine

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.machine.time_ps


def lost(what: str, log: str) -> CannotGoOn:
    """A CannotGoOn that says `what`, with what the processes printed as a note."""
    error = CannotGoOn(what)
    if log:
        error.add_note(f"They printed:{os.linesep}{log.rstrip()}")
    return error


def _event_class(kind: str) -> "type[Event]":
    from orrery import hooks

    classes: tuple[type[Event], ...] = (hooks.SyscallEvent, hooks.FaultEvent, hooks.SwitchEvent)
    return next(cls for cls in classes if cls.kind == kind)
