"""The system-call dispatcher: from the registers in a trapframe to a handler, and its result back.

Made from the table in kernel/abi/syscalls.py: each call's handler is the function `sys_<name>` of one of
the modules in HANDLERS, and each argument is fetched as its kind there says.  Whatever a program passes, a
handler either returns an int or raises SyscallError, which the program sees as -1.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kernel.abi.param import MAXPATH
from kernel.abi.syscalls import LOCK_CALLS, Syscall, c_int, table
from kernel.errors import SyscallError
from kernel.proc import Proc
from kernel.thread import TF_A0, TF_A7
from kernel.xv6 import lab, sysfile, sysmem, sysproc

if TYPE_CHECKING:
    from kernel.kernel import Kernel

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1
HANDLERS: Final = (sysproc, sysfile, sysmem, lab)

Fetch: TypeAlias = "Callable[[Kernel, Proc, int], Any]"


def _fetch_int(k: "Kernel", p: Proc, word: int) -> int:
    return c_int(word)


def _fetch_word(k: "Kernel", p: Proc, word: int) -> int:
    return word


def _fetch_str(k: "Kernel", p: Proc, word: int) -> bytes:
    return k.usercopy.copyinstr(p.space, word, MAXPATH)


FETCH: Final[dict[str, Fetch]] = {
    "int": _fetch_int,
    "fd": _fetch_int,
    "str": _fetch_str,
}  # everything else is a whole word


class _Entry:
    """A call with its handler and its arguments' fetchers."""

    __slots__ = ("call", "fetch", "handler")

    def __init__(self, call: Syscall) -> None:
        self.call = call
        name = f"sys_{call.name}"
        found = [getattr(module, name) for module in HANDLERS if hasattr(module, name)]
        assert len(found) == 1, f"{name} is defined once"
        self.handler: Callable[..., int] = found[0]
        self.fetch = tuple((TF_A0 + i, FETCH.get(arg.kind, _fetch_word)) for i, arg in enumerate(call.args))


class Dispatcher:
    """Carries out system calls for `k`."""

    def __init__(self, k: "Kernel") -> None:
        self._k = k
        self._table: Final = {number: _Entry(call) for number, call in table(k.lab).items()}

    def dispatch(self, p: Proc) -> None:
        """Do the call that the trapframe of `p` asks for and leave its result in a0."""
        k, tf = self._k, p.thread.tf
        entry = self._table.get(tf[TF_A7] & MASK32)
        if entry is None:
            self._unknown(p, c_int(tf[TF_A7]))
            return
        watched = k.observer is not None or p.watch is not None
        try:
            if watched:
                self._enter(p, entry.call)
            if entry.fetch:
                result = entry.handler(k, p, *[fetch(k, p, tf[i]) for i, fetch in entry.fetch])
            else:
                result = entry.handler(k, p)
        except SyscallError:
            result = -1
        tf[TF_A0] = result & MASK64
        if watched or p.watch is not None:
            self._leave(p, entry.call, result)

    def _unknown(self, p: Proc, number: int) -> None:
        """There is no such call: say so, and why not where it is one of the course's."""
        absent = [call for call in LOCK_CALLS if call.number == number and self._k.lab in call.years]
        why = "".join(f": {call.missing}" for call in absent)
        self._k.printf(f"{p.pid} {p.name}: unknown sys call {number}{why}\n")
        p.thread.tf[TF_A0] = MASK64

    def _enter(self, p: Proc, call: Syscall) -> None:
        if self._k.observer is not None:
            self._k.observer.syscall_enter(p, call)
        if p.watch is not None:
            p.watch.admit(self._k, p, call)

    def _leave(self, p: Proc, call: Syscall, result: int) -> None:
        if p.watch is not None:
            p.watch.returned(self._k, p, call, result)
        if self._k.observer is not None:
            self._k.observer.syscall_exit(p, call, result)
