"""Inline calls as a user sees them: calls like any other, though their code is part of the caller's.

As in gdb, at the first instruction of an inline call the user is still at the line that calls; so at one
moment the machine can be at two or more places for the user.  The calls that begin here and have not been
entered are `hidden`.  A step into one moves the user alone, and a step over one treats its code as part of
the calling line.  Used by stepper.py and reverse_step.py, and where a stop is reported.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from emu.cpu.hart import USER
from orrery.debugger.breakpoints import BreakpointKind
from orrery.inspect.code_unit import Function
from orrery.inspect.dwarf import DebugInfo, SourceLine
from orrery.inspect.entries import Entry

if TYPE_CHECKING:
    from orrery.debugger.breakpoints import Breakpoint
    from orrery.debugger.debugger import Debugger


class Spot(NamedTuple):
    """A place in a program: its function, and the line with the first address of its code.

    `stmt`: there a statement begins.  `within` are the inlined calls that the user is in, outermost first,
    and `hidden` says how many more begin here.
    """

    function: Function
    file: str
    line: int
    begin: int
    stmt: bool = True
    within: tuple[int, ...] = ()
    hidden: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells the line from others; the same line of two calls is two."""
        return self.function, self.within, self.file, self.line

    def is_within(self, other: "Spot") -> bool:
        """Whether this is in a call that was inlined into where `other` is."""
        longer = len(self.within) > len(other.within)
        return self.function == other.function and longer and self.within[: len(other.within)] == other.within

    def is_around(self, other: "Spot") -> bool:
        """Whether `other` is in a call that was inlined into where this is."""
        return other.is_within(self)


def spot(info: DebugInfo | None, pc: int, hidden: int | None, inside: tuple[int, ...] = ()) -> Spot | None:
    """Where an address is in a program, if a line is known.

    The innermost `hidden` calls are not gone into; None: those that begin there, but for who is `inside` of
    them.
    """
    function = info.function(pc) if info is not None else None
    if info is None or function is None:
        return None
    rows = [row for row in info.lines(function) if row.address <= pc]
    if not rows:
        return None
    row = rows[-1]
    calls = info.inlined_calls(pc)[::-1]
    count = _beginning(info, calls, pc, inside) if hidden is None else min(hidden, len(calls))
    within = tuple(one.offset for one in calls[: len(calls) - count])
    if not count:
        return Spot(function, row.file, row.line, row.address, row.stmt, within)
    place = info.places(pc)[count]
    return Spot(function, place.file, place.line, pc, True, within, count)


def _beginning(info: DebugInfo, calls: list[Entry], pc: int, inside: tuple[int, ...]) -> int:
    """How many of the calls, outermost first, begin at an address, as do all within them."""
    count = 0
    while count < len(calls) and info.low(calls[-1 - count]) == pc:
        level = len(calls) - count
        if tuple(one.offset for one in calls[:level]) == inside[:level]:
            break
        count += 1
    return count


def calling(info: DebugInfo | None, pc: int, outer: Spot) -> Spot | None:
    """Where an address is for who steps over all calls in `outer`: their code is a part of the line that
    calls.
    """
    here = spot(info, pc, None, outer.within)
    if info is None or here is None or not here.is_within(outer):
        return here
    places = info.places(pc)
    place = places[len(places) - 1 - len(outer.within)]
    return Spot(here.function, place.file, place.line, -1, False, outer.within)


def place_for(info: DebugInfo, pc: int, text: str) -> SourceLine | None:
    """The place of an address for a location that leads there: of the inlined call that is asked for by its
    name, or of where it is called."""
    places = info.places(pc)
    named = (one for one in places if one.inlined and one.function == text)
    here = spot(info, pc, None)
    return next(named, places[here.hidden] if here is not None and places else None)


def hidden_at(debugger: "Debugger") -> int:
    """How many calls are hidden where the machine stands now: as the last step has left it, or all that
    begin.
    """
    target = debugger.target
    moment = target.moment
    if debugger.trace_cursor is not None or moment.priv != USER or target.current != debugger.pid:
        return 0
    known = debugger.stepper.hidden
    if known is not None and known[0] == moment:
        return known[1]
    here = spot(debugger.programs.find(debugger.pid), moment.pc, None)
    return here.hidden if here is not None else 0


def show_breakpoint(debugger: "Debugger", one: "Breakpoint") -> None:
    """Be in the call that a breakpoint is about, where several begin at its address."""
    if not debugger.hidden or one.kind != BreakpointKind.BREAKPOINT:
        return
    info, pc = debugger.programs.find(debugger.pid), debugger.target.moment.pc
    asked = one.text.rpartition(":")[2]
    for hidden, place in enumerate(info.places(pc)[: debugger.hidden] if info is not None else ()):
        if asked == place.function or asked == f"{place.line}" or one.text.startswith("*"):
            debugger.hidden = hidden
            return
