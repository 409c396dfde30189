"""docs/debugger.md shows what the debugger says; `.venv/bin/python tests/docs/refresh.py` makes it anew."""

from blocks import DOCS, missing_lines
from sessions import shapes

DOCUMENT = DOCS / "debugger.md"


def test_the_document_shows_what_the_debugger_says() -> None:
    sessions = list(shapes(DOCUMENT))
    assert len(sessions) == 7
    for shown, made in sessions:
        assert shown == made


def test_its_sources_are_in_the_tree() -> None:
    assert not missing_lines(DOCUMENT.read_text())
