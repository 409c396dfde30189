"""Reports of crashes: which process was killed, why, and where it was in C.

Made by session.py, replay.py and booted_machine.py for a machine whose processes a person wants to know
about.  What a report takes (crash.py, and reading debug information) is loaded when the first process
crashes, because a machine starts sooner without.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kernel.proc import Process
from toolchain.names import shown

if TYPE_CHECKING:
    from orrery.inspect.stacks import Programs
    from orrery.machine.machine import Machine

REPORTS_MAX: Final = 20  # of one run; a test program may crash hundreds of times
NO_MORE: Final = "more crashes are not told of"


class Crashes:
    """Tells of each process of `machine` that is killed for what it did, by a call of `tell`.

    The text has a line that says why, and one for each call on its stack.  With `kills` also of each that
    another has killed.
    """

    def __init__(self, machine: "Machine", tell: Callable[[str], None], *, kills: bool = False) -> None:
        self._machine: Final = machine
        self._tell: Final = tell
        self._programs: Programs | None = None
        self._told = 0
        machine.kernel.hooks.on_crash = machine.hub.guarded(self._crashed)
        if kills:
            machine.kernel.hooks.on_kill = machine.hub.guarded(self._killed)

    def _crashed(self, p: Process, scause: int, va: int) -> None:
        if self._told > REPORTS_MAX:
            return
        self._told += 1
        self._tell(NO_MORE if self._told > REPORTS_MAX else self._report(p, scause, va))

    def _report(self, p: Process, scause: int, va: int) -> str:
        from orrery.inspect import stacks
        from orrery.inspect.crash import Crash

        if self._programs is None:
            self._programs = stacks.Programs(self._machine)
        why = Crash(self._machine, p, scause, va).why
        lines = stacks.user_lines(stacks.user_frames(self._machine, p, self._programs))
        return "\n  ".join([f"{shown(p.name)} (pid {p.pid}) was killed: {why}", *lines])

    def _killed(self, victim: Process, by: Process) -> None:
        who = "itself" if victim is by else f"{by.name} (pid {by.pid})"
        self._tell(f"{victim.name} (pid {victim.pid}) was killed by {who}, with kill()")
