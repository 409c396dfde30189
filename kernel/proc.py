"""Processes: the table, and fork, exit, wait, kill, sleep and wakeup on it.

A process is a Python object; what the hart touches of it (trapframe, page table, kernel stack, context) is
in guest RAM.  Its states and who moves it:

    UNUSED -- allocproc --> USED ------- fork -------> RUNNABLE <-- scheduler, yield_ --> RUNNING
                                                          ^                                |   |
                                               wakeup, kill                          sleep |   | exit
                                                          |                                v   v
                              UNUSED <-- wait of parent -- SLEEPING ................... ZOMBIE

Kernel code is atomic between two blocking points, so nothing here needs a lock: only sleep, yield_ and
exit give the hart away (kernel/sched.py).
"""

from collections.abc import Iterator
from errno import EAGAIN
from typing import TYPE_CHECKING, Final

from greenlet import GreenletExit, greenlet

from kernel.abi.memlayout import PGSIZE, kstack
from kernel.abi.param import NOFILE, NPROC
from kernel.abi.ps import RUNNABLE, SLEEPING, STATE_NAMES, UNUSED, USED, USYSCALL_DATA, ZOMBIE
from kernel.errors import OutOfMemory, SyscallError
from kernel.mm.space import AddressSpace

if TYPE_CHECKING:
    from kernel.fs.file import File
    from kernel.fs.xv6fs.inode import Inode
    from kernel.kernel import Kernel
    from kernel.xv6.lab import Alarm, Watch

# Words of the trapframe, by index; the layout is drawn in asm/asm.h.
TF_KERNEL_SATP, TF_KERNEL_SP, TF_KERNEL_TRAP, TF_EPC, TF_HARTID, TF_RA, TF_SP = range(7)
TF_A0, TF_A1, TF_A7 = 14, 15, 21
TF_WORDS: Final = 36

# Words of a context, by index.
CONTEXT_RA, CONTEXT_SP = 0, 1
CONTEXT_WORDS: Final = 14

INIT_PID: Final = 1
NAME_MAX: Final = 15  # bytes of a program's name that a process keeps
# Characters of a name that would begin a line of a report, or do something to the terminal that shows it.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES.update({0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"})


class Unwind(GreenletExit):  # type: ignore[misc]
    """Thrown into every kernel thread at power-off, so that none is dropped while it is suspended."""


class ThreadExit(BaseException):
    """Ends the kernel thread of a process that has exited; caught where the thread began."""


class Proc:
    """One slot of the process table."""

    def __init__(self, slot: int) -> None:
        self.slot: Final = slot
        self.kstack_va: Final = kstack(slot)
        self.context: memoryview  # CONTEXT_WORDS words in kernel data, set once at boot
        self.context_pa = 0
        self.tf: memoryview  # TF_WORDS words of the trapframe, set by allocproc
        self.reset()

    def reset(self) -> None:
        """Make the slot unused."""
        self.state = UNUSED
        self.pid = 0
        self.parent: Proc | None = None
        self.name = ""
        self.killed = False
        self.xstate = 0
        self.chan: object = None  # what it sleeps on
        self.space = AddressSpace()
        self.trapframe_pa = 0
        self.ofile: list[File | None] = [None] * NOFILE
        self.cwd: Inode | None = None
        self.thread: greenlet | None = None  # its kernel thread, from its first turn to its exit
        self.reaped_status: int | None = None  # of the child that wait() returned last
        self.watch: Watch | None = None  # what trace and interpose asked for
        self.alarm: Alarm | None = None  # since the first sigalarm

    def __repr__(self) -> str:
        name = name_bytes(self).decode("utf-8", "backslashreplace").translate(_ESCAPES)
        return f"process {self.pid} ({name})"


def process_name(path: bytes) -> str:
    """What a process is called that runs the program at `path`.

    A name is bytes of any kind, and none is lost: each that is not UTF-8 is a surrogate in the text, as in
    names that Python has from a file system.
    """
    return path.rsplit(b"/", 1)[-1][:NAME_MAX].decode("utf-8", "surrogateescape")


