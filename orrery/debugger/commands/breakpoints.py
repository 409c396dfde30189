"""The breakpoint commands: break, tbreak, catch, delete, enable, condition and so on.

Each function takes the debugger and the rest of the command line, and returns text; it raises Unavailable.
"""

import re
from typing import Final

from kernel.abi.memlayout import PGSHIFT
from orrery.command import BadCommand
from orrery.debugger import python_code
from orrery.debugger.breakpoints import WATCHES, Breakpoint, BreakpointKind
from orrery.debugger.c.expressions import tree
from orrery.debugger.c.tree import Name, TypeName, parts
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.inline_calls import place_for
from orrery.debugger.linespec import plain
from orrery.debugger.python_code import PY_LINE
from orrery.debugger.resolver import place_in, resolve, split
from orrery.machine import events
from orrery.machine.events import EventKind
from orrery.timetravel.time_commands import WRITE, place_of

CONDITION: Final = re.compile(r"(?:^|\s+)if\s+(?P<condition>.+)$")


def break_(debugger: Debugger, argument: str, *, temporary: bool = False) -> str:
    """break [LOCATION] [if CONDITION]"""
    text, condition = conditional(argument)
    text = plain(text) or f"*{debugger.frame.pc:#x}"
    made = Breakpoint(BreakpointKind.BREAKPOINT, text, condition=condition, temporary=temporary)
    kind = "Temporary breakpoint" if temporary else "Breakpoint"
    if PY_LINE.match(text):
        return _in_python(debugger, made, [_python_line(text)])
    try:
        place_in(debugger, made, resolve(debugger, text))
        check_condition(debugger, made)
    except Unavailable as error:
        if made.addresses:
            raise
        if functions := python_code.named(text):
            return _in_python(debugger, made, functions)
        if not _may_come(debugger, text):
            raise
        made.pending = True
        debugger.breakpoints.add(made)
        return f"{error}\n{kind} {made.number} ({text}) pending until a program that has it is run.\n"
    debugger.breakpoints.add(made)
    first = made.addresses[0]
    if len(made.addresses) > 1:
        return f"{kind} {made.number} at {first:#x}: {text}. ({len(made.addresses)} locations)\n"
    place = place_for(made.info, first, text.rpartition(":")[2]) if made.info is not None else None
    line = f": file {place.file}, line {place.line}." if place is not None else ""
    return f"{kind} {made.number} at {first:#x}{line}\n"


def _in_python(debugger: Debugger, made: Breakpoint, functions: list[python_code.PythonFunction]) -> str:
    """Enter a breakpoint in the kernel's Python into the table."""
    made.lines = tuple((one.file, one.body) for one in functions)
    made.where = f"in {functions[0].name} at {functions[0].file}:{functions[0].body}"
    debugger.target.catch(made.kinds)  # raises ValueError for a condition that cannot be
    debugger.breakpoints.add(made)
    kind = "Temporary breakpoint" if made.temporary else "Breakpoint"
    if len(functions) > 1:
        where = ", ".join(f"{one.name} at {one.file}:{one.body}" for one in functions)
        return f"{kind} {made.number} at {made.text}: {where}. ({len(functions)} locations)\n"
    return f"{kind} {made.number} {made.where}.\n"


def _python_line(text: str) -> python_code.PythonFunction:
    found = PY_LINE.match(text)
    assert found is not None, "the caller has checked"
    function = python_code.at_line(found["file"], int(found["line"]))
    if function is None:
        raise Unavailable(f"No line {found['line']} with code in a file {found['file']} of the kernel.")
    return function


def _may_come(debugger: Debugger, text: str) -> bool:
    """Whether a location that there is not may be one of a program that is run later."""
    name, _ = split(text)
    if text.startswith("*") or (name and debugger.programs.named(name) is not None):
        return False
    pending = debugger.settings["breakpoint pending"]
    if pending == "auto":
        return bool(name) or debugger.programs.first is None
    return pending == "on"


