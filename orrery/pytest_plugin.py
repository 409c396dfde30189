"""The pytest plugin: `pytest --orrery` gives tests the fixture `machine`, a booted machine for each test.

Loaded by pytest in every run of an environment that has Orrery, so it loads nothing more until --orrery is
given.  A course writes hidden tests with it that grade C programs and kernels; docs/grading.md tells how.
What a student got wrong is a failure of the test, with one clear message; the console is in the report.
"""

import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from orrery.grading.submission import Submissions
    from orrery.pool.forked_machine import ForkedMachine

GRADER: Final = "orrery-grader"  # under which pytest knows the plugin object of a run with --orrery
MAX_TIME_S: Final = 60.0
SHOWN_CHARS_MAX: Final = 2000  # of a console, in the report of a test
CRASHES_MAX: Final = 5
PATH_OPTIONS: Final = ("--orrery-programs", "--orrery-root", "--orrery-gradescope")
MARKER: Final = (
    "orrery(programs=[...], files={...}, drive=..., mem_mib=..., engine=..., seed=..., max_time=..., "
    "lab=..., usyscall=..., ustack=..., layout=..., points=...): what the fixture `machine` is made of, "
    "and what the test is worth; see docs/grading.md"
)
EXPLANATION: Final = "`machine` is a machine of Orrery's: give pytest --orrery, and each test gets its own"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options. Called before pytest has opened anything or begun to capture output."""
    if any(word in sys.argv for word in PATH_OPTIONS):
        from orrery.grading.submission import start_again_with_joined_words

        start_again_with_joined_words()
    group = parser.getgroup("orrery", "Orrery: programs and kernels tested on a machine")
    group.addoption("--orrery", action="store_true", help="provide the fixture `machine`")
    group.addoption(
        "--orrery-max-time",
        type=_seconds,
        default=MAX_TIME_S,
        metavar="S",
        help="virtual seconds that a test may take (default: %(default)g)",
    )
    group.addoption(
        "--orrery-programs",
        metavar="DIR",
        help="where the sources that tests name are (default: beside the test)",
    )
    group.addoption(
        "--orrery-root",
        metavar="DIR",
        help="the source tree of Orrery to test, with a changed kernel say (default: the installed one)",
    )
    group.addoption(
        "--orrery-gradescope",
        metavar="FILE",
        help="write the points to FILE, as Gradescope's results.json",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before the first conftest.py: keep those of submissions out."""
    known = early_config.known_args_namespace
    if known.orrery:
        from orrery.grading.submission import anchors

        submissions = _submissions(early_config, anchors(early_config, known.file_or_dir))
        submissions.check(early_config.inipath)
        submissions.forget_modules()


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("--orrery"):
        config.pluginmanager.register(Grader(config), GRADER)
        _register_results(config)
    elif config.getoption("--orrery-root") or config.getoption("--orrery-programs"):
        raise pytest.UsageError("--orrery-root and --orrery-programs: give --orrery, too")
    elif config.getoption("--orrery-gradescope"):
        raise pytest.UsageError("--orrery-gradescope: give --orrery, too")


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> "Iterator[ForkedMachine]":
    """A machine of Orrery's that has booted, for this test alone: machine.sh("ls") is what that printed."""
    grader = request.config.pluginmanager.get_plugin(GRADER)
    if grader is None:
        pytest.fail(EXPLANATION, pytrace=False)
    yield from grader.lend(request.node)


def _submissions(config: pytest.Config, anchors: list[Path]) -> "Submissions":
    """The directories that students wrote."""
    from orrery.grading.submission import Submissions
    from toolchain.paths import ROOT

    known = config.known_args_namespace
    root = known.orrery_root
    foreign = root if root is not None and Path(root).resolve() != ROOT else None
    return Submissions([known.orrery_programs, foreign], anchors)


def _register_results(config: pytest.Config) -> None:
    """Have results written; a worker of pytest-xdist leaves that to who started it."""
    name = config.getoption("--orrery-gradescope")
    if name is None or hasattr(config, "workerinput"):
        return
    from orrery.grading.gradescope import Results

    path = Path(name).absolute()
    if path.suffix != ".json" or path.is_dir() or not path.parent.is_dir():
        raise pytest.UsageError(f"--orrery-gradescope {name}: name a .json file in a directory that there is")
    config.pluginmanager.register(Results(path), "orrery-gradescope")


