"""The data commands: print, x, display, set, and the info commands on memory and registers.

print/F EXPRESSION      F is one of x d u o t a c z s
x/NFU ADDRESS           N things, of format F (also i: instructions, s: strings), of unit U: b h w g
"""

import re
from collections.abc import Iterator
from typing import Final

from orrery.debugger.c.ctypes import DOUBLE, ULONG, CType, Field, TypeKind
from orrery.debugger.c.expressions import evaluate, tree, typed
from orrery.debugger.c.format import LETTERS as VALUE_LETTERS
from orrery.debugger.c.format import formatted, text_at
from orrery.debugger.c.tree import TypeName
from orrery.debugger.c.values import Value
from orrery.debugger.debugger import ABI_NAMES, Debugger
from orrery.debugger.disassembly import disassembled
from orrery.debugger.dwarf.location import OPTIMIZED_OUT
from orrery.debugger.errors import Unavailable
from orrery.debugger.frame_text import arguments_of, locals_of
from orrery.timetravel.registers import CSRS, NAMES

FORMAT: Final = re.compile(r"/(?P<count>-?\d*)(?P<letters>[a-z]*)(?:\s+|$)")
UNITS: Final = {"b": 1, "h": 2, "w": 4, "g": 8}
LETTERS: Final = f"{VALUE_LETTERS}i"
COUNT_MAX: Final = 10_000
BYTES_A_LINE: Final = 16
INSTRUCTION_BYTES_MAX: Final = 4
ADDRESS_MAX: Final = 1 << 64
NAMED: Final = {
    number: name for name, number in ABI_NAMES.items() if not name.startswith("x") and name != "fp"
}


def print_(debugger: Debugger, argument: str) -> str:
    """print[/F] EXPRESSION"""
    letter, text = _letter(argument)
    frame = debugger.frame if debugger.frames else None
    if frame is not None and text in (variables := dict(frame.python or ())):
        return f"{variables[text]}\n"
    if frame is not None and frame.python is not None and debugger.trace_cursor is not None and text:
        trace_cursor = debugger.trace_cursor
        return (
            f"{debugger.target.python_value(trace_cursor.since, *trace_cursor.place, debugger.level, text)}\n"
        )
    if not text:
        text = "$"
    return recorded(debugger, evaluate(text, debugger), letter)


def recorded(debugger: Debugger, value: Value, letter: str = "") -> str:
    """A value as it is shown, behind its number in the history, which it has from now on."""
    try:
        if value.type.kind != TypeKind.VOID:
            assert value.data is not None, "it is read now, for it is to stay as it is"
        text = debugger.show(value, letter)
    except Unavailable as error:
        if f"{error}" != OPTIMIZED_OUT:
            raise
        text = OPTIMIZED_OUT
    debugger.history.append(value)
    return f"${len(debugger.history)} = {text}\n"


def output(debugger: Debugger, argument: str) -> str:
    """output[/F] EXPRESSION: as print, bare"""
    letter, text = _letter(argument)
    return debugger.show(evaluate(text, debugger), letter)


def call(debugger: Debugger, argument: str) -> str:
    """call: refused where it is one."""
    return print_(debugger, argument)


def set_(debugger: Debugger, argument: str) -> str:
    """set [var] EXPRESSION, or set SETTING VALUE"""
    if debugger.settings.set(argument):
        return ""
    text = argument.removeprefix("variable ").removeprefix("var ")
    if not text.strip():
        raise Unavailable("set what? As in set var count = 3, or set $a0 = 1")
    evaluate(text, debugger)
    return ""


def show(debugger: Debugger, argument: str) -> str:
    """show [SETTING]"""
    return debugger.settings.show(argument)


def whatis(debugger: Debugger, argument: str) -> str:
    """The type of an expression."""
    node = tree(argument or "$", debugger)
    type_ = typed(node, debugger)
    return f"type = {((type_.resolved or type_) if isinstance(node, TypeName) else type_).name}\n"


def ptype(debugger: Debugger, argument: str) -> str:
    """A type with its members."""
    type_ = typed(tree(argument or "$", debugger), debugger)
    return f"type = {_expanded(type_.resolved or type_)}\n"


