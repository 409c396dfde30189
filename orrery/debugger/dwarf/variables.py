"""Variables: which there are at a place of a program, and where DWARF says that they are.

Names are looked up from the innermost block outwards, then among the program's globals.  A variable that the
compiler has left out, or whose register has been used for something else, has a type and no more.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from orrery.debugger.c.ctypes import CType, Length, TypeKind, array_of, pointer_to
from orrery.debugger.c.values import MASK64, Read, Value
from orrery.debugger.dwarf.location import OPTIMIZED_OUT, Location, Locator
from orrery.debugger.dwarf.types import Types, sensible
from orrery.debugger.errors import Unavailable
from orrery.debugger.frames import Frame
from orrery.inspect.code_unit import SUBPROGRAM
from orrery.inspect.dwarf import BLOCK, INLINED, DebugInfo
from orrery.inspect.entries import Entry

VARIABLE: Final = "DW_TAG_variable"
PARAMETER: Final = "DW_TAG_formal_parameter"
LEFT_OUT: Final = MASK64 - 0xFFF  # from there on has the linker moved what it left out, see toolchain/link.py
ELEMENTS_MAX: Final = 1 << 40  # of an array whose length only the run knows


class Variables:
    """Of the program `info`."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self.types: Final = Types(info)
        self._locator: Final = Locator(info)

    def parameters(self, frame: Frame) -> list[tuple[str, Entry]]:
        """Names and entries of the arguments of the frame's function."""
        scopes = self._scopes(frame)
        return list(self._declared(scopes[-1:], PARAMETER)) if scopes else []

    def locals(self, frame: Frame) -> list[tuple[str, Entry]]:
        """Names and entries of the variables of the frame's function that are alive, innermost first."""
        return list(self._declared(self._scopes(frame), VARIABLE))

    def names_in(self, top: Entry | None) -> list[tuple[str, str, int]]:
        """Name, what it is, and size of each argument and variable of a function, in blocks within it too."""
        found: list[tuple[str, str, int]] = []
        scopes = [top] if top is not None else []
        while scopes:
            scope = scopes.pop(0)
            for entry in scope.children:
                if entry.tag in (VARIABLE, PARAMETER) and (name := self._name(entry)):
                    type_ = self.types.of(entry.origin)
                    kind = "an argument" if entry.tag == PARAMETER else "a variable"
                    found.append((name, f"{kind} of type {type_.name}", type_.size))
                elif entry.tag == BLOCK:
                    scopes.append(entry)
        return found

    def is_seen_at(self, name: str, pc: int) -> bool:
        """Whether there is a variable or function of this name for the code at an address."""
        scopes = self._info.scopes(pc)
        own = (*self._declared(scopes, VARIABLE), *self._declared(scopes, PARAMETER))
        return name in dict(own) or name in self._globals

    def find(self, frame: Frame | None, name: str) -> Entry | None:
        """The entry of what is called so there."""
        if frame is not None:
            scopes = self._scopes(frame)
            for known, entry in (*self._declared(scopes, VARIABLE), *self._declared(scopes, PARAMETER)):
                if known == name:
                    return entry
        return self._globals.get(name)

    def outside(self, name: str, file: str = "") -> Entry | None:
        """The entry of what is called so outside functions, in a unit of this file if one is given."""
        if not file:
            return self._globals.get(name)
        tops = (top for top in self._info.tops if f"/{top.name}".endswith(f"/{file}"))
        return next((entry for top in tops for entry in self._outer(top) if self._name(entry) == name), None)

    def static_in(self, function: str, name: str) -> Entry | None:
        """The entry of a static variable of a function, which need not run."""
        for top in self._info.tops:
            for one in top.children:
                if one.tag == SUBPROGRAM and self._name(one) == function:
                    own = (entry for entry in one.within() if entry.tag == VARIABLE)
                    found = next((entry for entry in own if self._name(entry) == name), None)
                    if found is not None:
                        return found
        return None

    @cached_property
    def _globals(self) -> dict[str, Entry]:
        """Variables outside functions, and functions."""
        found: dict[str, Entry] = {}
        for top in self._info.tops:
            for entry in self._outer(top):
                found.setdefault(self._name(entry), entry)
        return found

    def _outer(self, top: Entry) -> Iterator[Entry]:
        for entry in top.children:
            is_function = entry.tag == SUBPROGRAM and self._info.low(entry) is not None
            if is_function or (entry.tag == VARIABLE and "DW_AT_location" in entry):
                yield entry

    def value(self, entry: Entry, frame: Frame | None, read: Read) -> Value:
        """What the variable of an entry holds, seen from `frame`; raises Unavailable where its type is
        unknown.
        """
        return sensible(lambda: self._value(entry, frame, read))

    def _value(self, entry: Entry, frame: Frame | None, read: Read) -> Value:
        declared = entry.origin
        if declared.tag == SUBPROGRAM:
            return Value(self.types.function(declared), _no_bytes, self._info.low(entry))
        type_ = self._measured(self.types.of(declared), frame, read)
        if "DW_AT_const_value" in entry:
            return _constant(type_, entry)
        try:
            location = self._locator.of_variable(entry, frame, read)
        except Unavailable as error:
            return Value.missing(type_, f"{error}")
        return _placed(type_, location, frame, read)

    def _measured(self, type_: CType, frame: Frame | None, read: Read) -> CType:
        """The type with the lengths of arrays that only the run knows."""
        if type_.kind == TypeKind.ARRAY:
            of = self._measured(type_.of, frame, read)
            count = type_.count if type_.length is None else self._length(type_.length, frame, read)
            return type_ if type_.length is None and of is type_.of else array_of(of, count)
        if type_.kind == TypeKind.POINTER and type_.of.kind == TypeKind.ARRAY:
            of = self._measured(type_.of, frame, read)
            return type_ if of is type_.of else pointer_to(of)
        return type_

    def _length(self, length: Length, frame: Frame | None, read: Read) -> int:
        variable = (
            length.entry.reference(length.attribute) if length.entry.is_reference(length.attribute) else None
        )
        if variable is not None:
            count = self._value(variable, frame, read).whole
        else:
            count = self._locator.number(length.entry, length.attribute, frame, read)
        count += length.attribute == "DW_AT_upper_bound"
        return count if 0 <= count < ELEMENTS_MAX else 0

    def _scopes(self, frame: Frame) -> list[Entry]:
        """The blocks that the frame is in, innermost first; the last is its function, or its inlined call."""
        if frame.function is None or frame.python is not None:
            return []
        scopes: list[Entry] = []
        inlined = 0
        for scope in self._info.scopes(frame.at):
            if scope.tag == INLINED:
                if inlined == frame.depth:
                    break
                inlined += 1
                scopes = []
            scopes.insert(0, scope)
        return scopes

    def _declared(self, scopes: list[Entry], tag: str) -> Iterator[tuple[str, Entry]]:
        for scope in scopes:
            for entry in scope.children:
                if entry.tag == tag and (name := self._name(entry)):
                    yield name, entry

    def _name(self, entry: Entry) -> str:
        return self._info.known(lambda: entry.name, "")


