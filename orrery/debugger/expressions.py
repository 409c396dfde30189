"""Expressions of C, as a person types them: parsed and evaluated in one go, over the types of DWARF.

    expression   assignment | binary operators by precedence
    unary        - + ! ~ * & ++ -- sizeof (type) before, [] . -> ++ -- behind; place@count is an array
    primary      number  'c'  "text"  name  function::name  $register  {type} address  ( expression )

There are no calls, for a call would change the machine.  An assignment changes it too, but is asked for by
its sign.  What names, registers and memory mean is the scope's business, which the caller gives.
"""

import re
from typing import Final, NoReturn, Protocol

from orrery.debugger.arithmetic import combined, converted, widened
from orrery.debugger.ctypes import (
    CHAR,
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    SIMPLE,
    UINT,
    ULONG,
    CType,
    array_of,
    pointer_to,
)  # fmt: skip
from orrery.debugger.values import Unavailable, Value

TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?[uUlLfF]*)"
    r"|(?P<char>'(?:\\.[0-7]*|[^'])')|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<register>\$\$?\w*)"
    r"|(?P<op>->|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|::|[-+*/%&|^]=|[-+*/%&|^~!<>=().\[\]@?:{}]))"
)
BINARY: Final = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "@": 9, "+": 10, "-": 10, "*": 11, "/": 11, "%": 11,
}  # fmt: skip
ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "0": 0, "\\": 92, "'": 39, '"': 34, "a": 7, "b": 8, "e": 27}
ASSIGNMENTS: Final = frozenset(
    ("=", *(f"{op}=" for op in ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")))
)
ONE: Final = Value.of(INT, 1)
SIMPLE_WORDS: Final = frozenset(word for name in SIMPLE for word in name.split())


class Scope(Protocol):
    """What an expression's names mean, and where its memory is. All raise Unavailable."""

    def variable(self, name: str) -> Value: ...

    def variable_of(self, function: str, name: str) -> Value: ...

    def register(self, name: str) -> Value: ...

    def type(self, name: str) -> CType | None: ...

    def load(self, type_: CType, address: int) -> Value: ...

    def store(self, target: Value, data: bytes) -> None: ...


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression; raises Unavailable."""
    parser = _Parser(text, scope)
    try:
        value = parser.assignment()
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None
    parser.end()
    return value


def named_type(text: str, scope: Scope) -> CType | None:
    """The type that `text` names, if it does."""
    try:
        parser = _Parser(text, scope)
    except Unavailable:
        return None
    found = parser.type_name()
    return found if parser.finished else None


class _Parser:
    """Of one expression: recursive descent."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._scope: Final = scope
        self._tokens: Final[list[tuple[str, str]]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                raise Unavailable(f"A syntax error in expression, near `{text[at:].strip()}'.")
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind]))
            at = found.end()
        self._at = 0

    @property
    def finished(self) -> bool:
        """Whether all of the text was taken."""
        return self._at == len(self._tokens)

    def end(self) -> None:
        """All was to be taken; raises Unavailable."""
        if not self.finished:
            self._confused()

    def assignment(self) -> Value:
        """target = expression, or an expression; op= for = too."""
        value = self._conditional()
        op = self._peek()
        if op not in ASSIGNMENTS:
            return value
        self._at += 1
        source = self.assignment()
        return self._stored(value, combined(op[:-1], value, source) if op != "=" else source)

    def _stored(self, value: Value, source: Value) -> Value:
        """`value`, a place, after it was given another one."""
        if value.address is None and value.register is None:
            raise Unavailable("what is left of = has no place in memory or in a register")
        new = source if not value.type.is_scalar else Value.of(value.type, source.number)
        if len(new.data) != value.type.size:
            raise Unavailable(f"a {source.type.name} cannot be stored in a {value.type.name}")
        self._scope.store(value, new.data)
        return Value(value.type, new.data, value.address, value.register)

    def _conditional(self) -> Value:
        value = self._binary(1)
        if not self._take("?"):
            return value
        first = self.assignment()
        self._expect(":")
        second = self._conditional()
        return first if value.number else second

    def _binary(self, least: int) -> Value:
        left = self._unary()
        while (op := self._peek()) in BINARY and BINARY[op] >= least:
            self._at += 1
            right = self._binary(BINARY[op] + 1)
            left = self._several(left, right) if op == "@" else combined(op, left, right)
        return left

    def _several(self, first: Value, count: Value) -> Value:
        """first@count: an array that begins at `first`."""
        if first.address is None or count.whole < 1:
            raise Unavailable("@ takes a place in memory and a count")
        return self._scope.load(array_of(first.type, count.whole), first.address)

    def _unary(self) -> Value:
        if self._take("*"):
            value = self._unary()
            if value.type.is_whole:
                return self._scope.load(LONG, value.whole)
            return self._target(value)
        if self._take("&"):
            value = self._unary()
            if value.address is None:
                raise Unavailable("what has no place in memory has no address")
            return Value.of(pointer_to(value.type), value.address)
        if (op := self._peek()) in ("++", "--"):
            self._at += 1
            value = self._unary()
            return self._stored(value, combined(op[0], value, ONE))
        if self._take("{"):
            return self._typed()
        if self._take("-"):
            value = self._unary()
            return Value.of(widened(value.type), -value.number)
        if self._take("+"):
            return self._unary()
        if self._take("!"):
            return Value.of(INT, not self._unary().number)
        if self._take("~"):
            value = self._unary()
            return Value.of(widened(value.type), ~value.whole)
        if self._peek() == "sizeof":
            return self._sizeof()
        if self._peek() == "(" and (cast := self._cast()) is not None:
            return converted(self._unary(), cast)
        return self._postfix(self._primary())

    def _typed(self) -> Value:
        """{type} address"""
        type_ = self.type_name()
        if type_ is None:
            self._confused()
        self._expect("}")
        return self._scope.load(type_, self._unary().whole)

    def _sizeof(self) -> Value:
        self._at += 1
        if self._peek() == "(" and (cast := self._cast()) is not None:
            return Value.of(ULONG, cast.size)
        return Value.of(ULONG, self._unary().type.size)

    def _cast(self) -> CType | None:
        """The type in parentheses, if that is what they hold."""
        begin = self._at
        self._at += 1
        found = self.type_name()
        if found is not None and self._take(")"):
            return found
        self._at = begin
        return None

    def type_name(self) -> CType | None:
        """A type with its stars; None, and nothing taken, where there is none."""
        begin = self._at
        words: list[str] = []
        while self._at < len(self._tokens) and self._tokens[self._at][0] == "name":
            word = self._tokens[self._at][1]
            if words and words[-1] not in ("struct", "union", "enum") and word not in SIMPLE_WORDS:
                break
            self._at += 1
            if word not in ("const", "volatile"):
                words.append(word)
        found = self._type(words)
        if found is None:
            self._at = begin
            return None
        while self._take("*"):
            found = pointer_to(found)
        return found

    def _type(self, words: list[str]) -> CType | None:
        name = " ".join(words)
        if not words:
            return None
        plain = name.removesuffix(" int") if len(words) > 1 else name
        return self._scope.type(name) or SIMPLE.get(name) or SIMPLE.get(plain)

    def _postfix(self, value: Value) -> Value:
        while True:
            if self._take("["):
                index = self.assignment()
                self._expect("]")
                value = self._target(combined("+", value, index))
            elif self._take("."):
                value = self._member(value)
            elif self._take("->"):
                value = self._member(self._target(value))
            elif (op := self._peek()) in ("++", "--"):
                self._at += 1
                self._stored(value, combined(op[0], value, ONE))
            else:
                return value

    def _member(self, value: Value) -> Value:
        if value.type.kind == "pointer":
            value = self._target(value)  # as gdb forgives it
        kind, name = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind != "name":
            self._confused()
        self._at += 1
        for field in value.type.fields:
            if field.name == name:
                return value.field(field)
            if not field.name and _has_member(field.type, name):
                self._at -= 1
                return self._member(value.field(field))
        raise Unavailable(f"There is no member named {name}.")

    def _target(self, value: Value) -> Value:
        if value.type.kind == "function":
            return value
        if value.type.kind not in ("pointer", "array"):
            raise Unavailable(f"a {value.type.name} points to nothing")
        if value.type.of.kind == "void":
            raise Unavailable("Attempt to dereference a generic pointer.")
        return self._scope.load(value.type.of, value.whole)

    def _primary(self) -> Value:
        if self.finished:
            self._confused()
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return _literal(text)
        if kind == "char":
            body = text[1:-1]
            return Value.of(CHAR, ESCAPES.get(body[1:], ord(body[1])) if body[0] == "\\" else ord(body))
        if kind == "register":
            return self._scope.register(text[1:])
        if kind == "text":
            data = _unescaped(text[1:-1])
            return Value(array_of(CHAR, len(data)), data)
        if kind == "name" and self._take("::"):
            name, self._at = self._tokens[self._at][1] if not self.finished else "", self._at + 1
            return self._scope.variable_of(text, name)
        if kind == "name":
            return self._scope.variable(text)
        if text == "(":
            value = self.assignment()
            self._expect(")")
            return value
        self._at -= 1
        self._confused()

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, op: str) -> bool:
        found = self._peek() == op
        self._at += found
        return found

    def _expect(self, op: str) -> None:
        if not self._take(op):
            raise Unavailable(f"{op!r} is missing")

    def _confused(self) -> NoReturn:
        rest = " ".join(text for _, text in self._tokens[self._at :])
        raise Unavailable(f"A syntax error in expression, near `{rest}'.")


