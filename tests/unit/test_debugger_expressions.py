"""Expressions of C in the debugger: what they are worth, of which type, and what is refused."""

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.debugger.c import floats
from orrery.debugger.c.ctypes import (
    CHAR,
    INT,
    LONG,
    LONG_DOUBLE,
    SIMPLE,
    VOID,
    CType,
    Field,
    array_of,
    function_of,
    pointer_to,
)
from orrery.debugger.c.expressions import evaluate, typed
from orrery.debugger.c.format import formatted, shown
from orrery.debugger.c.syntax import parse
from orrery.debugger.c.tree import is_constant
from orrery.debugger.c.values import Value
from orrery.debugger.errors import Unavailable

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


BITS = CType(
    "struct",
    "struct bits",
    8,
    find_fields=lambda: (
        Field("a", UINT, 0, (0, 3)),
        Field("b", INT, 0, (3, 5)),
        Field("wide", SIMPLE["uint64"], 0, (8, 40)),
    ),
)
GRID = array_of(array_of(INT, 2), 2)
FLAGS = CType("enum", "enum flags", 4, names=((1, "F1"), (2, "F2"), (4, "F4")))
COLOR = CType("enum", "enum color", 4, names=((0, "RED"), (5, "GREEN"), (6, "BLUE")))
FUNCTION = function_of(INT, ["int"])


