"""docs/gdb.md shows what a stock gdb says; `.venv/bin/python tests/docs/refresh.py` makes it anew."""

import pytest
from blocks import DOCS, missing_lines
from sessions import GDB, shapes

DOCUMENT = DOCS / "gdb.md"


@pytest.mark.skipif(
    not GDB.exists(), reason="gdb-for-pwndbg is not installed; it is in the requirements for tests"
)
def test_the_document_shows_what_gdb_says() -> None:
    sessions = list(shapes(DOCUMENT))
    assert len(sessions) == 4
    for shown, made in sessions:
        assert shown == made


def test_its_sources_are_in_the_tree() -> None:
    assert not missing_lines(DOCUMENT.read_text())
