"""The system-call dispatcher: from the registers in a trapframe to a handler, and its result back.

The process's personality says what a number means and how a failure looks.  Each argument is fetched as its
kind (kernel/abi/kinds.py) asks: what its register holds, or for a string the bytes there.  Whatever a program
passes, a handler either returns an int or raises SyscallError, whose code stays with it up to here: observers
see the code, the program what its personality makes of it.
"""

from typing import Any, Final

from kernel.abi.syscalls import Syscall, c_int
from kernel.errors import SyscallError
from kernel.mm.usercopy import UserCopy
from kernel.observer import Hooks
from kernel.personality import Entry
from kernel.thread import TF_A0, TF_A7, Thread

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1
AT_A0: Final = 8 * TF_A0  # bytes into a trapframe


class Dispatcher:
    """Carries out system calls. `k` is what every handler gets first."""

    def __init__(self, k: Any, usercopy: UserCopy, hooks: Hooks) -> None:
        self._k = k
        self._usercopy: Final = usercopy
        self._hooks: Final = hooks

    def dispatch(self, thread: Thread) -> None:
        """Do the call that the trapframe of `thread` asks for and leave its result in a0."""
        p, tf = thread.process, thread.tf
        entry = p.personality.table.get(tf[TF_A7] & MASK32)
        if entry is None:
            tf[TF_A0] = p.personality.unknown(thread, c_int(tf[TF_A7])) & MASK64
            return
        error: SyscallError | None = None
        watched = self._hooks.observer is not None or p.traits.watch is not None
        try:
            if watched:
                self._enter(thread, entry.call)
            if entry.kinds:
                args = entry.registers.unpack_from(tf, AT_A0)
                if entry.strings:
                    args = self._with_strings(thread, entry, args)
                result = entry.handler(self._k, p, *args)
            else:
                result = entry.handler(self._k, p)
        except SyscallError as failure:
            error, result = failure, p.personality.error(failure)
        tf[TF_A0] = result & MASK64
        if watched or p.traits.watch is not None:
            self._leave(thread, entry.call, result, error)

    def _with_strings(self, thread: Thread, entry: Entry, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with the bytes of strings in place of their addresses; raises BadAddress."""
        fetched, space = list(args), thread.process.space
        for i, size in entry.strings:
            fetched[i] = self._usercopy.copyinstr(space, fetched[i], size)
        return tuple(fetched)

    def _enter(self, thread: Thread, call: Syscall) -> None:
        p = thread.process
        if self._hooks.observer is not None:
            self._hooks.observer.syscall_enter(p, call)
        if p.traits.watch is not None:
            p.traits.watch.admit(self._k, p, call)

    def _leave(self, thread: Thread, call: Syscall, result: int, error: SyscallError | None) -> None:
        p = thread.process
        if p.traits.watch is not None:
            p.traits.watch.returned(self._k, p, call, result)
        if self._hooks.observer is not None:
            self._hooks.observer.syscall_exit(p, call, result, error)
