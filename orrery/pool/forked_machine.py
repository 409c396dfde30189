"""A forked machine, as its user sees it: the methods of orrery.Machine, carried out in another process.

Made by machine_pool.py; machine_worker.py is at the other end of the channel.  Between calls the machine
stands still, so the time, the status and the console that came with the last answer are those of now.

The other process may run a student's kernel, so nothing of an answer is used before its type has been
looked at, and one that makes no sense, or never comes, is a CannotGoOn.
"""

import os
import re
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

from orrery.errors import CannotGoOn
from orrery.machine import checks
from orrery.pool import answers, serialized_exception
from orrery.pool.channel import ANSWER_BYTES_MAX, BadAnswer, Channel, Hangup, Value

if TYPE_CHECKING:
    from orrery.machine.events import Happening
    from orrery.machine.hooks import Hook

CONSOLE_CHARS_MAX: Final = 1 << 18
CRASHES_MAX: Final = 1000  # that are kept
T = TypeVar("T")


class ForkedMachine:
    """A machine in a process of its own, forked from one that has booted.

    Methods raise what they raise in Machine, and CannotGoOn when the process is lost.  A Python exception in
    the kernel comes as KernelPanic, with the post-mortem report as a note.  Hooks given to `on` are called
    before the call returns during which their events happened.
    Close it after use, or use it in a `with` statement.  `warnings` has a line for each thing that did not
    keep the machine from booting: what the compiler said of programs, an engine that cannot be had.
    """

    def __init__(self, channel: Channel, log: Callable[[], str], patience_s: float | None = None) -> None:
        """The machine at the other end of `channel`; `log()` is what its process has printed lately.

        With `patience_s`, one that does not answer for so much wall time is lost.
        """
        self._channel = channel
        self._patience_s: Final = patience_s
        self._log: Final = log
        self._hooks: Final[dict[str, list[Hook]]] = {}
        self._time_ps = 0
        self._status = 0
        self._console = ""
        self._crashes: list[str] = []
        self._snapshots: Final[list[ForkedSnapshot]] = []
        self.closed = False
        self.warnings: tuple[str, ...] = tuple(self._answer(answers.greeting))
        self._start_ps = self._time_ps

    # --- as in Machine ---

    def boot(self) -> Self:
        """Nothing to do: it has booted."""
        return self

    def type(self, text: str | bytes) -> None:
        """Type on the console; the keys go in as the machine runs."""
        __tracebackhide__ = True  # a test that fails shows its own line, not these
        self.call("type", checks.content("text", text))

    def expect(self, regex: str, timeout_s: float = 10.0) -> re.Match[str]:
        """Run until what the console shows, from the last match on, matches; returns the match."""
        __tracebackhide__ = True
        pattern = re.compile(checks.text("regex", regex))
        timeout = checks.seconds("timeout_s", timeout_s, zero=True)
        match: re.Match[str] = self.call(
            "expect", regex, timeout, reads=partial(answers.match, pattern=pattern)
        )
        return match

    def sh(self, cmd: str, timeout_s: float | None = None) -> str:
        """Type a line for the shell, run until it waits again; what was printed, without prompt and echo."""
        __tracebackhide__ = True
        timeout = checks.seconds("timeout_s", timeout_s, zero=True)
        output: str = self.call("sh", checks.text("cmd", cmd), timeout)
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
        checks.whole("pa", pa)
        reads = partial(answers.ram, size=checks.whole("n", n))
        data: bytes = self.call("read", pa, n, reads=reads, answer_bytes=2 * max(0, n))
        return data

    def reg(self, name: str) -> int:
        """The hart's register of this name."""
        value: int = self.call("reg", checks.text("name", name))
        return value

    def on(self, kind: str, hook: "Hook") -> None:
        """Call hook(event) for each 'syscall', 'fault' or 'switch' from now on."""
        checks.hook("hook", hook)
        if checks.text("kind", kind) not in self._hooks:
            self.call("on", kind)
        self._hooks.setdefault(kind, []).append(hook)

    def digest(self) -> str:
        """SHA-256, in hex, of console output, registers, time, RAM and disk: all that the machine is."""
        digest: str = self.call("digest")
        return digest

    def run_until(self, event: str, timeout_s: float | None = None) -> "Happening":
        """Run until an event of orrery/machine/events.py: fork, exec, exit, fault, syscall:NAME ..."""
        __tracebackhide__ = True
        timeout = checks.seconds("timeout_s", timeout_s, zero=True)
        happening: Happening = self.call("run_until", checks.text("event", event), timeout)
        return happening

    def write(self, pa: int, data: bytes) -> None:
        """Store `data` in RAM at physical address `pa`, to see what becomes of it."""
        self.call("write", checks.whole("pa", pa), checks.data("data", data))

    def fork(self) -> "ForkedMachine":
        """Another machine in the state of this one, in milliseconds; what becomes of it is its own.

        It calls no hooks but those that are given to it.  Close it, too.
        """
        __tracebackhide__ = True
        channel, far = Channel.pair(self._patience_s)
        with far:
            self.call("fork", attached=far)
        other = ForkedMachine(channel, self._log, self._patience_s)
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
        self._channel.close()
        self._channel, self.closed = copy._channel, False
        self._time_ps, self._status, self._start_ps = copy._time_ps, copy._status, copy._start_ps
        self._console, self._crashes = copy._console, copy._crashes
        copy.closed = True  # it is this one now
        for kind in self._hooks:
            self.call("on", kind)

    def close(self) -> None:
        """Let the machine and its snapshots go. Closing twice is harmless."""
        self.closed = True
        self._channel.close()
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

    def call(
        self,
        name: str,
        *arguments: Value,
        attached: socket.socket | None = None,
        reads: Callable[[Value], Value] | None = None,
        answer_bytes: int = 0,
    ) -> Value:
        """Have the worker carry out call `name`; its result, as `reads` looks at it.

        That may have at most `answer_bytes` more than usual.
        """
        __tracebackhide__ = True
        assert not self.closed, "a machine that was closed, or lost, cannot be used"
        try:
            self._channel.send((name, arguments), attached)
        except Hangup:
            raise self._lost() from None
        return self._answer(reads or answers.READS[name], answer_bytes)

    def _answer(self, reads: Callable[[Value], T], more_bytes: int = 0) -> T:
        """Wait for an answer; raises the exception that it is, if it is one."""
        __tracebackhide__ = True
        try:
            answer = self._channel.receive_answer(ANSWER_BYTES_MAX + more_bytes, self._patience_s)
            done, value, now = answers.parts(answer, 3)
            state = answers.state(now)
            failure = None if answers.typed(done, bool) else serialized_exception.unwrap(value)
            result = reads(value) if failure is None else None
        except Hangup:
            raise self._lost() from None
        except BadAnswer as error:
            raise self._nonsense(str(error)) from None
        except TimeoutError:
            raise self._nonsense(f"nothing within {self._patience_s:g} s of wall time") from None
        except BaseException:
            self._hang_up()  # the answer, when it comes, would be taken for that to another call
            raise
        self._take(state)
        if failure is not None:
            raise failure
        return result  # type: ignore[return-value]

    def _take(self, state: answers.State) -> None:
        """This is how the machine is now; the hooks get what happened."""
        self._time_ps, self._status = state.time_ps, state.status
        self._crashes.extend(state.crashes)
        del self._crashes[:-CRASHES_MAX]
        self._console = (self._console + state.console.decode(errors="replace"))[-CONSOLE_CHARS_MAX:]
        for event in state.events:
            for hook in self._hooks.get(event.kind, ()):
                hook(event)

    def _nonsense(self, why: str) -> CannotGoOn:
        """The process does not keep to the protocol; it is not to be asked again."""
        self._hang_up()
        return lost(f"the process of the machine does not answer as it should: {why}", self._log())

    def _hang_up(self) -> None:
        """The machine is lost; its snapshots are not."""
        self.closed = True
        self._channel.close()

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
