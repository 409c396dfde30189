"""Resolves a location to a program and addresses.

    LOCATION            of the selected program, see linespec.py; or a symbol of kernel/asm
    PROGRAM:LOCATION    of another program, which need not run: cat:main, cat:12, usertests:usertests.c:120
    FILE:LINE           where the selected program has no such source: of the program that has it

Called by the commands that take a location, and for pending breakpoints when a process runs another program.
"""

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from orrery.debugger.breakpoints import Breakpoint
from orrery.debugger.c.expressions import evaluate
from orrery.debugger.errors import Unavailable
from orrery.debugger.inline_calls import place_for
from orrery.debugger.linespec import FILE_FUNCTION, FILE_LINE, plain
from orrery.inspect.dwarf import DebugInfo
from toolchain import image
from toolchain.names import shown

if TYPE_CHECKING:
    from orrery.debugger.debugger import Debugger

OF_PROGRAM: Final = re.compile(r"(?P<program>[\w.+\udc80-\udcff-]+):(?P<rest>[A-Za-z_]\w*|\d+|[^:\s]+:\d+)$")
SOURCES: Final = (".c", ".h", ".S", ".s", ".py")

Resolved: TypeAlias = tuple[tuple[int, ...], DebugInfo | None]
"""Addresses, and their program; None: the kernel's."""


def split(text: str) -> tuple[str, str]:
    """The name of a program, if the location begins with one, and the rest."""
    found = OF_PROGRAM.match(text)
    if found is None or found["program"].endswith(SOURCES):
        return "", text
    return found["program"], found["rest"]


def resolve(debugger: "Debugger", text: str) -> Resolved:
    """What a location means now; raises Unavailable."""
    text = plain(text)
    if text.startswith("*"):
        return _address(debugger, text[1:])
    name, rest = split(text)
    if name:
        info = debugger.programs.named(name)
        if info is None:
            raise Unavailable(f'No program "{name}".')
        return _in_program(debugger, info, rest), info
    info = debugger.info
    if re.fullmatch(r"[+-]\d+", text):
        text = f"{_line_here(debugger) + int(text)}"
    if (found := FILE_LINE.match(text) or FILE_FUNCTION.match(text)) is not None:
        info = _with_source(debugger, info, found["file"])
        if info is None:
            raise Unavailable(f"No source file named {found['file']}." if found["file"] else "No program.")
        return _in_program(debugger, info, text), info
    for one in (info, debugger.programs.first):
        if one is not None and (addresses := debugger.locations(one).named(text)):
            return tuple(addresses), one
    if text in debugger.programs.symbols:
        return (debugger.programs.user_address(debugger.programs.symbols[text]),), None
    raise Unavailable(f'Function "{text}" not defined.')


def settle(debugger: "Debugger", one: Breakpoint, pid: int) -> None:
    """Give a pending breakpoint the place that it has in the program of process `pid`, if it has one."""
    name, rest = split(one.text)
    info = debugger.programs.find(pid)
    if info is None or name not in ("", debugger.programs.name(pid)):
        return
    try:
        addresses = _in_program(debugger, info, rest)
    except Unavailable:
        return
    place_in(debugger, one, (addresses, info))


def place_in(debugger: "Debugger", one: Breakpoint, resolved: Resolved) -> None:
    """Give a breakpoint its place."""
    one.addresses, one.info = resolved
    one.pending = False
    one.program = debugger.programs.of(one.info) if one.info is not None else ""
    place = None
    if one.info is not None:
        place = place_for(one.info, one.addresses[0], one.text.rpartition(":")[2])
    if place is not None:
        one.where = f"in {place.function} at {place.where}"
    else:
        one.where = debugger.name_at(one.addresses[0]).strip()


def _address(debugger: "Debugger", text: str) -> Resolved:
    info, address = debugger.info, evaluate(text, debugger).whole
    return (address,), info if info is not None and info.function(address) else None


def _in_program(debugger: "Debugger", info: DebugInfo, text: str) -> tuple[int, ...]:
    locations = debugger.locations(info)
    if (named := FILE_FUNCTION.match(text)) is not None:
        if inside := locations.in_file(named["file"], named["function"]):
            return tuple(inside)
        raise Unavailable(f'Function "{named["function"]}" not defined in "{named["file"]}".')
    found = FILE_LINE.match(text)
    if found is not None:
        file = found["file"] or debugger.source_of(info)
        return tuple(locations.at_line(file, int(found["line"]))[1])
    addresses = tuple(locations.named(text))
    if not addresses:
        raise Unavailable(f'Function "{text}" not defined in {shown(debugger.programs.of(info))}.')
    return addresses


def _line_here(debugger: "Debugger") -> int:
    place = debugger.frame.place
    if place is None:
        raise Unavailable("No line is known here.")
    return place.line


def _with_source(debugger: "Debugger", info: DebugInfo | None, file: str | None) -> DebugInfo | None:
    """The program that has a source: the one that is looked at, one that was met, or one of user/."""
    if file is None:
        return info
    met = [one for one in (info, *debugger.programs.known.values()) if one is not None]
    found = next((one for one in met if debugger.locations(one).has_source(file)), None)
    if found is not None:
        return found
    built = (name for name, sources in image.programs().items() if any(one.name == file for one in sources))
    name = next(built, None)
    return debugger.programs.named(name) if name is not None else info
