"""Where a variable is: the location expressions of DWARF, carried out for a frame.

Used by variables.py.  An operation that no compiler uses for C makes the variable one that is left out; so
does a list of locations without one for this address.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NamedTuple

from orrery.debugger.c.ctypes import POINTER_BYTES
from orrery.debugger.c.values import MASK64, Read
from orrery.debugger.errors import Unavailable
from orrery.debugger.frames import Frame
from orrery.inspect.code_unit import SUBPROGRAM
from orrery.inspect.dwarf import REGISTERS, DebugInfo
from orrery.inspect.entries import BadDebugInfo, Entry, read

OPTIMIZED_OUT: Final = "<optimized out>"
STACK_MAX: Final = 64
CONSTANTS: Final = frozenset(f"DW_OP_const{size}{sign}" for size in ("", "1", "2", "4", "8") for sign in "us")
DEREF_SIZES: Final = (1, 2, 4, 8)
BITS: Final = 64


class Location(NamedTuple):
    """An address, or a register, or the value itself."""

    address: int | None = None
    register: int | None = None
    number: int | None = None


class Locator:
    """Finds variables of the program `info`."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info

    def of_variable(self, entry: Entry, frame: Frame | None, memory: Read) -> Location:
        """Where a variable is, seen from `frame`; raises Unavailable or BadDebugInfo."""
        operations = self._operations(entry, frame)
        if len(operations) == 1 and (register := _register(operations[0])) is not None:
            return Location(register=register)
        machine = _Machine(self, entry, frame, memory)
        top = machine.run(operations)
        return Location(number=_signed(top)) if machine.is_value else Location(address=top)

    def number(self, entry: Entry, attribute: str, frame: Frame | None, memory: Read) -> int:
        """What an attribute is worth that is an expression; raises Unavailable or BadDebugInfo."""
        operations = self.parsed(entry.attributes[attribute].value)
        return _signed(_Machine(self, entry, frame, memory).run(operations))

    def frame_base(self, entry: Entry, frame: Frame | None) -> int:
        """The address that the function of a variable counts from; raises Unavailable or BadDebugInfo."""
        function: Entry | None = entry
        while function is not None and function.tag != SUBPROGRAM:
            function = function.parent
        base = function.attributes.get("DW_AT_frame_base") if function is not None else None
        operations = self.parsed(base.value) if base is not None else []
        register = _register(operations[0]) if operations else None
        if register is None:
            raise Unavailable(OPTIMIZED_OUT)
        return held(frame, register)

    def indexed(self, entry: Entry, index: int) -> int:
        """An address of the table of addresses; raises BadDebugInfo."""
        address: int = read("an address", lambda: self._info.dwarf.get_addr(entry.of.cu, index))
        return address

    def _operations(self, entry: Entry, frame: Frame | None) -> list[Any]:
        """Those that say where it is."""
        if "DW_AT_location" not in entry:
            raise Unavailable(OPTIMIZED_OUT)
        found = read("the location of a variable", lambda: self._locations(entry))
        if not isinstance(found, list):
            return self.parsed(found.loc_expr)
        base = entry.of.top.number("DW_AT_low_pc")
        for one in found:
            if not hasattr(one, "loc_expr"):
                base = getattr(one, "base_address", base)
                continue
            offset = 0 if one.is_absolute else base
            if frame is not None and one.begin_offset + offset <= frame.at < one.end_offset + offset:
                return self.parsed(one.loc_expr)
        raise Unavailable(OPTIMIZED_OUT)

    def _locations(self, entry: Entry) -> Any:
        from elftools.dwarf.locationlists import LocationParser

        attribute = entry.attributes["DW_AT_location"]
        parser = LocationParser(self._info.dwarf.location_lists())
        die: Any = _Die(entry)
        return parser.parse_from_attribute(attribute, entry.of.cu.header.version, die)

    def parsed(self, expression: Any) -> list[Any]:
        """The operations of an expression; raises BadDebugInfo."""
        if not isinstance(expression, list):
            raise BadDebugInfo("an expression is none")
        operations: list[Any] = read("an expression", lambda: self._parser.parse_expr(expression))
        return operations

    @cached_property
    def _parser(self) -> Any:
        from elftools.dwarf.dwarf_expr import DWARFExprParser

        return read("debug information", lambda: DWARFExprParser(self._info.dwarf.structs))


class _Die:
    """An entry as pyelftools wants it for a list of locations: it asks for the unit alone."""

    def __init__(self, entry: Entry) -> None:
        self.cu: Final = entry.of.cu


