"""The lines that a shell is given: what the person at the console had it do.

Used by watch_child.py, so that the lines can be typed again after the next boot.
"""

from collections.abc import Callable
from typing import Final

from kernel.abi.syscalls import Syscall
from kernel.errors import SyscallError
from kernel.proc import Process
from kernel.thread import TF_A1
from orrery.machine.decode import Decoder
from orrery.machine.hooks import Watcher
from orrery.machine.machine import Machine


class GivenLines(Watcher):
    """Calls `given(line)` with each line that the shell of `machine` reads, but for empty ones."""

    def __init__(self, machine: Machine, given: Callable[[bytes], None]) -> None:
        self._machine: Final = machine
        self._given: Final = given
        self._decoder: Final = Decoder(machine.kernel)
        self._unfinished = b""  # some shells read a byte at a time

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        if call.name != "read" or result <= 0 or not self._machine.is_shell(p.pid):
            return
        data = self._unfinished + self._decoder.peek(p, p.thread.tf[TF_A1], result)
        *lines, self._unfinished = data.split(b"\n")
        for line in lines:
            if line.strip():
                self._given(line)