def _has_member(type_: CType, name: str) -> bool:
    """Whether a struct has it, by itself or in one of those in it that have no name."""
    return any(one.name == name or (not one.name and _has_member(one.type, name)) for one in type_.fields)


def _unescaped(text: str) -> bytes:
    """The bytes of a string of C, with the zero at its end."""
    found = re.sub(r"\\([0-7]{1,3}|.)", lambda one: _escaped(one[1]), text)
    return found.encode("latin-1", "replace") + b"\0"


def _escaped(text: str) -> str:
    return chr(int(text, 8) & 0xFF) if text.isdigit() else chr(ESCAPES.get(text, ord(text)))


def _literal(text: str) -> Value:
    is_hex = text[:2] in ("0x", "0X")
    bare = text.rstrip("uUlL" if is_hex else "uUlLfF")
    suffix = text[len(bare) :].lower()
    if not is_hex and ("." in bare or "e" in bare.lower()):
        return Value.of(FLOAT if "f" in suffix else DOUBLE, float(bare))
    octal = bare.startswith("0") and bare.isdigit() and len(bare) > 1
    try:
        number = int(bare, 8 if octal else 0)
    except ValueError:
        raise Unavailable(f"{text} is no number") from None
    is_long = "l" in suffix or number >= 1 << (32 if "u" in suffix or is_hex else 31)
    if "u" in suffix or number >= 1 << 63 or (is_hex and not is_long and number >= 1 << 31):
        return Value.of(ULONG if is_long else UINT, number)
    return Value.of(LONG if is_long else INT, number)
