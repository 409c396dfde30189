"""The commands that run the machine: continue, step, next, finish, until and so on.

Each returns what the guest has printed meanwhile and where the machine stands now.  In the kernel's Python
(trace_cursor.py) a step goes to another line that has run already; whatever continues from there continues
from behind the gate.
"""

from collections.abc import Callable
from typing import Final

from orrery.debugger import gates, inline_calls
from orrery.debugger.breakpoints import WATCHES, Breakpoint, BreakpointKind
from orrery.debugger.c.ctypes import Field, TypeKind
from orrery.debugger.c.values import Value
from orrery.debugger.debugger import Activation, Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.frame_text import describe, line_of
from orrery.debugger.frames import Frame
from orrery.debugger.resolver import resolve
from orrery.timetravel.place import Place
from orrery.timetravel.registers import NAMES, PRIV
from orrery.timetravel.stops import KERNEL, StopKind, Stopped
from toolchain.names import shown

A0, FA0 = NAMES.index("x10"), NAMES.index("f10")
LEFT = """
Watchpoint {} deleted because the program has left the block in
which its expression is valid.
"""
SILENT = "silent"
OVER: Final = (StopKind.EXIT, StopKind.PANIC)
SIGNALS = {2: "SIGILL, Illegal instruction", 3: "SIGTRAP, Trace/breakpoint trap"}  # by exception
SEGMENTATION_FAULT = "SIGSEGV, Segmentation fault"
ENDS = {
    StopKind.ASLEEP: (
        "All processes wait, and nothing will happen by itself; `type TEXT` types on the console."
    ),
    StopKind.INTERRUPT: "\nInterrupted.",
    StopKind.LIMIT: "The time has come.",
    StopKind.END: "The recording ends here.",
    StopKind.BEGIN: "No more history: the machine has just been switched on.",
}


def continue_(debugger: Debugger, argument: str) -> str:
    """Go on to a breakpoint."""
    for _ in range(count(argument)):
        stopped = _to_stop(debugger)
        if stopped.why not in (StopKind.PLACE, StopKind.EVENT):
            break
    return report(debugger, stopped)


def _to_stop(debugger: Debugger) -> Stopped:
    """To the next one, in Python too."""
    if debugger.trace_cursor is not None:
        if gates.on(debugger, to_stop=True):
            return Stopped(StopKind.EVENT, debugger.target.moment, debugger.pid)
        if (behind := gates.leave(debugger)) is not None:
            return behind
    return debugger.stepper.resume()


def step(debugger: Debugger, argument: str) -> str:
    """To another line, in functions that are called too, and in the kernel."""
    return _repeated(debugger, argument, lambda: _step(debugger, over=False))


def next_(debugger: Debugger, argument: str) -> str:
    """To another line, over calls."""
    return _repeated(debugger, argument, lambda: _step(debugger, over=True))


def stepi(debugger: Debugger, argument: str) -> str:
    """One instruction, trap or gate."""
    debugger.trace_cursor = None
    return _repeated(debugger, argument, lambda: debugger.stepper.instruction(debugger.pid), by_line=False)


def nexti(debugger: Debugger, argument: str) -> str:
    """One instruction, over a call or a trap."""
    debugger.trace_cursor = None
    step = debugger.stepper.over_instruction
    return _repeated(debugger, argument, lambda: step(debugger.pid), by_line=False)


def finish(debugger: Debugger, argument: str) -> str:
    """Until the selected function has returned."""
    frame, level = debugger.frame, debugger.level
    said = f"Run till exit from #{level}  {describe(debugger, frame)}\n"
    if debugger.trace_cursor is not None and frame.python is not None:
        gates.refresh(debugger)
        debugger.stepper.judged = None
        if debugger.trace_cursor.forward(out=True, stops=gates.wanted(debugger)):
            debugger.cursor_moved()
            why = StopKind.STEP if debugger.stepper.judged is None else StopKind.EVENT
            return said + report(
                debugger, Stopped(why, debugger.target.moment, debugger.pid), everything=True
            )
        if (behind := gates.leave(debugger)) is not None:
            return said + report(debugger, behind)
    if frame.kernel:
        return said + report(debugger, debugger.stepper.leave_kernel(debugger.pid))
    if frame.within:
        return said + report(debugger, _out_of_inlined(debugger, frame), everything=True)
    caller = next((one for one in debugger.frames[level + 1 :] if one.pc != frame.pc), None)
    if caller is None:
        raise Unavailable('"finish" not meaningful in the outermost frame.')
    debugger.trace_cursor = None
    stopped = debugger.stepper.out(debugger.pid, (caller.pc, caller.sp))
    said += report(debugger, stopped, everything=True)
    return said + (_returned(debugger, frame) if stopped.why == StopKind.STEP else "")


