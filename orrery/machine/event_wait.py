"""Waiting for an event of the kernel: a machine runs until a process forks, exits, calls read, and so on.

Used by Machine.run_until.  The event is caught by a watcher, which looks and does not touch.
"""

from typing import TYPE_CHECKING

from emu.clock import TICKS_PER_S
from emu.events import NEVER
from emu.loop import Stop
from orrery.errors import Deadlock, ExpectTimeout, PoweredOff

if TYPE_CHECKING:
    from orrery.machine.events import Happening
    from orrery.machine.machine import Machine


def run_until(machine: "Machine", event: str, timeout_s: float | None) -> "Happening":
    """See Machine.run_until."""
    from orrery.machine.events import Catcher, check

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
