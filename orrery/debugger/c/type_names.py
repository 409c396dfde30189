"""Type names in C expressions: `struct node *`, `unsigned char [4]`, `int (*)(int)`.

The part of the parser (syntax.py) that decides whether a type stands here.  The caller says which names are
those of types, as that depends on the program.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from orrery.debugger.c import literals
from orrery.debugger.c.ctypes import SIMPLE, CType, array_of, function_of, pointer_to, qualified
from orrery.debugger.c.tokens import Tokens
from orrery.debugger.errors import Unavailable

RECORDS: Final = ("struct", "union", "enum")
QUALIFIERS: Final = ("const", "volatile", "restrict", "_Atomic")
SIMPLE_WORDS: Final = frozenset(word for name in SIMPLE for word in name.split())

FindType: TypeAlias = Callable[[str], CType | None]
"""The type that a name is of, or `struct` and a name; None if it is of none."""


class TypeNames(Tokens):
    """Parses names of types, of which `find_type` knows the program's."""

    def __init__(self, text: str, find_type: FindType) -> None:
        super().__init__(text)
        self._find_type: Final = find_type

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
