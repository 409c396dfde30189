"""Travel in time, for a Machine in a script: it makes its run again, up to where it is to be.

Used by machine.py.  A run is decided by its beginning and by what was done to it from outside, of which each
machine keeps a tape.  One that is made in the same way, and to which the same is done at the same moments, is
a copy; one to which less is done is an earlier state.  That takes as long as the run took.  A Timeline, which
has processes of its own, goes back in milliseconds (orrery/timetravel/timeline.py).
"""

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emu.clock import PS_PER_TICK, TICKS_PER_S
from emu.events import NEVER
from emu.loop import Stop
from orrery.errors import BadInput, Deadlock, ExpectTimeout, PoweredOff
from orrery.timetravel.input_log import Change, InputLog
from orrery.timetravel.moment import Moment

if TYPE_CHECKING:
    from orrery.machine.machine import Machine
    from orrery.timetravel.events import Happening
    from orrery.timetravel.timeline import Timeline


class Snapshot(NamedTuple):
    """A state of a machine, as how to come to it: what is done to it, and the moment at which it is there."""

    moment: Moment
    changes: tuple[Change, ...]

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.moment.time_ps


class Past:
    """What was done to `machine`, and what in a future from which it was taken back."""

    def __init__(self, machine: "Machine") -> None:
        self._machine: Final = machine
        self._tape = InputLog()
        self._following = False  # it is the tape that types
        machine.keyboard.on_type.append(self._on_type)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that was done, up to now."""
        return self._tape.changes()[: self._tape.done]

    @property
    def snapshot(self) -> Snapshot:
        """Of now."""
        self._machine.check_at_rest()
        return Snapshot(Moment.of(self._machine.board.hart), self.changes)

    @property
    def options(self) -> dict[str, Any]:
        """What the machine was made by, as plain values: those of a Timeline. Raises as check_repeatable."""
        self.check_repeatable()
        options = {name: value for name, value in self._machine.made_by.items() if name != "warn"}
        drive = options["drive"]
        if isinstance(drive, os.PathLike):
            options["drive"] = os.fspath(drive)
        elif isinstance(drive, bytearray | memoryview):
            options["drive"] = bytes(drive)
        return {
            **options,
            "init_argv": tuple(options["init_argv"]),
            "modules": dict(options["modules"] or {}),
        }

    def timeline(self) -> "Timeline":
        """See Machine.timeline."""
        from orrery.timetravel.timeline import Timeline

        it = Timeline(**self.options, changes=self._tape.changes())
        it.goto(self.snapshot.moment)
        it.take_output()
        return it

    def goto(self, when: Snapshot | int) -> None:
        """See Machine.goto. The machine has another past then."""
        if not isinstance(when, Snapshot) and (not isinstance(when, int) or when < 0):
            raise ValueError(f"{when!r} is no time: give a snapshot, or picoseconds since power-on")
        self.check_repeatable()
        machine, changes = self._machine, self._tape.changes()
        machine.make_again()
        if isinstance(when, Snapshot):
            same = changes[: len(when.changes)] == when.changes
            machine.past.follow(when.changes, when.moment, changes[len(when.changes) :] if same else ())
        else:
            ticks = -(-when // PS_PER_TICK)
            before = sum(change.moment.ticks < ticks for change in changes)
            machine.past.follow(changes[:before], ticks, changes[before:])
        machine.call_hooks()

    def fork(self) -> "Machine":
        """See Machine.fork."""
        from orrery.machine.machine import Machine

        self.check_repeatable()
        other = Machine(**self._machine.made_by)
        other.past.follow(self.changes, self.snapshot.moment)
        return other

    def write(self, pa: int, data: bytes) -> None:
        """See Machine.write."""
        from orrery.timetravel.memory import Memory

        self._machine.check_at_rest()
        now = Moment.of(self._machine.board.hart)
        if not Memory(self._machine).write_physical(pa, data):
            ram = self._machine.board.ram
            raise ValueError(f"{len(data)} bytes at {pa:#x}: RAM is from {ram.base:#x} to {ram.end:#x}")
        self._tape.record(Change(now, "write_physical", (pa, data)))

    def forget_future(self) -> None:
        """The machine goes on by itself from here."""
        if not self._following:
            self._tape.load(self.changes)

    def follow(
        self, changes: tuple[Change, ...], goal: Moment | int, future: tuple[Change, ...] = ()
    ) -> None:
        """Run from power-on, with what was done, to `goal`, a moment or ticks, or as far as it goes.

        `future` is what would be done behind a moment.
        """
        from orrery.timetravel.target import Target

        machine, front = self._machine, self._machine.front
        end = (Change(goal, "end", ()),) if isinstance(goal, Moment) else ()
        tape = InputLog((*changes, *end))
        self._following = True
        try:
            Target(machine, tape).resume(goal if isinstance(goal, int) else None)
        finally:
            self._following = False
            machine.front = front
        self._tape = InputLog((*changes, *future))
        self._tape.done = min(tape.done, len(changes))

    def _on_type(self, keys: bytes) -> None:
        if not self._following:
            self._tape.record(Change(Moment.of(self._machine.board.hart), "type", (keys,)))

    def check_repeatable(self) -> None:
        """Raise BadInput unless the drive can be had again as at power-on; ValueError as check_at_rest."""
        self._machine.check_at_rest()
        made_by = self._machine.made_by
        drive = made_by["drive"]
        if isinstance(drive, str | os.PathLike) and not made_by["snapshot"]:
            raise BadInput(f"{os.fspath(drive)}: keeps what is written; make the machine with snapshot=True")
        if not isinstance(drive, str | os.PathLike | bytes | bytearray | memoryview | None):
            raise BadInput("a drive that was made elsewhere cannot be had again; give its path, or its bytes")


def run_until(machine: "Machine", event: str, timeout_s: float | None) -> "Happening":
    """See Machine.run_until."""
    from orrery.timetravel.events import Catcher, check

    check((event,))
    found: list[Happening] = []

    def caught(happening: "Happening") -> None:
        found.append(happening)
        machine.ask_stop()

    catcher = Catcher(machine.kernel, caught)
    catcher.kinds = frozenset((event,))
    limit = NEVER if timeout_s is None else machine.board.clock.now + int(timeout_s * TICKS_PER_S)
    machine.hub.add(catcher)
    try:
        while not found:
            stop = machine.run(limit)
            if not found:
                _raise_end(machine, stop, event, timeout_s)
    finally:
        catcher.kinds = frozenset()
        machine.hub.remove(catcher)
    return found[0]


def _raise_end(machine: "Machine", stop: Stop, event: str, timeout_s: float | None) -> None:
    """Raise what tells that the event will not come, if it will not."""
    if machine.board.exit_code is not None:
        raise PoweredOff(machine.board.exit_code & 0xFF)
    if stop is Stop.ASLEEP and timeout_s is None:
        raise Deadlock(f"waiting for {event}: {machine.kernel.procs.sleepers_report()}")
    if stop is not Stop.ASKED:
        over = f"{timeout_s} s of virtual time are over"
        raise ExpectTimeout(f"waiting for {event}: {'all wait for ever' if stop is Stop.ASLEEP else over}")
