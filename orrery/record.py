"""Recording: a session whose input is written down, for `orrery record`.

Called by cli.py.  What comes in from outside is what is typed, so the keyboard tells of it; the drive is an
overlay, so that the image stays as it was when the run began.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from orrery.debugger import recording
from orrery.debugger.moment import Moment
from orrery.debugger.recording import End
from orrery.errors import BadInput
from orrery.machine import Machine
from orrery.session import Options, Session


class Recorder:
    """Writes what is typed on `machine`, made by the keyword arguments `made_by`, into a file.

    Raises BadInput where it cannot be written.
    """

    def __init__(self, machine: Machine, path: str, made_by: Mapping[str, Any], shown: str) -> None:
        self._machine: Final = machine
        self._file: Final = _open(path)
        image = recording.image_digest(machine.board.drive)
        self._write(recording.header_line(made_by, image, shown))
        machine.keyboard.on_type.append(self._on_type)

    def end(self, status: int) -> None:
        """The run is over."""
        moment = Moment.of(self._machine.board.hart)
        self._write(recording.end_line(End(moment, status, self._machine.digest())))
        self._file.close()

    def _on_type(self, keys: bytes) -> None:
        self._write(recording.keys_line(Moment.of(self._machine.board.hart), keys))

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()  # of a run that is killed, what there was


def play(
    machine: Machine, options: Options, say: Callable[[str], None], path: str, made_by: Mapping[str, Any]
) -> int:
    """A session, recorded; the exit status."""
    session = Session(machine, options, say)
    recorder = Recorder(machine, path, made_by, session.shown)
    status = session.play()
    recorder.end(status)
    return status


def _open(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror}; write it elsewhere") from error
