"""Completion in a shell: a real bash is asked, with the script that `orrery completion bash` prints."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orrery.cli import command_line
from orrery.cli.arguments import GRAMMAR, make_parser
from orrery.cli.commands import COMMANDS
from orrery.cli.completion import script

ASK = (
    'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_orrery; printf "%s\\n" "${COMPREPLY[@]}"'
)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "orrery.bash").write_text(script(make_parser(COMMANDS), "bash"))
    (folder / "fs.img").touch()
    return folder / "orrery.bash"


def completed(bash: Path, *words: str) -> set[str]:
    done = subprocess.run(
        ["bash", "-c", ASK, str(bash), *words], cwd=bash.parent, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_commands_options_values_and_files(bash: Path) -> None:
    assert completed(bash, "orrery", "") >= set(GRAMMAR)
    assert completed(bash, "orrery", "re") == {"record", "replay"}
    assert completed(bash, "orrery", "boot", "--sn") == {"--snapshot"}
    assert completed(bash, "orrery", "boot", "--engine", "") == {"fast", "public"}
    assert completed(bash, "orrery", "lsfs", "f") == {"fs.img"}
    assert completed(bash, "orrery", "boot", "--keep", "f") == {"fs.img"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["completion", shell]) == 0
    assert "snapshot" in capsys.readouterr().out
