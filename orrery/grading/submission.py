"""What pytest may not take from a submission: configuration, plugins, conftest.py, tests, modules.

Called by pytest_plugin.py.  A submission is the directory of --orrery-programs, and that of --orrery-root
unless it is the installed tree: files that somebody else wrote.  pytest_words.py keeps pytest from looking
there for its own; here is what else could lead there, from the directories where the tests are.  Where the
tests lie in the submission, it is the teacher who put them there, and nothing can be told apart.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pytest

from orrery import pytest_words


class Submissions:
    """The `directories` that are others', for a run of pytest whose tests are at `anchors`."""

    def __init__(self, directories: Iterable[str | None], anchors: Sequence[Path]) -> None:
        resolved = {Path(directory).resolve() for directory in directories if directory is not None}
        self._anchors: Final = [anchor.resolve() for anchor in anchors]
        self._foreign: Final = [
            directory
            for directory in sorted(resolved)
            if not any(anchor.is_relative_to(directory) for anchor in self._anchors)
        ]

    def holds(self, path: Path) -> bool:
        """Whether `path` is in a submission, and not the teacher's."""
        found = path.resolve()
        return any(found.is_relative_to(directory) for directory in self._foreign)

    def forget_modules(self) -> None:
        """Import nothing from there. `python -m pytest` looks in the current directory first."""
        sys.path[:] = [entry for entry in sys.path if not self.holds(Path(entry or os.curdir))]

    def check(self, inipath: Path | None) -> None:
        """Raise UsageError where pytest has read, or is about to read, what is in a submission."""
        if inipath is not None and self.holds(inipath):
            raise pytest.UsageError(
                f"{inipath}: is in a submission, and pytest has read it as its own configuration; "
                f"write options as one word, as in --orrery-programs=DIR"
            )
        for directory in self._foreign:
            # pytest loads test*/conftest.py below the directories where it begins.
            beside = any(directory.parent == anchor for anchor in self._anchors)
            if beside and directory.name.startswith("test") and (directory / "conftest.py").exists():
                raise pytest.UsageError(
                    f"{directory}: pytest would load the conftest.py of a submission whose name begins with "
                    "test; rename the directory"
                )


def anchors(config: pytest.Config, arguments: Iterable[str]) -> list[Path]:
    """Where pytest looks for tests: its arguments, or else the current directory."""
    here = config.invocation_params.dir
    named = [here / argument.partition("::")[0] for argument in arguments]
    found = [path if path.is_dir() else path.parent for path in named if path.exists()]
    return found or [here]


def start_again_with_joined_words() -> None:
    """Start this process again if pytest has taken the path behind an option for an argument; else return."""
    words = pytest_words.joined(sys.argv[1:])
    if words == sys.argv[1:] or not pytest_words.runs_pytest():
        return
    begun = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [*begun, *words])
