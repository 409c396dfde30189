"""Variables: which there are at a place of a program, and where DWARF says that they are.

Names are looked up from the innermost block outwards, then among the program's globals.  A variable that the
compiler has left out, or whose register has been used for something else, is unavailable.
"""

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from elftools.dwarf.dwarf_expr import DWARFExprParser
from elftools.dwarf.locationlists import LocationEntry, LocationExpr, LocationParser

from orrery.debugger.ctypes import POINTER_BYTES, Types, array_of
from orrery.debugger.frames import Frame
from orrery.debugger.values import Read, Unavailable, Value
from orrery.dwarf import DebugInfo, Function

INLINED: Final = "DW_TAG_inlined_subroutine"
BLOCK: Final = "DW_TAG_lexical_block"
VARIABLE: Final = "DW_TAG_variable"
PARAMETER: Final = "DW_TAG_formal_parameter"
ORIGIN: Final = "DW_AT_abstract_origin"
OPTIMIZED_OUT: Final = "<optimized out>"
MASK64: Final = (1 << 64) - 1
LEFT_OUT: Final = MASK64 - 0xFFF  # from there on has the linker moved what it left out, see toolchain/cc.py


class Variables:
    """Of the program `info`."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self.types: Final = Types(info)
        self._expressions: Final = DWARFExprParser(info.dwarf.structs)

    def parameters(self, frame: Frame) -> list[tuple[str, Any]]:
        """Names and entries of the arguments of the frame's function."""
        scopes = self._scopes(frame)
        return list(self._declared(scopes[-1:], PARAMETER)) if scopes else []

    def locals(self, frame: Frame) -> list[tuple[str, Any]]:
        """Names and entries of the variables of the frame's function that are alive, innermost first."""
        return list(self._declared(self._scopes(frame), VARIABLE))

    def names_in(self, function: Function) -> list[tuple[str, str, int]]:
        """Name, what it is, and size of each argument and variable of a function, in blocks within it too."""
        top = self._info.entry(function)
        found: list[tuple[str, str, int]] = []
        scopes = [top] if top is not None else []
        while scopes:
            scope = scopes.pop(0)
            for die in scope.iter_children():
                if die.tag in (VARIABLE, PARAMETER) and name_of(die):
                    type_ = self.types.of(_origin(die))
                    kind = "an argument" if die.tag == PARAMETER else "a variable"
                    found.append((name_of(die), f"{kind} of type {type_.name}", type_.size))
                elif die.tag == BLOCK:
                    scopes.append(die)
        return found

    def find(self, frame: Frame | None, name: str) -> Any | None:
        """The entry of what is called so there."""
        if frame is not None:
            scopes = self._scopes(frame)
            for known, die in (*self._declared(scopes, VARIABLE), *self._declared(scopes, PARAMETER)):
                if known == name:
                    return die
        return self._globals.get(name)

    @cached_property
    def _globals(self) -> dict[str, Any]:
        """Variables outside functions, and functions."""
        found: dict[str, Any] = {}
        for top in self._info.tops:
            for die in top.iter_children():
                is_function = die.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in die.attributes
                if is_function or (die.tag == VARIABLE and "DW_AT_location" in die.attributes):
                    found.setdefault(name_of(die), die)
        return found

    def value(self, die: Any, frame: Frame | None, read: Read) -> Value:
        """What the variable `die` holds, seen from `frame`; raises Unavailable."""
        declared = _origin(die)
        if declared.tag == "DW_TAG_subprogram":
            return Value(self.types.function(declared), b"", die.attributes["DW_AT_low_pc"].value)
        type_ = self.types.of(declared)
        if type_.length is not None:
            count = type_.length.get_DIE_from_attribute("DW_AT_count")
            type_ = array_of(type_.of, self.value(count, frame, read).whole)
        if "DW_AT_const_value" in die.attributes:
            return Value.of(type_, die.attributes["DW_AT_const_value"].value)
        operations = self._location(die, frame)
        address, register, number = self._evaluated(operations, die, frame, read)
        if register is not None:
            held = frame.registers[register] if frame is not None else None
            if held is None:
                raise Unavailable(OPTIMIZED_OUT)
            return Value(type_, held.to_bytes(8, "little")[: type_.size], register=register)
        if number is not None:
            return Value.of(type_, number)
        assert address is not None, "a location is memory, a register or a number"
        data = read(address, type_.size)
        if len(data) < type_.size and address >= LEFT_OUT:
            raise Unavailable("the linker has left it out, as nothing uses it")
        if len(data) < type_.size:
            raise Unavailable(f"Cannot access memory at address {address + len(data):#x}")
        return Value(type_, data, address)

    def _scopes(self, frame: Frame) -> list[Any]:
        """The blocks that the frame is in, innermost first; the last is its function, or its inlined call."""
        top = self._info.entry(frame.function) if frame.function is not None else None
        if top is None or frame.python is not None:
            return []
        scopes, inlined = [top], 0
        while True:
            inner = (one for one in scopes[0].iter_children() if one.tag in (INLINED, BLOCK))
            scope = next((one for one in inner if self._info.covers(one, frame.at)), None)
            if scope is None or (scope.tag == INLINED and inlined == frame.depth):
                return scopes
            inlined += scope.tag == INLINED
            scopes = [scope] if scope.tag == INLINED else [scope, *scopes]

    def _declared(self, scopes: list[Any], tag: str) -> Iterator[tuple[str, Any]]:
        for scope in scopes:
            for die in scope.iter_children():
                if die.tag == tag and name_of(die):
                    yield name_of(die), die

    def _location(self, die: Any, frame: Frame | None) -> list[Any]:
        """The operations that say where it is; raises Unavailable."""
        attribute = die.attributes.get("DW_AT_location")
        if attribute is None:
            raise Unavailable(OPTIMIZED_OUT)
        parser = LocationParser(self._info.dwarf.location_lists())
        found = parser.parse_from_attribute(attribute, die.cu.header.version, die)
        if isinstance(found, LocationExpr):
            return self._parsed(found.loc_expr)
        top = die.cu.get_top_DIE().attributes.get("DW_AT_low_pc")
        base = top.value if top is not None else 0
        for entry in found:
            if not isinstance(entry, LocationEntry):
                base = getattr(entry, "base_address", base)
                continue
            offset = 0 if entry.is_absolute else base
            if frame is not None and entry.begin_offset + offset <= frame.at < entry.end_offset + offset:
                return self._parsed(entry.loc_expr)
        raise Unavailable(OPTIMIZED_OUT)

    def _parsed(self, expression: Any) -> list[Any]:
        operations: list[Any] = self._expressions.parse_expr(expression)
        return operations

    def _evaluated(
        self, operations: list[Any], die: Any, frame: Frame | None, read: Read
    ) -> tuple[int | None, int | None, int | None]:
        """(address, None, None), (None, register, None) or (None, None, number); raises Unavailable."""
        if not operations:
            raise Unavailable(OPTIMIZED_OUT)
        if len(operations) == 1 and (register := _register(operations[0])) is not None:
            return None, register, None
        stack: list[int] = []
        for op in operations:
            match op.op_name:
                case "DW_OP_stack_value":
                    return None, None, _signed(stack[-1])
                case "DW_OP_addr":
                    stack.append(op.args[0])
                case "DW_OP_addrx":
                    stack.append(self._info.dwarf.get_addr(die.cu, op.args[0]))
                case "DW_OP_fbreg":
                    stack.append(self._frame_base(die, frame) + op.args[0])
                case "DW_OP_deref":
                    stack.append(int.from_bytes(read(stack.pop(), POINTER_BYTES), "little"))
                case "DW_OP_plus_uconst":
                    stack.append(stack.pop() + op.args[0] & MASK64)
                case "DW_OP_consts" | "DW_OP_constu" | "DW_OP_const1u" | "DW_OP_const2u" | "DW_OP_const4u":
                    stack.append(op.args[0] & MASK64)
                case name if name.startswith("DW_OP_lit"):
                    stack.append(int(name.removeprefix("DW_OP_lit")))
                case name if name.startswith("DW_OP_breg"):
                    stack.append(_held(frame, int(name.removeprefix("DW_OP_breg"))) + op.args[0] & MASK64)
                case "DW_OP_plus":
                    stack.append(stack.pop() + stack.pop() & MASK64)
                case "DW_OP_minus":
                    right = stack.pop()
                    stack.append(stack.pop() - right & MASK64)
                case _:
                    raise Unavailable(OPTIMIZED_OUT)
        return stack[-1], None, None

    def _frame_base(self, die: Any, frame: Frame | None) -> int:
        while die.tag != "DW_TAG_subprogram":
            die = die.get_parent()
        register = _register(self._parsed(die.attributes["DW_AT_frame_base"].value)[0])
        if register is None:
            raise Unavailable(OPTIMIZED_OUT)
        return _held(frame, register)


def name_of(die: Any) -> str:
    """The name of a variable or function."""
    attribute = _origin(die).attributes.get("DW_AT_name")
    return os.fsdecode(attribute.value) if attribute is not None else ""


def _origin(die: Any) -> Any:
    """Where it was declared: an inlined call's variables refer to their function's."""
    while ORIGIN in die.attributes or "DW_AT_specification" in die.attributes:
        die = die.get_DIE_from_attribute(ORIGIN if ORIGIN in die.attributes else "DW_AT_specification")
    return die


def _register(op: Any) -> int | None:
    name = op.op_name.removeprefix("DW_OP_reg")
    if name.isdigit() and int(name) < 32:
        return int(name)
    return op.args[0] if op.op_name == "DW_OP_regx" and op.args[0] < 32 else None


def _held(frame: Frame | None, register: int) -> int:
    held = frame.registers[register] if frame is not None else None
    if held is None:
        raise Unavailable(OPTIMIZED_OUT)
    return held


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
