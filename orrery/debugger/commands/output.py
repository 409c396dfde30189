"""The output commands, for scripts of breakpoints: echo and printf.

printf knows what gdb's knows: flags, width and precision, and d i u x X o c s p e f g with h hh l ll L z j
t.
"""

import re
from collections.abc import Iterator
from typing import Final

from orrery.debugger.c import floats
from orrery.debugger.c.ctypes import TypeKind
from orrery.debugger.c.expressions import valued
from orrery.debugger.c.syntax import parse_list
from orrery.debugger.c.values import BYTES_MAX, MASK64, Value
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable

ESCAPES: Final = {
    "n": "\n", "t": "\t", "a": "\a", "b": "\b", "e": "\033", "f": "\f", "r": "\r", "v": "\v",
    "\\": "\\", '"': '"',
}  # fmt: skip
ESCAPE: Final = re.compile(r"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9a-fA-F]{1,2})|(?P<one>.|$))", re.DOTALL)
FORMAT: Final = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?P<rest>.*)$', re.DOTALL)
DIRECTIVE: Final = re.compile(
    r"%(?P<flags>[-+ 0#]*)(?P<width>\d*)(?P<precision>\.\d*)?(?P<size>hh|h|ll|l|L|z|j|t)?(?P<letter>.|$)",
    re.DOTALL,
)
SIZES: Final = {"": 4, "hh": 1, "h": 2, "l": 8, "ll": 8, "L": 8, "z": 8, "j": 8, "t": 8}
WIDTH_MAX: Final = 10_000
CHUNK: Final = 256


def echo(debugger: Debugger, argument: str) -> str:
    """echo TEXT"""
    return ESCAPE.sub(lambda found: _escaped(found) or found["one"], argument)


def printf(debugger: Debugger, argument: str) -> str:
    """printf "FORMAT", EXPRESSION..."""
    if not argument:
        raise Unavailable("Argument required (format-control string and values to print).")
    found = FORMAT.match(argument)
    if found is None:
        problem = "non-terminated" if argument.startswith('"') else "missing"
        raise Unavailable(f"Bad format string, {problem} '\"'.")
    rest = found["rest"].strip()
    if rest and not rest.startswith(","):
        raise Unavailable("Invalid argument syntax")
    directives = [_checked(one) for one in DIRECTIVE.finditer(found["text"])]
    listed = rest.removeprefix(",").strip().removesuffix(",")
    nodes = parse_list(listed, debugger.type) if listed else ()
    if sum(one["letter"] != "%" for one in directives) != len(nodes):
        raise Unavailable("Wrong number of arguments for specified format-string")
    values = iter([valued(one, debugger) for one in nodes])
    pieces, at = [], 0
    for one in directives:
        pieces += [_unescaped(found["text"][at : one.start()]), _directive(debugger, one, values)]
        at = one.end()
    return "".join((*pieces, _unescaped(found["text"][at:])))


def _checked(one: "re.Match[str]") -> "re.Match[str]":
    """A directive that there is; raises Unavailable."""
    letter, is_bare = one["letter"], one[0] == "%%"
    if not letter:
        raise Unavailable("Incomplete format specifier at end of format string")
    if letter == "*":
        raise Unavailable("`*' not supported for precision or width in printf")
    if letter == "n":
        raise Unavailable("Format specifier `n' not supported in printf")
    if letter not in "diuxXocspeEfgG" and not is_bare:
        raise Unavailable(f"Unrecognized format specifier '{letter}' in printf")
    if max(int(one["width"] or 0), int((one["precision"] or ".")[1:] or 0)) > WIDTH_MAX:
        raise Unavailable(f"{one[0]}: {WIDTH_MAX} characters are the most that printf writes for a value")
    return one


def _directive(debugger: Debugger, one: "re.Match[str]", values: Iterator[Value]) -> str:
    flags, letter = f"{one['flags']}", one["letter"]
    if letter == "%":
        return "%"
    value = next(values)
    if not value.type.is_scalar and value.type.kind not in (TypeKind.ARRAY, TypeKind.FUNCTION):
        raise Unavailable("Value can't be converted to integer.")
    plain = ("-" if "-" in flags else "") + one["width"]
    if letter == "s":
        return f"%{plain}{one['precision'] or ''}s" % _text(debugger, value)
    if letter == "c":
        return f"%{plain}c" % (value.whole & 0xFF)
    if letter == "p":
        address = value.whole & MASK64
        return f"%{plain}s" % (f"{address:#x}" if address else "(nil)")
    if letter in "eEfgG":
        return f"%{flags}{one['width']}{one['precision'] or ''}{letter}" % _floating(value)
    return _whole(one, value)


def _whole(one: "re.Match[str]", value: Value) -> str:
    """A whole number as C writes it, which Python does but for a few flags."""
    flags, letter, size = f"{one['flags']}", one["letter"], SIZES[one["size"] or ""]
    bits = value.whole & (1 << 8 * size) - 1
    number = bits - (1 << 8 * size) if letter in "di" and bits >> 8 * size - 1 else bits
    if letter not in "di":
        flags = flags.replace("+", "").replace(" ", "")
    if one["precision"]:
        flags = flags.replace("0", "")
    if "#" in flags and letter == "o":
        digits = f"0{number:o}" if number else "0"
        return f"%{'-' if '-' in flags else ''}{one['width']}s" % digits
    if not number:
        flags = flags.replace("#", "")
    python = "d" if letter in "diu" else letter
    precision = one["precision"] or ""
    return f"%{flags}{one['width']}{precision}{python}" % number


def _floating(value: Value) -> float:
    """The number, of which as much is kept as a double holds; whole numbers are taken for the bits of one."""
    if value.type.kind != TypeKind.FLOAT and value.type.size in floats.FORMATS:
        return floats.double(floats.unpacked(value.data))
    return floats.double(value.number)


def _text(debugger: Debugger, value: Value) -> str:
    """The string that a value is, or leads to; raises Unavailable."""
    if value.type.kind == TypeKind.ARRAY and value.type.of.size == 1:
        data = value.data.partition(b"\0")[0]
    else:
        address = value.whole & MASK64
        if not address:
            return "(null)"
        data = b""
        while b"\0" not in data and len(data) < BYTES_MAX:
            more = debugger.read(address + len(data), CHUNK)
            if not more:
                raise Unavailable(f"Cannot access memory at address {address + len(data):#x}")
            data += more
        data = data.partition(b"\0")[0]
    return data.decode(errors="replace")


def _unescaped(text: str) -> str:
    """A text with what its escapes stand for; raises Unavailable."""

    def one(found: "re.Match[str]") -> str:
        made = _escaped(found)
        if made is None:
            raise Unavailable(f"Unrecognized escape character \\{found['one']} in format string.")
        return made

    return ESCAPE.sub(one, text)


def _escaped(found: "re.Match[str]") -> str | None:
    """What an escape stands for; None where it is none."""
    if found["octal"]:
        return chr(int(found["octal"], 8) & 0xFF)
    return chr(int(found["hex"], 16)) if found["hex"] else ESCAPES.get(found["one"])
