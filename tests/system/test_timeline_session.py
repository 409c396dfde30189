"""The past of a machine under gdb: copies of it, made while it ran, stand where it stood."""

import os
from collections.abc import Iterator

import pytest

from orrery.gdb import session_past as module
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine.config import MachineConfig
from orrery.machine.machine import Machine
from orrery.timetravel.moment import Moment
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
