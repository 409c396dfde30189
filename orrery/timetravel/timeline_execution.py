"""Running a timeline's machine forward, in a process of its own, with checkpoints on the way.

The machine is in checkpoint processes (checkpoint_server.py), forks of each other: the cursor, which runs,
and checkpoints, which stand still.  navigation.py moves the cursor to other moments.

        o----------o----------o-----o--o--oo--->  cursor
        beginning                 checkpoints, closer near the cursor

How near the last one is decides how long the first step back takes; docs/time-machine.md tells what is done.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Final, ParamSpec, Self

from orrery.errors import CannotGoOn
from orrery.machine import events
from orrery.pool.channel import Value
from orrery.timetravel.checkpoint_proxy import CheckpointProxy, NoRoom
from orrery.timetravel.checkpoints import Checkpoints, Few
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.kernel_writes import ELSEWHERE
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.python_trace import PythonLine
from orrery.timetravel.spacing import SPACING_S, Spacing
from orrery.timetravel.stops import StopKind, Stopped

_P = ParamSpec("_P")

MEMORY_BYTES_MAX: Final = 1 << 30
CHECKPOINTS_MAX: Final = 256
SLICE_S: Final = 0.03  # of wall time, between two looks at what else there is to do
PATIENCE_S: Final = 0.005  # a run that takes longer is used for something else
APPROACH_TICKS: Final = (40_000_000, 200_000)
"""How far before a goal checkpoints are left on the way to it: going back from there takes little time."""

VISITS_MAX: Final = 12  # of those: a process with many ancestors that are still there takes long to fork
PASSED_MAX: Final = 2  # of every second one; before those, checkpoints are twice as far apart
STEPS_MAX: Final = 2_000  # at a time; they take some 10 us each


class Interrupted(Exception):
    """Somebody asked for a stop."""


def interruptible(go: Callable[_P, Stopped]) -> Callable[_P, Stopped]:
    """A method of a timeline that ends where the cursor is when ask_stop was called."""

    @wraps(go)
    def going(*args: _P.args, **keywords: _P.kwargs) -> Stopped:
        try:
            return go(*args, **keywords)
        except Interrupted:
            timeline = args[0]
            assert isinstance(timeline, TimelineExecution), "only its methods are decorated"
            return timeline.stopped(StopKind.INTERRUPT)

    return going


class TimelineExecution:
    """Of a machine by `options`, which are those of orrery.Machine as plain values; see Timeline.

    `first` is a checkpoint process of such a machine before its first step, if the caller has one.
    """

    def __init__(
        self,
        *,
        memory_bytes_max: int = MEMORY_BYTES_MAX,
        checkpoints_max: int = CHECKPOINTS_MAX,
        spacing_s: float = SPACING_S,
        changes: Iterable[Change] = (),
        first: CheckpointProxy | None = None,
        **options: Value,
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        if first is None:
            first, self.warnings = CheckpointProxy.start(options)
        self._checkpoints: Final = Checkpoints(first, memory_bytes_max, checkpoints_max)
        self._changes: Final = list(changes)  # all of this future
        self._future = 1  # its number
        self._cursor = self._informed(first.fork())
        self._spacing: Final = Spacing(spacing_s)
        self._passed: Final = Few(self._checkpoints, PASSED_MAX)
        self._passes = False  # the last one that was left on the way is of these
        self._visits: Final = Few(self._checkpoints, VISITS_MAX)
        self._spare: tuple[CheckpointProxy, CheckpointProxy] | None = None  # a checkpoint, and a copy of it
        self._step_history: list[Moment] = []  # moments that follow each other, step by step
        self._places: tuple[Place, ...] = ()
        self._kinds: frozenset[str] = frozenset()
        self._interrupted = False
        self.steps_made = 0  # by the last call of step
        self.sought = self._cursor.moment  # how far back a search has come
        self.on_slice: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Let all processes go. Closing twice is harmless."""
        self._drop_spare()
        self._cursor.close()
        self._checkpoints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def moment(self) -> Moment:
        """Where the cursor is."""
        return self._cursor.moment

    @property
    def current(self) -> int:
        """The process that the hart works for, or KERNEL."""
        return self._cursor.current

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
        return self._checkpoints.moments

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that there are for it now."""
        spare = () if self._spare is None else (self._spare[1].pid,)
        return (self._cursor.pid, *spare, *self._checkpoints.pids)

    @property
    def newest(self) -> Moment:
        """The last one that is known: where a recording ends, or as far as anybody has been."""
        ends = (change.moment for change in self._changes if change.name == ChangeKind.END)
        return max((*ends, self._checkpoints.moments[-1], self.moment), key=lambda moment: moment.ticks)

    # --- going forward, as Target ---

    def set_places(self, places: Iterable[Place]) -> None:
        """From now on stop at these places, and at no others."""
        self._places = tuple(places)

    def catch(self, kinds: Iterable[str]) -> None:
        """From now on stop at these events (machine/events.py); raises ValueError for one that is none."""
        kinds = frozenset(kinds)
        events.check(kinds)
        self._kinds = kinds

    def ask_stop(self) -> None:
        """Make what runs return; for another thread, a signal handler, or on_slice."""
        self._interrupted = True

    @interruptible
    def resume(self, limit: Moment | int | None = None) -> Stopped:
        """Run until something happens, or until `limit`, a moment or ticks. A place at pc does not count."""
        self._cursor.equip(self._places, self._kinds)
        return self._explained(self._run(self._cursor, limit, heeds_end=True))

    @interruptible
    def step(self, n: int = 1, pid: int | None = None) -> Stopped:
        """Make `n` steps: an instruction, a trap's entry, a gate or a wait each; as in Target."""
        self._cursor.equip(self._places, self._kinds)
        self.steps_made = 0
        while True:
            value, made = self._cursor.call("step", min(n, STEPS_MAX), pid, SLICE_S)
            n -= made
            self.steps_made += made
            stopped = Stopped.of(value)
            if stopped.why not in (StopKind.SLICE, StopKind.STEP) or (stopped.why == StopKind.STEP and not n):
                return self._explained(stopped)
            self._look_up()

    def trace(self) -> tuple[Stopped, tuple[PythonLine, ...]]:
        """Make one step, and tell which lines of the kernel's Python ran in it; as in Target."""
        self._cursor.equip(self._places, self._kinds)
        stopped, lines = self._cursor.call("trace")
        return Stopped.of(stopped), tuple(PythonLine(*one) for one in lines)

    def python_value(self, since: Moment, *arguments: Value) -> str:
        """As Target, in a copy that goes to the gate at `since` again."""
        base = self._checkpoints.at(since) or self._checkpoints.before(since.ticks)
        assert base is not None, "there is a checkpoint before each gate"
        copy = self._informed(base.fork())
        try:
            self._run(copy, since)
            value: str = copy.call("python_value", *arguments)
            return value
        finally:
            copy.close()

    def _run(
        self, runner: CheckpointProxy, limit: Moment | int | None, *, heeds_end: bool = False
    ) -> Stopped:
        """Let `runner` run as it is equipped, and leave checkpoints on its way; raises Interrupted."""
        while True:
            began = time.monotonic()
            due_s = max(self._spacing.now_s - runner.ran_s, 0.0)
            runner.ask_run(limit, SLICE_S, due_s, heeds_end=heeds_end)
            if self._must_measure(runner):
                self._checkpoints.measure(runner)  # while the machine runs
            stopped, take_left, fork_s = runner.answer_run()
            runner.ran_s += time.monotonic() - began
            if take_left is not None:
                runner.ran_s = max(time.monotonic() - began - due_s, 0.0)
                self._keep_passed(self._keep(take_left))
                self._spacing.learn(fork_s, runner.faults)
            if stopped.why != StopKind.SLICE:
                return stopped
            self._look_up()

    def _must_measure(self, runner: CheckpointProxy) -> bool:
        """Whether to look at the memory now that `runner` runs: when it has time, unless much is unknown."""
        if runner is self._cursor and not runner.answers(PATIENCE_S):
            return True
        return self._checkpoints.must_measure

    def _explained(self, stopped: Stopped) -> Stopped:
        """`stopped`, where the kernel wrote to a place with the line that did: a copy goes there again."""
        if stopped.why != StopKind.PLACE or stopped.detail in ("", ELSEWHERE):
            return stopped
        assert stopped.since is not None and stopped.place is not None, "a write has a beginning"
        copy = self._copy_before(stopped.since.ticks)
        assert copy is not None, "nothing is written before there is a checkpoint"
        try:
            self._run(copy, stopped.since)
            line = copy.call("who_writes", stopped.place)
        finally:
            copy.close()
        return stopped._replace(detail=f"{line}, {stopped.detail}") if line else stopped

    def _is_far(self, ticks: int, distance: int) -> bool:
        """Whether there is no checkpoint within `distance` before a time."""
        base = self._checkpoints.before(ticks)
        return base is None or base.moment.ticks < ticks - distance

    def _checkpoint(self, runner: CheckpointProxy) -> None:
        """Leave one where `runner` is; not in the middle of a wait, which is a single step."""
        if not runner.moment.waiting:
            runner.ran_s = 0.0
            if (checkpoint := self._keep(runner.fork)) is not None:
                self._visits.add(checkpoint)

    def _keep(self, take: Callable[[], CheckpointProxy]) -> CheckpointProxy | None:
        """Keep the checkpoint that is to be taken; None where the host has no room for it."""
        try:
            checkpoint = take()
        except NoRoom:
            self._checkpoints.give_way()
            return None
        self._checkpoints.add(checkpoint, self.moment.ticks)
        return checkpoint

    def _keep_passed(self, checkpoint: CheckpointProxy | None) -> None:
        """`checkpoint` was left by a machine that goes on: of those farther back, every second is enough."""
        self._passes = not self._passes
        if checkpoint is not None and self._passes:
            self._passed.add(checkpoint)

    # --- what is known of another machine that makes the same run ---

    def plant(self, checkpoint: CheckpointProxy) -> None:
        """Keep a copy of it, which goes on."""
        self._checkpoints.add(checkpoint, checkpoint.moment.ticks)
        self._keep_passed(checkpoint)
        if self._checkpoints.must_measure:
            self._checkpoints.measure(self._cursor)

    def foresee(self, changes: Iterable[Change]) -> None:
        """Replace the input log by `changes`, which begin with those that were applied already."""
        changes = list(changes)
        if changes != self._changes:
            self._changes[:] = changes
            self._future += 1
            self._informed(self._cursor)

    # --- copies ---

    def _copy_before(self, ticks: int) -> CheckpointProxy | None:
        """A copy of the last checkpoint earlier than `ticks`; None at the beginning."""
        while (base := self._checkpoints.before(ticks)) is not None:
            if (copy := self._copy(base)) is not None:
                return copy
        return None

    def _copy(self, base: CheckpointProxy) -> CheckpointProxy | None:
        """A copy of a checkpoint, with the input log; None where that has gone.

        Somebody has killed it, or it gave way to the copy.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            if spare[0] is base and not spare[1].lost:
                return self._informed(spare[1])
            spare[1].close()
        while base in self._checkpoints:
            try:
                return self._informed(base.fork())
            except NoRoom:
                if not self._checkpoints.give_way():
                    raise
            except CannotGoOn:
                if not self._checkpoints.lose(base):
                    raise
        return None

    def _make_spare(self, ticks: int) -> None:
        """Have a copy ready for the next one who wants that of the last checkpoint before a time."""
        self._drop_spare()
        base = self._checkpoints.before(ticks)
        if base is not None:
            with suppress(CannotGoOn):  # then who wants one does what is to be done
                self._spare = base, base.fork()

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None

    def _informed(self, copy: CheckpointProxy) -> CheckpointProxy:
        """`copy`, with the input log of this future."""
        if copy.future != self._future:
            copy.call("load", self._changes)
            copy.future = self._future
        return copy

    def _look_up(self) -> None:
        """Give the caller a chance to act; raises Interrupted."""
        self.on_slice()
        if self._interrupted:
            self._interrupted = False
            raise Interrupted

    def stopped(self, why: StopKind) -> Stopped:
        """Stopped, where the cursor is."""
        return Stopped(why, self.moment, self.current)
