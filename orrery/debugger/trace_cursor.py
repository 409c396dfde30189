"""A cursor in the lines of the kernel's Python that ran behind a gate: the current line and its callers.

The machine itself stands behind the gate meanwhile, and so do its memory and registers.
"""

from collections.abc import Callable
from typing import Final

from orrery.debugger.frames import Frame
from orrery.inspect.dwarf import SourceLine
from orrery.timetravel.moment import Moment
from orrery.timetravel.python_trace import PythonLine
from orrery.timetravel.stops import Stopped

Stops = Callable[[PythonLine], bool]
"""Whether the user wants to stop at a line that is marked for it."""


class TraceCursor:
    """Over `lines`, of which there is one at least that does not wait.

    `outer` are the frames of the program before the gate, which is at `since`; `behind` is how the machine
    came to stand behind it.  `kinds` are the stops with which the lines were recorded.
    """

    def __init__(
        self,
        lines: tuple[PythonLine, ...],
        outer: list[Frame],
        since: Moment,
        behind: Stopped,
        kinds: frozenset[str] = frozenset(),
    ) -> None:
        self._lines = lines
        self._outer: Final = outer
        self.since: Final = since
        self.behind: Final = behind
        self.kinds = kinds
        self._at = next(i for i, one in enumerate(lines) if not one.waits)
        self._depths = _depths(lines)

    @property
    def line(self) -> PythonLine:
        """The current line."""
        return self._lines[self._at]

    @property
    def place(self) -> tuple[str, int, int]:
        """Its file, its number, and the occurrence number of the line behind this gate."""
        file, line = self.line.file, self.line.line
        return file, line, sum(_is(one, file, line) for one in self._lines[: self._at + 1])

    def to_end(self) -> None:
        """To the last line."""
        self._at = len(self._lines) - 1

    def mark(self, lines: tuple[PythonLine, ...], kinds: frozenset[str]) -> None:
        """Take the same lines, recorded with other stops; watchers of events may add lines of their own."""
        file, line, nth = self.place
        self._lines, self.kinds = lines, kinds
        there = [i for i, one in enumerate(lines) if _is(one, file, line)]
        assert len(there) >= nth, "the same lines run behind a gate each time"
        self._at = there[nth - 1]
        self._depths = _depths(lines)

    def forward(
        self,
        *,
        over: bool = False,
        out: bool = False,
        to_stop: bool = False,
        stops: Stops = lambda line: False,
    ) -> bool:
        """On to the next line; `over` the functions that this one calls, `out` of its function, or `to_stop`.

        A line at which it `stops` comes first.  False, and behind all lines, where there is none.
        """
        for i in range(self._at + 1, len(self._lines)):
            if self._ends(i, stops) or (
                not (to_stop or self._lines[i].waits)
                and (not (over or out) or self._is_outside(i) or (over and self._is_in_frame(i)))
            ):
                self._at = i
                return True
        return False

    def back(self, *, over: bool = False, to_stop: bool = False, stops: Stops = lambda line: False) -> bool:
        """Back to the line before, or `to_stop`; False, and still where it was, where there is none."""
        for i in reversed(range(self._at)):
            if self._ends(i, stops) or (
                not (to_stop or self._lines[i].waits)
                and (not over or self._is_outside(i) or self._is_in_frame(i))
            ):
                self._at = i
                return True
        return False

    def _ends(self, at: int, stops: Stops) -> bool:
        return bool(self._lines[at].wanted) and stops(self._lines[at])

    def _is_in_frame(self, at: int) -> bool:
        """Whether a line is of the same activation as the current one."""
        return self._lines[at].frame == self.line.frame

    def _is_outside(self, at: int) -> bool:
        """Whether a line is of one that has called the current one."""
        return self._depths[at] < self._depths[self._at]

    def frames(self) -> list[Frame]:
        """The calls that have not returned, innermost first: those in Python, then those of the program."""
        found, wanted = [], self.line.frame
        for i in reversed(range(self._at + 1)):
            one = self._lines[i]
            if one.frame == wanted:
                place = SourceLine(one.function, one.file, one.line)
                found.append(Frame(0, 0, (), place=place, kernel=True, python=one.variables))
                wanted = one.caller
        return [*found, *self._outer]


def _is(one: PythonLine, file: str, line: int) -> bool:
    return not one.waits and (one.file, one.line) == (file, line)


def _depths(lines: tuple[PythonLine, ...]) -> list[int]:
    """How many callers of each line are known."""
    depths: dict[int, int] = {0: -1}  # of activations
    for one in lines:
        depths.setdefault(one.frame, depths.get(one.caller, -1) + 1)
    return [depths[one.frame] for one in lines]
