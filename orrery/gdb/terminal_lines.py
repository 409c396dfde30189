"""Lines for the machine's console that the user types at gdb's terminal, when the program reads one.

gdb reads them by its File-I/O extension: while it waits for a stop, the server may send it a request.

    server   Fread,0,BUFFER,LENGTH         read from your terminal
    gdb      X or M to BUFFER              what it read, as if for the guest's memory; it is taken here
    gdb      F1a  F0  F-1,4,C              the count; the end of input; ^C came instead of a line

Used by server.py, as the lines of a Script.  A gdb that runs a script is not asked, as the line would be one
of the script: it gets a stop, so that the script can go on, and may type with a monitor command.
"""

from collections.abc import Callable
from typing import Final

from orrery.console.script import Lines
from orrery.gdb.errors import EINVAL, Refused, number, unhex

BUFFER: Final = 0x7FFF_FFFF_0000  # no address of the guest's: Sv39 has none there
LINE_BYTES_MAX: Final = 4096
OK: Final = b"OK"
UNKNOWN: Final = b""


class Request:
    """One line that is asked for.

    When it `is_over`, `line` is what was typed, with its newline; nothing for the end; None where ^C came.
    """

    packet: Final = b"Fread,0,%x,%x" % (BUFFER, LINE_BYTES_MAX)

    def __init__(self) -> None:
        self._buffer: Final = bytearray(LINE_BYTES_MAX)
        self.is_over = False
        self.line: bytes | None = None

    def answer(self, payload: bytes) -> bytes | None:
        """The answer to a packet that came, None for none."""
        try:
            if payload[:1] == b"F":
                self._end(payload[1:])
                return None
            return self._take(payload) if payload[:1] in (b"X", b"M") else UNKNOWN
        except Refused as error:
            return str(error).encode()

    def _take(self, payload: bytes) -> bytes:
        """A part of the line: X or M, address, length and data."""
        where, _, data = payload[1:].partition(b":")
        address, _, length = where.partition(b",")
        at = number(address) - BUFFER
        data = data if payload[:1] == b"X" else unhex(data)
        if number(length) != len(data) or not 0 <= at <= LINE_BYTES_MAX - len(data):
            raise Refused(EINVAL)
        self._buffer[at : at + len(data)] = data
        return OK

    def _end(self, text: bytes) -> None:
        """count,errno,C: what follows the count is left out where all went well."""
        count, _, _ = text.partition(b",")
        self.is_over = True
        if count[:1] != b"-":
            self.line = bytes(self._buffer[: min(number(count), LINE_BYTES_MAX)])


class GdbLines(Lines):
    """Each is what `ask` gives, which may ask a user."""

    def __init__(self, ask: Callable[[], bytes | None]) -> None:
        self._ask: Final = ask

    def next(self) -> bytes | None:
        return self._ask()

    def at_end(self) -> bool:
        """More may always be typed."""
        return False
