"""C types, as DWARF describes them.

Made by dwarf/types.py for a program; int and the other basic types, which expressions need in any program,
are made here.  The type that another refers to is read on demand, so that a list may point to itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, NamedTuple

from orrery.debugger.errors import Unavailable
from orrery.inspect.entries import BadDebugInfo, Entry

POINTER_BYTES: Final = 8


class TypeKind(StrEnum):
    """What a type is; integers of one byte are characters."""

    INT = "int"
    UINT = "uint"
    CHAR = "char"
    UCHAR = "uchar"
    BOOL = "bool"
    FLOAT = "float"
    COMPLEX = "complex"
    POINTER = "pointer"
    ARRAY = "array"
    STRUCT = "struct"
    UNION = "union"
    ENUM = "enum"
    FUNCTION = "function"
    VOID = "void"
    UNKNOWN = "?"
    """One that no compiler makes."""


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
    """A type.

    `name` is as C writes it, a typedef's too.  `find` gives what a pointer points to, an array holds or a
    function returns; `find_fields` the members; `names` are those of an enum's values.  `spelled` declares a
    name to be of a type that is not just a name before it; `resolved` is what a typedef stands for, and
    `length` says what only the run knows of an array: its count, or its last index.
    """

    kind: TypeKind
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
        return self.kind in (TypeKind.INT, TypeKind.CHAR) or (
            self.kind == TypeKind.ENUM and any(n < 0 for n, _ in self.names)
        )

    @property
    def is_character(self) -> bool:
        """Whether it is one of the types of text."""
        return self.kind in (TypeKind.CHAR, TypeKind.UCHAR)

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind in (
            TypeKind.INT,
            TypeKind.UINT,
            TypeKind.CHAR,
            TypeKind.UCHAR,
            TypeKind.BOOL,
            TypeKind.ENUM,
        )

    @property
    def is_scalar(self) -> bool:
        """Whether its values are numbers or addresses."""
        return self.is_whole or self.kind in (TypeKind.FLOAT, TypeKind.POINTER)


VOID: Final[CType] = CType(TypeKind.VOID, "void", 1)
INT: Final = CType(TypeKind.INT, "int", 4)
LONG: Final = CType(TypeKind.INT, "long", 8)
ULONG: Final = CType(TypeKind.UINT, "unsigned long", 8)
CHAR: Final = CType(TypeKind.UCHAR, "char", 1)  # plain char has no sign here
UINT: Final = CType(TypeKind.UINT, "unsigned int", 4)
FLOAT: Final = CType(TypeKind.FLOAT, "float", 4)
DOUBLE: Final = CType(TypeKind.FLOAT, "double", 8)
LONG_DOUBLE: Final = CType(TypeKind.FLOAT, "long double", 16)
BOOL: Final = CType(TypeKind.BOOL, "_Bool", 1)
SIMPLE: Final = {"unsigned": UINT} | {
    one.name: one
    for one in (
        VOID, INT, LONG, UINT, ULONG, CHAR, FLOAT, DOUBLE, LONG_DOUBLE, BOOL,
        CType(TypeKind.CHAR, "signed char", 1), CType(TypeKind.UCHAR, "unsigned char", 1),
        CType(TypeKind.INT, "short", 2), CType(TypeKind.UINT, "unsigned short", 2),
        CType(TypeKind.INT, "long long", 8), CType(TypeKind.UINT, "unsigned long long", 8),
        CType(TypeKind.UCHAR, "uchar", 1), CType(TypeKind.UINT, "ushort", 2), CType(TypeKind.UINT, "uint", 4),
        CType(TypeKind.UINT, "uint64", 8), CType(TypeKind.INT, "__int128", 16),
        CType(TypeKind.UINT, "unsigned __int128", 16),
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
        return target.spell(
            f"({declared})" if target.kind in (TypeKind.ARRAY, TypeKind.FUNCTION) else declared
        )

    return CType(TypeKind.POINTER, spelled(""), POINTER_BYTES, find=find, spelled=spelled)


def array_of(target: CType, count: int) -> CType:
    """The type of `count` of `target`."""

    def spelled(inner: str) -> str:
        return target.spell(f"{inner}[{count}]")

    return CType(
        TypeKind.ARRAY, spelled(""), target.size * count, count, find=lambda: target, spelled=spelled
    )


def unmeasured_array_of(target: CType, length: Length | None) -> CType:
    """The type of an array whose count is known at run time only, or not at all."""

    def spelled(inner: str) -> str:
        return target.spell(f"{inner}[]")

    return CType(TypeKind.ARRAY, spelled(""), 0, find=lambda: target, length=length, spelled=spelled)


def function_of(result: CType, parameters: Iterable[str]) -> CType:
    """The type of a function that returns `result` and takes parameters of types with these names."""
    inside = ", ".join(parameters) or "void"

    def spelled(inner: str) -> str:
        return result.spell(f"{inner}({inside})")

    return CType(TypeKind.FUNCTION, spelled(""), 1, find=lambda: result, spelled=spelled)


def qualified(type_: CType, qualifier: str) -> CType:
    """The type with `const`, or the like, which changes nothing but its name."""
    if type_.kind == TypeKind.POINTER:
        return _pointer(type_.of, type_.find, qualifier)
    if type_.kind in (TypeKind.ARRAY, TypeKind.FUNCTION):
        return type_
    return replace(type_, name=f"{qualifier} {type_.name}")
