"""The past of a machine under gdb: copies of it, made while it ran, stand where it stood."""

import os
from collections.abc import Iterator

import pytest

from orrery.debugger.moment import Moment
from orrery.debugger.stops import KERNEL
from orrery.debugger.target import Target
from orrery.gdb import traveller as module
from orrery.gdb.traveller import Traveller
from orrery.machine.machine import Machine

MEM_MIB = 16
Seen = list[tuple[Moment, str]]


@pytest.fixture(params=["copies", "made again"])
def travelled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Traveller, Seen]]:
    """One that has run some commands, and where it stood between them; with many copies, or none."""
    monkeypatch.setattr(module, "SPACING_S", 0.02)
    monkeypatch.setattr(module, "can_fork", lambda: True)  # threads of other tests do nothing here
    with Machine(mem_mib=MEM_MIB) as machine:
        target = Target(machine)
        traveller = Traveller(machine, target, {"mem_mib": MEM_MIB})
        if request.param == "copies":
            traveller.begin()
            target.on_slice = traveller.pause
        seen: Seen = []
        for command in (b"", b"echo one > x\n", b"cat x x | wc\n", b"echo two >> x; cat x\n"):
            traveller.type(command)
            for _ in range(2):
                assert traveller.resume(traveller.moment.ticks + 1_000_000).why == "limit"
                seen.append((traveller.moment, target.digest()))
            assert traveller.resume().why == "asleep"
        seen.append((traveller.moment, target.digest()))
        yield traveller, seen
        traveller.close()


def test_the_past_is_what_the_present_was(travelled: tuple[Traveller, Seen]) -> None:
    traveller, seen = travelled
    for moment, digest in (seen[6], seen[1], seen[4]):
        assert traveller.goto(moment).why == "limit"
        assert (traveller.moment, traveller._here.digest()) == (moment, digest)
    assert traveller.reverse_step(KERNEL).why == "step" and traveller.moment.ticks < seen[4][0].ticks
    assert traveller.goto(seen[-1][0]).why == "limit" and traveller.moment == seen[-1][0]


def test_the_present_goes_on_from_the_past_and_its_copies_end(travelled: tuple[Traveller, Seen]) -> None:
    traveller, seen = travelled
    traveller.goto(seen[4][0])
    assert traveller.resume().why == "asleep" and traveller.moment == seen[-1][0]
    traveller.type(b"cat x\n")
    assert traveller.resume().why == "asleep"
    traveller.goto(seen[1][0])
    assert traveller._here.digest() == seen[1][1]
    copies = list(traveller._copies)
    traveller.close()
    for copy in copies:
        assert os.waitpid(copy, 0)[1] == 0
    traveller._copies.clear()
