"""The edit loop: `boot --watch` boots anew when a source changes, and types the last commands again; `run
--watch` runs a program anew, when one of its own sources changes too.

This is the parent process.  It looks at the time stamps of the sources, and runs the machine in a child
(watch_child.py), so that every boot loads the sources as they are then; the child has the terminal.  Both
talk over a socket: the parent sends the lines to type, then

    child:  "> LINE"   the shell was given this line        "over"    the run has ended
            "broken"   a source is; it has said which       "left"    the person has ended it
            "+ FILE"   the program is made from this file, and was when it was as FILE says, see file_line

A child that has ended is waited out: it boots again at the next change.  A child without a last word has
refused the command line.  Nothing of the sources is imported here: they may be broken when this starts.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final, TypeAlias

from orrery.console.exit_status import BY_SIGNAL
from orrery.console.signals import Signals
from orrery.console.terminal_mode import STDIN, keys_at_once, restored_terminal

ROOT: Final = Path(__file__).resolve().parents[2]
WATCHED: Final = ("emu", "kernel", "toolchain", "user")
SUFFIXES: Final = (".py", ".c", ".h", ".S", ".s", ".ld")
POLL_S: Final = 0.2
SETTLE_S: Final = 0.05  # how long the sources must stay as they are: an editor may write in several steps
STOP_S_MAX: Final = 0.9  # after which a child that does not end is killed
LINES_MAX: Final = 10  # typed again
QUIT: Final = (b"\x01x", b"\x01X")

Stamp: TypeAlias = tuple[int, int, int]
"""Time of change (ns), size and number of a file: what differs when it is another one."""

Look: TypeAlias = dict[str, Stamp]
"""Every source's, by path."""


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def stamp_of(path: str) -> Stamp | None:
    """A file's; None where there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError):
        return None


def file_line(path: str) -> bytes:
    """What a child says of a file, whose name may have any byte: stamp, and name in hexadecimal."""
    stamp = stamp_of(path)
    text = "-" if stamp is None else ",".join(map(str, stamp))
    return f"+ {text} {os.fsencode(path).hex()}".encode()


class SourceTree:
    """The sources below `root`, and other files."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._others: Final[dict[str, None]] = {}
        self._seen: Look = {}

    def add(self, path: str, stamp: Stamp | None) -> None:
        """Look at the file at `path` too, which was like this when somebody used it; None: not there."""
        self._others[path] = None
        self._seen.pop(path, None)
        if stamp is not None:
            self._seen[path] = stamp

    def changed(self) -> bool:
        """Whether the sources are not any more as they were when last taken."""
        return self._look() != self._seen

    def take(self) -> list[str]:
        """Take the sources as they are, once nobody is writing them; which ones changed, came or went."""
        before = self._seen
        look = self._look()
        while look != self._seen:
            self._seen = look
            time.sleep(SETTLE_S)
            look = self._look()
        return sorted(path for path in {*look, *before} if look.get(path) != before.get(path))

    def _look(self) -> Look:
        look = {
            os.path.relpath(entry.path, self._root): _stamp(stat)
            for name in WATCHED
            for entry, stat in _files(str(self._root / name))
        }
        return look | {path: stamp for path in self._others if (stamp := stamp_of(path)) is not None}


