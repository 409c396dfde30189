"""C arithmetic on values: conversions, operators, and pointer arithmetic.

Used by expressions.py.  Nothing here reads the machine.
"""

import math
from fractions import Fraction
from typing import Final

from orrery.debugger.c.ctypes import INT, LONG, UINT, CType, TypeKind, pointer_to
from orrery.debugger.c.floats import NO_NUMBER, Number
from orrery.debugger.c.values import Value
from orrery.debugger.errors import Unavailable

NOT_A_NUMBER: Final = "Argument to arithmetic operation not a number or boolean."
INT_BYTES: Final = 4
BITS: Final = 8


def converted(value: Value, type_: CType) -> Value:
    """`value` cast to a type; raises Unavailable."""
    if type_.is_scalar and (value.type.is_scalar or value.type.kind in (TypeKind.ARRAY, TypeKind.FUNCTION)):
        return Value.of(type_, value.number if type_.kind == TypeKind.FLOAT else value.whole)
    if type_ == value.type or type_.kind == TypeKind.VOID:
        return Value(type_, value.fetch, value.address)
    raise Unavailable("Invalid cast.")


def widened(type_: CType) -> CType:
    """What C makes of a type before it counts with it."""
    if type_.kind == TypeKind.ENUM and type_.size == INT_BYTES:
        return INT if type_.signed else UINT
    return INT if type_.is_whole and type_.size < INT_BYTES else type_


def truth(value: Value) -> bool:
    """Whether a condition holds; raises Unavailable."""
    if not value.type.is_scalar and value.type.kind not in (TypeKind.ARRAY, TypeKind.FUNCTION):
        raise Unavailable(NOT_A_NUMBER)
    return value.number != 0


def negated(value: Value) -> Value:
    """-value; raises Unavailable."""
    if value.type.kind == TypeKind.FLOAT:
        number = value.number
        return Value.of(value.type, -number if number else math.copysign(0, -math.copysign(1, float(number))))
    if not value.type.is_whole:
        raise Unavailable("Argument to negate operation not a number.")
    return Value.of(widened(value.type), -value.whole)


def complemented(value: Value) -> Value:
    """~value; raises Unavailable."""
    if not value.type.is_whole:
        raise Unavailable("Argument to complement operation not an integer, boolean.")
    return Value.of(widened(value.type), ~value.whole)


def combined(op: str, left: Value, right: Value) -> Value:
    """left op right; raises Unavailable."""
    kinds = left.type.kind, right.type.kind
    if op in ("==", "!=", "<", ">", "<=", ">="):
        return Value.of(INT, _compared(op, *_comparable(left, right)))
    if TypeKind.POINTER in kinds or TypeKind.ARRAY in kinds or TypeKind.FUNCTION in kinds:
        return _moved(op, left, right)
    if not (left.type.is_scalar and right.type.is_scalar):
        raise Unavailable(NOT_A_NUMBER)
    if TypeKind.FLOAT in kinds:
        of = max(
            (one.type for one in (left, right) if one.type.kind == TypeKind.FLOAT), key=lambda one: one.size
        )
        return Value.of(of, _floating(op, left.number, right.number))
    type_ = widened(left.type) if op in ("<<", ">>") else _common(left.type, right.type)
    return _calculated(op, type_, left.whole, right.whole)


def _common(left: CType, right: CType) -> CType:
    """The type of whole numbers in which C counts with two of them."""
    a, b = widened(left), widened(right)
    return a if (a.size, not a.signed) >= (b.size, not b.signed) else b


def _comparable(left: Value, right: Value) -> tuple[Number, Number]:
    """The numbers that are compared: both without a sign where one of them has none."""
    for one in (left, right):
        if not one.type.is_scalar and one.type.kind not in (TypeKind.ARRAY, TypeKind.FUNCTION):
            raise Unavailable(NOT_A_NUMBER)
    if left.type.is_whole and right.type.is_whole:
        of = _common(left.type, right.type)
        return Value.of(of, left.whole).whole, Value.of(of, right.whole).whole
    return left.number, right.number


def _moved(op: str, left: Value, right: Value) -> Value:
    """Arithmetic with addresses, in units of what they point to."""
    pointers = [
        one.type.kind in (TypeKind.POINTER, TypeKind.ARRAY, TypeKind.FUNCTION) for one in (left, right)
    ]
    if op == "-" and all(pointers):
        targets = [_target(one) for one in (left, right)]
        if targets[0].size != targets[1].size:
            raise Unavailable(
                "First argument of `-' is a pointer and second argument is neither\n"
                "an integer nor a pointer of the same type."
            )
        return Value.of(LONG, _divided("/", left.whole - right.whole, max(targets[0].size, 1)))
    base, offset = (left, right) if pointers[0] else (right, left)
    if op not in ("+", "-") or all(pointers) or (op == "-" and pointers[1]) or not offset.type.is_whole:
        raise Unavailable(NOT_A_NUMBER)
    if not _target(base).size:
        raise Unavailable(
            "Cannot perform pointer math on incomplete types, try casting to a known type, or void *."
        )
    step = offset.whole * _target(base).size
    return Value.of(pointer_to(_target(base)), base.whole + (step if op == "+" else -step))


def _target(value: Value) -> CType:
    """What an address is one of."""
    return value.type if value.type.kind == TypeKind.FUNCTION else value.type.of


def _compared(op: str, a: Number, b: Number) -> bool:
    return {"==": a == b, "!=": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op]


def _floating(op: str, a: Number, b: Number) -> Number:
    """Floating point: exact where both are numbers with an end, rounded when it is kept."""
    if op not in ("+", "-", "*", "/"):
        raise Unavailable("Integer-only operation on floating point number.")
    a, b = _exact(a), _exact(b)
    if op == "/" and not b:
        return NO_NUMBER if not a or a != a else math.copysign(math.inf, _sign(a) * _sign(b))
    if isinstance(a, Fraction) != isinstance(b, Fraction):  # the other one has no end, or is no number
        a, b = (_sign(one) * bool(one) if isinstance(one, Fraction) else one for one in (a, b))
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
    return a / b


def _exact(number: Number) -> float | Fraction:
    """As a Fraction, unless it is infinite or no number."""
    return number if isinstance(number, float) and not math.isfinite(number) else Fraction(number)


def _sign(number: float | Fraction) -> float:
    return math.copysign(1, number)


def _calculated(op: str, type_: CType, a: int, b: int) -> Value:
    match op:
        case "+":
            return Value.of(type_, a + b)
        case "-":
            return Value.of(type_, a - b)
        case "*":
            return Value.of(type_, a * b)
        case "/" | "%":
            return Value.of(type_, _divided(op, *(Value.of(type_, one).whole for one in (a, b))))
        case "<<":
            return Value.of(type_, a << b if 0 <= b < BITS * type_.size else 0)
        case ">>":
            return Value.of(type_, a >> min(b, BITS * type_.size) if b >= 0 else 0)
        case "&":
            return Value.of(type_, a & b)
        case "|":
            return Value.of(type_, a | b)
    return Value.of(type_, a ^ b)


def _divided(op: str, a: int, b: int) -> int:
    """Division towards zero, as in C."""
    if not b:
        raise Unavailable("Division by zero")
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if op == "/" else a - b * quotient
