"""Types of C, as DWARF describes them.

Made by `Types` for one program, and by hand for what an expression needs beyond its program's: int and its
like.  What a type refers to is read when it is asked for, so that a list may point to itself.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
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

    `find` gives what a pointer points to, an array holds or a function returns; `find_fields` the members;
    `names` are those of an enum's values.
    """

    kind: str
    name: str
    size: int
    count: int = 0
    find: "Callable[[], CType]" = field(default=lambda: _void(), compare=False, repr=False)
    find_fields: Callable[[], tuple[Field, ...]] = field(default=tuple, compare=False, repr=False)
    names: tuple[tuple[int, str], ...] = field(default=(), compare=False, repr=False)

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
DOUBLE: Final = CType("float", "double", 8)
SIMPLE: Final = {
    one.name: one
    for one in (
        VOID, INT, LONG, ULONG, CHAR, DOUBLE,
        CType("float", "float", 4), CType("char", "signed char", 1), CType("uchar", "unsigned char", 1),
        CType("int", "short", 2), CType("uint", "unsigned short", 2), CType("uint", "unsigned int", 4),
        CType("uint", "unsigned", 4), CType("int", "long long", 8), CType("uint", "unsigned long long", 8),
        CType("uchar", "uchar", 1), CType("uint", "ushort", 2), CType("uint", "uint", 4),
        CType("uint", "uint64", 8), CType("bool", "_Bool", 1),
    )
}  # fmt: skip


def _void() -> CType:
    return VOID


def pointer_to(target: CType) -> CType:
    """The type `target *`."""
    star = "*" if target.name.endswith("*") else " *"
    return CType("pointer", f"{target.name}{star}", POINTER_BYTES, find=lambda: target)


def array_of(target: CType, count: int) -> CType:
    """The type of `count` of `target`."""
    dimension, bracket, rest = target.name.partition("[")
    name = f"{dimension.rstrip()} [{count}]{bracket}{rest}"
    return CType("array", name, target.size * count, count, find=lambda: target)


def declaration(type_: CType, name: str) -> str:
    """How C declares `name` to be of the type."""
    before, bracket, dimensions = type_.name.partition("[")
    if bracket:
        return f"{before}{name}[{dimensions}"
    before, star, parameters = type_.name.partition("(*)")
    if star:
        return f"{before}(*{name}){parameters}"
    return f"{type_.name}{'' if type_.name.endswith('*') else ' '}{name}"


class Types:
    """The types of one program."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self._known: Final[dict[int, CType]] = {}  # by the entry's place in .debug_info
        self._named: dict[str, CType] | None = None

    def of(self, die: Any) -> CType:
        """The type of what the entry `die` describes: a variable, a member, a function's result."""
        if "DW_AT_type" not in die.attributes:
            return VOID
        return self._type(die.get_DIE_from_attribute("DW_AT_type"))

    def named(self, name: str) -> CType | None:
        """The type that C calls so: `struct node`, `uint64`."""
        return self._by_name().get(name)

    @property
    def names(self) -> list[str]:
        """Of all types that have one."""
        return sorted(self._by_name())

    def _by_name(self) -> dict[str, CType]:
        if self._named is None:
            self._named = {}
            for top in self._info.tops:
                for die in top.iter_children():
                    if die.tag in (*TAGS, "DW_TAG_typedef", "DW_TAG_base_type") and _name(die):
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
        if tag in WRAPPERS or tag == "DW_TAG_typedef":
            return self.of(die)
        if tag == "DW_TAG_base_type":
            return CType(ENCODINGS.get(_number(die, "DW_AT_encoding", 7), "uint"), _name(die), size)
        if tag == "DW_TAG_pointer_type":
            return CType("pointer", self._pointer_name(die), POINTER_BYTES, find=lambda: self.of(die))
        if tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
            return self._record(die)
        if tag == "DW_TAG_enumeration_type":
            names = ((_number(one, "DW_AT_const_value", 0), _name(one)) for one in die.iter_children())
            return CType("enum", f"enum {_name(die) or '{...}'}", size, names=tuple(names))
        if tag == "DW_TAG_array_type":
            made = self.of(die)
            for one in reversed([one for one in die.iter_children() if one.tag == "DW_TAG_subrange_type"]):
                count = _number(one, "DW_AT_count", _number(one, "DW_AT_upper_bound", -1) + 1)
                made = array_of(made, count)
            return made
        if tag == "DW_TAG_subroutine_type":
            parameters = (self.of(one).name for one in die.iter_children() if "DW_AT_type" in one.attributes)
            name = f"{self.of(die).name} ({', '.join(parameters) or 'void'})"
            return CType("function", name, 1, find=lambda: self.of(die))
        return VOID

    def _record(self, die: Any) -> CType:
        kind = TAGS[die.tag]
        name, size = _name(die), _number(die, "DW_AT_byte_size", 0)
        if "DW_AT_declaration" in die.attributes and self._named is not None:
            return self._named.get(f"{kind} {name}") or CType(kind, f"{kind} {name}", 0)

        def fields() -> tuple[Field, ...]:
            members = (one for one in die.iter_children() if one.tag == "DW_TAG_member")
            return tuple(self._field(one) for one in members)

        return CType(kind, f"{kind} {name or '{...}'}", size, find_fields=fields)

    def _field(self, die: Any) -> Field:
        offset = _number(die, "DW_AT_data_member_location", 0)
        if "DW_AT_bit_size" not in die.attributes:
            return Field(_name(die), self.of(die), offset)
        of = self.of(die)
        low = _number(die, "DW_AT_data_bit_offset", offset * 8)
        offset = low // 8 // of.size * of.size
        return Field(_name(die), of, offset, (low - offset * 8, _number(die, "DW_AT_bit_size", 0)))

    def _pointer_name(self, die: Any) -> str:
        """The name without the target's type: that may lead back to this."""
        if "DW_AT_type" not in die.attributes:
            return "void *"
        target = die.get_DIE_from_attribute("DW_AT_type")
        while target.tag in WRAPPERS:
            if "DW_AT_type" not in target.attributes:
                return "void *"
            target = target.get_DIE_from_attribute("DW_AT_type")
        if target.tag in TAGS:
            name = f"{TAGS[target.tag]} {_name(target) or '{...}'}"
        elif target.tag == "DW_TAG_typedef":
            name = _name(target)
        else:
            made = self._type(target)
            if made.kind == "function":
                return made.name.replace(" (", " (*)(", 1)
            name = made.name
        return f"{name}*" if name.endswith("*") else f"{name} *"


def _name(die: Any) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return os.fsdecode(attribute.value) if attribute is not None else ""


def _number(die: Any, attribute: str, otherwise: int) -> int:
    found = die.attributes.get(attribute)
    return int(found.value) if found is not None and isinstance(found.value, int) else otherwise
