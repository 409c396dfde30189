"""Timer: who sleeps until when, and for which time the hart's timer is armed."""

from typing import Any

import pytest
from fake_kernel import Comparator, CutDrive, FakeKernel, FakeProc, attempt

from kernel.abi.disk import BSIZE
from kernel.timer import MTIME_PER_TICK, NEVER, Timer
from kernel.wait import Waits
from kernel.xv6.sysproc import sys_sleep


class Clock:
    """A kernel whose processes sleep in `timer`; `naps` are their results in the order of waking."""

    def __init__(self, *counts: int) -> None:
        self.k: Any = FakeKernel(CutDrive(bytes(4 * BSIZE)))
        self.comparator: Any = Comparator()
        self.timer = self.k.timer = Timer(self.comparator)
        self.k.waits = Waits(self.k, self.timer)
        self.naps: list[tuple[int, int]] = []
        self.procs = [self.k.spawn(self._nap, count) for count in counts]
        self.k.run_until_idle()

    def _nap(self, k: FakeKernel, p: FakeProc, count: int) -> None:
        result = attempt(sys_sleep, k, p, count)
        self.naps.append((count, result))

    @property
    def armed_tick(self) -> int | None:
        armed = self.comparator.armed
        assert armed == NEVER or armed % MTIME_PER_TICK == 0
        return None if armed == NEVER else int(armed // MTIME_PER_TICK)

    def tick(self, tick: int) -> list[tuple[int, int]]:
        """The interrupt at a tick; who has woken since the last."""
        self.comparator.time = tick * MTIME_PER_TICK
        self.timer.intr()
        self.k.run_until_idle()
        woken, self.naps = self.naps, []
        return woken


def test_a_tick_is_counted_when_its_time_has_come() -> None:
    clock = Clock()
    for time, ticks in ((0, 0), (MTIME_PER_TICK - 1, 0), (MTIME_PER_TICK, 1), (2 * MTIME_PER_TICK - 1, 1)):
        clock.comparator.time = time
        assert clock.timer.ticks == ticks


def test_the_timer_is_armed_for_the_next_tick_while_something_runs() -> None:
    clock = Clock()
    clock.comparator.time = 5 * MTIME_PER_TICK + 1
    clock.timer.start()
    assert clock.armed_tick == 6
    clock.tick(6)
    assert clock.armed_tick == 7


def test_while_nothing_runs_it_is_armed_for_the_first_sleeper_or_not_at_all() -> None:
    clock = Clock(9, 3, 5)
    clock.timer.before_idle()
    assert clock.armed_tick == 3
    assert clock.tick(3) == [(3, 0)]
    clock.timer.before_idle()
    assert clock.armed_tick == 5
    assert clock.tick(9) == [(9, 0), (5, 0)]
    clock.timer.before_idle()
    assert clock.armed_tick is None


def test_each_wakes_at_its_tick_and_not_before() -> None:
    clock = Clock(2, 1, 2, 4)
    assert [clock.tick(tick) for tick in range(1, 5)] == [[(1, 0)], [(2, 0), (2, 0)], [], [(4, 0)]]


@pytest.mark.parametrize("count", [0, -1, -(1 << 31)])
def test_no_ticks_are_over_at_once(count: int) -> None:
    assert Clock(count).naps == [(count, 0)]


def test_who_is_killed_wakes_with_an_error_unless_the_time_has_come_too() -> None:
    clock = Clock(3, 3)
    clock.k.kill(clock.procs[0])
    clock.k.run_until_idle()
    assert clock.naps == [(3, -1)]
    clock.timer.before_idle()
    assert clock.armed_tick == 3, "the other still sleeps"
    clock.procs[1].killed = True
    assert clock.tick(3) == [(3, -1), (3, 0)]


def test_alarms_between_ticks_end_no_turn() -> None:
    clock = Clock()
    timer, gone = clock.timer, list[str]()
    timer.start()
    timer.call_at(300, lambda: gone.append("late"))
    timer.call_at(200, lambda: gone.append("early"))
    forgotten = timer.call_at(100, lambda: gone.append("never"))
    assert clock.comparator.armed == 100
    timer.cancel(forgotten)
    clock.comparator.time = 250
    assert not timer.intr() and gone == ["early"] and clock.comparator.armed == 300
    timer.before_idle()
    assert clock.comparator.armed == 300
    clock.comparator.time = MTIME_PER_TICK
    assert timer.intr() and gone == ["early", "late"]
    timer.before_idle()
    assert clock.comparator.armed == NEVER


def test_alarms_that_are_due_together_go_off_in_the_order_in_which_they_were_set() -> None:
    timer, gone = Clock().timer, list[int]()
    for i, time in enumerate((50, 30, 40)):
        timer.call_at(time, lambda i=i: gone.append(i))  # type: ignore[misc]
    timer._comparator.time = 60  # type: ignore[misc]
    timer.intr()
    assert gone == [0, 1, 2]
