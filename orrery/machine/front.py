"""Who sits at a machine's console, as the machine sees it: a script, a terminal, a file, or a debugger."""

from typing import Protocol

from kernel.proc import Process


class Front(Protocol):
    """Called by the machine while it runs; must not run it."""

    def output(self, pid: int | None, data: bytes) -> None:
        """The console shows `data`, written by process `pid` (ECHO: echo of keys, None: the kernel)."""

    def waits(self, p: Process) -> None:
        """`p` begins to wait for a line from the console."""

    def idle(self, until_ticks: int) -> bool:
        """The hart waits, and nothing happens before `until_ticks`; say whether something was done.

        False where all waits for ever means that this will not change.
        """

    def slice(self) -> None:
        """Some time has passed in which the hart ran."""


class EndingFront(Front, Protocol):
    """One that may end the run: `status` is then the exit status."""

    status: int | None
