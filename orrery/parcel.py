"""A parcel: an exception on its way from a machine's process to the caller's, as a plain value.

Made by hatchery.py, opened by nursery.py.  What a caller may want to catch comes out as itself, with its
attributes and notes; anything else has no class that both ends know, and comes out as CannotGoOn.
"""

from importlib import import_module
from typing import Final, NamedTuple

from orrery.errors import CannotGoOn

HOMES: Final = {
    "BadInput": "orrery.errors",
    "CannotBoot": "orrery.errors",
    "CannotGoOn": "orrery.errors",
    "Deadlock": "orrery.errors",
    "ExpectTimeout": "orrery.errors",
    "PoweredOff": "orrery.errors",
    "KernelPanic": "kernel.kernel",
    "DriveError": "emu.drive",
    "CompileError": "toolchain.cc",
    "ImageError": "toolchain.mkfs",
    "BadImage": "toolchain.fsimage",
    "Astray": "orrery.debugger.tape",
    "LookupError": "builtins",
    "OSError": "builtins",
    "ValueError": "builtins",
}
"""By name, the exceptions that arrive as themselves: the modules that they are in."""


class Parcel(NamedTuple):
    """`name` is the class's; `fields` are what the exception holds beside its message."""

    name: str
    message: str
    fields: dict[str, object]
    notes: list[str]


def wrap(error: BaseException) -> tuple[object, ...]:
    """`error` as a value for Wire.send; a class that does not arrive is sent as the nearest that does."""
    known = name_of(error)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    fields: dict[str, object] = {
        name: value for name, value in vars(error).items() if isinstance(value, str | int)
    }
    notes = list(getattr(error, "__notes__", ()))
    return tuple(Parcel(known or CannotGoOn.__name__, message, fields, notes))


def name_of(error: BaseException) -> str | None:
    """The name under which `error` arrives, or None where no class of it does."""
    return next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in HOMES), None)


def unwrap(value: tuple[str, str, dict[str, object], list[str]]) -> Exception:
    """The exception that wrap() was given."""
    parcel = Parcel(*value)
    cls = getattr(import_module(HOMES[parcel.name]), parcel.name)
    error: Exception = cls.__new__(cls)  # not its constructor: that makes the message from other things
    error.args = (parcel.message,)
    vars(error).update(parcel.fields)
    for note in parcel.notes:
        error.add_note(note)
    return error