class Scope:
    """Two nodes, one behind the other, an array, and a few numbers; `reads` counts looks into memory."""

    def __init__(self) -> None:
        self.reads = 0
        self.kept: dict[str, Value] = {}
        self.memory = bytearray(0x100)
        self._put(AT, (30).to_bytes(4, "little") + b"first\0\0\0" + (0x50).to_bytes(4, "little"))
        self._put(AT + 16, SECOND.to_bytes(8, "little"))
        self._put(SECOND, (-2 & 0xFFFFFFFF).to_bytes(4, "little") + b"second\0\0")
        self._put(0x1040, b"".join(n.to_bytes(4, "little") for n in (5, 6, 7)))
        self._put(0x1060, (0x1234567890 << 8 | (-3 & 31) << 3 | 5).to_bytes(8, "little"))
        self._put(0x1080, floats.packed(3.25, 16))

    def _put(self, address: int, data: bytes) -> None:
        self.memory[address - AT : address - AT + len(data)] = data

    def read(self, address: int, n: int) -> bytes:
        self.reads += 1
        return bytes(self.memory[address - AT : address - AT + n]) if address >= AT else b""

    def variable(self, name: str) -> Value:
        places = {
            "node": (NODE, AT),
            "numbers": (array_of(INT, 3), 0x1040),
            "bits": (BITS, 0x1060),
            "grid": (GRID, 0x1040),
            "quad": (LONG_DOUBLE, 0x1080),
            "far": (NODE, 0x9000),
        }
        if name in places:
            return self.load(*places[name])
        if name == "fn":
            return Value(FUNCTION, lambda offset, count: b"", 0x10)
        if name == "gone":
            return Value.missing(NODE, "<optimized out>")
        numbers = {
            "head": (pointer_to(NODE), AT),
            "neg": (INT, -7),
            "big": (LONG, -5),
            "flags": (FLAGS, 3),
            "odd": (FLAGS, 9),
            "color": (COLOR, 6),
            "other": (COLOR, 3),
            "vp": (pointer_to(VOID), AT),
        }
        if name in numbers:
            return Value.of(*numbers[name])
        raise Unavailable(f'No symbol "{name}" in current context.')

    def variable_of(self, within: str, name: str) -> Value:
        return self.variable(name)

    def register(self, name: str) -> Value:
        if name in self.kept or name != "a0":
            return replace(self.kept.get(name, Value.made(VOID, b"")), variable=name)
        return Value.made(LONG, (7).to_bytes(8, "little"), register=10)

    def keep(self, name: str, value: Value) -> None:
        self.kept[name] = value

    def type(self, name: str) -> CType | None:
        return {"struct node": NODE, "enum flags": FLAGS}.get(name)

    def load(self, type_: CType, address: int) -> Value:
        return Value.at(type_, address, self.read)

    def store(self, target: Value, data: bytes) -> None:
        assert target.address is not None, "a register is not changed here"
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
        # Literals, as gdb 18 reads them.
        (r"'\x41'", "65 'A'"),
        (r"'\377'", r"255 '\377'"),
        (r"'\101'", "65 'A'"),
        (r"'\''", r"39 '\''"),
        ("'\"'", "34 '\"'"),
        (r"'\e'", r"27 '\033'"),
        (r'"\x41"', '"A"'),
        (r'"a\"b" "c\n"', r'"a\"bc\n"'),
        (r'"\x41B"', r'"\033"'),
        ('"abc"[1]', "98 'b'"),
        ("1e999", "inf"),
        ("-1e999", "-inf"),
        ("0.0 / 0", "-nan(0x8000000000000)"),
        ("-1.0 / 0", "-inf"),
        ("1.5L", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("08.5", "8.5"),
        ("0x1p3", "8"),
        ("1e", "1"),
        ("0b101", "5"),
        ("1uL", "1"),
        ("2147483648", "2147483648"),
        ("-2147483648", "-2147483648"),
        ("18446744073709551615", "18446744073709551615"),
        # Arithmetic and conversions.
        ("7 % -3", "1"),
        ("neg % 3", "-1"),
        ("neg >> 1", "-4"),
        ("-1 >> 40", "-1"),
        ("1 << 31", "-2147483648"),
        ("1 << 32", "0"),
        ("1 << -1", "0"),
        ("1L << 63", "-9223372036854775808"),
        ("0x7fffffff + 1", "-2147483648"),
        ("1u - 2", "4294967295"),
        ("-1u", "4294967295"),
        ("neg < 1u", "0"),
        ("big < 1ul", "0"),
        ("(unsigned)-1.5", "4294967295"),
        ("(int)3.99", "3"),
        ("(int)1e999", "-1"),
        ("(short)70000", "4464"),
        ("(float)1e300", "inf"),
        ("(float)3.3", "3.29999995"),
        ("(_Bool)5", "true"),
        ("(long double)1 / 3", "0.333333333333333333333333333333333317"),
        ("quad", "3.25"),
        ("quad * quad + 1", "11.5625"),
        ("(double)quad", "3.25"),
        ("1.5 && 0", "0"),
        ("!0.5", "0"),
        ("1, 2", "2"),
        ("1 < 2 < 3", "1"),
        ("1 || 1/0", "1"),
        ("0 && 1/0", "0"),
        ("0 ? 1/0 : 4", "4"),
        # Types, members, places.
        ("sizeof(int (*)[3])", "8"),
        ("sizeof(int[5])", "20"),
        ("sizeof 1.5L", "16"),
        ("(int (*)(int))16 == fn", "1"),
        ("fn", "{int (int)} 0x10"),
        ("*fn", "{int (int)} 0x10"),
        ("grid", "{{5, 6}, {7, 0}}"),
        ("grid[1][0]", "7"),
        ("*grid[0]@2", "{5, 6}"),
        ("(int[2])numbers", "{5, 6}"),
        ("bits", "{a = 5, b = -3, wide = 78187493520}"),
        ("bits.b + 1", "-2"),
        ("flags", "(F1 | F2)"),
        ("odd", "(F1 | unknown: 0x8)"),
        ("(enum flags)0", "0"),
        ("color", "BLUE"),
        ("other", "3"),
        ("head.value", "30"),
        ("&*vp", "(void *) 0x1000"),
        ("::neg", "-7"),
        ("$mine = 5", "5"),
        # What is asked of a place and not of its content.
        ("&far.next", "(struct node **) 0x9010"),
        ("sizeof far", "24"),
        ("sizeof gone.name", "8"),
        ("&((struct node *)0)->next", "(struct node **) 0x10"),
    ],
)
def test_values(text: str, result: str) -> None:
    assert show(text) == result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nobody", "No symbol"),
        ("1 +", "syntax error in expression, near the end of `1 +'"),
        ("(1", "syntax error in expression, near the end of `(1'"),
        ("1)", "Junk after end of expression"),
        ("1 2", "syntax error in expression, near `2'"),
        ("sizeof int", "syntax error in expression, near `int'"),
        ("`", "Invalid character"),
        ("'a", "Unmatched single quote"),
        ("''", "must contain at least one character"),
        ("'ab'", "Invalid character constant"),
        (r"'\x'", "without a following hex digit"),
        ("head->nothing", "no member"),
        ("neg.x", "not a structure."),
        ("neg->x", "not a structure pointer"),
        ("neg[0]", "cannot subscript something of type `int'"),
        ("*head->value", "access memory at address 0x1e"),
        ("far", "access memory at address 0x9000"),
        ("gone", "optimized out"),
        ("*vp", "generic pointer"),
        ("1 / 0", "Division by zero"),
        ("1.5 % 2", "Integer-only operation"),
        ("1.5 & 1", "Integer-only operation"),
        ("~1.5", "complement operation not an integer"),
        ("head * 2", "not a number or boolean"),
        ("head + head", "not a number or boolean"),
        ("head - numbers", "is a pointer and second argument is neither"),
        ("-head", "negate operation not a number"),
        ("&1", "not located in memory"),
        ("&neg", "isn't an lvalue"),
        ("3 = 4", "not an lvalue"),
        ("5++", "not an lvalue"),
        ("neg@2", "Only values in memory"),
        ("numbers@0", "Invalid number 0 of repetitions"),
        ("node + 1", "not a number or boolean"),
        ("!node", "not a number or boolean"),
        ("(struct node)5", "Invalid cast"),
        ("(struct nobody *)5", "No struct type named nobody"),
        ("fn(1)", "fn cannot be called"),
        ("09", "Invalid number"),
        ("0x", "Invalid number"),
        ("1.5x", "Invalid number"),
        ("18446744073709551616", "too large"),
        ("int", "type name as an expression"),
        ("", "syntax error"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=re.escape(reason)):
        show(text)


