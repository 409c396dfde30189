"""What a student hands in, laid over the tree that was given out."""

import os
from pathlib import Path

import pytest

from orrery.grading import overlay
from orrery.grading.overlay import CannotLay


@pytest.fixture
def tree(tmp_path):
    for part in overlay.TREE:
        (tmp_path / "tree" / part).mkdir(parents=True)
        (tmp_path / "tree" / part / "a.py").write_text("given")
    (tmp_path / "tree" / "README.md").write_text("read me")
    return tmp_path / "tree"


def laid(tree: Path, files: dict[str, str]) -> dict[str, str]:
    """What is in the tree with `files` laid over it, but for what was given."""
    submission, target = tree.parent / "submission", tree.parent / "target"
    submission.mkdir(exist_ok=True)
    for name, content in files.items():
        (submission / name).parent.mkdir(parents=True, exist_ok=True)
        (submission / name).write_text(content)
    overlay.lay(tree, submission, target)
    assert (target / "README.md").read_text() == "read me", "the disk has it, too"
    found = {str(path.relative_to(target)): path.read_text() for path in target.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if content not in ("given", "read me")}


def test_files_replace_and_add(tree):
    files = {"kernel/a.py": "mine", "user/bin/new.c": "new"}
    assert laid(tree, files) == files
    assert (tree / "kernel/a.py").read_text() == "given", "the tree itself stays"


def test_what_is_no_part_of_a_tree_is_left_out(tree):
    others = ("notes.txt", ".git/config", "kernel/.x", "kernel/__pycache__/a.pyc", "tests/t.py")
    mine = {"kernel/a.py": "mine"}
    assert laid(tree, {**mine, **dict.fromkeys(others, "x")}) == mine


def test_files_without_their_folders_are_told(tree):
    with pytest.raises(CannotLay, match="in their folders"):
        laid(tree, {"a.py": "mine"})


@pytest.mark.parametrize("kind", ["file", "folder", "out"])
def test_nothing_is_followed_out_of_a_submission(tree, kind):
    secret = tree.parent / "secret"
    secret.mkdir()
    (secret / "a.py").write_text("hidden test")
    folder = tree.parent / "submission"
    (folder / "kernel").mkdir(parents=True)
    name = {"file": "kernel/b.py", "folder": "kernel/lab", "out": "user"}[kind]
    (folder / name).symlink_to(secret / "a.py" if kind == "file" else secret)
    with pytest.raises(CannotLay, match=f"{name} is a .*link"):
        laid(tree, {"kernel/a.py": "mine"})


def test_a_pipe_is_told(tree):
    folder = tree.parent / "submission" / "kernel"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.py")
    with pytest.raises(CannotLay, match=r"kernel/pipe\.py is a link or a device"):
        laid(tree, {})


def test_too_much_is_told(tree, monkeypatch):
    monkeypatch.setattr(overlay, "BYTES_MAX", 10)
    with pytest.raises(CannotLay, match="more than"):
        laid(tree, {"kernel/a.py": "x" * 11})


def test_a_folder_in_the_place_of_a_file(tree):
    with pytest.raises(CannotLay, match=r"kernel/a\.py/b\.py: .* where the tree has a folder"):
        laid(tree, {"kernel/a.py/b.py": "mine"})
