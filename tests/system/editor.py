"""What VS Code does with the files in .vscode, as far as a test needs it: reads them, fills in, runs tasks.

The settings are taken as they are, but for two things: the interpreter and the gdb are those of the
environment in which the tests run, and the port is one that is free.
"""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
COMMENT: Final = re.compile(r"^\s*//.*$", re.MULTILINE)
VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
PORT: Final = "1234"
WALL_S_MAX: Final = 60

Settings = dict[str, Any]


def settings(name: str) -> Settings:
    """A file of .vscode. Its comments have lines of their own."""
    content: Settings = json.loads(COMMENT.sub("", (ROOT / ".vscode" / name).read_text()))
    return content


class Workspace:
    """This tree, opened, with `file` in the editor. `gdb` stands for the one in .venv."""

    def __init__(self, file: Path, gdb: str = "gdb") -> None:
        self.port: Final = _free_port()
        self._values: Final = {
            "workspaceFolder": str(ROOT),
            "file": str(file),
            "fileDirname": str(file.parent),
            "fileBasenameNoExtension": file.stem,
        }
        beside = Path(sys.executable).parent
        self._here: Final = {
            f"{ROOT}/.venv/bin/python": sys.executable,
            f"{ROOT}/.venv/bin/gdb": gdb,
            f"{ROOT}/.venv/bin/orrery": str(beside / "orrery"),
        }

    def configuration(self, name: str) -> Settings:
        """One of launch.json, filled in."""
        (found,) = [one for one in settings("launch.json")["configurations"] if one["name"] == name]
        filled: Settings = self._filled(found)
        return filled

    def compound(self, name: str) -> list[Settings]:
        """The configurations that begin together, after the task that comes before them."""
        (found,) = [one for one in settings("launch.json")["compounds"] if one["name"] == name]
        self.run_task(found["preLaunchTask"])
        return [self.configuration(one) for one in found["configurations"]]

    def run_task(self, label: str) -> None:
        """Run a task of tasks.json, and first the one that it depends on."""
        (found,) = [one for one in settings("tasks.json")["tasks"] if one["label"] == label]
        if "dependsOn" in found:
            self.run_task(found["dependsOn"])
        assert found["type"] == "process", "no shell reads the words"
        task = self._filled(found)
        subprocess.run([task["command"], *task["args"]], check=True, cwd=ROOT, timeout=WALL_S_MAX)

    def _filled(self, value: Any) -> Any:
        """A setting with its variables filled in; raises KeyError for one that VS Code does not know."""
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        text = VARIABLE.sub(lambda found: self._values[found[1]], value)
        return self._here.get(text, re.sub(rf"(?<=[:=]){PORT}$", str(self.port), text))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
