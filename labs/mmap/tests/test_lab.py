"""Hidden tests of the lab on mmap, for `orrery grade` and `pytest --orrery --orrery-root TREE`."""

import pytest

pytestmark = pytest.mark.orrery(programs=["mapped.c"], max_time=30)


def passes(machine, case):
    assert machine.sh(f"mapped {case}").endswith("ok\n")
    assert machine.status == 0


@pytest.mark.orrery(points=20)
def test_a_file_can_be_read(machine):
    passes(machine, "reads")


@pytest.mark.orrery(points=15)
def test_a_shared_mapping_is_the_file(machine):
    passes(machine, "shares")


@pytest.mark.orrery(points=15)
def test_a_private_mapping_is_not(machine):
    passes(machine, "keeps")


@pytest.mark.orrery(points=15)
def test_parts_are_unmapped(machine):
    passes(machine, "parts")


@pytest.mark.orrery(points=10)
def test_exit_writes_back(machine):
    passes(machine, "ends")


@pytest.mark.orrery(points=5)
def test_what_is_refused(machine):
    passes(machine, "refuses")


@pytest.mark.orrery(points=10)
def test_system_calls_use_a_mapping(machine):
    passes(machine, "calls")


@pytest.mark.orrery(points=5)
def test_zeroes(machine):
    passes(machine, "zeroes")


@pytest.mark.orrery(points=5)
def test_nothing_is_lost(machine):
    passes(machine, "again")
