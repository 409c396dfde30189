"""Hidden tests of the lab on scheduling, for `orrery grade` and `pytest --orrery --orrery-root TREE`."""

import pytest

pytestmark = pytest.mark.orrery(programs=["spin.c"], max_time=8)


def turns(machine, line):
    """The numbers of the processes that were chosen while `line` ran, and what it printed."""
    chosen = []
    machine.on("switch", lambda event: chosen.append(event.pid))
    printed = machine.sh(line)
    return chosen, printed


@pytest.mark.orrery(points=25)
def test_turns_end(machine):
    assert machine.sh("spin sleep") == "in time\n"


@pytest.mark.orrery(points=20)
def test_who_computes_gets_its_share(machine):
    assert machine.sh("spin 3 12") == "fair\n"


@pytest.mark.orrery(points=25)
def test_all_take_turns(machine):
    chosen, printed = turns(machine, "spin 4 12")
    assert printed == "fair\n"
    children = sorted(pid for pid in set(chosen) if chosen.count(pid) >= 2)[-4:]
    order = [pid for pid in chosen if pid in children]
    # from when all of them are there: each window of four has each of them once
    windows = [order[i : i + 4] for i in range(4, 12)]
    assert all(sorted(window) == children for window in windows), f"the turns were {order}"


@pytest.mark.orrery(points=15)
def test_who_computes_can_be_killed(machine):
    assert machine.sh("spin kill") == "ended\n"


@pytest.mark.orrery(points=10)
def test_the_machine_waits_when_nothing_runs(machine):
    chosen, _ = turns(machine, "sleep 30")
    assert len(chosen) < 20, "nobody is chosen while all sleep"
    assert machine.used_ps >= 2_900_000_000_000


@pytest.mark.orrery(points=5)
def test_a_pipeline_ends(machine):
    assert machine.sh("ls | grep README | wc").split()[0] == "1"
