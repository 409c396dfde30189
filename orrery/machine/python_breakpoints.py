"""Stops in the kernel's Python: lines at which a person wants to stop, each with a condition if there is one.

A stop is a kind of event (events.py), as text, for it travels to the machine's process:

    line:kernel/mm/pagetable.py:251
    line:kernel/mm/pagetable.py:251 if p.pid == 3

While there are any, timetravel/stops.py has each gate traced, but only the functions that have such a line.
A condition is an expression of Python over the variables there that only looks: without calls, so that the
run stays the same.
"""

import ast
import re
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Final, NamedTuple

from orrery.machine.tracer import Tracer, is_kernels
from toolchain.paths import in_tree

KIND: Final = re.compile(r"line:(?P<file>[^:]+):(?P<line>\d+)(?: if (?P<condition>.+))?$")
LOOKS: Final = (
    ast.Expression, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Constant, ast.Name,
    ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.expr_context, ast.boolop, ast.operator,
    ast.unaryop, ast.cmpop,
)  # fmt: skip
"""What a condition may be made of."""


class _LineBreakpoint(NamedTuple):
    kind: str
    condition: CodeType | None


def is_kind(kind: str) -> bool:
    """Whether it is one of these; raises ValueError for a condition that cannot be."""
    found = KIND.match(kind)
    if found is not None and found["condition"]:
        condition(found["condition"])
    return found is not None


def condition(text: str) -> CodeType:
    """As code; raises ValueError."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{text!r} is no expression of Python: {error}") from None
    for node in ast.walk(tree):
        if not isinstance(node, LOOKS):
            what = type(node).__name__.lower()
            raise ValueError(f"a condition in Python only looks: {ast.unparse(node)!r} is a {what}")
    return compile(tree, "<condition>", "eval")


class PythonBreakpoints(Tracer):
    """At the lines that `kinds` say. `hit` is the first that was come to."""

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        super().__init__()
        self._stops: Final[dict[tuple[str, int], list[_LineBreakpoint]]] = {}
        self._known: Final[dict[CodeType, bool]] = {}
        self.hit = ""
        for kind in sorted(kinds):
            if (found := KIND.match(kind)) is not None:
                judge = condition(found["condition"]) if found["condition"] else None
                line = found["file"], int(found["line"])
                self._stops.setdefault(line, []).append(_LineBreakpoint(kind, judge))

    def __bool__(self) -> bool:
        return bool(self._stops)

    def take(self) -> str:
        """The hit; once."""
        hit, self.hit = self.hit, ""
        return hit

    def wanted(self, frame: FrameType) -> tuple[str, ...]:
        """The kinds of the stops that the line is which `frame` is about to run."""
        if not self._stops:
            return ()
        stops = self._stops.get((in_tree(frame.f_code.co_filename), frame.f_lineno), ())
        return tuple(one.kind for one in stops if _holds(one.condition, frame))

    def wants(self, code: CodeType) -> bool:
        """As Tracer.wants: whether it has one of the lines."""
        if code not in self._known:
            file, lines = in_tree(code.co_filename), {line or 0 for _, _, line in code.co_lines()}
            self._known[code] = is_kernels(code) and any((file, line) in self._stops for line in lines)
        return self._known[code]

    def event(self, frame: FrameType) -> None:
        """As Tracer.event."""
        if not self.hit:
            self.hit = next(iter(self.wanted(frame)), "")


def _holds(judge: CodeType | None, frame: FrameType) -> bool:
    """Whether a condition is true; one that makes no sense here counts as true: the person should see."""
    if judge is None:
        return True
    try:
        return bool(eval(judge, frame.f_globals, frame.f_locals))
    except Exception:  # any: it is about values that nobody knows beforehand
        return True