def _out_of_inlined(debugger: Debugger, frame: Frame) -> Stopped:
    """Until a call that the compiler has inlined is over, and first those that it has made."""
    debugger.trace_cursor = None
    if frame.pc != debugger.frames[0].pc or frame.sp != debugger.frames[0].sp:
        stopped = debugger.stepper.out(debugger.pid, (frame.pc, frame.sp))
        if stopped.why != StopKind.STEP:
            return stopped
    return debugger.stepper.out_of_inlined(debugger.pid, frame.within)


def until(debugger: Debugger, argument: str) -> str:
    """Over calls, and not back to an earlier line; or to a location."""
    if argument:
        return advance(debugger, argument)
    begin, before = debugger.frame, debugger.activation
    stopped = _step(debugger, over=True)
    while stopped.why == StopKind.STEP and debugger.trace_cursor is None and _is_earlier(debugger, begin):
        stopped = _step(debugger, over=True)
    return report(debugger, stopped, before=before)


def _is_earlier(debugger: Debugger, frame: Frame) -> bool:
    """Whether the machine is further up in the frame's function, or still there."""
    function, pc = frame.function, debugger.target.moment.pc
    return function is not None and function.low <= pc <= frame.pc


def advance(debugger: Debugger, argument: str) -> str:
    """To a location, or until the function has returned."""
    addresses, _ = resolve(debugger, argument)
    frame = debugger.frame
    callers = [one for one in debugger.frames[1:] if one.pc != frame.pc][:1]
    places = [Place(debugger.pid, address) for address in (*addresses, *(one.pc for one in callers))]
    debugger.trace_cursor = None
    return report(debugger, debugger.stepper.resume(*places), everything=True)


# --- one step ---


def _step(debugger: Debugger, *, over: bool) -> Stopped:
    """A step by line, wherever the machine stands."""
    target, stepper, pid = debugger.target, debugger.stepper, debugger.pid
    if debugger.trace_cursor is not None:
        if gates.on(debugger, over=over):
            return Stopped(StopKind.STEP if stepper.judged is None else StopKind.EVENT, target.moment, pid)
        if (behind := gates.leave(debugger)) is not None:
            return behind
        stopped = stepper.to_gate(pid)
    elif target.registers(pid)[PRIV]:
        stopped = stepper.leave_kernel(pid) if over else stepper.to_gate(pid)
    else:
        stopped = stepper.line(pid, over=over, hidden=debugger.hidden)
    if stopped.why == StopKind.STEP and not over and target.moment.pc in debugger.programs.gates:
        stopped = gates.enter(debugger)
        debugger.cursor_moved()
        trace_cursor = debugger.trace_cursor
        if (
            trace_cursor is not None
            and trace_cursor.line.wanted
            and gates.wanted(debugger)(trace_cursor.line)
        ):
            return stopped._replace(why=StopKind.EVENT)
    return stopped


def _repeated(debugger: Debugger, argument: str, one: Callable[[], Stopped], *, by_line: bool = True) -> str:
    """Make a count of steps, as long as nothing comes between; the report of the last."""
    before = debugger.activation
    for left in reversed(range(count(argument))):
        stopped = one()
        if stopped.why != StopKind.STEP:
            break
        if left:
            debugger.moved(debugger.pid)
    return report(debugger, stopped, before=before, by_line=by_line)


def count(argument: str) -> int:
    """The repeat count of a command, 1 by default; raises Unavailable."""
    if not argument:
        return 1
    try:
        return max(int(argument, 0), 1)
    except ValueError:
        raise Unavailable(f"{argument!r} is no count") from None


# --- what is said ---


def report(
    debugger: Debugger,
    stopped: Stopped,
    *,
    before: Activation | None = None,
    by_line: bool = True,
    everything: bool = False,
) -> str:
    """What the guest has printed, why the machine stands still, and where."""
    said = printed(debugger)
    debugger.ended = stopped.why in OVER
    switched = "" if stopped.pid in (debugger.pid, KERNEL) else f"[Switching to process {stopped.pid}]\n"
    debugger.moved(stopped.pid or (debugger.pid if _lives(debugger) else KERNEL))
    if stopped.why == StopKind.EXIT:
        debugger.trace_cursor = None
        debugger.moved(KERNEL)
        return f"{said}[The machine is switched off, exit status {stopped.status}]\n"
    if stopped.why == StopKind.PANIC:
        return f"{said}[Kernel panic]\n{stopped.detail}\n"
    judged = debugger.stepper.judged
    if stopped.why in (StopKind.PLACE, StopKind.EVENT) and judged is not None:
        inline_calls.show_breakpoint(debugger, judged)
        debugger.reached = judged
        if judged.commands[:1] == [SILENT]:
            return said
        said += switched + _reason(debugger, judged, stopped)
        everything = True
    elif debugger.stepper.is_crash(stopped):
        said += switched + _signal(stopped.detail)
        debugger.level = next((i for i, one in enumerate(debugger.frames) if not one.kernel), 0)
        everything = True
    elif stopped.why in ENDS:
        said += f"{ENDS[stopped.why]}\n"
        everything = True
    else:
        said += switched
    new = before is None or before != debugger.activation or debugger.stepper.entered
    debugger.stepper.entered = False
    return said + position(debugger, changed=everything or new, by_line=by_line)


