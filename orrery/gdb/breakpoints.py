"""Breakpoints and watchpoints as gdb sets them, and the places that they become.

The types of the packets Z and z:

    0  before an instruction, reported as swbreak     2  behind a store     4  behind either
    1  the same, reported as hwbreak                  3  behind a load

Nothing is written into the guest's memory for any of them.  One that is set for an inferior is hit by its
process alone; one for the kernel is hit whichever process the kernel works for.

A fork of a process hits the breakpoints in its program too, although gdb does not know of it: it is an heir,
until gdb is told of it and sets them itself, or it executes something else.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from kernel.abi.memlayout import KERNBASE
from orrery.gdb.errors import EINVAL, Refused, number
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.target import KERNEL

KINDS: Final = {b"0": "x", b"1": "x", b"2": "w", b"3": "r", b"4": "rw"}
ATTRIBUTES: Final = {b"0": "swbreak", b"1": "hwbreak", b"2": "watch", b"3": "rwatch", b"4": "awatch"}
SIZE_MAX: Final = 4096
COUNT_MAX: Final = 1024


class _Set(NamedTuple):
    """One that is set."""

    type: bytes
    place: Place


class RemoteBreakpoints:
    """Those of one client. `changed` gets all places when there are others."""

    def __init__(self, changed: Callable[[list[Place]], None]) -> None:
        self._changed: Final = changed
        self._set: Final[dict[_Set, None]] = {}
        self._heirs: Final[dict[int, int]] = {}  # by pid: whose breakpoints it meets
        self._left: Final[dict[int, list[Place]]] = {}  # what heirs have of processes that have ended

    def insert(self, pid: int, text: bytes) -> None:
        """Carry out a packet Z, without its letter; raises Refused."""
        one = _parsed(pid, text)
        if len(self._set) >= COUNT_MAX:
            raise Refused(EINVAL)
        if one not in self._set:
            self._set[one] = None
            self._tell()

    def remove(self, pid: int, text: bytes) -> None:
        """Carry out a packet z; one that is not set is none the less gone."""
        if self._set.pop(_parsed(pid, text), self) is not self:
            self._tell()

    def inherit(self, pid: int, child: int) -> None:
        """A process has been forked from `pid`."""
        if self.in_program(pid):
            self._heirs[child] = pid
        elif pid in self._heirs:
            self._heirs[child] = self._heirs[pid]
        elif pid in self._left:
            self._left[child] = [place._replace(pid=child) for place in self._left[pid]]
        else:
            return
        self._tell()

    def is_heir(self, pid: int) -> bool:
        """Whether a process meets breakpoints of another one."""
        return pid in self._heirs or pid in self._left

    def disinherit(self, pid: int) -> None:
        """A process has its own breakpoints, or another program, or has ended."""
        if self.is_heir(pid):
            self._heirs.pop(pid, None)
            self._left.pop(pid, None)
            self._tell()

    def forget(self, pid: int) -> None:
        """Remove those of a process; its heirs keep them."""
        for heir in [heir for heir, one in self._heirs.items() if one == pid]:
            self._left[heir] = self._inherited(heir, pid)
            del self._heirs[heir]
        gone = [one for one in self._set if one.place.pid == pid and pid != ALL]
        for one in gone:
            del self._set[one]
        if gone:
            self._tell()

    def clear(self) -> None:
        """Remove all."""
        self._heirs.clear()
        self._left.clear()
        if self._set:
            self._set.clear()
            self._tell()

    def in_program(self, pid: int) -> bool:
        """Whether there are any in the program of a process, not in the kernel's part of its traps."""
        return any(_is_in_program(one.place, pid) for one in self._set)

    def watches(self, pid: int) -> bool:
        """Whether there are watchpoints for a process."""
        return any(one.place.pid == pid and one.place.kinds != "x" for one in self._set)

    def attribute(self, place: Place) -> str:
        """How a stop at `place` is told."""
        return next((ATTRIBUTES[one.type] for one in self._set if one.place == place), "swbreak")

    def _inherited(self, heir: int, pid: int) -> list[Place]:
        places = (one.place for one in self._set)
        return [
            place._replace(pid=heir) for place in places if _is_in_program(place, pid) and place.kinds == "x"
        ]

    def _tell(self) -> None:
        places = [one.place for one in self._set]
        for heir, pid in self._heirs.items():
            places += self._inherited(heir, pid)
        for left in self._left.values():
            places += left
        self._changed(places)


def _is_in_program(place: Place, pid: int) -> bool:
    return place.pid == pid and place.va < KERNBASE


def _parsed(pid: int, text: bytes) -> _Set:
    """type,address,kind: of a breakpoint, kind is the length of an instruction, else how many bytes."""
    parts = text.partition(b";")[0].split(b",")
    if len(parts) != 3 or parts[0] not in KINDS:
        raise Refused(EINVAL)
    kinds = KINDS[parts[0]]
    va, size = number(parts[1]), number(parts[2])
    if not 0 < size <= SIZE_MAX:
        raise Refused(EINVAL)
    return _Set(parts[0], Place(ALL if pid == KERNEL else pid, va, 1 if kinds == "x" else size, kinds))
