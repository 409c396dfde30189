"""The pytest plugin: `pytest --orrery` gives tests the fixture `machine`, a booted machine for each test.

Loaded by pytest in every run of an environment that has Orrery, so it loads nothing more until --orrery is
given.  A course writes hidden tests with it that grade C programs and kernels; docs/grading.md tells how.
What a student got wrong is a failure of the test, with one clear message; the console is in the report.
"""

import os
from argparse import ArgumentTypeError
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from orrery.forked import ForkedMachine

GRADER: Final = "orrery-grader"  # under which pytest knows the plugin object of a run with --orrery
MAX_TIME_S: Final = 60.0
SHOWN_CHARS_MAX: Final = 2000  # of a console, in the report of a test
CRASHES_MAX: Final = 5
SETTINGS: Final = (
    "drive", "engine", "files", "lab", "layout", "max_time", "mem_mib", "programs", "seed", "usyscall",
)  # fmt: skip
MARKER: Final = (
    "orrery(programs=[...], files={...}, drive=..., mem_mib=..., engine=..., seed=..., max_time=..., "
    "lab=..., usyscall=..., layout=...): what the fixture `machine` is made of; see docs/grading.md"
)
EXPLANATION: Final = "`machine` is a machine of Orrery's: give pytest --orrery, and each test gets its own"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
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


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("--orrery"):
        config.pluginmanager.register(Grader(config), GRADER)
    elif config.getoption("--orrery-root") or config.getoption("--orrery-programs"):
        raise pytest.UsageError("--orrery-root and --orrery-programs: give --orrery, too")


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> "Iterator[ForkedMachine]":
    """A machine of Orrery's that has booted, for this test alone: machine.sh("ls") is what that printed."""
    grader = request.config.pluginmanager.get_plugin(GRADER)
    if grader is None:
        pytest.fail(EXPLANATION, pytrace=False)
    yield from grader.lend(request.node)


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
        from orrery.nursery import Nursery

        self._max_time_s: Final[float] = config.getoption("--orrery-max-time")
        self._lent: Final = pytest.StashKey["ForkedMachine | _NoMachine"]()
        programs = config.getoption("--orrery-programs")
        self._programs: Final = None if programs is None else Path(programs).resolve()
        if self._programs is not None and not self._programs.is_dir():
            raise pytest.UsageError(
                f"--orrery-programs {programs}: no such directory; give that of the sources"
            )
        self._root: Final[str | None] = config.getoption("--orrery-root")
        try:
            self._nursery: Final = Nursery(self._root)
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
        from toolchain.cc import CompileError

        here = item.path.parent
        sources = self._programs or here
        try:
            settings = _settings(item)
            drive = settings.get("drive")
            return self._nursery.machine(
                here / drive if isinstance(drive, str) else drive,
                settings.get("seed", 0),
                settings.get("mem_mib", 128),
                settings.get("engine", "fast"),
                lab=settings.get("lab"),
                usyscall=settings.get("usyscall", False),
                layout=settings.get("layout"),
                programs=[sources / name for name in settings.get("programs", ())],
                files=settings.get("files"),
                max_time_s=settings.get("max_time", self._max_time_s),
            )
        except CompileError as error:
            return _NoMachine(error.details.replace(f"{sources}{os.sep}", "").rstrip())
        except Exception as error:  # any: whatever keeps the machine from being there is the test's result
            notes = getattr(error, "__notes__", ())
            return _NoMachine("\n".join([f"{type(error).__name__}: {error}", *notes]))

    # --- what pytest calls ---

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
        report = yield
        lent = item.stash.get(self._lent, None)
        if lent is not None and not isinstance(lent, _NoMachine) and (report.when == "call" or report.failed):
            said = "".join(f"{line.rstrip()}\n" for line in lent.warnings) + self._nursery.take_log()
            report.sections.append(("Captured stdout of the machine", _shortened(lent.console)))
            if lent.crashes:
                crashes = "\n".join(lent.crashes[-CRASHES_MAX:])
                report.sections.append(("Captured crashes of programs", crashes))
            if said:
                report.sections.append(("Captured stderr of Orrery", said))
        return report

    def pytest_report_header(self) -> str | None:
        """Say which kernel is graded."""
        return None if self._root is None else f"orrery: source tree {self._root}"

    def pytest_unconfigure(self) -> None:
        """The run is over."""
        self._nursery.close()


def _settings(item: pytest.Item) -> Mapping[str, Any]:
    """The settings of all `orrery` markers of a test, the closest first. Raises BadInput."""
    from orrery.errors import BadInput

    merged: dict[str, Any] = {}
    for marker in item.iter_markers("orrery"):
        wrong = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in SETTINGS)]
        if wrong:
            raise BadInput(f"pytest.mark.orrery: {', '.join(wrong)}: it takes {', '.join(SETTINGS)}, by name")
        merged = {**marker.kwargs, **merged}
    if isinstance(merged.get("programs"), str):
        merged["programs"] = [merged["programs"]]
    return merged


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
