"""A timeline: a machine under a debugger that can be taken back in time.

The caller's end.  The machine is in processes of its own (inside.py): the cursor, which runs, and
checkpoints, forks of it that stand still.  Nothing runs backwards.  To go back is to fork the nearest
checkpoint before the goal and let that run up to it, which is exact: a run is decided by its beginning and by
what came in from outside, and that was recorded.

        o----------o----------o-----o--o--oo--->  cursor
        beginning                 checkpoints, closer near the cursor

A change made at a moment that is not the newest begins another future: what was recorded after it is dropped.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, Self

from orrery.debugger import events
from orrery.debugger.history import History
from orrery.debugger.moment import Moment
from orrery.debugger.place import Place
from orrery.debugger.pylines import PyLine
from orrery.debugger.replica import Replica
from orrery.debugger.stops import Stopped
from orrery.debugger.tape import Change
from orrery.debugger.target import ProcessInfo
from orrery.wire import Value

MEMORY_BYTES_MAX: Final = 1 << 30
CHECKPOINTS_MAX: Final = 256
SLICE_S: Final = 0.04  # of wall time, between two looks at what else there is to do
SPACING_S: Final = 0.075  # of wall time between checkpoints of a machine that goes on
APPROACH_TICKS: Final = (40_000_000, 4_000_000, 200_000)
"""How far before a goal checkpoints are left on the way to it: going back from there takes little time."""

APPROACH_FACTOR: Final = 4  # one that is so many times as far is as good
TRAIL_TICKS: Final = 1_000
STOPS_MAX: Final = 200
"""How many stops a search for the last one makes before it looks further on."""

HALVED_TICKS_MIN: Final = 100_000


class Interrupted(Exception):
    """Somebody asked for a stop in the middle of a search."""


class Timeline:
    """What Target offers, and time. `options` are those of orrery.Machine, as plain values.

    `changes` are to be made to it, each at its moment.  `memory_bytes_max` and `checkpoints_max` limit what
    checkpoints take.  While the machine runs, `on_slice` is called now and then; it may call ask_stop.
    Raises BadInput and its like as Machine does.  Close it after use, or use it in a `with` statement.
    """

    def __init__(
        self,
        *,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        checkpoints_max: int = CHECKPOINTS_MAX,
        spacing_s: float = SPACING_S,
        changes: Iterable[Change] = (),
        **options: Value,
    ) -> None:
        first, self.warnings = Replica.start(options)
        self._history: Final = History(first, memory_bytes_max, checkpoints_max)
        self._changes: Final = list(changes)  # all of this future
        self._future = 1  # its number
        self._cursor = self._informed(first.fork())
        self._spacing_s: Final = spacing_s
        self._ran_s = 0.0  # wall time since the last checkpoint
        self._trail: list[Moment] = []  # moments that follow each other, step by step
        self._places: tuple[Place, ...] = ()
        self._kinds: frozenset[str] = frozenset()
        self._interrupted = False
        self.on_slice: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Let all processes go. Closing twice is harmless."""
        self._cursor.close()
        self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- looking, as Target ---

    @property
    def moment(self) -> Moment:
        """Where the cursor is."""
        return self._cursor.moment

    @property
    def current(self) -> int:
        """The process that the hart works for, or KERNEL."""
        return self._cursor.current

    def processes(self) -> tuple[ProcessInfo, ...]:
        """All processes, in the order of the table."""
        return tuple(ProcessInfo(*one) for one in self._cursor.call("processes"))

    def registers(self, pid: int) -> list[int]:
        """The registers of a process, in the order of registers.NAMES; raises LookupError."""
        return list(self._cursor.call("registers", pid))

    def read(self, pid: int, va: int, n: int) -> bytes:
        """Memory of a process, as far as it is mapped; raises LookupError."""
        data: bytes = self._cursor.call("read", pid, va, n)
        return data

    def read_physical(self, pa: int, n: int) -> bytes:
        """RAM, as far as it goes."""
        data: bytes = self._cursor.call("read_physical", pa, n)
        return data

    def console_digest(self) -> str:
        """As Machine.console_digest."""
        digest: str = self._cursor.call("console_digest")
        return digest

    def page_sums(self) -> memoryview:
        """A checksum of each page of RAM."""
        return memoryview(self._cursor.call("page_sums")).cast("I")

    def monitor(self, line: str) -> str:
        """The answer of the console monitor to a command."""
        answer: str = self._cursor.call("monitor", line)
        return answer

    def digest(self) -> str:
        """As Machine.digest: of all that the machine is."""
        digest: str = self._cursor.call("digest")
        return digest

    def take_output(self) -> bytes:
        """What the console has shown since the last time, or since the cursor was taken back."""
        taken = bytes(self._cursor.output)
        self._cursor.output.clear()
        return taken

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that was done to the machine from outside, in this future."""
        return tuple(self._changes)

    @property
    def checkpoints(self) -> tuple[Moment, ...]:
        """Where there are checkpoints now."""
        return self._history.moments

    # --- changing, as Target; another future begins ---

    def set_register(self, pid: int, index: int, value: int) -> bool:
        """Set a register by its number in registers.NAMES; False where that cannot be; raises LookupError."""
        return self.change("set_register", pid, index, value)

    def write(self, pid: int, va: int, data: bytes) -> bool:
        """Store at an address of a process: all of it, or nothing and False; raises LookupError."""
        return self.change("write", pid, va, data)

    def write_physical(self, pa: int, data: bytes) -> bool:
        """Store in RAM; False where there is none."""
        return self.change("write_physical", pa, data)

    def kill(self, pid: int) -> bool:
        """Do as the system call does; False where that fails."""
        return self.change("kill", pid)

    def type(self, keys: bytes) -> None:
        """Type on the console."""
        self.change("type", keys)

    def change(self, name: str, *arguments: Value) -> bool:
        """One of the above, by its name."""
        before = self.moment
        done, count = self._cursor.call("change", name, arguments)
        if done:
            self._history.forget_after(before)
            self._changes[count - 1 :] = [Change(before, name, arguments)]
            self._future += 1
            self._cursor.future = self._future
            self._trail = []
        return bool(done)

    # --- going forward, as Target ---

    def set_places(self, places: Iterable[Place]) -> None:
        """From now on stop at these places, and at no others."""
        self._places = tuple(places)

    def catch(self, kinds: Iterable[str]) -> None:
        """From now on stop at these events, see events.py; raises ValueError for one that there is not."""
        kinds = frozenset(kinds)
        events.check(kinds)
        self._kinds = kinds

    def ask_stop(self) -> None:
        """Make what runs return; for another thread, a signal handler, or on_slice."""
        self._interrupted = True

    def resume(self, limit: Moment | int | None = None) -> Stopped:
        """Run until something happens, or until `limit`, a moment or ticks. A place at pc does not count."""
        self._cursor.equip(self._places, self._kinds)
        return self._run(self._cursor, limit)

    def step(self, n: int = 1, pid: int | None = None) -> Stopped:
        """Make `n` steps: an instruction, a trap's entry, a gate or a wait each; as in Target."""
        self._cursor.equip(self._places, self._kinds)
        return Stopped.of(self._cursor.call("step", n, pid))

    def trace(self) -> tuple[Stopped, tuple[PyLine, ...]]:
        """Make one step, and tell which lines of the kernel's Python ran in it; as in Target."""
        self._cursor.equip(self._places, self._kinds)
        stopped, lines = self._cursor.call("trace")
        return Stopped.of(stopped), tuple(PyLine(*one) for one in lines)

    def run_until(self, event: str, *, backwards: bool = False) -> Stopped:
        """Go to where `event` (see events.py) happens next, or happened last."""
        places, kinds = self._places, self._kinds
        self.catch({event})
        self._places = ()
        try:
            return self.reverse_resume() if backwards else self.resume()
        finally:
            self._places, self._kinds = places, kinds

    def _run(self, runner: Replica, limit: Moment | int | None) -> Stopped:
        """Let `runner` run as it is equipped, and leave checkpoints on its way."""
        while True:
            began = time.monotonic()
            runner.ask("run", _plain(limit), SLICE_S)
            self._history.measure()  # while the machine runs
            stopped = Stopped.of(runner.answer())
            self._ran_s += time.monotonic() - began
            if self._ran_s > self._spacing_s and self._is_far(runner.moment.ticks, APPROACH_TICKS[-1]):
                self._checkpoint(runner)
            if stopped.why != "slice":
                return stopped
            try:
                self._look_up()
            except Interrupted:
                return stopped._replace(why="interrupt")

    def _is_far(self, ticks: int, distance: int) -> bool:
        """Whether there is no checkpoint within `distance` before a time."""
        base = self._history.before(ticks)
        return base is None or base.moment.ticks < ticks - distance

    def _checkpoint(self, runner: Replica) -> None:
        """Leave one where `runner` is; not in the middle of a wait, which is a single step."""
        if not runner.moment.waiting:
            self._ran_s = 0.0
            self._history.add(runner.fork(), self.moment.ticks)

    def _look_up(self) -> None:
        """See what else there is to do; raises Interrupted."""
        self.on_slice()
        if self._interrupted:
            self._interrupted = False
            raise Interrupted

    # --- going back ---

    def goto(self, goal: Moment | int) -> Stopped:
        """Go to a moment, or to the first one at or after a time in ticks; forward as far as it goes."""
        ticks = goal.ticks if isinstance(goal, Moment) else goal
        if self.moment == goal:
            return self._stopped("limit")
        there = self._history.at(goal) if isinstance(goal, Moment) else None
        if there is not None:
            self._take(there)
            return self._stopped("limit")
        base = self._history.before(ticks) or self._history.first
        if not base.moment.ticks <= self.moment.ticks < ticks:
            self._take(base)
        self._cursor.equip((), frozenset())
        self._approach(self._cursor, ticks)
        return self._run(self._cursor, goal)

    def reverse_step(self, n: int = 1) -> Stopped:
        """Go back by `n` steps; `begin` where there are not as many."""
        for _ in range(n):
            before = self._previous()
            if before is None:
                return self._stopped("begin")
            self.goto(before)
        return self._stopped("step")

    def reverse_resume(self) -> Stopped:
        """Go back to the last place, or event, that resume would stop at on its way here.

        For an access to a watched place that is the moment before it.  `begin` where there is none.
        """
        limit, inclusive = self.moment, False
        found = None
        try:
            while found is None and (base := self._history.before(limit.ticks)) is not None:
                begin = base.moment
                found = self._last_stop(base.fork(), limit, inclusive)
                limit, inclusive = begin, True
        except Interrupted:
            return self._stopped("interrupt")
        if found is None:
            self.goto(self._history.first.moment)
            return self._stopped("begin")
        self.goto(found.since or found.moment)
        return found._replace(moment=self.moment, pid=self.current)

    def _take(self, base: Replica) -> None:
        """Go on with a copy of `base`."""
        old, self._cursor = self._cursor, self._informed(base.fork())
        self._cursor.output.clear()
        if old.moment.ticks > self._history.moments[-1].ticks and not old.moment.waiting:
            self._history.add(old, self.moment.ticks)  # the newest moment that has been reached
        else:
            old.close()

    def _informed(self, copy: Replica) -> Replica:
        """`copy`, told what is to come in from outside."""
        if copy.future != self._future:
            copy.call("load", _plain(self._changes))
            copy.future = self._future
        return copy

    def _approach(self, runner: Replica, ticks: int) -> None:
        """Run to shortly before `ticks`, and leave checkpoints on the way where there are none."""
        for distance in APPROACH_TICKS:
            far = self._is_far(ticks, APPROACH_FACTOR * distance)
            if far and runner.moment.ticks < ticks - distance:
                self._run(runner, ticks - distance)
                self._checkpoint(runner)

    def _previous(self) -> Moment | None:
        """The moment one step before the cursor's; None at the beginning."""
        now = self.moment
        if now not in self._trail[1:]:
            base = self._history.before(now.ticks)
            if base is None:
                return None
            walker = self._informed(base.fork())
            try:
                self._approach(walker, now.ticks)
                trail = walker.call("walk", tuple(now), now.ticks - TRAIL_TICKS)
            finally:
                walker.close()
            self._trail = [Moment(*one) for one in trail]
            assert len(trail) > 1, "a trail begins before the moment to which it leads"
        return self._trail[self._trail.index(now) - 1]

    def _last_stop(self, runner: Replica, limit: Moment, inclusive: bool) -> Stopped | None:
        """The last stop on the way of `runner`, which is let go, up to `limit`; raises Interrupted.

        Where stops are dense it looks in the later half first.
        """
        found = None
        try:
            self._informed(runner)
            while True:
                runner.equip(self._places, self._kinds)
                scan = runner.call("scan", tuple(limit), inclusive, STOPS_MAX, SLICE_S)
                found = Stopped.of(scan[0]) if scan[0] is not None else found
                if Stopped.of(scan[2]).why != "slice":
                    return found
                self._look_up()
                half = (runner.moment.ticks + limit.ticks) // 2
                if scan[1] == STOPS_MAX and half - runner.moment.ticks > HALVED_TICKS_MIN:
                    return self._last_of_halves(runner, half, limit, inclusive) or found
        finally:
            runner.close()

    def _last_of_halves(self, runner: Replica, half: int, limit: Moment, inclusive: bool) -> Stopped | None:
        earlier = runner.fork()
        try:
            runner.equip((), frozenset())
            self._run(runner, half)
            later = self._last_stop(runner.fork(), limit, inclusive)
            return later or self._last_stop(earlier, runner.moment, inclusive=True)
        finally:
            earlier.close()

    def _stopped(self, why: str) -> Stopped:
        return Stopped(why, self.moment, self.current)


def _plain(value: Value) -> Value:
    """`value` as a wire takes it: named tuples as tuples."""
    return tuple(_plain(part) for part in value) if isinstance(value, tuple | list) else value
