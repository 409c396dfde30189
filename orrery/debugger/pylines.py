"""The lines of the kernel's Python that run behind a gate, recorded one by one.

A gate takes one step of the machine, and nothing can come between: no interrupt, no other process but those
that the kernel itself switches to.  So its inside need not be stopped to be looked at.  It runs once, under
sys.settrace, and what is kept of each line can be walked through afterwards, forwards and backwards.

A greenlet has a trace function of its own, and frames that wait in one have not been told: so the switch
from one to another is followed too, and the frames that wait there are given the function.
"""

import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, TypeVar

import greenlet

from kernel.sched import Scheduler
from kernel.trap import Trap
from toolchain.paths import ROOT, in_tree

KERNEL: Final = str(Path(ROOT) / "kernel") + "/"
PLUMBING: Final = tuple(
    one.__code__ for one in (Scheduler.enter, Scheduler.run_hart, Scheduler.call, Trap.process)
)
"""How threads and the hart wait for each other: nothing of what the kernel does."""

LINES_MAX: Final = 5000
SHOWN_MAX: Final = 80  # characters of a value

_T = TypeVar("_T")


class PyLine(NamedTuple):
    """A line that is about to run: of the activation `frame` of a function, which `caller` called (0: none).

    `variables` are names and values as they were then.
    """

    frame: int
    caller: int
    function: str
    file: str
    line: int
    variables: tuple[tuple[str, str], ...]


class PyLines:
    """Records while `watched` runs."""

    def __init__(self) -> None:
        self._lines: Final[list[PyLine]] = []
        self._numbers: Final[dict[FrameType, int]] = {}
        self._told: Final[list[FrameType]] = []

    def watched(self, work: Callable[[], _T]) -> tuple[_T, tuple[PyLine, ...]]:
        """What `work` returns, and the lines of the kernel that ran for it, LINES_MAX at most."""
        old_trace, old_switch = sys.gettrace(), greenlet.settrace(self._switched)
        sys.settrace(self._called)
        try:
            result = work()
        finally:
            sys.settrace(old_trace)
            greenlet.settrace(old_switch)
            for frame in self._told:
                frame.f_trace = None
            self._numbers.clear()
            self._told.clear()
        return result, tuple(self._lines)

    def _switched(self, event: str, pair: tuple[Any, Any]) -> None:
        """Called in the greenlet that goes on."""
        sys.settrace(self._called)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if _is_kernels(frame.f_code) and frame.f_trace is None:
                frame.f_trace = self._event
                self._told.append(frame)
            frame = frame.f_back

    def _called(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        return self._event if _is_kernels(frame.f_code) else None

    def _event(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        if event == "line" and len(self._lines) < LINES_MAX:
            code = frame.f_code
            number, caller = self._number(frame), frame.f_back
            while caller is not None and not _is_kernels(caller.f_code):
                caller = caller.f_back
            self._lines.append(
                PyLine(
                    number,
                    self._number(caller) if caller is not None else 0,
                    code.co_qualname,
                    in_tree(code.co_filename),
                    frame.f_lineno,
                    tuple((name, _text(value)) for name, value in frame.f_locals.items()),
                )
            )
        return self._event

    def _number(self, frame: FrameType) -> int:
        """Of an activation; the frame is kept until the end, so that no other gets its identity."""
        return self._numbers.setdefault(frame, len(self._numbers) + 1)


def _is_kernels(code: CodeType) -> bool:
    """Whether to tell of it; a comprehension is on the line that it stands in."""
    return code.co_filename.startswith(KERNEL) and code not in PLUMBING and not code.co_name.endswith("comp>")


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


def _text(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except Exception:  # any: an object in the middle of its __init__ cannot tell what it is
        return f"<{type(value).__name__}>"
