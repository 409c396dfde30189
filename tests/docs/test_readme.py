"""The README's own words: its script and its sessions are run, and must print what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orrery import Machine

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ORRERY = str(Path(sys.executable).with_name("orrery"))
WALL_S_MAX = 60


def fences(language: str) -> list[str]:
    """The text of every code block of this language."""
    return [text for found, text in FENCE.findall(README) if found == language]


def steps(session: str) -> list[tuple[str, str]]:
    """Command and output of each `$ command` in a session."""
    parts = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def test_the_script_prints_what_is_said(tmp_path: Path) -> None:
    (script,) = fences("python")
    assert 8 <= len([line for line in script.splitlines() if line.strip()]) <= 10
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=WALL_S_MAX
    )
    assert (done.stdout, done.stderr) == (fences("text")[0], "")


def test_the_first_session_goes_as_shown() -> None:
    (session,) = fences("console")
    typed = "".join(f"{command}\n" for command, _ in steps(session))
    done = subprocess.run(
        [ORRERY, "boot"], input=typed, capture_output=True, text=True, check=False, timeout=WALL_S_MAX
    )
    assert done.stdout == f"\n{session}$ \x04"


def test_the_command_lines_print_what_is_shown(tmp_path: Path) -> None:
    status = 0
    for command, output in (step for session in fences("sh") for step in steps(session)):
        if command == "echo $?":
            assert output == f"{status}\n"
            continue
        if command == "cat hello.c":
            (tmp_path / "hello.c").write_text(output)
        words = command.replace(".venv/bin/orrery", ORRERY)
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WALL_S_MAX,
        )
        assert (done.stdout, done.stderr) == (output, ""), command
        status = done.returncode


@pytest.mark.parametrize("target", ["boot", "test", "quick"])
def test_the_two_commands_are_there(target: str) -> None:
    assert f"    make {target} " in README
    assert re.search(f"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_option_that_is_named_exists() -> None:
    helps = [
        subprocess.run(
            [ORRERY, *words, "--help"], capture_output=True, text=True, check=True, timeout=WALL_S_MAX
        ).stdout
        for words in ([], ["boot"], ["run"], ["cc"], ["mkfs"], ["get"])
    ]
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", README))
    assert {"-c", "--strace", "--drive", "--digest"} <= named
    assert {one for one in named if not re.search(rf"(?<![\w-]){one}\b", "".join(helps))} == set()


def test_every_file_and_every_name_exists() -> None:
    words = set(re.findall(r"`([^`\n]+)`", FENCE.sub("", README)))
    paths = {word for word in words if re.fullmatch(r"[\w.]+/[\w./]*", word)}
    assert {"orrery/", "kernel/abi/"} <= paths
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    names = re.findall(r"`(\w+)`", _members())
    assert len(names) >= 9 and {name for name in names if not hasattr(Machine, name)} == set()


def _members() -> str:
    """The sentence that lists what a Machine has."""
    sentence = re.search(r"has (`boot`.*?)\. ", README, re.DOTALL)
    assert sentence is not None
    return sentence[1]
