"""Events of the kernel at which a debugger can stop.

    fork    a process has a new child           fault    an exception in user mode, deadly or not
    exec    a process runs another program      crash    one that kills the process
    exit    a process is about to end           switch   the scheduler chose a process
    syscall a process makes a system call; syscall:NAME only that one
    end     a process ends, or is about to: it exits, crashes, or has been killed; the text ends in its status
    free    a page frame has lost its last owner; free:NUMBER only that one

The machine stops behind the gate in which it happened.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from emu.ram import RAM_BASE
from kernel.abi.memlayout import PGSHIFT
from kernel.abi.syscalls import SYSCALLS, Syscall
from kernel.errors import SyscallError
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.thread import TF_A0
from orrery.machine import python_breakpoints
from orrery.machine.frame_release import FrameReleases
from orrery.machine.hooks import Watcher
from toolchain.names import shown


class EventKind(StrEnum):
    """The kinds, in the order in which they are listed for a person."""

    FORK = "fork"
    EXEC = "exec"
    EXIT = "exit"
    FAULT = "fault"
    CRASH = "crash"
    SWITCH = "switch"
    END = "end"
    SYSCALL = "syscall"
    FREE = "free"

    __repr__ = str.__repr__  # a person who prints one sees the text


KINDS: Final = tuple(EventKind)
KILLED: Final = 0xFF  # the status of a process that did not exit by itself


class Happening(NamedTuple):
    """What happened: a kind (an EventKind, syscall:NAME, free:NUMBER), to which process, and a few words."""

    kind: str
    pid: int
    text: str


class Catcher(Watcher):
    """Tells `caught` of each event of the `kinds` in `kernel`; they may be changed at any time."""

    def __init__(self, kernel: Kernel, caught: Callable[[Happening], None]) -> None:
        self._kernel: Final = kernel
        self._caught: Final = caught
        self._kinds: frozenset[str] = frozenset()
        self._freeing: Final = FrameReleases(kernel.frames, self._freed)

    @property
    def kinds(self) -> frozenset[str]:
        """What is told; those of check."""
        return self._kinds

    @kinds.setter
    def kinds(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        self._freeing.on = any(kind.partition(":")[0] == EventKind.FREE for kind in kinds)

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        self._tell(f"{EventKind.SYSCALL}:{call.name}", p, f"{p} calls {call.name}")
        if call.noreturn:
            self._tell(EventKind.EXIT, p, f"{p} calls {call.name}")
            self._end(p, p.thread.tf[TF_A0] & 0xFF)

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        if call.name == "fork" and result > 0:
            self._tell(EventKind.FORK, p, f"{p} has a child, process {result}")
        elif call.name == "exec" and result >= 0:
            self._tell(EventKind.EXEC, p, f"process {p.pid} runs {shown(p.name)}")
        if p.killed:
            self._end(p, KILLED)

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        what = f"exception {scause} at {va:#x} in {p}"
        self._tell(EventKind.FAULT, p, f"{what}: {'its page is mapped now' if mapped else 'it is killed'}")
        if not mapped:
            self._tell(EventKind.CRASH, p, f"{what}: it is killed")
            self._end(p, KILLED)

    def switch(self, p: Process) -> None:
        self._tell(EventKind.SWITCH, p, f"the scheduler chose {p}")
        if p.killed:
            self._end(p, KILLED)

    def _freed(self, pa: int, size: int) -> None:
        p = self._kernel.sched.process
        frames = {f"{EventKind.FREE}:{number:#x}" for number in range(pa >> PGSHIFT, pa + size >> PGSHIFT)}
        kind = min(frames & self.kinds, default=f"{EventKind.FREE}:{pa >> PGSHIFT:#x}")
        by = f", given back by {p}" if p is not None else ""
        if EventKind.FREE in self.kinds or kind in self.kinds:
            frame = int(kind.partition(":")[2], 16) << PGSHIFT
            self._caught(Happening(kind, p.pid if p is not None else 0, f"frame {frame:#x} is free{by}"))

    def _end(self, p: Process, status: int) -> None:
        self._tell(EventKind.END, p, f"{p} ends with status {status}")

    def _tell(self, kind: str, p: Process, text: str) -> None:
        if kind in self.kinds or kind.partition(":")[0] in self.kinds:
            self._caught(Happening(str(kind), p.pid, text))


def check(kinds: Iterable[str]) -> None:
    """Raise ValueError where one of `kinds` is no event."""
    calls = {f"{EventKind.SYSCALL}:{call.name}" for call in SYSCALLS}
    unknown = [kind for kind in kinds if not (kind in KINDS or kind in calls or _is_more(kind))]
    if unknown:
        raise ValueError(f"no such event: {', '.join(unknown)}; there are {', '.join(KINDS)}")


def named(words: Sequence[str]) -> list[str]:
    """The events that a person means by these words: their kinds, `syscall NAME`, `free FRAME`.

    A frame is meant by its number, or by a physical address in it. Raises ValueError.
    """
    found: list[str] = []
    rest = list(words)
    while rest:
        kind = rest.pop(0)
        if kind == EventKind.SYSCALL and rest and rest[0] not in KINDS:
            kind = f"{EventKind.SYSCALL}:{rest.pop(0)}"
        elif kind == EventKind.FREE and rest and rest[0][:1].isdigit():
            kind = f"{EventKind.FREE}:{frame_number(rest.pop(0)):#x}"
        found.append(kind)
    check(found)
    return found


def frame_number(word: str) -> int:
    """The number of the frame that a number, or a physical address, means; raises ValueError."""
    try:
        value = int(word, 0)
    except ValueError:
        raise ValueError(f"{word}: give the number of a page frame, or a physical address") from None
    return value >> PGSHIFT if value >= RAM_BASE else value


def _is_more(kind: str) -> bool:
    """Whether it is one of a certain frame, or a breakpoint in the kernel's Python."""
    return (
        python_breakpoints.is_kind(kind) or re.fullmatch(rf"{EventKind.FREE}:0x[0-9a-f]+", kind) is not None
    )
