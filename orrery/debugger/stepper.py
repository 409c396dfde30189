"""Steps by source line, over calls and out of functions, made of the target's single steps and places.

The rules are gdb's: a step ends at the first instruction of another line, behind the prologue of a called
function, or in the caller after a return.  Interrupts and page faults on the way are passed over; at an
ecall a step stops at the kernel's gate, where Python goes on.  Inline calls are stepped over or into like
any other (inline_calls.py).
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from emu.cpu.hart import USER
from orrery.debugger import inline_calls
from orrery.debugger.breakpoints import Breakpoint, Breakpoints
from orrery.debugger.frames import SP
from orrery.debugger.linespec import Linespecs
from orrery.inspect.code_unit import Function
from orrery.inspect.dwarf import RA, DebugInfo
from orrery.machine.events import EventKind
from orrery.machine.python_breakpoints import is_kind
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.program_symbols import ProgramSymbols
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.timeline import Timeline

ECALL: Final = 0x0000_0073
RETURNS: Final = (0x8082, 0x0000_8067)  # c.jr ra; jalr zero, 0(ra)


class Stepper:
    """For `target`. Each step ends with why it did: "step", or what came between, such as a breakpoint.

    `judged` is the breakpoint at which it stopped.  `into_python` is to walk to a line in Python where the
    target has come to one, or past it where the user does not want it.
    """

    def __init__(self, target: Timeline, programs: ProgramSymbols, breakpoints: Breakpoints) -> None:
        self._target: Final = target
        self._programs: Final = programs
        self._breakpoints: Final = breakpoints
        self.judged: Breakpoint | None = None
        self.entered = False  # the last step has ended in a function that was called
        self.hidden: tuple[Moment, int] | None = (
            None  # inlined calls that the last step has not gone into yet
        )
        self.asked = False  # a stop was asked for; may be set by a signal handler
        self.lines: Final[deque[bytes]] = deque()  # to be typed, one whenever all wait
        self.ask_keys: Callable[[], bytes] = lambda: b""  # from the user at the console
        self.into_python: Callable[[Stopped], Stopped | None] = lambda stopped: None

    # --- running ---

    def look_up(self) -> None:
        """Called between slices: pass on the request for a stop."""
        if self.asked:
            self.asked = False
            self._target.ask_stop()

    @property
    def interrupted(self) -> Stopped | None:
        """The stop for a request between two steps; once."""
        asked, self.asked = self.asked, False
        return self._target_stopped()._replace(why=StopKind.INTERRUPT) if asked else None

    def resume(self, *places: Place, arrived: Callable[[Stopped], bool] = lambda stopped: True) -> Stopped:
        """Run to a breakpoint, or to one of `places` when it has `arrived`."""
        self.judged = None
        self._breakpoints.remember()
        self._breakpoints.arm(*places)
        try:
            while True:
                stopped = self._typed_for(self._target.resume)
                if stopped.why not in (StopKind.PLACE, StopKind.EVENT):
                    return stopped
                if (judged := self._wanted(stopped)) is not None:
                    return judged
                if stopped.place in places and arrived(stopped):
                    return stopped._replace(why=StopKind.STEP)
        finally:
            self._breakpoints.arm()

    def instruction(self, pid: int) -> Stopped:
        """One step of process `pid`; a stop that the user does not want counts as a step."""
        self.judged = None
        if (interrupted := self.interrupted) is not None:
            return interrupted
        self._breakpoints.remember()
        stopped = self._typed_for(lambda: self._target.step(1, pid or None))
        if stopped.why in (StopKind.PLACE, StopKind.EVENT):
            return self._wanted(stopped) or stopped._replace(why=StopKind.STEP)
        return stopped

    def _typed_for(self, go: Callable[[], Stopped]) -> Stopped:
        """Where that leads to, with the lines typed that it waits for."""
        stopped = go()
        while stopped.why == StopKind.ASLEEP and (keys := self._next_keys()):
            self._target.type(keys)
            stopped = go()
        return self.interrupted or stopped

    def _next_keys(self) -> bytes:
        """The input for processes that all wait; empty if there is none, or a stop was asked for."""
        if self.lines:
            return self.lines.popleft() + b"\n"
        return self.ask_keys() if self._target.awaits_keys else b""

    def over_instruction(self, pid: int) -> Stopped:
        """One step, over a call or a trap."""
        word, pc = self.word(pid), self._target.moment.pc
        if is_call(word) and self.in_program:
            return self._until_returned(pid, pc + (2 if word & 3 != 3 else 4))
        stopped = self.instruction(pid)
        return self.leave_kernel(pid) if stopped.why == StopKind.STEP else stopped

    def leave_kernel(self, pid: int) -> Stopped:
        """Run until the process is in its program."""
        stopped = self._target_stopped()
        while stopped.why == StopKind.STEP and not self.in_program:
            stopped = self.instruction(pid)
        return stopped

    def to_gate(self, pid: int) -> Stopped:
        """Run until the process is in its program, or at a gate."""
        stopped = self._target_stopped()
        while (
            stopped.why == StopKind.STEP
            and not self.in_program
            and self._target.moment.pc not in self._programs.gates
        ):
            stopped = self.instruction(pid)
        return stopped

    def _wanted(self, stopped: Stopped) -> Stopped | None:
        """The stop, if the user wants it, with the trace cursor at one in Python. `judged` says why."""
        if is_kind(stopped.detail):
            return self.into_python(stopped)
        self.judged = self._breakpoints.judged(stopped)
        return stopped if self.judged is not None or self.is_crash(stopped) else None

    def is_crash(self, stopped: Stopped) -> bool:
        """Whether a program was killed that the user debugs: the one given, or one with a breakpoint."""
        if stopped.event != EventKind.CRASH:
            return False
        info = self._programs.find(stopped.pid)
        debugged = (self._programs.first, *(one.info for one in self._breakpoints.all))
        return info is not None and info in debugged

    # --- lines ---

    def line(self, pid: int, *, over: bool, hidden: int = 0) -> Stopped:
        """To the next line of a program, in the functions that are called too unless `over`.

        `hidden` are the inlined calls that begin here and that the user has not gone into.
        """
        info = self._programs.find(pid)
        begin = inline_calls.spot(info, self._target.moment.pc, hidden)
        if info is None or begin is None:
            return self.out(pid, None)
        if hidden and not over:
            return self._into_inlined(hidden - 1)
        while True:
            word, pc = self.word(pid), self._target.moment.pc
            stopped = self._one(pid, word, over=over)
            if stopped.why != StopKind.STEP:
                return stopped
            if not self.in_program:
                return stopped  # at a gate
            now = self._target.moment.pc
            here = inline_calls.spot(info, now, None, begin.within)
            if is_call(word) and not over and here is not None and now == here.function.low:
                return self._to_body(pid, info, here.function)
            if word in RETURNS and here is not None and (now != here.begin or not here.stmt):
                begin = here  # the rest of the caller's line
                continue
            if here is None and not begin.function.low <= now < begin.function.high:
                stopped = self.out(pid, None)
                if stopped.why != StopKind.STEP:
                    return stopped
                here = inline_calls.spot(info, self._target.moment.pc, None, begin.within)
            elif here is not None and here.is_within(begin):
                if over:
                    continue
                return self._into_inlined(here.hidden)
            elif here is not None and here.key == begin.key:
                if here.hidden and not over:
                    return self._into_inlined(here.hidden - 1)
                continue
            begins = here is not None and here.stmt and self._target.moment.pc == here.begin
            if here is not None and (begins or word == ECALL or pc == now):
                return stopped
            if here is not None and here.is_around(begin):
                begin = here  # the rest of the line that an inlined call is in

    def _one(self, pid: int, word: int, *, over: bool) -> Stopped:
        """One instruction of the program: over what a line with it does not mean."""
        pc = self._target.moment.pc
        if is_call(word) and (over or not self._leads_to_lines(pid, word, pc)):
            return self._until_returned(pid, pc + (2 if word & 3 != 3 else 4))
        stopped = self.instruction(pid)
        if stopped.why != StopKind.STEP or self.in_program:
            return stopped
        if word == ECALL and not over:
            return self.to_gate(pid)
        return self.leave_kernel(pid)

    def _leads_to_lines(self, pid: int, word: int, pc: int) -> bool:
        """Whether the call at `pc` is to a function of which lines are known."""
        goal = _goal(word, pc, self._target.registers(pid))
        info = self._programs.find(pid)
        function = info.function(goal) if info is not None else None
        return info is not None and function is not None and bool(info.lines(function))

    def _into_inlined(self, hidden: int) -> Stopped:
        """In the inlined calls here, but for the innermost `hidden`: the machine need not go on for that."""
        self.hidden, self.entered = (self._target.moment, hidden), True
        return self._target_stopped()

    def out_of_inlined(self, pid: int, within: tuple[int, ...]) -> Stopped:
        """Run until an inlined call is over, given by those that it is in and itself."""
        info = self._programs.find(pid)
        function = info.function(self._target.moment.pc) if info is not None else None
        while True:
            stopped = self._one(pid, self.word(pid), over=True)
            here = inline_calls.spot(info, self._target.moment.pc, 0)
            if stopped.why != StopKind.STEP or here is None:
                return stopped
            if here.function != function or here.within[: len(within)] != within:
                return stopped

    def _to_body(self, pid: int, info: DebugInfo, function: Function) -> Stopped:
        self.entered = True
        body = Linespecs(info).body(function)
        if self._target.moment.pc == body:
            return self._target_stopped()
        return self.resume(Place(pid, body))

    def _until_returned(self, pid: int, address: int) -> Stopped:
        """Run to the address behind a call, in the same activation."""
        sp = self._target.registers(pid)[SP]
        return self.resume(Place(pid, address), arrived=lambda _: self._target.registers(pid)[SP] >= sp)

    def out(self, pid: int, caller: tuple[int, int] | None) -> Stopped:
        """Run until the function has returned to `caller`: pc and sp; None: the one in ra."""
        registers = self._target.registers(pid)
        pc, sp = caller if caller is not None else (registers[RA], registers[SP])
        if not pc:
            return self.resume()
        return self.resume(Place(pid, pc), arrived=lambda _: self._target.registers(pid)[SP] >= sp)

    # --- where it stands ---

    def word(self, pid: int) -> int:
        """The instruction at pc, if it is of the program."""
        data = self._target.read(pid, self._target.moment.pc, 4)
        word = int.from_bytes(data, "little")
        return word if word & 3 == 3 else word & 0xFFFF

    @property
    def in_program(self) -> bool:
        """Whether the hart runs a program, not the kernel."""
        return self._target.moment.priv == USER

    def _target_stopped(self) -> Stopped:
        return Stopped(StopKind.STEP, self._target.moment, self._target.current)


def is_call(word: int) -> bool:
    """Whether an instruction calls a function: jal or jalr that keeps the way back in ra."""
    if word & 3 != 3:
        return word & 0xF07F == 0x9002 and word >> 7 & 31 != 0
    return word & 0x7F in (0x6F, 0x67) and word >> 7 & 31 == RA


def _goal(word: int, pc: int, registers: list[int]) -> int:
    """Where a call leads to."""
    if word & 3 != 3:
        return registers[word >> 7 & 31]
    if word & 0x7F == 0x6F:
        offset = (word >> 21 & 0x3FF) << 1 | (word >> 20 & 1) << 11 | (word >> 12 & 0xFF) << 12
        return pc + offset - (word >> 31 << 20)
    offset = (word >> 20) - (word >> 31 << 12)
    return registers[word >> 15 & 31] + offset & ~1
