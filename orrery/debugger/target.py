"""A target: one machine under a debugger, in the machine's own process, going forward only.

What a debugger does with a machine that stands still, and how it lets it go on until something happens.  Used
by the gdb server directly, and by inside.py for a timeline.  Nothing here changes the run, but for what is
said to write.  When an answer is given, events that are due have happened, so that a moment has one state
however the machine came there.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from emu import engine as e
from emu.events import NEVER
from emu.loop import Stop
from kernel.abi.ps import STATE_NAMES
from kernel.proc import Proc
from orrery import postmortem
from orrery.debugger import events as happenings
from orrery.debugger.memory import Memory
from orrery.debugger.moment import Moment
from orrery.debugger.place import Place, spots
from orrery.debugger.registers import Registers
from orrery.debugger.writers import Writers

if TYPE_CHECKING:
    from emu.engine import Spot
    from emu.hart import Hart
    from orrery.machine import Machine

KERNEL: Final = 0
"""As a pid: the kernel and no process; its page table, the hart's registers."""


class ProcessInfo(NamedTuple):
    """A process; `current`: the hart works for it."""

    pid: int
    name: str
    state: str
    parent: int
    current: bool


class Stopped(NamedTuple):
    """Why the machine stands still, and where.

    place      at a breakpoint, or behind an access to a watched `place`: `va` is what was touched, `access`
               "r", "w" or "rw"; where the kernel wrote in Python, `detail` says in what
    event      behind the gate in which something happened: `detail` is its kind, a blank and what it was
    step       all steps were made               limit      the limit has come
    interrupt  somebody asked for a stop         asleep     all wait, and nothing will happen by itself
    exit       the guest switched the machine off, with `status`
    panic      the kernel or the hardware is broken, for good; `detail` is the report
    """

    why: str
    moment: Moment
    pid: int  # of the process that the hart works for, or KERNEL
    detail: str = ""
    place: Place | None = None
    va: int = 0
    access: str = ""
    status: int = 0


