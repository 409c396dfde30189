"""Breakpoints, watchpoints and catchpoints: the table of what the user asked to stop at.

The target stops at places; whether such a stop is one that the user asked for is decided here: it must be in
the right program, its condition must hold, and for `watch` the value must have changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from orrery.debugger.c.ctypes import VOID, CType
from orrery.inspect.dwarf import DebugInfo
from orrery.machine.events import EventKind
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.timeline import Timeline

SP: Final = 2  # the register


class BreakpointKind(StrEnum):
    """As info breakpoints shows them."""

    BREAKPOINT = "breakpoint"
    CATCHPOINT = "catchpoint"
    WATCHPOINT = "hw watchpoint"
    READ_WATCHPOINT = "read watchpoint"
    ACCESS_WATCHPOINT = "acc watchpoint"
    WRITE_CATCHPOINT = "write catchpoint"
    """Stops at each store, even of the same value."""


WATCHES: Final = {
    BreakpointKind.WATCHPOINT: "w",
    BreakpointKind.READ_WATCHPOINT: "r",
    BreakpointKind.ACCESS_WATCHPOINT: "rw",
    BreakpointKind.WRITE_CATCHPOINT: "w",
}
"""The accesses at which each kind of watchpoint stops."""


class Block(NamedTuple):
    """A call in which a watched variable lives: it begins at `low`, and returns to `pc` with this `sp`."""

    low: int
    pc: int
    sp: int


@dataclass
class Breakpoint:
    """An entry of the table. `text` is what the user typed, and `where` the location that was found.

    A breakpoint has `addresses` in the program `info`, named `program` (None: in all address spaces), or is
    `pending` until one runs that has the place; a watchpoint `size` bytes of process `pid`, a value of `type`
    which was `old` and is `seen`; a catchpoint the event `text`.  One in the kernel's Python has `lines`,
    each with its file.
    """

    kind: BreakpointKind
    text: str
    number: int = 0
    where: str = ""
    addresses: tuple[int, ...] = ()
    info: DebugInfo | None = None
    program: str = ""
    pending: bool = False
    lines: tuple[tuple[str, int], ...] = ()
    pid: int = ALL
    size: int = 1
    condition: str = ""
    temporary: bool = False
    enabled: bool = True
    hits: int = 0
    seen: bytes = b""
    old: bytes = b""
    type: CType = VOID
    bits: tuple[int, int] | None = None  # of these bytes, where a bit field is watched
    block: Block | None = None
    left: bool = False  # the block, so that it is deleted
    ignore: int = 0  # how often it is passed by before it stops
    commands: list[str] = field(default_factory=list)  # carried out when it stops

    @property
    def kinds(self) -> frozenset[str]:
        """The events at which it stops, as the target has them."""
        if not self.enabled:
            return frozenset()
        if self.kind == BreakpointKind.CATCHPOINT:
            return frozenset((self.text,))
        condition = f" if {self.condition}" if self.condition else ""
        return frozenset(f"line:{file}:{line}{condition}" for file, line in self.lines)

    @property
    def places(self) -> tuple[Place, ...]:
        """As the target has them."""
        kinds = WATCHES.get(self.kind, "x")
        if self.kind == BreakpointKind.CATCHPOINT or not self.enabled:
            return ()
        return tuple(Place(self.pid, one, self.size, kinds, self.program) for one in self.addresses)


class Breakpoints:
    """The table, for `target`.

    `program_of` is asked for a process's program, `holds` whether a condition is true in a process, and
    `settle` to find the place of a pending breakpoint in the program that a process has begun to run.
    """

    def __init__(
        self,
        target: Timeline,
        program_of: Callable[[int], DebugInfo | None],
        holds: Callable[[str, int], bool],
        settle: Callable[[Breakpoint, int], None],
    ) -> None:
        self._target: Final = target
        self._program_of: Final = program_of
        self._holds: Final = holds
        self._settle: Final = settle
        self._last = 0
        self._more: tuple[Place, ...] = ()  # that a step stops at
        self._backwards = False
        self.all: list[Breakpoint] = []

    def add(self, made: Breakpoint, *, internal: bool = False) -> Breakpoint:
        """Enter one into the table; it gets a number, negative if it is `internal`: not the user's."""
        if internal:
            made.number = min(0, *(one.number for one in self.all), 0) - 1
        else:
            self._last += 1
            made.number = self._last
        self.all.append(made)
        self.arm()
        return made

    def delete(self, number: int) -> bool:
        """Take one out; False where there is none."""
        kept = [one for one in self.all if one.number != number]
        found = len(kept) < len(self.all)
        self.all = kept
        self.arm()
        return found

    def find(self, number: int) -> Breakpoint | None:
        """The one with this number."""
        return next((one for one in self.all if one.number == number), None)

    @property
    def kinds(self) -> frozenset[str]:
        """The events at which the target is to stop."""
        kinds = frozenset(kind for one in self.all for kind in one.kinds)
        return kinds | {str(EventKind.EXEC) for one in self.all if one.pending}

    def arm(self, *more: Place, backwards: bool = False) -> None:
        """Have the target, which goes forwards or `backwards`, stop at all of them, and at `more`."""
        self._more, self._backwards = more, backwards
        ends = (self._end(one) for one in self.all)
        places = (place for one in self.all for place in one.places)
        self._target.set_places((*places, *(end for end in ends if end is not None), *more))
        self._target.catch(self.kinds if backwards else self.kinds | {EventKind.CRASH})

    def remember(self) -> None:
        """Remember the values of watched places: the machine is about to go on."""
        for one in self.all:
            if one.kind in WATCHES:
                self._changed(one)

    def judged(self, stopped: Stopped) -> Breakpoint | None:
        """The breakpoint that this stop is a hit of, if any; counts the hit."""
        if stopped.event == EventKind.EXEC:
            self._settle_pending(stopped.pid)
        for one in self.all:
            if self._is_left(one, stopped):
                one.left = True
                self.delete(one.number)
                return one
            if one.enabled and self._concerns(one, stopped):
                if one.condition and not one.lines and not self._holds(one.condition, stopped.pid):
                    continue  # a condition in Python was looked at there
                one.hits += 1
                if one.ignore:
                    one.ignore -= 1
                    continue
                if one.temporary:
                    self.delete(one.number)
                return one
        return None

    def _settle_pending(self, pid: int) -> None:
        """A process runs another program: pending breakpoints may have a location in it."""
        pending = [one for one in self.all if one.pending]
        for one in pending:
            self._settle(one, pid)
        if not all(one.pending for one in pending):
            self.arm(*self._more)

    def _end(self, one: Breakpoint) -> Place | None:
        """Where the block of a watched variable is left."""
        if one.block is None:
            return None
        return Place(one.pid, one.block.low if self._backwards else one.block.pc)

    def _is_left(self, one: Breakpoint, stopped: Stopped) -> bool:
        """Whether the block of a watched variable has been left: not a call of its function within it."""
        if one.block is None or stopped.why != StopKind.PLACE or stopped.place != self._end(one):
            return False
        sp = self._target.registers(one.pid)[SP]
        return sp == one.block.sp if self._backwards else sp >= one.block.sp

    def _concerns(self, one: Breakpoint, stopped: Stopped) -> bool:
        if stopped.why == StopKind.EVENT:
            if one.lines:
                return stopped.detail in one.kinds
            happened = stopped.event
            return one.kind == BreakpointKind.CATCHPOINT and one.text in (
                happened,
                happened.partition(":")[0],
            )
        here = stopped.moment.pc in one.addresses
        if stopped.why != StopKind.PLACE or not (here or stopped.place in one.places):
            return False
        if one.kind not in WATCHES:
            return here and (one.info is None or self._program_of(stopped.pid) is one.info)
        return stopped.place in one.places and (self._changed(one) or one.kind != BreakpointKind.WATCHPOINT)

    def _changed(self, one: Breakpoint) -> bool:
        """Whether the watched bytes have changed since the last stop."""
        try:
            now = self._target.read(one.pid, one.addresses[0], one.size)
        except LookupError:
            return False  # the process has ended
        one.old, one.seen = one.seen, now
        if one.bits is None:
            return one.old != now
        low, count = one.bits
        before, after = (int.from_bytes(data, "little") >> low for data in (one.old, now))
        return (before ^ after) & (1 << count) - 1 != 0
