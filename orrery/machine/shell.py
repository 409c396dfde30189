"""The shell of a machine: which process it is, and whether it waits for a line.

Nothing marks a shell but what it does: it is the child of init that reads from the console first.  One that
has ended is followed by the next.  Used by Machine, which tells of each process that waits for a line.
"""

from typing import Final

from kernel.abi.ps import RUNNABLE, UNUSED, ZOMBIE
from kernel.dev.console import Console
from kernel.proc import INIT_PID, Process


class Shell:
    """Of the machine with this console; none is ever `expected` where init runs one program and no shell."""

    def __init__(self, console: Console, *, expected: bool) -> None:
        self._console: Final = console
        self._expected: Final = expected
        self._process: Process | None = None
        self.pid = 0  # none yet

    def reads(self, p: Process) -> None:
        """`p` reads from the console: it is the shell if there is none, and init started it."""
        if self._expected and not self.lives and p.parent is not None and p.parent.pid == INIT_PID:
            self._process, self.pid = p, p.pid

    @property
    def lives(self) -> bool:
        """Whether there is one now: its slot in the table may be another process's by now."""
        shell = self._process
        return shell is not None and shell.pid == self.pid and shell.state not in (UNUSED, ZOMBIE)

    @property
    def waits(self) -> bool:
        """Whether it sleeps until a line comes; one that was woken is a reader until its next turn."""
        return any(p.pid == self.pid and p.state != RUNNABLE for p in self._console.readers)

    @property
    def reaped_status(self) -> int:
        """Exit status, 0 to 255, of the child that it reaped last; 0 if it has reaped none."""
        status = self._process.reaped_status if self._process is not None and self.lives else None
        return (status or 0) & 0xFF
