"""A target: one machine under a debugger, in the machine's own process, going forward only.

What a debugger does with a machine that stands still, and how it lets it go on until something happens.  Used
by the gdb server, and by inside.py for a timeline.  Nothing here changes the run, but for what is said to
change it, which goes on the tape.  When an answer is given, what is due has happened, so that a moment has
one state however the machine came there.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emu.events import NEVER
from emu.loop import Stop
from kernel.abi.ps import STATE_NAMES
from kernel.proc import Proc
from orrery import postmortem
from orrery.debugger.memory import Memory
from orrery.debugger.moment import Moment
from orrery.debugger.place import Place
from orrery.debugger.pylines import PyLine, PyLines
from orrery.debugger.registers import Registers
from orrery.debugger.stops import KERNEL, Stopped, Stops
from orrery.debugger.tape import Astray, Change, Tape

if TYPE_CHECKING:
    from orrery.machine import Machine

__all__ = ["KERNEL", "ProcessInfo", "Stopped", "Target"]


class ProcessInfo(NamedTuple):
    """A process; `current`: the hart works for it."""

    pid: int
    name: str
    state: str
    parent: int
    current: bool


class Target:
    """`machine` under a debugger. While the machine runs it calls `on_slice` now and then.

    What is on the `tape` and was not done yet is done when its moment comes.
    """

    def __init__(self, machine: "Machine", tape: Tape | None = None) -> None:
        self._machine: Final = machine
        self._kernel: Final = machine.kernel
        self._hart: Final = machine.board.hart
        self._registers: Final = Registers(machine)
        self._memory: Final = Memory(machine)
        self._stops: Final = Stops(machine, self._memory)
        self.tape: Final = Tape() if tape is None else tape
        self._interrupted = False
        self._at_end = False
        self._panic = ""
        self._output = bytearray()
        self.on_slice: Callable[[], None] = lambda: None
        self.on_idle: Callable[[int], None] = lambda until_ticks: None
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

    # --- changing; what fails changes nothing ---

    def set_register(self, pid: int, index: int, value: int) -> bool:
        """Set a register by its number in registers.NAMES; False where that cannot be; raises LookupError."""
        return self.change("set_register", pid, index, value)

    def write(self, pid: int, va: int, data: bytes) -> bool:
        """Store at an address of a process: all of it, or nothing and False; raises LookupError."""
        return self.change("write", pid, va, data)

    def write_physical(self, pa: int, data: bytes) -> bool:
        """Store in RAM; False where there is none."""
        return self.change("write_physical", pa, data)

    def kill(self, pid: int) -> bool:
        """Do as the system call does; False where that fails."""
        return self.change("kill", pid)

    def type(self, keys: bytes) -> None:
        """Type on the console."""
        self.change("type", keys)

    def change(self, name: str, *arguments: Any) -> bool:
        """One of the above, by its name."""
        change = Change(self.moment, name, arguments)
        done = self._do(change)
        if done:
            self.tape.record(change)
        return done

    def _do(self, change: Change) -> bool:
        match change.name, *change.arguments:
            case "set_register", int(pid), int(index), int(value):
                return self._registers.write(self._away(pid), index, value)
            case "write", int(pid), int(va), bytes(data):
                return self._memory.write(self._process(pid), va, data)
            case "write_physical", int(pa), bytes(data):
                return self._memory.write_physical(pa, data)
            case "kill", int(pid):
                return self._kernel.procs.kill(pid) == 0
            case "type", bytes(keys):
                self._machine.type(keys)
                return True
            case ("end",):
                self._at_end = True
                return True
        raise ValueError(f"no such change to a machine: {change}")

    # --- running ---

    def set_places(self, places: Iterable[Place]) -> None:
        """From now on stop at these places, and at no others."""
        self._stops.set_places(places)

    def catch(self, kinds: Iterable[str]) -> None:
        """From now on stop at these events, see events.py; raises ValueError for one that there is not."""
        self._stops.catch(kinds)

    def ask_stop(self) -> None:
        """Make resume or step return; for another thread, a signal handler, or on_slice."""
        self._interrupted = True
        self._machine.ask_stop()

    def resume(self, limit: Moment | int | None = None) -> Stopped:
        """Run until something happens, or until `limit`, a moment or ticks. A place at pc does not count.

        Raises Astray.
        """
        ticks = NEVER if limit is None else limit.ticks if isinstance(limit, Moment) else limit
        begin = self.moment
        self._stops.begin()
        while True:
            stopped = self._run(min(ticks, self.tape.next_ticks), begin)
            if stopped is None:
                continue
            if stopped.why == "asleep" and self.tape.next is not None and self.tape.next_ticks <= ticks:
                self._pass_time()
            elif stopped.why != "limit":
                return stopped
            if (met := self._met(moved=True) or self._to_change()) is not None:
                return met
            if self.moment.ticks >= ticks:
                return self._step_to(limit) if isinstance(limit, Moment) else self._stops.stopped("limit")

    def step(self, n: int = 1, pid: int | None = None, *, limit: int = NEVER) -> Stopped:
        """Make `n` steps: an instruction, a trap's entry, a gate or a wait (not beyond `limit` ticks) each.

        With `pid` only those count that are made for this process; others run meanwhile.
        """
        self._stops.begin()
        for _ in range(n):
            stopped = self._step(limit)
            if stopped is None and pid is not None and self.current != pid:
                stopped = self._run_to(pid)
            if stopped is not None:
                return stopped
        return self._stops.stopped("step")

    def trace(self) -> tuple[Stopped, tuple[PyLine, ...]]:
        """Make one step, and tell which lines of the kernel's Python ran in it."""
        return PyLines().watched(self.step)

    def _run(self, limit: int, begin: Moment) -> Stopped | None:
        """Run once; None where nothing was met that anybody asked for."""
        if self._panic:
            return self._stops.stopped("panic", detail=self._panic)
        try:
            stop = self._machine.run(limit)
        except Exception as error:  # any: the kernel or the hardware has broken a rule of its own
            return self._broken(error)
        self.settle()
        if (met := self._met(moved=self.moment != begin)) is not None:
            return met
        why = {Stop.LIMIT: "limit", Stop.ASLEEP: "asleep"}.get(stop)
        return self._stops.stopped(why) if why is not None else None

    def _step(self, limit: int = NEVER) -> Stopped | None:
        if self._panic:
            return self._stops.stopped("panic", detail=self._panic)
        before, loop, hart = self.moment, self._machine.board.loop, self._hart
        loop.hit = None
        if self._machine.board.exit_code is None:
            try:
                loop.step(min(limit, self.tape.next_ticks))
                self._machine.hub.raise_error()
            except Exception as error:  # any: as above
                return self._broken(error)
            self.settle()
        if (met := self._met(moved=True)) is not None:
            return met
        stuck = hart.waiting and not hart.wakes() and self.moment == before
        if not stuck or self._machine.board.events.next_ticks != NEVER:
            return None
        if self.tape.next is None:
            return self._stops.stopped("asleep")
        self._pass_time()
        return self._met(moved=True)

    def _pass_time(self) -> None:
        """Where all wait, let time pass up to the next change, as who made it did."""
        self._machine.board.clock.advance_to(self.tape.next_ticks)
        self.settle()

    def _step_to(self, moment: Moment) -> Stopped:
        """Step to the one of the moments of this tick that is asked for, or behind them."""
        while self.moment != moment and self.moment.ticks == moment.ticks:
            if self.tape.last is not None and self.tape.last.moment == moment:
                break  # what was done there made it another
            stopped = self._step()
            if stopped is not None:
                return stopped
        return self._stops.stopped("limit")

    def _to_change(self) -> Stopped | None:
        """At the tick of a change, step to its moment, at which it is done."""
        change = self.tape.next
        while change is not None and self.moment.ticks >= change.moment.ticks:
            if self.moment.ticks > change.moment.ticks:
                raise Astray(f"the run passes {change.moment}, where the recording has a change, elsewhere")
            stopped = self._step()
            if stopped is not None:
                return stopped
            change = self.tape.next
        return None

    def _run_to(self, pid: int) -> Stopped | None:
        """Run until the hart works for process `pid` again; None when it does."""
        kinds = self._stops.kinds
        self.catch({*kinds, "switch"})
        try:
            while self._kernel.procs.find(pid) is not None:
                stopped = self.resume()
                if stopped.why != "event" or not stopped.detail.startswith("switch") or "switch" in kinds:
                    return stopped
                if stopped.pid == pid:
                    return None
            return self._stops.stopped("event", detail=f"exit process {pid} has ended")
        finally:
            self.catch(kinds)

    def settle(self) -> None:
        """Let happen what is due now, as the loop would before it goes on, then what is on the tape.

        All that runs ends with it; for who loads a tape.
        """
        hart, board = self._hart, self._machine.board
        board.events.run_due(board.clock.now)
        if hart.waiting and not hart.wakes():
            self._machine.keyboard.pump()
        while (change := self.tape.next) is not None and change.moment == self.moment:
            self.tape.done += 1
            if not self._do(change):
                raise Astray(f"what was done at {change.moment} cannot be done")

    def _met(self, *, moved: bool) -> Stopped | None:
        code = self._machine.board.exit_code
        if code is not None:
            return self._stops.stopped("exit", status=code & 0xFF)
        if self._at_end:
            self._at_end = False
            return self._stops.stopped("end")
        met = self._stops.met(moved=moved)
        if met is None and self._interrupted:
            self._interrupted = False
            return self._stops.stopped("interrupt")
        return met

    def _broken(self, error: Exception) -> Stopped:
        self._panic = postmortem.report(self._machine, error)
        return self._stops.stopped("panic", detail=self._panic)

    # --- as the machine's front ---

    def output(self, pid: int | None, data: bytes) -> None:
        """As Front.output."""
        self._output += data

    def waits(self, p: Proc) -> None:
        """As Front.waits."""

    def idle(self, until_ticks: int) -> bool:
        """As Front.idle: nothing comes from outside while the machine runs."""
        self.on_idle(until_ticks)
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
