"""orrery.Machine: a machine that a script can take back in time.

A run is decided by its beginning and by what was done to it from outside, of which each machine keeps an
input log.  One that is made in the same way, and to which the same is done at the same moments, is a copy;
one to which less is done is an earlier state.  So going back is to make the run again, which takes as long as
the run took.  A Timeline, which has processes of its own, goes back in milliseconds (timeline.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from emu.clock import PS_PER_TICK
from emu.events import NEVER
from emu.loop import Stop
from orrery.machine.config import INIT_ARGV, DriveSource, MachineConfig
from orrery.machine.machine import Machine
from orrery.timetravel.input_log import Change, ChangeKind, InputLog
from orrery.timetravel.moment import Moment
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline


class Snapshot(NamedTuple):
    """A state of a machine, as how to come to it: what is done to it, and the moment at which it is there."""

    moment: Moment
    changes: tuple[Change, ...]

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.moment.time_ps


class RewindableMachine(Machine):
    """An Orrery with `mem_mib` MiB of RAM, switched on by `boot`.

    `drive` is the path of an image (which keeps what the guest writes), an image as bytes, a Drive, or
    None for a fresh default image.  `seed` is for what is left to chance: nothing yet; faults that are
    injected, and networks, will draw from `random`.  `engine` is "fast" or "public".  `lab` is the year of
    the course whose kernel it is to be like; None: that of the drive's programs.  With `usyscall` each
    process has the labs' page at USYSCALL, and with `ustack` a stack of so many pages.
    `layout`, "stock" or "lab", is that of the drive's inodes where the image does not say it.
    `columns` tells the guest that a terminal of that width is at its console; 0: there is none.
    Machines are independent of each other.  Close one after use, or use it in a `with` statement.
    Raises BadInput, DriveError or ImageError for what cannot be used, with one line.
    """

    def __init__(
        self,
        drive: DriveSource = None,
        seed: int = 0,
        mem_mib: int = 128,
        engine: str = "fast",
        *,
        snapshot: bool = False,
        lab: int | None = None,
        usyscall: bool = False,
        ustack: int | None = None,
        layout: str | None = None,
        columns: int = 0,
        init_argv: Sequence[bytes] = INIT_ARGV,
        modules: Mapping[bytes, bytes] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        config = MachineConfig(
            drive, seed, mem_mib, engine, snapshot, lab, usyscall, ustack, layout, columns, init_argv, modules
        )
        super().__init__(config, warn)

    def _power_on(self) -> None:
        super()._power_on()
        self._input_log = (
            InputLog()
        )  # what was done, and what in a future from which the machine was taken back
        self._following = False  # it is the input log that types
        self.keyboard.on_type.append(self._on_type)

    # --- as a machine that has no past, but for the input log ---

    def run(self, limit_ticks: int = NEVER) -> Stop:
        """As Machine.run; a machine that goes on by itself has another future."""
        self.check_at_rest()
        if self.board.exit_code is None and not self._following:
            self._input_log.load(self.changes)
        return super().run(limit_ticks)

    def write(self, pa: int, data: bytes) -> None:
        """Store `data` in RAM at physical address `pa`, to see what becomes of it."""
        super().write(pa, data)
        self._input_log.record(Change(self._moment, ChangeKind.WRITE_PHYSICAL, (pa, bytes(data))))

    def _on_type(self, keys: bytes) -> None:
        if not self._following:
            self._input_log.record(Change(self._moment, ChangeKind.TYPE, (keys,)))

    @property
    def _moment(self) -> Moment:
        return Moment.of(self.board.hart)

    # --- time ---

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that was done to it, up to now."""
        return self._input_log.changes()[: self._input_log.done]

    def snapshot(self) -> Snapshot:
        """Now, to come back to. What it holds is what was done, and not what became of that."""
        self.check_at_rest()
        return Snapshot(self._moment, self.changes)

    def goto(self, when: Snapshot | int) -> None:
        """Go to where a snapshot was taken, or to the first boundary at or behind a virtual time in ps.

        What was done to the machine at that very time is yet to come; a time that never comes is the end.

        The machine makes its run again from power-on, which takes as long as the run took; no hook is called
        for that.  Hooks stay; other watchers do not, nor does what expect has not seen.  The run stays the
        same until the machine runs by itself (run, sh, expect) or is changed: that begins another future.
        Raises BadInput where the drive keeps what is written.
        """
        if not isinstance(when, Snapshot) and (not isinstance(when, int) or when < 0):
            raise ValueError(f"{when!r} is no time: give a snapshot, or picoseconds since power-on")
        self._check_repeatable()
        changes = self._input_log.changes()
        self.power_cycle()
        if isinstance(when, Snapshot):
            same = changes[: len(when.changes)] == when.changes
            self._follow(when.changes, when.moment, changes[len(when.changes) :] if same else ())
        else:
            ticks = -(-when // PS_PER_TICK)
            before = sum(change.moment.ticks < ticks for change in changes)
            self._follow(changes[:before], ticks, changes[before:])
        self.attach_hooks()

    def fork(self) -> "RewindableMachine":
        """Another machine in the state of this one; what becomes of it is its own. Raises as goto."""
        self._check_repeatable()
        other = RewindableMachine(**self.config.options(), warn=self._warn)
        other._follow(self.changes, self.snapshot().moment)
        return other

    def timeline(self) -> Timeline:
        """The run of this machine on a Timeline, which goes back in milliseconds, standing here.

        What becomes of it there is its own.  Close it after use.  Raises as goto.
        """
        it = Timeline(**self.options(), changes=self._input_log.changes())
        it.goto(self._moment)
        it.take_output()
        return it

    def options(self) -> dict[str, Any]:
        """What the machine was made by, as plain values: those of a Timeline. Raises as goto."""
        self._check_repeatable()
        return self.config.options()

    def _check_repeatable(self) -> None:
        """Raise BadInput unless the run can be made again; ValueError as check_at_rest."""
        self.check_at_rest()
        self.config.check_repeatable()

    def _follow(
        self, changes: tuple[Change, ...], goal: Moment | int, future: tuple[Change, ...] = ()
    ) -> None:
        """Run from power-on, with what was done, to `goal`, a moment or ticks, or as far as it goes.

        `future` is what would be done behind a moment.
        """
        front = self.front
        end = (Change(goal, ChangeKind.END, ()),) if isinstance(goal, Moment) else ()
        input_log = InputLog((*changes, *end))
        self._following = True
        try:
            Target(self, input_log).resume(goal if isinstance(goal, int) else None)
        finally:
            self._following = False
            self.front = front
        self._input_log = InputLog((*changes, *future))
        self._input_log.done = min(input_log.done, len(changes))
