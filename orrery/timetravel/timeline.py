"""A timeline: a machine under a debugger that can be taken to any moment of its run.

It offers what Target does for a machine in the same process, for one in checkpoint processes: it reads and
changes the machine at the cursor. navigation.py and reverse_search.py move the cursor.  A change at a moment
that is not the newest begins another future: what was recorded after it is dropped.
"""

from orrery.pool.channel import Value
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.mutations import Mutations
from orrery.timetravel.reverse_search import ReverseSearch
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.target import ProcessInfo


class Timeline(ReverseSearch, Mutations):
    """What Target offers, and time. `options` are those of orrery.Machine, as plain values.

    `changes` are to be made to it, each at its moment.  `memory_bytes_max` and `checkpoints_max` limit what
    checkpoints take.  While the machine runs, `on_slice` is called now and then; it may call ask_stop.
    Raises BadInput and its like as Machine does.  Close it after use, or use it in a `with` statement.
    """

    # --- looking, as Target ---

    def processes(self) -> tuple[ProcessInfo, ...]:
        """All processes, in the order of the table."""
        return tuple(ProcessInfo(*one) for one in self._cursor.call("processes"))

    def registers(self, pid: int) -> list[int]:
        """The registers of a process, in the order of registers.NAMES; raises LookupError."""
        known = self._cursor.registers
        if known is not None and pid in (KERNEL, self.current):
            return list(known)
        return list(self._cursor.call("registers", pid))

    def read(self, pid: int, va: int, n: int) -> bytes:
        """Memory of a process, as far as it is mapped; raises LookupError."""
        data: bytes = self._cursor.call("read", pid, va, n)
        return data

    def read_physical(self, pa: int, n: int) -> bytes:
        """RAM, as far as it goes."""
        data: bytes = self._cursor.call("read_physical", pa, n)
        return data

    def program(self, pid: int) -> bytes:
        """The ELF file that a process runs, with its DWARF if that is to be had; raises LookupError."""
        program: bytes = self._cursor.call("program", pid)
        return program

    def program_named(self, name: str) -> bytes:
        """The ELF file that exec would take for this name, in the same way; nothing where there is none."""
        program: bytes = self._cursor.call("program_named", name)
        return program

    @property
    def awaits_keys(self) -> bool:
        """Whether a process waits for a line from the console."""
        return bool(self._cursor.call("awaits_keys"))

    def console_digest(self) -> str:
        """As Machine.console_digest."""
        digest: str = self._cursor.call("console_digest")
        return digest

    def page_sums(self) -> memoryview:
        """A checksum of each page of RAM."""
        return memoryview(self._cursor.call("page_sums")).cast("I")

    def monitor(self, line: str) -> str:
        """The answer of the console monitor to a command."""
        answer: str = self._cursor.call("monitor", line)
        return answer

    def digest(self) -> str:
        """As Machine.digest: of all that the machine is."""
        digest: str = self._cursor.call("digest")
        return digest

    # --- changing, as Target; another future begins ---

    def change(self, name: ChangeKind, *arguments: Value) -> bool:
        """As Mutations.change."""
        before = self.moment
        done, count = self._cursor.call("change", name, arguments)
        if done:
            self._checkpoints.forget_after(before)
            self._changes[count - 1 :] = [Change(before, name, arguments)]
            self._future += 1
            self._cursor.future = self._future
            self._step_history = []
        return bool(done)
