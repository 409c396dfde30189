"""`orrery grade` on a small class, with pytest-xdist, as a teacher runs it; and Gradescope's file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orrery.grading import gradescope

HIDDEN = """
import pytest

@pytest.mark.orrery(programs=["p.c"], points=3)
def test_good(machine):
    assert machine.sh("p") == "good\\n"

@pytest.mark.orrery(points=2.5)
@pytest.mark.parametrize("n", [1, 2])
def test_plain(n):
    assert n == 1, "two is wrong"

@pytest.mark.skip(reason="not this year")
def test_skipped(): pass
"""


def test_a_class(tmp_path: Path) -> None:
    (tmp_path / "test_lab.py").write_text(HIDDEN)
    for name, said in (("eve ~", "good"), ("bob", "bad")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.c").write_text(
            f'#include "user/user.h"\nint main() {{ printf("{said}\\n"); return 0; }}'
        )
    (tmp_path / "bob" / "pytest.ini").write_text("[pytest]\naddopts = -p nosuch\n")
    (tmp_path / "bob" / "conftest.py").write_text("raise SystemExit\n")
    done = subprocess.run(
        [sys.executable, "-m", "orrery", "grade", "-o", "out", "--test", "test_lab.py", "eve ~", "bob"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTEST_ADDOPTS": "-n 1"},
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.splitlines() == [
        "submission  points  of  tests passed",
        "eve ~          5.5   9        2 of 4",
        "bob            2.5   9        1 of 4",
    ]
    document = json.loads((tmp_path / "out" / "bob" / "results.json").read_text())
    assert document["score"] == 2.5 and document["output"] == "2.5 of 9 points"
    assert [
        (test["name"], test["score"], test["max_score"], test["status"]) for test in document["tests"]
    ] == [
        ("test_good", 0, 3, "failed"),
        ("test_plain[1]", 2.5, 2.5, "passed"),
        ("test_plain[2]", 0, 2.5, "failed"),
        ("test_skipped", 0, 1, "failed"),
    ]
    good, plain, wrong, skipped = (test["output"] for test in document["tests"])
    assert "'bad\\n' == 'good\\n'" in good and "$ p\nbad\n" in good, "the console is there, too"
    assert plain == "" and "two is wrong" in wrong and "not this year" in skipped
    cases = ElementTree.parse(tmp_path / "out" / "eve ~" / "junit.xml").iter("testcase")
    points = {
        case.attrib["name"]: one.attrib["value"]
        for case in cases
        for one in case.iter("property")
        if one.attrib["name"] == "orrery_points"
    }
    assert points == {"test_good": "3", "test_plain[1]": "2.5", "test_plain[2]": "2.5", "test_skipped": "1"}


def report(nodeid: str, when: str, outcome: str, text: str = "", points: object = None) -> pytest.TestReport:
    properties = [] if points is None else [(gradescope.POINTS_PROPERTY, points)]
    return pytest.TestReport(
        nodeid,
        ("test_x.py", 1, nodeid),
        {},
        outcome,  # type: ignore[arg-type]
        text or None,
        when,  # type: ignore[arg-type]
        user_properties=properties,
    )


class Session:
    """What Results wants of one: nothing."""


def written(path: Path, *reports: pytest.TestReport, status: int = 1) -> dict[str, object]:
    results = gradescope.Results(path)
    for one in reports:
        results.pytest_runtest_logreport(one)
    results.pytest_sessionfinish(Session(), status)  # type: ignore[arg-type]
    document: dict[str, object] = json.loads(path.read_text())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    return document


def test_all_phases_of_a_test_count(tmp_path: Path) -> None:
    document = written(
        tmp_path / "results.json",
        report("a", "setup", "passed", points=4),
        report("a", "call", "passed", points=4),
        report("a", "teardown", "failed", "could not clean up", points=4),
        report("b", "setup", "failed", "no machine", points=1.5),
        report("b", "teardown", "passed", points=1.5),
        report("c", "setup", "passed"),
        report("c", "call", "passed"),
        report("c", "teardown", "passed"),
        report("d", "setup", "passed", points=0),
        status=2,
    )
    tests = document["tests"]
    assert isinstance(tests, list)
    assert [(test["name"], test["score"], test["max_score"]) for test in tests] == [
        ("a", 0, 4),
        ("b", 0, 1.5),
        ("c", 1, 1),
        ("d", 0, 0),
    ]
    assert tests[0]["output"] == "could not clean up" and tests[1]["output"] == "no machine"
    assert document["output"] == "1 of 6.5 points\nThe tests did not all run: pytest ended with status 2."


def test_what_a_program_printed_without_end_is_cut(tmp_path: Path) -> None:
    document = written(tmp_path / "results.json", report("a", "call", "failed", "x" * 10**6))
    assert len(json.dumps(document)) < 2 * gradescope.OUTPUT_CHARS_MAX