def conditional(argument: str) -> tuple[str, str]:
    """What stands before `if`, and the condition behind it."""
    found = CONDITION.search(argument)
    return (argument[: found.start()].strip(), found["condition"]) if found else (argument.strip(), "")


def tbreak(debugger: Debugger, argument: str) -> str:
    """A breakpoint that goes when it is hit."""
    return break_(debugger, argument, temporary=True)


def catch(debugger: Debugger, argument: str) -> str:
    """Stop behind the gate in which something happens."""
    words = argument.split()
    if words[:1] == [WRITE]:
        return _catch_writes(debugger, words[1:], argument)
    kinds = events.named(words)  # raises ValueError for what there is not
    if len(kinds) != 1:
        raise Unavailable(f"catch what? There are {', '.join(events.KINDS)}, {WRITE}; and syscall NAME")
    (kind,) = kinds
    frame = kind.partition(":")[2] if kind.startswith(EventKind.FREE) else ""
    if frame and not debugger.target.read_physical(int(frame, 16) << PGSHIFT, 1):
        raise Unavailable(f"{words[1]}: no such page frame: there is no RAM")
    made = debugger.breakpoints.add(Breakpoint(BreakpointKind.CATCHPOINT, kind))
    return f"Catchpoint {made.number} ({argument.strip()})\n"


def _catch_writes(debugger: Debugger, words: list[str], text: str) -> str:
    """catch write PID ADDR [SIZE]: whoever stores there, the kernel too."""
    try:
        place = place_of(words)
    except BadCommand as error:
        raise Unavailable(str(error)) from None
    made = Breakpoint(
        BreakpointKind.WRITE_CATCHPOINT, text, addresses=(place.va,), pid=place.pid, size=place.size
    )
    return f"Catchpoint {debugger.breakpoints.add(made).number} ({text})\n"


def delete(debugger: Debugger, argument: str) -> str:
    """Delete some, or all."""
    argument = argument.removeprefix("breakpoints").strip()
    for number in _numbers(argument) if argument else [one.number for one in debugger.breakpoints.all]:
        if not debugger.breakpoints.delete(number):
            raise Unavailable(f"No breakpoint number {number}.")
    return ""


def enable(debugger: Debugger, argument: str) -> str:
    """Let some stop the machine again, or all."""
    return _switch(debugger, argument, on=True)


def disable(debugger: Debugger, argument: str) -> str:
    """Keep some, or all, but do not stop at them."""
    return _switch(debugger, argument, on=False)


def _switch(debugger: Debugger, argument: str, *, on: bool) -> str:
    for one in _chosen(debugger, argument):
        one.enabled = on
    debugger.breakpoints.arm()
    return ""


def ignore(debugger: Debugger, argument: str) -> str:
    """ignore N COUNT"""
    number, _, times = argument.partition(" ")
    if not times.strip().isdigit():
        raise Unavailable("Second argument (specified ignore-count) is missing.")
    (one,) = _chosen(debugger, number)
    one.ignore = int(times)
    if not one.ignore:
        return f"Will stop next time breakpoint {one.number} is reached.\n"
    crossings = f"next {one.ignore} crossings" if one.ignore > 1 else "next crossing"
    return f"Will ignore {crossings} of breakpoint {one.number}.\n"


def script(debugger: Debugger, argument: str) -> list[str]:
    """commands [N]: those of a breakpoint, or of the last, empty now."""
    if not argument and not debugger.breakpoints.all:
        raise Unavailable("No breakpoints specified.")
    (one,) = _chosen(debugger, argument or f"{debugger.breakpoints.all[-1].number}")
    one.commands.clear()
    return one.commands


def clear(debugger: Debugger, argument: str) -> str:
    """clear [LOCATION]: delete the breakpoints there."""
    addresses, info = resolve(debugger, argument or f"*{debugger.frame.pc:#x}")
    found = [
        one for one in debugger.breakpoints.all if one.info is info and set(one.addresses) & set(addresses)
    ]
    if not found:
        raise Unavailable(f"No breakpoint at {argument or 'this line'}.")
    for one in found:
        debugger.breakpoints.delete(one.number)
    numbers = " ".join(f"{one.number}" for one in found)
    return f"Deleted breakpoint{'s' if len(found) > 1 else ''} {numbers}\n"


