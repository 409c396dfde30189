"""A machine on a terminal: a child process on a pseudo terminal, timed by what it prints.

Ours and the rival are both run and timed through this one class, so that both pay for the same things.
It knows nothing of what is measured: rows.py types the commands.
"""

import os
import pty
import re
import select
import signal
import subprocess
import tty
from collections.abc import Sequence
from time import perf_counter

PROMPT = rb"\$ $"
KEPT_BYTES = 4096  # of what the machine printed, for matching and for messages


class BenchError(Exception):
    """Something could not be measured; str() is one line that says why."""


class Terminal:
    """`argv` running on a terminal of its own, from construction to close()."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        # A start is the second one of a person: what Python compiled at the first is kept.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        try:
            self._process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=kept)
        except OSError as error:
            os.close(self._master)
            raise BenchError(f"{argv[0]} does not start: {error.strerror}") from error
        finally:
            os.close(slave)
        self._seen = b""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the machine, as by pulling the plug."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def pause(self) -> None:
        """Hold the machine, as the rival takes a processor even while its shell waits."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a machine that is held go on."""
        self._process.send_signal(signal.SIGCONT)

    def type(self, text: str) -> None:
        """Type `text`; what was printed before is forgotten."""
        self._seen = b""
        os.write(self._master, text.encode())

    def expect(self, pattern: bytes, timeout_s: float, failure: bytes = rb"panic: ") -> float:
        """Wait until the output since type() matches `pattern`; returns when, by perf_counter.

        Raises BenchError if it matches `failure` before, if the machine ends, or at the timeout.
        """
        end = perf_counter() + timeout_s
        while not re.search(pattern, self._seen):
            left_s = end - perf_counter()
            if re.search(failure, self._seen):
                raise BenchError(f"the machine says: {self._last_lines()}")
            if left_s <= 0:
                raise BenchError(f"no answer in {timeout_s:g} s; last lines: {self._last_lines()}")
            if select.select([self._master], [], [], left_s)[0]:
                self._seen = (self._seen + self._read())[-KEPT_BYTES:]
        return perf_counter()

    def _read(self) -> bytes:
        try:
            return os.read(self._master, KEPT_BYTES)
        except OSError:  # what Linux gives once the other side is closed
            status = self._process.wait()
            raise BenchError(f"the machine ended, status {status}: {self._last_lines()}") from None

    def _last_lines(self) -> str:
        lines = self._seen.decode(errors="replace").split("\n")
        return " / ".join(line.strip() for line in lines if line.strip())[-200:]
