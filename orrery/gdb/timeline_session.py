"""A gdb session on a timeline: the machine under gdb in the present, and its past.

The machine runs in this process, with the user's console, as it would without gdb: that is the present.  The
past is a Timeline of the same run (session_past.py), brought up to the present when gdb goes back from
there.  Resuming in the past leads to the present again, and then the machine goes on.

    present   o------------------------------->x
    past      o---------------------->|            gdb is here: inspects, steps, runs either way

Nothing can be changed in the past: the machine of the session has gone on from there already.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from kernel.abi.memlayout import KERNBASE
from orrery.errors import CannotGoOn
from orrery.gdb.session_past import SessionPast
from orrery.machine.machine import Machine
from orrery.pool.channel import Value
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.moment import Moment
from orrery.timetravel.mutations import Mutations
from orrery.timetravel.pace import Pace
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import KERNEL, StopKind, Stopped
from orrery.timetravel.target import ProcessInfo, Target
from orrery.timetravel.timeline import Timeline


class TimelineSession(Mutations):
    """`target` is that of `machine`.

    `changes`: all that will be done to it, where that is known; else what is typed is noted.  `on_slice` is
    called now and then while the past runs, and may call ask_stop.  `finished` tells the exit status when the
    present does not go on, although the guest has not switched it off.
    """

    def __init__(
        self,
        machine: Machine,
        target: Target,
        changes: Iterable[Change] | None = None,
    ) -> None:
        self._present: Final = target
        self._pace: Final = Pace(target)
        self._past: Final = SessionPast(machine, target, changes, self._look)
        self._stop_asked = False
        self._here: Target | Timeline = target
        self._places: tuple[Place, ...] = ()
        self._programs_of: Final[dict[Place, str]] = {}  # the name of the program that a place is in
        self._of_any_program = False  # what places are about
        self._kinds: frozenset[str] = frozenset()
        self._programs: Final[dict[tuple[int, str], bytes]] = {}
        self.moments: Final[list[Moment]] = []  # that a user gave a number
        self.steps_made = 0  # by the last call of step
        self.limit: int | None = None  # ticks at which the run ends
        self.on_slice: Callable[[], object] = lambda: None
        self.finished: Callable[[], int | None] = lambda: None

    def close(self) -> None:
        """Let the past go."""
        self.come_back()
        self._past.close()

    def begin(self) -> None:
        """The machine is about to make its first step: from now on its past is kept."""
        self._past.begin()

    def pause(self) -> None:
        """To be called now and then while the machine runs: let it stand still where a checkpoint is due."""
        if self._past.is_due:
            self._present.ask_stop()

    def come_back(self) -> None:
        """Be in the present."""
        self._here = self._present

    def _look(self) -> None:
        self.on_slice()

    # --- looking ---

    @property
    def current(self) -> int:
        return self._here.current

    def pids(self) -> tuple[int, ...]:
        if self._here is self._present:
            return self._present.pids()
        return tuple(one.pid for one in self.processes())

    def processes(self) -> tuple[ProcessInfo, ...]:
        return self._here.processes()

    def registers(self, pid: int) -> list[int]:
        return self._here.registers(pid)

    def read(self, pid: int, va: int, n: int) -> bytes:
        return self._here.read(pid, va, n)

    def executes(self, pid: int, va: int) -> bool:
        """As Target.executes, in the present, as functions cannot be called in the past."""
        return self._present.executes(pid, va)

    def monitor(self, line: str) -> str:
        return self._here.monitor(line)

    def program(self, pid: int) -> bytes:
        """As Target.program; in the past what is remembered of the present."""
        name = next((one.name for one in self.processes() if one.pid == pid), "")
        if self._here is self._present:
            self._programs[pid, name] = self._present.program(pid)
        others = (program for (_, other), program in self._programs.items() if other == name)
        return self._programs.get((pid, name), b"") or next(others, b"")

    @property
    def moment(self) -> Moment:
        return self._here.moment

    @property
    def newest(self) -> Moment:
        """Where the recording ends, or the present."""
        ends = [change.moment for change in self._past.changes if change.name == ChangeKind.END]
        return max((*ends, self._present.moment), key=lambda moment: moment.ticks)

    def read_physical(self, pa: int, n: int) -> bytes:
        return self._here.read_physical(pa, n)

    # --- changing ---

    def type(self, keys: bytes) -> bool:
        if self._past.is_replay or self._here is not self._present:
            return super().type(keys)
        self._present.type(keys)  # which is noted, as if it had come from the console
        return True

    def change(self, name: ChangeKind, *arguments: Value) -> bool:
        """As Mutations.change; nothing can be changed in the past."""
        if self._here is not self._present:
            return False
        change = Change(self._present.moment, name, arguments)
        done = self._present.change(name, *arguments)
        if done and self._past.is_replay:  # what was to come does not
            self._past.changes[:] = self._present.input_log.changes()
            self.close()
        elif done:
            self._past.changes.append(change)
        return done

    # --- going forward ---

    def set_places(self, places: Iterable[Place]) -> None:
        self._places = tuple(places)
        self._present.set_places(self._places)
        names = {one.pid: one.name for one in self.processes()}
        for place in self._places:
            name = names.get(place.pid, "")
            if self._here is self._present:
                self._programs_of[place] = name
            else:  # gdb sets it again at each step; it has it from later
                self._programs_of.setdefault(place, name)

    def catch(self, kinds: Iterable[str]) -> None:
        kinds = frozenset(kinds)
        self._present.catch(kinds)
        self._kinds = kinds

    def ask_stop(self) -> None:
        self._stop_asked = True
        self._here.ask_stop()

    def resume(self, limit: int | None = None) -> Stopped:
        """As Target.resume; from the past at most to the present, and on from there."""
        if isinstance(past := self._here, Timeline):
            stopped = self._met(past, lambda past: past.resume(self._present.moment))
            here = (StopKind.PLACE, StopKind.EVENT, StopKind.INTERRUPT)
            if stopped.why in here and not self._has_arrived(past):
                return stopped
            self.come_back()
            if stopped.why != StopKind.LIMIT:
                return stopped
        return self._over() or self._last_word(self._run(limit))

    def _run(self, limit: Moment | int | None) -> Stopped:
        """Let the present run, with checkpoints on the way."""
        while True:
            # A wait is as long as somebody at the console makes it, and is not cut.
            patience_s = math.inf if self._present.moment.waiting else self._past.due_in_s
            stopped = self._pace.run(limit, patience_s)
            if stopped.why != StopKind.SLICE and (stopped.why != StopKind.INTERRUPT or self._stop_asked):
                self._stop_asked = False
                return stopped
            self._past.add_checkpoint()

    def step(self, n: int = 1, pid: int | None = None) -> Stopped:
        if not isinstance(past := self._here, Timeline):
            stopped = self._over() or self._last_word(self._present.step(n, pid))
            self.steps_made = self._present.steps_made
            return stopped
        self._equip(past)
        stopped = past.step(n, pid)
        self.steps_made = past.steps_made
        if self._has_arrived(past):
            self.come_back()
        return stopped

    def _over(self) -> Stopped | None:
        """The stop of a present that does not go on."""
        status, now = self.finished(), self._present.moment
        if status is not None:
            return Stopped(StopKind.EXIT, now, self._present.current, status=status)
        last = self._present.input_log.last
        is_end = last is not None and (last.name, last.moment) == (ChangeKind.END, now)
        return Stopped(StopKind.END, now, self._present.current) if is_end else None

    def _last_word(self, stopped: Stopped) -> Stopped:
        """`stopped`, or that the console has finished the run meanwhile, which asks the machine to stop."""
        return (self._over() or stopped) if stopped.why in (StopKind.INTERRUPT, StopKind.ASLEEP) else stopped

    def _has_arrived(self, past: Timeline) -> bool:
        now = self._present.moment
        return past.moment == now or past.moment.ticks > now.ticks

    def run_until(self, event: str | Place, *, backwards: bool = False) -> Stopped:
        """As Timeline.run_until; forwards through the present, and on."""
        with self._only(event):
            return self.reverse_resume() if backwards else self.resume(self.limit)

    def goto(self, goal: Moment | int) -> Stopped:
        """As Timeline.goto; behind the present the machine itself goes on, if that is not over."""
        now = self._present.moment
        if (goal.ticks if isinstance(goal, Moment) else goal) > now.ticks or goal == now:
            with self._only():
                self.come_back()
                if goal == now:
                    return Stopped(StopKind.LIMIT, now, self.current)
                return self._over() or self._last_word(self._run(goal))
        past = self._past.opened()
        stopped = self._caught_up(past) or past.goto(goal)
        if self._has_arrived(past):
            self.come_back()
        return stopped

    @contextmanager
    def _only(self, event: str | Place | None = None) -> Iterator[None]:
        """Meanwhile stop at nothing else."""
        places, kinds = self._places, self._kinds
        self.catch({event} if isinstance(event, str) else ())
        self._places = (event,) if isinstance(event, Place) else ()
        self._of_any_program = True
        self._present.set_places(self._places)
        try:
            yield
        finally:
            self._places, self._of_any_program = places, False
            self._present.set_places(places)
            self.catch(kinds)

    # --- going back ---

    def reverse_step(self, pid: int) -> Stopped:
        """Back by one step, or more up to the last that was made for process `pid`."""
        past = self._past.opened()
        return self._caught_up(past) or past.reverse_step_of(pid)

    def reverse_resume(self) -> Stopped:
        """Back to the last stop."""
        past = self._past.opened()
        stopped = self._caught_up(past)
        if stopped is not None:
            return stopped
        return self._met(past, Timeline.reverse_resume)

    def _caught_up(self, past: Timeline) -> Stopped | None:
        """Be in the past, level with the present if we were there; a stop if that was interrupted."""
        if self._here is past:
            return None
        self._past.add_checkpoint()
        self._here = past
        past.set_places(())
        past.catch(())
        past.foresee(self._past.changes)
        if past.goto(self._present.moment).why == StopKind.INTERRUPT:
            return self._interrupted(past)
        if past.moment != self._present.moment or past.registers(KERNEL) != self._present.registers(KERNEL):
            self.close()
            raise CannotGoOn(
                "the run cannot be made again: something else than gdb and the console changed it"
            )
        return None

    def _interrupted(self, past: Timeline) -> Stopped:
        self.come_back()
        return Stopped(StopKind.INTERRUPT, self._present.moment, self._present.current)

    def _met(self, past: Timeline, go: Callable[[Timeline], Stopped]) -> Stopped:
        """Where the past stops at what is asked for. A place in a program is none before the program ran."""
        while True:
            self._equip(past)
            stopped = go(past)
            if stopped.place is None or stopped.place in self._valid(past):
                return stopped

    def _equip(self, past: Timeline) -> None:
        past.set_places(self._valid(past))
        past.catch(self._kinds)

    def _valid(self, past: Timeline) -> list[Place]:
        """The places that are ones now: those of programs that processes execute."""
        if self._of_any_program:
            return list(self._places)
        names = {one.pid: one.name for one in past.processes()}
        return [
            place
            for place in self._places
            if place.pid == ALL
            or place.va >= KERNBASE
            or names.get(place.pid) in (None, self._programs_of[place])
        ]
