"""A machine's worker: carries out calls on a machine of the pool for a caller in another process.

Used by fork_server.py in the processes that have machines; worker.py has the protocol.  The state in each
answer is (time in ps, status, console, events, crashes): what changed meanwhile, so that the caller knows the
console and the time even of a machine that is lost later.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from kernel.kernel import KernelPanic
from orrery.errors import BadInput, CannotGoOn, MachineStopped
from orrery.inspect import postmortem
from orrery.machine import events
from orrery.machine.hooks import Event
from orrery.pool.booted_machine import BootedMachine
from orrery.pool.channel import PROTOCOL, Channel, Value
from orrery.pool.recipe import Recipe
from orrery.pool.watchdog import PATIENCE_S, Watchdog
from orrery.pool.worker import Worker
from toolchain.paths import in_tree


def boot(recipe: Recipe, channel: Channel, warnings: list[str]) -> BootedMachine:
    """A machine by `recipe`, booted; `warnings` gets a line for each thing that it can do without."""
    with Watchdog(channel):
        machine = BootedMachine(recipe, warnings)
    with _running(machine, channel):
        machine.warm_up(for_program=recipe.for_program)
    return machine


class MachineWorker(Worker):
    """Serves `channel` with `machine`, which is this process's own."""

    def __init__(self, channel: Channel, machine: BootedMachine) -> None:
        super().__init__(channel)
        self._machine: Final = machine
        self._events: list[Event] = []
        self._kinds: Final[set[str]] = set()  # of events that are kept
        self._calls: Final[dict[str, Callable[..., Value]]] = {
            "digest": machine.digest,
            "expect": self._expect,
            "on": self._on,
            "program": self._program,
            "read": machine.read,
            "reg": machine.reg,
            "sh": self._sh,
            "run_until": self._run_until,
            "type": machine.type,
            "write": machine.write,
        }

    def call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        return self._calls[name](*arguments)

    def answer(self, done: bool, value: Value, name: str = "") -> None:
        machine = self._machine
        happened = tuple((event.kind, *_fields(event)) for event in self._events)
        state = (machine.time_ps, machine.status, machine.take_console(), happened, tuple(machine.crashes))
        self._events.clear()
        machine.crashes.clear()
        self.channel.answer((done, value, state))

    # --- calls that are not just the machine's ---

    def _sh(self, command: str, timeout_s: float | None) -> str:
        with _running(self._machine, self.channel):
            return self._machine.sh(command, timeout_s)

    def _expect(self, regex: str, timeout_s: float) -> str:
        """The text in which `regex` was found: a match does not travel, and the caller finds it again."""
        with _running(self._machine, self.channel):
            return self._machine.expect(regex, timeout_s).string

    def _program(self, argv: list[bytes], elf: bytes, stdin: bytes) -> tuple[int, bytes]:
        with _running(self._machine, self.channel):
            return self._machine.run_program(argv, elf, stdin)

    def _run_until(self, event: str, timeout_s: float | None) -> tuple[object, ...]:
        events.check((event,))
        with _running(self._machine, self.channel):
            return tuple(self._machine.run_until(event, timeout_s))

    def _on(self, kind: str) -> None:
        """Keep events of `kind` for the caller, whose hooks get them with the answer."""
        if kind not in self._kinds:
            self._machine.on(kind, self._events.append)
            self._kinds.add(kind)

    def forked(self, pid: int) -> tuple[int, tuple[str, ...]]:
        return PROTOCOL, ()

    def not_forked(self, error: OSError) -> Value:
        raise CannotGoOn(f"no process for a copy of the machine: {error.strerror}; end some") from error


@contextmanager
def _running(machine: BootedMachine, channel: Channel) -> Iterator[None]:
    """A block in which the machine runs: what breaks there is the kernel, and that is a panic, for good."""
    if machine.panic is not None:
        raise machine.panic
    try:
        with Watchdog(channel, PATIENCE_S[machine.board.engine.name], lambda: machine.board.clock.now):
            yield
    except (MachineStopped, BadInput):
        raise
    except Exception as error:
        machine.panic = _panic(machine, error)
        raise machine.panic from error


def _panic(machine: BootedMachine, error: Exception) -> KernelPanic:
    """A KernelPanic for whatever came out of the kernel, with the post-mortem report as a note."""
    error.__traceback__ = _from_kernel_on(error.__traceback__)
    what, _, details = postmortem.report(machine, error).partition("\n")
    panic = KernelPanic(what)
    panic.add_note(details)
    return panic


def _from_kernel_on(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that somebody who works on the kernel wants to see."""
    entry = trace
    while entry is not None and not in_tree(entry.tb_frame.f_code.co_filename).startswith("kernel/"):
        entry = entry.tb_next
    return entry or trace


def _fields(event: Event) -> tuple[Any, ...]:
    return tuple(getattr(event, field.name) for field in dataclasses.fields(event))
