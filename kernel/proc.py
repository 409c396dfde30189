"""Processes: the table, and fork, exit, wait and kill on it.

A process is what has an address space, descriptors and a number; what runs in it is its thread
(kernel/thread.py, where the states are drawn).

    allocproc --> fork --> the thread runs, sleeps, ... --> exit: a ZOMBIE --> wait of the parent: freeproc

Kernel code is atomic between two blocking points, so nothing here needs a lock: only waits, yield_ and
exit give the hart away (kernel/sched.py).
"""

import struct
from collections.abc import Callable, Iterator
from errno import EAGAIN, ECHILD, EINTR, EPERM, ESRCH
from typing import TYPE_CHECKING, Final, NamedTuple

from emu.ram import Ram
from kernel.abi.param import NPROC
from kernel.abi.ps import STATE_NAMES, UNUSED, USYSCALL_DATA, ZOMBIE
from kernel.errors import OutOfMemory, SyscallError, panic
from kernel.fs.descriptors import DescriptorTable
from kernel.image import KernelImage
from kernel.mm.cow import CopyOnWrite
from kernel.mm.kalloc import FrameAllocator, Holding
from kernel.mm.mmap import Mmap
from kernel.mm.pagetable import VirtualMemory
from kernel.mm.space import AddressSpace
from kernel.mm.usercopy import UserCopy
from kernel.personality import Personality
from kernel.thread import (
    TF_A0,
    TF_EPC,
    TF_KERNEL_SATP,
    TF_KERNEL_SP,
    TF_KERNEL_TRAP,
    TF_SP,
    KernelStack,
    Thread,
    ThreadExit,
)
from kernel.wait import Waits

if TYPE_CHECKING:
    from kernel.fs.file import FileTable

INIT_PID: Final = 1
STATUS: Final = struct.Struct("<i")
NAME_MAX: Final = 15  # bytes of a program's name that a process keeps
# Characters of a name that would begin a line of a report, or do something to the terminal that shows it.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES.update({0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"})


class Process:
    """A program in execution: address space, descriptors, threads, and its place in the tree of processes.

    An xv6 process has one thread.  That stays when it has ended, as a ZOMBIE, until the parent waits.
    """

    thread: Thread  # the first one

    def __init__(self, pid: int, personality: Personality) -> None:
        self.pid: Final = pid
        self.parent: Process | None = None
        self.name = ""
        self.threads: list[Thread] = []
        self.killed = False
        self.xstate = 0
        self.reaped_status: int | None = None  # of the child that wait() returned last
        self.files: Final = DescriptorTable()
        self.space = AddressSpace()
        self.personality: Final = personality
        self.traits = personality.traits()  # what that keeps of it

    @property
    def state(self) -> int:
        """As ps shows it: that of the first thread."""
        return self.thread.state

    def __repr__(self) -> str:
        name = name_bytes(self).decode("utf-8", "backslashreplace").translate(_ESCAPES)
        return f"process {self.pid} ({name})"


def process_name(path: bytes) -> str:
    """What a process is called that runs the program at `path`.

    A name is bytes of any kind, and none is lost: each that is not UTF-8 is a surrogate in the text, as in
    names that Python has from a file system.
    """
    return path.rsplit(b"/", 1)[-1][:NAME_MAX].decode("utf-8", "surrogateescape")


def name_bytes(p: Process) -> bytes:
    """The name of `p` as programs see it."""
    return p.name.encode("utf-8", "surrogateescape")


class ProcessMemory(NamedTuple):
    """What the memory of processes is made with."""

    ram: Ram
    frames: FrameAllocator
    vm: VirtualMemory
    cow: CopyOnWrite
    mmap: Mmap
    usercopy: UserCopy


