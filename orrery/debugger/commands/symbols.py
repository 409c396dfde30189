"""Commands that list what a program has: info functions, variables, types, scope, address and frame."""

import re
from collections.abc import Iterable

from orrery.debugger import python_code
from orrery.debugger.c.ctypes import TypeKind
from orrery.debugger.commands.data import NAMED
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.frame_text import describe
from orrery.debugger.resolver import resolve
from orrery.inspect.dwarf import DebugInfo


def functions(debugger: Debugger, argument: str) -> str:
    """info functions [REGEX]: of the program, and of the kernel's Python where there is none."""
    pattern = _pattern(argument)
    info = debugger.info
    if info is None:
        found = [
            f"{one.file}:{one.body}:\t{one.name}"
            for one in python_code.functions()
            if pattern.search(one.name)
        ]
        return _told("functions of the kernel", argument, found)
    lines = []
    for one in info.functions:
        if pattern.search(one.name):
            place = next(iter(info.places(one.low)), None)
            lines.append(f"{one.low:#x}  {one.name}{f'  {place.where}' if place is not None else ''}")
    return _told("functions", argument, lines)


def variables(debugger: Debugger, argument: str) -> str:
    """info variables [REGEX]"""
    pattern, info = _pattern(argument), _info(debugger)
    named = sorted(info.objects.items(), key=lambda one: one[1])
    found = (f"{low:#x}  {name}  ({size} bytes)" for name, (low, size) in named if pattern.search(name))
    return _told("variables", argument, found)


def types(debugger: Debugger, argument: str) -> str:
    """info types [REGEX]"""
    pattern = _pattern(argument)
    known = debugger.variables(_info(debugger)).types.names
    return _told("types", argument, (name for name in known if pattern.search(name)))


def scope(debugger: Debugger, argument: str) -> str:
    """info scope LOCATION: the variables that are seen there."""
    addresses, info = resolve(debugger, argument or "*$pc")
    function = info.function(addresses[0]) if info is not None else None
    if info is None or function is None:
        raise Unavailable("No function contains specified address.")
    calls = info.inlined_calls(addresses[0]) if argument != function.name else []
    entry = next((one for one in calls if info.known(lambda one=one: one.name, "") == argument), None)  # type: ignore[misc]
    names = debugger.variables(info).names_in(entry or info.entry(function))
    lines = (f"Symbol {name} is {what}, {size} bytes." for name, what, size in names)
    return "\n".join(lines) + "\n" if names else f'Symbol table for "{argument}" has no local variables.\n'


def address(debugger: Debugger, argument: str) -> str:
    """info address SYMBOL"""
    value = debugger.variable(argument)
    if value.register is not None:
        return f'Symbol "{argument}" is a variable in ${NAMED[value.register]}.\n'
    if value.address is None:
        return f'Symbol "{argument}" is constant.\n'
    what = "a function" if value.type.kind == TypeKind.FUNCTION else "a variable"
    return f'Symbol "{argument}" is {what} at address {value.address:#x}.\n'


def frame(debugger: Debugger, argument: str) -> str:
    """info frame: all about the selected one."""
    one, level = debugger.frame, debugger.level
    if one.python is not None:
        return f"Stack level {level}, a function of the kernel's Python: {describe(debugger, one)}\n"
    caller = next((other for other in debugger.frames[level + 1 :] if other.sp != one.sp), None)
    text = f"Stack level {level}, frame at {caller.sp if caller is not None else one.sp:#x}:\n"
    text += f" pc = {one.pc:#x}{debugger.name_at(one.pc)}"
    text += f" in {describe(debugger, one)}\n" if one.place is not None else "\n"
    if caller is not None:
        text += f" called by frame at {caller.pc:#x}, which goes on with sp {caller.sp:#x}\n"
    known = (f"{NAMED[i]} {value:#x}" for i, value in enumerate(one.registers) if value is not None and i)
    return f"{text} registers: {', '.join(known)}\n"


def _info(debugger: Debugger) -> DebugInfo:
    info = debugger.info
    if info is None:
        raise Unavailable("No program is selected; `inferior PID` selects a process, `file NAME` a program.")
    return info


def _pattern(argument: str) -> "re.Pattern[str]":
    try:
        return re.compile(argument)
    except re.error as error:
        raise Unavailable(f"{argument!r} is no regular expression: {error}") from None


def _told(what: str, argument: str, lines: Iterable[str]) -> str:
    title = f'All {what} matching regular expression "{argument}":' if argument else f"All defined {what}:"
    return "\n".join((title, *lines)) + "\n"
