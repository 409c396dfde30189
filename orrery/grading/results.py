"""Results of grading: what each submission has got, as pytest wrote it, and the table and the file of all.

Used by grade.py.  What a student named is shown with escapes, and no cell of the CSV file is a formula.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orrery.inspect.tables import Table, lines, look_of
from toolchain.names import shown

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would carry out


@dataclass
class Grade:
    """What a submission has got; `why` it could not be graded, if so."""

    name: str
    tests: dict[str, float] = field(default_factory=dict)
    passed: int = 0
    points: float = 0
    possible: float = 0
    why: str = ""


def read(name: str, path: Path, why: str) -> Grade:
    """The grade that pytest has written."""
    if why:
        return Grade(name, why=why)
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        tests = document["tests"]
        return Grade(
            name,
            {test["name"]: test["score"] for test in tests},
            sum(test["status"] == "passed" for test in tests),
            document["score"],
            sum(test["max_score"] for test in tests),
            "" if tests else "no test ran",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Grade(name, why=f"no results: {type(error).__name__}: {error}")


def write_failure(path: Path, why: str) -> None:
    """Results for Gradescope where there are none."""
    text = f"The submission could not be graded: {why}."
    path.write_text(json.dumps({"score": 0, "output": text, "visibility": "visible", "tests": []}) + "\n")


def table(grades: Sequence[Grade]) -> list[str]:
    rows = [
        (
            shown(grade.name),
            f"{grade.points:g}",
            f"{grade.possible:g}",
            f"{grade.passed} of {len(grade.tests)}",
            f"not graded: {shown(grade.why)}" if grade.why else "",
        )
        for grade in grades
    ]
    return lines(Table(("submission", ">points", ">of", ">tests passed", ""), rows), look_of(1))


def write_csv(path: Path, grades: Sequence[Grade]) -> None:
    """A row for each submission, with a column for each test."""
    tests = list(dict.fromkeys(test for grade in grades for test in grade.tests))
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["submission", "points", "possible", "passed", "not graded", *map(_cell, tests)])
        for grade in grades:
            scores = [grade.tests.get(test, "") for test in tests]
            row = [_cell(grade.name), grade.points, grade.possible, grade.passed, _cell(grade.why), *scores]
            writer.writerow(row)


def _cell(text: str) -> str:
    """`text` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
