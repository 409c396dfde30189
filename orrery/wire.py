"""A wire: messages between a program and the processes that run machines for it, over a Unix socket.

Used by nursery.py and debugger/replica.py at the caller's end, by hatchery.py and debugger/inside.py at the
other.  A message is one value (None, numbers, str, bytes; tuples, lists and dicts of such) in Python's
marshal format behind its length: both ends run the same interpreter, and nothing that comes in is run.  A
socket can travel with a message:

    | length, 8 bytes (and a passenger) | value |

A process at whose end nobody reads any more learns it as Hangup, and so none outlives its caller.
"""

import marshal
import select
import socket
from typing import Any, Final, Self, TypeAlias

Value: TypeAlias = Any
"""What marshal takes: no objects of classes of ours."""

PROTOCOL: Final = 1
"""Which messages are sent: the two ends may be of different source trees."""

LENGTH_BYTES: Final = 8
MESSAGE_BYTES_MAX: Final = 1 << 32  # as much RAM as a machine can have


def plain(value: Value) -> Value:
    """`value` as it can be sent where it has tuples with names: those are of classes of ours."""
    return tuple(plain(part) for part in value) if isinstance(value, tuple | list) else value


class Hangup(Exception):
    """The other end of the wire has been closed."""


class Wire:
    """One end. Belongs to one process: whoever forks closes the end that is the other one's."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket: Final = sock
        self._poll: Final = select.poll()
        self._poll.register(sock, 0)  # an error or a hang-up is told without being asked for

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """A wire and its other end, which is for another process."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(near), far

    @property
    def hung_up(self) -> bool:
        """Whether the other end has been closed."""
        return bool(self._poll.poll(0))

    def answers(self, patience_s: float) -> bool:
        """Whether a message, or the end, comes within so much wall time."""
        return bool(select.select([self._socket], [], [], patience_s)[0])

    def send(self, message: Value, passenger: socket.socket | None = None) -> None:
        """Send `message`; `passenger` stays open here, too. Raises Hangup."""
        body = marshal.dumps(message)
        assert len(body) <= MESSAGE_BYTES_MAX, f"a message has at most {MESSAGE_BYTES_MAX} bytes"
        head = len(body).to_bytes(LENGTH_BYTES, "little")
        try:
            if passenger is not None:
                sent = socket.send_fds(self._socket, [head], [passenger.fileno()])
                head = head[sent:]
            self._socket.sendall(head + body)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Hangup from error

    def receive(self) -> tuple[Value, socket.socket | None]:
        """The next message, and its passenger if it has one; waits for it. Raises Hangup."""
        try:
            # The passenger comes with the first byte.
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

    def _exactly(self, size: int) -> bytearray:
        """The next `size` bytes."""
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise Hangup
            rest = rest[count:]
        return data

    def close(self) -> None:
        """Hang up. Closing twice is harmless."""
        self._socket.close()
