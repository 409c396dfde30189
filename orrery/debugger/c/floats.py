"""Floating point of 2, 4, 8 and 16 bytes: from bytes to numbers and back, and as gdb prints them.

Used by values.py and format.py.  A long double, which no Python float can hold, becomes a Fraction; NaN and
the infinities are floats in each size.
"""

import math
import struct
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from orrery.debugger.errors import Unavailable

Number = int | float | Fraction


class Format(NamedTuple):
    """How many bits the exponent and the fraction have."""

    exponent: int
    fraction: int

    @property
    def digits(self) -> int:
        """So many decimal ones tell each number from all others; gdb's way to count them."""
        return 2 + (self.fraction + 1) * 30103 // 100000


FORMATS: Final = {2: Format(5, 10), 4: Format(8, 23), 8: Format(11, 52), 16: Format(15, 112)}
CODES: Final = {2: "<e", 4: "<f", 8: "<d"}
LONG_DOUBLE: Final = 16
NO_NUMBER: Final[float] = struct.unpack("<d", bytes((0, 0, 0, 0, 0, 0, 0xF8, 0xFF)))[0]  # what 0.0 / 0 is
WHOLE_MAX: Final = (1 << 63) - 1
SMALLEST_PLAIN: Final = -4  # from this power of ten on no exponent is written


def unpacked(data: bytes) -> float | Fraction:
    """The number that these bytes are; raises Unavailable."""
    if len(data) in CODES:
        number: float = struct.unpack(CODES[len(data)], data)[0]
        return number
    if len(data) != LONG_DOUBLE:
        raise Unavailable(f"no floating point has {len(data)} bytes")
    negative, exponent, fraction = _parts(data)
    form = FORMATS[LONG_DOUBLE]
    if exponent == (1 << form.exponent) - 1:
        return math.nan if fraction else -math.inf if negative else math.inf
    scaled = fraction + (1 << form.fraction if exponent else 0)
    power = max(exponent, 1) - (1 << form.exponent - 1) + 1 - form.fraction
    number_ = Fraction(scaled) * Fraction(2) ** power
    return -number_ if negative else number_


def packed(number: Number, size: int) -> bytes:
    """The bytes of the nearest number of this size."""
    if size in CODES:
        try:
            return struct.pack(CODES[size], double(number))
        except OverflowError:
            return struct.pack(CODES[size], math.inf if number > 0 else -math.inf)
    form, top = FORMATS[LONG_DOUBLE], (1 << FORMATS[LONG_DOUBLE].exponent) - 1
    negative = number < 0 or (isinstance(number, float) and math.copysign(1, number) < 0)
    if isinstance(number, float) and not math.isfinite(number):
        bits = top << form.fraction | (1 << form.fraction - 1 if number != number else 0)
    else:
        bits = min(_rounded(abs(Fraction(number)), form), top << form.fraction)
    return (bits | negative << 8 * size - 1).to_bytes(size, "little")


def _rounded(number: Fraction, form: Format) -> int:
    """Exponent and fraction of a number, as one: rounding up carries into the exponent, as it should."""
    if not number:
        return 0
    bias = (1 << form.exponent - 1) - 1
    power = number.numerator.bit_length() - number.denominator.bit_length()
    power -= number < Fraction(2) ** power
    power = max(power, 1 - bias)
    scaled = round(number / Fraction(2) ** (power - form.fraction))  # to an even one where two are as near
    return (power + bias - 1 << form.fraction) + scaled


def double(number: Number) -> float:
    """The nearest double."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def whole(number: Number) -> int:
    """Without what is behind the point; what is too large is the largest, as in gdb."""
    if isinstance(number, float) and not math.isfinite(number):
        return 0 if number != number else WHOLE_MAX if number > 0 else -WHOLE_MAX - 1
    return max(-WHOLE_MAX - 1, min(int(number), WHOLE_MAX))


def text(data: bytes) -> str:
    """As many digits as tell it from all others, without zeroes behind; raises Unavailable."""
    number = unpacked(data)
    if number != number:
        negative, _, fraction = _parts(data)
        return f"{'-' * negative}nan({fraction:#x})"
    digits = FORMATS[len(data)].digits
    if isinstance(number, float):
        return f"{number:.{digits}g}"
    if not number:
        return "-0" if data[-1] >> 7 else "0"
    context = Context(prec=digits)
    exact = context.divide(Decimal(number.numerator), Decimal(number.denominator))
    return _general(exact.normalize(context), digits)


def _general(number: Decimal, digits: int) -> str:
    """As %g has it."""
    power = number.adjusted()
    sign, figures, _ = number.as_tuple()
    head = "".join(map(str, figures))
    if SMALLEST_PLAIN <= power < digits:
        return f"{number:f}"
    fraction = f".{head[1:]}" if len(head) > 1 else ""
    return f"{'-' * sign}{head[0]}{fraction}e{'+' if power >= 0 else '-'}{abs(power):02}"


def _parts(data: bytes) -> tuple[bool, int, int]:
    """Sign, exponent and fraction."""
    bits, form = int.from_bytes(data, "little"), FORMATS[len(data)]
    exponent = bits >> form.fraction & (1 << form.exponent) - 1
    return bool(bits >> 8 * len(data) - 1), exponent, bits & (1 << form.fraction) - 1
