"""A serialized exception: an exception on its way from a machine's process to the caller's, as a plain value.

Made by fork_server.py, opened by machine_pool.py.  What a caller may want to catch comes out as itself, with
its attributes and notes; anything else has no class that both ends know, and comes out as CannotGoOn.
"""

from importlib import import_module
from typing import Final, NamedTuple

from orrery.errors import CannotGoOn
from orrery.pool.channel import BadAnswer

HOMES: Final = {
    "BadInput": "orrery.errors",
    "CannotBoot": "orrery.errors",
    "CannotGoOn": "orrery.errors",
    "Deadlock": "orrery.errors",
    "ExpectTimeout": "orrery.errors",
    "PoweredOff": "orrery.errors",
    "KernelPanic": "kernel.kernel",
    "DriveError": "emu.dev.drive",
    "CompileError": "toolchain.cc",
    "ImageError": "toolchain.mkfs",
    "BadImage": "toolchain.fsimage",
    "ReplayDiverged": "orrery.timetravel.input_log",
    "LookupError": "builtins",
    "OSError": "builtins",
    "ValueError": "builtins",
}
"""By name, the exceptions that arrive as themselves: the modules that they are in."""


class SerializedException(NamedTuple):
    """`name` is the class's; `fields` are what the exception holds beside its message."""

    name: str
    message: str
    fields: dict[str, object]
    notes: list[str]


def wrap(error: BaseException) -> tuple[object, ...]:
    """`error` as a value for Channel.send; a class that does not arrive is sent as the nearest that does."""
    known = name_of(error)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    fields: dict[str, object] = {
        name: value for name, value in vars(error).items() if isinstance(value, str | int)
    }
    notes = list(getattr(error, "__notes__", ()))
    return tuple(SerializedException(known or CannotGoOn.__name__, message, fields, notes))


def name_of(error: BaseException) -> str | None:
    """The name under which `error` arrives, or None where no class of it does."""
    return next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in HOMES), None)


def unwrap(value: object) -> Exception:
    """The exception that wrap() was given; raises BadAnswer where `value` is none of these."""
    try:
        received = SerializedException(*value)  # type: ignore[misc]
    except TypeError as error:
        raise BadAnswer("no exception") from error
    if not isinstance(received.name, str) or received.name not in HOMES:
        raise BadAnswer("an exception without a known name")
    if not isinstance(received.message, str) or not isinstance(received.fields, dict):
        raise BadAnswer("an exception without a message")
    cls = getattr(import_module(HOMES[received.name]), received.name)
    made: Exception = cls.__new__(cls)  # not its constructor: that makes the message from other things
    made.args = (received.message,)
    fields = {key: field for key, field in received.fields.items() if not key.startswith("_")}
    vars(made).update({key: field for key, field in fields.items() if isinstance(field, str | int)})
    for note in received.notes if isinstance(received.notes, list) else ():
        made.add_note(str(note))
    return made
