"""Types of C, as DWARF describes them.

Made by `Types` for one program, and by hand for what an expression needs beyond its program's: int and its
like.  What a type refers to is read when it is asked for, so that a list may point to itself.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple

from orrery.dwarf import DebugInfo

POINTER_BYTES: Final = 8
WRAPPERS: Final = ("DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type")
TAGS: Final = {
    "DW_TAG_structure_type": "struct",
    "DW_TAG_union_type": "union",
    "DW_TAG_enumeration_type": "enum",
}
ENCODINGS: Final = {2: "bool", 4: "float", 5: "int", 6: "char", 7: "uint", 8: "uchar", 16: "uint"}


class _NoCount(NamedTuple):
    form: str = ""


NO_COUNT: Final = _NoCount()


class Field(NamedTuple):
    """A member of a struct or union; `bits` is (lowest bit, count) of a bit field."""

    name: str
    type: "CType"
    offset: int
    bits: tuple[int, int] | None = None


@dataclass(frozen=True)
class CType:
    """A type. `kind`: int, uint, char, uchar, bool, float, pointer, array, struct, union, enum, function,
    void.

    `name` is as C writes it, a typedef's too.  `find` gives what a pointer points to, an array holds or a
    function returns; `find_fields` the members; `names` are those of an enum's values.  `spelled` declares a
    name to be of a type that is not just a name before it; `resolved` is what a typedef stands for, and
    `length` the entry of an array's count that only the run knows.
    """

    kind: str
    name: str
    size: int
    count: int = 0
    find: "Callable[[], CType]" = field(default=lambda: _void(), compare=False, repr=False)
    find_fields: Callable[[], tuple[Field, ...]] = field(default=tuple, compare=False, repr=False)
    names: tuple[tuple[int, str], ...] = field(default=(), compare=False, repr=False)
    length: Any = field(default=None, compare=False, repr=False)
    resolved: "CType | None" = field(default=None, compare=False, repr=False)
    spelled: "Callable[[str], str] | None" = field(default=None, compare=False, repr=False)

    def spell(self, inner: str) -> str:
        """How C declares `inner`, a name, or part of another type, to be of this one."""
        if self.spelled is not None:
            return self.spelled(inner)
        return f"{self.name} {inner}".rstrip()

    @property
    def of(self) -> "CType":
        """What a pointer points to, an array holds, a function returns."""
        return self.find()

    @property
    def fields(self) -> tuple[Field, ...]:
        """The members of a struct or union."""
        return self.find_fields()

    @property
    def signed(self) -> bool:
        """Whether its values may be below zero."""
        return self.kind in ("int", "char")

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
SIMPLE: Final = {
    one.name: one
    for one in (
        VOID, INT, LONG, UINT, ULONG, CHAR, FLOAT, DOUBLE,
        CType("char", "signed char", 1), CType("uchar", "unsigned char", 1),
        CType("int", "short", 2), CType("uint", "unsigned short", 2),
        CType("uint", "unsigned", 4), CType("int", "long long", 8), CType("uint", "unsigned long long", 8),
        CType("uchar", "uchar", 1), CType("uint", "ushort", 2), CType("uint", "uint", 4),
        CType("uint", "uint64", 8), CType("bool", "_Bool", 1),
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


def function_of(result: CType, parameters: Iterable[str]) -> CType:
    """The type of a function that returns `result` and takes parameters of types with these names."""
    inside = ", ".join(parameters) or "void"

    def spelled(inner: str) -> str:
        return result.spell(f"{inner}({inside})")

    return CType("function", spelled(""), 1, find=lambda: result, spelled=spelled)


def _qualified(type_: CType, qualifier: str) -> CType:
    """const or volatile."""
    if type_.kind == "pointer":
        return _pointer(type_.of, type_.find, qualifier)
    if type_.kind in ("array", "function"):
        return type_
    return replace(type_, name=f"{qualifier} {type_.name}")


class Types:
    """The types of one program."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self._known: Final[dict[int, CType]] = {}  # by the entry's place in .debug_info
        self._named: dict[str, CType] | None = None
        self._unnamed: Final[list[CType]] = []  # enums
        self._constants: dict[str, tuple[CType, int]] | None = None

    def of(self, die: Any) -> CType:
        """The type of what the entry `die` describes: a variable, a member, a function's result."""
        if "DW_AT_type" not in die.attributes:
            return VOID
        return self._type(die.get_DIE_from_attribute("DW_AT_type"))

    def named(self, name: str) -> CType | None:
        """The type that C calls so: `struct node`, `uint64`."""
        return self._by_name().get(name)

    def constant(self, name: str) -> tuple[CType, int] | None:
        """The value of an enum that is called so, with its type."""
        if self._constants is None:
            self._constants = {}
            for type_ in self._by_name().values():
                self._constants.update((one, (type_, number)) for number, one in type_.names)
            for type_ in self._unnamed:
                self._constants.update((one, (type_, number)) for number, one in type_.names)
        return self._constants.get(name)

    @property
    def names(self) -> list[str]:
        """Of all types that have one."""
        return sorted(self._by_name())

    def _by_name(self) -> dict[str, CType]:
        if self._named is None:
            self._named = {}
            for top in self._info.tops:
                for die in top.iter_children():
                    if die.tag == "DW_TAG_enumeration_type" and not _name(die):
                        self._unnamed.append(self._type(die))
                    elif die.tag in (*TAGS, "DW_TAG_typedef", "DW_TAG_base_type") and _name(die):
                        found = self._type(die)
                        if die.tag == "DW_TAG_typedef":
                            self._named.setdefault(_name(die), found)
                        elif found.name not in self._named or "DW_AT_declaration" not in die.attributes:
                            self._named[found.name] = found
        return self._named

    def _type(self, die: Any) -> CType:
        if die.offset not in self._known:
            self._known[die.offset] = self._made(die)
        return self._known[die.offset]

    def _made(self, die: Any) -> CType:
        tag, size = die.tag, _number(die, "DW_AT_byte_size", POINTER_BYTES)
        if tag in WRAPPERS:
            return _qualified(self.of(die), tag.removeprefix("DW_TAG_").removesuffix("_type"))
        if tag == "DW_TAG_typedef":
            target = self.of(die)
            return replace(target, name=_name(die), spelled=None, resolved=target.resolved or target)
        if tag == "DW_TAG_base_type":
            return CType(ENCODINGS.get(_number(die, "DW_AT_encoding", 7), "uint"), _name(die), size)
        if tag == "DW_TAG_pointer_type":
            return pointer_to(self.of(die))
        if tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
            return self._record(die)
        if tag == "DW_TAG_enumeration_type":
            names = ((_number(one, "DW_AT_const_value", 0), _name(one)) for one in die.iter_children())
            return CType("enum", f"enum {_name(die) or '{...}'}", size, names=tuple(names))
        if tag == "DW_TAG_array_type":
            made = self.of(die)
            for one in reversed([one for one in die.iter_children() if one.tag == "DW_TAG_subrange_type"]):
                count = _number(one, "DW_AT_count", _number(one, "DW_AT_upper_bound", -1) + 1)
                if one.attributes.get("DW_AT_count", NO_COUNT).form.startswith("DW_FORM_ref"):
                    return CType("array", made.spell("[]"), 0, find=partial(_same, made), length=one)
                made = array_of(made, count)
            return made
        if tag == "DW_TAG_subroutine_type":
            return self.function(die)
        return VOID

    def _record(self, die: Any) -> CType:
        kind = TAGS[die.tag]
        name, size = _name(die), _number(die, "DW_AT_byte_size", 0)
        if "DW_AT_declaration" in die.attributes and (whole := self._defined(die)) is not None:
            return self._type(whole)

        def fields() -> tuple[Field, ...]:
            members = (one for one in die.iter_children() if one.tag == "DW_TAG_member")
            return tuple(self._field(one) for one in members)

        return CType(kind, f"{kind} {name or '{...}'}", size, find_fields=fields)

    def _defined(self, declared: Any) -> Any | None:
        """The entry that defines a struct or union which is only declared here."""
        return next(
            (
                die
                for top in self._info.tops
                for die in top.iter_children()
                if die.tag == declared.tag
                and _name(die) == _name(declared)
                and "DW_AT_declaration" not in die.attributes
            ),
            None,
        )

    def _field(self, die: Any) -> Field:
        offset = _number(die, "DW_AT_data_member_location", 0)
        if "DW_AT_bit_size" not in die.attributes:
            return Field(_name(die), self.of(die), offset)
        of = self.of(die)
        low = _number(die, "DW_AT_data_bit_offset", offset * 8)
        offset = low // 8 // of.size * of.size
        return Field(_name(die), of, offset, (low - offset * 8, _number(die, "DW_AT_bit_size", 0)))

    def function(self, die: Any) -> CType:
        """The type of a function, from its entry or that of its type."""
        parameters = [
            "..." if one.tag == "DW_TAG_unspecified_parameters" else self.of(one).name
            for one in die.iter_children()
            if one.tag in ("DW_TAG_formal_parameter", "DW_TAG_unspecified_parameters")
        ]
        return function_of(self.of(die), parameters)


def _same(type_: CType) -> CType:
    return type_


def _name(die: Any) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return os.fsdecode(attribute.value) if attribute is not None else ""


def _number(die: Any, attribute: str, otherwise: int) -> int:
    found = die.attributes.get(attribute)
    return int(found.value) if found is not None and isinstance(found.value, int) else otherwise
