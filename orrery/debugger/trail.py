"""The trail: the moments that a machine passed shortly before one that is known, in single steps.

Going back by a step takes the moment before this one.  So a copy of the machine that is older runs to a
little before, and then steps, and notes where it was:

    run to `ticks`     step, step, step, ...
    ------------------|--|--|--|--|--| goal

A gate or a wait may reach over all of that way; where it began is noted too.
"""

from typing import TYPE_CHECKING, Final

from emu import engine as e
from emu.loop import GATE_TICKS
from orrery.debugger.moment import Moment
from orrery.debugger.stops import ENDS
from orrery.debugger.tape import Astray
from orrery.debugger.target import Target

if TYPE_CHECKING:
    from emu.hart import Hart
    from orrery.machine import Machine


class Trail:
    """Walks a target, which is used for nothing else meanwhile."""

    def __init__(self, machine: "Machine", target: Target) -> None:
        self._machine: Final = machine
        self._target: Final = target
        self._before: Moment | None = None  # where the last gate or wait began
        self._behind = -1  # when it ended
        self._cut = -1  # a wait that was only cut, by a limit, goes on at this time

    def walk(self, goal: Moment, ticks: int) -> list[Moment]:
        """The moments from the first at or after `ticks` up to `goal`, which is the last.

        Where a gate or a wait ends with the first of them, its beginning comes before.
        """
        loop, target = self._machine.board.loop, self._target
        enter_kernel = loop.on_gate

        def gate(hart: "Hart") -> None:
            now = Moment.of(hart)
            self._before = now._replace(ticks=now.ticks - GATE_TICKS)
            try:
                enter_kernel(hart)
            finally:  # it may be the kernel's end
                self._behind = hart.cells[e.NOW]

        target.heeds_end = False
        loop.on_gate, target.on_idle = gate, self._on_idle
        try:
            target.resume(ticks)
        finally:
            loop.on_gate, target.on_idle = enter_kernel, lambda until_ticks: None
        trail = self._first()
        while target.moment != goal:
            stopped = target.step(limit=goal.ticks)
            trail.append(target.moment)
            if target.moment != goal and (stopped.why in ENDS or target.moment.ticks > goal.ticks):
                raise Astray(f"the way to {goal} does not pass it")
        return trail

    def _first(self) -> list[Moment]:
        """Where the walk begins: a wait that was cut is no moment of its own."""
        now = self._target.moment
        before = [self._before] if self._before is not None and self._behind == now.ticks else []
        return before if now.waiting and self._cut == now.ticks else [*before, now]

    def _on_idle(self, until_ticks: int) -> None:
        """The hart is about to wait, not beyond `until_ticks`."""
        now = self._target.moment
        if now.ticks != self._cut:
            self._before = now
        due = min(self._machine.board.events.next_ticks, self._target.tape.next_ticks)
        self._behind = min(until_ticks, due)
        self._cut = until_ticks if until_ticks < due else -1