def printed(debugger: Debugger) -> str:
    """What the console has shown since the last time, ending a line.

    Not in the middle of the kernel's Python: the machine has passed it, but the user has not.
    """
    shown, debugger.unsaid = debugger.unsaid, b""
    if debugger.trace_cursor is None:
        shown += debugger.held + debugger.take_output()
        debugger.held = b""
    text = shown.decode(errors="replace")
    return text if not text or text.endswith("\n") else f"{text}\n"


def _lives(debugger: Debugger) -> bool:
    return any(one.pid == debugger.pid for one in debugger.target.processes())


def _reason(debugger: Debugger, one: Breakpoint, stopped: Stopped) -> str:
    if one.left:
        return LEFT.format(one.number)
    if one.kind not in WATCHES:
        kind = "Catchpoint" if one.kind == BreakpointKind.CATCHPOINT else "Breakpoint"
        what = (
            f" ({shown(stopped.detail.partition(' ')[2])})" if one.kind == BreakpointKind.CATCHPOINT else ""
        )
        return f"\n{'Temporary breakpoint' if one.temporary else kind} {one.number}{what}, "
    if one.kind == BreakpointKind.WRITE_CATCHPOINT:
        by = f", by {shown(stopped.detail)}" if stopped.detail else ""
        return f"\nCatchpoint {one.number} (a write at {stopped.va:#x}{by}), "
    title = {"r": "Hardware read watchpoint", "rw": "Hardware access (read/write) watchpoint"}
    text = f"\n{title.get(WATCHES[one.kind], 'Hardware watchpoint')} {one.number}: {one.text}\n\n"
    old, new = (debugger.show(_watched(one, data)) for data in (one.old, one.seen))
    text += f"Old value = {old}\nNew value = {new}\n" if one.old != one.seen else f"Value = {new}\n"
    return text + (f"Written by {shown(stopped.detail)}\n" if stopped.detail else "")


def _watched(one: Breakpoint, data: bytes) -> Value:
    """What a watchpoint has seen."""
    whole = Value.made(one.type, data.ljust(one.type.size, b"\0"))
    return whole if one.bits is None else whole.field(Field("", one.type, 0, one.bits))


def _signal(detail: str) -> str:
    """That a program was killed, as gdb says it: `detail` is that of the event."""
    _, _, text = detail.partition(" ")
    name = SIGNALS.get(int(text.split()[1]), SEGMENTATION_FAULT)
    return f"\nProgram received signal {name}.\n[{shown(text)}]\n"


def position(debugger: Debugger, *, changed: bool, by_line: bool = True) -> str:
    """Where the selected frame is: the line, and before it the function where that is new."""
    if not debugger.frames:
        return f"{debugger.target.moment.pc:#x} in the kernel\n" + displays(debugger)
    frame = debugger.frame
    line = line_of(debugger, frame)
    is_hiding = debugger.hidden and frame is debugger.frames[0]  # it is about to call what is inlined
    in_line = frame.info is not None and frame.place is not None and not _begins(frame) and not is_hiding
    address = f"{frame.pc:#018x}" if frame.python is None and in_line else ""
    if frame.place is None or not frame.place.line:
        return f"{frame.pc:#018x} in {describe(debugger, frame)}\n" + displays(debugger)
    head = f"{f'{address} in ' if address else ''}{describe(debugger, frame)}\n" if changed else ""
    if head or not address:
        return head + line + "\n" + displays(debugger)
    return f"{address}\t{line}\n" + displays(debugger)


def _begins(frame: Frame) -> bool:
    """Whether pc is the first address of some line's code."""
    rows = frame.info.lines(frame.function) if frame.info is not None and frame.function is not None else []
    return any(row.address == frame.at for row in rows)


def displays(debugger: Debugger) -> str:
    """The automatic displays."""
    return "".join(show() for show in debugger.displays.values())


def _returned(debugger: Debugger, frame: Frame) -> str:
    """The value that a function has returned, as its type says."""
    if frame.info is None or frame.function is None or frame.depth:
        return ""
    entry = frame.info.entry(frame.function)
    type_ = debugger.variables(frame.info).types.of(entry) if entry is not None else None
    if type_ is None or not type_.is_scalar:
        return ""
    registers = debugger.target.registers(debugger.pid)
    data = registers[FA0 if type_.kind == TypeKind.FLOAT else A0].to_bytes(8, "little")[: type_.size]
    debugger.history.append(Value.made(type_, data))
    return f"Value returned is ${len(debugger.history)} = {debugger.show(debugger.history[-1])}\n"
