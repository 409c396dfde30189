"""Values of C: bytes with a type, perhaps with a place where they are, and how they are shown.

    {value = 30, name = "n", next = 0x5fd0}       a struct
    (struct node *) 0x5fd0                        a pointer, as the whole value
    0x2008 "text"                                 a pointer to text

Made by variables.py and expressions.py; shown by the commands print, display and info.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orrery.debugger.ctypes import CType, Field

TEXT_MAX: Final = 200  # of a string, and of elements of an array, so many are shown
REPEATS_MIN: Final = 10
ESCAPES: Final = {
    0: "\\000",
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    13: "\\r",
    27: "\\033",
    34: '\\"',
    92: "\\\\",
}

Read = Callable[[int, int], bytes]
"""Reads (address, count) bytes of memory; fewer where they are not mapped."""


class Unavailable(Exception):
    """What was asked for cannot be had; the text says why, for the person."""


@dataclass(frozen=True)
class Value:
    """`data` of a type; at `address` in memory, or in the register with this number, or in neither."""

    type: CType
    data: bytes
    address: int | None = None
    register: int | None = None

    @classmethod
    def of(cls, type_: CType, number: int | float) -> "Value":
        """A number as a value of this type."""
        if type_.kind == "float":
            return cls(type_, struct.pack("<d" if type_.size == 8 else "<f", number))
        if type_.kind == "bool":
            number = bool(number)
        size = type_.size or 1
        return cls(type_, (int(number) & (1 << 8 * size) - 1).to_bytes(size, "little"))

    @property
    def number(self) -> int | float:
        """The number that it is; the address, for an array."""
        if self.type.kind == "float":
            number: float = struct.unpack("<d" if self.type.size == 8 else "<f", self.data)[0]
            return number
        return self.whole

    @property
    def whole(self) -> int:
        """As a whole number."""
        if self.type.kind in ("array", "function"):
            if self.address is None:
                raise Unavailable("it is not in memory, so it has no address")
            return self.address
        if not self.type.is_scalar:
            raise Unavailable(f"a {self.type.name} is no number")
        if self.type.kind == "float":
            try:
                return int(self.number)
            except (OverflowError, ValueError):
                raise Unavailable(f"{self.number} is no whole number") from None
        return int.from_bytes(self.data, "little", signed=self.type.signed)

    def field(self, field: Field) -> "Value":
        """A member."""
        data = self.data[field.offset : field.offset + field.type.size]
        if field.bits is not None:
            low, count = field.bits
            bits = int.from_bytes(data, "little") >> low & (1 << count) - 1
            if field.type.signed and bits >> count - 1:
                bits -= 1 << count
            return Value.of(field.type, bits)
        return Value(field.type, data, None if self.address is None else self.address + field.offset)

    def element(self, index: int) -> "Value":
        """An element of an array whose bytes are here."""
        of = self.type.of
        data = self.data[index * of.size : (index + 1) * of.size]
        return Value(of, data, None if self.address is None else self.address + index * of.size)


def shown(value: Value, read: Read, name: Callable[[int], str], letter: str = "", *, top: bool = True) -> str:
    """The value as gdb has it; `name` says which code or data is at an address, `letter` is a format.

    `top`: it is the whole, not a part of another one.
    """
    type_ = value.type
    if letter == "s" and (type_.kind == "pointer" or type_.kind == "array"):
        letter = ""
    if type_.kind in ("struct", "union"):
        parts = (
            f"{f'{one.name} = ' * bool(one.name)}{shown(value.field(one), read, name, letter, top=False)}"
            for one in type_.fields
        )
        return "{" + ", ".join(parts) + "}"
    if type_.kind == "array":
        return _array(value, read, name, letter)
    if type_.kind == "void":
        return "void"
    if letter == "f":
        return _floating(float(value.number), value.data) if type_.kind == "float" else f"{value.whole}"
    if letter:
        return formatted(value.whole, type_.size, letter, name)
    return _scalar(value, read, name, top=top)


def _scalar(value: Value, read: Read, name: Callable[[int], str], *, top: bool) -> str:
    type_ = value.type
    if type_.kind == "float":
        return _floating(float(value.number), value.data)
    number = value.whole
    if type_.kind == "function":
        return f"{{{type_.name}}} {number:#x}{name(number)}"
    if type_.kind == "pointer":
        return _pointer(type_, number, read, name, top=top)
    if type_.kind == "enum":
        return dict(type_.names).get(number, f"{number}")
    if type_.kind == "bool":
        return "true" if number else "false"
    return f"{number} {quoted_character(number)}" if type_.is_character else f"{number}"


def _pointer(type_: CType, number: int, read: Read, name: Callable[[int], str], *, top: bool) -> str:
    of = type_.of
    if of.is_character:
        return f"{number:#x} {text_at(read, number)}" if number and read(number, 1) else f"{number:#x}"
    where = f"{number:#x}{name(number) if number or of.kind == 'function' else ''}"
    return f"({type_.name}) {where}" if top else where


def _array(value: Value, read: Read, name: Callable[[int], str], letter: str) -> str:
    count = value.type.count
    if value.type.of.is_character and not letter:
        return _text(value.data)
    parts: list[str] = []
    index = 0
    while index < count and len(parts) < TEXT_MAX:
        run = index + 1
        one = value.element(index)
        while run < count and value.element(run).data == one.data:
            run += 1
        text = shown(one, read, name, letter, top=False)
        if run - index >= REPEATS_MIN:
            parts.append(f"{text} <repeats {run - index} times>")
        else:
            parts += [text] * (run - index)
        index = run
    return "{" + ", ".join(parts) + ("..." if index < count else "") + "}"


def _text(data: bytes) -> str:
    """An array of characters: without the zeroes at its end."""
    bare = data.rstrip(b"\0")
    return quoted(bare[:TEXT_MAX]) + ("..." if len(bare) > TEXT_MAX else "")


def text_at(read: Read, address: int) -> str:
    """The string at an address, quoted."""
    data = read(address, TEXT_MAX + 1)
    bare = data.partition(b"\0")[0]
    return quoted(bare[:TEXT_MAX]) + ("..." if len(bare) > TEXT_MAX else "")


def quoted(data: bytes) -> str:
    """As a string of C."""
    return '"' + "".join(ESCAPES.get(byte) or _character(byte) for byte in data) + '"'


def quoted_character(number: int) -> str:
    """As a character of C."""
    byte = number & 0xFF
    if byte == ord("'"):
        return "'\\''"
    return f"'{ESCAPES[byte] if byte in ESCAPES and byte != 34 else _character(byte)}'"


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def formatted(number: int, size: int, letter: str, name: Callable[[int], str] = lambda va: "") -> str:
    """A number of `size` bytes in a format of gdb's: x d u o t a c z."""
    bits = number & (1 << 8 * size) - 1
    signed = bits - (1 << 8 * size) if bits >> 8 * size - 1 else bits
    match letter:
        case "d":
            return f"{signed}"
        case "u":
            return f"{bits}"
        case "o":
            return f"0{bits:o}" if bits else "0"
        case "t":
            return f"{bits:b}"
        case "z":
            return f"0x{bits:0{2 * size}x}"
        case "a":
            return f"{bits:#x}{name(bits)}"
        case "c":
            return f"{signed if size == 1 else bits} {quoted_character(bits)}"
        case "x":
            return f"{bits:#x}"
        case "f":
            return _as_float(bits, signed, size)
    raise Unavailable(f"no format {letter!r}; there are x d u o t a c z f, s and i")


def _as_float(bits: int, signed: int, size: int) -> str:
    if size not in (4, 8):
        return f"{signed}"
    (number,) = struct.unpack("<d" if size == 8 else "<f", bits.to_bytes(size, "little"))
    return _floating(number, bits.to_bytes(size, "little"))


def _floating(number: float, data: bytes) -> str:
    """A float or double, which `data` holds: as many digits as tell it from all others."""
    if number != number:  # no number: what it is made of
        bits, size = int.from_bytes(data, "little"), len(data)
        mantissa = bits & (1 << (52 if size == 8 else 23)) - 1
        return f"{'-' * (bits >> 8 * size - 1)}nan({mantissa:#x})"
    return f"{number:.17g}" if len(data) == 8 else f"{number:.9g}"
