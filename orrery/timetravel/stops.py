"""Stop conditions: what a machine is to stop at, and which of them it has met.

Used by execution.py, which lets the machine run and then asks `met`.  The engine stops at instructions; this
adds what only Python sees: events of the kernel, and what the kernel writes to a watched place.
"""

import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from emu.cpu import engine as e
from emu.loop import GATE_TICKS
from kernel.proc import Process
from orrery.machine import events
from orrery.machine.hooks import Watcher
from orrery.machine.python_breakpoints import PythonBreakpoints
from orrery.machine.tracer import Tracer
from orrery.timetravel.kernel_writes import KernelWrite, KernelWrites
from orrery.timetravel.memory import Memory
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place, spots

if TYPE_CHECKING:
    from emu.cpu.engine import Spot
    from emu.cpu.hart import Hart
    from orrery.machine.machine import Machine

_T = TypeVar("_T")

KERNEL: Final = 0
"""As a pid: the kernel and no process; its page table, the hart's registers."""


class StopKind(StrEnum):
    """Why a machine stands still."""

    PLACE = "place"
    """At a breakpoint, or behind an access to a watched place."""
    EVENT = "event"
    """Behind the gate in which something happened."""
    STEP = "step"
    """All steps were made."""
    LIMIT = "limit"
    """The time or the moment up to which to go has come."""
    INTERRUPT = "interrupt"
    """Somebody asked for a stop."""
    ASLEEP = "asleep"
    """All processes wait, and nothing will happen by itself."""
    BEGIN = "begin"
    """There is nothing before this."""
    END = "end"
    """The recording ends here."""
    SLICE = "slice"
    """A good occasion to do something else."""
    EXIT = "exit"
    """The guest has switched the machine off."""
    PANIC = "panic"
    """The kernel or the hardware is broken, for good."""

    __repr__ = str.__repr__  # a user who prints one sees the text


ENDS: Final = (StopKind.ASLEEP, StopKind.EXIT, StopKind.PANIC)
"""Why a machine stands still that will not go on by itself."""


class Stopped(NamedTuple):
    """Why the machine stands still, and where.

    PLACE   `place` is the breakpoint, or what is watched: `va` was touched, by an `access` "r", "w" or "rw".
            Where the kernel wrote in Python, `detail` says in what.  The access began at `since`: its
            instruction, or the gate; or some time before that of a device, which nobody sees
    EVENT   `detail` is its kind, a blank and what happened; for a line of the kernel's Python
            (machine/python_breakpoints.py) the kind alone, and the gate began at `since`
    EXIT    with `status`
    PANIC   `detail` is the report
    """

    why: StopKind
    moment: Moment
    pid: int  # of the process that the hart works for, or KERNEL
    detail: str = ""
    place: Place | None = None
    va: int = 0
    access: str = ""
    status: int = 0
    since: Moment | None = None

    @property
    def event(self) -> str:
        """The kind of the event that it is, see machine/events.py; empty where it is none."""
        return self.detail.partition(" ")[0] if self.why == StopKind.EVENT else ""

    @classmethod
    def of(cls, values: Iterable[Any]) -> Self:
        """From the plain tuples that a channel carries."""
        stopped = cls(*values)
        return stopped._replace(
            why=StopKind(stopped.why),
            moment=Moment(*stopped.moment),
            place=stopped.place and Place(*stopped.place),
            since=stopped.since and Moment(*stopped.since),
        )


