"""docs/extending.md: each example is applied to a copy of the sources, run, and prints what the page says.

    <!-- new: FILE -->    the block is a file of that name
    <!-- edit: FILE -->   the block is a change, as in a diff without line numbers
    <!-- run -->          commands behind "$ ", each with what it prints

An example is a section of the page; each starts from sources without the others.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import DOCS, ROOT

PARTS = ("emu", "kernel", "orrery", "toolchain", "user")
BESIDE = ("README.md", "pyproject.toml")
SECTION = re.compile(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^<!-- (new|edit|run)(?:: (\S+))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
PAGE = (DOCS / "extending.md").read_text()
EXAMPLES = {title: text for title, text in SECTION.findall(PAGE) if BLOCK.search(text)}
assert EXAMPLES, "the page has no example"


def changed(text: str, diff: str) -> str:
    """The text with a change made, whose place has to be there once."""
    lines = diff.splitlines(keepends=True)
    assert all(line[0] in " +-" for line in lines), "each line of a change begins with a space, + or -"
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    assert before != after and text.count(before) == 1, f"there once:\n{before}"
    return text.replace(before, after)


def apply(example: str, tree: Path) -> Iterator[tuple[str, str]]:
    """Make the new files and the changes; gives the commands with what they are to print."""
    for kind, name, body in BLOCK.findall(example):
        if kind == "run":
            yield from COMMAND.findall(body)
        elif kind == "new":
            assert not (tree / name).exists(), f"{name} is there already"
            (tree / name).write_text(body)
        else:
            (tree / name).write_text(changed((tree / name).read_text(), body))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_does_what_the_page_says(title: str, tree: Path) -> None:
    commands = list(apply(EXAMPLES[title], tree))
    assert commands, "an example runs something"
    env = {**os.environ, "PYTHONPATH": str(tree)}
    for command, printed in commands:
        program, *words = shlex.split(command)
        assert program == "orrery"
        line = [sys.executable, "-m", "orrery", *words]
        stdin = subprocess.DEVNULL
        done = subprocess.run(line, cwd=tree, env=env, stdin=stdin, capture_output=True, timeout=120)
        assert (done.returncode, done.stdout.decode()) == (0, printed), done.stderr.decode()


def test_a_change_that_does_not_fit_is_refused() -> None:
    assert changed("a\nb\nc\n", " a\n-b\n+B\n") == "a\nB\nc\n"
    for text, diff in (("a\n", " b\n+c\n"), ("a\na\n", " a\n+c\n"), ("a\n", " a\n"), ("a\n", "a\n")):
        with pytest.raises(AssertionError):
            changed(text, diff)
