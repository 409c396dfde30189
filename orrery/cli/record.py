"""Recording: a session whose input is written down, for `orrery record`.

Called by commands.py.  What comes in from outside is what is typed, so the keyboard tells of it; the
drive is an overlay, so that the image stays as it was when the run began.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

from orrery.cli import outfile
from orrery.cli.session import Options, Session
from orrery.errors import BadInput
from orrery.machine.machine import Machine
from orrery.timetravel import recording
from orrery.timetravel.moment import Moment
from orrery.timetravel.recording import RecordedEnd
from toolchain.names import shown


class Recorder:
    """Writes what is typed on `machine` into a file.

    Where that can no longer be written, the run goes on and `end` raises BadInput.
    """

    def __init__(self, machine: Machine, path: str, filtered: str) -> None:
        self._machine: Final = machine
        self._path: Final = path
        self._error: OSError | None = None
        self._seal: Final = recording.Seal()
        image = recording.image_digest(machine.board.drive)
        header = self._sealed(recording.header_line(machine.config, image, filtered))
        special = outfile.is_special(path)
        fd = outfile.open_stream("-o", path) if special else outfile.begin(path, f"{header}\n")
        self._file: Final[TextIO] = open(fd, "w", encoding="utf-8", newline="\n")  # noqa: SIM115  (until end)
        if special:
            self._put(header)
        machine.keyboard.on_type.append(self._on_type)

    def end(self, status: int) -> None:
        """The run is over."""
        moment = Moment.of(self._machine.board.hart)
        self._write(recording.end_line(RecordedEnd(moment, status, self._machine.digest())))
        with suppress(OSError):  # it has been told
            self._file.close()
        if self._error is not None:
            raise BadInput(
                f"{shown(self._path)}: cannot be written to the end: {self._error.strerror}; record it anew"
            )

    def _on_type(self, keys: bytes) -> None:
        self._write(recording.keys_line(Moment.of(self._machine.board.hart), keys))

    def _write(self, line: str) -> None:
        self._put(self._sealed(line))

    def _sealed(self, line: str) -> str:
        return self._seal.put_on(line.encode()).decode()

    def _put(self, line: str) -> None:
        if self._error is not None:
            return
        try:
            self._file.write(f"{line}\n")
            self._file.flush()  # of a run that is killed, what there was
        except OSError as error:
            self._error = error


def play(machine: Machine, options: Options, say: Callable[[str], None], path: str) -> int:
    """A session, recorded; the exit status."""
    session = Session(machine, options, say)
    recorder = Recorder(machine, path, session.shown)
    status = session.play()
    recorder.end(status)
    return status
