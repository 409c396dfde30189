"""A walk through the Python lines that ran behind a gate (pylines.py): which is current, and who called it.

The machine itself stands behind the gate meanwhile; so do its memory and registers.
"""

from typing import Final

from orrery.debugger.frames import Frame
from orrery.debugger.pylines import PyLine
from orrery.dwarf import Place


class Walk:
    """Over `lines`, of which there is one at least; `outer` are the frames of the program before the gate."""

    def __init__(self, lines: tuple[PyLine, ...], outer: list[Frame]) -> None:
        self._lines: Final = lines
        self._outer: Final = outer
        self._at = 0
        self._depths: Final = [self._depth(i) for i in range(len(lines))]

    @property
    def line(self) -> PyLine:
        """The current one."""
        return self._lines[self._at]

    def forward(self, *, over: bool = False, out: bool = False) -> bool:
        """On to the next line; `over` the functions that this one calls, or `out` of its function.

        False, and behind all lines, where there is none.
        """
        for i in range(self._at + 1, len(self._lines)):
            if not (over or out) or self._is_outside(i) or (over and self._is_in_frame(i)):
                self._at = i
                return True
        return False

    def back(self, *, over: bool = False) -> bool:
        """Back to the line before; False, and still at the first, where there is none."""
        for i in reversed(range(self._at)):
            if not over or self._is_outside(i) or self._is_in_frame(i):
                self._at = i
                return True
        return False

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
                place = Place(one.function, one.file, one.line)
                found.append(Frame(0, 0, (), place=place, kernel=True, python=one.variables))
                wanted = one.caller
        return [*found, *self._outer]

    def _depth(self, at: int) -> int:
        """How many callers of the line are known."""
        depth, one = 0, self._lines[at]
        wanted = one.caller
        for i in reversed(range(at)):
            if self._lines[i].frame == wanted:
                depth, wanted = depth + 1, self._lines[i].caller
        return depth