def _constant(type_: CType, entry: Entry) -> Value:
    """A variable that is always the same, so that it is nowhere."""
    data = entry.data("DW_AT_const_value")
    if data is not None:
        return Value.made(type_, data[: type_.size].ljust(type_.size, b"\0"))
    if not type_.is_scalar:
        return Value.missing(type_, OPTIMIZED_OUT)
    number = entry.number("DW_AT_const_value") & (1 << 8 * type_.size) - 1
    return Value.made(type_, number.to_bytes(type_.size, "little"))


def _placed(type_: CType, location: Location, frame: Frame | None, read: Read) -> Value:
    """A value where a location says that it is."""
    if location.register is not None:
        held = frame.registers[location.register] if frame is not None else None
        if held is None or type_.size > 8:
            return Value.missing(type_, OPTIMIZED_OUT)
        return Value.made(type_, held.to_bytes(8, "little")[: type_.size], register=location.register)
    if location.number is not None:
        data = (location.number & MASK64).to_bytes(8, "little")
        return Value.made(type_, data[: type_.size].ljust(type_.size, b"\0"))
    assert location.address is not None, "a location is memory, a register or a number"
    if location.address >= LEFT_OUT:
        return Value.missing(type_, "the linker has left it out, as nothing uses it")
    return Value.at(type_, location.address, read)


def _no_bytes(offset: int, count: int) -> bytes:
    """Those of a function, as a value."""
    return b""
