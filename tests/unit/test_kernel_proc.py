"""The process table without a hart: creation and its limits, sleep and wakeup, kill, what init inherits.

The switch to the scheduler is replaced; what needs real threads is in tests/system and in usertests.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest

from emu.board import Board
from emu.board_map import virt
from emu.cpu.public import PublicEngine
from emu.dev.drive import RamDrive
from kernel.abi.memlayout import PGSIZE, kstack
from kernel.abi.param import NPROC
from kernel.abi.ps import RUNNABLE, RUNNING, SLEEPING, UNUSED, USED, ZOMBIE
from kernel.abi.riscv import PTE_R, PTE_W
from kernel.errors import BadAddress, OutOfMemory, SyscallError
from kernel.fs.vfs import Inode
from kernel.kernel import Kernel, KernelPanic
from kernel.proc import Process
from kernel.thread import (
    CONTEXT_RA,
    CONTEXT_SP,
    TF_A0,
    TF_A7,
    TF_EPC,
    TF_KERNEL_SATP,
    TF_KERNEL_SP,
    TF_KERNEL_TRAP,
    Thread,
)
from kernel.xv6.personality import Xv6
from toolchain import image

FRAMES_OF_A_PROCESS = 4  # trapframe, root table, and the two below it for the top of the address space


@pytest.fixture
def k() -> Kernel:
    """A kernel that has started, process 1 made and runnable, the hart at its first instruction."""
    board = Board(4, PublicEngine, virt(RamDrive(bytes(1 << 20)), lambda byte: None))
    kernel = Kernel(board, image.kernel_elf(), Xv6)
    kernel.start()
    init = kernel.procs.init
    init.files.cwd = Inode(kernel.fs, 1, kernel, kernel.inodes)
    init.files.cwd.ref = 1
    return kernel


def run(k: Kernel, p: Process) -> None:
    """Make `p` the running process."""
    if p.thread in k.sched.ready:
        k.sched.ready.remove(p.thread)
    p.thread.state = RUNNING
    k.sched.current = p.thread


def sleep(k: Kernel, p: Process, chan: object) -> None:
    """What p.sleep(chan) does up to the switch."""
    run(k, p)
    k.sched.sched = lambda: None  # type: ignore[method-assign]
    k.waits.sleep(chan)


def running_order(k: Kernel) -> list[Process]:
    """Whose turns come next."""
    return [thread.process for thread in k.sched.ready]


def child_of(k: Kernel, parent: Process) -> Process:
    child = k.procs.find(k.procs.fork(parent))
    assert child is not None
    return child


# --- creation ---


def test_a_new_process_has_what_the_hart_needs(k: Kernel) -> None:
    free = k.frames.free_frames
    p = k.procs.allocproc(k.personality)
    assert p.state == USED
    context = p.thread.stack.context
    assert k.frames.free_frames == free - FRAMES_OF_A_PROCESS
    assert p.thread.tf[TF_KERNEL_SATP] == k.satp and p.thread.tf[TF_KERNEL_TRAP] == k.image.usertrap
    assert p.thread.tf[TF_KERNEL_SP] == context[CONTEXT_SP] == kstack(p.thread.stack.slot) + PGSIZE
    assert context[CONTEXT_RA] == k.image.forkret
    assert not any(context.tolist()[2:])
    k.procs.freeproc(p)
    assert k.frames.free_frames == free and p.state == UNUSED


def test_pids_are_never_used_again(k: Kernel) -> None:
    pids = []
    for _ in range(5):
        p = k.procs.allocproc(k.personality)
        assert p is not None
        pids.append(p.pid)
        k.procs.freeproc(p)
    assert pids == [2, 3, 4, 5, 6]


def test_fork_copies_memory_and_registers_but_not_the_kernels_words(k: Kernel) -> None:
    parent = k.procs.init
    k.vm.grow(parent.space, 0, PGSIZE, PTE_R | PTE_W)
    parent.space.sz = PGSIZE
    parent.name = "parent"
    for word in range(TF_EPC, 36):
        parent.thread.tf[word] = 1000 + word
    k.copyout(parent.space, 8, b"before")
    child = child_of(k, parent)
    k.copyout(parent.space, 8, b"after ")
    assert k.copyin(child.space, 8, 6) == b"before"
    assert child.thread.tf[TF_A0] == 0 and child.thread.tf[TF_A7] == 1000 + TF_A7
    assert child.thread.tf[TF_KERNEL_SP] == child.thread.stack.top != parent.thread.tf[TF_KERNEL_SP]
    assert (child.parent, child.name, child.space.sz, child.state) == (parent, "parent", PGSIZE, RUNNABLE)
    assert child.files.cwd is parent.files.cwd and parent.files.cwd is not None and parent.files.cwd.ref == 2


def test_the_table_is_full_and_nothing_is_lost(k: Kernel) -> None:
    parent, free = k.procs.init, k.frames.free_frames
    children = [child_of(k, parent) for _ in range(NPROC - 1)]
    before = k.frames.free_frames
    with pytest.raises(SyscallError, match="EAGAIN"):
        k.procs.fork(parent)
    assert k.frames.free_frames == before
    for child in children:
        k.procs.freeproc(child)
    assert k.frames.free_frames == free
    assert k.procs.fork(parent) == NPROC + 1, "a failed fork has used up no number"


def test_fork_out_of_memory_at_every_allocation(k: Kernel) -> None:
    parent, alloc = k.procs.init, k.frames.alloc
    k.vm.grow(parent.space, 0, 3 * PGSIZE, PTE_R | PTE_W)
    parent.space.sz = 3 * PGSIZE
    before = k.frames.free_frames
    for n in range(1, 50):
        left = n

        def limited() -> int:
            nonlocal left
            left -= 1
            return alloc() if left > 0 else 0

        k.frames.alloc = limited  # type: ignore[method-assign]
        with suppress(OutOfMemory):
            k.procs.fork(parent)
            break
        del k.frames.alloc
        assert k.frames.free_frames == before
        assert [p.pid for p in k.procs] == [1] and running_order(k) == [parent]
    assert n == FRAMES_OF_A_PROCESS + 2 + 1 + 1, "two tables and the page of sp more than an empty one"


# --- sleep, wakeup, kill ---


def test_sleepers_wake_in_the_order_in_which_they_went_to_sleep(k: Kernel) -> None:
    a, b, c = (child_of(k, k.procs.init) for _ in range(3))
    for p in (b, a):
        sleep(k, p, "here")
    sleep(k, c, "there")
    k.sched.ready.clear()
    k.wakeup("nowhere")
    assert not k.sched.ready
    k.wakeup("here")
    assert running_order(k) == [b, a] and a.state == b.state == RUNNABLE
    assert c.state == SLEEPING
    k.wakeup("here")
    assert running_order(k) == [b, a], "nobody is woken twice"


def test_wake_means_one_sleeper_and_leaves_the_others_in_their_order(k: Kernel) -> None:
    a, b, c = (child_of(k, k.procs.init) for _ in range(3))
    for p in (a, b, c):
        sleep(k, p, "here")
    k.sched.ready.clear()
    k.waits.wake(b.thread)
    k.waits.wake(b.thread)
    assert running_order(k) == [b], "one who runs already is not woken again"
    k.wakeup("here")
    assert running_order(k) == [b, a, c]


def test_turns_are_had_in_the_order_in_which_processes_became_runnable(k: Kernel) -> None:
    """Round robin: who gives up its turn, is woken or was just made stands behind all who wait for theirs."""
    a, b, c, d = (child_of(k, k.procs.init) for _ in range(4))
    sleep(k, d, "here")
    k.sched.ready.clear()
    for p in (a, b, c):
        k.sched.make_runnable(p.thread)
    turns: list[Process] = []
    k.sched.sched = lambda: None  # type: ignore[method-assign]

    def swtch(old_pa: int, new_pa: int) -> None:
        """The turn of the process chosen: it yields, and the second one wakes another."""
        thread = k.sched.current
        assert thread is not None and thread.stack.context_pa == new_pa and thread.state == RUNNING
        turns.append(thread.process)
        if len(turns) == 2:
            k.wakeup("here")
        k.sched.yield_(thread)

    k.sched._swtch = swtch  # type: ignore[method-assign]
    for _ in range(10):
        k.sched._run_next()
    assert turns == [a, b, c, a, d, b, c, a, d, b]


@pytest.mark.parametrize("also", [False, True])
def test_kill_wakes_a_sleeper_for_good(k: Kernel, also: bool) -> None:
    p, other = child_of(k, k.procs.init), child_of(k, k.procs.init)
    sleep(k, p, "chan")
    if also:
        sleep(k, other, "chan")
    k.sched.ready.clear()
    k.procs.kill(p.pid)
    assert p.killed and p.state == RUNNABLE and running_order(k) == [p]
    k.wakeup("chan")
    assert running_order(k) == ([p, other] if also else [p]), "it is woken once"


def test_kill_of_nobody(k: Kernel) -> None:
    gone = child_of(k, k.procs.init)
    pid = gone.pid
    k.procs.freeproc(gone)
    for number in (pid, 0, -1, 99999):
        with pytest.raises(SyscallError, match="ESRCH"):
            k.procs.kill(number)


def test_init_cannot_be_killed(k: Kernel) -> None:
    with pytest.raises(SyscallError, match="EPERM"):
        k.procs.kill(1)
    assert not k.procs.init.killed


def test_only_a_process_can_sleep(k: Kernel) -> None:
    k.sched.current = None
    with pytest.raises(AssertionError, match="only a thread can wait"):
        k.sleep("chan")


# --- the end ---


def test_wait_takes_zombies_in_the_order_of_slots(k: Kernel) -> None:
    parent = k.procs.init
    children = [child_of(k, parent) for _ in range(3)]
    for status, child in enumerate(children[1:]):
        child.thread.state, child.xstate = ZOMBIE, 70 + status
    pids, free = [child.pid for child in children], k.frames.free_frames
    assert k.procs.wait(parent, 0) == pids[1] and parent.reaped_status == 70
    assert k.procs.wait(parent, 0) == pids[2] and parent.reaped_status == 71
    assert k.frames.free_frames == free + 2 * FRAMES_OF_A_PROCESS
    assert [p.pid for p in k.procs] == [1, children[0].pid]


def test_wait_without_children(k: Kernel) -> None:
    p = child_of(k, k.procs.init)
    with pytest.raises(SyscallError, match="ECHILD"):
        k.procs.wait(p, 0)


def test_wait_with_a_bad_pointer_leaves_the_zombie(k: Kernel) -> None:
    parent = k.procs.init
    child = child_of(k, parent)
    child.thread.state = ZOMBIE
    with pytest.raises(BadAddress):
        k.procs.wait(parent, 1 << 60)
    assert child.state == ZOMBIE
    assert k.procs.wait(parent, 0) > 0


def test_init_may_not_exit(k: Kernel) -> None:
    with pytest.raises(KernelPanic, match="init exiting"):
        k.procs.exit(k.procs.init, 0)


def test_a_thread_that_lives_is_not_freed(k: Kernel) -> None:
    p = child_of(k, k.procs.init)
    p.thread.greenlet = object()  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="has not ended"):
        k.procs.freeproc(p)


def test_reports(k: Kernel) -> None:
    p = child_of(k, k.procs.init)
    p.name = "cat"
    sleep(k, p, k.console)
    assert k.procs.dump() == f"\n1 runble init\n{p.pid} sleep cat\n"
    assert k.procs.sleepers_report() == f"process {p.pid} (cat) waits for a line from the console"
    sleep(k, k.procs.init, k.procs.init)
    assert "waits for a child of process 1 (init)" in k.procs.sleepers_report()


@pytest.mark.parametrize("make", [lambda thread: thread.tf, lambda thread: thread.stack.context])
def test_what_the_hart_uses_is_ram(k: Kernel, make: Callable[[Thread], memoryview]) -> None:
    thread = k.procs.init.thread
    words = make(thread)
    words[3] = 0x1122_3344_5566_7788
    pa = thread.trapframe_pa if words is thread.tf else thread.stack.context_pa
    assert bytes(k.ram.view(pa + 24, 8)) == bytes.fromhex("8877665544332211")
