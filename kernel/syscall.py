"""The system-call dispatcher: from the registers in a trapframe to a handler, and its result back.

The process's personality says what a number means and how a failure looks.  Each argument is fetched as its
kind (kernel/abi/kinds.py) asks.  Whatever a program passes, a handler either returns an int or raises
SyscallError, whose code stays with it up to here: observers see the code, the program what its personality
makes of it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kernel.abi import kinds
from kernel.abi.kinds import Kind
from kernel.abi.syscalls import Syscall, c_int
from kernel.errors import SyscallError
from kernel.mm.usercopy import UserCopy
from kernel.observer import Hooks
from kernel.personality import Entry
from kernel.thread import TF_A0, TF_A7, Thread

if TYPE_CHECKING:
    from kernel.proc import Process

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1

Fetch: TypeAlias = "Callable[[UserCopy, Process, Kind, int], Any]"


def _fetch_int(usercopy: UserCopy, p: "Process", kind: Kind, word: int) -> int:
    return c_int(word)


def _fetch_word(usercopy: UserCopy, p: "Process", kind: Kind, word: int) -> int:
    return word


def _fetch_str(usercopy: UserCopy, p: "Process", kind: Kind, word: int) -> bytes:
    assert isinstance(kind, kinds.Str), "the table goes by classes"
    return usercopy.copyinstr(p.space, word, kind.size)


FETCH: Final[dict[type[Kind], Fetch]] = {
    **dict.fromkeys((kinds.Int, kinds.Fd, kinds.Flags), _fetch_int),
    **dict.fromkeys((kinds.Word, kinds.Argv, kinds.Bytes, kinds.Out, kinds.OutBytes), _fetch_word),
    **dict.fromkeys((kinds.OutInts, kinds.OutStat, kinds.OutProcesses), _fetch_word),
    kinds.Str: _fetch_str,
}
"""What a handler gets, by the class of an argument's kind."""


def _fetches(entry: Entry) -> tuple[tuple[Fetch, Kind, int], ...]:
    """How to fetch each argument of a call, and the word of the trapframe that has it."""
    entry.fetches = fetches = tuple((FETCH[type(kind)], kind, i) for i, kind in enumerate(entry.kinds, TF_A0))
    return fetches


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
                usercopy, fetches = self._usercopy, entry.fetches or _fetches(entry)
                args = [fetch(usercopy, p, kind, tf[i]) for fetch, kind, i in fetches]
                result = entry.handler(self._k, p, *args)
            else:
                result = entry.handler(self._k, p)
        except SyscallError as failure:
            error, result = failure, p.personality.error(failure)
        tf[TF_A0] = result & MASK64
        if watched or p.traits.watch is not None:
            self._leave(thread, entry.call, result, error)

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
