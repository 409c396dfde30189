"""What a program takes the kernel for: its table of calls, and how the kernel's answers look to it.

A personality is chosen for a process when its program is loaded.  The dispatcher (kernel/syscall.py) finds
there what a number means, and asks it for the word that stands for a result or an error; the objects of the
kernel know none of this.  What a personality keeps for each process is its Traits.  The first one is xv6's
(kernel/xv6/personality.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

from kernel.abi.kinds import Kind, Str
from kernel.abi.syscalls import Syscall
from kernel.errors import SyscallError

Process: TypeAlias = Any
"""kernel.proc.Process, and likewise Thread: they stand above, for a process has a personality."""
Thread: TypeAlias = Any


class CallWatch(Protocol):
    """Sees the calls of a process, before and after each; `admit` may refuse one by SyscallError."""

    def admit(self, k: Any, p: Process, call: Syscall) -> None: ...

    def returned(self, k: Any, p: Process, call: Syscall, result: int) -> None: ...


class Traits:
    """What a personality keeps for one process."""

    watch: CallWatch | None = None

    def forked(self) -> "Traits":
        """That of a child."""
        return Traits()

    def on_exec(self) -> None:
        """The process runs another program."""

    def on_tick(self, thread: Thread) -> None:
        """A tick found `thread`, of this process, in user mode."""


class Entry:
    """A call with its handler, and how the dispatcher gets its arguments.

    `registers` unpacks a0 and so on as the kinds of the arguments ask; `strings` are those of them that are
    strings: index and size.
    """

    __slots__ = ("call", "handler", "kinds", "registers", "strings")

    def __init__(self, call: Syscall, handler: Callable[..., int]) -> None:
        self.call: Final = call
        self.handler: Final = handler
        self.kinds: Final[tuple[Kind, ...]] = tuple(arg.kind for arg in call.args)
        self.registers: Final = Struct("<" + "".join(kind.REGISTER for kind in self.kinds))
        kinds = enumerate(self.kinds)
        self.strings: Final = tuple((i, kind.size) for i, kind in kinds if isinstance(kind, Str))


def entries(calls: Iterable[Syscall], modules: Sequence[ModuleType]) -> dict[int, Entry]:
    """The table of `calls` by number; the handler of each is the function sys_NAME of one of `modules`."""
    table = {}
    for call in calls:
        name = f"sys_{call.name}"
        found = [getattr(module, name) for module in modules if hasattr(module, name)]
        assert len(found) == 1, f"{name} is defined once"
        table[call.number] = Entry(call, found[0])
    return table


class Personality(ABC):
    """`table` are its calls, by number."""

    def __init__(self, table: dict[int, Entry]) -> None:
        self.table: Final = table

    def traits(self) -> Traits:
        """Those of a process that begins."""
        return Traits()

    @abstractmethod
    def error(self, error: SyscallError) -> int:
        """The result that a program sees of a call that has failed."""

    @abstractmethod
    def unknown(self, thread: Thread, number: int) -> int:
        """The result of a call that is not in the table."""

    @abstractmethod
    def exception(self, thread: Thread, scause: int, va: int) -> None:
        """`thread` has done what the hart cannot do, and no page was promised at `va`."""

    @abstractmethod
    def interrupted(self, thread: Thread) -> None:
        """Attend to what interrupted `thread`, before it goes to user mode. It may not return."""
