"""Arithmetic of C on values: conversions, operators, and steps of pointers.

Used by expressions.py.  Nothing here looks at the machine.
"""

from orrery.debugger.ctypes import DOUBLE, INT, LONG, CType, pointer_to
from orrery.debugger.values import Unavailable, Value


def converted(value: Value, type_: CType) -> Value:
    """`value` cast to a type; raises Unavailable."""
    if type_.is_scalar:
        return Value.of(type_, value.number if type_.kind == "float" else value.whole)
    if type_ == value.type or type_.kind == "void":
        return Value(type_, value.data, value.address)
    raise Unavailable(f"a {value.type.name} cannot be cast to {type_.name}")


def widened(type_: CType) -> CType:
    """What C makes of a type before it counts with it."""
    return INT if type_.is_whole and (type_.size < 4 or type_.kind == "enum") else type_


def combined(op: str, left: Value, right: Value) -> Value:
    """left op right; raises Unavailable."""
    if op in ("&&", "||"):
        truths = bool(left.number), bool(right.number)
        return Value.of(INT, all(truths) if op == "&&" else any(truths))
    if op in ("==", "!=", "<", ">", "<=", ">="):
        return Value.of(INT, _compared(op, left.number, right.number))
    pointers = [one.type.kind in ("pointer", "array") for one in (left, right)]
    if any(pointers):
        return _moved(op, left, right, pointers)
    if "float" in (left.type.kind, right.type.kind):
        return _calculated(op, DOUBLE, left.number, right.number)
    a, b = widened(left.type), widened(right.type)
    type_ = a if (a.size, not a.signed) >= (b.size, not b.signed) else b
    return _calculated(op, a if op in ("<<", ">>") else type_, left.whole, right.whole)


def _moved(op: str, left: Value, right: Value, pointers: list[bool]) -> Value:
    """Arithmetic with addresses, in units of what they point to."""
    if op == "-" and all(pointers):
        return Value.of(LONG, (left.whole - right.whole) // max(left.type.of.size, 1))
    if op not in ("+", "-") or all(pointers) or (op == "-" and pointers[1]):
        raise Unavailable(f"{op} cannot be used on {left.type.name} and {right.type.name}")
    base, offset = (left, right) if pointers[0] else (right, left)
    step = offset.whole * max(base.type.of.size, 1)
    return Value.of(pointer_to(base.type.of), base.whole + (step if op == "+" else -step))


def _compared(op: str, a: int | float, b: int | float) -> bool:
    return {"==": a == b, "!=": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op]


def _calculated(op: str, type_: CType, a: int | float, b: int | float) -> Value:
    match op:
        case "+":
            return Value.of(type_, a + b)
        case "-":
            return Value.of(type_, a - b)
        case "*":
            return Value.of(type_, a * b)
        case "/" | "%":
            return Value.of(type_, _divided(op, a, b))
    if isinstance(a, float) or isinstance(b, float):
        raise Unavailable(f"{op} is for whole numbers")
    match op:
        case "<<":
            return Value.of(type_, a << (b & 8 * type_.size - 1))
        case ">>":
            return Value.of(type_, a >> (b & 8 * type_.size - 1))
        case "&":
            return Value.of(type_, a & b)
        case "|":
            return Value.of(type_, a | b)
    return Value.of(type_, a ^ b)


def _divided(op: str, a: int | float, b: int | float) -> int | float:
    """Division towards zero, as in C."""
    if not b:
        raise Unavailable("Division by zero")
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return quotient if op == "/" else a - b * quotient
