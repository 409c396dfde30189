"""Traps: how a process enters the kernel and leaves it.

The path of one system call, with the files on it:

    user code      ecall                      user/lib, generated stub
    hart           trap: pc = stvec           emu/cpu/native/hooks.c, emu/cpu/hart.py
    uservec        registers -> trapframe     asm/trampoline.S
    usertrap gate  Trap.run goes on           emu/loop.py, kernel/sched.py
    usertrap       here                       -> kernel/syscall.py
    usertrapret    here
    userret        trapframe -> registers     asm/trampoline.S
    sret           user code goes on

While a process is in user mode, stvec points at uservec in the trampoline; while it is in the kernel, at
kernelvec, where only an interrupt may arrive, and only in `idle`.
"""

from collections.abc import Callable
from typing import Final

from emu.cpu import engine as e
from emu.cpu.hart import EVEN, MASK64, Hart
from kernel.abi.memlayout import TRAMPOLINE
from kernel.abi.riscv import (
    CAUSE_FETCH_PAGE,
    CAUSE_LOAD_PAGE,
    CAUSE_STORE_PAGE,
    CAUSE_USER_ECALL,
    IRQ_S_EXTERNAL,
    IRQ_S_TIMER,
    PTE_R,
    PTE_W,
    PTE_X,
    SCAUSE_INTERRUPT,
    SSTATUS_FS,
    SSTATUS_SD,
    SSTATUS_SPIE,
    SSTATUS_SPP,
)
from kernel.dev.registry import DeviceRegistry
from kernel.errors import panic
from kernel.image import KernelImage
from kernel.mm.fault import Pager
from kernel.mm.space import AddressSpace
from kernel.observer import Hooks
from kernel.proc import Process
from kernel.sched import A0, Scheduler
from kernel.syscall import Dispatcher
from kernel.thread import TF_EPC, Thread
from kernel.timer import Timer

TIMER: Final = SCAUSE_INTERRUPT | IRQ_S_TIMER
EXTERNAL: Final = SCAUSE_INTERRUPT | IRQ_S_EXTERNAL
ACCESS: Final = {CAUSE_FETCH_PAGE: PTE_X, CAUSE_LOAD_PAGE: PTE_R, CAUSE_STORE_PAGE: PTE_W}
TO_USER_MASK: Final = SSTATUS_SPP | SSTATUS_SPIE | SSTATUS_FS | SSTATUS_SD


class Trap:
    """Trap handling on one hart."""

    def __init__(
        self,
        hart: Hart,
        image: KernelImage,
        sched: Scheduler,
        timer: Timer,
        devices: DeviceRegistry,
        pager: Pager,
        syscalls: Dispatcher,
        hooks: Hooks,
        first_turn: Callable[[Process], None],
    ) -> None:
        self._hart: Final = hart
        self._regs: Final = hart.regs
        self._image: Final = image
        self._sched: Final = sched
        self._timer: Final = timer
        self._devices: Final = devices
        self._pager: Final = pager
        self._syscalls: Final = syscalls
        self._hooks: Final = hooks
        self._first_turn: Final = first_turn
        self._uservec: Final = TRAMPOLINE + image.uservec - image.trampoline
        self._userret: Final = TRAMPOLINE + image.userret - image.trampoline
        self._tlb_space: AddressSpace | None = None  # whose translations the hart's TLB has,
        self._tlb_generation = 0  # and of which generation

    def run(self, thread: Thread) -> None:
        """The life of a thread in the kernel, from its first turn on."""
        self._first_turn(thread.process)
        usertrap_gate, run_hart = self._image.usertrap, self._sched.run_hart
        while True:
            self._usertrapret(thread)
            gate = run_hart(self._userret)
            assert gate == usertrap_gate, f"user code came back at gate {gate:#x}, not at usertrap"
            self._usertrap(thread)

    def _usertrapret(self, thread: Thread) -> None:
        """Prepare the hart for user mode: userret does the rest."""
        regs, space = self._regs, thread.process.space
        if space is not self._tlb_space or space.generation != self._tlb_generation:
            # The one place where the TLB is flushed: another address space, or a mapping was taken away.
            self._hart.engine.flush_tlb()
            self._tlb_space, self._tlb_generation = space, space.generation
        regs[e.STVEC] = self._uservec
        # Previous privilege U, interrupts on after sret, floating point off as in xv6.
        mstatus = regs[e.MSTATUS]
        if mstatus & TO_USER_MASK != SSTATUS_SPIE:
            regs[e.MSTATUS] = mstatus & ~TO_USER_MASK | SSTATUS_SPIE
        regs[e.SEPC] = thread.tf[TF_EPC] & EVEN  # user memory may have given it, as in exec and sigalarm
        regs[e.SSCRATCH] = thread.trapframe_va
        regs[A0] = space.satp

    def _usertrap(self, thread: Thread) -> None:
        """Handle a trap from user mode: a system call, a page to be mapped, an interrupt, or a mistake."""
        regs, p = self._regs, thread.process
        regs[e.STVEC] = self._image.kernelvec
        scause, sepc = regs[e.SCAUSE], regs[e.SEPC]
        if scause == CAUSE_USER_ECALL:
            if p.killed:
                p.personality.interrupted(thread)
            thread.tf[TF_EPC] = sepc + 4 & MASK64
            self._syscalls.dispatch(thread)
        else:
            thread.tf[TF_EPC] = sepc
            if scause & SCAUSE_INTERRUPT:
                self._interrupt(scause, thread)
            else:
                self._fault(thread, scause, regs[e.STVAL])
        if p.killed:
            p.personality.interrupted(thread)

    def _fault(self, thread: Thread, scause: int, va: int) -> None:
        """An exception in user mode: map the page if it was promised, else the process dies."""
        p, hooks = thread.process, self._hooks
        access = ACCESS.get(scause)
        promised = access is not None and self._pager.fault(p.space, va, access)
        if hooks.observer is not None:
            hooks.observer.fault(p, scause, va, promised)
        if not promised:
            p.personality.exception(thread, scause, va)
            if hooks.on_crash is not None:
                hooks.on_crash(p, scause, va)

    def _interrupt(self, scause: int, thread: Thread | None) -> None:
        """Serve a device; a timer interrupt in user mode ends the process's turn."""
        if scause == EXTERNAL:
            self._devices.intr()
        elif scause == TIMER:
            turn_ends = self._timer.intr()
            if thread is not None and turn_ends:
                thread.process.traits.on_tick(thread)
                self._sched.yield_(thread)
        else:
            panic(f"unexpected interrupt, scause {scause:#x}")

    def kerneltrap(self) -> None:
        """A trap in supervisor mode: an interrupt in `idle`, or a bug."""
        regs = self._regs
        scause = regs[e.SCAUSE]
        if not scause & SCAUSE_INTERRUPT:
            panic(f"kerneltrap: scause {scause:#x} sepc {regs[e.SEPC]:#x} stval {regs[e.STVAL]:#x}")
        self._interrupt(scause, None)
