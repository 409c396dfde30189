"""The programs of user/tests that prove one part of the kernel each, run from the shell as a person would.

What is asserted is what a program says, its exit status, and that the kernel's books add up afterwards.
"""

import re
from pathlib import Path
from typing import Any

import boot
import orrery_cli
import pytest

from orrery import Machine
from orrery.inspect.audit import Audit
from toolchain import mkfs

LINE = re.compile(r"^test (\w+): ", re.M)


def run_all(machine: Machine, program: str) -> dict[str, bool]:
    """Name and success of each case of a program on user/testing.h; the kernel's lines may stand between."""
    names = re.findall(r"^(\w+)(?: \(slow\))?$", machine.sh(f"{program} -l"), re.M)
    assert len(names) > 2
    printed = machine.sh(program)
    parts = LINE.split(printed)
    found = {
        name: bool(re.search(r"^OK$", body, re.M))
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert list(found) == names, f"each case ran, in order: {printed[-2000:]}"
    assert [name for name, passed in found.items() if not passed] == [], printed[-3000:]
    assert machine.status == 0 and printed.endswith("ALL TESTS PASSED\n"), printed[-2000:]
    return found


@pytest.mark.parametrize(
    "program", ["lazytests", "cowtest", "mmaptest", "alarmtest", "symlinktest", "cotests"]
)
def test_all_cases_pass(program: str) -> None:
    with Machine() as machine:
        machine.boot()
        assert run_all(machine, program)
        assert Audit(machine.kernel).findings() == []


def test_bigfile_fills_a_file_of_the_stock_layout() -> None:
    with Machine() as machine:
        printed = machine.boot().sh("bigfile")
        assert printed == "write: 268 blocks\nread: OK\nremove and write in pieces: OK\n"
        assert machine.status == 0 and Audit(machine.kernel).findings() == []


@pytest.mark.long
def test_bigfile_fills_a_file_of_the_lab_layout() -> None:
    files = {name: boot.default_files()[name] for name in ("init", "sh", "bigfile")}
    with Machine(bytes(mkfs.build(files, size=70_000, ninodes=50, layout="lab"))) as machine:
        printed = machine.boot().sh("bigfile")
        assert printed == "write: 65803 blocks\nread: OK\nremove and write in pieces: OK\n"
        assert machine.status == 0 and Audit(machine.kernel).findings() == []


def test_bigfile_says_when_the_disk_is_full() -> None:
    files = {name: boot.default_files()[name] for name in ("init", "sh", "ls", "bigfile")}
    with Machine(bytes(mkfs.build(files, size=200, ninodes=50))) as machine:
        printed = machine.boot().sh("bigfile")
        assert re.fullmatch(r"write: \d+ blocks\nfilling a file \(is the disk full\?\) .*: FAILED\n", printed)
        assert machine.status == 1
        assert machine.sh("ls bigfile.tmp") == "ls: cannot open bigfile.tmp\n"


@pytest.mark.parametrize(
    ("settings", "case"),
    [({}, "over_fork"), ({"usyscall": True}, "same_after_exec"), ({"lab": 2021}, "by_system_calls")],
)
def test_page_tables_of_the_labs(settings: dict[str, Any], case: str) -> None:
    """pgtbltest has other cases where the machine is another."""
    with Machine(**settings) as machine:
        machine.boot()
        assert case in run_all(machine, "pgtbltest")
        assert Audit(machine.kernel).findings() == []


def test_a_failing_case_shows(tmp_path: Path) -> None:
    """check() tells where, the verdict is no pass, and neither is a list in which nothing was wanted."""
    source = """
        #include "user/testing.h"
        static void holds(void) { check(1 + 1 == 2); }
        static void does_not(void) { check(1 + 1 == 3); }
        static void crashes(void) { touch((void *)0x5000000000); }
        static const struct test list[] = {
            {"holds", holds}, {"does_not", does_not}, {"crashes", crashes}, {0},
        };
        static const struct test *const lists[] = {list, 0};
        int main(int argc, char **argv) { return test_main(argc, argv, lists); }
    """
    with Machine(orrery_cli.image_with(tmp_path, {"checked": source})) as machine:
        printed = machine.boot().sh("checked")
        assert machine.status == 1 and printed.endswith("SOME TESTS FAILED\n")
        assert "test holds: OK\n" in printed
        assert "test does_not: \n  checked.c:7: not so: 1 + 1 == 3\nFAILED\n" in printed
        assert re.search(r"test crashes: usertrap\(\).*\n.*\nFAILED\n", printed)
        assert machine.sh("checked holds").endswith("ALL TESTS PASSED\n") and machine.status == 0
        assert machine.sh("checked nope").endswith("NO TESTS EXECUTED\n") and machine.status == 1
