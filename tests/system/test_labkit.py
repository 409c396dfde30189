"""The labs of `orrery lab`: of each, the students' tree boots and fails, and the solution has all points."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from orrery import labkit
from tests.system.orrery_cli import orrery

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


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_has_all_points(tmp_path, name):
    folder = tmp_path / name
    labkit.make(labkit.find(name), folder)
    solved = tmp_path / "solved"
    shutil.copytree(folder / "starter", solved)
    shutil.copytree(folder / "solution", solved, dirs_exist_ok=True)
    assert graded(folder, solved) == (100, 100)


@pytest.mark.parametrize("name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in NAMES])
def test_the_starter_has_few_points(tmp_path, name):
    folder = tmp_path / name
    labkit.make(labkit.find(name), folder)
    had, of = graded(folder, folder / "starter")
    assert of == 100 and had <= 30, "what is given for nothing is not much"


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
                source = (labkit.ROOT / file).read_text()
                assert labkit.cut(lab, file, source) != source, f"{name} changes {file}"


def test_the_command(tmp_path):
    listed = orrery("lab", "list", cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == NAMES
    made = orrery("lab", "new", "syscall", "my lab", cwd=tmp_path)
    assert made.returncode == 0 and "my lab" in made.stdout
    assert sorted(path.name for path in (tmp_path / "my lab").iterdir()) == [
        "README.md", "solution", "starter", "tests",
    ]  # fmt: skip
    again = orrery("lab", "new", "syscall", "my lab", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (
        2, "orrery: my lab: it is there already; name a folder that is not\n",
    )  # fmt: skip
    assert orrery("lab", "new", "no", cwd=tmp_path).returncode == 2
    assert orrery("lab", "new", "cow", "a/b", cwd=tmp_path).returncode == 2
