"""`orrery grade` with a small program in place of pytest: names, what hangs, what is written."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.cli import command_line
from orrery.grading import grade

SCORES = '{{"score": {score}, "tests": [{tests}]}}'
TEST = '{{"name": "{name}", "score": {score}, "max_score": 2, "status": "{status}"}}'


def results(*scores: int) -> str:
    """A shell script that writes results.json, as pytest would."""
    tests = ", ".join(
        TEST.format(name=f"test_{i}", score=score, status="passed" if score else "failed")
        for i, score in enumerate(scores)
    )
    text = SCORES.format(score=sum(scores), tests=tests)
    return (
        f"echo '{text}' > $1/results.json; echo '<x/>' > $1/junit.xml; echo said\nexit {int(0 in scores)}\n"
    )


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a hidden test; what a submission has in `run` is done in place of pytest."""
    (tmp_path / "test_lab.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        grade._Grader, "_command", lambda self, directory, out: ["/bin/sh", str(directory / "run"), str(out)]
    )
    return tmp_path


def submit(top: Path, name: str, script: str) -> str:
    (top / name).mkdir(parents=True)
    (top / name / "run").write_text(script)
    return name


def table(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}


def assert_ended(group: int) -> None:
    """No process of the group runs; one that nobody has waited for yet may be there."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        states = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    states += [fields[0]] if int(fields[2]) == group else []
        if set(states) <= {"Z"}:
            return
        time.sleep(0.01)
    raise AssertionError(f"group {group} still runs")


def test_one_that_hangs_or_crashes_costs_the_others_nothing(
    course: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [
        submit(course, "good", results(2, 2)),
        submit(course, "half", results(2, 0)),
        submit(course, "hangs", "echo $$ > pid-of-hangs; sleep 1000 & sleep 1000"),
        submit(course, "crashes", "kill -SEGV $$"),
        submit(course, "silent", "exit 0"),
        submit(course, "nonsense", "echo '{' > $1/results.json"),
        submit(course, "list", "echo '[1]' > $1/results.json"),
        submit(course, "usage", "exit 4"),
        submit(course, "none", 'echo \'{"score": 0, "tests": []}\' > $1/results.json'),
        submit(course, "last", results(0, 2)),
    ]
    begin = time.monotonic()
    assert command_line.main(["grade", "-j", "4", "--timeout", "2", *names]) == 1
    assert time.monotonic() - begin < 30
    out, err = capfd.readouterr()
    rows = table(out)
    assert rows["good"] == ["4", "4", "2", "of", "2"]
    assert rows["half"] == rows["last"] == ["2", "4", "1", "of", "2"]
    assert list(rows) == names, "in the order of the command line"
    assert out.splitlines()[3].endswith("not graded: not done after 2 s")
    assert "pytest was ended by signal 11" in out and "pytest ended with status 4" in out
    assert "no results: FileNotFoundError" in out and "no results: JSONDecodeError" in out
    assert rows["hangs"][:2] == ["0", "4"]
    assert "orrery: 7 of 10 could not be graded; grades has what was printed" in err
    assert_ended(int((course / "pid-of-hangs").read_text()))
    for name in names:
        folder = course / "grades" / name
        assert json.loads((folder / "results.json").read_text())["score"] >= 0
        assert (folder / "output.txt").exists()
    said = json.loads((course / "grades" / "hangs" / "results.json").read_text())
    assert said["output"] == "The submission could not be graded: not done after 2 s." and said["score"] == 0


def test_the_file_for_a_spreadsheet(course: Path) -> None:
    odd = submit(course, '=HYPERLINK("x")', results(2, 0))
    assert command_line.main(["grade", "-o", "out", odd, submit(course, "a,b\n", results(0, 2))]) == 0
    rows = list(csv.reader((course / "out" / "grades.csv").open(newline="")))
    assert rows == [
        ["submission", "points", "possible", "passed", "not graded", "test_0", "test_1"],
        ['\'=HYPERLINK("x")', "2", "4", "1", "", "2", "0"],
        ["a,b\n", "2", "4", "1", "", "0", "2"],
    ]


def test_names_of_any_kind(course: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [
        "-x",
        "~root",
        "$HOME",
        "a b",
        "é",
        "a\nb",
        os.fsdecode(b"\xff\xfe"),
        "a/same",
        "b/same",
        "%s",
        "'",
    ]
    for name in names:
        submit(course, name, results(2))
    assert command_line.main(["grade", "--", *names, "a/same/../same"]) == 0
    folders = {entry.name for entry in (course / "grades").iterdir()}
    assert folders == {"a_same", "b_same", "grades.csv", *(name for name in names if "/" not in name)}
    out = capfd.readouterr().out
    assert "a\\nb" in out and "\\xff\\xfe" in out and len(out.splitlines()) == 1 + len(names)


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "a_b", "grades.csv"]), min_size=1, max_size=3), max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_no_two_have_one_folder(parts: list[list[str]]) -> None:
    directories = [Path("/", *one) for one in parts]
    names = grade._named(directories)
    assert sorted(names.values()) == sorted(set(directories))
    assert all("/" not in name and name not in (grade.CSV, ".", "..", "") for name in names)


def test_results_of_before_are_not_taken_for_those_of_now(course: Path) -> None:
    submit(course, "eve", results(2))
    assert command_line.main(["grade", "eve"]) == 0
    (course / "eve" / "run").write_text("exit 3")
    assert command_line.main(["grade", "eve"]) == 1
    folder = course / "grades" / "eve"
    assert json.loads((folder / "results.json").read_text())["score"] == 0
    assert not (folder / "junit.xml").exists()


def test_files_among_the_submissions_are_left_out(course: Path, capfd: pytest.CaptureFixture[str]) -> None:
    submit(course, "eve", results(2))
    (course / "README").touch()
    assert command_line.main(["grade", "eve", "README"]) == 0
    assert "warning: README: not a directory, and not graded" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "none: no such directory; name one for each submission"),
        (["test_lab.py"], "no submission is a directory; name one for each"),
        (["eve", "--test", "nosuch.py"], "nosuch.py: no such test; name a file with --test"),
        (["eve", "--test", "eve/test_own.py"], "eve/test_own.py: lies in the submission "),
        (["eve", "-o", "eve/out"], "eve/out: lies in the submission "),
        (["."], "test_lab.py: lies in the submission "),
        (["eve", "-o", "test_lab.py"], "test_lab.py: not a directory; name another with -o"),
        (["eve", "-j", "0"], "-j 0: give from 1 to 256"),
        (["eve", "--timeout", "x"], "--timeout x: no time; give a number of seconds"),
        (["eve", "--max-time", "-1"], "--max-time -1: no time"),
        (["eve", "--programs", "."], "--programs: goes with --kernel"),
        ([], "the following arguments are required: DIR"),
    ],
)
def test_bad_input(course: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    submit(course, "eve", results(2))
    (course / "eve" / "test_own.py").write_text("")
    assert command_line.main(["grade", *words]) == 2
    err = capfd.readouterr().err
    assert message in err.splitlines()[-1] and "Traceback" not in err


def test_no_test_is_named(course: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (course / "test_lab.py").unlink()
    assert command_line.main(["grade", "."]) == 2
    assert "no test_*.py in the current directory; name the hidden test with --test" in capfd.readouterr().err


def test_an_interruption_ends_all(course: Path) -> None:
    for i in range(3):
        submit(course, f"s{i}", f"echo $$ > {course}/pid{i}; sleep 1000")
    main = threading.main_thread().ident

    def interrupt() -> None:
        while not (course / "pid0").exists() or not (course / "pid0").read_text():
            time.sleep(0.01)
        signal.pthread_kill(main or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert command_line.main(["grade", "-j", "1", "s0", "s1", "s2"]) == 130
    thread.join()
    assert_ended(int((course / "pid0").read_text()))
    assert not (course / "pid1").exists()


def test_what_pytest_is_told(tmp_path: Path) -> None:
    """Options of one word; nothing of the submission on Python's path."""
    wanted = grade.GradingJob([], [Path("t/test_x.py")], tmp_path, 1, 5.0, "2.5", True, Path("p"))
    command = grade._Grader(wanted)._command(Path("/a b"), Path("/s"))
    assert command[:4] == [sys.executable, "-P", "-m", "pytest"]
    assert "--orrery-root=/a b" in command and f"--orrery-programs={Path('p').resolve()}" in command
    assert "--orrery-max-time=2.5" in command and command[-1] == str(Path("t/test_x.py").resolve())
    help_ = subprocess.run(
        [sys.executable, "-m", "orrery", "grade", "--help"], capture_output=True, text=True
    )
    assert "--kernel" in help_.stdout
