"""The syntax of C's expressions, as a person types them: text becomes a tree, and nothing is looked up but
types.

expression   assignment , ... assignment   conditional, or one = and op= another unary        - + ! ~ * & ++
-- sizeof (type) {type} before, [] . -> ++ -- () behind; place@count is an array primary      number  'c'
"text"  name  ::name  function::name  'file'::name  $register  ( expression )

Trees are evaluated by expressions.py.  Which names are those of types the caller says.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from orrery.debugger.c import literals
from orrery.debugger.c.ctypes import SIMPLE, CType, array_of, function_of, pointer_to, qualified
from orrery.debugger.c.values import Value
from orrery.debugger.errors import Unavailable

TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:0[xX][0-9a-fA-F.]*[pP][-+]?\d+|\.?\d(?:[eE][-+]|[\w.])*)\w*)"
    r"|(?P<char>'(?:\\.|[^'\\])*')|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[^\W\d]\w*)|(?P<register>\$\$?\w*)"
    r"|(?P<op>->|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|::|[-+*/%&|^]=|[-+*/%&|^~!<>=().,\[\]@?:{}]))",
    re.DOTALL,
)
BINARY: Final = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "@": 9, "+": 10, "-": 10, "*": 11, "/": 11, "%": 11,
}  # fmt: skip
ASSIGNMENTS: Final = frozenset(
    ("=", *(f"{op}=" for op in ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")))
)
RECORDS: Final = ("struct", "union", "enum")
QUALIFIERS: Final = ("const", "volatile", "restrict", "_Atomic")
SIMPLE_WORDS: Final = frozenset(word for name in SIMPLE for word in name.split())

FindType: TypeAlias = Callable[[str], CType | None]
"""The type that a name is of, or `struct` and a name; None if it is of none."""


@dataclass(frozen=True)
class Constant:
    """A number, a character, a text, the size of a type."""

    value: Value


@dataclass(frozen=True)
class Name:
    """A variable or function; `within` a function or file, or everywhere ("")."""

    name: str
    within: str | None = None


@dataclass(frozen=True)
class Register:
    """$a0, $1, $mine"""

    name: str


@dataclass(frozen=True)
class Unary:
    """op operand; `op` is one of * & - + ! ~ sizeof."""

    op: str
    operand: "Node"


@dataclass(frozen=True)
class Binary:
    """left op right"""

    op: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Assignment:
    """target = source, target op= source; `op` is empty for the first."""

    op: str
    target: "Node"
    source: "Node"
    is_behind: bool = False  # of ++ and --: the value is that of before


@dataclass(frozen=True)
class Conditional:
    """condition ? first : second"""

    condition: "Node"
    first: "Node"
    second: "Node"


@dataclass(frozen=True)
class Cast:
    """(type) operand; or {type} operand, which is what is there (`is_place`)."""

    type: CType
    operand: "Node"
    is_place: bool = False


@dataclass(frozen=True)
class Member:
    """operand.name, operand->name"""

    operand: "Node"
    name: str
    is_pointer: bool


@dataclass(frozen=True)
class Call:
    """operand(arguments)"""

    operand: "Node"
    arguments: tuple["Node", ...]


@dataclass(frozen=True)
class TypeName:
    """A type where a value may stand, as in `whatis struct node`."""

    type: CType


Node: TypeAlias = (
    Constant | Name | Register | Unary | Binary | Assignment | Conditional | Cast | Member | Call | TypeName
)
ONE: Final = Constant(literals.number("1"))


class SyntaxTrouble(Unavailable):
    """A text that is no expression; `names` are those of variables in it, as far as it was understood."""

    def __init__(self, text: str, names: list[str]) -> None:
        super().__init__(text)
        self.names: Final = names


def parse(text: str, find_type: FindType) -> Node:
    """The tree of an expression, or of the name of a type; raises Unavailable."""
    try:
        parser = _Parser(text, find_type)
        return parser.whole()
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


def parse_list(text: str, find_type: FindType) -> tuple[Node, ...]:
    """The trees of expressions with commas between them; raises Unavailable."""
    try:
        return _Parser(text, find_type).several()
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


def parts(node: Node) -> Iterator[Node]:
    """A tree and all trees that are in it."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        match one:
            case Unary(_, operand) | Cast(_, operand) | Member(operand):
                waiting.append(operand)
            case Binary(_, left, right) | Assignment(_, left, right):
                waiting += (left, right)
            case Conditional(condition, first, second):
                waiting += (condition, first, second)
            case Call(operand, arguments):
                waiting += (operand, *arguments)
            case _:
                pass


def is_constant(node: Node) -> bool:
    """Whether an expression is worth the same whatever the machine does."""
    return not any(
        isinstance(one, Name | Register | Assignment | Call) or (isinstance(one, Cast) and one.is_place)
        or (isinstance(one, Unary) and one.op == "*")
        for one in parts(node)
    )  # fmt: skip


