"""The operations that change a machine under a debugger.

A Target applies them; a Timeline has the machine at its cursor do so, and begins another future; gdb's
TimelineSession applies them to the present.  An operation that fails changes nothing.
"""

from abc import ABC, abstractmethod

from orrery.pool.channel import Value
from orrery.timetravel.input_log import ChangeKind


class Mutations(ABC):
    """Each is one call of `change`, and is recorded in the input log."""

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
