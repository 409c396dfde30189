"""EventQueue: order, cancelling, and next_ticks that is right at any moment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.events import NEVER, Event, EventQueue


def test_runs_by_time_then_by_insertion() -> None:
    queue = EventQueue()
    seen: list[str] = []
    for ticks, name in [(20, "c"), (10, "a"), (20, "d"), (10, "b"), (30, "e")]:
        queue.at(ticks, lambda name=name: seen.append(name))  # type: ignore[misc]
    assert queue.next_ticks == 10
    assert queue.run_due(9) == 0
    assert queue.run_due(20) == 4
    assert seen == ["a", "b", "c", "d"]
    assert queue.next_ticks == 30


def test_cancelled_event_does_not_run_and_does_not_show() -> None:
    queue = EventQueue()
    seen: list[int] = []
    first = queue.at(1, lambda: seen.append(1))
    second = queue.at(2, lambda: seen.append(2))
    queue.cancel(second)
    assert queue.next_ticks == 1
    queue.cancel(first)
    assert queue.next_ticks == NEVER
    queue.cancel(first)
    assert queue.run_due(100) == 0
    assert seen == []


def test_pending_lists_what_is_to_come_and_takes_nothing_out() -> None:
    queue = EventQueue()
    late, gone, early, same = (queue.at(ticks, lambda: None) for ticks in (30, 20, 10, 10))
    queue.cancel(gone)
    assert queue.pending() == [early, same, late]
    assert queue.pending() == [early, same, late] and queue.next_ticks == 10
    assert queue.run_due(10) == 2 and queue.pending() == [late]


def test_cancelling_what_has_run_is_harmless() -> None:
    queue = EventQueue()
    event = queue.at(1, lambda: None)
    queue.run_due(1)
    queue.at(5, lambda: None)
    queue.cancel(event)
    assert queue.next_ticks == 5


def test_an_event_may_add_and_cancel_others() -> None:
    queue = EventQueue()
    seen: list[str] = []
    later = queue.at(9, lambda: seen.append("cancelled"))

    def first() -> None:
        seen.append("first")
        queue.cancel(later)
        queue.at(3, lambda: seen.append("due too"))
        queue.at(50, lambda: seen.append("not yet"))

    queue.at(2, first)
    assert queue.run_due(10) == 2
    assert seen == ["first", "due too"]
    assert queue.next_ticks == 50


def test_queue_is_in_order_after_an_event_raised() -> None:
    queue = EventQueue()
    seen: list[int] = []

    def bad() -> None:
        raise ValueError("as asked")

    queue.at(1, bad)
    queue.at(2, lambda: seen.append(2))
    with pytest.raises(ValueError, match="as asked"):
        queue.run_due(5)
    assert queue.next_ticks == 2
    assert queue.run_due(5) == 1
    assert seen == [2]


@pytest.mark.parametrize("ticks", [-1, NEVER])
def test_refuses_times_that_cannot_come(ticks: int) -> None:
    with pytest.raises(AssertionError):
        EventQueue().at(ticks, lambda: None)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["at", "cancel", "run"]), st.integers(0, 40)), max_size=60))
def test_agrees_with_a_sorted_list(calls: list[tuple[str, int]]) -> None:
    queue = EventQueue()
    model: list[tuple[int, int]] = []  # (ticks, number), pending
    events: list[Event] = []
    ran: list[int] = []
    for what, value in calls:
        if what == "at":
            number = len(events)
            events.append(queue.at(value, lambda number=number: ran.append(number)))  # type: ignore[misc]
            model.append((value, number))
        elif what == "cancel" and events:
            number = value % len(events)
            queue.cancel(events[number])
            model = [entry for entry in model if entry[1] != number]
        elif what == "run":
            due = sorted(entry for entry in model if entry[0] <= value)
            model = [entry for entry in model if entry[0] > value]
            ran.clear()
            assert queue.run_due(value) == len(due)
            assert ran == [number for _, number in due]
        assert queue.next_ticks == min((ticks for ticks, _ in model), default=NEVER)
