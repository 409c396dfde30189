"""The moments right before a known one, found by single steps.

A reverse step goes to the moment before this one.  So an earlier checkpoint process runs to a little before,
then steps, and records where it was:

    run to `ticks`     step, step, step, ...
    ------------------|--|--|--|--|--| goal

A gate or a wait may span all of that way; its beginning is recorded too.
"""

from typing import TYPE_CHECKING, Final

from emu.loop import GATE_TICKS
from orrery.timetravel.input_log import ReplayDiverged
from orrery.timetravel.moment import Moment
from orrery.timetravel.stops import ENDS
from orrery.timetravel.target import Target

if TYPE_CHECKING:
    from emu.cpu.hart import Hart
    from orrery.machine.machine import Machine


class StepHistory:
    """Walks a target, which is used for nothing else meanwhile."""

    def __init__(self, machine: "Machine", target: Target) -> None:
        self._machine: Final = machine
        self._target: Final = target
        self._gate: tuple[Moment, Moment] | None = None  # the last one: its beginning and its end

    def walk(self, goal: Moment, ticks: int) -> list[Moment]:
        """The moments from the first at or after `ticks` up to `goal`, which is the last.

        Where a gate or a wait ends with the first of them, its beginning comes before.
        """
        loop, target = self._machine.board.loop, self._target
        enter_kernel = loop.on_gate

        def gate(hart: "Hart") -> None:
            now = Moment.of(hart)
            try:
                enter_kernel(hart)
            finally:  # it may be the kernel's end
                self._gate = now._replace(ticks=now.ticks - GATE_TICKS), Moment.of(hart)

        target.heeds_end = False
        loop.on_gate = gate
        try:
            target.resume(ticks)
        finally:
            loop.on_gate = enter_kernel
        moments = self._first()
        while target.moment != goal:
            stopped = target.step(limit=goal.ticks)
            moments.append(target.moment)
            if target.moment != goal and (stopped.why in ENDS or target.moment.ticks > goal.ticks):
                raise ReplayDiverged(f"the way to {goal} does not pass it")
        return moments

    def _first(self) -> list[Moment]:
        """Where the walk begins: a wait that was cut is no moment of its own."""
        target = self._target
        now, wait, changed = target.moment, target.wait, target.changed
        if target.is_wait_cut:
            assert wait is not None, "there is a wait that was cut"
            return [wait[0]]
        came_to = changed[0] if changed is not None and changed[1] == now else now
        steps = filter(None, (self._gate, wait))
        return next(([began, now] for began, end in steps if end == came_to), [now])
