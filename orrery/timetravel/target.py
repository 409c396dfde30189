"""A target: a machine under a debugger, in the machine's own process, going forward only.

Here is what a debugger does with a machine that stands still; execution.py runs it.  Used by the gdb server,
and by checkpoint_server.py for a timeline.  Nothing here changes the run, except for the operations of
mutations.py, which are recorded in the input log.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kernel.abi.ps import STATE_NAMES
from kernel.errors import SyscallError
from kernel.proc import Process
from orrery.inspect.stacks import Programs
from orrery.timetravel.execution import Execution
from orrery.timetravel.input_log import Change, ChangeKind, InputLog
from orrery.timetravel.mutations import Mutations
from orrery.timetravel.python_trace import PythonLine, PythonTrace, PythonValue
from orrery.timetravel.registers import ProcessRegisters
from orrery.timetravel.stops import KERNEL, Stopped

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

__all__ = ["KERNEL", "ProcessInfo", "Stopped", "Target", "name_of"]


class ProcessInfo(NamedTuple):
    """A process; `current`: the hart works for it."""

    pid: int
    name: str
    state: str
    parent: int
    current: bool


def name_of(processes: Iterable[ProcessInfo], pid: int) -> str:
    """The name of process `pid`; empty where there is none."""
    return next((one.name for one in processes if one.pid == pid), "")


class Target(Execution, Mutations):
    """`machine` under a debugger. Changes of `input_log` that are not applied yet are, at their moments."""

    def __init__(self, machine: "Machine", input_log: InputLog | None = None) -> None:
        super().__init__(machine, InputLog() if input_log is None else input_log)
        self._registers: Final = ProcessRegisters(machine)
        machine.front = self

    def waits(self, p: Process) -> None:
        """As Front.waits: there is no user here."""

    # --- looking ---

    def pids(self) -> tuple[int, ...]:
        """The numbers of all processes, in the order of the table."""
        return tuple([p.pid for p in self._kernel.procs])

    def processes(self) -> tuple[ProcessInfo, ...]:
        """All processes, in the order of the table."""
        current = self._kernel.sched.process
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

    def executes(self, pid: int, va: int) -> bool:
        """Whether the program of a process may execute what is at `va`; raises LookupError."""
        process = self._process(pid)
        return process is None or self._memory.executes(process, va)

    def read_physical(self, pa: int, n: int) -> bytes:
        """RAM, as far as it goes."""
        return self._memory.read_physical(pa, n)

    def monitor(self, line: str) -> str:
        """The answer of the console monitor to a command."""
        from orrery.inspect.monitor import Monitor

        return Monitor(self._machine).execute(line)

    def program(self, pid: int) -> bytes:
        """The ELF file that a process runs, with its DWARF if that is to be had; raises LookupError."""
        p = self._process(pid)
        return Programs(self._machine).file(p) if p is not None else b""

    def program_named(self, name: str) -> bytes:
        """The ELF file that exec would take for this name, in the same way; nothing where there is none."""
        return Programs(self._machine).named(name)

    @property
    def awaits_keys(self) -> bool:
        """Whether a process waits for a line from the console."""
        return bool(self._kernel.console.readers)

    def digest(self) -> str:
        """As Machine.digest."""
        return self._machine.digest()

    # --- changing; what fails changes nothing ---

    def change(self, name: ChangeKind, *arguments: Any) -> bool:
        """As Mutations.change."""
        change = Change(self.moment, name, arguments)
        done = self._do(change)
        if done:
            self.input_log.record(change)
        return done

    def _do(self, change: Change) -> bool:
        match change.name, *change.arguments:
            case ChangeKind.SET_REGISTER, int(pid), int(index), int(value):
                return self._registers.write(self._away(pid), index, value)
            case ChangeKind.WRITE, int(pid), int(va), bytes(data):
                return self._told(self._memory.write(self._process(pid), va, data))
            case ChangeKind.WRITE_PHYSICAL, int(pa), bytes(data):
                return self._told(self._memory.write_physical(pa, data))
            case ChangeKind.KILL, int(pid):
                try:
                    self._kernel.procs.kill(pid)
                except SyscallError:
                    return False
                return True
            case ChangeKind.TYPE, bytes(keys):
                self._machine.type(keys)
                return True
            case (ChangeKind.END,):
                self.input_log.ended = True
                return True
        raise ValueError(f"no such change to a machine: {change}")

    def _told(self, done: bool) -> bool:
        """`done`: what a debugger writes is no write that it is to be told of."""
        self._stops.remember_places()
        return done

    def trace(self) -> tuple[Stopped, tuple[PythonLine, ...]]:
        """Make one step, and tell which lines of the kernel's Python ran in it."""
        trace = PythonTrace(self._stops.kinds)
        try:
            return self._stops.traced(trace, self.step), trace.lines
        finally:
            trace.forget_frames()

    def python_value(self, file: str, line: int, nth: int, up: int, expression: str) -> str:
        """Make one step, and evaluate an expression of Python at a line of it; see PythonValue.

        Raises ValueError.
        """
        try:
            watcher = PythonValue(file, line, nth, up, compile(expression, "<print>", "eval"))
        except SyntaxError as error:
            raise ValueError(f"{expression!r} is no expression of Python: {error.msg}") from None
        self._stops.traced(watcher, self.step)
        return watcher.value

    # --- processes by number ---

    def _process(self, pid: int) -> Process | None:
        """The process; None for the kernel; raises LookupError."""
        if pid == KERNEL:
            return None
        p = self._kernel.procs.find(pid)
        if p is None:
            raise LookupError(f"no process {pid}")
        return p

    def _away(self, pid: int) -> Process | None:
        """The process, or None where the hart's registers are its: it is the current one, or the kernel."""
        return None if pid == self.current else self._process(pid)
