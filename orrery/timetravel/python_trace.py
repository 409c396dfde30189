"""A trace of the kernel's Python behind a gate, line by line.

A gate takes one step of the machine, and nothing can come between: no interrupt, and no other process but
those that the kernel itself switches to.  So the kernel need not be stopped inside to be inspected.  It runs
once, under sys.settrace, and the recorded lines can be walked through afterwards, forwards and backwards.

A kernel thread that resumes in the middle of its functions has callers of which no line runs: they are
recorded too, as lines that `waits`, with their values then.  Lines with breakpoints
(machine/python_breakpoints.py) are marked.
"""

import reprlib
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from kernel.sched import Scheduler
from orrery.machine.python_breakpoints import PythonBreakpoints
from orrery.machine.tracer import Tracer, is_kernels
from toolchain.paths import in_tree

PROCESS: Final = Scheduler._begin.__code__
"""The thread of a process, of which a system call is a small part."""

LINES_MAX: Final = 20_000
SHOWN_MAX: Final = 80  # characters of a value


class PythonLine(NamedTuple):
    """A line that is about to run: of the activation `frame` of a function, which `caller` called (0: none).

    `variables` are names and values as they were then; `wanted` are the stops of
    machine/python_breakpoints.py that it is.
    """

    frame: int
    caller: int
    function: str
    file: str
    line: int
    variables: tuple[tuple[str, str], ...]
    wanted: tuple[str, ...] = ()
    waits: bool = False


class PythonTrace(Tracer):
    """Records while it is told; `kinds` are stops of machine/python_breakpoints.py."""

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        super().__init__()
        self._stops: Final = PythonBreakpoints(kinds)
        self._lines: Final[list[PythonLine]] = []
        self._numbers: Final[dict[FrameType, int]] = {}

    @property
    def lines(self) -> tuple[PythonLine, ...]:
        """The lines of the kernel that have run, LINES_MAX at most."""
        return tuple(self._lines)

    def forget_frames(self) -> None:
        """Let the frames go, which were kept so that no other gets their identity."""
        self._numbers.clear()

    def event(self, frame: FrameType) -> None:
        """As Tracer.event."""
        if len(self._lines) < LINES_MAX:
            caller = self._number_of_caller(frame)
            wanted = self._stops.wanted(frame)
            self._lines.append(self._line(frame, self._number(frame), caller)._replace(wanted=wanted))

    def _number_of_caller(self, frame: FrameType) -> int:
        """The activation that called this one; one of which no line has run is kept as one that waits."""
        caller = frame.f_back
        while caller is not None and not is_kernels(caller.f_code):
            caller = caller.f_back
        if caller is None:
            return 0
        if caller not in self._numbers:
            if caller.f_code is PROCESS:
                return 0
            above = self._number_of_caller(caller)
            self._lines.append(self._line(caller, self._number(caller), above)._replace(waits=True))
        return self._number(caller)

    def _line(self, frame: FrameType, number: int, caller: int) -> PythonLine:
        code = frame.f_code
        variables = tuple((name, text(value)) for name, value in frame.f_locals.items())
        return PythonLine(
            number, caller, code.co_qualname, in_tree(code.co_filename), frame.f_lineno, variables
        )

    def _number(self, frame: FrameType) -> int:
        """Of an activation; the frame is kept until the end, so that no other gets its identity."""
        return self._numbers.setdefault(frame, len(self._numbers) + 1)


class PythonValue(Tracer):
    """Evaluates an expression when a line is about to run for the `nth` time, in the `up`th caller's frame.

    Used in a copy of the machine that is thrown away, as an expression may change anything.
    """

    def __init__(self, file: str, line: int, nth: int, up: int, expression: CodeType) -> None:
        super().__init__()
        self._place: Final = (file, line)
        self._left = nth
        self._up: Final = up
        self._expression: Final = expression
        self.value = "that line does not run again"

    def event(self, frame: FrameType) -> None:
        """As Tracer.event."""
        if (in_tree(frame.f_code.co_filename), frame.f_lineno) == self._place:
            self._left -= 1
            if self._left == 0:
                self.value = self._evaluated(frame)

    def _evaluated(self, frame: FrameType | None) -> str:
        for _ in range(self._up):
            frame = frame.f_back if frame is not None else None
            while frame is not None and not is_kernels(frame.f_code):
                frame = frame.f_back
        if frame is None:
            return "that frame is not of Python"
        try:
            return text(eval(self._expression, {**frame.f_globals, **frame.f_locals}))
        except Exception as error:  # any: it is the user's expression
            return f"{type(error).__name__}: {error}"


class _Short(reprlib.Repr):
    """Values in a few words; whole numbers in hexadecimal too, objects without their host address."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = SHOWN_MAX

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, int) and not isinstance(x, bool):
            return f"{x}" if -10 < x < 10 else f"{x} ({x:#x})"
        if isinstance(x, (str, bytes, tuple, list, dict, bool)) or x is None:
            return super().repr1(x, level)
        own: Callable[..., str] = type(x).__repr__
        told = type(x).__module__.startswith("kernel.") and own is not object.__repr__
        generated = hasattr(own, "__wrapped__")  # a dataclass's, which may be endless
        return f"<{x}>" if told and not generated else f"<{type(x).__name__}>"


_SHORT: Final = _Short()


def text(value: object) -> str:
    """A value in a few words."""
    try:
        return _SHORT.repr(value)
    except Exception:  # any: an object in the middle of its __init__ cannot tell what it is
        return f"<{type(value).__name__}>"
