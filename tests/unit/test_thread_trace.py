"""Lines of functions that wait in a greenlet when tracing begins, or when it begins anew."""

import bdb
import sys
from types import CodeType, FrameType

from greenlet import getcurrent, greenlet

from orrery.machine import thread_trace
from orrery.machine.tracer import Tracer


class Lines(Tracer):
    """Those of this file that run, by function and distance from its first line."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int]] = []

    def wants(self, code: CodeType) -> bool:
        return code.co_filename == __file__

    def event(self, frame: FrameType) -> None:
        self.seen.append((frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))


class Stops(bdb.Bdb):
    """A debugger that goes on from each stop."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def user_line(self, frame: FrameType) -> None:
        self.lines.append(frame.f_lineno)
        self.set_continue()


def waiting(turns: list[int]) -> None:
    home = getcurrent().parent
    while True:
        home.switch()
        turns.append(len(turns))


def suspended() -> greenlet:
    """A greenlet that waits in `waiting`."""
    thread = greenlet(waiting)
    thread.switch([])
    return thread


def test_a_tracer_sees_the_lines_of_a_function_that_waits() -> None:
    thread = suspended()
    for _ in range(3):
        lines = Lines()
        lines.traced(thread.switch)
        assert lines.seen == [("waiting", 4), ("waiting", 2), ("waiting", 3)]
        thread.switch()  # untraced


def test_a_debugger_stops_in_a_function_that_waits() -> None:
    thread, stops = suspended(), Stops()
    line = waiting.__code__.co_firstlineno + 4
    before = sys.gettrace()
    try:
        for _ in range(3):
            thread_trace.follow()
            assert stops.set_break(__file__, line) is None
            stops.set_trace()
            stops.set_continue()
            thread.switch()
            thread.switch()
            assert stops.lines.count(line) == 2
            stops.lines.clear()
            stops.clear_all_breaks()
            stops.set_continue()
            assert sys.gettrace() is None
            thread.switch()
            assert stops.lines == []
    finally:
        thread_trace.leave()
        sys.settrace(before)
