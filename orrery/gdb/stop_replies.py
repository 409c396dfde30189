"""Stop replies: how a stop of the machine is reported to gdb, if at all.

Called by runner.py behind each stop, and by stub.py for the stop with which a connection begins.  The
replies go through a queue (reply_queue.py).

gdb would stop at the exit of each process that it knows of, so an exit is reported only where the user is
interested: the process was stopped in, or stepped, or has a breakpoint of its own in its program.  A program
without breakpoints is reported once, until the machine stops for the user again.
"""

from collections.abc import Callable
from typing import Final

from orrery.gdb.breakpoints import RemoteBreakpoints
from orrery.gdb.inferior_calls import InferiorCalls
from orrery.gdb.inferiors import Inferiors
from orrery.gdb.reply_queue import SIGINT, SIGTRAP, ReplyQueue
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine import events
from orrery.machine.events import EventKind
from orrery.timetravel.stops import StopKind
from orrery.timetravel.target import KERNEL, Stopped

SIGABRT: Final = 6
SIGSEGV: Final = 11
FINISHED: Final = {
    StopKind.EXIT: "the machine is switched off, with status {}",
    StopKind.END: "the recording ends here",
    StopKind.ASLEEP: "all processes wait for ever",
}


class StopReplies(ReplyQueue):
    """Of one client. `has_ended` says whether the machine is being switched off from elsewhere.

    `tells_kind`: the client knows of swbreak and hwbreak.  `over` is set by the stop after which nothing more
    comes: the machine is off.
    """

    def __init__(
        self,
        session: TimelineSession,
        inferiors: Inferiors,
        breakpoints: RemoteBreakpoints,
        symbols: SymbolFiles,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(session, inferiors, breakpoints, symbols, say)
        self.calls: Final = InferiorCalls(session)
        self.kinds: frozenset[str] = frozenset()  # of events that a user asked for
        self._stepped_for_watch: int | None = None  # the process that gdb steps once behind a watchpoint
        self.tells_kind = False
        self.over: Stopped | None = None
        self.has_ended: Callable[[], bool] = lambda: False

    def of(self, stopped: Stopped) -> bytes | None:
        """The reply for a stop; None where gdb is not to know of it."""
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

    def is_settled(self, pid: int) -> bool:
        """Whether gdb only asks for the step that it makes over an access before it looks at what changed.

        It believes that a watchpoint of RISC-V stops before the access.  It looks at the threads only when it
        stops for a user.
        """
        awaited, self._stepped_for_watch = self._stepped_for_watch, None
        return awaited == pid

    def shown(self) -> None:
        """gdb has stopped for a user: what it asks for now, it means."""
        self._stepped_for_watch = None

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
        """Process `pid` was killed for what it did; a user may look at it before gdb knows of its end."""
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
