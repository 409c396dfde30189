"""Reading types: what DWARF says of the types of one program, as those of debugger/c/ctypes.py.

Used by variables.py.  Nobody vouches for what is read: a type that is made of itself, or of more types than
anybody writes, has no end, and is Unavailable as all that makes no sense.
"""

from collections.abc import Callable, Container
from dataclasses import replace
from functools import cached_property
from typing import Final, TypeVar

from orrery.debugger.c.ctypes import (
    POINTER_BYTES,
    VOID,
    CType,
    Field,
    Length,
    TypeKind,
    array_of,
    function_of,
    pointer_to,
    qualified,
    unmeasured_array_of,
)  # fmt: skip
from orrery.debugger.errors import Unavailable
from orrery.inspect.dwarf import DebugInfo
from orrery.inspect.entries import BadDebugInfo, Entry

WRAPPERS: Final = ("DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type")
RECORDS: Final = {"DW_TAG_structure_type": TypeKind.STRUCT, "DW_TAG_union_type": TypeKind.UNION}
ENUM: Final = "DW_TAG_enumeration_type"
TYPEDEF: Final = "DW_TAG_typedef"
BASE: Final = "DW_TAG_base_type"
ENCODINGS: Final = {
    2: TypeKind.BOOL, 3: TypeKind.COMPLEX, 4: TypeKind.FLOAT, 5: TypeKind.INT,
    6: TypeKind.CHAR, 7: TypeKind.UINT, 8: TypeKind.UCHAR, 16: TypeKind.UINT,
}  # fmt: skip
SIZES: Final[dict[str, Container[int]]] = {
    TypeKind.BOOL: range(1, 9),
    TypeKind.FLOAT: (2, 4, 8, 16),
    TypeKind.COMPLEX: (8, 16, 32),
}
WHOLE_SIZES: Final = range(1, 17)
LEVELS_MAX: Final = 60  # of types that are made of types
BITS: Final = 8
BYTES_MAX: Final = 1 << 63

_T = TypeVar("_T")


def sensible(question: Callable[[], _T]) -> _T:
    """What `question` gives; what makes no sense in the file is Unavailable."""
    try:
        return question()
    except BadDebugInfo as error:
        raise Unavailable(f"The debug information makes no sense: {error}") from error


