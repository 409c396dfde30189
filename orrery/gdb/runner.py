"""Resumes the machine for gdb, forwards and back, until there is a stop to report.

Called by stub.py.  All processes go on together, as one machine does, whichever gdb names; a step counts for
the process that it is for. stop_replies.py decides how a stop is reported, and whether at all; while it has
more to report, the machine does not go on.
"""

from collections.abc import Callable
from typing import Final

from orrery.gdb.breakpoints import RemoteBreakpoints
from orrery.gdb.errors import EINVAL, Refused, number
from orrery.gdb.inferiors import ALL, Inferiors
from orrery.gdb.stop_replies import StopReplies
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine import events
from orrery.machine.events import EventKind
from orrery.timetravel.stops import StopKind
from orrery.timetravel.target import KERNEL, Stopped

LOOK_STEPS: Final = 256  # of a range, between two looks at what comes in
OURS: Final = frozenset(
    (EventKind.FORK, EventKind.EXEC, EventKind.END, EventKind.CRASH)
)  # events that are reported to gdb unasked


class Runner:
    """Of one client. `say` shows a user a text; `on_look` is called now and then while it steps."""

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
        self.stop_replies: Final = StopReplies(session, inferiors, breakpoints, symbols, say)
        self._moved = False  # the machine is at another moment than gdb believes
        self.follows = False  # gdb asks whether it was moved, and looks again then
        self.limit: int | None = None  # ticks at which the run ends
        self.on_look: Callable[[], bool] = lambda: False
        self._catch()

    # --- packets ---

    def vcont(self, text: bytes) -> bytes:
        """vCont with its actions: which process to step, or to resume all."""
        if self.stop_replies.has_more:
            return self.stop_replies.next()
        actions = [action.partition(b":") for action in text.split(b";") if action]
        if not actions:
            raise Refused(EINVAL)
        self.stop_replies.let_go(self._inferiors.pid(actions[0][2]) if actions[0][2] else ALL)
        if self._moved and any(action[:1] in (b"s", b"S", b"r") for action, _, _ in actions):
            self._moved = False
            return self.stop_replies.arrived()
        for action, _, thread in actions:
            pid = self._inferiors.pid(thread) if thread else self._inferiors.current()
            pid = self._inferiors.current() if pid == ALL else pid
            if self.stop_replies.has_to_end(pid) and (len(actions) == 1 or pid == self.stop_replies.crashed):
                return self.stop_replies.end(pid)
            if action[:1] in (b"s", b"S"):
                return self.step(pid)
            if action[:1] == b"r":
                first, _, last = action[1:].partition(b",")
                return self.step(pid, range(number(first), number(last)))
            if action[:1] not in (b"c", b"C", b"t"):
                raise Refused(EINVAL)
        return self.cont()

    @property
    def moved(self) -> bool:
        """Whether the machine was moved by a command of the monitor, of which gdb knows nothing yet."""
        return self._moved

    def move(self) -> None:
        """It was: gdb's next step makes none, and is answered with where the machine is."""
        self._moved = True
        self.stop_replies.drop()

    def seen(self) -> None:
        """gdb has read the registers of this moment: a step is a step again."""
        self._moved = False

    def cont(self) -> bytes:
        """Go on until something happens that gdb is to know."""
        self._moved = False
        if self.stop_replies.has_to_end(self.stop_replies.crashed):
            return self.stop_replies.end(self.stop_replies.crashed)
        count = 0
        while True:
            answer = self.stop_replies.of(self._session.resume(self.limit))
            if answer is not None:
                return answer
            count += 1
            if count % LOOK_STEPS == 0 and self.on_look():  # stops that gdb is not told of can come thick
                return self.stop_replies.interrupted()

    def step(self, pid: int, within: range = range(0)) -> bytes:
        """One step of a process, or more while its pc is `within`."""
        if self.stop_replies.is_settled(pid):
            return self.stop_replies.stop_again(pid)
        self._moved = False
        self.stop_replies.interesting.add(pid)
        only = None if pid == KERNEL else pid
        count, left = 0, 1
        while True:
            stopped = self._session.step(left, only)
            # What happens to others may come before this process's step, or behind it.
            left = 1 if stopped.why == StopKind.STEP else left - self._session.steps_made
            goes_on = stopped.why == StopKind.STEP and stopped.moment.pc in within
            answer = None if goes_on else self.stop_replies.of(stopped)
            if stopped.why == StopKind.EVENT and self.stop_replies.has_more:
                self.stop_replies.add_stop(pid)  # gdb forgets at an exec that it steps
            if answer is None and stopped.why == StopKind.EVENT and only in (None, stopped.pid):
                return self.stop_replies.stopped_in(stopped.pid)  # the step is made, whatever happened in it
            if answer is not None:
                return answer
            count += 1
            if count % LOOK_STEPS == 0 and self.on_look():
                return self.stop_replies.interrupted()

    def back(self, go: Callable[[], Stopped], steps: int | None = None) -> bytes:
        """Backwards, by a step of process `steps` or to the last stop.

        Events that are reported unasked are so forwards only.
        """
        if self.stop_replies.has_more:
            return self.stop_replies.next()
        self._moved = False
        if steps is not None and self.stop_replies.is_settled(steps):
            return self.stop_replies.stop_again(steps)
        self._session.catch(self.stop_replies.kinds)
        try:
            stopped = go()
        finally:
            self._catch()
        self.stop_replies.revive()
        self.stop_replies.rename(stopped.pid)
        return self.stop_replies.of(stopped) or self.stop_replies.stopped_in(stopped.pid)

    def catch(self, words: list[str]) -> str:
        """Stop at these events for a user; what to tell them."""
        try:
            kinds = events.named(words)
            self._session.catch(OURS | set(kinds))
        except ValueError as error:
            return f"{error}\n"
        self.stop_replies.kinds = frozenset(kinds)
        return f"stops at: {', '.join(sorted(self.stop_replies.kinds)) or 'no event'}\n"

    def _catch(self) -> None:
        self._session.catch(OURS | self.stop_replies.kinds)
