"""A client of a gdb server, which sends what a gdb sends and waits for the answers; and servers for it.

gdb itself takes longer for a step than the server does, so the protocol is timed with this.  Used by
overgdb.py, for ours and for the rival alike.
"""

import re
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Self

from bench.terminal import BenchError
from orrery.gdb.packet import Kind, Parser, encode

LOOPBACK: Final = "127.0.0.1"
ANSWER_S_MAX: Final = 120.0
START_S_MAX: Final = 20.0
INTRODUCTIONS: Final = (b"exec:", b"library:")  # stops behind which a gdb lets the machine go on by itself
OFFERS: Final = b"multiprocess+;swbreak+;vContSupported+;exec-events+"
READY: Final = rb"gdb: target remote :(\d+)"


class Remote:
    """A client of the server on `port`; `thread` is the one that the machine stopped in last.

    `offers` is what it says that it understands, as a gdb does.  Raises BenchError where
    the server says nothing, or an error.
    """

    def __init__(self, port: int, offers: bytes = OFFERS) -> None:
        self._socket: Final = _connected(port)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser: Final = Parser()
        self._answers: Final[deque[bytes]] = deque()
        self._acks = True
        self.thread = b""
        self.ask(b"qSupported:" + offers)
        self._acks = self.ask(b"QStartNoAckMode") != b"OK"
        self.stop(b"?")

    def close(self) -> None:
        """Go away."""
        self._socket.close()

    def ask(self, payload: bytes) -> bytes:
        """Send a packet; the answer to it, texts for a person left out."""
        self.send(payload)
        while True:
            answer = self._answer()
            if answer[:1] == b"E" and len(answer) == 3:
                raise BenchError(f"the gdb server answers {payload.decode()} with {answer.decode()}")
            if answer[:1] != b"O" or answer == b"OK":
                return answer

    def send(self, payload: bytes) -> None:
        """Send a packet, and do not wait."""
        self._socket.sendall(encode(payload))

    def stop(self, payload: bytes) -> bytes:
        """Send a packet that lets the machine go on; how it stops."""
        answer = self.ask(payload)
        found = re.search(rb"thread:([^;]+)", answer)
        if found:
            self.thread = found[1]
        return answer

    def go_on(self) -> bytes:
        """Go on as gdb does, to a stop for a person."""
        answer = self.stop(b"vCont;c")
        while any(word in answer for word in INTRODUCTIONS):
            answer = self.stop(b"vCont;c")
        return answer

    def meet(self, pid: int) -> None:
        """Go on until the server tells of process `pid`, and choose it."""
        while self.thread != b"p%x.%x" % (pid, pid):
            self.stop(b"vCont;c")
        self.ask(b"Hg" + self.thread)

    def interrupt_after(self, seconds: float) -> None:
        """Go on for a while."""
        self.send(b"vCont;c")
        time.sleep(seconds)
        self._socket.sendall(b"\x03")
        self._answer()

    def _answer(self) -> bytes:
        while not self._answers:
            items = self._parser.feed(self._received())
            self._answers += [item.payload for item in items if item.kind is Kind.PACKET]
        if self._acks:
            self._socket.sendall(b"+")
        return self._answers.popleft()

    def _received(self) -> bytes:
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            raise BenchError(f"the gdb server has not answered for {ANSWER_S_MAX:g} s") from None
        if not data:
            raise BenchError("the gdb server has hung up")
        return data


def _connected(port: int) -> socket.socket:
    """A connection to a server that may not have begun to listen yet."""
    end = time.monotonic() + START_S_MAX
    while True:
        try:
            return socket.create_connection((LOOPBACK, port), timeout=ANSWER_S_MAX)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise BenchError(f"no gdb server on port {port}") from None
            time.sleep(0.02)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Process:
    """`argv` running, its output a pipe, from construction to close()."""

    def __init__(self, argv: Sequence[str]) -> None:
        try:
            self._process: Final = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise BenchError(f"{argv[0]} does not start: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def port(self) -> int:
        """Where ours says that it waits for a gdb."""
        assert self._process.stderr is not None, "it is a pipe"
        said = b""
        for line in self._process.stderr:
            said += line
            found = re.search(READY, line)
            if found:
                return int(found[1])
        raise BenchError(f"the machine does not wait for gdb: {said.decode(errors='replace').strip()}")

    def between(self, first: bytes, last: bytes) -> float:
        """Seconds from when it prints byte `first` to when it prints `last`."""
        self._until(first)
        begin = time.perf_counter()
        self._until(last)
        return time.perf_counter() - begin

    def _until(self, byte: bytes) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        while (seen := self._process.stdout.read(1)) != byte:
            if not seen:
                raise BenchError("the machine ended before its program did")
