"""A channel: messages between a program and the processes that run machines for it, over a Unix socket.

Used by machine_pool.py and timetravel/checkpoint_proxy.py at the caller's end, by fork_server.py and
timetravel/checkpoint_server.py at the other.  A message is one value (None, numbers, str, bytes; tuples,
lists and dicts of such) in Python's marshal format behind its length: both ends run the same interpreter, and
nothing that comes in is run.  A socket can travel with a message:

    | length, 8 bytes (and a attached) | value |

marshal trusts what it reads; made by an enemy, it can break the interpreter that reads it.  So what comes
back from a process that may have a student's kernel is an *answer*: JSON (tuples arrive as lists), with bytes
as {"bytes": base64}, of a limited length.  Reading one gives a plain value or BadAnswer, whatever was sent.

A process at whose end nobody reads any more learns it as Hangup, and so none outlives its caller.
"""

import binascii
import json
import marshal
import math
import select
import socket
import struct
import time
from enum import StrEnum
from typing import Any, Final, Self, TypeAlias

Value: TypeAlias = Any
"""What marshal takes: no objects of classes of ours."""

PROTOCOL: Final = 2
"""Which messages are sent: the two ends may be of different source trees."""

LENGTH_BYTES: Final = 8
MESSAGE_BYTES_MAX: Final = 1 << 32  # as much RAM as a machine can have
ANSWER_BYTES_MAX: Final = 1 << 26  # of one that is not asked for much RAM; some 400,000 events
PIECE_BYTES: Final = 1 << 20  # read at a time: memory is taken for what came, not for what was announced


def plain(value: Value) -> Value:
    """`value` as it can be sent where it has named tuples or members of an enum: those are of our classes."""
    if isinstance(value, tuple | list):
        return tuple(plain(part) for part in value)
    return value.value if isinstance(value, StrEnum) else value


class Hangup(Exception):
    """The other end of the channel has been closed."""


class BadAnswer(Exception):
    """What came over the channel is no answer; the text says why."""


def _as_json(value: object) -> object:
    """What json does not know."""
    if isinstance(value, bytes | bytearray):
        return {"bytes": binascii.b2a_base64(value, newline=False).decode()}
    raise TypeError(f"{type(value).__name__}: not a plain value")


def _from_json(value: dict[str, Any]) -> object:
    """Bytes, where the object stands for some."""
    if value.keys() == {"bytes"}:
        return binascii.a2b_base64(value["bytes"], strict_mode=True)
    return value


def wait_for_call(sock: socket.socket) -> bool:
    """Wait until something comes in, which stays there; False if the other end has been closed."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except ConnectionResetError:
        return False


class Channel:
    """One end. Belongs to one process: whoever forks closes the end that is the other one's."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket: Final = sock
        self._poll: Final = select.poll()
        self._poll.register(sock, 0)  # an error or a hang-up is told without being asked for
        self._input: Final = select.poll()
        self._input.register(sock, select.POLLIN)

    @classmethod
    def pair(cls, patience_s: float | None = None) -> tuple[Self, socket.socket]:
        """A channel and its other end, which is for another process.

        With `patience_s`, one that does not take what is sent for so long has hung up.
        """
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        if patience_s is not None:
            timeval = struct.pack("ll", math.ceil(patience_s), 0)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        return cls(near), far

    @property
    def hung_up(self) -> bool:
        """Whether the other end has been closed."""
        return bool(self._poll.poll(0))

    def answers(self, patience_s: float) -> bool:
        """Whether a message, or the end, comes within so much wall time."""
        return bool(self._input.poll(math.ceil(patience_s * 1000)))

    def send(self, message: Value, attached: socket.socket | None = None) -> None:
        """Send `message`; `attached` stays open here, too. Raises Hangup."""
        self._send(marshal.dumps(message), attached)

    def answer(self, message: Value) -> None:
        """Send `message` as an answer to one who does not trust this end. Raises Hangup."""
        self._send(json.dumps(message, default=_as_json, separators=(",", ":")).encode(), None)

    def _send(self, body: bytes, attached: socket.socket | None) -> None:
        assert len(body) <= MESSAGE_BYTES_MAX, f"a message has at most {MESSAGE_BYTES_MAX} bytes"
        head = len(body).to_bytes(LENGTH_BYTES, "little")
        try:
            if attached is not None:
                sent = socket.send_fds(self._socket, [head], [attached.fileno()])
                head = head[sent:]
            self._socket.sendall(head + body)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            raise Hangup from error

    def receive(self) -> tuple[Value, socket.socket | None]:
        """The next message, and its attached if it has one; waits for it. Raises Hangup."""
        try:
            # The attached comes with the first byte.
            head, fds, _, _ = socket.recv_fds(self._socket, LENGTH_BYTES, 1)
            for fd in fds:
                fd_socket = socket.socket(fileno=fd)
                fd_socket.set_inheritable(False)
            head += self._exactly(LENGTH_BYTES - len(head)) if head else b""
            if not head:
                raise Hangup
            size = int.from_bytes(head, "little")
            assert size <= MESSAGE_BYTES_MAX, f"a message of {size} bytes: the other end speaks otherwise"
            message = marshal.loads(self._exactly(size))
        except ConnectionResetError as error:
            raise Hangup from error
        return message, fd_socket if fds else None

    def receive_answer(self, bytes_max: int, patience_s: float | None = None) -> Value:
        """The next answer, of at most `bytes_max` bytes, and complete within `patience_s` of wall time.

        Raises Hangup, BadAnswer or TimeoutError.  Attached sockets are not taken: the system closes them.
        """
        end = None if patience_s is None else time.monotonic() + patience_s
        try:
            size = int.from_bytes(self._exactly(LENGTH_BYTES, end), "little")
            if size > bytes_max:
                raise BadAnswer(f"{size} bytes, more than the {bytes_max} that there may be")
            body = self._exactly(size, end)
        except ConnectionResetError as error:
            raise Hangup from error
        try:
            return json.loads(body, object_hook=_from_json)
        except (ValueError, TypeError, RecursionError) as error:
            raise BadAnswer(f"{type(error).__name__}: {error}") from error

    def _exactly(self, size: int, end: float | None = None) -> bytearray:
        """The next `size` bytes, before `end` by the monotonic clock."""
        data = bytearray()
        while len(data) < size:
            if end is not None and not self.answers(max(0.0, end - time.monotonic())):
                raise TimeoutError
            piece = self._socket.recv(min(size - len(data), PIECE_BYTES))
            if not piece:
                raise Hangup
            data += piece
        return data

    def close(self) -> None:
        """Hang up. Closing twice is harmless."""
        self._socket.close()
