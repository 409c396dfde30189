"""Going into the kernel's Python behind a gate, and stopping at lines there.

The machine passes a gate in one step, and the lines that run in it are recorded for trace_cursor.py.  Where
a stop at a line was met, the machine stands behind the gate: so it goes back to before the gate, passes it
again with a trace, and the cursor moves to the line.  Called by the commands that move the machine.
"""

from typing import TYPE_CHECKING

from orrery.debugger.frames import frames
from orrery.debugger.trace_cursor import Stops, TraceCursor
from orrery.timetravel.python_trace import PythonLine
from orrery.timetravel.stops import StopKind, Stopped

if TYPE_CHECKING:
    from orrery.debugger.debugger import Debugger


def enter(debugger: "Debugger") -> Stopped:
    """Pass the gate at which the machine stands, and select the first line that ran behind it."""
    target, breakpoints = debugger.target, debugger.breakpoints
    since, kinds = target.moment, breakpoints.kinds
    calls = frames(target, debugger.programs, target.current)
    outer = [frame for frame in calls if not frame.kernel]
    breakpoints.remember()
    behind, lines = target.trace()
    if any(not one.waits for one in lines):
        debugger.trace_cursor = TraceCursor(lines, outer, since, behind, kinds)
        return Stopped(StopKind.STEP, target.moment, behind.pid)
    return behind._replace(why=StopKind.STEP) if behind.why in (StopKind.PLACE, StopKind.EVENT) else behind


def entered_at_stop(debugger: "Debugger", stopped: Stopped, *, backwards: bool = False) -> Stopped | None:
    """From behind a gate in which there was a line, or from before it, be at that line.

    Where the user does not want that, what the machine has come to behind the gate, or None; if `backwards`
    None, and before the gate.
    """
    target = debugger.target
    assert stopped.since is not None, "a stop at a line in Python says where the gate began"
    debugger.unsaid += debugger.held  # of the trace before
    shown = target.take_output()
    target.goto(stopped.since)
    target.take_output()  # of the way there again
    entered = enter(debugger)
    debugger.held = target.take_output()  # shown when the trace is left
    debugger.unsaid += shown.removesuffix(debugger.held)
    trace_cursor = debugger.trace_cursor
    assert trace_cursor is not None, "where a line was met there are lines"
    if backwards:
        trace_cursor.to_end()
    stops = wanted(debugger)
    at_line = trace_cursor.line.wanted and stops(trace_cursor.line)
    if at_line or (trace_cursor.back if backwards else trace_cursor.forward)(to_stop=True, stops=stops):
        debugger.cursor_moved()
        return entered._replace(why=StopKind.EVENT)
    if not backwards:
        return leave(debugger)
    debugger.trace_cursor = None
    target.goto(stopped.since)
    return None


def wanted(debugger: "Debugger") -> Stops:
    """Whether the user wants to stop at a marked line; says so in the stepper."""

    def stops(line: PythonLine) -> bool:
        target = debugger.target
        for kind in line.wanted:
            judged = debugger.breakpoints.judged(Stopped(StopKind.EVENT, target.moment, target.current, kind))
            if judged is not None:
                debugger.stepper.judged = judged
                return True
        return False

    return stops


def on(debugger: "Debugger", *, backwards: bool = False, to_stop: bool = False, over: bool = False) -> bool:
    """Move on, or back, by a line or to a stop; False where there is none."""
    trace_cursor = debugger.trace_cursor
    assert trace_cursor is not None, "there is a walk"
    debugger.stepper.judged = None
    refresh(debugger)
    go = trace_cursor.back if backwards else trace_cursor.forward
    if go(over=over, to_stop=to_stop, stops=wanted(debugger)):
        debugger.cursor_moved()
        return True
    return False


def refresh(debugger: "Debugger") -> None:
    """Record the lines again if there are other breakpoints now."""
    trace_cursor, target, kinds = debugger.trace_cursor, debugger.target, debugger.breakpoints.kinds
    if trace_cursor is None or trace_cursor.kinds == kinds:
        return
    target.goto(trace_cursor.since)
    target.take_output()
    trace_cursor.mark(target.trace()[1], kinds)
    debugger.held = target.take_output()


def leave(debugger: "Debugger") -> Stopped | None:
    """Leave the trace; the stop that the machine has met behind the gate, if the user wants it."""
    trace_cursor, debugger.trace_cursor = debugger.trace_cursor, None
    if trace_cursor is None or trace_cursor.behind.why not in (StopKind.PLACE, StopKind.EVENT):
        return None
    debugger.stepper.judged = debugger.breakpoints.judged(trace_cursor.behind)
    return trace_cursor.behind if debugger.stepper.judged is not None else None
