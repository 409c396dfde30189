"""The tokens of a C expression, and a cursor in them that can go back.

The base class of the parsers in type_names.py and syntax.py.
"""

import re
from typing import Final, NoReturn

from orrery.debugger.errors import Unavailable

TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:0[xX][0-9a-fA-F.]*[pP][-+]?\d+|\.?\d(?:[eE][-+]|[\w.])*)\w*)"
    r"|(?P<char>'(?:\\.|[^'\\])*')|(?P<text>\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>[^\W\d]\w*)|(?P<register>\$\$?\w*)"
    r"|(?P<op>->|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|::|[-+*/%&|^]=|[-+*/%&|^~!<>=().,\[\]@?:{}]))",
    re.DOTALL,
)


class ExpressionSyntaxError(Unavailable):
    """A text that is no expression; `names` are those of variables in it, as far as it was understood."""

    def __init__(self, text: str, names: list[str]) -> None:
        super().__init__(text)
        self.names: Final = names


class Tokens:
    """Of `text`; raises Unavailable where it is cut off, or holds what is no token."""

    def __init__(self, text: str) -> None:
        self._text: Final = text.strip()
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

    @property
    def _is_finished(self) -> bool:
        return self._at == len(self._tokens)

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

    def _word(self) -> str:
        """A name; raises Unavailable."""
        kind, text = self._tokens[self._at] if not self._is_finished else ("", "")
        if kind != "name":
            self._confused()
        self._at += 1
        return text

    def _confused(self) -> NoReturn:
        rest = self._text[self._starts[self._at] :] if not self._is_finished else ""
        near = f"`{rest}'" if rest else f"the end of `{self._text}'"
        raise ExpressionSyntaxError(f"A syntax error in expression, near {near}.", self._names)
