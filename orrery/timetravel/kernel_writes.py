"""Detects writes of the kernel's Python to watched memory.

The engine sees what instructions store.  What the kernel stores for a system call, no engine sees, so the
watched bytes are compared before and after each gate.  Used by stops.py while places are watched for writes.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from emu.cpu import engine as e
from kernel.abi.syscalls import c_int, table
from kernel.proc import Process
from kernel.thread import TF_A7
from orrery.timetravel.memory import Memory
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import ALL, Place

if TYPE_CHECKING:
    from emu.cpu.hart import Hart
    from orrery.machine.machine import Machine

NO_SPACE: Final = -1
ELSEWHERE: Final = "a device, or a store through another address"


class KernelWrite(NamedTuple):
    """A watched place that was written, and the writer as text; with `since`, at some time since then."""

    place: Place
    by: str
    since: Moment | None = None


class KernelWrites:
    """Compares places of `machine`."""

    def __init__(self, machine: "Machine", memory: Memory) -> None:
        self._kernel: Final = machine.kernel
        self._memory: Final = memory
        self._calls: Final = {number: call.name for number, call in table(machine.kernel.lab).items()}
        self._gates: Final = {va: name for name, va in machine.kernel.image.symbols.items()}
        self._places: tuple[Place, ...] = ()
        self._seen: dict[Place, tuple[int, bytes]] = {}  # as _look gives it, when the hart last left Python
        self._work = ""  # what the kernel is doing behind this gate
        self._current: Process | None = None
        self._written: KernelWrite | None = None
        self._hart: Final = machine.board.hart
        self._looked = Moment.of(self._hart)  # when the hart last left Python

    def watch(self, places: Iterable[Place]) -> None:
        """From now on look at these."""
        self._places = tuple(places)
        self.remember()

    def remember(self) -> None:
        """Take what is there for known."""
        self._current = self._kernel.sched.process
        self._written = None
        self._looked = Moment.of(self._hart)
        self._seen = {place: self._look(place) for place in self._places}

    def take(self) -> KernelWrite | None:
        """What was found since the last time."""
        written, self._written = self._written, None
        return written

    def unseen(self) -> KernelWrite | None:
        """What was written since the last gate, which the next one would tell of; it does not any more."""
        self._compare_since_gate(self._kernel.sched.process)
        written = self.take()
        self.remember()
        return written

    def before(self, hart: "Hart") -> None:
        """The hart is at a gate."""
        if not self._places:
            return
        current = self._kernel.sched.process
        self._compare_since_gate(current)
        self._current = current
        self._seen = {place: self._look(place) for place in self._places}
        self._work = self._describe(hart.regs[e.PC], current)

    def behind(self) -> bool:
        """The kernel's work behind the gate is done; whether anything was found."""
        if self._places:
            self._compare(self._work)
            self._current = self._kernel.sched.process
            self._looked = Moment.of(self._hart)
            self._seen = {place: self._look(place) for place in self._places}
        return self._written is not None

    def _compare_since_gate(self, current: Process | None) -> None:
        if current is self._current:
            self._compare(ELSEWHERE, self._looked)

    def _compare(self, by: str, since: Moment | None = None) -> None:
        """Look for a place with other bytes, in an address space that exec has not replaced."""
        for place, (space, seen) in self._seen.items():
            space_now, now = self._look(place)
            if self._written is None and space_now == space and now != seen:
                self._written = KernelWrite(place, by, since)

    def _look(self, place: Place) -> tuple[int, bytes]:
        """The address space that the place is in (its satp), and the bytes there.

        A page that is promised holds zeroes; a process that has gone has no space.
        """
        p = self._current if place.pid == ALL else self._kernel.procs.find(place.pid)
        if p is None and place.pid != ALL:
            return NO_SPACE, b""
        there = self._memory.read(p, place.va, place.size).ljust(place.size, b"\0")
        return self._kernel.satp if p is None else p.space.satp, there

    def _describe(self, gate: int, p: Process | None) -> str:
        name = self._gates.get(gate, hex(gate))
        if p is None:
            return f"the kernel behind gate {name}"
        call = self._calls.get(c_int(p.thread.tf[TF_A7]), "no system call")
        return f"the kernel behind gate {name}, {call} of {p}"
