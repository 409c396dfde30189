"""The system calls about processes and time. See kernel/syscall.py for how they are called."""

from errno import EINTR, EPERM
from typing import TYPE_CHECKING, Final

from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import MAXARG
from kernel.abi.ps import PSINFO
from kernel.errors import BadAddress, SyscallError
from kernel.mm.space import AddressSpace
from kernel.mm.usercopy import UserCopy
from kernel.proc import INIT_PID, Process, name_bytes
from kernel.timer import MTIME_PER_TICK, Ticks
from kernel.wait import WaitQueue

if TYPE_CHECKING:
    from kernel.kernel import Kernel


POINTER: Final = 8  # bytes


def sys_fork(k: "Kernel", p: Process) -> int:
    """The child's pid in the parent, 0 in the child."""
    return k.procs.fork(p)


def sys_exit(k: "Kernel", p: Process, status: int) -> int:
    """Does not return."""
    k.procs.exit(p, status)
    return 0


def sys_wait(k: "Kernel", p: Process, status_va: int) -> int:
    """Pid of a child that has exited."""
    return k.procs.wait(p, status_va)


def sys_kill(k: "Kernel", p: Process, pid: int) -> int:
    """End another process, or the caller."""
    victim = k.procs.kill(pid)
    if k.hooks.on_kill is not None:
        k.hooks.on_kill(victim, p)
    return 0


def sys_getpid(k: "Kernel", p: Process) -> int:
    """The caller's number."""
    return p.pid


def sys_exec(k: "Kernel", p: Process, path: bytes, argv_va: int) -> int:
    """argc of the new program."""
    return k.exec.run(p, path, fetch_argv(k.usercopy, p.space, argv_va))


def fetch_argv(usercopy: UserCopy, space: AddressSpace, va: int) -> list[bytes]:
    """The argument strings of exec; raises BadAddress, for too many or too long ones too."""
    argv: list[bytes] = []
    while True:
        pointer = int.from_bytes(usercopy.copyin(space, va + POINTER * len(argv), POINTER), "little")
        if not pointer:
            return argv
        if len(argv) == MAXARG - 1:
            raise BadAddress(va)
        argv.append(usercopy.copyinstr(space, pointer, PGSIZE))


def sys_sleep(k: "Kernel", p: Process, ticks: int) -> int:
    """Wait for so many ticks."""
    until = k.timer.ticks + max(ticks, 0)
    queue = WaitQueue(k.waits, Ticks(until))
    while k.timer.ticks < until and not p.killed:
        k.waits.wait(queue, until=until * MTIME_PER_TICK)
    if k.timer.ticks < until:
        raise SyscallError(EINTR, "killed while it slept")
    return 0


def sys_uptime(k: "Kernel", p: Process) -> int:
    """Ticks since power-on, which the kernel counts in a C unsigned int."""
    return k.timer.ticks & 0xFFFF_FFFF


def sys_poweroff(k: "Kernel", p: Process, status: int) -> int:
    """End the run with this status. Only for process 1."""
    if p.pid != INIT_PID:
        raise SyscallError(EPERM, "only process 1 may end the run")
    k.mounts.sync()
    k.poweroff(status)
    return 0


def sys_ps(k: "Kernel", p: Process, out_va: int, n: int) -> int:
    """Store up to `n` entries of struct psinfo; how many processes there are."""
    entries = [
        PSINFO.pack(q.pid, q.parent.pid if q.parent else 0, q.state, q.space.sz, name_bytes(q))
        for q in k.procs
    ]
    k.copyout(p.space, out_va, b"".join(entries[: max(n, 0)]))
    return len(entries)
