"""The queue of stop replies: gdb takes one at a time, and the machine goes on when it is empty.

The base of StopReplies (stop_replies.py), which decides how a stop is reported.  After each reply gdb
resumes the machine; while there are more, it gets the next one instead, and the machine stands still.

When a process runs another program, an exec event is reported: gdb then loads the symbols, and sets the
breakpoints that were pending.  Other new processes are introduced by an exec event too, before a stop for
the user: gdb adds the inferior, reads the description of its registers and the libraries, and resumes; but
the machine does not go on.  The same for those that existed when gdb connected, of which it has read only
the symbols then.

Two stops that gdb does not expect need help.  A stop in a process that it did not resume: it is made to look
at that process by a library event.  A stop in the process that it found on connecting, before the user has
resumed that one: gdb would say nothing and wait for ever, so the stop is reported for another process.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from orrery.gdb.breakpoints import RemoteBreakpoints
from orrery.gdb.errors import Refused
from orrery.gdb.inferiors import ALL, Inferiors
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.target_description import expedited
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.target import KERNEL

SIGINT: Final = 2
SIGTRAP: Final = 5
SIGWINCH: Final = 28  # gdb goes on behind this one, and says nothing
LIBRARIES: Final = "library:;"  # a stop at which gdb asks for the libraries, and goes on by itself
INTRODUCTIONS: Final = ("exec:", LIBRARIES)  # stops that are not for a user


class _StopReply(NamedTuple):
    """A stop reply, and which process it is about."""

    pid: int
    packet: bytes
    introduces: bool


class ReplyQueue:
    """Of one client. `say` shows a user a text; `tells_exec`: the client knows of exec events."""

    def __init__(
        self,
        session: TimelineSession,
        inferiors: Inferiors,
        breakpoints: RemoteBreakpoints,
        symbols: SymbolFiles,
        say: Callable[[str], None],
    ) -> None:
        self._session: Final = session
        self._inferiors: Final = inferiors
        self._breakpoints: Final = breakpoints
        self._symbols: Final = symbols
        self._say: Final = say
        self._queue: Final[deque[_StopReply]] = deque()  # what gdb is told before the machine goes on
        self._told: Final[dict[str, int]] = {}  # programs without breakpoints that gdb was told of, by whom
        self._ended: Final[dict[int, str]] = {}  # by pid: how processes ended whose end gdb does not know
        self._children: Final[set[int]] = set()  # that have their breakpoints from their parents
        self._off = False  # gdb knows that the machine is switched off
        self._named = ALL  # the process that gdb let go on
        self._first: int | None = None  # the one that gdb found when it came, until it lets that go on
        self.crashed = KERNEL  # the process that was killed at this stop
        self.interesting: Final[set[int]] = set()
        self.paths: Final[dict[int, str]] = {}  # of the programs that gdb believes the processes to run
        self.tells_exec = False

    def why(self) -> bytes:
        """The answer to `?`, with which a connection begins."""
        current = self._inferiors.current()
        self._inferiors.meet_all(current)
        self._first = current
        self._queue.clear()
        self.interesting.add(current)
        self._queue.append(self._stop(current, SIGTRAP, ""))
        return self.next()

    @property
    def has_more(self) -> bool:
        """Whether gdb is to be told something before the machine goes on."""
        return bool(self._queue)

    def add_stop(self, pid: int) -> None:
        """Tell of a stop in process `pid` behind all that is to be told."""
        self._queue.append(self._stop(pid, SIGTRAP, ""))

    def stop_again(self, pid: int) -> bytes:
        """A stop of process `pid` where it stood before."""
        return self._stop(pid, SIGTRAP, "").packet

    def interrupted(self) -> bytes:
        """A stop by an interrupt."""
        return self.stopped_in(self._inferiors.current(), SIGINT)

    def let_go(self, pid: int) -> None:
        """gdb lets process `pid` go on, or ALL."""
        self._named = pid
        if pid in (self._first, ALL):
            self._first = None

    def has_to_end(self, pid: int) -> bool:
        """Whether process `pid` has ended, which gdb does not know."""
        return pid in self._ended

    def end(self, pid: int) -> bytes:
        """Tell gdb that it has."""
        return self._end(pid, self._ended[pid])

    def revive(self) -> None:
        """The machine is at another moment: processes that ended later have not ended there."""
        self.crashed, self._off = KERNEL, False
        self._ended.clear()

    def drop(self) -> None:
        """It was moved there: what was to be told is no more."""
        self.revive()
        self._queue.clear()

    def arrived(self) -> bytes:
        """Tell gdb where the machine was moved to: a stop without a signal, which ends what gdb is at."""
        pid = self._inferiors.current()
        if self._named not in (pid, ALL):  # if it steps over a breakpoint, it wants to hear of that process
            self._queue.append(self._stop(self._named, SIGWINCH, ""))
        if self.tells_exec and pid in self._inferiors.known and self._path(pid) != self.paths.get(pid):
            self._introduce(pid)
        return self.stopped_in(pid, 0)

    def stopped_in(self, pid: int, signal: int = SIGTRAP, attribute: str = "") -> bytes:
        """A stop for the user, in process `pid`."""
        self.interesting.add(pid)
        self._told.clear()
        for other in self._inferiors.to_introduce() if self.tells_exec else ():
            if not self._breakpoints.watches(other):  # gdb gives up watchpoints at an exec
                self._introduce(other)
        pid, signal, attribute = self._audible(pid, signal, attribute)
        if self._named not in (pid, ALL) and self._inferiors.multi:
            self._queue.append(self._stop(pid, SIGTRAP, LIBRARIES))
        self._queue.append(self._stop(pid, signal, attribute))
        return self.next()

    def _audible(self, pid: int, signal: int, attribute: str) -> tuple[int, int, str]:
        """The stop in the first process, or what gdb is told in its place while it would not notice."""
        if pid != self._first or self._named in (pid, ALL):
            return pid, signal, attribute
        if signal != SIGINT:
            self._say(f"this happened in {self._inferiors.name(pid)}, inferior 1\n")
        return self._named, signal, ""

    def _introduce(self, pid: int) -> None:
        """Have gdb told of a process, new or not: at an exec it reads all about it."""
        self._inferiors.half_known.discard(pid)
        path = self._path(pid)
        if path is None:
            return  # without symbols it is of no use
        self.paths[pid] = path
        if self._breakpoints.is_heir(pid):
            self._children.add(pid)
            self._breakpoints.disinherit(pid)
        self._queue.append(self._stop(pid, SIGTRAP, f"exec:{path.encode().hex()};"))
        self._queue.append(self._stop(pid, SIGTRAP, LIBRARIES))

    def _path(self, pid: int) -> str | None:
        """The path of a process's program; None where that is not available."""
        try:
            return self._symbols.path(pid)
        except (Refused, LookupError):
            return None

    def next(self) -> bytes:
        """What gdb is to be told first; it takes that process for the chosen one."""
        stop = self._queue.popleft()
        self._inferiors.chosen = stop.pid
        return stop.packet if stop.introduces else stop.packet + self._expedited(stop.pid)

    def _expedited(self, pid: int) -> bytes:
        """Registers of the process that has stopped, so that gdb need not ask, where they are the hart's."""
        if pid != self._inferiors.current() or pid == self.crashed != KERNEL:
            return b""
        return expedited(self._session.registers(pid))

    def rename(self, pid: int) -> None:
        """Have gdb told what a process executes here, if it believes something else."""
        if pid in self._inferiors.known and self.tells_exec and not self._breakpoints.watches(pid):
            path = self._path(pid)
            if path is not None and path != self.paths.get(pid):
                self._introduce(pid)

    def awaits(self, pid: int) -> None:
        """gdb has set a breakpoint in process `pid`: its program is one to be told of."""
        for path in [path for path, one in self._told.items() if one == pid]:
            del self._told[path]

    def _end(self, pid: int, how: str) -> bytes:
        """Tell gdb of an end, as W or X with a status."""
        self._breakpoints.forget(pid)
        self._inferiors.known.discard(pid)
        self.interesting.discard(pid)
        self._ended.pop(pid, None)
        self._told.clear()
        self.crashed = KERNEL
        return (
            f"{how};process:{self._inferiors.shown(pid):x}".encode()
            if self._inferiors.multi
            else how.encode()
        )

    def _stop(self, pid: int, signal: int, attribute: str) -> _StopReply:
        self._inferiors.known.add(pid)
        thread = self._inferiors.thread(pid)
        packet = f"T{signal:02x}{attribute}thread:{thread};".encode()
        return _StopReply(pid, packet, attribute.startswith(INTRODUCTIONS))