class _Machine:
    """The stack machine that carries out the operations of an expression."""

    def __init__(self, locator: Locator, entry: Entry, frame: Frame | None, memory: Read) -> None:
        self._locator: Final = locator
        self._entry: Final = entry
        self._frame: Final = frame
        self._memory: Final = memory
        self._stack: Final[list[int]] = []
        self.is_value = False  # what is left is no address, but the value itself

    def run(self, operations: list[Any]) -> int:
        """What is left on the stack; raises Unavailable or BadDebugInfo."""
        if not operations:
            raise Unavailable(OPTIMIZED_OUT)
        for one in operations:
            if one.op_name == "DW_OP_stack_value":
                self.is_value = True
                break
            self._do(one.op_name, one.args)
        return self._pop()

    def _do(self, name: str, args: list[Any]) -> None:
        number = args[0] if args and isinstance(args[0], int) else 0
        if name == "DW_OP_addr" or name in CONSTANTS:
            self._push(number)
        elif name == "DW_OP_addrx":
            self._push(self._locator.indexed(self._entry, number))
        elif name == "DW_OP_fbreg":
            self._push(self._locator.frame_base(self._entry, self._frame) + number)
        elif name.startswith("DW_OP_lit"):
            self._push(int(name.removeprefix("DW_OP_lit")))
        elif name == "DW_OP_bregx":
            self._push(held(self._frame, number) + (args[1] if len(args) > 1 else 0))
        elif name.startswith("DW_OP_breg"):
            self._push(held(self._frame, int(name.removeprefix("DW_OP_breg"))) + number)
        elif name == "DW_OP_plus_uconst":
            self._push(self._pop() + number)
        elif name in ("DW_OP_deref", "DW_OP_deref_size"):
            self._load(number if name == "DW_OP_deref_size" else POINTER_BYTES)
        elif name in BINARY:
            right, left = self._pop(), self._pop()
            self._push(BINARY[name](left, right))
        elif name in UNARY:
            self._push(UNARY[name](self._pop()))
        elif name == "DW_OP_dup":
            self._push(self._stack[-1] if self._stack else self._pop())
        elif name == "DW_OP_drop":
            self._pop()
        else:
            raise Unavailable(OPTIMIZED_OUT)

    def _load(self, size: int) -> None:
        address = self._pop()
        data = self._memory(address, size) if size in DEREF_SIZES else b""
        if len(data) < size or not data:
            raise Unavailable(f"Cannot access memory at address {address:#x}")
        self._push(int.from_bytes(data, "little"))

    def _push(self, number: int) -> None:
        if len(self._stack) == STACK_MAX:
            raise BadDebugInfo("an expression pushes without an end")
        self._stack.append(number & MASK64)

    def _pop(self) -> int:
        if not self._stack:
            raise BadDebugInfo("an expression takes what it did not push")
        return self._stack.pop()


def _shifted(number: int, by: int) -> int:
    return number << by if by < BITS else 0


BINARY: Final[dict[str, Callable[[int, int], int]]] = {
    "DW_OP_plus": lambda a, b: a + b,
    "DW_OP_minus": lambda a, b: a - b,
    "DW_OP_mul": lambda a, b: a * b,
    "DW_OP_and": lambda a, b: a & b,
    "DW_OP_or": lambda a, b: a | b,
    "DW_OP_xor": lambda a, b: a ^ b,
    "DW_OP_shl": _shifted,
    "DW_OP_shr": lambda a, b: a >> min(b, BITS),
    "DW_OP_shra": lambda a, b: _signed(a) >> min(b, BITS),
    "DW_OP_eq": lambda a, b: a == b,
    "DW_OP_ne": lambda a, b: a != b,
    "DW_OP_lt": lambda a, b: _signed(a) < _signed(b),
    "DW_OP_gt": lambda a, b: _signed(a) > _signed(b),
    "DW_OP_le": lambda a, b: _signed(a) <= _signed(b),
    "DW_OP_ge": lambda a, b: _signed(a) >= _signed(b),
}
UNARY: Final[dict[str, Callable[[int], int]]] = {
    "DW_OP_neg": lambda a: -a,
    "DW_OP_not": lambda a: ~a,
    "DW_OP_nop": lambda a: a,
}


def held(frame: Frame | None, register: int) -> int:
    """What a register holds in a frame; raises Unavailable."""
    value = frame.registers[register] if frame is not None and register < len(frame.registers) else None
    if value is None:
        raise Unavailable(OPTIMIZED_OUT)
    return value


def _register(op: Any) -> int | None:
    """The register that an operation names, if it names one."""
    name = op.op_name.removeprefix("DW_OP_reg")
    if name.isdigit() and int(name) < REGISTERS:
        return int(name)
    return op.args[0] if op.op_name == "DW_OP_regx" and op.args[0] < REGISTERS else None


def _signed(number: int) -> int:
    return number - (1 << BITS) if number >> BITS - 1 else number
