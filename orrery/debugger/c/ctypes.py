"""C types, as DWARF describes them.

Made by dwarf/types.py for a program; int and the other basic types, which expressions need in any program,
are made here.  The type that another refers to is read on demand, so that a list may point to itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from orrery.debugger.errors import Unavailable
from orrery.inspect.entries import BadDebugInfo, Entry

POINTER_BYTES: Final = 8


class Field(NamedTuple):
    """A member of a struct or union; `bits` is (lowest bit, count) of a bit field."""

    name: str
    type: "CType"
    offset: int
    bits: tuple[int, int] | None = None


class Length(NamedTuple):
    """The count of an array, or its last index, as an attribute of an entry says: by a variable or an
    expression.
    """

    entry: Entry
    attribute: str


@dataclass(frozen=True)
class CType:
    """A type. `kind`: int, uint, char, uchar, bool, float, complex, pointer, array, struct, union, enum,
    function, void; or "?" for one that no compiler makes.

    `name` is as C writes it, a typedef's too.  `find` gives what a pointer points to, an array holds or a
    function returns; `find_fields` the members; `names` are those of an enum's values.  `spelled` declares a
    name to be of a type that is not just a name before it; `resolved` is what a typedef stands for, and
    `length` says what only the run knows of an array: its count, or its last index.
    """

    kind: str
    name: str
    size: int
    count: int = 0
    find: "Callable[[], CType]" = field(default=lambda: _void(), compare=False, repr=False)
    find_fields: Callable[[], tuple[Field, ...]] = field(default=tuple, compare=False, repr=False)
    names: tuple[tuple[int, str], ...] = field(default=(), compare=False, repr=False)
    length: Length | None = field(default=None, compare=False, repr=False)
    resolved: "CType | None" = field(default=None, compare=False, repr=False)
    spelled: "Callable[[str], str] | None" = field(default=None, compare=False, repr=False)

    def spell(self, inner: str) -> str:
        """How C declares `inner`, a name, or part of another type, to be of this one."""
        if self.spelled is not None:
            return self.spelled(inner)
        return f"{self.name} {inner}".rstrip()

    @property
    def of(self) -> "CType":
        """What a pointer points to, an array holds, a function returns; raises Unavailable."""
        try:
            return self.find()
        except BadDebugInfo as error:
            raise Unavailable(f"The debug information makes no sense: {error}") from error

    @property
    def fields(self) -> tuple[Field, ...]:
        """The members of a struct or union; raises Unavailable."""
        try:
            return self.find_fields()
        except BadDebugInfo as error:
            raise Unavailable(f"The debug information makes no sense: {error}") from error

    @property
    def signed(self) -> bool:
        """Whether its values may be below zero."""
        return self.kind in ("int", "char") or (self.kind == "enum" and any(n < 0 for n, _ in self.names))

    @property
    def is_character(self) -> bool:
        """Whether it is one of the types of text."""
        return self.kind in ("char", "uchar")

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind in ("int", "uint", "char", "uchar", "bool", "enum")

    @property
    def is_scalar(self) -> bool:
        """Whether its values are numbers or addresses."""
        return self.is_whole or self.kind in ("float", "pointer")


VOID: Final[CType] = CType("void", "void", 1)
INT: Final = CType("int", "int", 4)
LONG: Final = CType("int", "long", 8)
ULONG: Final = CType("uint", "unsigned long", 8)
CHAR: Final = CType("uchar", "char", 1)  # plain char has no sign here
UINT: Final = CType("uint", "unsigned int", 4)
FLOAT: Final = CType("float", "float", 4)
DOUBLE: Final = CType("float", "double", 8)
LONG_DOUBLE: Final = CType("float", "long double", 16)
BOOL: Final = CType("bool", "_Bool", 1)
SIMPLE: Final = {"unsigned": UINT} | {
    one.name: one
    for one in (
        VOID, INT, LONG, UINT, ULONG, CHAR, FLOAT, DOUBLE, LONG_DOUBLE, BOOL,
        CType("char", "signed char", 1), CType("uchar", "unsigned char", 1),
        CType("int", "short", 2), CType("uint", "unsigned short", 2),
        CType("int", "long long", 8), CType("uint", "unsigned long long", 8),
        CType("uchar", "uchar", 1), CType("uint", "ushort", 2), CType("uint", "uint", 4),
        CType("uint", "uint64", 8), CType("int", "__int128", 16), CType("uint", "unsigned __int128", 16),
    )
}  # fmt: skip


def _void() -> CType:
    return VOID


def pointer_to(target: CType) -> CType:
    """The type `target *`."""
    return _pointer(target, lambda: target)


def _pointer(target: CType, find: Callable[[], CType], qualifier: str = "") -> CType:
    star = f"*{f' {qualifier}' if qualifier else ''}"

    def spelled(inner: str) -> str:
        declared = f"{star}{' ' if qualifier and inner else ''}{inner}"
        return target.spell(f"({declared})" if target.kind in ("array", "function") else declared)

    return CType("pointer", spelled(""), POINTER_BYTES, find=find, spelled=spelled)


def array_of(target: CType, count: int) -> CType:
    """The type of `count` of `target`."""

    def spelled(inner: str) -> str:
        return target.spell(f"{inner}[{count}]")

    return CType("array", spelled(""), target.size * count, count, find=lambda: target, spelled=spelled)


def unmeasured_array_of(target: CType, length: Length | None) -> CType:
    """The type of an array whose count is known at run time only, or not at all."""

    def spelled(inner: str) -> str:
        return target.spell(f"{inner}[]")

    return CType("array", spelled(""), 0, find=lambda: target, length=length, spelled=spelled)


def function_of(result: CType, parameters: Iterable[str]) -> CType:
    """The type of a function that returns `result` and takes parameters of types with these names."""
    inside = ", ".join(parameters) or "void"

    def spelled(inner: str) -> str:
        return result.spell(f"{inner}({inside})")

    return CType("function", spelled(""), 1, find=lambda: result, spelled=spelled)


def qualified(type_: CType, qualifier: str) -> CType:
    """The type with `const`, or the like, which changes nothing but its name."""
    if type_.kind == "pointer":
        return _pointer(type_.of, type_.find, qualifier)
    if type_.kind in ("array", "function"):
        return type_
    return replace(type_, name=f"{qualifier} {type_.name}")
