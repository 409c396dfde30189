"""The event queue: functions to be called later, ordered by virtual time, then by the order of insertion.

Devices and the machine insert them; only the machine loop takes them out, with `run_due`, between two guest
instructions. The loop reads `next_ticks` each time it enters the engine, so that is a plain integer
that is right at any moment. All times are in clock ticks (emu/clock.py), without end. Nothing here depends
on hash or address order, so the same calls give the same run.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

NEVER: Final = 1 << 127  # later than every event: a sum of waits does not come to it


class Event:
    """One thing to do: `fn()` when virtual time has reached `ticks`. Made by EventQueue.at."""

    __slots__ = ("fn", "pending", "ticks")

    def __init__(self, ticks: int, fn: Callable[[], None]) -> None:
        self.ticks: Final = ticks
        self.fn: Final = fn
        self.pending = True  # False once it has run or has been cancelled


class EventQueue:
    """Events in the order of (ticks, insertion). `next_ticks` is the first one's time, or NEVER."""

    def __init__(self) -> None:
        self.next_ticks: int = NEVER
        self._heap: list[tuple[int, int, Event]] = []  # cancelled events stay until they come to the top
        self._inserted = 0

    def at(self, ticks: int, fn: Callable[[], None]) -> Event:
        """Ask for `fn()` at virtual time `ticks`; a time that has passed means at the next occasion."""
        assert 0 <= ticks < NEVER, f"an event's time lies in [0, NEVER), not {ticks}"
        event = Event(ticks, fn)
        heappush(self._heap, (ticks, self._inserted, event))
        self._inserted += 1
        self.next_ticks = min(self.next_ticks, ticks)
        return event

    def cancel(self, event: Event) -> None:
        """Make sure that `event` does not run any more; no matter if it has run or been cancelled."""
        event.pending = False
        self._drop_cancelled()

    def run_due(self, now: int) -> int:
        """Run all events whose time is at most `now`, new ones that they add included; gives their number.

        An event that raises has been taken out, and the queue is in order for the next call.
        """
        count = 0
        while self.next_ticks <= now:
            event = heappop(self._heap)[2]
            event.pending = False
            self._drop_cancelled()
            count += 1
            event.fn()
        return count

    def pending(self) -> list[Event]:
        """The events to come, in their order: for reports on a machine that has stopped."""
        return [event for _, _, event in sorted(self._heap, key=lambda entry: entry[:2]) if event.pending]

    def _drop_cancelled(self) -> None:
        heap = self._heap
        while heap and not heap[0][2].pending:
            heappop(heap)
        self.next_ticks = heap[0][0] if heap else NEVER
