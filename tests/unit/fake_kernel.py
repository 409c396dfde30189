"""A stand-in for the kernel below the file system's tests: real devices and drivers, no hart, no page tables.

Processes are greenlets that run Python functions; their memory is a flat array from address 0 to MEMORY_SIZE.
The clock stands still while anybody can run, and jumps to the next event when all sleep.  `CutDrive` is a
disk whose power fails at a chosen write.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, NoReturn

from greenlet import getcurrent, greenlet
from unordered_disk import UnorderedBlk

from emu.bus import Bus
from emu.clock import Clock
from emu.dev.drive import RamDrive
from emu.dev.uart import Uart
from emu.dev.virtio_blk import VirtioBlk
from emu.events import NEVER, EventQueue
from emu.ram import Ram
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGMASK, PGSIZE, UART0, VIRTIO0
from kernel.abi.param import CONSOLE, ROOTDEV, ROOTINO
from kernel.abi.ps import RUNNABLE
from kernel.abi.syscalls import LAB_YEAR
from kernel.block import bio
from kernel.block.bio import BufferCache
from kernel.dev import virtio_blk as virtio_disk
from kernel.dev.console import Console
from kernel.dev.uart import UartDriver
from kernel.dev.virtio_blk import VirtioDisk
from kernel.errors import BadAddress, KernelPanic, SyscallError, panic
from kernel.fs import namei as paths
from kernel.fs.descriptors import DescriptorTable
from kernel.fs.file import FileTable
from kernel.fs.inodes import InodeTable
from kernel.fs.mounts import MountTable
from kernel.fs.vfs import Inode
from kernel.fs.xv6fs.filesystem import FileSystem
from kernel.mm.counts import MemoryCounts
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.pagecache import PageCache
from kernel.mm.usercopy import UserBuffer
from kernel.timer import Timer
from kernel.wait import Wait, Waits

MEMORY_SIZE = 64 * PGSIZE
Panic = KernelPanic  # the kernel under test found that one of its rules is broken


class PowerCut(Exception):
    """The disk lost power in the middle of a write."""


class Deadlock(Exception):
    """All processes sleep and nothing is to happen any more."""


class CutDrive(RamDrive):
    """A disk in memory that stops for good after `blocks_left` blocks were written; None: never."""

    def __init__(self, image: bytes | bytearray, blocks_left: int | None = None) -> None:
        super().__init__(image)
        self.blocks_left = blocks_left
        self.blocks_written = 0

    def write(self, sector: int, data: bytes) -> None:
        count = len(data) // BSIZE
        kept = count if self.blocks_left is None else min(count, self.blocks_left)
        super().write(sector, data[: kept * BSIZE])
        self.blocks_written += kept
        if self.blocks_left is not None:
            self.blocks_left -= kept
        if kept < count:
            raise PowerCut

    @property
    def image(self) -> bytes:
        """The content now."""
        return self.read(0, self.capacity)


class FakeSpace:
    """The memory of a process: addresses from 0 to MEMORY_SIZE."""

    def __init__(self) -> None:
        self.memory = bytearray(MEMORY_SIZE)


class FakeProc:
    """A process and its thread: `greenlet` is its code, `result` what its function returned."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name
        self.killed = self.interrupted = False
        self.files = DescriptorTable()
        self.thread = self.process = self  # the one thread that it has
        self.greenlet: greenlet
        self.state = RUNNABLE
        self.wait: Wait | None = None
        self.space = FakeSpace()
        self.memory = self.space.memory
        self.result: Any = None


class Comparator:
    """The hart's timer: `time` is set by the test, `armed` is for when the driver asked."""

    def __init__(self) -> None:
        self.time = 0
        self.armed = 0

    def set_compare(self, value: int) -> None:
        self.armed = value


