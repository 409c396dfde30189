"""An attendant: carries out calls on a machine for a caller in another process, and reports.

Used by fork_server.py in the processes that have machines.  Every answer tells the outcome of one call and
what changed meanwhile, so that the caller knows the console and the time even of a machine that is lost
later:

    call      (name, arguments), for "fork" with a socket for the new copy's wire
    answer    (whether it went well, result or parcel, (time in ps, status, console, events, crashes))

The first answer of a machine comes without a call: it says that the machine is there.
"""

import dataclasses
import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from kernel.kernel import KernelPanic
from orrery.errors import BadInput, CannotGoOn, MachineStopped
from orrery.inspect import postmortem
from orrery.machine.hooks import Event
from orrery.pool import serialized_exception
from orrery.pool.booted_machine import BootedMachine
from orrery.pool.channel import PROTOCOL, Value, Wire
from orrery.pool.recipe import Recipe
from orrery.pool.watchdog import PATIENCE_S, Watchdog
from orrery.timetravel import events
from toolchain.paths import in_tree


def boot(recipe: Recipe, wire: Wire, warnings: list[str]) -> BootedMachine:
    """A machine by `recipe`, booted; `warnings` gets a line for each thing that it can do without."""
    with Watchdog(wire):
        machine = BootedMachine(recipe, warnings)
    with _running(machine, wire):
        machine.warm_up(for_program=recipe.for_program)
    return machine


class Attendant:
    """Serves `wire` with `machine`, which is this process's own."""

    def __init__(self, wire: Wire, machine: BootedMachine) -> None:
        self._wire = wire
        self._machine: Final = machine
        self._events: list[Event] = []
        self._kinds: Final[set[str]] = set()  # of events that are kept
        self._copies: list[int] = []  # processes
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

    def serve(self, greeting: Value) -> None:
        """Say `greeting` and answer calls. Raises Hangup when the caller has gone, which is the usual end."""
        self._answer(True, greeting)
        while True:
            (name, arguments), passenger = self._wire.receive()
            try:
                result = self._fork(passenger) if passenger is not None else self._calls[name](*arguments)
            except Exception as error:  # any: it is raised again at the caller
                self._answer(False, serialized_exception.wrap(error))
            else:
                self._answer(True, result)

    def _answer(self, done: bool, value: Value) -> None:
        machine = self._machine
        happened = tuple((event.kind, *_fields(event)) for event in self._events)
        state = (machine.time_ps, machine.status, machine.take_console(), happened, tuple(machine.crashes))
        self._events.clear()
        machine.crashes.clear()
        self._wire.answer((done, value, state))

    # --- calls that are not just the machine's ---

    def _sh(self, command: str, timeout_s: float | None) -> str:
        with _running(self._machine, self._wire):
            return self._machine.sh(command, timeout_s)

    def _expect(self, regex: str, timeout_s: float) -> str:
        """The text in which `regex` was found: a match does not travel, and the caller finds it again."""
        with _running(self._machine, self._wire):
            return self._machine.expect(regex, timeout_s).string

    def _program(self, argv: list[bytes], elf: bytes, stdin: bytes) -> tuple[int, bytes]:
        with _running(self._machine, self._wire):
            return self._machine.run_program(argv, elf, stdin)

    def _run_until(self, event: str, timeout_s: float | None) -> tuple[object, ...]:
        events.check((event,))
        with _running(self._machine, self._wire):
            return tuple(self._machine.run_until(event, timeout_s))

    def _on(self, kind: str) -> None:
        """Keep events of `kind` for the caller, whose hooks get them with the answer."""
        if kind not in self._kinds:
            self._machine.on(kind, self._events.append)
            self._kinds.add(kind)

    def _fork(self, passenger: socket.socket) -> tuple[int, tuple[str, ...]]:
        """Make a copy of this process, which serves a wire of its own; it begins with this answer, too."""
        self._copies = [copy for copy in self._copies if not os.waitpid(copy, os.WNOHANG)[0]]
        try:
            pid = os.fork()
        except OSError as error:
            passenger.close()
            raise CannotGoOn(f"no process for a copy of the machine: {error.strerror}; end some") from error
        if pid:
            self._copies.append(pid)
            passenger.close()
        else:
            gc.freeze()  # a collection would write to every page that holds an object, and so copy it
            self._copies = []
            self._wire.close()
            self._wire = Wire(passenger)
        return PROTOCOL, ()


@contextmanager
def _running(machine: BootedMachine, wire: Wire) -> Iterator[None]:
    """A block in which the machine runs: what breaks there is the kernel, and that is a panic, for good."""
    if machine.panic is not None:
        raise machine.panic
    try:
        with Watchdog(wire, PATIENCE_S[machine.board.engine.name], lambda: machine.board.clock.now):
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