def test_an_assignment_stores() -> None:
    scope = Scope()
    assert show("head->next->value = head->value + 1", scope=scope) == "31"
    assert show("head->next->value", scope=scope) == "31"
    assert show("bits.b = 7", scope=scope) == "7" and show("bits.b = 31", scope=scope) == "-1"
    assert show("bits.wide += 1", scope=scope) == "78187493521"
    assert show("bits", scope=scope) == "{a = 5, b = -1, wide = 78187493521}"
    assert show("numbers[0]++", scope=scope) == "5" and show("numbers", scope=scope) == "{6, 6, 7}"
    assert show("numbers[0] = 1e999", scope=scope) == "-1"
    assert show("$n = numbers[1]", scope=scope) == "6" and show("$n += 2", scope=scope) == "8"
    assert show("$n", scope=scope) == "8" and show("numbers[1]", scope=scope) == "6"


def test_what_is_not_evaluated_changes_and_reads_nothing() -> None:
    scope = Scope()
    for text in (
        "0 && (numbers[0] = 9)",
        "1 || numbers[0]++",
        "sizeof (numbers[0] = 9)",
        "1 ? 2 : numbers[0]--",
    ):
        show(text, scope=scope)
    assert show("numbers", scope=scope) == "{5, 6, 7}"
    scope.reads = 0
    for text in ("sizeof node", "&node", "&head->next", "sizeof numbers[2]", "&grid[1][1]"):
        show(text, scope=scope)
    assert not scope.reads
    show("node.value", scope=scope)
    assert scope.reads == 1


def test_types_are_those_of_c() -> None:
    for text, name in {
        "1 + 1L": "long",
        "1.5f": "float",
        "1.5f + 1": "float",
        "1.5f * 1.5": "double",
        "quad + 1": "long double",
        "neg + 1u": "unsigned int",
        "(char)1 + (char)1": "int",
        "bits.b": "int",
        "bits.wide": "uint64",
        "*numbers@2": "int [2]",
        "&grid": "int (*)[2][2]",
        "&grid[1]": "int (*)[2]",
        "grid + 1": "int (*)[2]",
        "&fn": "int (*)(int)",
        "1 ? 2.5 : 3": "double",
        "1/0": "int",
        "*head->next": "struct node",
        "fn(1)": "int",
        "far.next->name": "char [8]",
        "neg = 5": "int",
        "int (*(*)(int))(char)": "int (*(*)(int))(char)",
        "color + 1": "unsigned int",
        "-color": "unsigned int",
        "!quad": "int",
        "const char *": "const char *",
    }.items():
        scope = Scope()
        assert typed(parse(text, scope.type), scope).name == name, text
        assert not scope.reads, text


