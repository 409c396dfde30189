"""Tables in reports: plain text that is the same everywhere, and what fits a terminal."""

import os
import pty
import re

import pytest

from orrery.inspect.tables import PLAIN, Look, Table, lines, look_of, rendered

SMALL = Table((">pid", "name", "waits for"), [(1, "init", "a child"), (200, "[red]sh[/red]", "")])
WIDE = Table(("name", "about"), [("ps", "word " * 20), ("x" * 30, "")])
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "COLUMNS"])
def test_plain_text_is_the_same_everywhere(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "20")
    assert lines(SMALL) == [
        "pid  name           waits for",
        "  1  init           a child",
        "200  [red]sh[/red]",
    ]
    assert lines(WIDE)[1] == f"ps{' ' * 30}{'word ' * 20}".rstrip()
    assert rendered(["a line", SMALL._replace(titled=False), ""]) == ["a line", *lines(SMALL)[1:], ""]


@pytest.mark.parametrize("width", [40, 50, 80, 200])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    shown = lines(WIDE, Look(width))
    assert max(map(len, shown)) <= width
    assert " ".join(" ".join(line[32:] for line in shown[1:]).split()) == ("word " * 20).strip()


def test_colours_change_no_text() -> None:
    coloured = lines(SMALL, Look(80, True))
    assert ESCAPE.search(coloured[0])
    assert [ESCAPE.sub("", line).rstrip() for line in coloured] == lines(SMALL)


def test_the_look_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    assert look_of(write) == PLAIN
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert look_of(theirs).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not look_of(theirs).colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not look_of(theirs).colour
    for fd in (read, write, ours, theirs):
        os.close(fd)