def _expanded(type_: CType, name: str = "", indent: str = "") -> str:
    """A declaration of a name, with the members or values of the struct or enum that is in its type."""
    inner, base = name, type_.resolved or type_
    while base.kind in (TypeKind.POINTER, TypeKind.ARRAY):
        target = base.of.resolved or base.of
        if base.kind == TypeKind.ARRAY:
            inner += f"[{base.count}]"
        else:
            inner = f"(*{inner})" if target.kind in (TypeKind.ARRAY, TypeKind.FUNCTION) else f"*{inner}"
        base = target
    if base.kind == TypeKind.ENUM:
        return f"{base.name} {{{', '.join(_values(base))}}} {inner}".rstrip()
    if base.kind not in (TypeKind.STRUCT, TypeKind.UNION):
        return base.spell(inner)
    head = base.name.removesuffix(" {...}")
    lines = (f"{indent}    {_member(field, indent + '    ')};\n" for field in base.fields)
    return f"{head} {{\n{''.join(lines)}{indent}}} {inner}".rstrip()


def _member(field: Field, indent: str) -> str:
    bits = f" : {field.bits[1]}" if field.bits is not None else ""
    if field.type.name.endswith("{...}"):
        return _expanded(field.type, field.name, indent)
    return f"{field.type.spell(field.name)}{bits}"


def _values(type_: CType) -> Iterator[str]:
    """The names of an enum's values, with those that do not follow on the one before."""
    expected = 0
    for number, name in type_.names:
        yield name if number == expected else f"{name} = {number}"
        expected = number + 1


def display(debugger: Debugger, argument: str) -> str:
    """display[/F] [EXPRESSION]"""
    if not argument:
        return "".join(show() for show in debugger.displays.values())
    letter, text = _letter(argument, "display", is_strings=True)
    form = f"/{letter} " if letter else ""
    number = max(debugger.displays, default=0) + 1

    def show() -> str:
        try:
            if letter in ("i", "s"):
                return f"{number}: x/{letter} {text}\n{examine(debugger, f'/{letter} {text}')}"
            return f"{number}: {form}{text} = {debugger.show(evaluate(text, debugger), letter)}\n"
        except (Unavailable, LookupError):
            return ""  # not to be seen from here

    evaluate(text, debugger)
    debugger.displays[number] = show
    debugger.displayed[number] = f"{form}{text}"
    return show()


def displayed(debugger: Debugger, argument: str) -> str:
    """info display"""
    if not debugger.displays:
        return "There are no auto-display expressions now.\n"
    lines = (f"{f'{number}:':<3}  y  {debugger.displayed[number]}\n" for number in debugger.displays)
    return "Auto-display expressions now in effect:\nNum Enb Expression\n" + "".join(lines)


def undisplay(debugger: Debugger, argument: str) -> str:
    """Show no more: some, or all."""
    argument = argument.removeprefix("display").strip()
    for number in map(int, argument.split()) if argument else list(debugger.displays):
        debugger.displays.pop(number, None)
    return ""


# --- memory ---


def examine(debugger: Debugger, argument: str) -> str:
    """x[/NFU] ADDRESS"""
    count, letter, unit, text = _format(argument, debugger)
    address = evaluate(text, debugger).whole if text else debugger.next_address
    debugger.examined = (letter, unit)
    if letter == "i":
        return "".join(f"{line}\n" for line in instructions(debugger, address, count))
    if letter == "s":
        return "".join(f"{line}\n" for line in _strings(debugger, address, count))
    data = debugger.read(address, count * unit)
    if len(data) < unit:
        raise Unavailable(f"Cannot access memory at address {address + len(data):#x}")
    debugger.next_address = address + len(data) // unit * unit
    lines = list(_units(debugger, data, address, letter, unit))
    if len(data) < count * unit:
        lines.append(f"Cannot access memory at address {address + len(data):#x}")
    return "\n".join(lines) + "\n"


