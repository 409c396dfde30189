"""Navigation: going to any moment of a timeline, and back by steps.

The part of Timeline (timeline.py) that goes back; reverse_search.py builds on it.  Nothing runs backwards.
To go back is to fork the nearest checkpoint before the goal and let that run up to it, which is exact: a run
is decided by its beginning and by what came in from outside, and that was recorded.
"""

from typing import Final

from orrery.errors import CannotGoOn
from orrery.timetravel.checkpoint_proxy import CheckpointProxy
from orrery.timetravel.moment import Moment
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.timeline_execution import APPROACH_TICKS, TimelineExecution, interruptible

APPROACH_FACTOR: Final = 4  # a checkpoint up to this many times as far will do
STEP_HISTORY_TICKS: Final = 1_000
FIRST_STEPS_TICKS: Final = 100
"""What is walked for one who has not gone back before this moment: most come to look around."""


class Navigation(TimelineExecution):
    """Moves the cursor."""

    @interruptible
    def goto(self, goal: Moment | int) -> Stopped:
        """Go to a moment, or to the first one at or after a time in ticks; forward as far as it goes."""
        return self._go(goal)

    def _go(self, goal: Moment | int) -> Stopped:
        ticks = goal.ticks if isinstance(goal, Moment) else goal
        if self.moment == goal and not self._cursor.lost:
            return self.stopped(StopKind.LIMIT)
        there = self._checkpoints.at(goal) if isinstance(goal, Moment) else None
        if there is not None and (copy := self._newest(there) or self._copy(there)) is not None:
            self._take(copy)
            return self.stopped(StopKind.LIMIT)
        base = self._checkpoints.before(ticks) or self._checkpoints.first
        if self._cursor.lost or not base.moment.ticks <= self.moment.ticks < ticks:
            copy = self._copy_before(ticks) or self._copy(self._checkpoints.first)
            assert copy is not None, "the first checkpoint is there, or it is said that it is not"
            self._take(copy)
        self._cursor.equip((), frozenset())
        self._approach(self._cursor, ticks)
        return self._run(self._cursor, goal)

    @interruptible
    def reverse_step(self, n: int = 1) -> Stopped:
        """Go back by `n` steps; `begin` where there are not as many."""
        goal = self.moment
        while n:
            if not self._find_step_history(goal):
                self._go(self._checkpoints.first.moment)
                return self.stopped(StopKind.BEGIN)
            at = self._step_history.index(goal)
            count = min(n, at)
            goal = self._step_history[at - count]
            n -= count
            self._look_up()
        self._go(goal)
        return self.stopped(StopKind.STEP)

    @interruptible
    def reverse_to(self, priv: int) -> Stopped:
        """Go back to the last moment of this privilege; `begin` where there is none."""
        goal = self.moment
        while self._find_step_history(goal):
            before = self._step_history[: self._step_history.index(goal)]
            found = next((moment for moment in reversed(before) if moment.priv == priv), None)
            if found is not None:
                self._go(found)
                return self.stopped(StopKind.STEP)
            goal = self.sought = before[0]
            self._look_up()
        self._go(self._checkpoints.first.moment)
        return self.stopped(StopKind.BEGIN)

    def _newest(self, there: CheckpointProxy) -> CheckpointProxy | None:
        """`there` itself, where it is the newest moment: a cursor that was kept, and goes on.

        A copy of it would go on, too, but those who go back and forth would make copies of copies; the host
        takes longer for a fork the more forks there were on the way to a process.
        """
        if there is self._checkpoints.first or there.moment != self._checkpoints.moments[-1]:
            return None
        try:
            there.call("output")
        except CannotGoOn:  # somebody has killed it
            return None
        self._checkpoints.give(there)
        return self._informed(there)

    def _take(self, copy: CheckpointProxy) -> None:
        """Go on with `copy`; the newest moment that has been reached is kept."""
        old, self._cursor = self._cursor, copy
        self._passed.keep()
        self._cursor.output.clear()
        newest = old.moment.ticks > self._checkpoints.moments[-1].ticks
        if newest and not old.moment.waiting and not old.lost:
            self._checkpoints.add(old, self.moment.ticks)
        else:
            old.close()

    def _approach(self, runner: CheckpointProxy, ticks: int) -> None:
        """Run to shortly before `ticks`, and leave checkpoints on the way where there are none."""
        for distance in APPROACH_TICKS:
            far = self._is_far(ticks, APPROACH_FACTOR * distance)
            if far and runner.moment.ticks < ticks - distance:
                self._run(runner, ticks - distance)
                self._checkpoint(runner)

    def _find_step_history(self, goal: Moment) -> bool:
        """Have the moments that lead to `goal` in the step history; False at the beginning."""
        if goal in self._step_history[1:]:
            return True
        walker = self._copy_before(goal.ticks)
        if walker is None:
            return False
        try:
            self._approach(walker, goal.ticks)
            goes_on = goal in self._step_history[:1]
            begin = goal.ticks - (STEP_HISTORY_TICKS if goes_on else FIRST_STEPS_TICKS)
            walker.ask("walk", goal, begin)
            self._make_spare(begin)  # while it walks; who asks for the history goes to a moment of it
            found = walker.answer()
        finally:
            walker.close()
        self._step_history = [Moment(*one) for one in found]
        assert len(found) > 1, "a step history begins before the moment to which it leads"
        return True
