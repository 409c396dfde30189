"""Answers of a machine's process, looked at before they are used: each is of the type that it should be.

Called by forked_machine.py.  The process may run a student's kernel, which can answer what it likes; a value
that makes no sense is a BadAnswer, and never an object that a test could take for more than it is.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from orrery.pool.channel import PROTOCOL, BadAnswer, Value

if TYPE_CHECKING:
    from orrery.machine.events import Happening
    from orrery.machine.hooks import Event

T = TypeVar("T")


class State(NamedTuple):
    """How a machine is after a call; see machine_worker.py."""

    time_ps: int
    status: int
    console: bytes
    events: "list[Event]"
    crashes: list[str]


def typed(value: Value, kind: type[T]) -> T:
    """`value`, which is to be of `kind`."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadAnswer(f"{type(value).__name__} for {kind.__name__}")
    return value


def parts(value: Value, count: int) -> list[Value]:
    """A list of so many values."""
    found = typed(value, list)
    if len(found) != count:
        raise BadAnswer(f"{len(found)} parts for {count}")
    return found


def text(value: Value) -> str:
    return typed(value, str)


def number(value: Value) -> int:
    return typed(value, int)


def anything(value: Value) -> Value:
    return value


def texts(value: Value) -> list[str]:
    return [typed(one, str) for one in typed(value, list)]


def greeting(value: Value) -> list[str]:
    """The warnings of a machine that says that it is there."""
    protocol, warnings = parts(value, 2)
    if protocol != PROTOCOL:
        raise BadAnswer("the machine's source tree is of another version: bring it up to date")
    return texts(warnings)


def ended(value: Value) -> tuple[int, bytes]:
    """A program's exit status and what it printed."""
    status, output = parts(value, 2)
    return typed(status, int), typed(output, bytes)


def match(value: Value, pattern: re.Pattern[str]) -> re.Match[str]:
    """Where the text that came matches."""
    found = pattern.search(typed(value, str))
    if found is None:
        raise BadAnswer("what is said to match does not")
    return found


def ram(value: Value, size: int) -> bytes:
    data = typed(value, bytes)
    if len(data) != size:
        raise BadAnswer(f"{len(data)} bytes of RAM for {size}")
    return data


def happening(value: Value) -> "Happening":
    from orrery.machine.events import Happening

    kind, pid, what = parts(value, 3)
    return Happening(typed(kind, str), typed(pid, int), typed(what, str))


def state(value: Value) -> State:
    time_ps, status, console, events, crashes = parts(value, 5)
    return State(
        typed(time_ps, int),
        typed(status, int),
        typed(console, bytes),
        [event(one) for one in typed(events, list)],
        texts(crashes),
    )


def event(value: Value) -> "Event":
    """An event for hooks; its fields are plain values."""
    from orrery.machine import hooks

    kind, *fields = typed(value, list) or [None]
    classes: tuple[Any, ...] = (hooks.SyscallEvent, hooks.FaultEvent, hooks.SwitchEvent)
    for cls in classes:
        if cls.kind == kind and len(fields) == len(dataclasses.fields(cls)):
            made: Event = cls(*(tuple(field) if isinstance(field, list) else field for field in fields))
            return made
    raise BadAnswer(f"no event of kind {kind!r}")


READS: Final[Mapping[str, Callable[[Value], Value]]] = {
    "digest": text,
    "fork": anything,
    "on": anything,
    "program": ended,
    "reg": number,
    "run_until": happening,
    "sh": text,
    "type": anything,
    "write": anything,
}
"""By call, what looks at its result, where that does not depend on what was asked for."""