class Stops:
    """Of `machine`."""

    def __init__(self, machine: "Machine", memory: Memory) -> None:
        self._machine: Final = machine
        self._kernel: Final = machine.kernel
        self._loop: Final = machine.board.loop
        self._hart: Final = machine.board.hart
        self._places: tuple[Place, ...] = ()
        self._bound: tuple[Spot, ...] = ()  # what the engine has of them
        self._spaces: tuple[tuple[Process, int, int], ...] = ()  # process, pid, satp that they are bound to
        self._awaited: set[int] = set()  # pids of places that are no process's yet
        self._programs: set[str] = set()  # names of programs that have places
        self._writers: Final = KernelWrites(machine, memory)
        self._gate_since: Moment | None = None  # the moment before the gate in which something was met
        self._lines = PythonBreakpoints()
        self._tracer: Tracer | None = None
        self._enter_kernel: Final[Callable[[Hart], None]] = self._loop.on_gate
        self._catcher: Final = events.Catcher(machine.kernel, self._caught)
        self._happening: events.Happening | None = None
        self._watch_calls()

    # --- what to stop at ---

    def set_places(self, places: Iterable[Place]) -> None:
        """At these places, and at no others."""
        self._places = tuple(places)
        self._writers.watch(place for place in self._places if "w" in place.kinds)
        self._look_at_gates()
        self._bind()

    def set_none(self) -> None:
        """At nothing."""
        self.set_places(())
        self.catch(())

    @property
    def kinds(self) -> frozenset[str]:
        """The events."""
        return self._catcher.kinds

    def catch(self, kinds: Iterable[str]) -> None:
        """At these events, and at no others; raises ValueError for one that there is not."""
        kinds = frozenset(kinds)
        events.check(kinds)
        if kinds and not self._catcher.kinds:
            self._machine.hub.add(self._catcher)
        elif not kinds and self._catcher.kinds:
            self._machine.hub.remove(self._catcher)
        if kinds != self._catcher.kinds:
            self._lines = PythonBreakpoints(kinds)
            self._look_at_gates()
        self._catcher.kinds = kinds

    def begin(self) -> None:
        """The machine is about to go on from where it stands."""
        self._writers.take()
        self._lines.take()
        self._loop.forget_hit()

    def remember_places(self) -> None:
        """What is in the places now is known: a debugger wrote it, or it was told."""
        self._writers.remember()

    # --- what it has come to ---

    def met(self, *, moved: bool) -> Stopped | None:
        """The first of them, if the machine has come to one; a breakpoint counts if it `moved` there."""
        happening, self._happening = self._happening, None
        written, hit, line = self._writers.take(), self._loop.hit, self._lines.take()
        if line:
            return self.stopped(StopKind.EVENT, detail=line, since=self._gate_since)
        if happening is not None:
            return self.stopped(StopKind.EVENT, detail=f"{happening.kind} {happening.text}")
        if written is not None:
            return self._written(written)
        if hit is not None and (place := self._place(hit.va, hit.size_bytes, hit.kind)) is not None:
            access = ("r" if hit.kind & e.LOADS else "") + ("w" if hit.kind & e.STORES else "")
            if hit.kind & e.STORES:
                self.remember_places()
            return self.stopped(
                StopKind.PLACE, place=place, va=hit.va, access=access, since=self._before(hit.pc)
            )
        if moved and self._loop.at_break():
            place = self._place(self._hart.regs[e.PC], 1, e.FETCHES)
            if place is not None:
                return self.stopped(StopKind.PLACE, place=place, va=place.va, access="x")
        return None

    def unseen_write(self) -> Stopped | None:
        """A write to a place since the last gate, of which the next one would have told."""
        written = self._writers.unseen()
        return self._written(written) if written is not None else None

    def _written(self, written: KernelWrite) -> Stopped:
        return self.stopped(
            StopKind.PLACE, detail=written.by, place=written.place, va=written.place.va, access="w",
            since=written.since or self._gate_since,
        )  # fmt: skip

    def stopped(self, why: StopKind, **more: Any) -> Stopped:
        """Stopped, here."""
        p = self._kernel.sched.process
        return Stopped(why, Moment.of(self._hart), p.pid if p is not None else KERNEL, **more)

    def _place(self, va: int, size: int, bits: int) -> Place | None:
        p = self._kernel.sched.process
        pid, name = (p.pid, p.name) if p is not None else (KERNEL, "")
        return next((place for place in self._places if place.meets(pid, va, size, bits, name)), None)

    def _before(self, pc: int) -> Moment:
        """The moment before the load or store at `pc`, which has just retired."""
        regs = self._hart.regs
        length = regs[e.PC] - pc
        return Moment(self._hart.clock.now - length, False, regs[e.PRIV], pc)

    # --- what the kernel tells ---

    def watch_alone(self) -> None:
        """Nobody else is told any more of what happens in the kernel."""
        assert not self.kinds, "the hub forgets the catcher, so it must not be in use"
        self._machine.hub.clear()
        self._watch_calls()

    def _watch_calls(self) -> None:
        """A system call with a checkpoint in it is reported only if it was watched from its beginning."""
        self._machine.hub.add(Watcher())

    def traced(self, tracer: Tracer, work: Callable[[], _T]) -> _T:
        """What `work` returns; `tracer` is told of the kernel's Python that runs behind gates meanwhile.

        What the debugger asks of the kernel's objects between two gates is none of the run.
        """
        self._tracer = tracer
        self._look_at_gates()
        try:
            return work()
        finally:
            self._tracer = None
            self._look_at_gates()

    def _look_at_gates(self) -> None:
        """If there is anything that the kernel may do behind one."""
        looks = self._places or self._lines or self._tracer is not None
        self._loop.on_gate = self._gate if looks else self._enter_kernel

    def _gate(self, hart: "Hart") -> None:
        """The hart is at a gate: the kernel may write to a place, move one, or come to a line."""
        self._writers.before(hart)
        now = Moment.of(hart)
        if self._tracer is not None:
            self._tracer.traced(lambda: self._enter_kernel(hart))
        elif self._lines and sys.gettrace() is None:
            self._lines.traced(lambda: self._enter_kernel(hart))
        else:
            self._enter_kernel(hart)
        if self._writers.behind() or self._lines.hit:
            self._gate_since = now._replace(ticks=now.ticks - GATE_TICKS)
            self._machine.ask_stop()
        moved = any(p.pid != pid or p.space.satp != satp for p, pid, satp in self._spaces)
        if moved or ((self._awaited or self._programs) and self._has_come()):
            self._bind()

    def _has_come(self) -> bool:
        """Whether there is a process that has places and is not bound."""
        bound = {pid for _, pid, _ in self._spaces}
        return any(
            p.pid in self._awaited or (p.name in self._programs and p.pid not in bound)
            for p in self._kernel.procs
        )

    def _bind(self) -> None:
        """Give the engine the places where they are now; it drops all translated code for that."""
        wanted = {place.pid for place in self._places}
        self._programs = {place.program for place in self._places} - {""}
        processes = {p.pid: p for p in self._kernel.procs if p.pid in wanted or p.name in self._programs}
        self._spaces = tuple((p, p.pid, p.space.satp) for p in processes.values())
        newest = max((p.pid for p in self._kernel.procs), default=0)
        self._awaited = {pid for pid in wanted if pid > newest}
        bound = spots(self._places, processes, self._kernel.satp)
        if bound != self._bound:
            self._bound = bound
            self._loop.set_spots(bound)

    def _caught(self, happening: events.Happening) -> None:
        self._happening = self._happening or happening
        self._machine.ask_stop()
