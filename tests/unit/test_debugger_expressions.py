"""Expressions of C in the debugger: what they are worth, of which type, and what is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.debugger.ctypes import CHAR, INT, LONG, SIMPLE, CType, Field, array_of, pointer_to
from orrery.debugger.expressions import evaluate, named_type
from orrery.debugger.values import Unavailable, Value, formatted, shown

NODE = CType(
    "struct",
    "struct node",
    24,
    find_fields=lambda: (
        Field("value", INT, 0),
        Field("name", array_of(CHAR, 8), 4),
        Field("flags", SIMPLE["unsigned int"], 12, (4, 3)),
        Field("next", pointer_to(NODE), 16),
    ),
)
AT, SECOND = 0x1000, 0x1020
UINT = SIMPLE["unsigned int"]


class Scope:
    """Two nodes, one behind the other, an array, and a few numbers."""

    def __init__(self) -> None:
        self.memory = bytearray(0x100)
        self._put(AT, (30).to_bytes(4, "little") + b"first\0\0\0" + (0x50).to_bytes(4, "little"))
        self._put(AT + 16, SECOND.to_bytes(8, "little"))
        self._put(SECOND, (-2 & 0xFFFFFFFF).to_bytes(4, "little") + b"second\0\0")
        self._put(0x1040, b"".join(n.to_bytes(4, "little") for n in (5, 6, 7)))

    def _put(self, address: int, data: bytes) -> None:
        self.memory[address - AT : address - AT + len(data)] = data

    def read(self, address: int, n: int) -> bytes:
        return bytes(self.memory[address - AT : address - AT + n]) if address >= AT else b""

    def variable(self, name: str) -> Value:
        if name == "head":
            return Value.of(pointer_to(NODE), AT)
        if name == "node":
            return self.load(NODE, AT)
        if name == "numbers":
            return self.load(array_of(INT, 3), 0x1040)
        raise Unavailable(f'No symbol "{name}" in current context.')

    def register(self, name: str) -> Value:
        return Value(LONG, (7).to_bytes(8, "little"), register=10)

    def type(self, name: str) -> CType | None:
        return NODE if name == "struct node" else None

    def load(self, type_: CType, address: int) -> Value:
        data = self.read(address, type_.size)
        if len(data) < type_.size:
            raise Unavailable(f"Cannot access memory at address {address:#x}")
        return Value(type_, data, address)

    def store(self, target: Value, data: bytes) -> None:
        assert target.address is not None
        self._put(target.address, data)


def show(text: str, letter: str = "", scope: Scope | None = None) -> str:
    scope = scope or Scope()
    return shown(evaluate(text, scope), scope.read, lambda va: "", letter)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3 - -1", "10"),
        ("7 / 2 * 2 + 7 % 2", "7"),
        ("-7 / 2", "-3"),
        ("-7 % 2", "-1"),
        ("1 << 4 | 3", "19"),
        ("!0 && 2 > 1 || 0", "1"),
        ("0x10 == 16", "1"),
        ("~0", "-1"),
        ("(unsigned int)-1", "4294967295"),
        ("(unsigned char)300", "44 ','"),
        ("'a' + 1", "98"),
        ("1.5 * 2", "3"),
        ("sizeof(struct node) + sizeof(int *) + sizeof 1", "36"),
        ("head", "(struct node *) 0x1000"),
        ("head->value", "30"),
        ("head->next->value", "-2"),
        ("(*head).name", '"first"'),
        ("head->flags", "5"),
        ("&head->next", "(struct node * *) 0x1010".replace("* *", "**")),
        ("head->name[1]", "105 'i'"),
        ("numbers", "{5, 6, 7}"),
        ("numbers[2]", "7"),
        ("*(numbers + 1)", "6"),
        ("&numbers[2] - &numbers[0]", "2"),
        ("*numbers@2", "{5, 6}"),
        ("(char *)head + 4", '0x1004 "first"'),
        ("((struct node *)0x1020)->name", '"second"'),
        ("$a0 + 1", "8"),
        ("node", '{value = 30, name = "first", flags = 5, next = 0x1020}'),
    ],
)
def test_values(text: str, result: str) -> None:
    assert show(text) == result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nobody", "No symbol"),
        ("1 +", "syntax error in expression, near `'"),
        ("(1", "missing"),
        ("1 2", "syntax error in expression, near `2'"),
        ("`", "syntax error"),
        ("head->nothing", "no member"),
        ("*head->value", "access memory"),
        ("1 / 0", "Division by zero"),
        ("1.0 % 0", "Division by zero"),
        ("1.5 & 1", "whole numbers"),
        ("head * 2", "cannot be used"),
        ("&1", "no address"),
        ("3 = 4", "no place"),
        ("node + 1", "is no number"),
        ("09", "no number"),
        ("", "syntax error"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        show(text)


def test_an_assignment_stores() -> None:
    scope = Scope()
    assert show("head->next->value = head->value + 1", scope=scope) == "31"
    assert show("head->next->value", scope=scope) == "31"


@pytest.mark.parametrize(
    ("letter", "result"),
    [("x", "0xfe"), ("d", "-2"), ("u", "254"), ("t", "11111110"), ("o", "0376"), ("z", "0xfe")],
)
def test_formats(letter: str, result: str) -> None:
    assert formatted(-2, 1, letter) == result


def test_types_are_found_by_name() -> None:
    scope = Scope()
    assert str(named_type("struct node *", scope) and "yes") == "yes"
    for name, size in (("unsigned long", 8), ("char **", 8), ("short int", 2), ("const char", 1)):
        found = named_type(name, scope)
        assert found is not None and found.size == size
    assert named_type("head", scope) is None


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(Unavailable):
        show(text)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(1, 1000))
def test_division_is_that_of_c(a: int, b: int) -> None:
    quotient, rest = int(show(f"({a}) / {b}")), int(show(f"({a}) % {b}"))
    assert quotient * b + rest == a
    assert abs(quotient) == abs(a) // b