def _files(directory: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """The sources below a directory; one that goes while it is looked at is not there."""
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith((".", "__pycache__")):
                continue
            if entry.is_dir():
                yield from _files(entry.path)
            elif entry.name.endswith(SUFFIXES):
                with suppress(FileNotFoundError):
                    yield entry, entry.stat()


class ChildEnd(Enum):
    """Why a child is not there any more."""

    CHANGED = "changed"  # it was stopped, because a source had changed
    LEFT = "left"  # the person has ended the run
    BROKEN = "broken"  # the sources cannot be used
    OVER = "over"  # its machine has stopped
    REFUSED = "refused"  # it made no machine
    SIGNAL = "signal"  # somebody ended this process


class Watch:
    """Boots `words`, a command line, again and again, until the person has enough.

    `say` prints a line on stderr.  With `again` the last lines typed at the shell are typed again.
    """

    def __init__(self, words: Sequence[str], say: Callable[[str], None], *, again: bool) -> None:
        self._words: Final = words
        self._doing: Final = "booting" if words[0] == "boot" else "running"
        self._say: Final = say
        self._again: Final = again
        self._tree: Final = SourceTree(ROOT)
        self._lines: list[bytes] = []  # to type
        self._status = 0  # of the last child

    def run(self) -> int:
        """Until the end; the exit status."""
        with Signals(None) as signals:
            self._tree.take()
            while True:
                with restored_terminal():
                    end = self._boot(signals)
                if end is ChildEnd.CHANGED:
                    self._say("")  # the guest's line is not finished
                elif end in (ChildEnd.OVER, ChildEnd.BROKEN):
                    status = f"status {self._status}; " if end is ChildEnd.OVER else ""
                    self._say(f"orrery: {status}{self._doing} again when a source changes, C-a x ends this")
                    end = self._wait(signals)
                if end is not ChildEnd.CHANGED:
                    return BY_SIGNAL + signals.terminated if end is ChildEnd.SIGNAL else self._status
                self._renew()

    def _renew(self) -> None:
        """Take the changed sources as they are, and say which they are."""
        changed = self._tree.take()
        for name in changed:
            if name.endswith(".py"):
                # Python would take what it compiled before for new if size and time, to the second, agree.
                Path(cache_from_source(str(ROOT / name))).unlink(missing_ok=True)
        from toolchain.names import shown

        if changed:  # a file may be as it was again
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            self._say(f"orrery: {shown(_near(changed[0]))}{more} changed: {self._doing} again")

    # --- a child ---

    def _boot(self, signals: Signals) -> ChildEnd:
        """Run a child until it ends, or has to."""
        ours, theirs = socket.socketpair()
        with ours:
            command = [
                sys.executable,
                "-P",
                "-m",
                "orrery.cli.watch_child",
                str(theirs.fileno()),
                *self._words,
            ]
            child = subprocess.Popen(command, pass_fds=[theirs.fileno()])
            theirs.close()
            told = _Told(self._tree)
            end = self._attend(ours, told, signals)
            self._status = (
                _end(child) if end in (ChildEnd.CHANGED, ChildEnd.SIGNAL) else _status(child.wait())
            )
        if self._again:
            self._lines = (told.lines + self._lines[len(told.lines) :])[-LINES_MAX:]
        return end

    def _attend(self, link: socket.socket, told: "_Told", signals: Signals) -> ChildEnd:
        """Talk to the child, and look at the sources meanwhile."""
        with suppress(ConnectionError):  # a child that has ended
            link.sendall(b"".join(line + b"\n" for line in self._lines))
            link.shutdown(socket.SHUT_WR)
            while not signals.came:
                if signals.wait(link.fileno(), POLL_S):
                    data = link.recv(1 << 16)
                    if not data:
                        break
                    told.take(data)
                elif self._tree.changed():
                    return ChildEnd.CHANGED
        return ChildEnd.SIGNAL if signals.came else told.end

    # --- without a child ---

    def _wait(self, signals: Signals) -> ChildEnd:
        """Wait for a source to change, or for C-a x."""
        keys = b""
        with keys_at_once() as interactive:
            while not self._tree.changed():
                if signals.came:
                    return ChildEnd.SIGNAL
                if not interactive:
                    time.sleep(POLL_S)
                elif signals.wait(STDIN, POLL_S):
                    typed = os.read(STDIN, 64)
                    keys = keys[-1:] + typed
                    if not typed or any(quit_keys in keys for quit_keys in QUIT):
                        self._status = 0
                        return ChildEnd.LEFT
        return ChildEnd.CHANGED


def _file(line: bytes) -> tuple[str, Stamp | None]:
    """What file_line was given, and the stamp then."""
    _, stamp, name = line.decode().split(" ")
    if stamp == "-":
        return os.fsdecode(bytes.fromhex(name)), None
    changed_ns, size, number = map(int, stamp.split(","))
    return os.fsdecode(bytes.fromhex(name)), (changed_ns, size, number)


def _near(path: str) -> str:
    """A file as from where one stands, if that is shorter."""
    return min(path, os.path.relpath(path), key=len) if os.path.isabs(path) else path


class _Told:
    """What a child has said; the files go to `tree`."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree: Final = tree
        self.lines: list[bytes] = []
        self.end = ChildEnd.REFUSED
        self._unfinished = b""

    def take(self, data: bytes) -> None:
        *messages, self._unfinished = (self._unfinished + data).split(b"\n")
        for message in messages:
            if message.startswith(b"> "):
                self.lines.append(message[2:])
            elif message.startswith(b"+ "):
                self._tree.add(*_file(message))
            elif self.end is ChildEnd.REFUSED:
                self.end = ChildEnd(message.decode())


def _end(child: "subprocess.Popen[bytes]") -> int:
    """End `child`; its exit status."""
    child.terminate()
    try:
        return _status(child.wait(STOP_S_MAX))
    except subprocess.TimeoutExpired:
        child.kill()
        return _status(child.wait())


def _status(returned: int) -> int:
    """The exit status of a child, as a shell gives it: 128+n where signal n ended it."""
    return returned if returned >= 0 else BY_SIGNAL - returned
