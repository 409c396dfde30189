"""Machines with a gdb server for tests, a stock gdb for them, and a client that sends what gdb would not."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

import pytest
from orrery_cli import INCLUDES

from orrery.gdb import client
from orrery.gdb.packet import Kind, Parser, encode

WALL_S_MAX = 60
SETTINGS = ("set pagination off", "set confirm off", "set breakpoint pending on", "set style enabled off")

PROGRAM = """
volatile int sum;
char text[64];
__attribute__((noinline)) int add(int n) { sum += n; return sum; }
int main(void) {
    int fds[2];
    for (int i = 1; i < 4; i++) add(i);
    pipe(fds);
    if (fork() == 0) { add(100); exit(3); }
    wait(0);
    write(fds[1], "hello", 5);
    read(fds[0], text, 5);
    printf("%s %d\\n", text, add(1));
    return sum;
}
"""
SPIN = "volatile long count; int main(void) { for (;;) count++; }"


@cache
def gdb_paths() -> tuple[str, ...]:
    """All gdbs; skips the test that asks where there is none."""
    paths = tuple(client.found())
    if not paths:
        pytest.skip(client.NONE_FOUND)
    return paths


def gdb_path(which: int) -> str:
    """One of the gdbs; skips the test where there are not as many."""
    if which >= len(gdb_paths()):
        pytest.skip(f"gdb number {which + 1} is asked for: fewer on this computer know RISC-V")
    return gdb_paths()[which]


class Served:
    """`orrery words...` as a process with a gdb server on `port`; its console is a pipe."""

    def __init__(self, *words: str | Path, wait: bool = True, at: str = "0") -> None:
        command, *rest = map(str, words)
        options = [f"--gdb={at}", *(["-S"] if wait else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orrery", command, *options, *rest],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.errors: list[str] = []
        self.port = self._port()

    def _port(self) -> int:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode()
            self.errors.append(text)
            found = re.search(r"gdb: target remote :(\d+)$", text.strip())
            if found:
                return int(found[1])
        raise AssertionError(f"no port was announced: {self.errors}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self, stdin: bytes = b"") -> tuple[int, str, str]:
        """Wait for the end: status, what was printed, what was said besides."""
        out, err = self.process.communicate(stdin, timeout=WALL_S_MAX)
        return self.process.returncode, out.decode(), "".join(self.errors) + err.decode()

    def no_more_input(self) -> None:
        """The console is at its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def gdb(self, *commands: str, path: str = "") -> str:
        """What a stock gdb (at `path`) prints that carries out the commands on this machine."""
        lines = [*SETTINGS, f"target remote :{self.port}", *commands]
        arguments = [word for line in lines for word in ("-ex", line)]
        done = subprocess.run(
            [path or gdb_paths()[0], "-nx", "-q", "-batch", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=WALL_S_MAX,
            env={**os.environ, "DEBUGINFOD_URLS": ""},
            check=False,
        )
        return done.stdout.decode(errors="replace")


class Client:
    """A client of the server that sends packets by hand."""

    def __init__(self, port: int, features: str = "multiprocess+;swbreak+", host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout=WALL_S_MAX)
        self._parser = Parser()
        self._payloads: list[bytes] = []
        self.acks: list[Kind] = []
        if features:
            self.ask(f"qSupported:{features}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, payload: str | bytes) -> None:
        """Send a packet."""
        self.socket.sendall(encode(payload.encode() if isinstance(payload, str) else payload))

    def ask(self, payload: str | bytes) -> str:
        """Send a packet; the answer to it."""
        self.send(payload)
        return self.answer()

    def answer(self) -> str:
        """The next packet; EOFError where the server has closed."""
        while not self._payloads:
            self._receive()
        self.socket.sendall(b"+")
        return self._payloads.pop(0).decode()

    def next_ack(self) -> Kind:
        """The next + or -."""
        while not self.acks:
            self._receive()
        return self.acks.pop(0)

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        for item in self._parser.feed(data):
            if item.kind is Kind.PACKET:
                self._payloads.append(item.payload)
            else:
                self.acks.append(item.kind)


def source(directory: Path, name: str, text: str) -> Path:
    """A file with a C program."""
    path = directory / f"{name}.c"
    path.write_text(INCLUDES + text)
    return path


def in_order(text: str, patterns: Sequence[str]) -> None:
    """Each pattern is found behind the one before."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found, f"no {pattern!r} behind {text[:at][-300:]!r} in:\n{text}"
        at = found.end()
