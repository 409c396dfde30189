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
        debugger.walk = TraceCursor(lines, outer, since, behind, kinds)
        return Stopped(StopKind.STEP, target.moment, behind.pid)
    return behind._replace(why=StopKind.STEP) if behind.why in (StopKind.PLACE, StopKind.EVENT) else behind


def entered_at_stop(debugger: "Debugger", stopped: Stopped, *, backwards: bool = False) -> Stopped | None:
    """From behind a gate in which there was a line, or from before it, be at that line.

    Where the user does not want that, what the machine has come to behind the gate, or None; if `backwards`
    None, and before the gate.
    """
    target = debugger.target
    assert stopped.since is not None, "a stop at a line in Python says where the gate began"
    debugger.unsaid += debugger.held  # of the walk before
    shown = target.take_output()
    target.goto(stopped.since)
    target.take_output()  # of the way there again
    entered = enter(debugger)
    debugger.held = target.take_output()  # it is shown when the walk is over
    debugger.unsaid += shown.removesuffix(debugger.held)
    walk = debugger.walk
    assert walk is not None, "where a line was met there are lines"
    if backwards:
        walk.to_end()
    stops = wanted(debugger)
    at_line = walk.line.wanted and stops(walk.line)
    if at_line or (walk.back if backwards else walk.forward)(to_stop=True, stops=stops):
        debugger.walked()
        return entered._replace(why=StopKind.EVENT)
    if not backwards:
        return leave(debugger)
    debugger.walk = None
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
    """Walk on, or back, by a line or to a stop; False where there is none."""
    walk = debugger.walk
    assert walk is not None, "there is a walk"
    debugger.stepper.judged = None
    refresh(debugger)
    go = walk.back if backwards else walk.forward
    if go(over=over, to_stop=to_stop, stops=wanted(debugger)):
        debugger.walked()
        return True
    return False


def refresh(debugger: "Debugger") -> None:
    """Record the lines of the walk again if there are other breakpoints now."""
    walk, target, kinds = debugger.walk, debugger.target, debugger.breakpoints.kinds
    if walk is None or walk.kinds == kinds:
        return
    target.goto(walk.since)
    target.take_output()
    walk.mark(target.trace()[1], kinds)
    debugger.held = target.take_output()


def leave(debugger: "Debugger") -> Stopped | None:
    """The walk is over; if the machine has come to something that the user wants behind the gate, that."""
    walk, debugger.walk = debugger.walk, None
    if walk is None or walk.behind.why not in (StopKind.PLACE, StopKind.EVENT):
        return None
    debugger.stepper.judged = debugger.breakpoints.judged(walk.behind)
    return walk.behind if debugger.stepper.judged is not None else None
