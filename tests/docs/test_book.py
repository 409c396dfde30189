"""The book tells the truth: its names exist, its outputs are what the machine says, its scripts run.

Where an output differs because the machine has changed: `.venv/bin/python tests/docs/refresh.py` makes
the blocks anew; then see whether the text around them still holds.
"""

import re
from pathlib import Path

import pytest
from blocks import CHAPTERS, DOCS, ROOT, OutputBlock, missing_lines, output_blocks, scripts, shape
from book_outputs import OUTPUTS
from names import Sources, wrong_claims

BLOCKS = [(chapter, block) for chapter in CHAPTERS for block in output_blocks(chapter.read_text())]
SCRIPTS = [
    (chapter, i, script) for chapter in CHAPTERS for i, script in enumerate(scripts(chapter.read_text()))
]
GUIDES = [DOCS / name for name in ("README.md", "grading.md", "labs.md", "time-machine.md")]
LINK = re.compile(r"\]\(([^)#:]+)\)")
EXERCISES_MIN, EXERCISES_MAX = 3, 5


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources()


def by_name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("chapter", [*CHAPTERS, *GUIDES], ids=by_name)
def test_names_exist(chapter: Path, sources: Sources) -> None:
    assert wrong_claims(chapter.read_text(), sources) == []


def test_wrong_names_are_found(sources: Sources) -> None:
    text = "`_usertrap` `Trap.run` `kernel/trap.py` `kernel/asm/` `_usertrap` in `kernel/trap.py`"
    assert wrong_claims(text, sources) == []
    wrong = ["`_usertrip`", "`Trap.progress`", "`kernel/trip.py`", "`kernel/asn/`"]
    elsewhere = "`walk` in `kernel/trap.py`"
    assert wrong_claims(" ".join([*wrong, elsewhere]), sources) == [*wrong, elsewhere]


@pytest.mark.parametrize("chapter", [*CHAPTERS, *GUIDES], ids=by_name)
def test_links_lead_somewhere(chapter: Path) -> None:
    for target in LINK.findall(chapter.read_text()):
        assert (chapter.parent / target).exists(), target


@pytest.mark.parametrize(("chapter", "block"), BLOCKS, ids=lambda value: getattr(value, "name", ""))
def test_output_is_what_the_machine_says(chapter: Path, block: OutputBlock) -> None:
    lines = OUTPUTS[block.name]()
    if block.exact:
        assert block.lines == lines
    else:
        assert shape(block.lines) == shape(lines)


def test_every_output_is_in_the_book_once() -> None:
    assert sorted(block.name for _, block in BLOCKS) == sorted(OUTPUTS)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_quoted_sources_are_there(chapter: Path) -> None:
    assert missing_lines(chapter.read_text()) == []


@pytest.mark.parametrize(
    ("chapter", "number", "script"), SCRIPTS, ids=lambda value: getattr(value, "stem", "")
)
def test_scripts_run(chapter: Path, number: int, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(script, f"{chapter.name}, script {number}", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_each_chapter_has_exercises_with_hints(chapter: Path) -> None:
    exercises = chapter.read_text().partition("\n## Exercises\n")[2]
    numbers = re.findall(r"^(\d)\. ", exercises, re.MULTILINE)
    assert EXERCISES_MIN <= len(numbers) <= EXERCISES_MAX
    assert exercises.count("*Hint:*") == len(numbers)


def test_the_contents_name_every_chapter_in_order() -> None:
    contents = (DOCS / "README.md").read_text()
    places = [contents.find(f"({chapter.name})") for chapter in CHAPTERS]
    assert -1 not in places and places == sorted(places)


def test_the_time_machine_goes_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "time-machine.md").read_text()
    printed = re.findall(r"^prints\n\n```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for script, said in zip(scripts(text), printed, strict=True):
        exec(compile(script, "time-machine.md", "exec"), {"__name__": "__main__"})
        assert capsys.readouterr().out == said
