r"""C literals and their values: 0x1fUL 1.5e3f 'c' '\x41' "a\tb".

Used by syntax.py.
"""

import re
from typing import Final

from orrery.debugger.c import floats
from orrery.debugger.c.ctypes import CHAR, DOUBLE, FLOAT, INT, LONG, LONG_DOUBLE, UINT, ULONG, array_of
from orrery.debugger.c.values import Value
from orrery.debugger.errors import Unavailable

SIMPLE_ESCAPES: Final = {
    "n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "\\": 92, "'": 39, '"': 34, "?": 63,
}  # fmt: skip
ESCAPE: Final = re.compile(r"\\(?:x(?P<hex>[0-9a-fA-F]*)|(?P<octal>[0-7]{1,3})|(?P<one>.))", re.DOTALL)
WHOLE: Final = re.compile(
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)|(?P<plain>\d+))(?P<suffix>[uUlL]*)$"
)
SUFFIXES: Final = ("", "u", "l", "ul", "lu", "ll", "ull", "llu")
FLOATING: Final = re.compile(r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d*)?)(?P<suffix>[fFlL]?)$")
HEX_FLOATING: Final = re.compile(
    r"(?P<number>0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][-+]?\d+)(?P<suffix>[fFlL]?)$"
)
DIGITS_MAX: Final = 5000  # of a number; Python takes quadratic time for more


def number(text: str) -> Value:
    """The value of a number; raises Unavailable."""
    if len(text) > DIGITS_MAX:
        raise Unavailable("Numeric constant too large.")
    if (found := WHOLE.match(text)) is not None and found["suffix"].lower() in SUFFIXES:
        return _whole(found, text)
    found = HEX_FLOATING.match(text)
    if found is not None:
        try:
            return _floating(float.fromhex(found["number"]), found["suffix"])
        except OverflowError:
            return _floating(float("inf"), found["suffix"])
    found = FLOATING.match(text)
    if found is None:
        raise Unavailable(f'Invalid number "{text}".')
    bare = found["number"]
    if found["suffix"].lower() == "l":
        return Value.made(LONG_DOUBLE, floats.packed(_exact(bare), LONG_DOUBLE.size))
    return _floating(float(bare if bare[-1] not in "eE+-" else bare.rstrip("+-eE")), found["suffix"])


def _exact(text: str) -> "floats.Number":
    """A decimal number without a loss, as far as its power is one that a long double can have."""
    from fractions import Fraction

    mantissa, _, power = text.lower().rstrip("e+-").partition("e")
    exponent = int(power or 0)
    if abs(exponent) > DIGITS_MAX:
        return float("inf") if exponent > 0 and Fraction(mantissa) else 0.0
    return Fraction(mantissa) * Fraction(10) ** exponent


def _floating(value: float, suffix: str) -> Value:
    return Value.of({"": DOUBLE, "f": FLOAT, "l": LONG_DOUBLE}[suffix.lower()], value)


def _whole(found: "re.Match[str]", text: str) -> Value:
    suffix = found["suffix"].lower()
    base, digits = (
        (16, found["hex"]) if found["hex"] else (2, found["binary"]) if found["binary"] else (10, text)
    )
    if base == 10:
        digits = found["plain"]
        base = 8 if digits.startswith("0") and len(digits) > 1 else 10
    try:
        value = int(digits, base)
    except ValueError:
        raise Unavailable(f'Invalid number "{text}".') from None
    if value >= 1 << 64:
        raise Unavailable("Numeric constant too large.")
    free = base != 10 or "u" in suffix  # to be one without a sign
    for type_, bits, is_allowed in (
        (INT, 31, "l" not in suffix and "u" not in suffix),
        (UINT, 32, "l" not in suffix and free),
        (LONG, 63, "u" not in suffix),
    ):
        if is_allowed and value < 1 << bits:
            return Value.of(type_, value)
    return Value.of(ULONG, value)


def character(text: str) -> Value:
    """The value of a character in its quotes; raises Unavailable."""
    data = _unescaped(text[1:-1])
    if not data:
        raise Unavailable("A character constant must contain at least one character.")
    if len(data) > 1:
        raise Unavailable("Invalid character constant.")
    return Value.of(CHAR, data[0])


def string(parts: list[str]) -> Value:
    """The value of strings in their quotes, one behind the other; raises Unavailable."""
    data = b"".join(_unescaped(one[1:-1]) for one in parts) + b"\0"
    return Value.made(array_of(CHAR, len(data)), data)


def _unescaped(text: str) -> bytes:
    """The bytes that a text of C stands for."""
    data, at = b"", 0
    for found in ESCAPE.finditer(text):
        data += text[at : found.start()].encode(errors="surrogateescape") + bytes((_escaped(found),))
        at = found.end()
    return data + text[at:].encode(errors="surrogateescape")


def _escaped(found: "re.Match[str]") -> int:
    if found["octal"]:
        return int(found["octal"], 8) & 0xFF
    if found["hex"] is not None:
        if not found["hex"]:
            raise Unavailable(r"\x escape without a following hex digit")
        return int(found["hex"], 16) & 0xFF
    return SIMPLE_ESCAPES.get(found["one"], ord(found["one"]) & 0xFF)
