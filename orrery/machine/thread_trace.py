"""Has lines of functions traced that wait already: those of kernel threads that are switched away from.

A debugger has each function that is entered decide whether its lines are to be traced, and tells those that
run at the moment when a breakpoint is set.  A kernel thread that waits then is a greenlet, whose functions it
does not see; so their lines are traced whenever a greenlet goes on.  What a debugger is depends:

    a trace function (sys.settrace)    pdb, tracer.py, debugpy up to Python 3.11: each frame must have it
    a tool of sys.monitoring           debugpy from Python 3.12 on: each code object must have LINE events

Either is asked at each line then, and says whether to stop.  From Python 3.12 on, events come from code that
has been rewritten for them, and the interpreter rewrites it when it is entered, and when it is on the stack
as tracing begins.  Code that waits in a greenlet is neither; `trace_lines` has it rewritten.
"""

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Final

import greenlet

MONITORING: Final = getattr(sys, "monitoring", None)  # from Python 3.12 on
TOOL: Final = 4  # a number that stands for no kind of tool
NAME: Final = "orrery"


def follow() -> None:
    """Trace kernel threads from now on, in the calling thread of the host. Twice is as good as once."""
    greenlet.settrace(_switched)


def leave() -> None:
    """Undo `follow`: switches cost nothing more."""
    greenlet.settrace(None)


def trace_lines(frame: FrameType, trace: Callable[..., Any]) -> None:
    """Have the trace function `trace` called before the lines of a frame that goes on."""
    frame.f_trace = trace
    if MONITORING is not None:
        _rewrite(frame.f_code)


def _switched(event: str, pair: tuple[Any, Any]) -> None:
    """Called in the greenlet that goes on."""
    trace = sys.gettrace()
    monitored = MONITORING is not None and MONITORING.get_tool(MONITORING.DEBUGGER_ID) is not None
    if trace is None and not monitored:
        return
    for frame in _frames(sys._getframe().f_back):
        if trace is not None:
            trace_lines(frame, trace)
        if monitored:
            _monitor_lines(frame.f_code)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Those that go on, out to the main module: behind that is what runs it, such as the debugger."""
    while frame is not None:
        yield frame
        is_main = frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"
        frame = None if is_main else frame.f_back


def _monitor_lines(code: CodeType) -> None:
    """Have the debugger's tool told of this function's lines; it disables those that it does not want."""
    assert MONITORING is not None, "a tool of it traces"
    tool = MONITORING.DEBUGGER_ID
    wanted = MONITORING.get_local_events(tool, code) | MONITORING.events.LINE
    MONITORING.set_local_events(tool, code, wanted)
    _rewrite(code)


def _rewrite(code: CodeType) -> None:
    """Have the code of a function give the events that are wanted of it now, those too that were disabled.

    This is done where the set of events changes that somebody wants of it: a tool that has no callbacks wants
    PY_YIELD each second time.
    """
    assert MONITORING is not None, "it has no events before Python 3.12"
    if MONITORING.get_tool(TOOL) is None:
        MONITORING.use_tool_id(TOOL, NAME)
    assert MONITORING.get_tool(TOOL) == NAME, f"tool {TOOL} of sys.monitoring is {MONITORING.get_tool(TOOL)}"
    wanted = MONITORING.get_local_events(TOOL, code) ^ MONITORING.events.PY_YIELD
    MONITORING.set_local_events(TOOL, code, wanted)