class Target:
    """`machine` under a debugger. While the machine runs it is called back by `slice` now and then."""

    def __init__(self, machine: "Machine") -> None:
        self._machine: Final = machine
        self._kernel: Final = machine.kernel
        self._loop: Final = machine.board.loop
        self._hart: Final = machine.board.hart
        self._registers: Final = Registers(machine)
        self._memory: Final = Memory(machine)
        self._places: tuple[Place, ...] = ()
        self._bound: tuple[Spot, ...] = ()  # what the engine has of them
        self._spaces: tuple[tuple[Proc, int, int], ...] = ()  # process, pid, satp that they are bound to
        self._writers: Final = Writers(machine, self._memory)
        self._enter_kernel: Final[Callable[[Hart], None]] = self._loop.on_gate
        self._catcher: Final = happenings.Catcher(self._caught)
        self._happening: happenings.Happening | None = None
        self._interrupted = False
        self._panic = ""
        self._output = bytearray()
        self.on_slice: Callable[[], None] = lambda: None
        machine.front = self

    # --- looking ---

    @property
    def moment(self) -> Moment:
        """Where the machine stands."""
        return Moment.of(self._hart)

    @property
    def current(self) -> int:
        """The process that the hart works for, in user mode or in the kernel; KERNEL where that is none."""
        p = self._kernel.sched.current
        return p.pid if p is not None else KERNEL

    def processes(self) -> tuple[ProcessInfo, ...]:
        """All processes, in the order of the table."""
        current = self._kernel.sched.current
        return tuple(
            ProcessInfo(p.pid, p.name, STATE_NAMES[p.state], p.parent.pid if p.parent else 0, p is current)
            for p in self._kernel.procs
        )

    def registers(self, pid: int) -> list[int]:
        """The registers of a process, in the order of registers.NAMES; raises LookupError."""
        return self._registers.read(self._away(pid))

    def read(self, pid: int, va: int, n: int) -> bytes:
        """Memory of a process, as far as it is mapped; raises LookupError."""
        return self._memory.read(self._process(pid), va, n)

    def read_physical(self, pa: int, n: int) -> bytes:
        """RAM, as far as it goes."""
        return self._memory.read_physical(pa, n)

    def monitor(self, line: str) -> str:
        """The answer of the console monitor to a command."""
        from orrery.monitor import Monitor

        return Monitor(self._machine).execute(line)

    def digest(self) -> str:
        """As Machine.digest."""
        return self._machine.digest()

    def take_output(self) -> bytes:
        """What the console has shown since the last time."""
        taken = bytes(self._output)
        self._output.clear()
        return taken

    # --- changing ---

    def set_register(self, pid: int, index: int, value: int) -> bool:
        """Set a register by its number in registers.NAMES; False where that cannot be; raises LookupError."""
        return self._registers.write(self._away(pid), index, value)

    def write(self, pid: int, va: int, data: bytes) -> bool:
        """Store at an address of a process: all of it, or nothing and False; raises LookupError."""
        return self._memory.write(self._process(pid), va, data)

    def write_physical(self, pa: int, data: bytes) -> bool:
        """Store in RAM; False where there is none."""
        return self._memory.write_physical(pa, data)

    def type(self, keys: bytes) -> None:
        """Type on the console."""
        self._machine.type(keys)

    # --- running ---

    def set_places(self, places: Iterable[Place]) -> None:
        """From now on stop at these places, and at no others."""
        self._places = tuple(places)
        self._writers.watch(place for place in self._places if "w" in place.kinds)
        self._loop.on_gate = self._gate if self._places else self._enter_kernel
        self._bind()

    def catch(self, kinds: Iterable[str]) -> None:
        """From now on stop at these events, see events.py; raises ValueError for one that there is not."""
        kinds = frozenset(kinds)
        if unknown := happenings.unknown(kinds):
            raise ValueError(f"no such event: {', '.join(unknown)}; there are {', '.join(happenings.KINDS)}")
        if kinds and not self._catcher.kinds:
            self._machine.hub.add(self._catcher)
        elif not kinds and self._catcher.kinds:
            self._machine.hub.remove(self._catcher)
        self._catcher.kinds = kinds

    def ask_stop(self) -> None:
        """Make resume or step return; for another thread, a signal handler, or on_slice."""
        self._interrupted = True
        self._machine.ask_stop()

    def resume(self, limit: Moment | int | None = None) -> Stopped:
        """Run until something happens, or until `limit`, a moment or ticks. A place at pc does not count."""
        ticks = NEVER if limit is None else limit.ticks if isinstance(limit, Moment) else limit
        begin = self.moment
        self._writers.remember()
        while True:
            stopped = self._run(ticks, begin)
            if stopped is not None:
                break
        if stopped.why == "limit" and isinstance(limit, Moment):
            return self._step_to(limit)
        return stopped

    def step(self, n: int = 1, pid: int | None = None) -> Stopped:
        """Make `n` steps: an instruction, a trap's entry, a gate or a wait each.

        With `pid` only those count that are made for this process; others run meanwhile.
        """
        self._writers.remember()
        for _ in range(n):
            stopped = self._step()
            if stopped is None and pid is not None and self.current != pid:
                stopped = self._run_to(pid)
            if stopped is not None:
                return stopped
        return self._stopped("step")

    def _step_to(self, moment: Moment) -> Stopped:
        """Step to the one of the moments of this tick that is asked for, or behind them."""
        while self.moment != moment and self.moment.ticks == moment.ticks:
            stopped = self._step()
            if stopped is not None:
                return stopped
        return self._stopped("limit")

    def _run(self, limit: int, begin: Moment) -> Stopped | None:
        """Run once; None where nothing was met that anybody asked for."""
        if self._panic:
            return self._stopped("panic", self._panic)
        try:
            stop = self._machine.run(limit)
        except Exception as error:  # any: the kernel or the hardware has broken a rule of its own
            return self._broken(error)
        self._settle()
        if (met := self._met(moved=self.moment != begin)) is not None:
            return met
        if stop is Stop.LIMIT:
            return self._stopped("limit")
        return self._stopped("asleep") if stop is Stop.ASLEEP else None

    def _step(self) -> Stopped | None:
        if self._panic:
            return self._stopped("panic", self._panic)
        before = self.moment
        self._loop.hit = None
        if self._machine.board.exit_code is None:
            try:
                self._loop.step()
                self._machine.hub.raise_error()
            except Exception as error:  # any: as above
                return self._broken(error)
            self._settle()
        if (met := self._met(moved=True)) is not None:
            return met
        stuck = self._hart.waiting and not self._hart.wakes() and self.moment == before
        return self._stopped("asleep") if stuck and self._machine.board.events.next_ticks == NEVER else None

    def _run_to(self, pid: int) -> Stopped | None:
        """Run until the hart works for process `pid` again; None when it does."""
        kinds = self._catcher.kinds
        self.catch({*kinds, "switch"})
        try:
            while self._kernel.procs.find(pid) is not None:
                stopped = self.resume()
                if stopped.why != "event" or not stopped.detail.startswith("switch") or "switch" in kinds:
                    return stopped
                if stopped.pid == pid:
                    return None
            return self._stopped("event", f"exit process {pid} has ended")
        finally:
            self.catch(kinds)

    def _settle(self) -> None:
        """Let happen what is due now, as the loop would before it goes on."""
        hart, board = self._hart, self._machine.board
        board.events.run_due(board.clock.now)
        if hart.waiting and not hart.wakes():
            self._machine.keyboard.pump()

    def _met(self, *, moved: bool) -> Stopped | None:
        """What the machine has come to."""
        happening, self._happening = self._happening, None
        written, hit = self._writers.take(), self._loop.hit
        code = self._machine.board.exit_code
        if code is not None:
            return self._stopped("exit", code=code)
        if happening is not None:
            return self._stopped("event", f"{happening.kind} {happening.text}")
        if written is not None:
            return self._stopped("place", written.by, written.place, written.place.va, "w")
        if hit is not None and (place := self._place(hit.va, hit.size_bytes, hit.kind)) is not None:
            access = ("r" if hit.kind & e.LOADS else "") + ("w" if hit.kind & e.STORES else "")
            return self._stopped("place", "", place, hit.va, access)
        if moved and self._loop.at_break() and self._hart.takeable_interrupt() is None:
            place = self._place(self._hart.regs[e.PC], 1, e.FETCHES)
            if place is not None:
                return self._stopped("place", "", place, place.va, "x")
        if self._interrupted:
            self._interrupted = False
            return self._stopped("interrupt")
        return None

    def _place(self, va: int, size: int, bits: int) -> Place | None:
        return next((place for place in self._places if place.meets(self.current, va, size, bits)), None)

    def _stopped(
        self,
        why: str,
        detail: str = "",
        place: Place | None = None,
        va: int = 0,
        access: str = "",
        code: int = 0,
    ) -> Stopped:
        return Stopped(why, self.moment, self.current, detail, place, va, access, code & 0xFF)

    def _broken(self, error: Exception) -> Stopped:
        self._panic = postmortem.report(self._machine, error)
        return self._stopped("panic", self._panic)

    # --- what the kernel and the machine tell ---

    def _gate(self, hart: "Hart") -> None:
        """The hart is at a gate, while there are places: the kernel may write to one, or move one."""
        self._writers.before(hart)
        self._enter_kernel(hart)
        if self._writers.behind():
            self._machine.ask_stop()
        if any(p.pid != pid or p.satp != satp for p, pid, satp in self._spaces):
            self._bind()

    def _bind(self) -> None:
        """Give the engine the places where they are now; it drops all translated code for that."""
        wanted = {place.pid for place in self._places}
        processes = {p.pid: p for p in self._kernel.procs if p.pid in wanted}
        self._spaces = tuple((p, p.pid, p.satp) for p in processes.values())
        bound = spots(self._places, processes, self._kernel.satp)
        if bound != self._bound:
            self._bound = bound
            self._loop.set_spots(bound)

    def _caught(self, happening: happenings.Happening) -> None:
        self._happening = self._happening or happening
        self._machine.ask_stop()

    def output(self, pid: int | None, data: bytes) -> None:
        """As Front.output."""
        self._output += data

    def waits(self, p: Proc) -> None:
        """As Front.waits."""

    def idle(self, until_ticks: int) -> bool:
        """As Front.idle: nothing comes from outside while the machine runs."""
        return False

    def slice(self) -> None:
        """As Front.slice."""
        self.on_slice()

    # --- processes by number ---

    def _process(self, pid: int) -> Proc | None:
        """The process; None for the kernel; raises LookupError."""
        if pid == KERNEL:
            return None
        p = self._kernel.procs.find(pid)
        if p is None:
            raise LookupError(f"no process {pid}")
        return p

    def _away(self, pid: int) -> Proc | None:
        """The process, or None where the hart's registers are its: it is the current one, or the kernel."""
        return None if pid == self.current else self._process(pid)