class Types:
    """The types of one program."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self._known: Final[dict[int, CType]] = {}  # by the entry's place in .debug_info
        self._making: Final[list[int]] = []  # those that are being made of others

    def of(self, entry: Entry) -> CType:
        """The type of what an entry describes: a variable, a member, a result; raises Unavailable."""
        return sensible(lambda: self._of(entry))

    def function(self, entry: Entry) -> CType:
        """The type of a function, from its entry; raises Unavailable."""
        return sensible(lambda: self._function(entry))

    def named(self, name: str) -> CType | None:
        """The type that C calls so: `struct node`, `uint64`."""
        return self._named.get(name)

    def constant(self, name: str) -> tuple[CType, int] | None:
        """The value of an enum that is called so, with its type."""
        return self._constants.get(name)

    @property
    def names(self) -> list[str]:
        """Of all types that have one."""
        return sorted(self._named)

    @cached_property
    def _declared(self) -> list[tuple[Entry, CType]]:
        """The types outside functions that make sense."""
        found = []
        for top in self._info.tops:
            for entry in top.children:
                if entry.tag in (*RECORDS, ENUM, TYPEDEF, BASE):
                    type_ = self._info.known(lambda one=entry: self._type(one), None)  # type: ignore[misc]
                    found += [(entry, type_)] if type_ is not None else []
        return found

    @cached_property
    def _named(self) -> dict[str, CType]:
        named: dict[str, CType] = {}
        for entry, type_ in self._declared:
            name = self._info.known(lambda one=entry: one.name, "")  # type: ignore[misc]
            if not name:
                continue
            if entry.tag == TYPEDEF:
                named.setdefault(name, type_)
            elif type_.name not in named or "DW_AT_declaration" not in entry:
                named[type_.name] = type_
        return named

    @cached_property
    def _constants(self) -> dict[str, tuple[CType, int]]:
        enums = (type_ for entry, type_ in self._declared if entry.tag == ENUM)
        return {name: (type_, number) for type_ in enums for number, name in type_.names}

    # --- all below raise BadDebugInfo ---

    def _of(self, entry: Entry) -> CType:
        made_of = entry.reference("DW_AT_type")
        return self._type(made_of) if made_of is not None else VOID

    def _type(self, entry: Entry) -> CType:
        if entry.offset not in self._known:
            if entry.offset in self._making or len(self._making) == LEVELS_MAX:
                raise BadDebugInfo(f"the type at {entry.offset:#x} is made of types without an end")
            self._making.append(entry.offset)
            try:
                self._known[entry.offset] = self._made(entry)
            finally:
                self._making.pop()
        return self._known[entry.offset]

    def _made(self, entry: Entry) -> CType:
        tag = entry.tag
        if tag in WRAPPERS:
            return qualified(self._of(entry), tag.removeprefix("DW_TAG_").removesuffix("_type"))
        if tag == TYPEDEF:
            target = self._of(entry)
            return replace(target, name=entry.name, spelled=None, resolved=target.resolved or target)
        if tag == BASE:
            return _base(entry)
        if tag == "DW_TAG_pointer_type":
            return pointer_to(self._of(entry))
        if tag in RECORDS:
            return self._record(entry)
        if tag == ENUM:
            values = [one for one in entry.children if one.tag == "DW_TAG_enumerator"]
            names = tuple((one.number("DW_AT_const_value"), one.name) for one in values)
            size = _size(entry, WHOLE_SIZES, POINTER_BYTES)
            return CType(
                TypeKind.ENUM if size else TypeKind.UNKNOWN,
                f"enum {entry.name or '{...}'}",
                size,
                names=names,
            )
        if tag == "DW_TAG_array_type":
            return self._array(entry)
        if tag == "DW_TAG_subroutine_type":
            return self._function(entry)
        return VOID

    def _array(self, entry: Entry) -> CType:
        made = self._of(entry)
        for one in reversed([one for one in entry.children if one.tag == "DW_TAG_subrange_type"]):
            of, length = made, _length(one)
            if length is not None:
                made = unmeasured_array_of(of, length)
                continue
            if "DW_AT_count" not in one and "DW_AT_upper_bound" not in one:
                made = unmeasured_array_of(of, None)
                continue
            count = one.number("DW_AT_count", one.number("DW_AT_upper_bound", -1) + 1)
            if not 0 <= count * made.size < BYTES_MAX:
                raise BadDebugInfo(f"the array at {entry.offset:#x} has {count} elements")
            made = array_of(of, count)
        return made

    def _record(self, entry: Entry) -> CType:
        kind, name = RECORDS[entry.tag], entry.name
        if "DW_AT_declaration" in entry and (whole := self._whole_records.get((entry.tag, name))) is not None:
            return self._type(whole)

        def fields() -> tuple[Field, ...]:
            members = (one for one in entry.children if one.tag == "DW_TAG_member")
            return tuple(self._field(one) for one in members)

        size = _size(entry, range(BYTES_MAX), 0)
        return CType(kind, f"{kind} {name or '{...}'}", size, find_fields=fields)

    @cached_property
    def _whole_records(self) -> dict[tuple[str, str], Entry]:
        """The entries of structs and unions that define them, for those that only declare them."""
        found: dict[tuple[str, str], Entry] = {}
        for top in self._info.tops:
            for one in top.children:
                if one.tag in RECORDS and "DW_AT_declaration" not in one:
                    found.setdefault((one.tag, one.name), one)
        return found

    def _field(self, entry: Entry) -> Field:
        of, offset = self._of(entry), entry.number("DW_AT_data_member_location")
        if not 0 <= offset < BYTES_MAX:
            raise BadDebugInfo(f"the member at {entry.offset:#x} is at {offset}")
        if "DW_AT_bit_size" not in entry:
            return Field(entry.name, of, offset)
        count = entry.number("DW_AT_bit_size")
        low = entry.number("DW_AT_data_bit_offset", offset * BITS)
        if "DW_AT_bit_offset" in entry:  # of DWARF 2 and 3: counted from the highest bit
            unit = entry.number("DW_AT_byte_size", of.size) * BITS
            low += unit - entry.number("DW_AT_bit_offset") - count
        if not of.is_whole or not 0 < count <= of.size * BITS or not 0 <= low < BYTES_MAX:
            raise BadDebugInfo(f"the member at {entry.offset:#x} has {count} bits at {low}")
        offset = low // BITS // of.size * of.size
        return Field(entry.name, of, offset, (low - offset * BITS, count))

    def _function(self, entry: Entry) -> CType:
        parameters = [
            "..." if one.tag == "DW_TAG_unspecified_parameters" else self._of(one).name
            for one in entry.children
            if one.tag in ("DW_TAG_formal_parameter", "DW_TAG_unspecified_parameters")
        ]
        return function_of(self._of(entry), parameters)


def _base(entry: Entry) -> CType:
    """A type that C has of itself."""
    kind = ENCODINGS.get(entry.number("DW_AT_encoding", 7), TypeKind.UINT)
    size = _size(entry, SIZES.get(kind, WHOLE_SIZES), POINTER_BYTES)
    if not size:
        return CType(TypeKind.UNKNOWN, entry.name, 0)
    if kind in (TypeKind.CHAR, TypeKind.UCHAR) and size > 1:
        kind = TypeKind.INT if kind == TypeKind.CHAR else TypeKind.UINT
    return CType(kind, entry.name, size)


def _size(entry: Entry, allowed: Container[int], otherwise: int) -> int:
    """The size of a type; 0 for one that no compiler makes."""
    size = entry.number("DW_AT_byte_size", otherwise)
    return size if size in allowed else 0


def _length(entry: Entry) -> Length | None:
    """What only the run knows of an array's size."""
    for attribute in ("DW_AT_count", "DW_AT_upper_bound"):
        found = entry.attributes.get(attribute)
        if found is not None and (entry.is_reference(attribute) or isinstance(found.value, list)):
            return Length(entry, attribute)
    return None
