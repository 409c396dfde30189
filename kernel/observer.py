"""Observers of the kernel: strace, a machine's hooks, crash reports. An observer must change nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from kernel.abi.syscalls import Syscall
from kernel.errors import SyscallError

if TYPE_CHECKING:
    from kernel.proc import Process


class Observer(Protocol):
    """Sees what processes do."""

    def syscall_enter(self, p: "Process", call: Syscall) -> None:
        """Before the call is carried out; its arguments are in the trapframe."""

    def syscall_exit(self, p: "Process", call: Syscall, result: int, error: SyscallError | None) -> None:
        """After it, with the error if it failed; a call that does not return (exit) does not come here."""

    def fault(self, p: "Process", scause: int, va: int, mapped: bool) -> None:
        """An exception in user mode; `mapped`: it was a page to be mapped, and the process goes on."""

    def switch(self, p: "Process") -> None:
        """The scheduler chose `p`."""


class Hooks:
    """What is called where something happens, all None until the workbench sets it.

    `on_crash` is called when a process is killed for an exception (scause, stval), and `on_kill` when one
    kills another: with the victim first.
    """

    def __init__(self) -> None:
        self.observer: Observer | None = None
        self.on_crash: Callable[[Process, int, int], None] | None = None
        self.on_kill: Callable[[Process, Process], None] | None = None
