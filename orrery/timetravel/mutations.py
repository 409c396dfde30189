"""Changing a machine under a debugger: what a person, or a script, may do to it.

The same for a Target, which does it; for a Timeline, which has the machine at its cursor do it, and begins
another future; and for gdb's TimelineSession, which has the present do it.  What fails changes nothing.
"""

from abc import ABC, abstractmethod

from orrery.pool.channel import Value
from orrery.timetravel.input_log import ChangeKind


class Mutations(ABC):
    """All changes; each is one call of `change`, and goes on the tape."""

    @abstractmethod
    def change(self, name: ChangeKind, *arguments: Value) -> bool:
        """One of those below, by its name; whether that could be done."""

    def set_register(self, pid: int, index: int, value: int) -> bool:
        """Set a register by its number in registers.NAMES; False where that cannot be; raises LookupError."""
        return self.change(ChangeKind.SET_REGISTER, pid, index, value)

    def write(self, pid: int, va: int, data: bytes) -> bool:
        """Store at an address of a process: all of it, or nothing and False; raises LookupError."""
        return self.change(ChangeKind.WRITE, pid, va, data)

    def write_physical(self, pa: int, data: bytes) -> bool:
        """Store in RAM; False where there is none."""
        return self.change(ChangeKind.WRITE_PHYSICAL, pa, data)

    def kill(self, pid: int) -> bool:
        """Do as the system call does; False where that fails."""
        return self.change(ChangeKind.KILL, pid)

    def type(self, keys: bytes) -> bool:
        """Type on the console."""
        return self.change(ChangeKind.TYPE, keys)
