"""A client of debugpy, as VS Code is one: the debug adapter protocol, and a terminal for the program.

    message      Content-Length: N, an empty line, N bytes of JSON
    request      goes out, and has a response; the adapter makes one, too: runInTerminal
    event        comes in: initialized, stopped, terminated ...

All is done in one thread: who waits for a message reads what the terminal shows meanwhile.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import pexpect

Message = dict[str, Any]
T = TypeVar("T")

WALL_S_MAX: Final = 60  # what takes longer hangs
READ_MAX: Final = 1 << 16
CLIENT: Final = {
    "adapterID": "debugpy",
    "clientID": "vscode",
    "linesStartAt1": True,
    "columnsStartAt1": True,
    "pathFormat": "path",
    "supportsRunInTerminalRequest": True,
}
LENGTH: Final = re.compile(rb"Content-Length: (\d+)\r\n\r\n")
THREAD: Final = 1  # a machine has no other


class Session:
    """A debug session with `configuration`, one of launch.json that starts a program in a terminal."""

    def __init__(self, configuration: Message) -> None:
        self._adapter: Final = subprocess.Popen(
            [sys.executable, "-m", "debugpy.adapter"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._configuration: Final = configuration
        self._sent = 0
        self._raw = b""
        self._messages: Final[list[Message]] = []  # that nobody has waited for yet
        self._terminal: pexpect.spawn | None = None
        self._pid: int | None = None  # of the program
        self._open = False  # the terminal is, at its other end
        self.shown = b""  # by the terminal

    def __enter__(self) -> Self:
        self.ask("initialize", **CLIENT)
        self._launch = self._send("launch", self._configuration)
        self.event("initialized")
        return self

    def __exit__(self, *_: object) -> None:
        self._adapter.kill()
        self._adapter.communicate()
        if self._pid is not None and self._open:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        if self._terminal is not None:
            self._terminal.close(force=True)

    # --- what a person does ---

    def set_breakpoints(self, file: Path, *lines: int, condition: str = "") -> None:
        """Have these breakpoints in a file, and no others there."""
        more = {"condition": condition} if condition else {}
        points = [{"line": line, **more} for line in lines]
        answer = self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=points)
        assert [point["line"] for point in answer["breakpoints"] if point["verified"]] == list(lines)

    def begin(self) -> None:
        """All breakpoints are set: let the program begin."""
        self.ask("configurationDone")
        self._response(self._launch)
        self._pid = self.event("process")["body"]["systemProcessId"]

    def resume(self, how: str = "continue") -> None:
        """Go on: continue, next, stepIn, stepOut."""
        self.ask(how, threadId=THREAD)

    def stopped(self) -> list[Message]:
        """Wait for a stop; the frames, innermost first."""
        self.event("stopped")
        frames: list[Message] = self.ask("stackTrace", threadId=THREAD)["stackFrames"]
        return frames

    def value(self, expression: str, frame: Message) -> str:
        """What an expression of Python is there."""
        answer = self.ask("evaluate", expression=expression, frameId=frame["id"], context="watch")
        text: str = answer["result"]
        return text

    def type(self, keys: bytes) -> None:
        """Type on the terminal."""
        assert self._terminal is not None, "the program has begun"
        self._terminal.send(keys)

    def until_shown(self, text: bytes) -> None:
        """Wait until the terminal has shown this."""
        self._wait(lambda: text in self.shown or None)

    def end(self) -> tuple[int, str]:
        """Wait for the program's end: its status, and what the terminal has shown."""
        status: int = self.event("exited")["body"]["exitCode"]
        self._wait(lambda: None if self._open else True)
        return status, self.shown.decode().replace("\r\n", "\n")

    # --- the protocol ---

    def ask(self, command: str, **arguments: Any) -> Any:
        """The body of the response to a request."""
        return self._response(self._send(command, arguments))

    def event(self, name: str) -> Message:
        """The next event of this name."""
        return self._next(lambda one: one.get("event") == name)

    def _response(self, request: int) -> Any:
        answer = self._next(lambda one: one.get("request_seq") == request)
        assert answer["success"], answer.get("message")
        return answer.get("body")

    def _send(self, command: str, arguments: Message) -> int:
        return self._write({"type": "request", "command": command, "arguments": arguments})

    def _write(self, message: Message) -> int:
        self._sent += 1
        data = json.dumps({"seq": self._sent, **message}).encode()
        assert self._adapter.stdin is not None, "its stdin is a pipe"
        self._adapter.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._adapter.stdin.flush()
        return self._sent

    def _next(self, is_it: Callable[[Message], bool]) -> Message:
        """Wait for a message, and take it."""
        found = self._wait(lambda: next((one for one in self._messages if is_it(one)), None))
        self._messages.remove(found)
        return found

    def _wait(self, look: Callable[[], T | None]) -> T:
        """What `look` returns, when it is something."""
        end = time.monotonic() + WALL_S_MAX
        while (found := look()) is None:
            assert time.monotonic() < end, f"hangs; messages: {self._messages}, terminal: {self.shown!r}"
            self._take()
        return found

    def _take(self) -> None:
        """Read what comes within a second: messages, and what the terminal shows."""
        assert self._adapter.stdout is not None, "its stdout is a pipe"
        fds = [self._adapter.stdout.fileno()]
        if self._terminal is not None and self._open:
            fds.append(self._terminal.fileno())
        ready, _, _ = select.select(fds, [], [], 1)
        if fds[0] in ready:
            self._raw += os.read(fds[0], READ_MAX)
            self._parse()
        if self._terminal is not None and self._terminal.fileno() in ready:
            try:
                self.shown += self._terminal.read_nonblocking(READ_MAX, timeout=0)
            except pexpect.EOF:
                self._open = False

    def _parse(self) -> None:
        while head := LENGTH.match(self._raw):
            end = head.end() + int(head[1])
            if len(self._raw) < end:
                return
            message = json.loads(self._raw[head.end() : end])
            self._raw = self._raw[end:]
            if message["type"] == "request":
                self._run_in_terminal(message)
            else:
                self._messages.append(message)

    def _run_in_terminal(self, request: Message) -> None:
        assert request["command"] == "runInTerminal", "nothing else is asked for"
        wanted = request["arguments"]
        command, *arguments = wanted["args"]
        more = {name: value for name, value in wanted.get("env", {}).items() if value is not None}
        self._terminal = pexpect.spawn(command, arguments, cwd=wanted["cwd"], env={**os.environ, **more})
        self._open = True
        answer = {"type": "response", "command": "runInTerminal", "success": True, "body": {}}
        self._write({**answer, "request_seq": request["seq"]})
