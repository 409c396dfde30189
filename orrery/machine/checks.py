"""What callers hand to machines is checked here: its type and its range, before anything is done with it.

Called by Machine, ForkedMachine, MachinePool and the pytest plugin.  A wrong value must be an error at the
caller, in one line that names the argument: in the machine, what breaks would look like the kernel's fault.
Each function returns the value as it is to be used.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orrery.errors import BadInput

if TYPE_CHECKING:
    from decimal import Decimal

SECONDS_MAX: Final = 10**8  # three years: the timers of host and guest both hold it
ADDRESS_MAX: Final = 1 << 64
SHOWN_MAX: Final = 60  # characters of a wrong value


class WrongType(BadInput, TypeError):
    """An argument is of a type that makes no sense."""


class WrongValue(BadInput, ValueError):
    """An argument has a value that makes no sense."""


def shown(value: object) -> str:
    """`value` and its type, for a message."""
    text = repr(value)
    return f"{text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + '...'} ({type(value).__name__})"


def wrong_type(name: str, value: object, wanted: str) -> WrongType:
    return WrongType(f"{name}={shown(value)}: give {wanted}")


def whole(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """A whole number from `low` to `high`, where they are given."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, value, "a whole number")
    if (low is not None and value < low) or (high is not None and value > high):
        raise WrongValue(f"{name}={shown(value)}: give a number from {low} to {high}")
    return value


def maybe_whole(name: str, value: object) -> int | None:
    """A whole number, or None."""
    return None if value is None else whole(name, value)


def seconds(name: str, value: object, *, zero: bool = False) -> float | None:
    """A positive number of seconds (or 0, with `zero`), or None for no limit."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong_type(name, value, "a number of seconds, as in 2.5")
    if not (math.isfinite(value) and 0 <= value <= SECONDS_MAX and (value > 0 or zero)):
        raise WrongValue(f"{name}={shown(value)}: give a number of seconds, as in 2.5")
    return value


def option_seconds(option: str, text: str | None) -> "Decimal | None":
    """A positive decimal number of seconds, or None where the option was not given."""
    if text is None:
        return None
    from decimal import Decimal, InvalidOperation

    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal("nan")
    if seconds.is_nan() or not 0 < seconds < SECONDS_MAX:
        raise BadInput(f"{option} {text}: no time; give a number of seconds, as in {option} 2.5")
    return seconds


def points(name: str, value: object) -> float:
    """What a test is worth: a number that is not below 0."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong_type(name, value, "a number of points")
    if not (math.isfinite(value) and value >= 0):
        raise WrongValue(f"{name}={shown(value)}: give a number of points, 0 or more")
    return value


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(name, value, "True or False")
    return value


def text(name: str, value: object) -> str:
    """A str that can be encoded: names of files may hold any bytes, as os.fsdecode gives them."""
    if not isinstance(value, str):
        raise wrong_type(name, value, "a str")
    try:
        value.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise WrongValue(f"{name}={shown(value)}: no text, {error.reason}; give characters") from error
    return value


def maybe_text(name: str, value: object) -> str | None:
    return None if value is None else text(name, value)


def data(name: str, value: object) -> bytes:
    """Bytes, or something that holds some."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong_type(name, value, "bytes")
    return bytes(value)


def content(name: str, value: object) -> bytes:
    """Bytes, or text that stands for them."""
    if isinstance(value, str):
        return text(name, value).encode(errors="surrogateescape")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong_type(name, value, "a str or bytes")
    return bytes(value)


def path(name: str, value: object) -> str:
    """A path of the host, as str."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise wrong_type(name, value, "a path: a str or a pathlib.Path")
    if not value or "\0" in value:
        raise WrongValue(f"{name}={shown(value)}: no path; name a file")
    return value


def paths(name: str, value: object) -> list[str]:
    """Several paths; not one, which would be taken for the list of its letters."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise wrong_type(name, value, "a list of paths")
    return [path(f"{name}[{i}]", one) for i, one in enumerate(value)]


def texts(name: str, value: object) -> list[str]:
    """A list of str."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise wrong_type(name, value, "a list of str")
    return [text(f"{name}[{i}]", one) for i, one in enumerate(value)]


def contents(name: str, value: object) -> dict[str, bytes]:
    """Names of files with what is in them."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong_type(name, value, "a mapping of names to contents")
    return {text(f"a name in {name}", key): content(f"{name}[{key!r}]", one) for key, one in value.items()}


def hook(name: str, value: Any) -> Any:
    if not callable(value):
        raise wrong_type(name, value, "something to call, such as a function")
    return value
