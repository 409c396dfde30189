"""Commands that say what a person wants to read: echo and printf, for the commands of a breakpoint."""

import re
from collections.abc import Iterator
from typing import Final

from orrery.debugger.debugger import Debugger
from orrery.debugger.expressions import evaluate
from orrery.debugger.values import TEXT_MAX, Unavailable, Value

ESCAPES: Final = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "a": "\a", "r": "\r"}
FORMAT: Final = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:,(?P<values>.*))?$')
DIRECTIVE: Final = re.compile(r"%(?P<flags>[-+ 0#]*\d*(?:\.\d+)?)(?:hh|h|ll|l|z)?(?P<letter>[diuxXocspfeg%])")
COMMA: Final = re.compile(r",(?![^([]*[)\]])")  # not within brackets


def echo(debugger: Debugger, argument: str) -> str:
    """echo TEXT"""
    return _unescaped(argument)


def printf(debugger: Debugger, argument: str) -> str:
    """printf "FORMAT", EXPRESSION..."""
    found = FORMAT.match(argument)
    if found is None:
        raise Unavailable('printf what? As in printf "%d\\n", count')
    values = [evaluate(one, debugger) for one in COMMA.split(found["values"] or "") if one.strip()]
    template = _unescaped(found["text"])
    wanted = sum(one["letter"] != "%" for one in DIRECTIVE.finditer(template))
    if wanted != len(values):
        raise Unavailable(f"Wrong number of arguments: {wanted} are wanted, not {len(values)}")
    rest = iter(values)
    return DIRECTIVE.sub(lambda one: _directive(debugger, one, rest), template)


def _directive(debugger: Debugger, one: "re.Match[str]", values: Iterator[Value]) -> str:
    flags, letter = one["flags"], one["letter"]
    if letter == "%":
        return "%"
    value = next(values)
    match letter:
        case "s":
            data = value.data if value.type.kind == "array" else debugger.read(value.whole, TEXT_MAX)
            return f"%{flags}s" % data.partition(b"\0")[0].decode(errors="replace")
        case "c":
            return f"%{flags}c" % (value.whole & 0xFF)
        case "p":
            return f"{value.whole & (1 << 64) - 1:#x}"
        case "f" | "e" | "g":
            return f"%{flags}{letter}" % float(value.number)
        case "u" | "x" | "X" | "o":
            bits = value.whole & (1 << 8 * max(value.type.size, 1)) - 1
            return f"%{flags}{'d' if letter == 'u' else letter}" % bits
    return f"%{flags}d" % value.whole


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), text)
