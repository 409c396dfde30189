"""Documents name only what is there: every path and function in backticks exists in the tree.

docs/ has its own tests beside these; here are the READMEs, and what kernel/README.md owes to its reader.
"""

import re
from pathlib import Path

import pytest
from life import README, TABLE, Life
from names import ROOT, Sources, claims

from toolchain import headers

MAPS = [ROOT / "emu" / "README.md", *sorted((ROOT / "orrery").rglob("README.md"))]
FOLDERS = sorted(path for path in ROOT.glob("*/README.md") if path not in MAPS and path.parent.name != "docs")
READMES = [ROOT / "README.md", *FOLDERS, *MAPS]
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDER = re.compile(r"NAME")  # sys_NAME and the like stand for many
OURS = re.compile(r"[_.(]|[a-z][A-Z]")  # what looks like code; a plain word may be anybody's
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources()


def by_path(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_there(sources: Sources, document: Path, kind: str, word: str) -> bool:
    """Whether a file or a name exists; a path may be meant from the document's folder or one in it."""
    if PLACEHOLDER.search(word):
        return True
    if kind == "file":
        here = document.parent
        places = [here.glob(word), here.glob(f"*/{word}"), ROOT.glob(word)]
        return sources.has_file(word) or word in headers.generate() or any(next(p, None) for p in places)
    return not OURS.search(word) or sources.defines(word)


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_path)
def test_names_exist(document: Path, sources: Sources) -> None:
    said = claims(document.read_text())
    assert [word for kind, word in said if not is_there(sources, document, kind, word)] == []


def test_wrong_names_are_found(sources: Sources) -> None:
    for kind, word in claims(
        "`kernel/trip.py` `asn/` `Trap.progress` `_usertrip()` `NoSuchClass` `no_such_name`"
    ):
        assert not is_there(sources, README, kind, word), word


@pytest.mark.parametrize("document", MAPS, ids=by_path)
def test_a_map_has_every_file(document: Path) -> None:
    """But for those of folders that have a map of their own."""
    rows = re.findall(r"^\| `([\w/]+\.py)` ", document.read_text(), re.MULTILINE)
    apart = [other.parent for other in MAPS if other.parent != document.parent]
    apart = [folder for folder in apart if folder.is_relative_to(document.parent)]
    found = [path for path in document.parent.rglob("*.py") if not any(map(path.is_relative_to, apart))]
    files = [path.relative_to(document.parent) for path in found]
    assert sorted(rows) == sorted(path.as_posix() for path in files if path.name != "__init__.py")


@pytest.mark.parametrize("document", READMES, ids=by_path)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_kernels_reading_order_is_complete() -> None:
    """Every source of kernel/ is in it."""
    text = README.read_text()
    folder = README.parent
    sources = [*folder.rglob("*.py"), *folder.glob("asm/*")]
    names = {path.relative_to(folder).as_posix() for path in sources if path.name != "__init__.py"}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_life_of_a_system_call_is_what_happens() -> None:
    """Where this fails because the kernel has changed: run tests/docs/life.py, and read the text again."""
    found = TABLE.search(README.read_text())
    assert found and found[2].splitlines() == Life().lines
