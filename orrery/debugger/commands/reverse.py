"""The reverse commands, and those that name moments: when, goto, checkpoint, restart.

Reverse steps by line are in reverse_step.py.
"""

from orrery.command import BadCommand
from orrery.debugger import gates
from orrery.debugger.commands.execution import OVER, count, position, printed, report
from orrery.debugger.debugger import Activation, Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.reverse_step import line_back, resume_back, to_call
from orrery.machine.python_breakpoints import is_kind
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.time_commands import (
    TimeCommands,
    goal_of,
    mark,
    marked,
    marks_text,
    time_text,
)


def continue_(debugger: Debugger, argument: str) -> str:
    """Back to the last stop."""
    breakpoints, stepper, target = debugger.breakpoints, debugger.stepper, debugger.target
    if (trace_cursor := debugger.trace_cursor) is not None:
        if gates.on(debugger, backwards=True, to_stop=True):
            return report(debugger, Stopped(StopKind.EVENT, target.moment, debugger.pid))
        debugger.trace_cursor = None
        target.goto(trace_cursor.since)
        gate = Stopped(StopKind.PLACE, target.moment, target.current)
        stepper.judged = breakpoints.judged(gate)
        if stepper.judged is not None:
            return _back(debugger, gate)
    breakpoints.remember()
    breakpoints.arm(backwards=True)
    while True:
        stopped: Stopped | None = resume_back(debugger)
        if stopped is not None and is_kind(stopped.detail):
            stopped = gates.entered_at_stop(debugger, stopped, backwards=True)
        elif stopped is not None:
            stepper.judged = breakpoints.judged(stopped)
        if stopped is not None and (
            stopped.why not in (StopKind.PLACE, StopKind.EVENT) or stepper.judged is not None
        ):
            return _back(debugger, stopped)


def stepi(debugger: Debugger, argument: str) -> str:
    """Back by one instruction, trap or gate."""
    debugger.trace_cursor, debugger.stepper.judged = None, None
    before = debugger.activation
    stopped = debugger.target.reverse_step(count(argument))
    return _back(debugger, stopped, before=before)


def step(debugger: Debugger, argument: str) -> str:
    """Back to another line, in functions that were called too."""
    return _repeated(debugger, argument, over=False)


def next_(debugger: Debugger, argument: str) -> str:
    """Back to another line, over calls."""
    return _repeated(debugger, argument, over=True)


def finish(debugger: Debugger, argument: str) -> str:
    """Back to the call of the function."""
    frame = debugger.frame
    if frame.kernel or frame.function is None or len(debugger.frames) < 2:
        raise Unavailable('"reverse-finish" is for a function of the program that has a caller.')
    debugger.trace_cursor = None
    stopped = to_call(debugger, frame.function.low, debugger.frames[debugger.level + 1].sp)
    return _back(debugger, stopped)


def _repeated(debugger: Debugger, argument: str, *, over: bool) -> str:
    debugger.stepper.judged = None
    before = debugger.activation
    stopped = Stopped(StopKind.STEP, debugger.target.moment, debugger.pid)
    for _ in range(count(argument)):
        if debugger.trace_cursor is not None and gates.on(debugger, backwards=True, over=over):
            if debugger.stepper.judged is not None:
                stopped = Stopped(StopKind.EVENT, debugger.target.moment, debugger.pid)
                break
            continue
        debugger.trace_cursor = None
        stopped = line_back(debugger, over=over)
        if stopped.why != StopKind.STEP:
            break
    return _back(debugger, stopped, before=before)


def _back(debugger: Debugger, stopped: Stopped, *, before: Activation | None = None) -> str:
    """Where the machine stands now; nothing of what the console has shown on the way."""
    debugger.target.take_output()
    debugger.unsaid, debugger.held = b"", b""
    return report(debugger, stopped, before=before)


# --- moments ---


def when(debugger: Debugger, argument: str) -> str:
    """The time of this moment."""
    return f"{time_text(debugger.target.moment)}\n"


def goto(debugger: Debugger, argument: str) -> str:
    """goto TIME: ticks, or with a unit: s, ms, us, ns; start; end, the newest moment."""
    try:
        goal = goal_of(debugger.target, argument)
    except BadCommand as error:
        raise Unavailable(str(error)) from None
    return _moved(debugger, debugger.target.goto(goal))


def checkpoint(debugger: Debugger, argument: str) -> str:
    """Give this moment a number."""
    return f"Checkpoint {mark(debugger.moments, debugger.target.moment)}\n"


def restart(debugger: Debugger, argument: str) -> str:
    """restart N: to a checkpoint."""
    try:
        goal = marked(debugger.moments, argument)
    except BadCommand:
        goal = None
    if goal is None:
        raise Unavailable(f"No checkpoint {argument}; `info checkpoints` lists them.")
    return _moved(debugger, debugger.target.goto(goal))


def checkpoints(debugger: Debugger, argument: str) -> str:
    """info checkpoints"""
    return marks_text(debugger.moments) or "No checkpoints.\n"


def steered(debugger: Debugger, line: str) -> str | None:
    """The answer of a time command, and where the machine is then; None where `line` is none."""
    target, commands = debugger.target, TimeCommands(debugger.target, debugger.moments)
    onwards = line.startswith("next")
    show = target.on_slice
    if not onwards:  # what the console shows when the machine comes here again has been shown before
        target.on_slice = debugger.stepper.look_up
    try:
        said = commands.execute(line)
    finally:
        target.on_slice = show
    if said is None or commands.moved is None:
        return said
    debugger.trace_cursor, debugger.stepper.judged = None, None
    shown = printed(debugger) if onwards else ""
    target.take_output()
    debugger.unsaid, debugger.held = b"", b""
    debugger.ended = commands.moved.why in OVER
    debugger.moved(commands.moved.pid)
    return shown + said + position(debugger, changed=True)


def _moved(debugger: Debugger, stopped: Stopped) -> str:
    debugger.trace_cursor, debugger.stepper.judged = None, None
    if stopped.why in (StopKind.LIMIT, StopKind.STEP):
        debugger.moved(stopped.pid)
        debugger.target.take_output()
        return position(debugger, changed=True)
    return _back(debugger, stopped)
