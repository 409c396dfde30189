"""grade: the hidden tests for each submission of a class, and what each gets.

Called by `orrery grade DIR...`.  Each submission has a pytest of its own, in a process group that is ended
when it takes too long, so one that hangs or crashes costs the others nothing.  Nothing of a submission is
imported or read as configuration: the current directory is the test's, and Python starts with -P (see
docs/threat-model.md).  For each there is a folder with results.json, junit.xml and output.txt; for all a
table and grades.csv.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from orrery.errors import BadInput
from orrery.grading import overlay, results
from orrery.grading.results import Grade
from toolchain.names import shown

RESULTS: Final = "results.json"
JUNIT: Final = "junit.xml"
OUTPUT: Final = "output.txt"
CSV: Final = "grades.csv"
OUTPUT_BYTES_MAX: Final = 1 << 24
GRADED, NOT_GRADED, INTERRUPTED = 0, 1, 130
ENDED_BY_TESTS: Final = (0, 1)  # pytest's statuses: all passed, some failed


@dataclass(frozen=True)
class GradingJob:
    """What is to be graded, and how."""

    submissions: list[Path]
    tests: list[Path]
    out: Path
    jobs: int
    timeout_s: float
    max_time: str | None = None
    kernel: bool = False
    programs: Path | None = None
    tree: Path | None = None  # what the students were given, over which each submission is laid


def main(wanted: GradingJob, say: Callable[[str], None]) -> int:
    """Grade a class: prints the table, and returns the exit status. Raises BadInput."""
    submissions = _checked(wanted, say)
    grader = _Grader(wanted)
    try:
        grades = grader.all(submissions)
    except KeyboardInterrupt:
        grader.end()
        return INTERRUPTED
    most = max((grade.possible for grade in grades), default=0)
    for grade in grades:
        grade.possible = grade.possible or most
    results.write_csv(wanted.out / CSV, grades)
    for line in results.table(grades):
        print(line)
    missing = [grade for grade in grades if grade.why]
    if missing:
        say(f"orrery: {len(missing)} of {len(grades)} could not be graded; {wanted.out} has what was printed")
    return NOT_GRADED if missing else GRADED


def _checked(wanted: GradingJob, say: Callable[[str], None]) -> dict[str, Path]:
    """The submissions by the names of their folders; raises BadInput for what cannot be."""
    if find_spec("pytest") is None:
        raise BadInput("grade: pytest is missing; `make dev` fetches it")
    for test in wanted.tests:
        if not test.is_file():
            raise BadInput(f"{shown(test)}: no such test; name a file with --test")
    directories = []
    for path in wanted.submissions:
        if path.is_dir():
            directories.append(path.resolve())
        elif path.exists() or path.is_symlink():
            say(f"orrery: warning: {shown(path)}: not a directory, and not graded")
        else:
            raise BadInput(f"{shown(path)}: no such directory; name one for each submission")
    if not directories:
        raise BadInput("no submission is a directory; name one for each")
    ours = [*wanted.tests, wanted.out, *([] if wanted.programs is None else [wanted.programs])]
    for directory in directories:
        for one in ours:
            if one.resolve().is_relative_to(directory):
                raise BadInput(f"{shown(one)}: lies in the submission {shown(directory)}; have it elsewhere")
    if wanted.out.exists() and not wanted.out.is_dir():
        raise BadInput(f"{shown(wanted.out)}: not a directory; name another with -o")
    return _named(directories)


def _named(directories: Iterable[Path]) -> dict[str, Path]:
    """A name for each directory: its own, with as many of those above it as tell it from others."""
    distinct = dict.fromkeys(directories)
    names: dict[str, Path] = {}
    for directory in distinct:
        parts = [part for part in directory.parts if part != os.sep] or ["root"]
        for count in range(1, len(parts) + 1):
            name = "_".join(parts[-count:])
            same = [one for one in distinct if one.parts[-count:] == directory.parts[-count:]]
            if len(same) == 1 and name not in names:
                break
        while name in names or name == CSV:
            name += "_"
        names[name] = directory
    return names


class _Grader:
    """Runs a pytest for each submission, several at a time."""

    def __init__(self, wanted: GradingJob) -> None:
        self._wanted: Final = wanted
        self._running: Final[set[subprocess.Popen[bytes]]] = set()
        self._lock: Final = threading.Lock()
        self._ending = False

    def all(self, submissions: dict[str, Path]) -> list[Grade]:
        """The grades, in the order of the submissions."""
        self._wanted.out.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self._wanted.jobs) as pool:
            try:
                return list(pool.map(self._grade, submissions, submissions.values()))
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End all that runs, and begin nothing more."""
        with self._lock:
            self._ending = True
            for process in self._running:
                _kill(process)

    def _grade(self, name: str, directory: Path) -> Grade:
        """Grade one submission; whatever goes wrong is its grade."""
        folder = self._wanted.out / name
        try:
            folder.mkdir(exist_ok=True)
            # pytest expands ~ and $ in names: it gets plain ones.
            with tempfile.TemporaryDirectory(prefix="orrery-grade-") as scratch:
                try:
                    why = self._run(self._laid(directory, Path(scratch)), Path(scratch))
                except overlay.CannotLay as error:
                    why = str(error)
                grade = results.read(name, Path(scratch) / RESULTS, why)
                if grade.why:
                    results.write_failure(Path(scratch) / RESULTS, grade.why)
                for file in (RESULTS, JUNIT, OUTPUT):
                    (folder / file).unlink(missing_ok=True)
                    if Path(scratch, file).exists():
                        shutil.move(Path(scratch, file), folder / file)
        except OSError as error:
            return Grade(name, why=f"{error.strerror}: {shown(error.filename or folder)}")
        return grade

    def _laid(self, directory: Path, scratch: Path) -> Path:
        """The directory to grade: the submission, or the tree with it laid over. Raises CannotLay."""
        if self._wanted.tree is None:
            return directory
        overlay.lay(self._wanted.tree, directory, scratch / "tree")
        return scratch / "tree"

    def _run(self, directory: Path, scratch: Path) -> str:
        """Run pytest; why that came to nothing, or nothing."""
        with open(scratch / OUTPUT, "wb") as output:
            with self._lock:
                if self._ending:
                    return "interrupted"
                process = subprocess.Popen(
                    self._command(directory, scratch),
                    cwd=self._wanted.tests[0].resolve().parent,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                status = _wait(process, self._wanted.timeout_s, scratch / OUTPUT)
            finally:
                _kill(process)
                process.wait()
                with self._lock:
                    self._running.discard(process)
        if isinstance(status, str):
            return status
        if status not in ENDED_BY_TESTS:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
            return f"pytest {how}"
        return ""

    def _command(self, directory: Path, scratch: Path) -> list[str]:
        wanted = self._wanted
        words = [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-q",
            "--color=no",
            "-p",
            "no:cacheprovider",
            "--orrery",
        ]
        if wanted.kernel:
            words.append(f"--orrery-root={directory}")
            if wanted.programs is not None:
                words.append(f"--orrery-programs={wanted.programs.resolve()}")
        else:
            words.append(f"--orrery-programs={directory}")
        if wanted.max_time is not None:
            words.append(f"--orrery-max-time={wanted.max_time}")
        words += [f"--orrery-gradescope={scratch / RESULTS}", f"--junitxml={scratch / JUNIT}"]
        return [*words, *(str(test.resolve()) for test in wanted.tests)]


def _wait(process: subprocess.Popen[bytes], timeout_s: float, output: Path) -> int | str:
    """The exit status, or why it was not waited for."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(min(1.0, max(0.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                return f"not done after {timeout_s:g} s"
            if output.stat().st_size > OUTPUT_BYTES_MAX:
                return f"printed more than {OUTPUT_BYTES_MAX >> 20} MiB"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a pytest, if it still runs, and what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
