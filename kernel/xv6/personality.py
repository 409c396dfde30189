"""xv6's personality: its calls in one of the course's years; a call that fails gives -1, whatever the reason.

A kill is the only thing that interrupts a process, and ends it.
"""

from typing import TYPE_CHECKING, Final

from kernel.abi.syscalls import LOCK_CALLS, table
from kernel.errors import SyscallError
from kernel.personality import Personality, Traits, entries
from kernel.thread import TF_EPC
from kernel.xv6 import lab, sysfile, sysmem, sysproc

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.thread import Thread

HANDLERS: Final = (sysproc, sysfile, sysmem, lab)
FAILED: Final = -1
SHORT_NUMBERS_SINCE: Final = 2024  # until then xv6 printed addresses and causes with all their zeroes
KILLED: Final = -1  # the exit status


class Xv6(Personality):
    """xv6 as the labs of the kernel's year have it."""

    def __init__(self, k: "Kernel") -> None:
        super().__init__(entries(table(k.lab).values(), HANDLERS))
        self._k: Final = k

    def traits(self) -> Traits:
        return lab.LabTraits()

    def error(self, error: SyscallError) -> int:
        return FAILED

    def unknown(self, thread: "Thread", number: int) -> int:
        """There is no such call: say so, and why not where it is one of the course's."""
        absent = [call for call in LOCK_CALLS if call.number == number and self._k.lab in call.years]
        why = "".join(f": {call.missing}" for call in absent)
        p = thread.process
        self._k.printf(f"{p.pid} {p.name}: unknown sys call {number}{why}\n")
        return FAILED

    def exception(self, thread: "Thread", scause: int, va: int) -> None:
        form = "#x" if self._k.lab >= SHORT_NUMBERS_SINCE else "#018x"
        self._k.printf(f"usertrap(): unexpected scause {scause:{form}} pid={thread.process.pid}\n")
        self._k.printf(f"            sepc={thread.tf[TF_EPC]:{form}} stval={va:{form}}\n")
        thread.process.killed = thread.interrupted = True

    def interrupted(self, thread: "Thread") -> None:
        self._k.procs.exit(thread.process, KILLED)
