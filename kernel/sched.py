"""The scheduler: which thread runs, the switch to it, and how control passes between Python and the hart.

The kernel code of each thread is a greenlet, and so is the scheduler's.  A thread that needs guest code
(userret, swtch, idle) sets the hart's registers and calls the machine loop; when the hart reaches a gate, the
thread goes on whose kernel stack sp points into.  So a thread gives the hart away by running swtch.S, which
loads another thread's sp:

    thread A: swtch(A, B) -> loop: hart runs swtch.S ... gate `resumed`, sp in B's stack -> thread B goes on

Only the loop runs a hart.  If it has more to do than to run that to its next gate, the thread switches to the
greenlet that has called Loop.run, and `enter` goes on in the thread of the gate that comes then.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from greenlet import getcurrent, greenlet

from emu.cpu import engine as e
from emu.cpu.hart import Hart
from kernel.abi.memlayout import PGSHIFT
from kernel.abi.ps import RUNNABLE, RUNNING
from kernel.image import KernelImage
from kernel.observer import Hooks
from kernel.thread import Thread, ThreadExit, Unwind
from kernel.timer import Timer

if TYPE_CHECKING:
    from kernel.proc import Process

RA, SP, A0, A1 = 1, 2, 10, 11


class Scheduler:
    """The kernel's threads on one hart, and which thread runs."""

    boot: Callable[[], None]  # what the boot thread does before it schedules,
    run_thread: Callable[[Thread], None]  # a thread from its first turn to its end,
    kerneltrap: Callable[[], None]  # and what serves a trap in `idle`: set when the kernel is put together

    def __init__(
        self, hart: Hart, go_on: Callable[[], bool], image: KernelImage, timer: Timer, hooks: Hooks
    ) -> None:
        self._regs: Final = hart.regs
        self._go_on: Final = go_on  # of the machine loop
        self._image: Final = image
        self._timer: Final = timer
        self._hooks: Final = hooks
        self.ready: Final[deque[Thread]] = deque()  # the RUNNABLE threads; the first has waited longest
        self.current: Thread | None = None
        self.threads: Final[dict[int, greenlet]] = {}  # by page of the kernel stack
        self._loop = getcurrent()
        self._usertrap: Final = image.usertrap
        self._gates: Final = {image.main: self._main, image.forkret: self._begin}

    @property
    def process(self) -> "Process | None":
        """The process for which the hart works."""
        return self.current.process if self.current is not None else None

    # --- from the loop into a thread ---

    def enter(self, hart: Hart) -> None:
        """The hart is at a gate: go on in its thread until the loop has something to do. Called by that."""
        self._loop = getcurrent()
        self.thread_at_gate().switch(self._regs[e.PC])

    def thread_at_gate(self) -> greenlet:
        """The thread of the gate at which the hart is."""
        regs = self._regs
        page = regs[SP] - 1 >> PGSHIFT
        thread = self.threads.get(page)
        if thread is None:
            gate = regs[e.PC]
            begin = self._gates.get(gate)
            assert begin is not None, f"gate {gate:#x} reached on a stack without a thread, sp {regs[SP]:#x}"
            thread = self.threads[page] = greenlet(begin, self._loop)
        return thread

    def unwind(self) -> None:
        """End every thread, at power-off; none is left."""
        for page, thread in list(self.threads.items()):
            if thread:
                thread.throw(Unwind)
            assert thread.dead, "a kernel thread went on at power-off"
            del self.threads[page]

    # --- from a thread to the hart ---

    def run_hart(self, pc: int) -> int:
        """Let the hart go on at `pc`; returns the gate at which it came back to this thread."""
        regs = self._regs
        regs[e.PC] = pc
        if not self._go_on():
            gate: int = self._loop.switch()
            return gate
        gate = regs[e.PC]
        if gate == self._usertrap:  # only the thread that goes to user mode comes back from there
            return gate
        thread = self.thread_at_gate()
        return gate if thread is getcurrent() else thread.switch(gate)

    def call(self, function: int) -> None:
        """Call the assembly function at this address, on this thread's stack."""
        image = self._image
        self._regs[RA] = image.resumed
        gate = self.run_hart(function)
        while gate == image.kerneltrap:
            self.kerneltrap()
            gate = self.run_hart(self._regs[RA])
        assert gate == image.resumed, f"a thread in {function:#x} came back at gate {gate:#x}"

    def rest(self) -> None:
        """In the middle of long work: let the loop check whether a stop was asked for.

        No other thread runs meanwhile, and no interrupt is taken. It costs what a gate does.
        """
        self.call(self._image.resumed)

    def _swtch(self, old_pa: int, new_pa: int) -> None:
        self._regs[A0], self._regs[A1] = old_pa, new_pa
        self.call(self._image.swtch)

    # --- the scheduler ---

    def _main(self, gate: int) -> None:
        """The boot thread: start the kernel, then schedule for ever."""
        self.boot()
        while True:
            self._run_next() if self.ready else self._idle()

    def _choose(self) -> Thread:
        """The policy: take out of `ready` the thread that has the next turn. Here it is round robin."""
        return self.ready.popleft()

    def _run_next(self) -> None:
        thread = self.current = self._choose()
        assert thread.state == RUNNABLE, f"{thread} is in the queue, but not runnable"
        thread.state = RUNNING
        if self._hooks.observer is not None:
            self._hooks.observer.switch(thread.process)
        self._swtch(self._image.cpu_context, thread.stack.context_pa)
        self.current = None

    def _idle(self) -> None:
        """Nothing can run: wait for an interrupt."""
        self._timer.before_idle()
        self.call(self._image.idle)
        self._timer.start()

    def make_runnable(self, thread: Thread) -> None:
        """Let `thread` have its turn, behind all that wait for theirs."""
        thread.state = RUNNABLE
        self.ready.append(thread)

    # --- a thread of a process ---

    def sched(self) -> None:
        """Give the hart to the scheduler; returns when this thread is chosen again."""
        thread = self.current
        assert thread is not None and thread.state != RUNNING, "who gives the hart away is not RUNNING"
        self._swtch(thread.stack.context_pa, self._image.cpu_context)

    def yield_(self, thread: Thread) -> None:
        """Let the others have their turn."""
        self.make_runnable(thread)
        self.sched()

    def _begin(self, gate: int) -> None:
        """The kernel code of the running thread, from its first turn to its end."""
        thread = self.current
        assert thread is not None, "forkret without a thread"
        thread.greenlet = getcurrent()
        try:
            self.run_thread(thread)
        except ThreadExit:  # its last act: the hart switches away, and never comes back
            thread.greenlet = None
            del self.threads[thread.stack.va >> PGSHIFT]
            regs = self._regs
            regs[A0], regs[A1] = thread.stack.context_pa, self._image.cpu_context
            regs[RA], regs[e.PC] = self._image.resumed, self._image.swtch
