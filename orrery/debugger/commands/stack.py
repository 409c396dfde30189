"""The stack commands: backtrace, frame, up and down.

Each takes the debugger and the rest of the command line, and returns text; it raises Unavailable.
"""

from itertools import pairwise

from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.frame_text import describe, line_of, locals_of
from orrery.debugger.frames import Frame


def backtrace(debugger: Debugger, argument: str) -> str:
    """backtrace [full] [N | -N]: all calls, the innermost N or the outermost, with their variables."""
    words = argument.removeprefix("-").split()
    full = "full" in words
    count = next((int(word) for word in words if word.lstrip("-").isdigit()), 0)
    frames = list(enumerate(debugger.frames))
    shown = frames[:count] if count > 0 else frames[count:]
    lines = []
    for level, one in shown:
        lines.append(f"#{level:<3}{_address(debugger, one)}{describe(debugger, one)}")
        if full:
            lines += [f"        {name} = {text}" for name, text in locals_of(debugger, one)] or ["No locals."]
    if 0 < count < len(frames):
        lines.append("(More stack frames follow...)")
    return "\n".join(lines or ["No stack."]) + "\n"


def _address(debugger: Debugger, frame: Frame) -> str:
    """Where in its line a caller is, as gdb shows it."""
    if frame.python is not None or (frame.place is not None and frame is debugger.frames[0]):
        return ""
    called = (inner for inner, one in pairwise(debugger.frames) if one is frame)
    if any(inner.depth and inner.info is frame.info for inner in called):
        return ""  # it called what is inlined, and there is no instruction that does
    return f"{frame.pc:#018x} in "


def frame(debugger: Debugger, argument: str) -> str:
    """frame [N]: select one."""
    if argument:
        try:
            debugger.level = int(argument)
        except ValueError:
            raise Unavailable(f"{argument!r} is no number of a frame") from None
    chosen = debugger.frame
    debugger.listed = ("", 0)
    where = f"{_address(debugger, chosen)}{describe(debugger, chosen)}"
    return f"#{debugger.level:<3}{where}\n{line_of(debugger, chosen)}\n"


def up(debugger: Debugger, argument: str) -> str:
    """To the caller."""
    return _by(debugger, _number(argument), "Initial frame selected; you can't go up.")


def down(debugger: Debugger, argument: str) -> str:
    """To the one that is called."""
    return _by(debugger, -_number(argument), "Bottom (innermost) frame selected; you can't go down.")


def _number(argument: str) -> int:
    """How many frames; raises Unavailable."""
    try:
        return int(argument or "1", 0)
    except ValueError:
        raise Unavailable(f"{argument!r} is no number of frames") from None


def _by(debugger: Debugger, by: int, end: str) -> str:
    wanted = min(max(debugger.level + by, 0), len(debugger.frames) - 1)
    if wanted == debugger.level:
        raise Unavailable(end)
    return frame(debugger, str(wanted))
