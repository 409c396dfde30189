"""Printing C values: as gdb does, but for zeroes at the end of a string and the names of null pointers.

    {value = 30, name = "n", next = 0x5fd0}       a struct
    (struct node *) 0x5fd0                        a pointer, as the whole value
    0x2008 "text"                                 a pointer to text

Used by the commands print, x, display and info.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

from orrery.debugger.c import floats
from orrery.debugger.c.ctypes import CType, TypeKind
from orrery.debugger.c.values import BITS, Read, Value
from orrery.debugger.errors import Unavailable

TEXT_MAX: Final = 200  # of a string, and of elements of an array, so many are shown
REPEATS_MIN: Final = 10
LEVELS_MAX: Final = 20  # of structs in structs
LETTERS: Final = "xduotaczfsr"  # what a value can be shown as
RAW: Final = "r"
ESCAPES: Final = {
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
    27: "\\033",
    34: '\\"',
    92: "\\\\",
}

Name = Callable[[int], str]


def shown(value: Value, read: Read, name: Name, letter: str = "", *, top: bool = True, level: int = 0) -> str:
    """The value as gdb has it; `name` says which code or data is at an address, `letter` is a format.

    `top`: it is the whole, not a part of another one.  Raises Unavailable.
    """
    type_ = value.type
    if letter == RAW or (letter == "s" and not _is_bytes(type_)):
        letter = ""
    if type_.kind in (TypeKind.STRUCT, TypeKind.UNION):
        if level == LEVELS_MAX:
            return "{...}"
        parts = (
            f"{f'{one.name} = ' * bool(one.name)}"
            f"{shown(value.field(one), read, name, letter, top=False, level=level + 1)}"
            for one in type_.fields
        )
        return "{" + ", ".join(parts) + "}"
    if type_.kind == TypeKind.ARRAY:
        return _array(value, read, name, letter, level)
    if type_.kind == TypeKind.VOID:
        return "void"
    if type_.kind == TypeKind.UNKNOWN:
        return f"<a {type_.name} has a size that no compiler gives it>"
    if type_.kind == TypeKind.COMPLEX:
        half = value.type.size // 2
        real, imaginary = floats.text(value.data[:half]), floats.text(value.data[half:])
        return f"{real} + {imaginary}i"
    return _formatted(value, letter, name) if letter else _scalar(value, read, name, top=top)


def _is_bytes(type_: CType) -> bool:
    """Whether /s means something for a value: a text by another name."""
    return type_.is_whole and type_.size == 1


def _formatted(value: Value, letter: str, name: Name) -> str:
    """A number in a format."""
    type_ = value.type
    if letter == "s":
        return quoted(value.data)
    if type_.kind == TypeKind.FLOAT:
        if letter == "f":
            return floats.text(value.data)
        if letter in "ca":  # of the number, and not of its bytes
            return formatted(value.whole, 1 if letter == "c" else 8, letter, name, signed=letter == "c")
        return formatted(int.from_bytes(value.data, "little"), type_.size, letter, name)
    if letter == "f" and type_.size not in floats.FORMATS:
        return f"{value.whole}"
    if type_.kind in (TypeKind.ARRAY, TypeKind.FUNCTION):
        return formatted(value.whole, 8, letter, name)
    return formatted(value.whole, type_.size, letter, name, signed=type_.signed)


def _scalar(value: Value, read: Read, name: Name, *, top: bool) -> str:
    type_ = value.type
    if type_.kind == TypeKind.FLOAT:
        return floats.text(value.data)
    number = value.whole
    if type_.kind == TypeKind.FUNCTION:
        return f"{{{type_.name}}} {number:#x}{name(number)}"
    if type_.kind == TypeKind.POINTER:
        return _pointer(type_, number, read, name, top=top)
    if type_.kind == TypeKind.ENUM:
        return _enum(type_, number)
    if type_.kind == TypeKind.BOOL:
        return {0: "false", 1: "true"}.get(number, f"{number}")
    return f"{number} {quoted_character(number)}" if type_.is_character else f"{number}"


def _enum(type_: CType, number: int) -> str:
    """The name of a value; or names, where each is a bit of its own."""
    names = dict(reversed(type_.names))
    if number in names:
        return names[number]
    if not number or not _are_flags([value for value, _ in type_.names]):
        return f"{number}"
    known = [(value, name) for value, name in type_.names if value & number == value and value]
    rest = number
    for value, _ in known:
        rest &= ~value
    parts = [name for _, name in known]
    parts += [f"unknown: {rest:#x}"] if rest else []
    return f"({' | '.join(parts)})"


def _are_flags(values: list[int]) -> bool:
    """Whether no two have a bit in common, and each is of bits next to each other."""
    seen = 0
    for value in values:
        lowest = value & -value
        if value < 0 or value & seen or value & value + lowest:
            return False
        seen |= value
    return True


def _pointer(type_: CType, number: int, read: Read, name: Name, *, top: bool) -> str:
    of = type_.of
    if of.is_character:
        return f"{number:#x} {text_at(read, number)}" if number else f"{number:#x}"
    where = f"{number:#x}{name(number) if number or of.kind == TypeKind.FUNCTION else ''}"
    return f"({type_.name}) {where}" if top else where


def _array(value: Value, read: Read, name: Name, letter: str, level: int) -> str:
    of = value.type.of
    if (of.is_character and letter in ("", "s")) or (letter == "s" and _is_bytes(of)):
        return _text(value.data)
    count, size, data = value.type.count, max(of.size, 1), value.data
    parts: list[str] = []
    index = 0
    while index < count and len(parts) < TEXT_MAX:
        run = index + 1
        one = data[index * size : (index + 1) * size]
        while run < count and data[run * size : (run + 1) * size] == one:
            run += 1
        text = shown(value.element(index), read, name, letter, top=False, level=level)
        if run - index >= REPEATS_MIN:
            parts.append(f"{text} <repeats {run - index} times>")
        else:
            parts += [text] * (run - index)
        index = run
    return "{" + ", ".join(parts) + ("..." if index < count else "") + "}"


def _text(data: bytes) -> str:
    """An array of characters: without the zeroes at its end."""
    return _limited(data.rstrip(b"\0"))


def text_at(read: Read, address: int) -> str:
    """The string at an address, quoted; or why it cannot be read."""
    data = read(address, TEXT_MAX + 1)
    if not data:
        return f"<error: Cannot access memory at address {address:#x}>"
    return _limited(data.partition(b"\0")[0])


def _limited(data: bytes) -> str:
    """A string, of which not more is shown than anybody reads."""
    pieces, begun = [], b""
    for byte, group in groupby(data[:TEXT_MAX]):
        count = len(list(group))
        if count > REPEATS_MIN:
            pieces += [quoted(begun)] if begun else []
            pieces.append(f"{quoted_character(byte)} <repeats {count} times>")
            begun = b""
        else:
            begun += bytes((byte,)) * count
    pieces += [quoted(begun)] if begun or not pieces else []
    return ", ".join(pieces) + ("..." if len(data) > TEXT_MAX else "")


def quoted(data: bytes) -> str:
    """As a string of C."""
    return '"' + "".join(_in_text(data)) + '"'


def _in_text(data: bytes) -> Iterator[str]:
    return (ESCAPES.get(byte) or _character(byte) for byte in data)


def quoted_character(number: int) -> str:
    """As a character of C."""
    byte = number & 0xFF
    if byte == ord("'"):
        return "'\\''"
    return f"'{ESCAPES[byte] if byte in ESCAPES and byte != 34 else _character(byte)}'"


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def formatted(number: int, size: int, letter: str, name: Name = lambda va: "", *, signed: bool = True) -> str:
    """A number of `size` bytes in a format of gdb's: x d u o t a c z f."""
    bits = number & (1 << BITS * size) - 1
    below_zero = bits - (1 << BITS * size) if bits >> BITS * size - 1 else bits
    match letter:
        case "d":
            return f"{below_zero}"
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
            byte = bits & 0xFF
            return f"{byte - 256 if signed and byte >> 7 else byte} {quoted_character(byte)}"
        case "x":
            return f"{bits:#x}"
        case "f":
            is_float = size in floats.FORMATS
            return floats.text(bits.to_bytes(size, "little")) if is_float else f"{below_zero}"
    raise Unavailable(f'Undefined output format "{letter}".')
