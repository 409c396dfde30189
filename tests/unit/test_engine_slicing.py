"""DESIGN rule 5: random programs, random slicings, single steps, two engines: one state.

A program is run to one moment in several ways; registers, time, RAM and what was sent must agree.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_programs import PROGRAMS, Program

from emu.cpu.exits import TrapLoop
from emu.loop import Stop

END = 4000
CUTS = st.lists(st.integers(0, END), max_size=12).map(sorted)
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink a program takes minutes: do it by hand
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(program: Program, engine: str, cuts: list[int], end: int = END) -> tuple[object, ...]:
    """The state at `end` or where the program ended before, run in pieces that end at `cuts`."""
    machine = program.machine(engine)
    ended = "time"
    try:
        for limit in (*cuts, end):
            while machine.clock.now < limit and ended == "time":
                if machine.loop.run(limit) is Stop.ASLEEP:
                    ended = "asleep"
        if ended == "time":
            machine.loop.run(end)
    except TrapLoop as loop:
        ended = str(loop)
    return ended, *machine.state()


def step(program: Program, engine: str, end: int = END) -> tuple[object, ...]:
    """The same by single steps."""
    machine = program.machine(engine)
    ended = "time"
    try:
        while machine.clock.now < end and ended == "time":
            if not machine.loop.step(end):
                ended = "asleep"
        if ended == "time":
            machine.loop.run(end)
    except TrapLoop as loop:
        ended = str(loop)
    return ended, *machine.state()


def check(program: Program, cuts: list[int]) -> None:
    whole = run(program, "fast", [])
    assert run(program, "fast", cuts) == whole, "slicing shows"
    assert step(program, "fast") == whole, "stepping shows"
    assert run(program, "public", cuts) == whole, "the engines differ"


@pytest.mark.slow
@given(PROGRAMS, CUTS)
@settings(BOUNDED, max_examples=300)
def test_slices_and_steps_do_not_show(program: Program, cuts: list[int]) -> None:
    check(program, cuts)


@pytest.mark.long
@given(PROGRAMS, CUTS)
@settings(BOUNDED, derandomize=False, max_examples=3000)
def test_slices_and_steps_do_not_show_in_many_programs(program: Program, cuts: list[int]) -> None:
    check(program, cuts)