class FakeKernel:
    """Boots on `drive`; `spawn` processes, then `run` until all have ended.

    With `chance` the disk answers requests in any order that it picks.
    """

    def __init__(
        self,
        drive: RamDrive,
        nbuf: int = 64,
        latency_ticks: int = 4,
        layout: str | None = None,
        chance: Random | None = None,
    ) -> None:
        self.ram = Ram(1 << 20)
        self.bus = Bus(self.ram)
        self.drive = drive
        self.clock = Clock()
        self.events = EventQueue()
        self.sent = bytearray()  # what went out of the UART
        make_disk = VirtioBlk if chance is None else partial(UnorderedBlk, chance=chance)
        self.device = make_disk(
            self.ram, self._set_disk_irq, self.clock, self.events, drive, latency_ticks=latency_ticks
        )
        self.uart_device = Uart(self._set_uart_irq, self.sent.append)
        self.bus.attach(VIRTIO0, PGSIZE, self.device)
        self.bus.attach(UART0, PGSIZE, self.uart_device)
        self._irqs: deque[Callable[[], None]] = deque()
        self.ready: deque[FakeProc] = deque()
        self.procs: list[FakeProc] = []  # those that have not ended
        self.current: FakeProc | None = None
        self._scheduler = getcurrent()
        self.waits = Waits(self, Timer(Comparator()))  # type: ignore[arg-type]
        self.sleep, self.wakeup = self.waits.sleep, self.waits.wakeup
        self.wake, self.pause = self.waits.wake, self.waits.pause
        self.myproc = self.mythread = self.waits.mythread
        self._next_pid = 1
        self.texts_dropped: list[int] = []
        self.procdumps = 0

        self.counts = MemoryCounts()

        self.lab = LAB_YEAR
        k: Any = self
        self.disk = VirtioDisk(k, self.ram, self.bus, self.ram.base)
        self.disk.init()
        self.cache = BufferCache(
            k, self.ram, {ROOTDEV: self.disk}, self.ram.base + virtio_disk.REGION_SIZE, nbuf
        )
        first_pa = self.ram.base + virtio_disk.REGION_SIZE + nbuf * BSIZE + PGMASK & ~PGMASK
        assert first_pa <= self.ram.end and bio.REGION_SIZE % BSIZE == 0
        self.frames = FrameAllocator(self.ram, first_pa)
        self.counts = MemoryCounts()
        self.drop_code: Callable[[int, int], object] = lambda low, high: None
        self.pages = PageCache(self.ram, self.frames, self._drop_code, self.counts)
        self.frames.caches.append(self.pages)
        self.inodes = InodeTable(k, self._evict)
        self.mounts = MountTable(self.inodes)
        self.fs = FileSystem(
            k,
            self.cache,
            self.inodes,
            self.pages,
            ROOTDEV,
            layout=layout,
            text_changed=self.text_changed,
            say=self.printf,
        )
        self.log = self.fs.log
        self.files = FileTable()
        self.uart = UartDriver(self.bus)
        self.usercopy = self
        self.uart.init()
        self.console = Console(self.uart, self.waits, self.lab, 0)
        self.console.processes = self.procdump
        self.files.devices[CONSOLE] = self.console

    # --- what the kernel's modules call ---

    def sched(self) -> None:
        self._scheduler.switch()

    def make_runnable(self, proc: FakeProc) -> None:
        proc.state = RUNNABLE
        self.ready.append(proc)

    def panic(self, message: str) -> NoReturn:
        panic(message)

    def printf(self, text: str) -> None:
        self.console.putstr(text)

    def procdump(self) -> str:
        self.procdumps += 1
        return ""

    def _drop_code(self, low: int, high: int) -> None:
        self.drop_code(low, high)

    def _evict(self, ip: Inode) -> None:
        if ip.text is not None:
            self.text_changed(ip)
        self.pages.truncated(ip)

    def text_changed(self, ip: Inode) -> None:
        self.texts_dropped.append(ip.inum)
        ip.text = None

    def copyin(self, space: FakeSpace, va: int, n: int) -> bytes:
        good = self._good(va, n)
        if good < n:
            raise BadAddress(va + good)
        return bytes(space.memory[va : va + n])

    def copyout(self, space: FakeSpace, va: int, data: bytes) -> None:
        good = self._good(va, len(data))
        space.memory[va : va + good] = data[:good]
        if good < len(data):
            raise BadAddress(va + good)

    def rest(self) -> None:
        """Nobody watches."""

    def sleep_in_copyout(self, va: int) -> object:
        """Let each copyout to `va` sleep first, on what is returned, as if a page had to be read for it."""
        copyout, chan = self.copyout, object()

        def sleeping(space: FakeSpace, at: int, data: bytes) -> None:
            if at == va:
                self.sleep(chan)
            copyout(space, at, data)

        self.copyout = sleeping  # type: ignore[method-assign]
        return chan

    def _good(self, va: int, n: int) -> int:
        """How many of `n` bytes at `va` there are."""
        return max(0, min(n, MEMORY_SIZE - va)) if va >= 0 else 0

    # --- what tests call ---

    def spawn(self, function: Callable[..., Any], *args: Any, cwd: Inode | None = None) -> FakeProc:
        """A process that runs function(k, p, *args). Before the first `run` ends, cwd may be left out."""
        proc = FakeProc(self._next_pid, function.__name__)
        self._next_pid += 1
        if cwd is not None:
            proc.files.cwd = cwd.dup()

        def body() -> None:
            proc.result = function(self, proc, *args)

        proc.greenlet = greenlet(body)
        self.procs.append(proc)
        self.ready.append(proc)
        return proc

    def run(self) -> None:
        """Run all processes to their ends, and let the disk finish."""
        while self.procs:
            while self.ready:
                self.current = proc = self.ready.popleft()
                self._scheduler = getcurrent()
                proc.greenlet.switch()
                self.current = None
                if proc.greenlet.dead:
                    self.procs.remove(proc)
            if self.procs:
                self._wait_for_event()
        while self.events.next_ticks != NEVER:
            self._wait_for_event()

    def run_until_idle(self) -> None:
        """Run until all sleep and nothing is to happen."""
        with suppress(Deadlock):
            self.run()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run function(k, p, *args) as a process that is in the root directory; gives what it returns."""
        proc = self.spawn(function, *args)
        proc.files.cwd = self.inodes.get(self.fs, ROOTINO)
        self.run()
        return proc.result

    def mount(self) -> "FakeKernel":
        """Mount the file system; gives the kernel itself."""

        def mount(k: FakeKernel, p: FakeProc) -> None:
            k.mounts.mount_root(k.fs)

        self.call(mount)
        return self

    def kill(self, proc: FakeProc) -> None:
        """As kill() does: a sleeping process wakes up."""
        proc.killed = True
        self.waits.interrupt(proc)

    def type(self, keys: bytes) -> None:
        """Keys come in on the serial line."""
        for key in keys:
            self.uart_device.receive(key)
            self._serve_irqs()

    def _wait_for_event(self) -> None:
        if self.events.next_ticks == NEVER:
            sleeping = [(p.name, p.wait) for p in self.procs if p.wait is not None]
            raise Deadlock([f"{name} waits for {wait.subjects}" for name, wait in sleeping])
        self.clock.advance_to(self.events.next_ticks)
        self.events.run_due(self.clock.now)
        self._serve_irqs()

    def _serve_irqs(self) -> None:
        while self._irqs:
            self._irqs.popleft()()

    def _set_disk_irq(self, level: bool) -> None:
        if level:
            self._irqs.append(lambda: self.disk.intr())

    def _set_uart_irq(self, level: bool) -> None:
        if level:
            self._irqs.append(lambda: self.uart.intr())


def memory(k: Any, p: Any, va: int, n: int) -> UserBuffer:
    """What a call gives a file to read into, or to write from: `n` bytes at `va` of `p`."""
    return UserBuffer(k.usercopy, p.space, (va, n))


def namei(k: Any, path: bytes, *, follow: bool = True) -> Inode:
    """What a path means to the running process."""
    return paths.namei(k.mounts, k.myproc().files.cwd, path, follow=follow)


def attempt(handler: Callable[..., int], *args: Any) -> int:
    """What a program gets of a call: the dispatcher's part."""
    try:
        return handler(*args)
    except SyscallError:
        return -1
