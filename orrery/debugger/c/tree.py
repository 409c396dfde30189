"""The syntax tree of a C expression, and what can be said of it without a machine.

Made by syntax.py, evaluated by expressions.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from orrery.debugger.c.ctypes import CType
from orrery.debugger.c.values import Value


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
class FunctionCall:
    """operand(arguments)"""

    operand: "Node"
    arguments: tuple["Node", ...]


@dataclass(frozen=True)
class TypeName:
    """A type where a value may stand, as in `whatis struct node`."""

    type: CType


Node: TypeAlias = (
    Constant
    | Name
    | Register
    | Unary
    | Binary
    | Assignment
    | Conditional
    | Cast
    | Member
    | FunctionCall
    | TypeName
)


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
            case FunctionCall(operand, arguments):
                waiting += (operand, *arguments)
            case _:
                pass


def is_constant(node: Node) -> bool:
    """Whether an expression is worth the same whatever the machine does."""
    return not any(_depends(one) for one in parts(node))


def _depends(node: Node) -> bool:
    """Whether the value of `node` depends on the machine's state, its parts apart."""
    match node:
        case Name() | Register() | Assignment() | FunctionCall() | Unary("*"):
            return True
        case Cast():
            return node.is_place
    return False
