"""Running and stepping a machine forward until something happens.

The half of Target (target.py) that lets the machine run.  It is the machine's front end meanwhile, and
applies the changes of the input log when their moments come.  When it returns, all that is due has happened,
so that a moment has one state, however the machine came there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from emu.events import NEVER
from emu.loop import Stop
from kernel.proc import Process
from orrery.inspect import postmortem
from orrery.machine.events import EventKind
from orrery.timetravel.input_log import Change, InputLog, ReplayDiverged
from orrery.timetravel.memory import Memory
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.stops import KERNEL, StopKind, Stopped, Stops

if TYPE_CHECKING:
    from orrery.machine.machine import Machine


class Execution(ABC):
    """`machine`, going forward. While it runs it calls `on_slice` now and then."""

    def __init__(self, machine: "Machine", input_log: InputLog) -> None:
        self._machine: Final = machine
        self._kernel: Final = machine.kernel
        self._hart: Final = machine.board.hart
        self._memory: Final = Memory(machine)
        self._stops: Final = Stops(machine, self._memory)
        self.input_log: Final = input_log
        self.steps_made = 0  # by the last call of step
        self.heeds_end = True  # stop where a recording ends
        self._interrupted = False
        self._panic = ""
        self._output = bytearray()
        self.on_slice: Callable[[], None] = lambda: None
        self.wait: tuple[Moment, Moment] | None = None  # the last one: its beginning and its end
        self.changed: tuple[Moment, Moment] | None = None  # before and after a change of the input log
        self._cut = -1  # a wait that was only cut, by a limit, goes on at this time

    @abstractmethod
    def _do(self, change: Change) -> bool:
        """Make a change to the machine; whether that could be done."""

    @property
    def moment(self) -> Moment:
        """Where the machine stands."""
        return Moment.of(self._hart)

    @property
    def current(self) -> int:
        """The process that the hart works for, in user mode or in the kernel; KERNEL for none."""
        p = self._kernel.sched.process
        return p.pid if p is not None else KERNEL

    def set_places(self, places: Iterable[Place]) -> None:
        """From now on stop at these places, and at no others."""
        self._stops.set_places(places)

    def catch(self, kinds: Iterable[str]) -> None:
        """From now on stop at these events (machine/events.py); raises ValueError for one that is none."""
        self._stops.catch(kinds)

    def stop_nowhere(self) -> None:
        """In a copy of the process: stop at nothing at which the original was to stop."""
        self._stops.set_none()
        self._interrupted = False
        self.on_slice = lambda: None

    def leave_session(self) -> None:
        """In a copy of a session's process: stop_nowhere, and tell nobody else what happens in the kernel."""
        self.stop_nowhere()
        self._stops.watch_alone()

    def ask_stop(self) -> None:
        """Make resume or step return; for another thread, a signal handler, or on_slice."""
        self._interrupted = True
        self._machine.ask_stop()

    def resume(self, limit: Moment | int | None = None) -> Stopped:
        """Run until something happens, or until `limit`, a moment or ticks. A place at pc does not count.

        Raises ReplayDiverged.
        """
        ticks = NEVER if limit is None else limit.ticks if isinstance(limit, Moment) else limit
        begin = self.moment
        self._stops.begin()
        while True:
            stopped = self._run(min(ticks, self.input_log.next_ticks), begin)
            if stopped is None:
                continue
            if (
                stopped.why == StopKind.ASLEEP
                and self.input_log.next is not None
                and self.input_log.next_ticks <= ticks
            ):
                self._pass_time()
            elif stopped.why != StopKind.LIMIT:
                return stopped
            if (met := self._met(moved=True) or self._to_change()) is not None:
                return met
            if self.moment.ticks >= ticks:
                return (
                    self._step_to(limit) if isinstance(limit, Moment) else self._stops.stopped(StopKind.LIMIT)
                )

    def unseen_write(self) -> Stopped | None:
        """A write to a watched place by a device since the last gate: resume tells of it at the next one."""
        return self._stops.unseen_write()

    def step(self, n: int = 1, pid: int | None = None, *, limit: int = NEVER) -> Stopped:
        """Make `n` steps: an instruction, a trap's entry, a gate or a wait (not beyond `limit` ticks) each.

        With `pid` only those count that are made for this process; others run before, between and behind
        them. `steps_made` says how many there were.
        """
        self._stops.begin()
        self.steps_made = 0
        while True:
            stopped = self._run_to(pid) if pid is not None and self.current != pid else None
            if stopped is None and self.steps_made < n:
                stopped = self._step(limit)
                self.steps_made += 1
            elif stopped is None:
                return self._stops.stopped(StopKind.STEP)
            if stopped is not None:
                return stopped

    def _run(self, limit: int, begin: Moment) -> Stopped | None:
        """Run once; None where nothing was met that anybody asked for."""
        if self._panic:
            return self._stops.stopped(StopKind.PANIC, detail=self._panic)
        try:
            stop = self._machine.run(limit)
        except Exception as error:  # any: the kernel or the hardware has broken a rule of its own
            return self._broken(error)
        self.settle()
        if (met := self._met(moved=self.moment != begin)) is not None:
            return met
        why = {Stop.LIMIT: StopKind.LIMIT, Stop.ASLEEP: StopKind.ASLEEP}.get(stop)
        return self._stops.stopped(why) if why is not None else None

    def _step(self, limit: int = NEVER) -> Stopped | None:
        if self._panic:
            return self._stops.stopped(StopKind.PANIC, detail=self._panic)
        loop, hart = self._machine.board.loop, self._hart
        waited_at = hart.clock.now if hart.waiting else None
        loop.forget_hit()
        if self._machine.board.exit_code is None:
            try:
                loop.step(min(limit, self.input_log.next_ticks))
                self._machine.hub.raise_error()
            except Exception as error:  # any: as above
                return self._broken(error)
            self.settle()
        if (met := self._met(moved=True)) is not None:
            return met
        stuck = hart.waiting and not hart.wakes() and waited_at == hart.clock.now
        if not stuck or self._machine.board.events.next_ticks != NEVER:
            return None
        if self.input_log.next is None:
            return self._stops.stopped(StopKind.ASLEEP)
        self._pass_time()
        return self._met(moved=True)

    def _pass_time(self) -> None:
        """All processes wait: advance the clock to the next change."""
        self._machine.board.clock.advance_to(self.input_log.next_ticks)
        self.settle()

    def _step_to(self, moment: Moment) -> Stopped:
        """Step to the one of the moments of this tick that is asked for, or behind them."""
        while self.moment != moment and self.moment.ticks == moment.ticks:
            if self.input_log.last is not None and self.input_log.last.moment == moment:
                break  # what was done there made it another
            stopped = self._step()
            if stopped is not None:
                return stopped
        return self._stops.stopped(StopKind.LIMIT)

    def _to_change(self) -> Stopped | None:
        """At the tick of a change, step to its moment, at which it is done."""
        change = self.input_log.next
        before = None
        while change is not None and self.moment.ticks >= change.moment.ticks:
            if self.moment.ticks > change.moment.ticks or self.moment == before:
                raise ReplayDiverged(
                    f"the run passes {change.moment}, where the recording has a change, elsewhere"
                )
            before = self.moment
            stopped = self._step()
            if stopped is not None:
                return stopped
            change = self.input_log.next
        return None

    def _run_to(self, pid: int) -> Stopped | None:
        """Run until the hart works for process `pid` again; None when it does."""
        kinds = self._stops.kinds
        self.catch({*kinds, EventKind.SWITCH})
        try:
            while self._kernel.procs.find(pid) is not None:
                stopped = self.resume()
                if (
                    stopped.why != StopKind.EVENT
                    or stopped.event != EventKind.SWITCH
                    or EventKind.SWITCH in kinds
                ):
                    return stopped
                if stopped.pid == pid:
                    return None
            return self._stops.stopped(StopKind.EVENT, detail=f"{EventKind.EXIT} process {pid} has ended")
        finally:
            self.catch(kinds)

    def settle(self) -> None:
        """Run the events that are due now, as the loop would before it goes on, then apply the input log.

        All runs and steps end with this; also for a caller that loads an input log.
        """
        hart, board = self._hart, self._machine.board
        board.events.run_due(board.clock.now)
        if hart.waiting and not hart.wakes():
            self._machine.keyboard.pump()
        before = self.moment
        while (change := self.input_log.next) is not None and change.moment == self.moment:
            self.input_log.done += 1
            if not self._do(change):
                raise ReplayDiverged(f"what was done at {change.moment} cannot be done")
            self.changed = before, self.moment

    def _met(self, *, moved: bool) -> Stopped | None:
        code = self._machine.board.exit_code
        if code is not None:
            return self._stops.stopped(StopKind.EXIT, status=code & 0xFF)
        ended, self.input_log.ended = self.input_log.ended, False
        if ended and self.heeds_end:
            return self._stops.stopped(StopKind.END)
        met = self._stops.met(moved=moved)
        if met is None and self._interrupted:
            self._interrupted = False
            return self._stops.stopped(StopKind.INTERRUPT)
        return met

    def _broken(self, error: Exception) -> Stopped:
        self._panic = postmortem.report(self._machine, error)
        return self._stops.stopped(StopKind.PANIC, detail=self._panic)

    def take_output(self) -> bytes:
        """What the console has shown since the last time."""
        taken = bytes(self._output)
        self._output.clear()
        return taken

    # --- as the machine's front ---

    def output(self, pid: int | None, data: bytes) -> None:
        """As Front.output."""
        self._output += data

    @abstractmethod
    def waits(self, p: Process) -> None:
        """As Front.waits."""

    def idle(self, until_ticks: int) -> bool:
        """As Front.idle: nothing comes from outside while the machine runs."""
        now = self.moment
        began = self.wait[0] if self.wait is not None and now.ticks == self._cut else now
        due = min(self._machine.board.events.next_ticks, self.input_log.next_ticks)
        self.wait = began, began._replace(ticks=min(until_ticks, due))
        self._cut = until_ticks if until_ticks < due else -1
        return False

    @property
    def is_wait_cut(self) -> bool:
        """Whether the machine stands in the middle of a wait, where no step ends."""
        return self._hart.waiting and self._cut == self._hart.clock.now

    def slice(self) -> None:
        """As Front.slice."""
        self.on_slice()
