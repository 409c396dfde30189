"""Expressions of C, as a person types them: parsed and evaluated in one go, over the types of DWARF.

    expression   assignment | binary operators by precedence
    unary        - + ! ~ * & sizeof (type) before, [] . -> behind; place@count is an array
    primary      number  'c'  name  $register  ( expression )

There are no calls, for a call would change the machine.  An assignment changes it too, but is asked for by
its sign.  What names, registers and memory mean is the scope's business, which the caller gives.
"""

import re
from typing import Final, NoReturn, Protocol

from orrery.debugger.arithmetic import combined, converted, widened
from orrery.debugger.ctypes import CHAR, DOUBLE, INT, LONG, SIMPLE, ULONG, CType, array_of, pointer_to
from orrery.debugger.values import Unavailable, Value

TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|\d+\.\d*|\d+)[uUlL]*|(?P<char>'(?:\\.[0-7]*|[^'])')"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<register>\$\w*)|(?P<op>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>=().\[\]@]))"
)
BINARY: Final = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "@": 9, "+": 10, "-": 10, "*": 11, "/": 11, "%": 11,
}  # fmt: skip
ESCAPES: Final = {"n": 10, "t": 9, "r": 13, "0": 0, "\\": 92, "'": 39, '"': 34, "a": 7, "b": 8, "e": 27}
SIMPLE_WORDS: Final = frozenset(word for name in SIMPLE for word in name.split())


class Scope(Protocol):
    """What an expression's names mean, and where its memory is. All raise Unavailable."""

    def variable(self, name: str) -> Value: ...

    def register(self, name: str) -> Value: ...

    def type(self, name: str) -> CType | None: ...

    def load(self, type_: CType, address: int) -> Value: ...

    def store(self, target: Value, data: bytes) -> None: ...


def evaluate(text: str, scope: Scope) -> Value:
    """The value of an expression; raises Unavailable."""
    parser = _Parser(text, scope)
    value = parser.assignment()
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
                raise Unavailable(f"cannot understand {text[at:].strip()!r}")
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
        """target = expression, or an expression."""
        value = self._binary(1)
        if not self._take("="):
            return value
        source = self.assignment()
        if value.address is None and value.register is None:
            raise Unavailable("what is left of = has no place in memory or in a register")
        new = source if not value.type.is_scalar else Value.of(value.type, source.number)
        if len(new.data) != value.type.size:
            raise Unavailable(f"a {source.type.name} cannot be stored in a {value.type.name}")
        self._scope.store(value, new.data)
        return Value(value.type, new.data, value.address, value.register)

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
            if not field.name and any(inner.name == name for inner in field.type.fields):
                self._at -= 1
                return self._member(value.field(field))
        raise Unavailable(f"There is no member named {name}.")

    def _target(self, value: Value) -> Value:
        if value.type.kind not in ("pointer", "array"):
            raise Unavailable(f"a {value.type.name} points to nothing")
        if value.type.of.kind == "void":
            raise Unavailable("a void * points to nothing that has a type; cast it")
        return self._scope.load(value.type.of, value.whole)

    def _primary(self) -> Value:
        if self.finished:
            raise Unavailable("an expression is missing")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return _literal(text)
        if kind == "char":
            body = text[1:-1]
            return Value.of(CHAR, ESCAPES.get(body[1:], ord(body[1])) if body[0] == "\\" else ord(body))
        if kind == "register":
            return self._scope.register(text[1:])
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
        raise Unavailable(f"cannot understand {' '.join(text for _, text in self._tokens[self._at :])!r}")


def _literal(text: str) -> Value:
    if "." in text:
        return Value.of(DOUBLE, float(text))
    octal = text.startswith("0") and text.isdigit() and len(text) > 1
    try:
        number = int(text, 8 if octal else 0)
    except ValueError:
        raise Unavailable(f"{text} is no number") from None
    return Value.of(INT if number < 1 << 31 else LONG if number < 1 << 63 else ULONG, number)