def condition(debugger: Debugger, argument: str) -> str:
    """condition N [EXPRESSION]"""
    number, _, text = argument.partition(" ")
    if not number:
        raise Unavailable("Argument required (breakpoint number).")
    (one,) = _chosen(debugger, number)
    before, one.condition = one.condition, text.strip()
    try:
        check_condition(debugger, one)
        debugger.breakpoints.arm()
    except (ValueError, Unavailable):
        one.condition = before
        raise
    return "" if one.condition else f"Breakpoint {one.number} now unconditional.\n"


def check_condition(debugger: Debugger, one: Breakpoint) -> None:
    """That all names in the condition of a breakpoint mean something where it stops; raises Unavailable.

    A condition in the kernel's Python is looked at where its lines are, and one whose place is not known yet,
    later.
    """
    if not one.condition or one.lines or one.pending:
        return
    node = tree(one.condition, debugger)
    if isinstance(node, TypeName):
        raise Unavailable("Attempt to use a type name as an expression")
    for name in (part for part in parts(node) if isinstance(part, Name) and part.within is None):
        known = debugger.variables(one.info) if one.info is not None and one.addresses else None
        if known is None or not known.is_seen_at(name.name, one.addresses[0]):
            if (
                known is not None
                and known.types.constant(name.name) is None
                and not debugger.is_outside(name.name)
            ):
                raise Unavailable(f'No symbol "{name.name}" in current context.')
            if known is None:
                debugger.variable(name.name)


def table(debugger: Debugger, argument: str) -> str:
    """info breakpoints: all of them."""
    return _rows(debugger.breakpoints.all) or "No breakpoints or watchpoints.\n"


def watchpoints(debugger: Debugger, argument: str) -> str:
    """info watchpoints: those only."""
    found = [
        one
        for one in debugger.breakpoints.all
        if one.kind in WATCHES and one.kind != BreakpointKind.WRITE_CATCHPOINT
    ]
    return _rows(found) or "No watchpoints.\n"


def _rows(shown: list[Breakpoint]) -> str:
    """A table of these, with a title; empty for none."""
    if not shown:
        return ""
    lines = ["Num  Type             Disp Enb Address            What"]
    for one in shown:
        disposition, enabled = "del" if one.temporary else "keep", "y" if one.enabled else "n"
        address = (
            f"{one.addresses[0]:#018x}"
            if one.kind == BreakpointKind.BREAKPOINT and one.addresses
            else " " * 18
        )
        what = one.where if one.kind == BreakpointKind.BREAKPOINT else one.text
        if one.pending:
            address, what = f"{'<PENDING>':<18}", one.text
        lines.append(
            f"{one.number:<4} {one.kind:<16} {disposition:<4} {enabled:<3} {address} {what}".rstrip()
        )
        if one.condition:
            lines.append(f"\tstop only if {one.condition}")
        if one.ignore:
            lines.append(f"\tignore next {one.ignore} hits")
        lines += [f"        {line}" for line in one.commands]
        if one.hits:
            lines.append(f"\tbreakpoint already hit {one.hits} time{'s' if one.hits > 1 else ''}")
    return "\n".join(lines) + "\n"


def _chosen(debugger: Debugger, argument: str) -> list[Breakpoint]:
    if not argument:
        return debugger.breakpoints.all
    found = [debugger.breakpoints.find(number) for number in _numbers(argument)]
    if None in found:
        raise Unavailable(f"No breakpoint number {argument.split()[found.index(None)]}.")
    return [one for one in found if one is not None]


def _numbers(argument: str) -> list[int]:
    try:
        return [int(word) for word in argument.split()]
    except ValueError:
        raise Unavailable(f"Bad breakpoint number {argument!r}.") from None
