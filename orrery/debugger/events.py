"""Events of the kernel at which a debugger can stop.

    fork    a process has a new child           fault    an exception in user mode, deadly or not
    exec    a process runs another program      crash    one that kills the process
    exit    a process is about to end           switch   the scheduler chose a process
    syscall a process makes a system call; syscall:NAME only that one
    end     a process ends, or is about to: it exits, crashes, or has been killed; the text ends in its status

The machine stops behind the gate in which it happened.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from kernel.abi.syscalls import SYSCALLS, Syscall
from kernel.proc import TF_A0, Proc
from orrery.debugger import pystops
from orrery.hooks import Watcher

SYSCALL: Final = "syscall"
KINDS: Final = ("fork", "exec", "exit", "fault", "crash", "switch", "end", SYSCALL)
KILLED: Final = 0xFF  # the status of a process that did not exit by itself


class Happening(NamedTuple):
    """What happened: a kind (of KINDS, or syscall:NAME), to which process, and a few words."""

    kind: str
    pid: int
    text: str


class Catcher(Watcher):
    """Tells `caught` of each event of the `kinds`, which may be changed at any time."""

    def __init__(self, caught: Callable[[Happening], None]) -> None:
        self._caught: Final = caught
        self.kinds: frozenset[str] = frozenset()

    def syscall_enter(self, p: Proc, call: Syscall) -> None:
        self._tell(f"{SYSCALL}:{call.name}", p, call.name)
        if call.noreturn:
            self._tell("exit", p, f"{p} calls {call.name}")
            self._end(p, p.tf[TF_A0] & 0xFF)

    def syscall_exit(self, p: Proc, call: Syscall, result: int) -> None:
        if call.name == "fork" and result > 0:
            self._tell("fork", p, f"{p} has a child, process {result}")
        elif call.name == "exec" and result >= 0:
            self._tell("exec", p, f"process {p.pid} runs {p.name}")
        if p.killed:
            self._end(p, KILLED)

    def fault(self, p: Proc, scause: int, va: int, mapped: bool) -> None:
        what = f"exception {scause} at {va:#x} in {p}"
        self._tell("fault", p, f"{what}: {'its page is mapped now' if mapped else 'it is killed'}")
        if not mapped:
            self._tell("crash", p, f"{what}: it is killed")
            self._end(p, KILLED)

    def switch(self, p: Proc) -> None:
        self._tell("switch", p, f"the scheduler chose {p}")
        if p.killed:
            self._end(p, KILLED)

    def _end(self, p: Proc, status: int) -> None:
        self._tell("end", p, f"{p} ends with status {status}")

    def _tell(self, kind: str, p: Proc, text: str) -> None:
        if kind in self.kinds or kind.partition(":")[0] in self.kinds:
            self._caught(Happening(kind, p.pid, text))


def check(kinds: Iterable[str]) -> None:
    """Raise ValueError where one of `kinds` is no event."""
    calls = {f"{SYSCALL}:{call.name}" for call in SYSCALLS}
    unknown = [kind for kind in kinds if not (kind in KINDS or kind in calls or pystops.is_kind(kind))]
    if unknown:
        raise ValueError(f"no such event: {', '.join(unknown)}; there are {', '.join(KINDS)}")
