"""The history of a timeline: its checkpoints, in the order of their moments.

Made and used by timeline.py.  There is always one at the beginning, so that every moment can be reached.
Each takes memory, so they are thinned: one is let go the sooner, the farther it is from where somebody looks,
and the closer its neighbours are to each other:

    |    .    .    .    .    .    .   . . . ......cursor.... . . .   .
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from orrery.debugger.moment import Moment
from orrery.debugger.replica import Replica

NEAR_TICKS: Final = 100_000
"""Checkpoints that are closer to the cursor than this are worth no more than those at this distance."""


def victim(ticks: Sequence[int], cursor_ticks: int) -> int:
    """Which of the checkpoints at these times, in order and not just one, is missed least; not the first."""

    def value(i: int) -> float:
        following = ticks[i + 1] if i + 1 < len(ticks) else ticks[i]
        return (following - ticks[i - 1]) / (abs(ticks[i] - cursor_ticks) + NEAR_TICKS)

    return min(range(1, len(ticks)), key=value)


class History:
    """Checkpoints, `count_max` and `memory_bytes_max` in all at the most."""

    def __init__(self, first: Replica, memory_bytes_max: int, count_max: int) -> None:
        assert count_max >= 3, "a history has room for a beginning, an end and something between"
        self._checkpoints: Final = [first]
        self._bytes: Final[dict[Replica, int]] = {}
        self._unmeasured: Replica | None = None
        self._cursor_ticks = first.moment.ticks  # where somebody looked last
        self._memory_bytes_max: Final = memory_bytes_max
        self._count_max: Final = count_max

    def __len__(self) -> int:
        return len(self._checkpoints)

    @property
    def first(self) -> Replica:
        """The one at the beginning."""
        return self._checkpoints[0]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Those of the checkpoints."""
        return tuple(checkpoint.moment for checkpoint in self._checkpoints)

    def before(self, ticks: int) -> Replica | None:
        """The last checkpoint earlier than `ticks`."""
        i = bisect_left(self._times(), ticks)
        return self._checkpoints[i - 1] if i else None

    def at(self, moment: Moment) -> Replica | None:
        """The checkpoint at `moment`."""
        checkpoint = self.before(moment.ticks + 1)
        return checkpoint if checkpoint is not None and checkpoint.moment == moment else None

    def add(self, checkpoint: Replica, cursor_ticks: int) -> None:
        """Keep `checkpoint`, or let it go if there is one at its time; and thin."""
        i = bisect_left(self._times(), checkpoint.moment.ticks)
        if i < len(self._checkpoints) and self._checkpoints[i].moment.ticks == checkpoint.moment.ticks:
            checkpoint.close()
            return
        self._checkpoints.insert(i, checkpoint)
        self._unmeasured = self._checkpoints[max(i - 1, 0)]
        self._cursor_ticks = cursor_ticks
        self._thin(cursor_ticks)

    def measure(self) -> None:
        """Measure the memory of a checkpoint, if one is to be: it takes a millisecond.

        A new one shares nearly all with its successors to be; so that is done when it has one.
        """
        if self._unmeasured is not None:
            self._bytes[self._unmeasured] = self._unmeasured.memory_bytes
            self._unmeasured = None
            self._thin(self._cursor_ticks)

    def forget_after(self, moment: Moment) -> None:
        """Let go of what is later than `moment`, or at its time and not it."""
        while self._checkpoints[-1].moment.ticks >= moment.ticks and self._checkpoints[-1].moment != moment:
            self._drop(len(self._checkpoints) - 1)

    def close(self) -> None:
        """Let go of all."""
        while self._checkpoints:
            self._drop(len(self._checkpoints) - 1)

    def _times(self) -> list[int]:
        return [checkpoint.moment.ticks for checkpoint in self._checkpoints]

    def _thin(self, cursor_ticks: int) -> None:
        while len(self._checkpoints) > 3 and self._is_over():
            self._drop(victim(self._times(), cursor_ticks))

    def _is_over(self) -> bool:
        if len(self._checkpoints) > self._count_max:
            return True
        return sum(self._bytes.values()) > self._memory_bytes_max

    def _drop(self, i: int) -> None:
        checkpoint = self._checkpoints.pop(i)
        self._bytes.pop(checkpoint, None)
        if checkpoint is self._unmeasured:
            self._unmeasured = None
        checkpoint.close()
