"""The source commands: list, disassemble, info line, info symbol and info source.

Each takes the debugger and the rest of the command line, and returns text; it raises Unavailable.
"""

import re

from orrery.debugger import python_code
from orrery.debugger.c.ctypes import TypeKind
from orrery.debugger.c.expressions import evaluate
from orrery.debugger.commands.data import instructions
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.linespec import plain
from orrery.debugger.resolver import resolve
from orrery.inspect.dwarf import DebugInfo


def list_(debugger: Debugger, argument: str) -> str:
    """list [LINE | FIRST,LAST | FUNCTION | FILE:LINE]"""
    place = debugger.frame.place if debugger.frames else None
    file, last = debugger.listed
    lines = int(debugger.settings["listsize"])
    if argument == "-" and file:
        if debugger.listed_first == 1:
            raise Unavailable(f"Already at the start of {file}.")
        last = debugger.listed_first - 1
        first = max(last - lines + 1, 1)
    elif argument:
        file, first, last = _lines(debugger, argument)
    elif file:
        first, last = last + 1, last + lines
    elif place is not None:
        file, first = place.file, max(place.line - lines // 2, 1)
        last = first + lines - 1
    else:
        file, first, last = _lines(debugger, "main")
    current = place.line if place is not None and place.file == file else 0
    shown = debugger.sources.extract(file, first, last, current)
    if not shown:
        count = len(debugger.sources.lines(file))
        raise Unavailable(
            f"Line number {first} out of range; {file} has {count} lines."
            if count
            else f"{file}: No such file."
        )
    debugger.listed, debugger.listed_first = (file, last), first
    return "\n".join(shown) + "\n"


def _lines(debugger: Debugger, text: str) -> tuple[str, int, int]:
    """The file, first and last line that a user means."""
    if (found := re.fullmatch(r"(.*?)(\d+)\s*,\s*(\d+)", text)) is not None:
        file = plain(f"{found[1]}0").rpartition(":")[0] or debugger.current_file
        return file, int(found[2]), int(found[3])
    text = plain(text)
    if (found := re.fullmatch(r"(?:([^:]+):)?(\d+)", text)) is not None:
        middle, file = int(found[2]), found[1] or debugger.current_file
        function = python_code.at_line(file, middle) if file.endswith(".py") else None
        file = function.file if function is not None else file
    elif functions := [] if _is_known(debugger, text) else python_code.named(text):
        middle, file = functions[0].first + int(debugger.settings["listsize"]) // 2, functions[0].file
    else:
        addresses, info = resolve(debugger, text)
        address = _of_function(info, text, addresses[0])
        place = next(iter((info or debugger.programs.kernel).places(address)), None)
        if place is None:
            raise Unavailable(f"No line is known for {text}.")
        middle, file = place.line, place.file
    lines = int(debugger.settings["listsize"])
    first = max(middle - lines // 2, 1)
    return file, first, first + lines - 1


def _is_known(debugger: Debugger, text: str) -> bool:
    try:
        resolve(debugger, text)
    except Unavailable:
        return False
    return True


def _of_function(info: DebugInfo | None, text: str, address: int) -> int:
    """An address, or the first one of the function if it is that which `text` names."""
    function = info.function(address) if info is not None else None
    return function.low if function is not None and text.endswith(function.name) else address


def source(debugger: Debugger, argument: str) -> str:
    """info source: the current file, and all that the program has."""
    info = debugger.info
    files = "".join(f"  {file}\n" for file in debugger.locations(info).files) if info is not None else ""
    return f"Current source file is {debugger.current_file}\nThe program's sources:\n{files}"


def line(debugger: Debugger, argument: str) -> str:
    """info line [LOCATION]: where its code is."""
    if argument:
        addresses, info = resolve(debugger, argument)
        addresses = (_of_function(info, argument, addresses[0]),)
    else:
        addresses, info = (debugger.frame.at,), debugger.frame.info
    place = next(iter(info.places(addresses[0])), None) if info is not None else None
    if info is None or place is None:
        raise Unavailable("No line number information available.")
    span = debugger.locations(info).span(place.file, place.line)
    begin, end = span if span is not None else (addresses[0], addresses[0])
    names = (f"{one:#x}{debugger.name_at(one)}" for one in (begin, end))
    return f'Line {place.line} of "{place.file}" starts at address {" and ends at ".join(names)}.\n'


def symbol(debugger: Debugger, argument: str) -> str:
    """info symbol ADDRESS: what is there."""
    value = evaluate(argument, debugger)
    address = value.address if value.address is not None and not value.type.is_scalar else value.whole
    name = debugger.name_at(address).strip(" <>")
    return f"{name or f'No symbol matches {argument}.'}\n"


def disassemble(debugger: Debugger, argument: str) -> str:
    """disassemble [FUNCTION | ADDRESS]: a function, the line at pc marked."""
    if argument:
        value = evaluate(argument, debugger)
        address = (
            value.address
            if value.type.kind == TypeKind.FUNCTION and value.address is not None
            else value.whole
        )
    elif debugger.frame.python is not None:
        raise Unavailable("This frame is Python; `up` leads to the program's")
    else:
        address = debugger.frame.pc
    info = debugger.info
    function = info.function(address) if info is not None else None
    if function is not None:
        low = function.low
    else:
        function = debugger.programs.kernel.function(debugger.programs.kernel_address(address))
        if function is None:
            raise Unavailable("No function contains specified address.")
        low = debugger.programs.user_address(function.low)
    size = function.high - function.low
    lines = "\n".join(instructions(debugger, low, size, low + size))
    return f"Dump of assembler code for function {function.name}:\n{lines}\nEnd of assembler dump.\n"
