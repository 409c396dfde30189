"""Functions of the guest that gdb calls, as for `print f(1)`: how they return to gdb.

gdb has the function return to an address on the stack, where it has set a breakpoint.  But the stack is not
executable here: instead of an instruction before which to stop there is a fault.  So while there is a
breakpoint at an address that cannot be executed, the machine stops at the entry of each trap of that process
too, and where it is the fault of such a return, the trap is undone.  Used by stop_replies.py.

gdb sets its breakpoints anew whenever it resumes the machine, and a function may stop at others meanwhile,
and be called within another one: so what counts is what can be executed now, not what gdb did before.
"""

from collections.abc import Sequence
from typing import Final

from emu.cpu.hart import USER
from kernel.abi.memlayout import KERNBASE, TRAMPOLINE
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.registers import NAMES, PC, PRIV
from orrery.timetravel.target import KERNEL

SEPC, SCAUSE, SSTATUS = (NAMES.index(name) for name in ("sepc", "scause", "sstatus"))
FETCH_PAGE_FAULT: Final = 12
SIE, SPIE = 1 << 1, 1 << 5


class InferiorCalls:
    """The calls in progress in processes of `session`."""

    def __init__(self, session: TimelineSession) -> None:
        self._session: Final = session
        self._returns: dict[Place, bool] = {}  # whether a place is one to return to, for all that are set

    def with_traps(self, places: Sequence[Place]) -> list[Place]:
        """The places, and those of the traps that are to be looked at."""
        self._returns = {place: self._is_return(place) for place in places}
        return [*places, *(_trap(place) for place, is_return in self._returns.items() if is_return)]

    def is_trap(self, place: Place) -> bool:
        """Whether a stop at `place` is for this alone."""
        return place not in self._returns and any(
            is_return and place == _trap(one) for one, is_return in self._returns.items()
        )

    def has_returned(self, pid: int) -> bool:
        """Whether the trap that process `pid` has entered is a return to gdb; then it is taken back."""
        values = self._session.registers(pid)
        sepc, sstatus = values[SEPC], values[SSTATUS]
        returns = {place.va for place, is_return in self._returns.items() if is_return and place.pid == pid}
        if values[SCAUSE] != FETCH_PAGE_FAULT or sepc not in returns:
            return False
        before = sstatus & ~SIE | SPIE | (SIE if sstatus & SPIE else 0)
        return all(
            self._session.set_register(pid, index, value)
            for index, value in ((PC, sepc), (SSTATUS, before), (PRIV, USER))
        )

    def _is_return(self, place: Place) -> bool:
        if place.kinds != "x" or place.pid in (ALL, KERNEL) or place.va >= KERNBASE:
            return False
        try:
            return not self._session.executes(place.pid, place.va)
        except LookupError:  # it has ended
            return False


def _trap(place: Place) -> Place:
    return Place(place.pid, TRAMPOLINE, 1, "x")
