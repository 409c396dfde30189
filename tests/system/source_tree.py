"""Copies of the source tree with a changed line, as a student would hand one in."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("emu", "kernel", "orrery", "toolchain", "user")


def changed_tree(top: Path, file: str, old: str, new: str) -> Path:
    """A copy of the source tree at `top`, in whose `file` the text `old` is `new`."""
    for part in PARTS:
        shutil.copytree(ROOT / part, top / part, ignore=shutil.ignore_patterns("__pycache__"))
    path = top / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has {old!r} once"
    path.write_text(text.replace(old, new))
    return top


def line_of(file: Path, text: str) -> int:
    """The line that says this."""
    (found,) = [i for i, line in enumerate(file.read_text().splitlines(), 1) if text in line]
    return found
