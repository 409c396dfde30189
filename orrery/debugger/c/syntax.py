"""The syntax of C's expressions, as a user types them: text becomes a tree (tree.py), by recursive descent.

    expression   assignment , ... assignment
    assignment   conditional, or one = and op= another
    unary        - + ! ~ * & ++ -- sizeof (type) {type} before, [] . -> ++ -- () behind; place@count
    primary      number  'c'  "text"  name  ::name  function::name  'file'::name  $register  ( expression )

Nothing is looked up but the names of types (type_names.py).
"""

from typing import Final

from orrery.debugger.c import literals
from orrery.debugger.c.tree import (
    Assignment,
    Binary,
    Cast,
    Conditional,
    Constant,
    FunctionCall,
    Member,
    Name,
    Node,
    Register,
    TypeName,
    Unary,
)
from orrery.debugger.c.type_names import RECORDS, SIMPLE_WORDS, FindType, TypeNames
from orrery.debugger.errors import Unavailable

BINARY: Final = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "@": 9, "+": 10, "-": 10, "*": 11, "/": 11, "%": 11,
}  # fmt: skip
ASSIGNMENTS: Final = frozenset(
    ("=", *(f"{op}=" for op in ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")))
)
ONE: Final = Constant(literals.number("1"))


def parse(text: str, find_type: FindType) -> Node:
    """The tree of an expression, or of the name of a type; raises Unavailable."""
    try:
        return _ExpressionParser(text, find_type).whole()
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


def parse_list(text: str, find_type: FindType) -> tuple[Node, ...]:
    """The trees of expressions with commas between them; raises Unavailable."""
    try:
        return _ExpressionParser(text, find_type).several()
    except RecursionError:
        raise Unavailable("the expression is nested too deeply; make it shorter") from None


class _ExpressionParser(TypeNames):
    """Of one expression."""

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
                node = FunctionCall(node, self._arguments())
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
