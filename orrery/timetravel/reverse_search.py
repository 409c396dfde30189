"""Reverse search: who wrote this last, when was the last fork.

The part of Timeline (timeline.py) that goes back to a stop.  The last stop before this moment is only known
when the way here has been run again, so checkpoint processes run it, the nearest part first:

    checkpoint          checkpoint      here
    |-------------------|---------------|
                        |--x---x-----x-->          the last of these; or, if there is none,
    |--x--------------->                           of those

Where stops are dense, as in a loop, the later half of the rest is searched first.
"""

from collections.abc import Callable
from typing import Final

from emu.cpu.hart import USER
from orrery.timetravel.checkpoint_proxy import CheckpointProxy
from orrery.timetravel.kernel_writes import ELSEWHERE
from orrery.timetravel.moment import Moment
from orrery.timetravel.navigation import Navigation
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import KERNEL, StopKind, Stopped
from orrery.timetravel.timeline_execution import APPROACH_TICKS, SLICE_S, interruptible

STOPS_MAX: Final = 200
"""How many stops a copy makes before it looks further on."""

HALVED_TICKS_MIN: Final = 100_000
SWITCH: Final = "switch"


class ReverseSearch(Navigation):
    """Goes to where something happens next, or happened last."""

    def run_until(self, event: str | Place, *, backwards: bool = False) -> Stopped:
        """Go to where `event` (machine/events.py) happens next, or happened last; or an access to a place."""
        places, kinds = self._places, self._kinds
        self.catch(() if isinstance(event, Place) else {event})
        self._places = (event,) if isinstance(event, Place) else ()
        try:
            return self.reverse_resume() if backwards else self.resume()
        finally:
            self._places, self._kinds = places, kinds

    def reverse_step_of(self, pid: int, *, user: bool = False) -> Stopped:
        """Go back to the last step of process `pid`, or its last one in user mode; of KERNEL to any one.

        Past what other processes did meanwhile, by the scheduler's choices.
        """
        places, kinds = self._places, self._kinds
        back: Callable[[], Stopped] = (lambda: self.reverse_to(USER)) if user else self.reverse_step
        stopped = back()
        try:
            while stopped.why == StopKind.STEP and pid not in (KERNEL, self.current):
                if self.current != KERNEL:
                    self._places, self._kinds = (), frozenset((SWITCH,))
                    stopped = self.reverse_resume()  # to where the scheduler chose the running process
                if stopped.why in (StopKind.STEP, StopKind.EVENT):
                    stopped = back()
        finally:
            self._places, self._kinds = places, kinds
        return stopped

    @interruptible
    def reverse_resume(self) -> Stopped:
        """Go back to the last place, or event, that resume would stop at on its way here.

        For an access to a watched place that is the moment before it.  `begin` where there is none.
        """
        limit, inclusive = self.moment, False
        found = None
        while found is None and (runner := self._copy_before(limit.ticks)) is not None:
            begin = runner.moment
            found = self._last_stop(runner, limit, inclusive)
            self.sought = begin
            self._look_up()
            limit, inclusive = begin, True
        if found is None:
            self._go(self._checkpoints.first.moment)
            return self.stopped(StopKind.BEGIN)
        self._go(found.since or found.moment)
        if found.place is not None and found.detail == ELSEWHERE:
            self._go_before_write(found.place, self.current, found.moment.ticks)
        return self._explained(found)._replace(moment=self.moment, pid=self.current)

    def _go_before_write(self, place: Place, pid: int, high: int) -> None:
        """Go on to the moment before `place` has other bytes than now, which it has at the time `high`."""
        pid = pid if place.pid == ALL else place.pid
        before, low = self._bytes(pid, place), self.moment.ticks
        while high - low > 1:
            middle = (low + high) // 2
            self._go(middle)
            if self._bytes(pid, place) == before:
                low = max(middle, min(self.moment.ticks, high - 1))
            else:
                high = middle
            self._look_up()
        self._go(high)
        if self._find_step_history(self.moment):
            self._go(self._step_history[self._step_history.index(self.moment) - 1])

    def _bytes(self, pid: int, place: Place) -> bytes:
        """Those of a place, here."""
        data: bytes = self._cursor.call("read", pid, place.va, place.size)
        return data

    def _last_stop(self, runner: CheckpointProxy, limit: Moment, inclusive: bool) -> Stopped | None:
        """The last stop on the way of `runner`, which is let go, up to `limit`; raises Interrupted.

        Where stops are dense it looks in the later half first.
        """
        found = None
        try:
            while True:
                runner.equip(self._places, self._kinds)
                scan = runner.call("scan", limit, inclusive, STOPS_MAX, SLICE_S)
                found = Stopped.of(scan[0]) if scan[0] is not None else found
                if Stopped.of(scan[2]).why != StopKind.SLICE:
                    return found
                self.sought = runner.moment
                self._look_up()
                if limit == self.moment and self._is_far(runner.moment.ticks, APPROACH_TICKS[0]):
                    self._checkpoint(runner)  # what is found is mostly near, and then gone to from here
                half = (runner.moment.ticks + limit.ticks) // 2
                if scan[1] == STOPS_MAX and half - runner.moment.ticks > HALVED_TICKS_MIN:
                    return self._last_of_halves(runner, half, limit, inclusive) or found
        finally:
            runner.close()

    def _last_of_halves(
        self, runner: CheckpointProxy, half: int, limit: Moment, inclusive: bool
    ) -> Stopped | None:
        earlier = runner.fork()
        try:
            runner.equip((), frozenset())
            self._run(runner, half)
            later = self._last_stop(runner.fork(), limit, inclusive)
            return later or self._last_stop(earlier, runner.moment, inclusive=True)
        finally:
            earlier.close()