class _Parser:
    """Of one expression: recursive descent."""

    def __init__(self, text: str, find_type: FindType) -> None:
        self._text: Final = text.strip()
        self._find_type: Final = find_type
        self._tokens: Final[list[tuple[str, str]]] = []
        self._starts: Final[list[int]] = []
        at = 0
        while at < len(self._text):
            found = TOKEN.match(self._text, at)
            if found is None:
                rest = self._text[at:].strip()
                if rest[0] in "'\"":
                    raise Unavailable(f"Unmatched {'single' if rest[0] == chr(39) else 'double'} quote.")
                raise Unavailable(f"Invalid character '{rest[0]}' in expression.")
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind]))
            self._starts.append(found.start(kind))
            at = found.end()
        self._at = 0
        self._names: Final[list[str]] = []

    def whole(self) -> Node:
        """All of it; raises Unavailable."""
        type_ = self._type_name()
        if type_ is not None and self._is_finished:
            return TypeName(type_)
        self._at = 0
        node = self._comma()
        if not self._is_finished:
            if self._peek() == ")":
                raise Unavailable("Junk after end of expression.")
            self._confused()
        return node

    def several(self) -> tuple[Node, ...]:
        """All of it, which is a list; raises Unavailable."""
        found = [self._assignment()]
        while self._take(","):
            found.append(self._assignment())
        if not self._is_finished:
            self._confused()
        return tuple(found)

    @property
    def _is_finished(self) -> bool:
        return self._at == len(self._tokens)

    def _comma(self) -> Node:
        node = self._assignment()
        while self._take(","):
            node = Binary(",", node, self._assignment())
        return node

    def _assignment(self) -> Node:
        node = self._conditional()
        op = self._peek()
        if op not in ASSIGNMENTS:
            return node
        self._at += 1
        return Assignment(op[:-1], node, self._assignment())

    def _conditional(self) -> Node:
        node = self._binary(1)
        if not self._take("?"):
            return node
        first = self._comma()
        self._expect(":")
        return Conditional(node, first, self._conditional())

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while (op := self._peek()) in BINARY and BINARY[op] >= least and self._is_op:
            self._at += 1
            left = Binary(op, left, self._binary(BINARY[op] + 1))
        return left

    def _unary(self) -> Node:
        op = self._peek() if self._is_op or self._peek() == "sizeof" else ""
        if op in ("*", "&", "-", "+", "!", "~"):
            self._at += 1
            return Unary(op, self._unary())
        if op in ("++", "--"):
            self._at += 1
            return Assignment(op[0], self._unary(), ONE)
        if op == "{":
            self._at += 1
            type_ = self._wanted_type()
            self._expect("}")
            return Cast(type_, self._unary(), is_place=True)
        if op == "sizeof":
            self._at += 1
            type_or_none = self._cast() if self._peek() == "(" else None
            return Unary("sizeof", TypeName(type_or_none) if type_or_none is not None else self._unary())
        if op == "(" and (cast := self._cast()) is not None:
            return Cast(cast, self._unary())
        return self._postfix(self._primary())

    def _postfix(self, node: Node) -> Node:
        while self._is_op:
            if self._take("["):
                node = Unary("*", Binary("[", node, self._comma()))
                self._expect("]")
            elif self._peek() in (".", "->"):
                is_pointer = self._peek() == "->"
                self._at += 1
                node = Member(node, self._word(), is_pointer)
            elif self._take("("):
                node = Call(node, self._arguments())
            elif (op := self._peek()) in ("++", "--"):
                self._at += 1
                node = Assignment(op[0], node, ONE, is_behind=True)
            else:
                break
        return node

    def _arguments(self) -> tuple[Node, ...]:
        if self._take(")"):
            return ()
        found = [self._assignment()]
        while self._take(","):
            found.append(self._assignment())
        self._expect(")")
        return tuple(found)

    def _primary(self) -> Node:
        if self._is_finished:
            self._confused()
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return Constant(literals.number(text))
        if kind == "char" and self._take("::"):
            return Name(self._word(), text[1:-1])
        if kind == "char":
            return Constant(literals.character(text))
        if kind == "register":
            return Register(text[1:])
        if kind == "text":
            texts = [text]
            while not self._is_finished and self._tokens[self._at][0] == "text":
                texts.append(self._tokens[self._at][1])
                self._at += 1
            return Constant(literals.string(texts))
        if kind == "name":
            if text in RECORDS:
                self._at -= 1
                self._wanted_type()
            if self._take("::"):
                return Name(self._word(), text)
            if text in SIMPLE_WORDS:
                self._at -= 1
                self._confused()
            self._names.append(text)
            return Name(text)
        if text == "::":
            return Name(self._word(), "")
        if text == "(":
            node = self._comma()
            self._expect(")")
            return node
        self._at -= 1
        self._confused()

    def _word(self) -> str:
        """A name; raises Unavailable."""
        kind, text = self._tokens[self._at] if not self._is_finished else ("", "")
        if kind != "name":
            self._confused()
        self._at += 1
        return text

    # --- types ---

    def _cast(self) -> CType | None:
        """The type in parentheses, if that is what they hold."""
        begin = self._at
        self._at += 1
        found = self._type_name()
        if found is not None and self._take(")"):
            return found
        self._at = begin
        return None

    def _wanted_type(self) -> CType:
        """A type; raises Unavailable."""
        words = [text for _, text in self._tokens[self._at : self._at + 2]]
        found = self._type_name()
        if found is not None:
            return found
        if words[:1] and words[0] in RECORDS and len(words) > 1:
            raise Unavailable(f"No {words[0]} type named {words[1]}.")
        if self._tokens[self._at : self._at + 1] and self._tokens[self._at][0] == "name":
            raise Unavailable(f'No symbol "{words[0]}" in current context.')
        self._confused()

    def _type_name(self) -> CType | None:
        """A type with its stars and the like; None, and nothing taken, where there is none."""
        begin = self._at
        words: list[str] = []
        while not self._is_finished and self._tokens[self._at][0] == "name":
            word = self._tokens[self._at][1]
            if (
                words[-1:]
                and words[-1] not in (*RECORDS, *QUALIFIERS)
                and word not in (*SIMPLE_WORDS, *QUALIFIERS)
            ):
                break
            self._at += 1
            words.append(word)
        base = self._base([word for word in words if word not in QUALIFIERS])
        if base is not None and "const" in words:
            base = qualified(base, "const")
        found = self._declared(base) if base is not None else None
        if found is None:
            self._at = begin
        return found

    def _base(self, words: list[str]) -> CType | None:
        if not words:
            return None
        name = " ".join(words)
        if words[0] in RECORDS or len(words) == 1:
            return self._find_type(name) or SIMPLE.get(name)
        plain = [word for word in words if word != "int"] or ["int"]
        for first in ("unsigned", "signed"):
            if first in plain:
                plain.remove(first)
                plain = ([first] if first == "unsigned" or plain == ["char"] else []) + (plain or ["int"])
        name = " ".join(plain)
        return self._find_type(name) or SIMPLE.get(name)

    def _declared(self, base: CType) -> CType | None:
        """`base` with the stars, brackets and parentheses that follow; None where they make no sense."""
        while self._take("*"):
            base = pointer_to(base)
            while self._peek() in QUALIFIERS:
                self._at += 1
        inner = -1
        if self._peek() == "(" and self._ahead(1) in ("*", "("):
            inner = self._at + 1
            if not self._skip():
                return None
        base_ = self._suffixed(base)
        if base_ is None or inner < 0:
            return base_
        end, self._at = self._at, inner
        found = self._declared(base_)
        if not self._take(")"):
            return None
        self._at = end
        return found

    def _suffixed(self, base: CType) -> CType | None:
        """`base` with brackets, or the parameters of a function, behind it."""
        if self._take("["):
            kind, text = self._tokens[self._at] if not self._is_finished else ("", "")
            if kind != "number":
                return None
            self._at += 1
            if not self._take("]"):
                return None
            of = self._suffixed(base)
            count = literals.number(text).whole
            return array_of(of, count) if of is not None and 0 <= count < 1 << 48 else None
        if self._peek() == "(" and self._at > 0:
            self._at += 1
            parameters = []
            while not self._take(")"):
                one = self._type_name()
                if one is None:
                    return None
                parameters.append(one.name)
                if not self._take(",") and self._peek() != ")":
                    return None
            return function_of(base, [] if parameters == ["void"] else parameters)
        return base

    def _skip(self) -> bool:
        """Pass a parenthesis with all that is in it; whether it has an end."""
        depth = 0
        while not self._is_finished:
            word = self._peek()
            self._at += 1
            depth += (word == "(") - (word == ")")
            if not depth:
                return True
        return False

    # --- tokens ---

    @property
    def _is_op(self) -> bool:
        return not self._is_finished and self._tokens[self._at][0] == "op"

    def _peek(self) -> str:
        return self._ahead(0)

    def _ahead(self, by: int) -> str:
        at = self._at + by
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def _take(self, op: str) -> bool:
        found = self._is_op and self._peek() == op
        self._at += found
        return found

    def _expect(self, op: str) -> None:
        if not self._take(op):
            self._confused()

    def _confused(self) -> NoReturn:
        rest = self._text[self._starts[self._at] :] if not self._is_finished else ""
        near = f"`{rest}'" if rest else f"the end of `{self._text}'"
        raise SyntaxTrouble(f"A syntax error in expression, near {near}.", self._names)
