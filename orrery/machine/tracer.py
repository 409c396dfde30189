"""Traces the lines of the kernel's Python that run, by sys.settrace.

A tracer only looks: the run stays the same.  Each greenlet has a trace function of its own, and frames that
wait in one have none, so switches between greenlets are followed too, and the frames that wait there are
given the function.  Used in the machine's process.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, TypeVar

import greenlet

from kernel.sched import Scheduler
from kernel.trap import Trap
from orrery.machine.thread_trace import trace_lines
from toolchain.paths import KERNEL_SOURCES

PLUMBING: Final = tuple(
    one.__code__
    for one in (Scheduler.enter, Scheduler.thread_at_gate, Scheduler.run_hart, Scheduler.call, Trap.run)
)
"""How threads and the hart wait for each other: nothing of what the kernel does."""

_T = TypeVar("_T")


def is_kernels(code: CodeType) -> bool:
    """Whether to tell of it; a comprehension is on the line that it stands in."""
    ours = code.co_filename.startswith(KERNEL_SOURCES) and code not in PLUMBING
    return ours and not code.co_name.endswith("comp>")


class Tracer(ABC):
    """Calls `event` before each line, and `left` where a function ends, while `traced` runs."""

    def __init__(self) -> None:
        self._told: Final[list[FrameType]] = []

    @abstractmethod
    def event(self, frame: FrameType) -> None:
        """A line is about to run; must not raise."""

    def left(self, frame: FrameType) -> None:  # noqa: B027  (not all care)
        """A function is about to return, or to raise."""

    def wants(self, code: CodeType) -> bool:
        """Whether lines of this function matter."""
        return is_kernels(code)

    def traced(self, work: Callable[[], _T]) -> _T:
        """What `work` returns."""
        old_trace, old_switch = sys.gettrace(), greenlet.settrace(self._switched)
        sys.settrace(self._called)
        try:
            return work()
        finally:
            sys.settrace(old_trace)
            greenlet.settrace(old_switch)
            for frame in self._told:
                frame.f_trace = None
            self._told.clear()

    def _switched(self, event: str, pair: tuple[Any, Any]) -> None:
        """Called in the greenlet that goes on."""
        sys.settrace(self._called)
        frame = sys._getframe().f_back  # None in a greenlet that begins
        while frame is not None:
            if self.wants(frame.f_code) and frame.f_trace is None:
                trace_lines(frame, self._happened)
                self._told.append(frame)
            frame = frame.f_back

    def _called(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any] | None":
        return self._happened if self.wants(frame.f_code) else None

    def _happened(self, frame: FrameType, event: str, argument: object) -> "Callable[..., Any]":
        if event == "line":
            self.event(frame)
        elif event == "return":
            self.left(frame)
        return self._happened
