"""Reverse steps by source line: back to the beginning of a line, which is then about to run again.

Called by commands/reverse.py.  The kernel's part of a trap is passed over, and so are prologues, which
nobody sees going forward.  A step is made of single instruction steps and of jumps back to the call of a
function.
"""

from typing import Any, Final, TypeAlias

from emu.cpu.hart import USER
from orrery.debugger.debugger import Debugger
from orrery.debugger.frames import SP
from orrery.debugger.inline_calls import Spot, calling, spot
from orrery.debugger.stepper import RETURNS
from orrery.inspect.code_unit import Function
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.stops import KERNEL, StopKind, Stopped

Line: TypeAlias = tuple[Any, ...]


def line_back(debugger: Debugger, *, over: bool) -> Stopped:
    """Back to the beginning of a line: this one, or the one before; `over` calls, or into them."""
    if debugger.pid == KERNEL:
        pid = debugger.main_pid if debugger.ended else KERNEL
        return debugger.target.reverse_step_of(pid, user=True)
    if not over and (entered := _out_of_beginning(debugger)) is not None:
        return entered
    way = _Way(debugger, over)
    while (stopped := way.step()) is None:
        pass
    way.settle()
    return stopped


def _out_of_beginning(debugger: Debugger) -> Stopped | None:
    """At the call of what was inlined, which begins here and was gone into; None where it was not, as yet.

    Going forward one comes to this place as such only where the line that calls begins here too, or the call
    is in another one that does.
    """
    target, info, here = debugger.target, debugger.programs.find(debugger.pid), debugger.target.moment
    whole = spot(info, here.pc, None)
    if whole is None or debugger.hidden >= whole.hidden:
        return None
    outer = spot(info, here.pc, debugger.hidden + 1)
    if debugger.hidden + 1 == whole.hidden and outer is not None:
        stopped = target.reverse_step_of(debugger.pid, user=True)
        before = spot(info, target.moment.pc, None)
        target.goto(here)
        if stopped.why != StopKind.STEP or (before is not None and before.key == outer.key):
            return None
    debugger.stepper.hidden = (here, debugger.hidden + 1)
    return Stopped(StopKind.STEP, here, debugger.pid)


class _Way:
    """Back to the beginning of a line, in steps by instruction.

    `_goal` is the line whose beginning is looked for; it is known once the first step has come into one.
    """

    def __init__(self, debugger: Debugger, over: bool) -> None:
        self._debugger: Final = debugger
        self._target: Final = debugger.target
        self._stepper: Final = debugger.stepper
        self._pid: Final = debugger.pid
        self._info: Final = debugger.programs.find(debugger.pid)
        self._over: Final = over
        self._begin: Final = spot(self._info, debugger.target.moment.pc, debugger.hidden)
        self._goal: Line | None = None

    def settle(self) -> None:
        """Say which inlined calls the user has come to, and not gone into."""
        here = self._spot
        if here is not None:
            self._stepper.hidden = (self._target.moment, here.hidden)

    def step(self) -> Stopped | None:
        """Go back by an instruction or over a call; None where the way goes on, else why it ends there."""
        if (interrupted := self._stepper.interrupted) is not None:
            return interrupted
        here, now = self._target.moment, self._spot
        stopped = self._target.reverse_step_of(self._pid, user=True)
        if stopped.why == StopKind.STEP and self._has_returned(here, now):
            if self._is_to_enter:
                return self._enter(here)
            stopped = self._pass_call(stopped)
        if stopped.why == StopKind.STEP and self._is_in_opening:
            stopped = self._leave_opening()
        return self._judge(here, now) if stopped.why == StopKind.STEP else stopped

    @property
    def _spot(self) -> Spot | None:
        return self._seen(self._target.moment.pc)

    def _seen(self, pc: int) -> Spot | None:
        """The spot of an address, in inline calls too, or as a step over them has it."""
        if self._over and self._begin is not None:
            return calling(self._info, pc, self._begin)
        return spot(self._info, pc, 0)

    # --- a return: the machine stands behind a call, at the end of what was called ---

    def _has_returned(self, here: Moment, now: Spot | None) -> bool:
        """Whether the instruction that led `here` was a return."""
        is_return = self._stepper.word(self._pid) in RETURNS
        return is_return and now is not None and here.priv == USER

    @property
    def _is_to_enter(self) -> bool:
        """Whether what was called has lines, and the user wants to see them."""
        spot = self._spot
        return not self._over and spot is not None and bool(spot.line)

    def _enter(self, here: Moment) -> Stopped | None:
        """Look for the beginning of the last line in what was called, unless `here` the goal begins."""
        if self._goal is not None and _line(self._seen(here.pc - 1)) != self._goal:
            return self._target.goto(here)._replace(why=StopKind.STEP)  # it is another line that called
        self._goal = _line(self._spot)
        return None

    def _pass_call(self, stopped: Stopped) -> Stopped:
        """Back to the call; where the function is not known, the machine stays where it has `stopped`."""
        function = self._info.function(self._target.moment.pc) if self._info is not None else None
        return self._to_call(function) if function is not None else stopped

    # --- the opening of a function ---

    @property
    def _is_in_opening(self) -> bool:
        """Whether the machine has come before the body of its function, with no line looked for yet."""
        spot, info = self._spot, self._debugger.programs.find(self._pid)
        if self._goal is not None or spot is None or info is None:
            return False
        return self._target.moment.pc < self._debugger.locations(info).body(spot.function)

    def _leave_opening(self) -> Stopped:
        """Back to the instruction that called the function."""
        spot = self._spot
        assert spot is not None, "only what is in a function is in its opening"
        if self._target.moment.pc == spot.function.low:
            return self._target.reverse_step_of(self._pid, user=True)
        return self._to_call(spot.function)

    # --- a line ---

    def _judge(self, here: Moment, now: Spot | None) -> Stopped | None:
        """Whether `here`, where the machine was at the spot `now`, is the beginning that was looked for."""
        before = _line(self._spot)
        in_line = now is not None and not (now.stmt and here.pc == now.begin)  # no step forward ends here
        if self._goal is None or (in_line and before != self._goal):
            self._goal = before
        elif before != self._goal:
            return self._target.goto(here)._replace(why=StopKind.STEP)
        return None

    def _to_call(self, function: Function) -> Stopped:
        return to_call(self._debugger, function.low, self._target.registers(self._pid)[SP])


def to_call(debugger: Debugger, low: int, sp: int) -> Stopped:
    """Back to the instruction that called the function at `low`, with this stack pointer."""
    target, pid = debugger.target, debugger.pid
    target.set_places([Place(pid, low)])
    try:
        stopped = resume_back(debugger)
        while stopped.why == StopKind.PLACE and target.registers(pid)[SP] < sp:
            stopped = resume_back(debugger)
    finally:
        debugger.breakpoints.arm()
    return target.reverse_step() if stopped.why == StopKind.PLACE else stopped


def resume_back(debugger: Debugger) -> Stopped:
    """Back to a place. What the console shows when the machine comes here again has been shown before."""
    target = debugger.target

    def look_up() -> None:
        debugger.stepper.look_up()
        debugger.on_search()

    show, target.on_slice = target.on_slice, look_up
    try:
        return target.reverse_resume()
    finally:
        target.on_slice = show
        target.take_output()


def _line(one: Spot | None) -> Line | None:
    return one.key if one is not None else None
