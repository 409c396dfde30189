"""A frame as text: its function and arguments, its location, its variables, its source line.

Used by the commands that show where the machine is.  It shows the current moment and changes nothing; a
value that cannot be read is reported as such in its place.
"""

from typing import TYPE_CHECKING

from orrery.debugger.c.ctypes import TypeKind
from orrery.debugger.c.format import shown
from orrery.debugger.errors import Unavailable
from orrery.debugger.frames import Frame
from orrery.inspect.entries import Entry

if TYPE_CHECKING:
    from orrery.debugger.debugger import Debugger


def describe(debugger: "Debugger", frame: Frame) -> str:
    """A frame as text: function, arguments, location."""
    if frame.python is not None and frame.place is not None:
        return f"{frame.name} at {frame.place.where}"
    where = f" at {frame.place.where}" if frame.place is not None else ""
    offset = ""
    if frame.function is not None and frame.place is None:
        offset = f"+{frame.at - frame.function.low}"
    told = "" if frame.kernel else f" ({arguments(debugger, frame)})"
    gate = ", the gate of the kernel's Python" if frame.pc in debugger.programs.gates else ""
    return f"{frame.name}{offset}{told}{where}{gate}"


def line_of(debugger: "Debugger", frame: Frame) -> str:
    """The source line that the frame is at, or its address."""
    if frame.place is None or not frame.place.line:
        return f"{frame.pc:#x}{debugger.name_at(frame.pc)}"
    return debugger.sources.line(frame.place.file, frame.place.line)


def arguments(debugger: "Debugger", frame: Frame) -> str:
    """`name=value, ...` of a frame's function."""
    if frame.info is None or frame.kernel:
        return ""
    found = debugger.variables(frame.info).parameters(frame)
    return ", ".join(f"{name}={_told(debugger, frame, entry)}" for name, entry in found)


def arguments_of(debugger: "Debugger", frame: Frame) -> list[tuple[str, str]]:
    """Names and values of the arguments of a frame's function, whole."""
    if frame.info is None or frame.kernel:
        return []
    found = debugger.variables(frame.info).parameters(frame)
    return [(name, _told(debugger, frame, entry, whole=True)) for name, entry in found]


def locals_of(debugger: "Debugger", frame: Frame) -> list[tuple[str, str]]:
    """Names and values of a frame's variables."""
    if frame.python is not None:
        return list(frame.python)
    if frame.info is None or frame.kernel:
        return []
    found = debugger.variables(frame.info).locals(frame)
    return [(name, _told(debugger, frame, die, whole=True)) for name, die in found]


def _told(debugger: "Debugger", frame: Frame, entry: Entry, *, whole: bool = False) -> str:
    assert frame.info is not None, "only a frame of a program has variables"
    try:
        value = debugger.variables(frame.info).value(entry, frame, debugger.read)
        if not whole and value.type.kind in (TypeKind.STRUCT, TypeKind.UNION, TypeKind.ARRAY):
            return "..."
        return shown(value, debugger.read, debugger.name_at, "", top=False)
    except Unavailable as error:
        return str(error) if str(error).startswith("<") else f"<error: {error}>"
