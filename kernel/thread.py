"""Threads: flows of control through user code and the kernel, and what the hart needs of each.

A thread is a Python object; its trapframe, kernel stack and context are in guest RAM, where trampoline.S and
swtch.S load and store them.  A kernel stack and its context are made at boot, one for each slot, and lent to
a thread from its beginning until its process is freed.  Its kernel code is a greenlet (kernel/sched.py).

    USED -- make_runnable --> RUNNABLE <-- scheduler, yield_ --> RUNNING
                                 ^                               |   |
                            wakeup, kill                   sleep |   | exit
                                 |                               v   v
                              SLEEPING <-------------------------+  ZOMBIE
"""

from typing import TYPE_CHECKING, Final

from greenlet import GreenletExit, greenlet

from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE, TRAPFRAME, kstack
from kernel.abi.ps import USED
from kernel.wait import Wait

if TYPE_CHECKING:
    from kernel.proc import Process

# Words of the trapframe, by index; the layout is drawn in asm/asm.h.
TF_KERNEL_SATP, TF_KERNEL_SP, TF_KERNEL_TRAP, TF_EPC, TF_HARTID, TF_RA, TF_SP = range(7)
TF_A0, TF_A1, TF_A7 = 14, 15, 21
TF_WORDS: Final = 36

# Words of a context, by index.
CONTEXT_RA, CONTEXT_SP = 0, 1
CONTEXT_WORDS: Final = 14


class Unwind(GreenletExit):  # type: ignore[misc]
    """Thrown into every kernel thread at power-off, so that none is dropped while it is suspended."""


class ThreadExit(BaseException):
    """Ends the kernel thread of a process that has exited; caught where the thread began."""


class KernelStack:
    """A slot: the kernel stack at `va`, a page, and the context at `context_pa`, CONTEXT_WORDS words."""

    def __init__(self, slot: int, contexts_pa: int, ram: Ram) -> None:
        self.slot: Final = slot
        self.va: Final = kstack(slot)
        self.top: Final = self.va + PGSIZE
        self.context_pa: Final = contexts_pa + slot * 8 * CONTEXT_WORDS
        index = self.context_pa - ram.base >> 3
        self.context: Final = ram.u64[index : index + CONTEXT_WORDS]
        self.thread: Thread | None = None  # the one that has it now


class Thread:
    """A thread of `process`, on a kernel stack that nobody else has."""

    def __init__(self, process: "Process", stack: KernelStack, trapframe_pa: int, ram: Ram) -> None:
        self.process: Final = process
        self.stack: Final = stack
        self.trapframe_pa: Final = trapframe_pa
        self.trapframe_va: Final = TRAPFRAME  # in the process's page table: it is the first thread
        offset = trapframe_pa - ram.base >> 3
        self.tf: Final = ram.u64[offset : offset + TF_WORDS]  # the trapframe
        self.state = USED
        self.wait: Wait | None = None  # while it is SLEEPING
        self.interrupted = False  # it is to end rather than wait: its process was killed
        self.greenlet: greenlet | None = None  # its kernel code, from its first turn to its exit

    @property
    def waits_for(self) -> tuple[object, ...]:
        """What it waits for."""
        return self.wait.subjects if self.wait is not None else ()

    def begin_at(self, function: int) -> None:
        """Let its first turn begin at this address of the kernel, on an empty stack."""
        context = self.stack.context
        context[:] = memoryview(bytes(8 * CONTEXT_WORDS)).cast("Q")
        context[CONTEXT_RA] = function
        context[CONTEXT_SP] = self.stack.top

    def __repr__(self) -> str:
        return str(self.process)
