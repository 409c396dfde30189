"""Grades uniq, for the teacher's eyes: see statement.md for the lab and docs/grading.md for how it is run.

    pytest --orrery --orrery-programs DIRECTORY-OF-A-STUDENT test_lab.py
"""

import pytest

FRUIT = "apple\napple\npear\napple\napple\napple\nplum\n"
ONCE = "apple\npear\napple\nplum\n"
LONG = "x" * 3000
READS_MAX = 200

pytestmark = pytest.mark.orrery(
    programs=["uniq.c"],
    files={
        "fruit": FRUIT,
        "short": "a\na",
        "lines": "\n\n\na\n\n",
        "none": "",
        "long": f"{LONG}\n{LONG}\n{LONG}y\n",
        "many": "0123456789abcde\n0123456789abcdf\n" * 625,
    },
    max_time=1,
)


def test_repeats_are_left_out(machine):
    assert machine.sh("uniq fruit") == ONCE
    assert machine.status == 0


def test_standard_input(machine):
    assert machine.sh("cat fruit | uniq") == ONCE


def test_count(machine):
    assert machine.sh("uniq -c fruit") == "2 apple\n1 pear\n3 apple\n1 plum\n"
    assert machine.sh("uniq -c < fruit") == "2 apple\n1 pear\n3 apple\n1 plum\n"


def test_last_line_without_newline(machine):
    assert machine.sh("uniq -c short") == "2 a\n"


def test_empty_lines(machine):
    assert machine.sh("uniq -c lines") == "3 \n1 a\n1 \n"
    assert machine.sh("uniq none") == ""
    assert machine.status == 0


def test_long_lines(machine):
    assert machine.sh("uniq -c long") == f"2 {LONG}\n1 {LONG}y\n"


def test_missing_file(machine):
    assert machine.sh("uniq nosuch") == "uniq: cannot open nosuch\n"
    assert machine.status == 1
    assert machine.sh("uniq nosuch > out; cat out") == "uniq: cannot open nosuch\n", "errors go to 2"


@pytest.mark.parametrize("arguments", ["-x", "-c -c fruit", "fruit fruit"])
def test_usage(machine, arguments):
    assert machine.sh(f"uniq {arguments}") == "usage: uniq [-c] [file]\n"
    assert machine.status == 1


def test_reads_are_large(machine):
    calls = []
    machine.on("syscall", calls.append)
    assert machine.sh("uniq many | tail -n 1") == "0123456789abcdf\n"
    reads = [call for call in calls if call.process == "uniq" and call.name == "read"]
    assert len(reads) <= READS_MAX, f"{len(reads)} reads for 20000 bytes, such as {reads[0].text}"
