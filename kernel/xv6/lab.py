"""The system calls that the course's labs add, except those about files and mappings.

Called by the dispatcher (a process's `watch` before and after its calls) and, for alarms, by trap.py at a
timer interrupt in user mode.  They keep two things for a process (LabTraits).  `watch`, which a child shares
with its parent and which is only replaced as a whole, is None for a process that is not traced or confined,
which then pays nothing; `alarm` is the process's own, and None until its first sigalarm.
"""

from dataclasses import dataclass, replace
from errno import EINVAL, EPERM
from typing import TYPE_CHECKING, Final

from emu.cpu.hart import EVEN
from kernel.abi.memlayout import MAXVA, PGSHIFT, PGSIZE
from kernel.abi.param import MAXPATH, PGACCESS_MAX
from kernel.abi.ps import SYSINFO
from kernel.abi.riscv import PTE_A, PTE_V
from kernel.abi.syscalls import Syscall, c_int
from kernel.errors import SyscallError
from kernel.mm.pagetable import LEAF, PPN_SHIFT, TABLE_WORDS
from kernel.personality import Traits
from kernel.proc import Process
from kernel.thread import TF_A0, TF_EPC, Thread

if TYPE_CHECKING:
    from kernel.kernel import Kernel

WITH_PATH: Final = ("open", "exec")  # the calls that interpose lets through for one path


@dataclass(frozen=True, slots=True)
class Watch:
    """What trace and interpose ask for: bit n of a mask means the call of number n.

    Traced calls are printed when they return; refused ones fail, but for open and exec of `allowed`.
    """

    traced: int = 0
    refused: int = 0
    allowed: bytes = b""

    def admit(self, k: "Kernel", p: Process, call: Syscall) -> None:
        """Before a call: SyscallError if it is refused."""
        if not self.refused >> call.number & 1:
            return
        path = p.thread.tf[TF_A0]
        if call.name not in WITH_PATH or k.usercopy.copyinstr(p.space, path, MAXPATH) != self.allowed:
            raise SyscallError(EPERM, "interpose refuses the call")

    def returned(self, k: "Kernel", p: Process, call: Syscall, result: int) -> None:
        """After a call: print it if it is traced, with the int that a program sees."""
        if self.traced >> call.number & 1:
            k.printf(f"{p.pid}: syscall {call.name} -> {c_int(result)}\n")


def _watch(p: Process) -> Watch:
    watch = p.traits.watch
    return watch if isinstance(watch, Watch) else Watch()


def sys_trace(k: "Kernel", p: Process, mask: int) -> int:
    """Print the calls in `mask` whenever `p`, or what it forks from now on, has made one."""
    p.traits.watch = replace(_watch(p), traced=mask & 0xFFFF_FFFF)
    return 0


def sys_interpose(k: "Kernel", p: Process, mask: int, path: bytes) -> int:
    """Refuse the calls in `mask` to `p` and what it forks, except open and exec of exactly `path`.

    The last call holds; a mask that names interpose itself makes it final.
    """
    p.traits.watch = replace(_watch(p), refused=mask & 0xFFFF_FFFF, allowed=path)
    return 0


@dataclass(slots=True)
class Alarm:
    """A call of `handler` in user mode after each `period` timer interrupts that found the process there.

    `left` counts down to the next one.  `saved` are the user's registers while the handler runs, until
    sigreturn: no second call meanwhile, and the ticks that pass are not counted.
    """

    period: int = 0
    handler: int = 0
    left: int = 0
    saved: bytes = b""

    def tick(self, tf: memoryview) -> None:
        """One more interrupt; maybe the thread with this trapframe goes on in the handler."""
        if self.period and not self.saved:
            self.left -= 1
            if not self.left:
                self.left, self.saved = self.period, bytes(tf[TF_EPC:])
                tf[TF_EPC] = self.handler & EVEN

    def forked(self) -> "Alarm":
        """The child's: no alarm, but a child forked in the handler can return from it."""
        return Alarm(saved=self.saved)