def name_bytes(p: Proc) -> bytes:
    """The name of `p` as programs see it."""
    return p.name.encode("utf-8", "surrogateescape")


class ProcTable:
    """All processes, and the operations on more than one of them."""

    def __init__(self, k: "Kernel") -> None:
        self._k = k
        self.slots: Final = [Proc(slot) for slot in range(NPROC)]
        self._next_pid = INIT_PID
        self._sleepers: Final[dict[object, list[Proc]]] = {}

    def __iter__(self) -> Iterator[Proc]:
        """The slots in use, in order."""
        return (p for p in self.slots if p.state != UNUSED)

    def find(self, pid: int) -> Proc | None:
        """The process with this number."""
        return next((p for p in self if p.pid == pid), None)

    def of(self, space: AddressSpace) -> Proc:
        """The process whose memory `space` is."""
        return next(p for p in self if p.space is space)

    @property
    def init(self) -> Proc:
        """Process 1, which adopts orphans."""
        p = self.find(INIT_PID)
        assert p is not None, "process 1 runs as long as the machine does"
        return p

    # --- creation and end ---

    def allocproc(self) -> Proc:
        """A new process in state USED, with a trapframe and an empty address space; fails at a limit."""
        k = self._k
        p = next((p for p in self.slots if p.state == UNUSED), None)
        if p is None:
            raise SyscallError(EAGAIN, f"there are {NPROC} processes")
        try:
            p.trapframe_pa = k.vm.create()
            usyscall_pa = k.vm.create() if k.usyscall else 0
            p.space = AddressSpace(usyscall_pa=usyscall_pa)
            root = k.vm.create_user(p.trapframe_pa, k.image.trampoline, usyscall_pa)
            p.space = AddressSpace(root, usyscall_pa)
        except OutOfMemory:
            self._free_pages(p)
            raise
        p.state = USED
        p.pid = self._next_pid
        self._next_pid += 1
        offset = p.trapframe_pa - k.ram.base >> 3
        p.tf = k.ram.u64[offset : offset + TF_WORDS]
        if p.space.usyscall_pa:
            k.ram.view(p.space.usyscall_pa, USYSCALL_DATA.size)[:] = USYSCALL_DATA.pack(p.pid)
        p.tf[TF_KERNEL_SATP] = k.satp
        p.tf[TF_KERNEL_SP] = p.kstack_va + PGSIZE
        p.tf[TF_KERNEL_TRAP] = k.image.usertrap
        p.context[:] = memoryview(bytes(8 * CONTEXT_WORDS)).cast("Q")
        p.context[CONTEXT_RA] = k.image.forkret
        p.context[CONTEXT_SP] = p.kstack_va + PGSIZE
        return p

    def freeproc(self, p: Proc) -> None:
        """Give back all that a USED or ZOMBIE process has."""
        assert p.thread is None, f"the kernel thread of {p} has not ended"
        self._k.vm.free_user(p.space, p.space.sz)
        self._free_pages(p)

    def _free_pages(self, p: Proc) -> None:
        """Give back the pages that the kernel maps for `p`, and its slot."""
        for pa in filter(None, (p.trapframe_pa, p.space.usyscall_pa)):
            self._k.frames.free(pa)
        p.reset()

    def fork(self, parent: Proc) -> int:
        """A child that is a copy of `parent`, in which the call returns 0; its pid. Fails at a limit."""
        k = self._k
        child = self.allocproc()
        try:
            k.vm.copy(parent.space, child.space, 0, parent.space.sz, parent.tf[TF_SP])
            k.mmap.fork(parent.space, child.space, parent.tf[TF_SP])
        except SyscallError:
            self.freeproc(child)
            raise
        child.space.sz = parent.space.sz
        child.tf[TF_EPC:] = parent.tf[TF_EPC:]
        child.tf[TF_A0] = 0
        child.ofile = [k.files.dup(f) if f is not None else None for f in parent.ofile]
        assert parent.cwd is not None, "a process that forks has a directory"
        child.cwd = k.fs.idup(parent.cwd)
        child.name = parent.name
        child.watch = parent.watch
        child.alarm = parent.alarm and parent.alarm.forked()
        child.parent = parent
        self.make_runnable(child)
        return child.pid

    def exit(self, p: Proc, status: int) -> None:
        """End `p`: release what is shared now, the rest when the parent waits. Does not return."""
        k = self._k
        if p.pid == INIT_PID:
            k.panic("init exiting")
        k.console.release(p)
        k.mmap.drop_all(p.space)
        for fd, file in enumerate(p.ofile):
            if file is not None:
                p.ofile[fd] = None
                k.files.close(file)
        assert p.cwd is not None, "a process that exits has a directory"
        with k.fs.unlogged():
            k.fs.iput(p.cwd)
        p.cwd = None
        self._reparent(p)
        self.wakeup(p.parent)
        p.xstate = status
        p.state = ZOMBIE
        raise ThreadExit

    def _reparent(self, p: Proc) -> None:
        """Hand the children of `p` to init."""
        for child in [child for child in self.slots if child.parent is p]:
            child.parent = self.init
            if child.state == ZOMBIE:
                self.wakeup(child.parent)

    def wait(self, p: Proc, status_va: int) -> int:
        """Wait for a child of `p` to exit; its pid, or -1 where there is none or `p` was killed.

        The child's status goes to user address `status_va` unless that is 0; BadAddress leaves the child.
        """
        k = self._k
        while True:
            children = [child for child in self.slots if child.parent is p]
            zombie = next((child for child in children if child.state == ZOMBIE), None)
            if zombie is not None:
                if status_va:
                    k.copyout(p.space, status_va, (zombie.xstate & 0xFFFF_FFFF).to_bytes(4, "little"))
                pid = zombie.pid
                p.reaped_status = zombie.xstate
                self.freeproc(zombie)
                return pid
            if not children or p.killed:
                return -1
            self.sleep(p)

    def kill(self, pid: int) -> int:
        """Mark the process; it exits at its next trap return, and a sleep of it ends.

        -1 if there is none, or it is init, without which the machine cannot go on.
        """
        p = self.find(pid)
        if p is None or p.pid == INIT_PID:
            return -1
        p.killed = True
        self.wake(p)
        return 0

    # --- waiting ---

    def sleep(self, chan: object) -> None:
        """Suspend the running process until wakeup(chan), or wake or kill of this process."""
        p = self._k.sched.current
        assert p is not None, f"only a process can sleep, on {chan!r}"
        p.chan = chan
        p.state = SLEEPING
        self._sleepers.setdefault(chan, []).append(p)
        self._k.sched.sched()
        p.chan = None

    def wakeup(self, chan: object) -> None:
        """Make all that sleep on `chan` runnable, in the order in which they went to sleep."""
        for p in self._sleepers.pop(chan, ()):
            self.make_runnable(p)

    def wake(self, p: Proc) -> None:
        """Make `p` runnable if it sleeps, and none of the others that sleep on the same."""
        if p.state == SLEEPING:
            waiting = self._sleepers[p.chan]
            waiting.remove(p)
            if not waiting:
                del self._sleepers[p.chan]
            self.make_runnable(p)

    def make_runnable(self, p: Proc) -> None:
        """Let the scheduler choose `p`."""
        p.state = RUNNABLE
        self._k.sched.ready.append(p)

    # --- reports ---

    def dump(self) -> str:
        """What ^P shows: a line for each process."""
        return "\n" + "".join(f"{p.pid} {STATE_NAMES[p.state]} {p.name}\n" for p in self)

    def sleepers_report(self) -> str:
        """Who sleeps and on what, for the report of a deadlock."""
        return ", ".join(f"{p} waits for {self.describe(p.chan)}" for p in self if p.state == SLEEPING)

    def describe(self, chan: object) -> str:
        """In words, what a process waits for that sleeps on `chan`."""
        return f"a child of {chan}" if isinstance(chan, Proc) else str(chan)
