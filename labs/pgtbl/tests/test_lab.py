"""Hidden tests of the lab on page tables, for `orrery grade` and `pytest --orrery --orrery-root TREE`."""

import re

import pytest

pytestmark = pytest.mark.orrery(programs=["pages.c"], max_time=20)
LINE = re.compile(r"((?: \.\.)+)0x([0-9a-f]{16}): pte 0x([0-9a-f]{16}) pa 0x([0-9a-f]{16})")
TRAMPOLINE = (1 << 38) - 4096
V, R, W, X, U = 1, 2, 4, 8, 16


def printed(machine):
    """What kpgtbl printed: the root, and (depth, va, pte, pa) of each line."""
    first, *rest = machine.sh("pages table").splitlines() or ["nothing"]
    root = re.fullmatch(r"page table 0x([0-9a-f]{16})", first)
    lines = [LINE.fullmatch(line) for line in rest]
    assert root and lines and all(lines), "each line has the form that the statement shows"
    return int(root[1], 16), [(len(m[1]) // 3, *(int(m[i], 16) for i in (2, 3, 4))) for m in lines]


@pytest.mark.orrery(points=20)
def test_the_form_of_the_lines(machine):
    _, lines = printed(machine)
    assert all(pa == pte >> 10 << 12 for _, _, pte, pa in lines)
    assert lines[0][0] == 1 and {depth for depth, *_ in lines} == {1, 2, 3}


@pytest.mark.orrery(points=20)
def test_all_entries_are_there(machine):
    root, lines = printed(machine)
    leaves = {va: pte for depth, va, pte, _ in lines if pte & (R | W | X)}
    assert leaves[0] & (X | U) == X | U, "the program's text"
    assert leaves[TRAMPOLINE] & (R | X | U) == R | X
    assert leaves[TRAMPOLINE - 4096] & (R | W | U) == R | W
    assert [va for _, va, pte, _ in lines if pte & (R | W | X)] == sorted(leaves)
    tables = {pa for _, _, pte, pa in lines if not pte & (R | W | X)}
    assert len(tables) == len([1 for _, _, pte, _ in lines if not pte & (R | W | X)]) and root not in tables


@pytest.mark.orrery(points=20, usyscall=True)
def test_a_page_with_the_number(machine):
    assert machine.sh("pages page").endswith("ok\n")


@pytest.mark.orrery(points=5)
def test_no_page_without_the_option(machine):
    machine.sh("pages nothing")
    assert machine.crashes


@pytest.mark.orrery(points=10, usyscall=True, lab=2022)
def test_no_frame_is_lost(machine):
    assert machine.sh("pages leak") == "ok\n"
    assert machine.sh("pages page").endswith("ok\n")


@pytest.mark.orrery(points=25, lab=2022)
def test_pages_that_were_used(machine):
    assert machine.sh("pages used") == "ok\n"
