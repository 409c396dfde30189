"""The kernel: one object that makes the parts, hands each the few that it works with, and starts them.

Made by the workbench on a Board.  `power_on` loads the image and enters at its first instruction; the
rest follows from the gates that the hart reaches.  RAM, from the kernel's end up:

    | text | data | buffer cache | disk queue | frames ...                | end of RAM
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from emu.board import Board
from emu.clock import Clock
from emu.cpu import engine as e
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import (
    DEVICES,
    PGMASK,
    PGSIZE,
    TEST_FINISHER,
    TRAMPOLINE,
    UART0_IRQ,
    VIRTIO0_IRQ,
)
from kernel.abi.param import CONSOLE, NBUF, NPROC, ROOTDEV
from kernel.abi.riscv import PTE_A, PTE_D, PTE_R, PTE_W, PTE_X
from kernel.abi.syscalls import LAB_YEAR
from kernel.block.bio import BufferCache
from kernel.dev.console import Console
from kernel.dev.plic import PlicDriver
from kernel.dev.registry import DeviceRegistry
from kernel.dev.uart import UartDriver
from kernel.dev.virtio_blk import REGION_SIZE, VirtioDisk
from kernel.errors import KernelPanic as KernelPanic
from kernel.errors import SyscallError, panic
from kernel.exec import Exec, Memory
from kernel.fs.file import FileTable
from kernel.fs.inodes import InodeTable
from kernel.fs.mounts import MountTable
from kernel.fs.namei import namei
from kernel.fs.vfs import Inode
from kernel.fs.xv6fs.filesystem import FileSystem
from kernel.image import KernelImage
from kernel.mm.counts import MemoryCounts
from kernel.mm.cow import CopyOnWrite
from kernel.mm.fault import Pager
from kernel.mm.kalloc import FrameAllocator, FrameOwner
from kernel.mm.mmap import Mmap
from kernel.mm.pagecache import PageCache
from kernel.mm.pagetable import PageTable, VirtualMemory
from kernel.mm.space import AddressSpace
from kernel.mm.superpage import Superpages
from kernel.mm.text import TextCache
from kernel.mm.usercopy import UserCopy
from kernel.observer import Hooks
from kernel.personality import Personality
from kernel.proc import Process, ProcessMemory, ProcTable
from kernel.sched import Scheduler
from kernel.syscall import Dispatcher
from kernel.thread import TF_A0, KernelStack, Thread
from kernel.timer import Timer
from kernel.trap import Trap
from kernel.wait import Waits

RW: Final = PTE_R | PTE_W | PTE_A | PTE_D
RX: Final = PTE_R | PTE_X | PTE_A
FINISHER_PASS: Final = 0x5555
FINISHER_FAIL: Final = 0x3333


class Kernel:
    """An xv6 kernel on `board`.

    `image` is kernel/asm as an ELF file, `personality` makes that of every program.  `init_argv` is what
    process 1 runs, and `modules` are programs that are on no disk, by their paths: exec takes one when
    the machine starts, and else where there is no file.  `lab` is the year of the course whose system
    calls there are; with `usyscall` every process has a page at USYSCALL that holds its number.  `ustack`
    is how many pages every stack has; 0: as the program asks.  `layout` is that of the disk's inodes,
    where the super block does not say it.
    """

    def __init__(
        self,
        board: Board,
        image: bytes,
        personality: Callable[["Kernel"], Personality],
        *,
        init_argv: Sequence[bytes] = (b"/init",),
        modules: Mapping[bytes, bytes] | None = None,
        lab: int = LAB_YEAR,
        usyscall: bool = False,
        ustack: int = 0,
        layout: str | None = None,
        columns: int = 0,
    ) -> None:
        self.board: Final = board
        self.lab: Final = lab
        self.usyscall: Final = usyscall
        self.ustack: Final = ustack
        self.ram: Final = board.ram
        self.bus: Final = board.bus
        self.clock: Final[Clock] = board.hart.clock
        self.image: Final = KernelImage(image, board.ram)
        self.modules: Final = dict(modules or {})
        self.hooks: Final = Hooks()
        self.init_argv = tuple(init_argv)  # may be changed until process 1 has its first turn
        board.engine.cells[e.GATE_LOW] = self.image.gates
        board.engine.cells[e.GATE_HIGH] = self.image.gates_end

        buffers_pa = self.image.end
        disk_pa = buffers_pa + NBUF * BSIZE + PGMASK & ~PGMASK
        frames_pa = disk_pa + REGION_SIZE + PGMASK & ~PGMASK
        self.frames: Final = FrameAllocator(board.ram, frames_pa)
        self.drop_code: Final = board.engine.drop_code
        self.counts: Final = MemoryCounts()
        self.vm: Final = VirtualMemory(board.ram, self.frames, self.drop_code)
        self.superpages: Final = Superpages(board.ram, self.frames, self.vm, self.counts)
        self.vm.superpages = self.superpages
        self.cow: Final = CopyOnWrite(board.ram, self.frames, self.vm, self.superpages, self.counts)
        self.timer: Final = Timer(board.timer)
        self.sched: Final = Scheduler(board.hart, board.loop.go_on, self.image, self.timer, self.hooks)
        self.waits: Final = Waits(self.sched, self.timer)
        self.text: Final = TextCache(board.ram, self.frames, self.drop_code)
        self.uart: Final = UartDriver(board.bus)
        self.disk: Final = VirtioDisk(self.waits, board.ram, board.bus, disk_pa)
        self.cache: Final = BufferCache(self.waits, board.ram, {ROOTDEV: self.disk}, buffers_pa)
        self.pages: Final = PageCache(board.ram, self.frames, self.drop_code, self.counts)
        self.frames.caches.extend((self.pages, self.text))
        self.inodes: Final = InodeTable(self.waits, self._evict)
        self.mounts: Final = MountTable(self.inodes)
        self.fs: Final = FileSystem(
            self.waits,
            self.cache,
            self.inodes,
            self.pages,
            ROOTDEV,
            layout=layout,
            text_changed=self.text.drop,
            say=lambda text: self.console.putstr(text),
        )
        self.files: Final = FileTable()
        self.mmap: Final = Mmap(
            board.ram,
            self.frames,
            self.vm,
            self.cow,
            self.counts,
            self.drop_code,
            self.pages,
            self.inodes,
            lambda: (p.space for p in self.procs),
            lambda space: self.procs.end(self.procs.of(space)),
            self._stores_lost,
        )
        self.pager: Final = Pager(self.vm, self.cow, self.superpages, self.counts, self.mmap.page_in)
        self.usercopy: Final = UserCopy(
            board.ram,
            board.hart.clock,
            self.frames,
            self.vm,
            self.drop_code,
            self.pager.fault,
            self.sched.rest,
        )
        self.pages.on_truncate = self.mmap.truncated
        memory = ProcessMemory(board.ram, self.frames, self.vm, self.cow, self.mmap, self.usercopy)
        runnable = self.sched.make_runnable
        self.procs: Final = ProcTable(memory, self.image, self.files, self.waits, runnable, usyscall)
        self.console: Final = Console(self.uart, self.waits, lab, columns)
        self.console.processes = self.procs.dump
        self.procs.on_exit.append(self.console.release)
        self.devices: Final = DeviceRegistry(PlicDriver(board.bus))
        self.devices.add(UART0_IRQ, self.uart)
        self.devices.add(VIRTIO0_IRQ, self.disk)
        self.devices.add_char(CONSOLE, self.console)
        self.exec: Final = Exec(
            Memory(self.vm, self.cow, self.text, self.usercopy),
            self.mmap,
            self.inodes,
            lambda p, path: namei(self.mounts, p.files.cwd, path),
            self.image.trampoline,
            self.modules,
            lab,
            ustack,
        )
        self.syscalls: Final = Dispatcher(self, self.usercopy, self.hooks)
        self.trap: Final = Trap(
            board.hart,
            self.image,
            self.sched,
            self.timer,
            self.devices,
            self.pager,
            self.syscalls,
            self.hooks,
            self._first_turn,
        )
        self.sched.boot, self.sched.run_thread = self.start, self.trap.run
        self.sched.kerneltrap = self.trap.kerneltrap
        self.personality: Final = personality(self)
        self.frame_owners: Final[tuple[FrameOwner, ...]] = (self.text, self.pages, self.mmap, self.procs)
        self.satp = 0  # of the kernel's own page table
        self.cpu_context: Final = self.image.cpu_context
        board.loop.connect(self.sched.enter)

        # Short names for operations that system-call handlers and others use often.
        self.sleep: Final = self.waits.sleep
        self.wakeup: Final = self.waits.wakeup
        self.wake: Final = self.waits.wake
        self.pause: Final = self.waits.pause
        self.copyin: Final = self.usercopy.copyin
        self.copyout: Final = self.usercopy.copyout
        self.printf: Final = self.console.putstr

    # --- start ---

    def start(self) -> None:
        """Boot, on the boot stack: everything that needs no process, then process 1."""
        self.printf("\norrery: the xv6 kernel in Python is booting\n\n")
        self._map_kernel()
        self._make_stacks()
        self.devices.init()
        self.files.devices.update(self.devices.chars)
        self.timer.start()
        first = self.procs.allocproc(self.personality)
        first.name = "init"
        self.sched.make_runnable(first.thread)

    def _map_kernel(self) -> None:
        """The kernel's page table: devices and RAM at their own addresses, the trampoline at the top."""
        image, map_range = self.image, self.vm.map_range
        self.pagetable = table = PageTable(self.vm.create())
        for base, size in DEVICES:
            map_range(table, base, base, size, RW)
        map_range(table, self.ram.base, self.ram.base, image.etext - self.ram.base, RX)
        map_range(table, image.etext, image.etext, self.ram.end - image.etext, RW)
        map_range(table, TRAMPOLINE, image.trampoline, PGSIZE, RX)
        self.satp = self.procs.kernel_satp = table.satp
        self.board.hart.regs[e.SATP] = self.satp
        self.board.engine.flush_tlb()

    def _make_stacks(self) -> None:
        """Make and map the kernel stacks, each with a guard page below it."""
        for slot in range(NPROC):
            stack = KernelStack(slot, self.image.contexts, self.ram)
            frame = self.frames.alloc()
            assert frame, "there is room for the kernel stacks"
            self.vm.mappage(self.pagetable, stack.va, frame, RW)
            self.procs.stacks.append(stack)

    def _first_turn(self, p: Process) -> None:
        """What a process does in the kernel before it first goes to user mode.

        Process 1 mounts the file system, which needs a process because it waits for the disk, and becomes
        init.
        """
        if p.files.cwd is not None:
            return
        path = self.init_argv[0]
        try:
            self.mounts.mount_root(self.fs)
            p.files.cwd = self.mounts.root()
            p.thread.tf[TF_A0] = self.exec.run(p, path, list(self.init_argv))
        except SyscallError as error:
            self.panic(f"the first program, {path.decode(errors='replace')}, cannot be run: {error}")

    def _evict(self, ip: Inode) -> None:
        """An inode leaves the table: exec and the page cache let go of what they keep of it."""
        if ip.text is not None:
            self.text.drop(ip)
        self.pages.truncated(ip)

    # --- what the parts of the kernel ask of the whole ---

    def myproc(self) -> Process:
        """The process for which the hart works."""
        return self.mythread().process

    def mythread(self) -> Thread:
        """The thread that is running."""
        thread: Thread = self.waits.mythread()
        return thread

    def _stores_lost(self, space: AddressSpace, why: SyscallError) -> None:
        """What a program stored to a mapped file could not be written: say so."""
        p = self.procs.of(space)
        self.printf(f"{p.pid} {p.name}: stores to a mapped file are lost: {why}\n")

    def poweroff(self, status: int) -> None:
        """End the run: the machine stops at the next occasion, with `status` & 255."""
        code = status & 0xFF
        self.bus.store(TEST_FINISHER, 4, FINISHER_FAIL | code << 16 if code else FINISHER_PASS)

    def panic(self, message: str) -> NoReturn:
        """Stop the machine for good."""
        panic(message)
