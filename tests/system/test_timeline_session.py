"""The past of a machine under gdb: copies of it, made while it ran, stand where it stood."""

import os
from collections.abc import Iterator

import pytest

from orrery.gdb import session_past as module
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine.config import MachineConfig
from orrery.machine.machine import Machine
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.target import Target

MEM_MIB = 16
Seen = list[tuple[Moment, str]]


@pytest.fixture(params=["copies", "made again"])
def travelled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[TimelineSession, Seen]]:
    """One that has run some commands, and where it stood between them; with many copies, or none."""
    monkeypatch.setattr(module, "SPACING_S", 0.02)
    monkeypatch.setattr(module, "can_fork", lambda: True)  # threads of other tests do nothing here
    with Machine(MachineConfig(mem_mib=MEM_MIB)) as machine:
        target = Target(machine)
        session = TimelineSession(machine, target)
        if request.param == "copies":
            session.begin()
            target.on_slice = session.pause
        seen: Seen = []
        for command in (b"", b"echo one > x\n", b"cat x x | wc\n", b"echo two >> x; cat x\n"):
            session.type(command)
            for _ in range(2):
                assert session.resume(session.moment.ticks + 1_000_000).why == "limit"
                seen.append((session.moment, target.digest()))
            assert session.resume().why == "asleep"
        seen.append((session.moment, target.digest()))
        yield session, seen
        session.close()


def test_the_past_is_what_the_present_was(travelled: tuple[TimelineSession, Seen]) -> None:
    session, seen = travelled
    for moment, digest in (seen[6], seen[1], seen[4]):
        assert session.goto(moment).why == "limit"
        assert (session.moment, session._here.digest()) == (moment, digest)
    assert session.reverse_step(KERNEL).why == "step" and session.moment.ticks < seen[4][0].ticks
    assert session.goto(seen[-1][0]).why == "limit" and session.moment == seen[-1][0]


def test_the_present_goes_on_from_the_past_and_its_copies_end(
    travelled: tuple[TimelineSession, Seen],
) -> None:
    session, seen = travelled
    session.goto(seen[4][0])
    assert session.resume().why == "asleep" and session.moment == seen[-1][0]
    session.type(b"cat x\n")
    assert session.resume().why == "asleep"
    session.goto(seen[1][0])
    assert session._here.digest() == seen[1][1]
    copies = list(session._past._copies)
    session.close()
    for copy in copies:
        assert os.waitpid(copy, 0)[1] == 0
    session._past._copies.clear()


# --- a copy that is gone back to, and goes on, knows nothing of what gdb wanted when it was made ---


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Iterator[TimelineSession]:
    """A session that is about to make its first step; its copies are made when a test says so."""
    monkeypatch.setattr(module, "SPACING_S", 1e9)
    monkeypatch.setattr(module, "can_fork", lambda: True)  # threads of other tests do nothing here
    with Machine(MachineConfig(mem_mib=MEM_MIB)) as machine:
        session = TimelineSession(machine, Target(machine))
        session.begin()
        yield session
        session.close()


def return_to_copy(session: TimelineSession) -> Moment:
    """Go on and back to a copy that is made where the session is: the copy itself, as it is the newest."""
    here = session.moment
    session._past.add_checkpoint()
    copy = session._past._copies[-1]
    session.catch(())
    session.set_places(())
    for event in ("exec", "syscall"):
        assert session.run_until(event).why == "event"
    assert session.goto(here).why == "limit"
    timeline = session._past.timeline
    assert timeline is not None and timeline._cursor.pid == copy
    return here


def test_a_copy_made_while_events_were_caught_stops_at_others(copied: TimelineSession) -> None:
    copied.catch({"fork", "exec"})
    assert copied.resume().event == "fork"
    here = return_to_copy(copied)
    copied.catch({"exec", "switch"})
    stopped = copied.resume()
    assert (stopped.event, stopped.moment) == ("switch", copied.moment)
    assert here.ticks < copied.moment.ticks < copied.newest.ticks


@pytest.mark.parametrize("kind", ["free", "place"])
def test_a_copy_is_taken_past_what_was_stopped_at_when_it_was_made(
    copied: TimelineSession, kind: str
) -> None:
    syscall = copied.run_until("syscall").moment
    if kind == "place":
        copied.set_places([Place(ALL, syscall.pc, 1, "x")])
    else:
        copied.catch({kind})
    here = return_to_copy(copied)
    later = copied.newest.ticks - 1
    assert here.ticks < later and copied.goto(later).why == "limit" and copied.moment.ticks >= later


def test_the_end_of_a_call_that_a_copy_came_into_is_caught(copied: TimelineSession) -> None:
    begin = copied.run_until("syscall:exec").moment
    end = copied.run_until("exec").moment
    middle = (begin.ticks + end.ticks) // 2
    assert copied.goto(middle).why == "limit" and begin.ticks < copied.moment.ticks < end.ticks
    copied.catch({"exec"})
    stopped = copied.resume()
    assert (stopped.event, stopped.moment) == ("exec", end)