def test_what_is_worth_the_same_at_any_time() -> None:
    for text, same in {
        "5": True,
        "1 + 2 * 3": True,
        "sizeof(int)": True,
        "-'a'": True,
        "neg": False,
        "5 + neg": False,
        "*5": False,
        "{int}5": False,
        "$a0": False,
        "numbers[0]": False,
    }.items():
        assert is_constant(parse(text, Scope().type)) == same, text


@pytest.mark.parametrize(
    ("text", "letter", "result"),
    [
        ("1.5", "x", "0x3ff8000000000000"),
        ("1.5f", "x", "0x3fc00000"),
        ("1.7", "d", "4610334938539176755"),
        ("65.5", "c", "65 'A'"),
        ("1.5", "a", "0x1"),
        ("quad", "x", "0x4000a000000000000000000000000000"),
        ("quad", "f", "3.25"),
        ("353", "c", "97 'a'"),
        ("neg", "c", r"-7 '\371'"),
        ("3", "f", "4.20389539e-45"),
        ("4614256650576692846", "f", "3.1415899999999999"),
        ("neg", "f", "-nan(0x7ffff9)"),
        ("neg", "r", "-7"),
        ("(short)1", "f", "5.9605e-08"),
        ("(unsigned char)200", "d", "-56"),
        ("neg", "s", "-7"),
        ("-1", "u", "4294967295"),
        ("bits", "x", "{a = 0x5, b = 0xfffffffd, wide = 0x1234567890}"),
        ("5", "z", "0x00000005"),
        ("flags", "x", "0x3"),
        ("head->name", "x", "{0x66, 0x69, 0x72, 0x73, 0x74, 0x0, 0x0, 0x0}"),
        ("head->name", "s", '"first"'),
    ],
)
def test_a_value_in_a_format(text: str, letter: str, result: str) -> None:
    assert show(text, letter) == result


@given(st.floats(allow_nan=False), st.sampled_from((4, 8, 16)))
def test_floats_are_read_as_they_are_written(number: float, size: int) -> None:
    data = floats.packed(number, size)
    assert floats.packed(floats.unpacked(data), size) == data
    assert size == 4 or floats.unpacked(data) == number
    if size == 8:
        assert float(floats.text(data)) == number


def test_what_has_no_end_in_the_debug_information_has_one_when_shown() -> None:
    endless: CType = CType("struct", "struct s", 4, find_fields=lambda: (Field("s", endless, 0),))
    made = Value.made(endless, bytes(4))
    assert shown(made, Scope().read, lambda va: "") == "{s = " * 20 + "{...}" + "}" * 20
    huge = Value.at(array_of(INT, 1 << 50), AT, Scope().read)
    with pytest.raises(Unavailable, match="more than max-value-size"):
        shown(huge, Scope().read, lambda va: "")


@pytest.mark.parametrize(
    ("letter", "result"),
    [("x", "0xfe"), ("d", "-2"), ("u", "254"), ("t", "11111110"), ("o", "0376"), ("z", "0xfe")],
)
def test_formats(letter: str, result: str) -> None:
    assert formatted(-2, 1, letter) == result


def test_types_are_found_by_name() -> None:
    scope = Scope()
    for name, size in (
        ("unsigned long", 8),
        ("char **", 8),
        ("short int", 2),
        ("const char", 1),
        ("struct node *", 8),
        ("long unsigned int", 8),
        ("int (*)[3]", 8),
        ("int [3][2]", 24),
    ):
        assert typed(parse(name, scope.type), scope).size == size, name


@pytest.mark.slow
@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    with suppress(Unavailable):
        show(text)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(1, 1000))
def test_division_is_that_of_c(a: int, b: int) -> None:
    quotient, rest = int(show(f"({a}) / {b}")), int(show(f"({a}) % {b}"))
    assert quotient * b + rest == a
    assert abs(quotient) == abs(a) // b