def _seconds(text: str) -> float:
    """The value of --orrery-max-time."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text}: give a number of seconds, as in --orrery-max-time 2.5")
    return seconds


class _NoMachine:
    """In place of a machine that cannot be had: the test fails when it is called, or uses it before."""

    def __init__(self, reason: str) -> None:
        self._reason: Final = reason

    def fail(self) -> NoReturn:
        pytest.fail(self._reason, pytrace=False)

    def __getattr__(self, name: str) -> Any:
        self.fail()


class Grader:
    """A run with --orrery: where the machines come from, and what is reported of them."""

    def __init__(self, config: pytest.Config) -> None:
        from orrery.errors import BadInput
        from orrery.pool.machine_pool import MachinePool

        self._max_time_s: Final[float] = config.getoption("--orrery-max-time")
        self._lent: Final = pytest.StashKey["ForkedMachine | _NoMachine"]()
        programs = config.getoption("--orrery-programs")
        self._programs: Final = None if programs is None else Path(programs).resolve()
        if self._programs is not None and not self._programs.is_dir():
            raise pytest.UsageError(
                f"--orrery-programs {programs}: no such directory; give that of the sources"
            )
        self._root: Final[str | None] = config.getoption("--orrery-root")
        from orrery.grading.submission import anchors

        self._submissions: Final = _submissions(config, anchors(config, config.args))
        try:
            self._pool: Final = MachinePool(self._root)
        except BadInput as error:
            raise pytest.UsageError(f"--orrery-root {error}") from error

    def lend(self, item: pytest.Item) -> "Iterator[ForkedMachine | _NoMachine]":
        """The machine of test `item`, until the test is over."""
        lent = item.stash[self._lent] = self._machine(item)
        yield lent
        if not isinstance(lent, _NoMachine):
            lent.close()
            item.user_properties += [
                ("orrery_virtual_time_s", _decimal(lent.used_ps)),
                ("orrery_exit_status", lent.status),
            ]

    def _machine(self, item: pytest.Item) -> "ForkedMachine | _NoMachine":
        """A machine as the test's markers say, or the reason why it cannot be had."""
        from orrery.grading.marker import settings
        from toolchain.cc import CompileError

        here = item.path.parent
        sources = self._programs or here
        try:
            given = dict(settings(item))
            drive, limit_s = given.pop("drive", None), given.pop("max_time", None)
            programs = [sources / name for name in given.pop("programs", None) or ()]
            given.pop("points", None)  # what the test is worth; the rest is named as the pool's parameters
            return self._pool.machine(
                drive if drive is None or isinstance(drive, bytes) else here / drive,
                programs=programs,
                max_time_s=self._max_time_s if limit_s is None else limit_s,
                submission=self._programs,
                **given,
            )
        except CompileError as error:
            return _NoMachine(error.details.replace(f"{sources}{os.sep}", "").rstrip())
        except Exception as error:  # any: whatever keeps the machine from being there is the test's result
            notes = getattr(error, "__notes__", ())
            return _NoMachine("\n".join([f"{_name(error)}: {error}", *notes]))

    # --- what pytest calls ---

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """No tests of a submission's are run, nor is its conftest.py."""
        return True if self._submissions.holds(collection_path) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say what the test is worth, whatever becomes of it."""
        from orrery.grading.marker import POINTS, settings

        try:
            given = settings(item)
        except Exception as error:  # any, as for a machine: it is the test's result
            item.stash[self._lent] = _NoMachine(f"{_name(error)}: {error}")
            return
        item.user_properties.append(("orrery_points", given.get("points", POINTS)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """A test without its machine has failed, and not just been ill prepared."""
        lent = item.stash.get(self._lent, None)
        if isinstance(lent, _NoMachine):
            lent.fail()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the console, as what the test printed."""
        from toolchain.names import shown_lines

        report = yield
        lent = item.stash.get(self._lent, None)
        if lent is not None and not isinstance(lent, _NoMachine) and (report.when == "call" or report.failed):
            said = "".join(f"{line.rstrip()}\n" for line in lent.warnings) + self._pool.take_log()
            report.sections.append(("Captured stdout of the machine", shown_lines(_shortened(lent.console))))
            if lent.crashes:
                crashes = "\n".join(lent.crashes[-CRASHES_MAX:])
                report.sections.append(("Captured crashes of programs", shown_lines(crashes)))
            if said:
                report.sections.append(("Captured stderr of Orrery", shown_lines(said)))
        return report

    def pytest_report_header(self) -> str | None:
        """Say which kernel is graded."""
        if self._root is None:
            return None
        from toolchain import landlock

        held = landlock.version() >= landlock.SIGNALS_SINCE
        lacking = "" if held else " (little keeps it from your files here: see docs/threat-model.md)"
        return f"orrery: source tree {self._root}{lacking}"

    def pytest_unconfigure(self) -> None:
        """The run is over."""
        self._pool.close()


def _name(error: Exception) -> str:
    """The name of an exception, as the guide has it."""
    from orrery.errors import BadInput

    return "BadInput" if isinstance(error, BadInput) else type(error).__name__


def _shortened(text: str) -> str:
    """`text` as it is shown in a report: its beginning and its end."""
    if len(text) <= SHOWN_CHARS_MAX:
        return text
    half = SHOWN_CHARS_MAX // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out} characters ...]\n{text[-half:]}"


def _decimal(time_ps: int) -> str:
    """Seconds, to the microsecond."""
    return f"{time_ps // 10**12}.{time_ps // 10**6 % 10**6:06d}"
