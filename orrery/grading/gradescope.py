"""results.json for Gradescope: the score of each test, and what the student is to be told.

Made by pytest_plugin.py with --orrery-gradescope FILE, as Gradescope's autograder specification has it.
The points of a test come with its report as a property, so that they also arrive from pytest-xdist's workers.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from orrery.grading.marker import POINTS

POINTS_PROPERTY: Final = "orrery_points"
OUTPUT_CHARS_MAX: Final = 20_000  # of a test


@dataclass
class _Result:
    """One test."""

    name: str
    points: float = POINTS
    passed: bool | None = None
    output: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        output = "\n".join(self.output)
        if len(output) > OUTPUT_CHARS_MAX:
            output = f"{output[:OUTPUT_CHARS_MAX]}\n[... {len(output) - OUTPUT_CHARS_MAX} characters]"
        return {
            "name": self.name,
            "score": self.points if self.passed else 0,
            "max_score": self.points,
            "status": "passed" if self.passed else "failed",
            "output": output,
            "output_format": "text",
            "visibility": "visible",
        }


class Results:
    """The results of a run, written to `path` at its end."""

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        self._tests: Final[dict[str, _Result]] = {}
        self._broken: Final[list[str]] = []  # what kept tests from being collected
        self._begin_s: Final = time.monotonic()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test: setup, call or teardown. All must go well."""
        result = self._tests.setdefault(report.nodeid, _Result(report.location[2]))
        said: Mapping[str, object] = dict(report.user_properties)
        points = said.get(POINTS_PROPERTY, POINTS)
        if isinstance(points, int | float):
            result.points = points
        if not report.passed:
            result.passed = False
            result.output += [report.longreprtext, *(f"{title}:\n{text}" for title, text in report.sections)]
        elif report.when == "call" and result.passed is None:
            result.passed = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        tests = [result.as_json() for result in self._tests.values()]
        score = sum(test["score"] for test in tests)
        possible = sum(test["max_score"] for test in tests)
        lines = [f"{score:g} of {possible:g} points"]
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            lines.append(f"The tests did not all run: pytest ended with status {int(exitstatus)}.")
        document = {
            "score": score,
            "output": "\n".join([*lines, *self._broken]),
            "output_format": "text",
            "execution_time": round(time.monotonic() - self._begin_s, 3),
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": tests,
        }
        new = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            new.write_text(json.dumps(document, indent=1) + "\n")
            new.replace(self._path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise pytest.UsageError(f"--orrery-gradescope {self._path}: {error.strerror}") from error
