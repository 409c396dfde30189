"""Telling gdb why the machine stands still, in stop replies, and what else it is to know first.

Called by runner.py behind each stop; stub.py asks it what the connection is to begin with.  What gdb is told
first, it takes in and lets the machine go on: it is told the next one then, and the machine stands still.

gdb would stop at the end of each process that it knows of, so it is told of an end only where somebody is
interested: where the process was stopped in, or stepped, or has a breakpoint of its own in its program.

That a process runs another program is told too, as an exec event: gdb then loads the symbols, and sets the
breakpoints that were waiting for them.  Of a program in which it sets none it is told once, until the machine
stops for a person again.  Of processes that came otherwise gdb is told before such a stop in the same way,
one by one: it takes the inferior in, reads the description of its registers and the libraries, and goes on;
but the machine does not.  The same for those that were there when it came, of which it has read only the
symbols then.

Two more things that gdb does not expect of a stop.  In a process that it did not let go on itself: so it is
asked to, by its libraries again.  In the one that it found when it came, before a person has let that go on:
there it says nothing and waits for ever, so it is told of another one.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from orrery.gdb.breakpoints import Breakpoints
from orrery.gdb.errors import Refused
from orrery.gdb.inferior_calls import InferiorCalls
from orrery.gdb.inferiors import ALL, Inferiors
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.target_description import expedited
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel import events
from orrery.timetravel.events import EventKind
from orrery.timetravel.stops import StopKind
from orrery.timetravel.target import KERNEL, Stopped

SIGINT: Final = 2
SIGTRAP: Final = 5
SIGABRT: Final = 6
SIGSEGV: Final = 11
SIGWINCH: Final = 28  # gdb goes on behind this one, and says nothing
FINISHED: Final = {
    StopKind.EXIT: "the machine is switched off, with status {}",
    StopKind.END: "the recording ends here",
    StopKind.ASLEEP: "all processes wait for ever",
}
LIBRARIES: Final = "library:;"  # a stop at which gdb asks for the libraries, and goes on by itself
INTRODUCTIONS: Final = ("exec:", LIBRARIES)  # stops that are not for a person


class _Stop(NamedTuple):
    """A stop reply, and which process it is about."""

    pid: int
    packet: bytes
    introduces: bool


class StopReplies:
    """Of one client. `say` shows a person a text; `has_ended` says whether the machine is being switched off
    from elsewhere.

    `tells_exec`, `tells_kind`: the client knows of exec events, and of swbreak and hwbreak.
    `over` is set by the stop after which nothing more comes: the machine is off.
    """

    def __init__(
        self,
        session: TimelineSession,
        inferiors: Inferiors,
        breakpoints: Breakpoints,
        symbols: SymbolFiles,
        say: Callable[[str], None],
    ) -> None:
        self._session: Final = session
        self._inferiors: Final = inferiors
        self._breakpoints: Final = breakpoints
        self.calls: Final = InferiorCalls(session)
        self._symbols: Final = symbols
        self._say: Final = say
        self._queue: Final[deque[_Stop]] = deque()  # what gdb is told before the machine goes on
        self.kinds: frozenset[str] = frozenset()  # of events that a person asked for
        self._told: Final[dict[str, int]] = {}  # programs without breakpoints that gdb was told of, by whom
        self._ended: Final[dict[int, str]] = {}  # by pid: how processes ended whose end gdb does not know
        self._children: Final[set[int]] = set()  # that have their breakpoints from their parents
        self._stepped_for_watch: int | None = None  # the process that gdb steps once behind a watchpoint
        self._off = False  # gdb knows that the machine is switched off
        self._named = ALL  # the process that gdb let go on
        self._first: int | None = None  # the one that gdb found when it came, until it lets that go on
        self.crashed = KERNEL  # the process that was killed at this stop
        self.interesting: Final[set[int]] = set()
        self.paths: Final[dict[int, str]] = {}  # of the programs that gdb believes the processes to run
        self.tells_exec = False
        self.tells_kind = False
        self.over: Stopped | None = None
        self.has_ended: Callable[[], bool] = lambda: False

    # --- one by one ---

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
        """That process `pid` stands where it stood."""
        return self._stop(pid, SIGTRAP, "").packet

    def interrupted(self) -> bytes:
        """That the machine stands still because somebody wants something."""
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
        """The machine is at another moment: who has ended behind it has not ended there."""
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
        """That the machine stands still, in process `pid`, for a person to look at."""
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
        """Of the program of a process; None where there is none to be had."""
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

    def is_settled(self, pid: int) -> bool:
        """Whether gdb only asks for the step that it makes over an access before it looks at what changed.

        It believes that a watchpoint of RISC-V stops before the access.  It looks at the threads only when it
        stops for a person.
        """
        awaited, self._stepped_for_watch = self._stepped_for_watch, None
        return awaited == pid

    def shown(self) -> None:
        """gdb has stopped for a person: what it asks for now, it means."""
        self._stepped_for_watch = None

    def awaits(self, pid: int) -> None:
        """gdb has set a breakpoint in process `pid`: its program is one to be told of."""
        for path in [path for path, one in self._told.items() if one == pid]:
            del self._told[path]

    # --- why the machine stands still ---

    def of(self, stopped: Stopped) -> bytes | None:
        """What gdb is told of a stop; None where it is not to know."""
        if stopped.why == StopKind.EVENT:
            return self._event(stopped)
        if stopped.why == StopKind.PLACE:
            return self._place(stopped)
        if stopped.why in FINISHED and not self._off:
            self._off = True
            self._say(f"{FINISHED[stopped.why].format(stopped.status)}; to go on is to leave it\n")
            return self.stopped_in(
                stopped.pid, attribute="replaylog:end;" if stopped.why == StopKind.END else ""
            )
        if stopped.why in (*FINISHED, StopKind.LIMIT) or (
            stopped.why == StopKind.INTERRUPT and self.has_ended()
        ):
            self.over = stopped
            return self._end(self._last(), f"W{stopped.status:02x}")
        if stopped.why == StopKind.PANIC:
            self._say(f"the kernel has panicked: {stopped.detail}\n")
            return self.stopped_in(stopped.pid, SIGABRT)
        if stopped.why == StopKind.BEGIN:
            return self.stopped_in(stopped.pid, SIGTRAP, "replaylog:begin;")
        return self.stopped_in(stopped.pid, SIGINT if stopped.why == StopKind.INTERRUPT else SIGTRAP)

    def _last(self) -> int:
        """An inferior that gdb knows, to tell it that the machine is off."""
        known = self._inferiors.known - self._inferiors.detached
        return KERNEL if KERNEL in known else max(known, default=KERNEL)

    def _place(self, stopped: Stopped) -> bytes | None:
        place = stopped.place
        assert place is not None, "a stop at a place tells which"
        if self.calls.is_trap(place):
            return self._returned(stopped.pid) if self.calls.has_returned(stopped.pid) else None
        attribute = self._breakpoints.attribute(place)
        if place.kinds == "x":
            return self.stopped_in(stopped.pid, SIGTRAP, f"{attribute}:;" if self.tells_kind else "")
        if stopped.detail:
            self._say(f"written by {stopped.detail}\n")
        pid = place.pid if place.pid and self._inferiors.has(place.pid) else stopped.pid
        self._stepped_for_watch = pid
        return self.stopped_in(pid, SIGTRAP, f"{attribute}:{max(stopped.va, place.va):x};")

    def _returned(self, pid: int) -> bytes:
        """A function that gdb has called in process `pid` is over."""
        return self.stopped_in(pid, SIGTRAP, "swbreak:;" if self.tells_kind else "")

    def _event(self, stopped: Stopped) -> bytes | None:
        kind, _, text = stopped.detail.partition(" ")
        if kind in self.kinds or kind.partition(":")[0] in self.kinds:
            self._say(f"{kind}: {text}\n")
            return self.stopped_in(stopped.pid)
        if kind == EventKind.EXEC and self.tells_exec:
            self._breakpoints.disinherit(stopped.pid)
            return self._exec(stopped.pid)
        if kind == EventKind.FORK and self.tells_exec:
            self._breakpoints.inherit(stopped.pid, int(text.rpartition(" ")[2]))
        if kind == EventKind.CRASH:
            return self._crash(stopped.pid, text)
        if kind == EventKind.EXIT:  # nobody asked for these: it is the one that was to step
            return self.stopped_in(stopped.pid)
        return self._ending(stopped.pid, int(text.rpartition(" ")[2])) if kind == EventKind.END else None

    def _exec(self, pid: int) -> bytes | None:
        """Process `pid` runs another program."""
        if pid in self._inferiors.detached:
            return None
        path = self._path(pid)
        if path is None:
            return None
        if pid not in self._inferiors.known and path in self._told:
            return None
        self._told[path] = pid
        self._introduce(pid)
        return self.next()

    def _crash(self, pid: int, text: str) -> bytes | None:
        """Process `pid` was killed for what it did; a person may look at it before gdb knows of its end."""
        if not self._is_interesting(pid) and not self._breakpoints.is_heir(pid):
            return self._ending(pid, events.KILLED)
        if pid not in self._inferiors.known and self.tells_exec:
            self._introduce(pid)
        self._say(f"{text}\n")
        self.crashed, self._ended[pid] = pid, f"X{SIGSEGV:02x}"
        self._queue.append(self._stop(pid, SIGSEGV, ""))
        return self.next()

    def _ending(self, pid: int, status: int) -> bytes | None:
        """Process `pid` has ended."""
        self._breakpoints.disinherit(pid)
        how = f"W{status:02x}"
        if pid in self._inferiors.detached or pid not in self._inferiors.known:
            return None
        if not self._inferiors.multi:  # the client would take it for the end of all
            return None
        if self._is_interesting(pid) and (pid in self.interesting or pid not in self._children):
            return self._end(pid, how)
        self._ended[pid] = how
        return None

    def _is_interesting(self, pid: int) -> bool:
        return pid in self.interesting or self._breakpoints.in_program(pid)

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

    def _stop(self, pid: int, signal: int, attribute: str) -> _Stop:
        self._inferiors.known.add(pid)
        thread = self._inferiors.thread(pid)
        packet = f"T{signal:02x}{attribute}thread:{thread};".encode()
        return _Stop(pid, packet, attribute.startswith(INTRODUCTIONS))
