"""Hidden tests of the lab on copy on write, for `orrery grade` and `pytest --orrery --orrery-root TREE`."""

import pytest

pytestmark = pytest.mark.orrery(programs=["forks.c"], max_time=60)
STORES_MIN = 8  # of 120 stores to shared pages: some kernels take more than one page at a fault


@pytest.mark.orrery(points=25)
def test_a_large_process_can_fork(machine):
    assert machine.sh("forks large") == "ok\n"


@pytest.fixture
def sharing(machine):
    """The machine, when its fork shares memory: there are no points for what a fork that copies does."""
    faults = []
    machine.on("fault", faults.append)
    assert machine.sh("forks apart") == "ok\n"
    stores = [fault for fault in faults if fault.cause == 15 and fault.mapped]
    assert len(stores) >= STORES_MIN, "fork shares pages, and the first store to one of them faults"
    return machine


@pytest.mark.orrery(points=15)
def test_memory_is_shared_until_somebody_writes(sharing):
    assert sharing.status == 0


@pytest.mark.orrery(points=15)
def test_nobody_sees_what_another_one_wrote(sharing):
    assert sharing.sh("forks apart") == "ok\n"


@pytest.mark.orrery(points=15)
def test_the_kernel_copies_too(sharing):
    assert sharing.sh("forks calls") == "ok\n"


@pytest.mark.orrery(points=5)
def test_text_cannot_be_written(machine):
    assert machine.sh("forks text").endswith("ok\n")


@pytest.mark.orrery(points=10)
def test_memory_runs_out(machine):
    assert machine.sh("forks exhausted").endswith("\nok\n"), "the writer is killed; nothing is lost"


@pytest.mark.orrery(points=10)
def test_no_frame_is_lost(sharing):
    assert sharing.sh("forks leaks") == "ok\n"


@pytest.mark.orrery(points=5)
def test_the_shell_works(machine):
    assert machine.sh("echo one two | wc; ls | grep README | wc") != ""
    assert machine.status == 0