class LabTraits(Traits):
    """What the labs' calls keep for a process."""

    alarm: Alarm | None = None  # since the first sigalarm

    def forked(self) -> "LabTraits":
        child = LabTraits()
        child.watch = self.watch
        child.alarm = self.alarm.forked() if self.alarm is not None else None
        return child

    def on_exec(self) -> None:
        self.alarm = None

    def on_tick(self, thread: Thread) -> None:
        if self.alarm is not None:
            self.alarm.tick(thread.tf)


def _traits(p: Process) -> LabTraits:
    assert isinstance(p.traits, LabTraits), "only processes of xv6 make these calls"
    return p.traits


def sys_sigalarm(k: "Kernel", p: Process, ticks: int, handler: int) -> int:
    """Call `handler` after each `ticks` ticks of the process's time; 0 ticks: no more."""
    if ticks < 0:
        raise SyscallError(EINVAL, "a negative number of ticks")
    traits = _traits(p)
    traits.alarm = replace(traits.alarm or Alarm(), period=ticks, handler=handler, left=ticks)
    return 0


def sys_sigreturn(k: "Kernel", p: Process) -> int:
    """Go on where the alarm came, with all registers: the result is the a0 of that moment."""
    alarm = _traits(p).alarm
    if alarm is None or not alarm.saved:
        raise SyscallError(EINVAL, "no handler is running")
    p.thread.tf[TF_EPC:] = memoryview(alarm.saved).cast("Q")
    alarm.saved = b""
    return p.thread.tf[TF_A0]


def sys_sysinfo(k: "Kernel", p: Process, info_va: int) -> int:
    """Store struct sysinfo: bytes of free memory, number of processes."""
    k.copyout(p.space, info_va, SYSINFO.pack(k.frames.available * PGSIZE, sum(1 for _ in k.procs)))
    return 0


def sys_pgpte(k: "Kernel", p: Process, va: int) -> int:
    """The leaf PTE of `va`, after mapping what was promised there; 0 where nothing is."""
    return k.pager.touch(p.space, va)


def sys_kpgtbl(k: "Kernel", p: Process) -> int:
    """Print the process's page table: a line for each valid PTE, indented by its depth."""
    k.printf(f"page table {p.space.root:#018x}\n")
    _print_table(k, p.space.root, 0, depth=1)
    return 0


def _print_table(k: "Kernel", table: int, low: int, depth: int) -> None:
    """The valid PTEs of one table, the first of which is for address `low`, with what is below them."""
    first = table - k.ram.base >> 3
    for i, pte in enumerate(k.ram.u64[first : first + TABLE_WORDS].tolist()):
        if pte & PTE_V:
            va, pa = low + (i << PGSHIFT + 9 * (3 - depth)), pte >> PPN_SHIFT << PGSHIFT
            k.printf(f"{' ..' * depth}{va:#018x}: pte {pte:#018x} pa {pa:#018x}\n")
            if not pte & LEAF:
                _print_table(k, pa, va, depth + 1)


def sys_pgaccess(k: "Kernel", p: Process, va: int, n: int, mask_va: int) -> int:
    """Store a bit for each of `n` pages from `va` on: touched since the last call? Up to 32 are 4 bytes."""
    if not 0 <= n <= PGACCESS_MAX or va + n * PGSIZE > MAXVA:
        raise SyscallError(EINVAL, f"no {n} pages at {va:#x}")
    touched = [i for i in range(n) if k.vm.pte(p.space, va + i * PGSIZE) & PTE_A]
    k.copyout(p.space, mask_va, sum(1 << i for i in touched).to_bytes(4 if n <= 32 else 8, "little"))
    for i in touched:
        k.vm.clear(p.space, k.vm.walk(p.space, va + i * PGSIZE, own=True), PTE_A)
    return 0
