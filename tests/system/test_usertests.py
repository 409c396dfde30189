"""usertests, our own in user/tests/usertests: every case on the fast engine, a quick list on the public one.

The cases are dealt out to several machines, so that two test processes can share the work.  What is asserted
is what the program says and its exit status; it compares the free memory before and after by itself.
"""

import re
from functools import cache

import pytest
from boot import System

from emu.loop import Stop

NAMES_MAX = 20
GROUPS = 4  # of cases on the fast engine
QUICK_GROUPS = 2  # on the public one
# What takes the public engine more than a second each; --long runs them too
HEAVY_WITHOUT_HOOKS = {
    "lazy_too_much",
    "kill_status",
    "registers_survive_preemption",
    "preemption",
    "killed_writer",
    "malloc_and_free",
    "large_transfer",
    "sbrk_by_bytes",
    "kill_waiting",
    "failed_writes",
    "failures_keep_no_inode",
}


@cache
def cases() -> dict[str, bool]:
    """The names of all cases, as the program lists them, and whether they are slow."""
    with System(argv=("/init", "/usertests", "-l")) as system:
        assert system.run() is Stop.ASKED and system.board.exit_code == 0
        found = re.findall(r"^(\w+)( \(slow\))?\r?$", system.text, re.M)
    return {name: bool(slow) for name, slow in found}


def verdicts(text: str) -> dict[str, bool]:
    """Name and success of each case in what the program printed; the kernel's lines may stand between."""
    parts = re.split(r"^test (\w+): ", text.replace("\r", ""), flags=re.M)
    return {
        name: bool(re.search(r"^OK$", body, re.M))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def run_cases(engine: str, names: list[str]) -> None:
    """Run these, as many at a time as argv takes; all must pass."""
    assert names, "there are cases"
    for start in range(0, len(names), NAMES_MAX):
        some = names[start : start + NAMES_MAX]
        with System(engine=engine, argv=("/init", "/usertests", *some)) as system:
            assert system.run() is Stop.ASKED
            found = verdicts(system.text)
            assert [name for name, passed in found.items() if not passed] == [], system.text[-3000:]
            assert "ALL TESTS PASSED" in system.text and system.board.exit_code == 0, system.text[-3000:]
            assert set(found) == set(some), "each case ran"


def dealt(names: list[str], group: int, groups: int) -> list[str]:
    """Every groups-th case: the heavy ones stand together and so come apart."""
    return names[group::groups]


@pytest.mark.parametrize("group", range(GROUPS))
def test_all_on_the_fast_engine(group: int) -> None:
    run_cases("fast", dealt(list(cases()), group, GROUPS))


@pytest.mark.parametrize("group", range(QUICK_GROUPS))
def test_quick_ones_on_the_public_engine(group: int) -> None:
    quick = [name for name, slow in cases().items() if not slow and name not in HEAVY_WITHOUT_HOOKS]
    run_cases("public", dealt(quick, group, QUICK_GROUPS))


@pytest.mark.long
@pytest.mark.parametrize("group", range(GROUPS))
def test_all_on_the_public_engine(group: int) -> None:
    run_cases("public", dealt(list(cases()), group, GROUPS))


def test_a_failing_case_shows() -> None:
    """A name that is none: not a pass."""
    with System(argv=("/init", "/usertests", "no_such_case")) as system:
        system.run()
        assert "NO TESTS EXECUTED" in system.text and system.board.exit_code == 1


@pytest.mark.long
def test_all_in_one_go() -> None:
    """As a person runs it, from the shell."""
    with System() as system:
        system.boot()
        before = system.account()
        printed = system.sh("usertests")
        assert "ALL TESTS PASSED" in printed
        assert system.account() == before
