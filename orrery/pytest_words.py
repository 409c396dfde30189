"""Keeps pytest from taking the path behind an option of ours for one of its own arguments.

pytest looks for its configuration (pytest.ini, pyproject.toml, ...) before it loads plugins, so it does not
know yet that DIR in `--orrery-programs DIR` belongs to an option, and reads what a submission has there: with
`addopts = -p cheat` it would import a module of the student's.  `--orrery-programs=DIR` is one word, which
pytest leaves alone.  So the two words are joined before pytest sees them, by a line in a .pth file, which
Python runs at its start; `make boot` calls install().  Where that line is missing, pytest_plugin.py starts
pytest again with what joined() says.
"""

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PATH_OPTIONS: Final = ("--orrery-programs", "--orrery-root", "--orrery-gradescope")  # as in pytest_plugin.py
RUNNERS: Final = ("pytest", "py.test", "pytest.exe", "py.test.exe")
PTH_NAME: Final = "orrery_pytest_words.pth"  # sorted behind that of the package, which it needs
PTH_LINE: Final = (
    'import sys; any(word in ("--orrery-programs", "--orrery-root", "--orrery-gradescope") '
    'for word in sys.argv) and __import__("orrery.pytest_words").pytest_words.at_start()\n'
)


def joined(words: Sequence[str]) -> list[str]:
    """`words` of a command line with each of PATH_OPTIONS and its value made one word."""
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*result, word, *rest]
        value = next(rest, None) if word in PATH_OPTIONS else None
        result.append(word if value is None else f"{word}={value}")
    return result


def runs_pytest() -> bool:
    """Whether this process was started as `pytest ...` or `python -m pytest ...`."""
    program = sys.orig_argv[-len(sys.argv)].removeprefix("-m") if sys.argv else ""
    return Path(program).name in RUNNERS


def at_start() -> None:
    """Join the words of this process's command line; for the .pth file."""
    if runs_pytest():
        sys.argv[1:] = joined(sys.argv[1:])


def install() -> None:
    """Write the .pth file into this environment."""
    Path(sysconfig.get_path("purelib"), PTH_NAME).write_text(PTH_LINE)


if __name__ == "__main__":
    install()
