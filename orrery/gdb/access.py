"""The packets that read and write registers and memory of the process that gdb has chosen.

    g, G    all general registers      m    memory              X    store bytes
    p, P    one, by gdb's number       M    store, in hexadecimal

Called by stub.py while the machine stands still.  The registers of a process need not be the hart's: of a
process that has been killed they are its program's, at the wrong access, and of the scheduler's thread those
in its saved context.  Each function raises Refused, or LookupError where the process has gone.
"""

from typing import Final

from emu.cpu.hart import USER
from kernel.abi.memlayout import KERNBASE
from kernel.abi.ps import SLEEPING, STATE_NAMES
from orrery.gdb.errors import EBUSY, EFAULT, EINVAL, Refused, extent, number, unhex
from orrery.gdb.inferiors import Inferiors
from orrery.gdb.packet import MEMORY_BYTES_MAX, OK
from orrery.gdb.runner import Runner
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.target_description import GENERAL_COUNT, NUMBERS, words
from orrery.gdb.timeline_session import TimelineSession
from orrery.inspect.dwarf import RA
from orrery.timetravel.registers import PC, PRIV
from orrery.timetravel.target import KERNEL

WORD_BYTES: Final = 8
ASLEEP: Final = STATE_NAMES[SLEEPING]


class Access:
    """To the machine of `session`, for the client that `inferiors` and `runner` are of."""

    def __init__(
        self, session: TimelineSession, inferiors: Inferiors, symbols: SymbolFiles, runner: Runner
    ) -> None:
        self._session: Final = session
        self._inferiors: Final = inferiors
        self._symbols: Final = symbols
        self._runner: Final = runner

    # --- registers ---

    def _registers(self) -> list[int]:
        """Those of the chosen process; of one that has ended, and that gdb still shows, zeroes."""
        pid = self._inferiors.subject()
        if not self._inferiors.has(pid) and pid in self._inferiors.known:
            return [0] * len(NUMBERS)
        values = self._session.registers(pid)
        if pid == self._runner.stop_replies.crashed != KERNEL:
            values = self._symbols.user_registers(pid, values)
        if pid == KERNEL and self._inferiors.current() != KERNEL:
            values = self._symbols.scheduler_registers(values)
        return [values[number] for number in NUMBERS]

    def read_general(self, rest: bytes) -> bytes:
        if self._inferiors.subject() == self._inferiors.current() and not self._runner.follows:
            self._runner.seen()
        return words(self._registers()[:GENERAL_COUNT])

    def write_general(self, rest: bytes) -> bytes:
        data = unhex(rest)
        if len(data) % WORD_BYTES or len(data) > len(NUMBERS) * WORD_BYTES:
            raise Refused(EINVAL)
        before = self._registers()
        for index, at in enumerate(range(0, len(data), WORD_BYTES)):
            value = int.from_bytes(data[at : at + WORD_BYTES], "little")
            if value != before[index]:
                self._write(index, value)
        return OK

    def read_one(self, rest: bytes) -> bytes:
        index = number(rest)
        if index >= len(NUMBERS):
            raise Refused(EINVAL)
        return words([self._registers()[index]])

    def write_one(self, rest: bytes) -> bytes:
        index, _, value = rest.partition(b"=")
        data = unhex(value)
        if len(data) != WORD_BYTES or number(index) >= len(NUMBERS):
            raise Refused(EINVAL)
        self._write(number(index), int.from_bytes(data, "little"))
        return OK

    def _write(self, index: int, value: int) -> None:
        if value < KERNBASE and NUMBERS[index] in (PC, RA) and self._begins_call(NUMBERS[index], value):
            raise Refused(EBUSY)
        if not self._session.set_register(self._inferiors.subject(), NUMBERS[index], value):
            raise Refused(EINVAL)

    def _begins_call(self, register: int, value: int) -> bool:
        """Whether this is to begin a function in a process that is in a trap, or waits in one.

        Its program goes on from there alone.  gdb writes ra first, with the place on the stack to return
        to, and puts everything back as it was where that is refused; behind it, it does not.
        """
        pid = self._inferiors.subject()
        if register == RA and (pid == KERNEL or self._session.executes(pid, value)):
            return False
        if pid == self._inferiors.current():
            return pid != KERNEL and self._session.registers(pid)[PRIV] != USER
        return any(one.pid == pid and one.state == ASLEEP for one in self._session.processes())

    # --- memory ---

    def read_memory(self, rest: bytes) -> bytes:
        va, n = extent(rest)
        # Before it can step, gdb wants to read the stack of a process that has ended.
        if self._runner.moved and not self._inferiors.has(self._inferiors.subject()):
            return bytes(min(n, MEMORY_BYTES_MAX)).hex().encode()
        data = self._session.read(self._inferiors.subject(), va, min(n, MEMORY_BYTES_MAX))
        if n and not data:
            raise Refused(EFAULT)
        return data.hex().encode()

    def write_hex(self, rest: bytes) -> bytes:
        where, _, text = rest.partition(b":")
        return self._store(where, unhex(text))

    def write_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._store(where, data)

    def _store(self, where: bytes, data: bytes) -> bytes:
        va, n = extent(where)
        if n != len(data):
            raise Refused(EINVAL)
        if n and not self._session.write(self._inferiors.subject(), va, data):
            raise Refused(EFAULT)
        return OK