class ProcTable:
    """All processes, and the operations on more than one of them.

    `make_runnable` hands a thread to the scheduler.  With `usyscall` each process has a page at USYSCALL.
    """

    kernel_satp: int  # of the kernel's page table, once there is one

    def __init__(
        self,
        memory: ProcessMemory,
        image: KernelImage,
        files: "FileTable",
        waits: Waits,
        make_runnable: Callable[[Thread], None],
        usyscall: bool,
    ) -> None:
        self._memory: Final = memory
        self._image: Final = image
        self._files: Final = files
        self._waits: Final = waits
        self._make_runnable: Final = make_runnable
        self._usyscall: Final = usyscall
        self.on_exit: Final[list[Callable[[Process], None]]] = []  # called with each process that exits
        self.slots: Final[list[Process | None]] = [None] * NPROC
        self.stacks: Final[list[KernelStack]] = []  # one for each slot, made at boot
        self._next_pid = INIT_PID

    def __iter__(self) -> Iterator[Process]:
        """The processes, in the order of their slots."""
        return filter(None, self.slots)

    def find(self, pid: int) -> Process | None:
        """The process with this number."""
        return next((p for p in self if p.pid == pid), None)

    def of(self, space: AddressSpace) -> Process:
        """The process whose memory `space` is."""
        return next(p for p in self if p.space is space)

    @property
    def init(self) -> Process:
        """Process 1, which adopts orphans."""
        p = self.find(INIT_PID)
        assert p is not None, "process 1 runs as long as the machine does"
        return p

    # --- creation and end ---

    def allocproc(self, personality: Personality) -> Process:
        """A new process with a thread in state USED and an empty address space; fails at a limit."""
        vm = self._memory.vm
        if None not in self.slots:
            raise SyscallError(EAGAIN, f"there are {NPROC} processes")
        p = Process(self._next_pid, personality)
        self._make_thread(p)
        try:
            if self._usyscall:
                p.space = AddressSpace(usyscall_pa=vm.create())
            root = vm.create_user(p.thread.trapframe_pa, self._image.trampoline, p.space.usyscall_pa)
            p.space = AddressSpace(root, p.space.usyscall_pa)
        except OutOfMemory:
            self._free_pages(p)
            raise
        self.slots[self.slots.index(None)] = p
        self._next_pid += 1
        if p.space.usyscall_pa:
            page = self._memory.ram.view(p.space.usyscall_pa, USYSCALL_DATA.size)
            page[:] = USYSCALL_DATA.pack(p.pid)
        return p

    def _make_thread(self, p: Process) -> None:
        """Give `p` its thread, which is to begin at forkret, and this a trapframe and a kernel stack."""
        stack = next(stack for stack in self.stacks if stack.thread is None)
        p.thread = stack.thread = thread = Thread(p, stack, self._memory.vm.create(), self._memory.ram)
        p.threads.append(thread)
        thread.tf[TF_KERNEL_SATP] = self.kernel_satp
        thread.tf[TF_KERNEL_SP] = stack.top
        thread.tf[TF_KERNEL_TRAP] = self._image.usertrap
        thread.begin_at(self._image.forkret)

    def freeproc(self, p: Process) -> None:
        """Give back all that a process has that has not begun, or has ended."""
        assert p.thread.greenlet is None, f"the kernel thread of {p} has not ended"
        self._memory.vm.free_user(p.space, p.space.sz)
        self._free_pages(p)
        self.slots[self.slots.index(p)] = None

    def _free_pages(self, p: Process) -> None:
        """Give back the pages that the kernel maps for `p`, and its kernel stack."""
        for thread in p.threads:
            self._memory.frames.free(thread.trapframe_pa)
            thread.stack.thread = None
            thread.state = UNUSED
        if p.space.usyscall_pa:
            self._memory.frames.free(p.space.usyscall_pa)

    def fork(self, parent: Process) -> int:
        """A child that is a copy of `parent`, in which the call returns 0; its pid. Fails at a limit."""
        memory, files = self._memory, parent.files
        child = self.allocproc(parent.personality)
        try:
            memory.cow.copy(parent.space, child.space, 0, parent.space.sz, parent.thread.tf[TF_SP])
            memory.mmap.fork(parent.space, child.space, parent.thread.tf[TF_SP])
        except SyscallError:
            self.freeproc(child)
            raise
        child.space.sz = parent.space.sz
        child.thread.tf[TF_EPC:] = parent.thread.tf[TF_EPC:]
        child.thread.tf[TF_A0] = 0
        child.files.ofile = [self._files.dup(f) if f is not None else None for f in files.ofile]
        assert files.cwd is not None, "a process that forks has a directory"
        child.files.cwd = files.cwd.dup()
        child.name = parent.name
        child.traits = parent.traits.forked()
        child.parent = parent
        self._make_runnable(child.thread)
        return child.pid

    def exit(self, p: Process, status: int) -> None:
        """End `p`: release what is shared now, the rest when the parent waits. Does not return."""
        if p.pid == INIT_PID:
            panic("init exiting")
        for told in self.on_exit:
            told(p)
        self._memory.mmap.drop_all(p.space)
        for fd, file in enumerate(p.files.ofile):
            if file is not None:
                p.files.ofile[fd] = None
                self._files.close(file)
        assert p.files.cwd is not None, "a process that exits has a directory"
        p.files.cwd.drop()
        p.files.cwd = None
        self._reparent(p)
        self._waits.wakeup(p.parent)
        p.xstate = status
        p.thread.state = ZOMBIE
        raise ThreadExit

    def _reparent(self, p: Process) -> None:
        """Hand the children of `p` to init."""
        for child in [child for child in self if child.parent is p]:
            child.parent = self.init
            if child.state == ZOMBIE:
                self._waits.wakeup(child.parent)

    def wait(self, p: Process, status_va: int) -> int:
        """Wait for a child of `p` to exit; its pid. Fails where there is none, or `p` is killed.

        The child's status goes to user address `status_va` unless that is 0; BadAddress leaves the child.
        """
        while True:
            children = [child for child in self if child.parent is p]
            zombie = next((child for child in children if child.state == ZOMBIE), None)
            if zombie is not None:
                if status_va:
                    self._memory.usercopy.copyout(p.space, status_va, STATUS.pack(zombie.xstate))
                pid = zombie.pid
                p.reaped_status = zombie.xstate
                self.freeproc(zombie)
                return pid
            if not children:
                raise SyscallError(ECHILD, "it has no children")
            if p.killed:
                raise SyscallError(EINTR, "killed while it waited for a child")
            self._waits.sleep(p)

    def kill(self, pid: int) -> Process:
        """Let the process exit at its next trap return, and end its wait.

        Fails if there is none, or it is init, without which the machine cannot go on.
        """
        p = self.find(pid)
        if p is None:
            raise SyscallError(ESRCH, f"there is no process {pid}")
        if p.pid == INIT_PID:
            raise SyscallError(EPERM, "init cannot be killed")
        self.end(p)
        return p

    def end(self, p: Process) -> None:
        """Let `p` exit at its next trap return, unless it is init."""
        if p.pid != INIT_PID:
            p.killed = True
            for thread in p.threads:
                self._waits.interrupt(thread)

    # --- reports ---

    def holdings(self) -> Iterator[Holding]:
        """See FrameOwner: the frames that the kernel has for each thread."""
        for thread in (thread for p in self for thread in p.threads):
            yield Holding(thread.trapframe_pa, "trapframes", f"{thread}, as its trapframe")

    def dump(self) -> str:
        """What ^P shows: a line for each process."""
        return "\n" + "".join(f"{p.pid} {STATE_NAMES[p.state]} {p.name}\n" for p in self)

    def sleepers_report(self) -> str:
        """Which threads sleep and on what, for the report of a deadlock."""
        return ", ".join(f"{t} waits for {self.waits_for(t)}" for p in self for t in p.threads if t.waits_for)

    def waits_for(self, thread: Thread) -> str:
        """In words, what a thread waits for."""
        return " or ".join(map(self._describe, thread.waits_for))

    def _describe(self, subject: object) -> str:
        return f"a child of {subject}" if isinstance(subject, Process) else str(subject)
