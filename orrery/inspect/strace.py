"""strace: a line for every system call, `PID NAME: call(args) = result`.

Made by the command line for --strace.  A call is printed when it has returned, so lines are in the order
of returns; exit is printed when it begins, and what has not returned when the machine is switched off is
printed then, both with the result `?`.
"""

from collections.abc import Callable
from typing import Final

from kernel.kernel import Kernel
from orrery.machine.decode import SystemCall
from orrery.machine.hooks import CallWatcher
from toolchain.names import shown


class Strace(CallWatcher):
    """Watches the calls of `kernel`; `write` gets each line, with its newline."""

    def __init__(self, kernel: Kernel, write: Callable[[str], object]) -> None:
        super().__init__(kernel)
        self._write: Final = write

    def called(self, call: SystemCall, result: int | None, text: str) -> None:
        self._write(f"{call.pid} {shown(call.process)}: {text}\n")

    def finish(self) -> None:
        """Print the calls that will not return any more, in the order in which they began."""
        for call in self._open.values():
            self._write(f"{call.pid} {shown(call.process)}: {call.text('?')}\n")
        self._open.clear()
