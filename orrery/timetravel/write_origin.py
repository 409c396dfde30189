"""Finds which line of the kernel's Python wrote to a place.

KernelWrites (kernel_writes.py) detects that the kernel wrote behind a gate, after the fact.  A checkpoint
process that stands before that gate passes it again under sys.settrace, and the place is compared before
each line.  Used by checkpoint_server.py.
"""

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

from orrery.machine.tracer import Tracer
from orrery.timetravel.memory import Memory
from orrery.timetravel.place import ALL, Place
from toolchain.paths import in_tree

if TYPE_CHECKING:
    from orrery.machine.machine import Machine


def who_writes(machine: "Machine", place: Place, step: Callable[[], object]) -> str:
    """File, line and function of the kernel that change the place in this step; empty where none does."""
    procs = machine.kernel.procs
    p = machine.kernel.sched.process if place.pid == ALL else procs.find(place.pid)
    memory = Memory(machine)
    blame = _WriteTracer(lambda: memory.read(p, place.va, place.size))
    blame.traced(step)
    return blame.found


class _WriteTracer(Tracer):
    """Notes the line behind which `look` gives something else than before."""

    def __init__(self, look: Callable[[], bytes]) -> None:
        super().__init__()
        self._look: Final = look
        self._seen = look()
        self._last = ""
        self.found = ""

    def event(self, frame: FrameType) -> None:
        """As Tracer.event."""
        if self.found:
            return
        if self._look() != self._seen:
            self.found = self._last
        code = frame.f_code
        self._last = f"{in_tree(code.co_filename)}:{frame.f_lineno} in {code.co_qualname}"

    def left(self, frame: FrameType) -> None:
        """As Tracer.left."""
        if not self.found and self._look() != self._seen:
            self.found = self._last
