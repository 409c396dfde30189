"""A gdb driven as VS Code's C/C++ extension (type cppdbg) drives it, by its machine interface.

    command      TOKEN-exec-continue
    result       TOKEN^done,... or TOKEN^error,msg="..."
    record       *stopped,... and *running; =... tells what has changed; ~"..." is for a person

The extension makes the settings of launch.json first, then loads the program, sets a breakpoint of its own in
main, and connects.  Then come the breakpoints of the person, by absolute path.  It looks at where the target
stands, deletes its own breakpoint, and goes on.  When a process has ended it quits gdb.
"""

import os
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

VALUE: Final = re.compile(r'value="((?:[^"\\]|\\.)*)"')

WALL_S_MAX: Final = 60  # what takes longer hangs
READ_MAX: Final = 1 << 16


class Gdb:
    """The gdb of `configuration`, one of launch.json."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        assert (configuration["type"], configuration["MIMode"]) == ("cppdbg", "gdb")
        self._configuration: Final = configuration
        self._process: Final = subprocess.Popen(
            [configuration["miDebuggerPath"], "-nx", "--interpreter=mi"],
            cwd=configuration["cwd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DEBUGINFOD_URLS": ""},
        )
        self._token = 0
        self._raw = b""
        self._lines: Final[list[str]] = []  # all that it has said
        self._stops_seen = 0
        self._thread = 0  # that has stopped
        self._own = ""  # number of the breakpoint in main

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start_connecting(self) -> int:
        """Make the settings, and begin to connect to a machine that need not be there yet."""
        wanted = self._configuration
        self.ask("-gdb-set mi-async on")
        for command in wanted["setupCommands"]:
            escaped = command["text"].replace("\\", "\\\\").replace('"', '\\"')
            self.ask(f'-interpreter-exec console "{escaped}"')
        self.ask('-interpreter-exec console "set pagination off"')
        self.ask(f"-environment-cd {wanted['cwd']}")
        self.ask(f"-file-exec-and-symbols {wanted['program']}")
        self._own = re.findall(r'number="(\d+)"', self.ask("-break-insert -f main"))[0]
        return self._send(f"-target-select remote {wanted['miDebuggerServerAddress']}")

    def finish_connecting(self, token: int) -> None:
        """Wait until it is connected and stands."""
        assert self._result(token).startswith("connected")
        self.stopped()

    def set_breakpoint(self, file: Path, line: int) -> None:
        """Have one more breakpoint."""
        self.ask(f"-break-insert -f {file}:{line}")

    def begin(self) -> None:
        """All breakpoints are set: let the machine go on for the first time."""
        assert f'id="{self._thread}"' in self.ask(f"-thread-info {self._thread}")
        self.ask('-interpreter-exec console "info sharedlibrary"')
        self.functions()
        self.ask(f"-break-delete {self._own}")
        self.resume()

    def resume(self, how: str = "continue") -> None:
        """Go on: continue, next, step, finish."""
        self.ask(f"-exec-{how}" + ("" if how == "continue" else f" --thread {self._thread}"))

    def stopped(self) -> str:
        """Wait for the next stop; its record."""
        stop = self._wait(lambda: next(iter(self._stops()[self._stops_seen :]), None))
        self._stops_seen += 1
        thread = re.search(r'thread-id="(\d+)"', stop)
        self._thread = int(thread[1]) if thread else 0
        return stop

    @property
    def runs(self) -> bool:
        """Whether no stop has come since the last one that was waited for."""
        self._take(0)
        return len(self._stops()) == self._stops_seen

    def functions(self) -> list[str]:
        """Who calls whom, innermost first."""
        said = self.ask(f"-stack-list-frames --thread {self._thread} 0 1000")
        return re.findall(r'func="(\w+)"', said)

    def variables(self) -> dict[str, str]:
        """Arguments and locals of the innermost function."""
        here = f"--thread {self._thread} --frame 0"
        names = re.findall(r'name="(\w+)"', self.ask(f"-stack-list-variables {here} --no-values"))
        made = {name: self.ask(f"-var-create {here} - * {name}") for name in names}
        return {name: VALUE.findall(said)[0] for name, said in made.items()}

    def setting(self, name: str) -> str:
        """The value of one."""
        return self.ask(f"-gdb-show {name}").partition("value=")[2].strip('"')

    def quit(self) -> None:
        """End it, as the extension does when a process has ended."""
        assert self._result(self._send("-gdb-exit")) == "exit"
        self._process.communicate(timeout=WALL_S_MAX)

    # --- the machine interface ---

    def ask(self, command: str) -> str:
        """The result of a command."""
        result = self._result(self._send(command))
        assert result.startswith(("done", "running")), f"{command}: {result}"
        return result

    def _send(self, command: str) -> int:
        self._token += 1
        assert self._process.stdin is not None, "its stdin is a pipe"
        self._process.stdin.write(f"{self._token}{command}\n".encode())
        self._process.stdin.flush()
        return self._token

    def _result(self, token: int) -> str:
        head = f"{token}^"
        line = self._wait(lambda: next((one for one in self._lines if one.startswith(head)), None))
        return line.removeprefix(head)

    def _stops(self) -> list[str]:
        return [line for line in self._lines if line.startswith("*stopped")]

    def _wait(self, look: Callable[[], T | None]) -> T:
        """What `look` returns, when it is something."""
        end = time.monotonic() + WALL_S_MAX
        while (found := look()) is None:
            assert time.monotonic() < end, "hangs; it said:\n" + "\n".join(self._lines)
            self._take(1)
        return found

    def _take(self, seconds: float) -> None:
        """Read what comes within this time."""
        assert self._process.stdout is not None, "its stdout is a pipe"
        fd = self._process.stdout.fileno()
        if select.select([fd], [], [], seconds)[0]:
            data = os.read(fd, READ_MAX)
            assert data, "gdb has gone; it said:\n" + "\n".join(self._lines)
            *lines, self._raw = (self._raw + data).split(b"\n")
            self._lines += [line.decode(errors="replace").rstrip("\r") for line in lines]
