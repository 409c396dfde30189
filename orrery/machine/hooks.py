"""Hooks: who watches the kernel, and the events that a script's functions get.

The kernel has room for one observer.  `Hub` is that one and passes everything on: to strace, to the
functions given to `Machine.on`, to the session.  Watchers look and change nothing, so a watched run is the
same run.  An exception in one is kept and raised when the machine has stopped, not in the kernel's midst.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import ClassVar, Final, TypeAlias

from kernel.abi.syscalls import Syscall
from kernel.errors import SyscallError
from kernel.kernel import Kernel
from kernel.observer import Observer
from kernel.proc import Process
from kernel.thread import TF_EPC
from orrery.machine.decode import Decoder, SystemCall


class HookKind(StrEnum):
    """The kinds of events of `Machine.on`; a script may write them as text."""

    SYSCALL = "syscall"
    FAULT = "fault"
    SWITCH = "switch"

    __repr__ = str.__repr__  # a person who prints one sees the text


@dataclass(frozen=True, slots=True)
class SyscallEvent:
    """A system call that has returned; one that never returns (exit) when it begins, with result None.

    `name` is the call's, `process` the process's at the time of the call.  `args` are the raw arguments,
    `text` is what strace prints: the call with decoded arguments and its result.  A process's name is as
    Python has the name of a file: in place of each byte that is not UTF-8 stands a surrogate.
    """

    kind: ClassVar[HookKind] = HookKind.SYSCALL
    time_ps: int
    pid: int
    name: str
    process: str
    args: tuple[int, ...]
    result: int | None
    text: str


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """An exception in user mode: `cause` is scause, `va` stval, `pc` the instruction's address.

    `name` is the process's; `mapped` says that a page was promised there and is now mapped.
    """

    kind: ClassVar[HookKind] = HookKind.FAULT
    time_ps: int
    pid: int
    name: str
    cause: int
    va: int
    pc: int
    mapped: bool


@dataclass(frozen=True, slots=True)
class SwitchEvent:
    """The scheduler chose the process `name` with number `pid`."""

    kind: ClassVar[HookKind] = HookKind.SWITCH
    time_ps: int
    pid: int
    name: str


Event: TypeAlias = SyscallEvent | FaultEvent | SwitchEvent
Hook: TypeAlias = Callable[..., object]


class Watcher:
    """An Observer that looks away; its likes override what they want to see."""

    def syscall_enter(self, p: Process, call: Syscall) -> None: ...

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None: ...

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None: ...

    def switch(self, p: Process) -> None: ...


class CallWatcher(Watcher, ABC):
    """A watcher of whole calls: `called` gets each once, when its result is known.

    The result is None for a call that does not return.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._decoder: Final = Decoder(kernel)
        self._open: Final[dict[int, SystemCall]] = {}  # by pid: calls that have not returned

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        entered = self._decoder.enter(p, call)
        if call.noreturn:
            self.called(entered, None, entered.text("?"))
        else:
            self._open[p.pid] = entered

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        entered = self._open.pop(p.pid, None)
        if entered is not None:  # None: the watcher came in the middle of the call
            self.called(entered, result, self._decoder.leave(p, entered, result))

    @abstractmethod
    def called(self, call: SystemCall, result: int | None, text: str) -> None:
        """A call has ended; `result` is None for one that does not return."""


class HookCaller(CallWatcher):
    """Calls the functions of Machine.on."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._clock: Final = kernel.clock
        self._hooks: Final[dict[str, list[Hook]]] = {kind: [] for kind in HookKind}

    def add(self, kind: str, hook: Hook) -> None:
        """Call `hook` with each event of `kind`."""
        if kind not in self._hooks:
            raise ValueError(f"no events of kind {kind!r}; there are {', '.join(HookKind)}")
        self._hooks[kind].append(hook)

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        if self._hooks[HookKind.SYSCALL]:
            super().syscall_enter(p, call)

    def called(self, call: SystemCall, result: int | None, text: str) -> None:
        name = call.syscall.name
        self._emit(SyscallEvent(self._clock.time_ps, call.pid, name, call.process, call.args, result, text))

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        self._emit(FaultEvent(self._clock.time_ps, p.pid, p.name, scause, va, p.thread.tf[TF_EPC], mapped))

    def switch(self, p: Process) -> None:
        self._emit(SwitchEvent(self._clock.time_ps, p.pid, p.name))

    def _emit(self, event: Event) -> None:
        for hook in self._hooks[event.kind]:
            hook(event)


class Hub(Watcher):
    """The kernel's observer while there is a watcher; `failed()` is called when one raises."""

    def __init__(self, kernel: Kernel, failed: Callable[[], None]) -> None:
        self._kernel: Final = kernel
        self._failed: Final = failed
        self._watchers: tuple[Observer, ...] = ()
        self._error: Exception | None = None

    def add(self, watcher: Observer) -> None:
        """Let `watcher` see what comes."""
        self._watchers = (*self._watchers, watcher)
        self._kernel.hooks.observer = self

    def remove(self, watcher: Observer) -> None:
        """Let `watcher` see no more."""
        self._watchers = tuple(other for other in self._watchers if other is not watcher)
        self._kernel.hooks.observer = self if self._watchers else None

    def clear(self) -> None:
        """Let nobody see any more."""
        self._watchers = ()
        self._kernel.hooks.observer = self._kernel.hooks.on_crash = self._kernel.hooks.on_kill = None

    def guarded(self, tell: Callable[..., None]) -> Callable[..., None]:
        """`tell`, for the kernel to call: what it raises is kept, as what a watcher raises."""
        return partial(self._guard, tell)

    def raise_error(self) -> None:
        """Raise what a watcher raised since the last time, if anything."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        for watcher in self._watchers:
            self._guard(watcher.syscall_enter, p, call)

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        for watcher in self._watchers:
            self._guard(watcher.syscall_exit, p, call, result, error)

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        for watcher in self._watchers:
            self._guard(watcher.fault, p, scause, va, mapped)

    def switch(self, p: Process) -> None:
        for watcher in self._watchers:
            self._guard(watcher.switch, p)

    def _guard(self, tell: Callable[..., None], *what: object) -> None:
        try:
            tell(*what)
        except Exception as error:  # any: it is raised again by raise_error
            self._error = self._error or error
            self._failed()