def _units(debugger: Debugger, data: bytes, address: int, letter: str, unit: int) -> Iterator[str]:
    columns = 1 if letter == "a" else max(min(BYTES_A_LINE // unit, 8), 1)
    numbers = [int.from_bytes(data[i : i + unit], "little") for i in range(0, len(data) // unit * unit, unit)]
    for i in range(0, len(numbers), columns):
        at = address + i * unit
        shown = (
            formatted(one, unit, "z" if letter == "x" else letter, debugger.name_at)
            for one in numbers[i : i + columns]
        )
        yield f"{at:#x}{debugger.name_at(at)}:\t" + "\t".join(shown)


def _strings(debugger: Debugger, address: int, count: int) -> Iterator[str]:
    for _ in range(count):
        if not debugger.read(address, 1):
            yield f"Cannot access memory at address {address:#x}"
            return
        yield f"{address:#x}{debugger.name_at(address)}:\t{text_at(debugger.read, address)}"
        while (byte := debugger.read(address, 1)) and byte != b"\0":
            address += 1
        address += 1
    debugger.next_address = address


def instructions(debugger: Debugger, address: int, count: int, end: int = ADDRESS_MAX) -> Iterator[str]:
    """Lines of disassembly, `count` at most, up to address `end`; the one at pc is marked."""
    code = debugger.read(address, min(count * INSTRUCTION_BYTES_MAX, end - address))
    pc = debugger.frame.pc if debugger.frames else None
    listed = list(disassembled(code, address, debugger.name_at))[:count]
    if not listed:
        raise Unavailable(f"Cannot access memory at address {address:#x}")
    while (
        len(listed) > 1
        and end != ADDRESS_MAX
        and not any(code[listed[-1].address - address :][: listed[-1].size])
    ):
        listed.pop()  # padding behind a function
    for one in listed:
        mark = "=>" if one.address == pc else "  "
        yield f"{mark} {one.address:#x}{debugger.name_at(one.address)}:\t{one.text}"
    debugger.next_address = listed[-1].address + listed[-1].size


# --- registers and variables ---


def registers(debugger: Debugger, argument: str) -> str:
    """info registers [NAME]...: those that the last move has changed are marked."""
    if argument:
        return "".join(_register(debugger, name.removeprefix("$")) for name in argument.split())
    frame = debugger.frame if debugger.frames else None
    if frame is not None and frame.registers:
        lines = [_register(debugger, NAMED[i]) for i in range(32) if frame.registers[i] is not None]
        return "".join((*lines, _register(debugger, "pc")))
    return "".join(_register(debugger, NAMED[i]) for i in range(32)) + _register(debugger, "pc")


def all_registers(debugger: Debugger, argument: str) -> str:
    """info all-registers"""
    floating = (_register(debugger, f"f{i}") for i in range(32))
    return registers(debugger, "") + "".join(
        (*floating, *(_register(debugger, name) for name in (*CSRS, "priv")))
    )


def _register(debugger: Debugger, name: str) -> str:
    if not debugger.is_register(name):
        raise Unavailable(f"Invalid register `{name}'")
    held = debugger.register(name)
    value = int.from_bytes(held.data, "little")
    index = ABI_NAMES.get(name, NAMES.index(name) if name in NAMES else -1)
    mark = "*" if index in debugger.changed and not debugger.level else " "
    inside = name in ("pc", "ra")
    whole = held.type is not DOUBLE and not inside
    text = formatted(value, ULONG.size, "d") if whole else debugger.show(held) if not inside else ""
    text = debugger.name_at(value).strip() if inside else text
    return f"{name:<14}{mark} {value:#018x}  {text}\n"


def locals_(debugger: Debugger, argument: str) -> str:
    """info locals"""
    lines = [f"{name} = {text}\n" for name, text in locals_of(debugger, debugger.frame)]
    return "".join(lines) or "No locals.\n"


def args(debugger: Debugger, argument: str) -> str:
    """info args"""
    lines = [f"{name} = {text}\n" for name, text in arguments_of(debugger, debugger.frame)]
    return "".join(lines) or "No arguments.\n"


# --- formats ---


def _letter(argument: str, name: str = "print", *, is_strings: bool = False) -> tuple[str, str]:
    """The format letter in front, and the rest; `is_strings`: memory can be shown with it too."""
    found = FORMAT.match(argument)
    if found is None:
        return "", argument.strip()
    letters, command = found["letters"], f'"{name}" command'
    wrong = next((one for one in letters if one not in UNITS and one not in LETTERS), "")
    if wrong:
        raise Unavailable(f'Undefined output format "{wrong}".')
    if found["count"] not in ("", "1"):
        raise Unavailable(f"Item count other than 1 is meaningless in {command}.")
    if any(one in UNITS for one in letters):
        raise Unavailable(f"Size letters are meaningless in {command}.")
    if letters[-1:] == "i" and not is_strings:
        raise Unavailable(f'Format letter "i" is meaningless in {command}.')
    return letters[-1:], argument[found.end() :].strip()


def _format(argument: str, debugger: Debugger) -> tuple[int, str, int, str]:
    """Count, letter, unit and the rest of x's argument; what is not said is as it was the last time."""
    letter, unit = debugger.examined
    found = FORMAT.match(argument)
    if found is None:
        return 1, letter, unit, argument.strip()
    for one in found["letters"]:
        if one in UNITS:
            unit = UNITS[one]
        elif one in LETTERS:
            letter = one
            unit = {"a": 8, "c": 1}.get(one, unit)
        else:
            raise Unavailable(f"no format {one!r}; there are {' '.join(LETTERS)}, and {' '.join(UNITS)}")
    count = int(found["count"] or 1)
    if not 0 < count <= COUNT_MAX:
        raise Unavailable(f"{count} things: x shows from 1 to {COUNT_MAX}")
    return count, letter, unit, argument[found.end() :].strip()
