"""The labs of `orrery lab`: of each, the students' tree boots and fails, and the solution has all points."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from orrery.grading import labkit
from tests.system.orrery_cli import orrery
from toolchain.paths import tree_file

NAMES = [lab.name for lab in labkit.labs()]
SHORT = ("pgtbl", "syscall")  # starters that fail quickly


def graded(folder: Path, tree: Path, *more: str) -> tuple[float, float]:
    """The points that the hidden tests of `folder` give to a tree, and how many there are."""
    report = folder / "report.xml"
    words = ["-q", "-p", "no:cacheprovider", "--orrery", "--orrery-root", str(tree), f"--junitxml={report}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *words, *more, str(folder / "tests")],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    had = of = 0.0
    for case in ET.parse(report).iter("testcase"):
        points = float(case.find("properties/property[@name='orrery_points']").get("value"))
        of += points
        had += points if case.find("failure") is None and case.find("error") is None else 0
    return had, of


@pytest.mark.parametrize("name", [name for name in NAMES if name != "syscall"])  # that is graded below
def test_the_solution_has_all_points(tmp_path, name):
    folder = tmp_path / name
    labkit.make(labkit.find(name), folder)
    solved = tmp_path / "solved"
    shutil.copytree(folder / "starter", solved)
    shutil.copytree(folder / "solution", solved, dirs_exist_ok=True)
    assert graded(folder, solved) == (100, 100)


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in NAMES]
)
def test_the_starter_has_few_points(tmp_path, name):
    folder = tmp_path / name
    labkit.make(labkit.find(name), folder)
    had, of = graded(folder, folder / "starter")
    assert of == 100 and had <= 30, "what is given for nothing is not much"


def test_a_class_is_graded_on_the_files_that_it_hands_in(tmp_path):
    folder = tmp_path / "lab"
    labkit.make(labkit.find("syscall"), folder)
    shutil.copytree(folder / "solution", tmp_path / "good")
    (tmp_path / "none" / "notes").mkdir(parents=True)
    tests = folder / "tests" / "test_lab.py"
    words = ("--tree", folder / "starter", "--test", tests, "-o", tmp_path / "out")
    done = orrery("grade", *words, tmp_path / "good", tmp_path / "none", wall_s=300)
    good, none = done.out.splitlines()[1:]
    assert good.split()[:3] == ["good", "100", "100"], done.out
    assert none.split()[:3] == ["none", "0", "100"] and "in their folders" in none
    assert done.status == 1
    wrong = orrery("grade", "--tree", tmp_path, "--test", tests, tmp_path / "good")
    assert wrong.status == 2 and wrong.lines[0].startswith(f"orrery: --tree {tmp_path}: not a source tree")


def test_the_starter_is_a_tree_that_boots(tmp_path):
    labkit.make_starter(labkit.find("cow"), tmp_path / "tree")
    done = subprocess.run(
        [sys.executable, "-m", "orrery", "boot", "-c", "echo hello"],
        cwd=tmp_path / "tree",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_nothing_of_the_solution_is_in_the_starter(tmp_path):
    for name in NAMES:
        lab = labkit.find(name)
        for file in lab.changed():
            if file not in lab.remove_files:
                source = tree_file(file).read_text()
                assert labkit.cut(lab, file, source) != source, f"{name} changes {file}"


def test_the_command(tmp_path):
    listed = orrery("lab", "list")
    assert [line.split()[0] for line in listed.out.splitlines()] == NAMES
    folder = tmp_path / "my lab"
    made = orrery("lab", "new", "syscall", folder)
    assert made.status == 0 and str(folder) in made.out
    assert {path.name for path in folder.iterdir()} == {"README.md", "solution", "starter", "tests"}
    again = orrery("lab", "new", "syscall", folder)
    assert again.lines == [f"orrery: {folder}: it is there already; name a folder that is not"]
    for words in (("no", tmp_path / "x"), ("cow", tmp_path / "a" / "b")):
        refused = orrery("lab", "new", *words)
        assert refused.status == 2 and len(refused.lines) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"my lab"}, "what fails leaves nothing"
