"""Hidden tests of the lab on system calls, for `orrery grade` and `pytest --orrery --orrery-root TREE`."""

import re

import pytest

pytestmark = pytest.mark.orrery(max_time=20)
TRACED = pytest.mark.orrery(programs=["traced.c"])


def lines(machine, case):
    """What was printed, a list of (pid, call, result); other lines as they are."""
    printed = machine.sh(f"traced {case}").splitlines()
    matches = [(line, re.fullmatch(r"(\d+): syscall (\w+) -> (-?\d+)", line)) for line in printed]
    return [(int(m[1]), m[2], int(m[3])) if m else line for line, m in matches]


@TRACED
@pytest.mark.orrery(points=25)
def test_calls_in_the_mask_are_printed(machine):
    calls = lines(machine, "plain")
    assert [call[1:] for call in calls] == [("open", 3), ("open", -1), ("close", 0)]
    assert len({call[0] for call in calls}) == 1


@TRACED
@pytest.mark.orrery(points=20)
def test_a_child_has_its_own_mask(machine):
    calls = lines(machine, "child")
    assert [call[1:] for call in calls] == [("dup", -1), ("dup", -1)]
    assert calls[0][0] != calls[1][0], "the first is the child's, the second its parent's"


@TRACED
@pytest.mark.orrery(points=10)
def test_exec_keeps_the_mask(machine):
    text = machine.sh("traced exec")
    assert re.search(r"\d+: syscall write -> \d", text)


@TRACED
@pytest.mark.orrery(points=10)
def test_trace_itself(machine):
    assert [call[1:] for call in lines(machine, "itself")] == [("trace", 0)]


@TRACED
@pytest.mark.orrery(points=10)
def test_a_refused_call(machine):
    assert [call[1:] for call in lines(machine, "refused")] == [("dup", -1)]


@TRACED
@pytest.mark.orrery(points=10)
def test_others_are_not_traced(machine):
    assert [call[1] for call in lines(machine, "nobody")] == ["trace"]


@pytest.mark.orrery(points=15)
def test_the_command(machine):
    text = machine.sh("trace 32 cat README")
    assert re.search(r"^\d+: syscall read -> [1-9]\d*$", text, re.M)
    assert re.search(r"^\d+: syscall read -> 0$", text, re.M)
    assert "open" not in re.findall(r"^\d+: syscall (\w+)", text, re.M)
