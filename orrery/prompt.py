"""The monitor's prompt at a terminal: keys in, text out, and a line that can be edited.

Made by terminal.py when the person types C-a c, and fed every key until it is closed.  The terminal is in
raw mode, so what a line editor does is done here:

    Enter   carries out the line     ^H, DEL  takes back a key     ^P, up     an earlier line
    ^C      drops the line           ^U       takes back the line  ^N, down   a later line
    ^D      closes, on an empty line                               Tab        completes a command
    C-a c   closes                   C-a x    ends the run
"""

from typing import Final

from orrery.machine import Machine
from orrery.monitor import COMMANDS, Monitor
from orrery.output import Write

PROMPT: Final = b"(orrery) "
LINE_MAX: Final = 200  # keys
CTRL_A, CTRL_C, CTRL_D, CTRL_H, CTRL_N, CTRL_P, CTRL_U = (ord(letter) & 0x1F for letter in "ACDHNPU")
TAB, ESCAPE, DELETE = 0x09, 0x1B, 0x7F
ENTER: Final = b"\r\n"
RUBOUT: Final = b"\b \b"
FINAL: Final = range(0x40, DELETE)  # what an escape sequence ends in, if it is not its second byte and [ or O
ARROWS: Final = {b"\x1b[A": CTRL_P, b"\x1b[B": CTRL_N, b"\x1bOA": CTRL_P, b"\x1bOB": CTRL_N}


class Prompt:
    """Commands for a monitor of `machine`, typed at a terminal that `write` reaches.

    `history` has the lines that were typed, and gets more.  `closed`: the person has gone back to the guest,
    or ended the run (`quitting`).
    """

    def __init__(self, machine: Machine, write: Write, history: list[bytes]) -> None:
        self._monitor: Final = Monitor(machine)
        self._write: Final = write
        self._history: Final = history
        self._at = 0  # which line of the history is shown; its length stands for a new line
        self._line = bytearray()
        self._sequence = b""  # an escape sequence that is not complete, or C-a
        self.closed = False
        write(b"\n")
        self._new_line()

    @property
    def quitting(self) -> bool:
        """Whether the run is to end."""
        return self._monitor.quitting

    def key(self, key: int) -> None:
        """A key was typed."""
        if self._sequence == bytes((CTRL_A,)):
            self._sequence = b""
            self._after_escape(key)
        elif self._sequence:
            self._sequence += bytes((key,))
            if key in FINAL and (len(self._sequence) > 2 or key not in b"[O"):
                self._command_key(ARROWS.get(self._sequence, 0))
                self._sequence = b""
        elif key in (CTRL_A, ESCAPE):
            self._sequence = bytes((key,))
        elif 0x20 <= key < DELETE:
            if len(self._line) < LINE_MAX:
                self._append(bytes((key,)))
        elif key in ENTER:
            self._execute()
        else:
            self._command_key(key)

    def _after_escape(self, key: int) -> None:
        if key in b"xX":
            self._monitor.execute("quit")
        if key in b"xXcC":
            self._close()

    def _command_key(self, key: int) -> None:
        if key in (CTRL_H, DELETE) and self._line:
            self._line.pop()
            self._write(RUBOUT)
        elif key == CTRL_U:
            self._replace(b"")
        elif key == CTRL_C:
            self._write(b"^C\n")
            self._new_line()
        elif key == CTRL_D and not self._line:
            self._close()
        elif key in (CTRL_P, CTRL_N):
            self._recall(-1 if key == CTRL_P else 1)
        elif key == TAB:
            self._complete()

    def _execute(self) -> None:
        self._write(b"\n")
        line = bytes(self._line)
        if line.strip() and self._history[-1:] != [line]:
            self._history.append(line)
        self._write(self._monitor.execute(line.decode(errors="replace")).encode(errors="backslashreplace"))
        if self._monitor.quitting:
            self._close()
        else:
            self._new_line()

    def _close(self) -> None:
        self.closed = True
        self._write(b"\n")

    def _new_line(self) -> None:
        self._line.clear()
        self._at = len(self._history)
        self._write(PROMPT)

    def _append(self, keys: bytes) -> None:
        self._line += keys
        self._write(keys)

    def _replace(self, line: bytes) -> None:
        self._write(RUBOUT * len(self._line))
        self._line.clear()
        self._append(line)

    def _recall(self, step: int) -> None:
        """Show the line of the history `step` lines from the one shown."""
        self._at = min(max(self._at + step, 0), len(self._history))
        self._replace(self._history[self._at] if self._at < len(self._history) else b"")

    def _complete(self) -> None:
        """Complete the name of a command, where only one begins so."""
        found = [one.name.encode() for one in COMMANDS if one.name.encode().startswith(self._line)]
        if len(found) == 1:
            self._append(found[0][len(self._line) :] + b" ")
