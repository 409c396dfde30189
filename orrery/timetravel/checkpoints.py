"""The checkpoints of a timeline, in the order of their moments, and which of them to drop.

Used by timeline_execution.py.  There is always one at the beginning, so that every moment can be reached.
Each takes memory, so they are thinned: a checkpoint is dropped the sooner, the farther it is from the cursor
and the closer its neighbours are to each other; but all that is far counts the same:

    |       .       .       .      .    .  . ...cursor... .  .    .      .       .
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from orrery.timetravel.checkpoint_proxy import CheckpointProxy
from orrery.timetravel.moment import Moment

NEAR_TICKS: Final = 100_000
"""Checkpoints that are closer to the cursor than this are worth no more than those at this distance."""

FAR: Final = 16
"""Beyond this part of the run from the cursor they are at even distances: one can look anywhere."""

FILLED: Final = 0.85  # of the limit: what runs takes more between two looks
KEPT_MIN: Final = 2  # however much they take
UNMEASURED_MAX: Final = 6
MEASURING_S: Final = 0.006  # of wall time, at a time


def victim(ticks: Sequence[int], cursor_ticks: int) -> int:
    """The index of the checkpoint to drop, given the times of at least two, in order.

    Never the first, nor the last one up to the cursor, from which the next step back begins, where there are
    others.
    """
    here = bisect_right(ticks, cursor_ticks) - 1
    far = max(ticks[-1] // FAR, NEAR_TICKS)

    def value(i: int) -> float:
        following = ticks[i + 1] if i + 1 < len(ticks) else ticks[i]
        distance = abs(ticks[i] - cursor_ticks)
        return (following - ticks[i - 1]) / (min(distance, far) + NEAR_TICKS)

    return min((i for i in range(1, len(ticks)) if i != here), key=value, default=here)


class Checkpoints:
    """Checkpoints: `count_max` at the most, and `memory_bytes_max` with the process that runs."""

    def __init__(self, first: CheckpointProxy, memory_bytes_max: int, count_max: int) -> None:
        assert count_max >= 3, "a history has room for a beginning, an end and something between"
        self._checkpoints: Final = [first]
        self._bytes: Final[dict[CheckpointProxy, int]] = {}  # what was measured last comes last
        self._unmeasured: Final[dict[CheckpointProxy, None]] = {first: None}
        self._runner_bytes = 0
        self._cursor_ticks = first.moment.ticks  # the cursor's, at the last look
        self._memory_bytes_max: Final = int(memory_bytes_max * FILLED)
        self._count_max: Final = count_max

    def __len__(self) -> int:
        return len(self._checkpoints)

    def __contains__(self, checkpoint: CheckpointProxy) -> bool:
        return checkpoint in self._checkpoints

    @property
    def first(self) -> CheckpointProxy:
        """The one at the beginning."""
        return self._checkpoints[0]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Those of the checkpoints."""
        return tuple(checkpoint.moment for checkpoint in self._checkpoints)

    @property
    def pids(self) -> tuple[int, ...]:
        """Their processes."""
        return tuple(checkpoint.pid for checkpoint in self._checkpoints)

    def before(self, ticks: int) -> CheckpointProxy | None:
        """The last checkpoint earlier than `ticks`."""
        i = bisect_left(self._times(), ticks)
        return self._checkpoints[i - 1] if i else None

    def at(self, moment: Moment) -> CheckpointProxy | None:
        """The checkpoint at `moment`."""
        checkpoint = self.before(moment.ticks + 1)
        return checkpoint if checkpoint is not None and checkpoint.moment == moment else None

    def add(self, checkpoint: CheckpointProxy, cursor_ticks: int) -> None:
        """Keep `checkpoint`, or let it go if there is one at its time; and thin."""
        i = bisect_left(self._times(), checkpoint.moment.ticks)
        if i < len(self._checkpoints) and self._checkpoints[i].moment.ticks == checkpoint.moment.ticks:
            checkpoint.close()
            return
        self._checkpoints.insert(i, checkpoint)
        self._unmeasured.update(dict.fromkeys(self._checkpoints[max(i - 1, 0) : i + 1]))
        self._cursor_ticks = cursor_ticks
        self._thin()

    def lose(self, checkpoint: CheckpointProxy) -> bool:
        """Its process has gone, or is to; False for the first, without which nothing can be reached."""
        if checkpoint is self.first:
            return False
        self._drop(self._checkpoints.index(checkpoint))
        return True

    def give(self, checkpoint: CheckpointProxy) -> None:
        """Have `checkpoint`, which is not the first, no more; its process goes on."""
        self._remove(self._checkpoints.index(checkpoint))

    def give_way(self) -> bool:
        """Drop one, as the host has no room for another process; False where none can be spared."""
        if len(self._checkpoints) < 2:
            return False
        self._drop(victim(self._times(), self._cursor_ticks))
        return True

    # --- memory ---

    @property
    def must_measure(self) -> bool:
        """Whether too many have not been measured yet."""
        return len(self._unmeasured) > UNMEASURED_MAX

    def measure(self, runner: CheckpointProxy) -> None:
        """Measure `runner`, which runs, and some checkpoints: each takes a millisecond or more; and thin.

        What one takes changes when others come and go, so all are measured in turn.
        """
        end = time.monotonic() + MEASURING_S * self._used / self._memory_bytes_max
        self._runner_bytes = runner.memory_bytes
        for one in [*self._unmeasured, *self._bytes]:
            self._measure(one)
            if time.monotonic() > end:
                break
        self._thin()

    def _measure(self, one: CheckpointProxy) -> None:
        self._unmeasured.pop(one, None)
        self._bytes.pop(one, None)
        self._bytes[one] = one.memory_bytes

    def _thin(self) -> None:
        while len(self._checkpoints) > self._count_max:
            self._drop(victim(self._times(), self._cursor_ticks))
        while len(self._checkpoints) > KEPT_MIN and self._is_over():
            i = victim(self._times(), self._cursor_ticks)
            self._drop(i)
            for neighbour in self._checkpoints[i - 1 : i + 1]:
                self._measure(neighbour)  # what it shared with the one that went is its own now

    def _is_over(self) -> bool:
        return self._used > self._memory_bytes_max

    @property
    def _used(self) -> int:
        """How much memory all take; one of which nothing is known yet comes to share as little as others."""
        known = sum(self._bytes.values())
        unknown = sum(one not in self._bytes for one in self._unmeasured)
        return self._runner_bytes + known + unknown * (known // max(len(self._bytes), 1))

    # --- ends ---

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

    def _drop(self, i: int) -> None:
        self._remove(i).close()

    def _remove(self, i: int) -> CheckpointProxy:
        checkpoint = self._checkpoints.pop(i)
        self._bytes.pop(checkpoint, None)
        self._unmeasured.pop(checkpoint, None)
        return checkpoint


class Few:
    """The last `count_max` of some among `checkpoints`: when another one comes, the first is let go."""

    def __init__(self, checkpoints: Checkpoints, count_max: int) -> None:
        self._checkpoints: Final = checkpoints
        self._count_max: Final = count_max
        self._few: Final[list[CheckpointProxy]] = []

    def add(self, checkpoint: CheckpointProxy) -> None:
        """Count `checkpoint`, which is among the others, as one of these."""
        self._few.append(checkpoint)
        if len(self._few) > self._count_max and (one := self._few.pop(0)) in self._checkpoints:
            self._checkpoints.lose(one)

    def keep(self) -> None:
        """Keep those that there are, as any others."""
        self._few.clear()
