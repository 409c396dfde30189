"""Traps, without a hart that takes them, and what they lead to: the drivers of PLIC and UART, shared text."""

from typing import Any

import pytest

from emu.board import Board
from emu.board_map import virt
from emu.cpu import engine as e
from emu.cpu.public import PublicEngine
from emu.dev import uart
from emu.dev.drive import RamDrive
from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE, PLIC, UART0_IRQ, VIRTIO0_IRQ
from kernel.abi.riscv import (
    CAUSE_FETCH_PAGE,
    CAUSE_LOAD_PAGE,
    CAUSE_STORE_PAGE,
    CAUSE_USER_ECALL,
    PTE_R,
    PTE_W,
    SSTATUS_FS,
    SSTATUS_SD,
    SSTATUS_SPIE,
    SSTATUS_SPP,
)
from kernel.abi.syscalls import BY_NAME
from kernel.dev.uart import POLLS_MAX, UartDriver
from kernel.fs.vfs import Inode
from kernel.image import KernelImage
from kernel.kernel import Kernel, KernelPanic
from kernel.mm.space import AddressSpace
from kernel.sched import A0
from kernel.thread import TF_A0, TF_A7, TF_EPC
from kernel.trap import EXTERNAL, TIMER
from kernel.xv6.personality import Xv6
from toolchain import image

U64 = (1 << 64) - 1
SOFTWARE = 1 << 63 | 1


class Exited(Exception):
    """The process was made to exit, with this status."""


class Rig:
    """A kernel with process 1 about to come from user mode; `events` are what its trap led to."""

    def __init__(self, **options: Any) -> None:
        self.sent = bytearray()
        self.board = Board(4, PublicEngine, virt(RamDrive(bytes(1 << 20)), self.sent.append))
        self.k: Any = Kernel(self.board, image.kernel_elf(), Xv6, **options)
        self.k.start()
        self.p = self.k.procs.init
        self.thread = self.p.thread
        self.k.sched.current = self.thread
        self.regs = self.board.hart.regs
        self.events: list[object] = []
        self.k.printf = self.events.append
        self.k.procs.exit = self._exit
        self.k.sched.yield_ = lambda thread: self.events.append("yield")
        self.k.hooks.on_crash = lambda p, scause, va: self.events.append((p.pid, scause, va))

    def _exit(self, p: Any, status: int) -> None:
        raise Exited(status)

    def trap(self, scause: int, sepc: int = 0x100, stval: int = 0) -> list[object]:
        self.regs[e.SCAUSE], self.regs[e.SEPC], self.regs[e.STVAL] = scause, sepc & U64, stval & U64
        self.k.trap._usertrap(self.thread)
        events, self.events[:] = self.events[:], []
        return events


@pytest.fixture
def rig() -> Rig:
    return Rig()


# --- on the way in ---


def test_a_call_goes_on_behind_its_ecall(rig: Rig) -> None:
    rig.thread.tf[TF_A7] = BY_NAME["getpid"].number
    for sepc, epc in ((0x100, 0x104), (U64 - 3, 0)):
        assert rig.trap(CAUSE_USER_ECALL, sepc) == []
        assert (rig.thread.tf[TF_A0], rig.thread.tf[TF_EPC]) == (1, epc)
    assert rig.regs[e.STVEC] == rig.k.image.kernelvec, "from here on only an interrupt may come"


def test_who_was_killed_makes_no_call_and_does_not_go_back(rig: Rig) -> None:
    rig.p.killed = True
    rig.thread.tf[TF_A7] = BY_NAME["getpid"].number
    rig.thread.tf[TF_A0] = 77
    with pytest.raises(Exited, match="-1"):
        rig.trap(CAUSE_USER_ECALL)
    assert rig.thread.tf[TF_A0] == 77
    with pytest.raises(Exited, match="-1"):
        rig.trap(TIMER)


@pytest.mark.parametrize("cause", [CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE])
def test_a_promised_page_is_mapped_and_the_instruction_tried_again(rig: Rig, cause: int) -> None:
    rig.p.space.sz = 2 * PGSIZE
    seen: list[tuple[int, int, bool]] = []

    class Watcher:
        def fault(self, p: Any, scause: int, va: int, promised: bool) -> None:
            seen.append((scause, va, promised))

    rig.k.hooks.observer = Watcher()
    assert rig.trap(cause, stval=8) == [] and rig.thread.tf[TF_EPC] == 0x100
    with pytest.raises(Exited):
        rig.trap(CAUSE_FETCH_PAGE, stval=PGSIZE)
    assert seen == [(cause, 8, True), (CAUSE_FETCH_PAGE, PGSIZE, False)], "the heap is not executed"


def test_the_access_decides_whether_a_fault_is_a_mistake(rig: Rig) -> None:
    """A page of which fork took the right to write is copied for a store, and for nothing else."""
    space = rig.p.space
    space.sz = PGSIZE
    rig.k.vm.grow(space, 0, PGSIZE, PTE_R | PTE_W)
    for cause in (CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE):
        other = AddressSpace(rig.k.vm.create_user(rig.thread.trapframe_pa, rig.k.image.trampoline))
        rig.k.cow.copy(space, other, 0, PGSIZE)
        if cause == CAUSE_STORE_PAGE:
            assert rig.trap(cause, stval=8) == []
        else:
            with pytest.raises(Exited):
                rig.trap(cause, stval=8)
            rig.p.killed = False
            rig.events.clear()


@pytest.mark.parametrize(
    ("lab", "cause", "pc"),
    [(2025, "0xd", "0x100"), (2024, "0xd", "0x100"), (2023, f"{13:#018x}", f"{0x100:#018x}")],
)
def test_a_mistake_is_told_as_in_its_year_and_ends_the_process(lab: int, cause: str, pc: str) -> None:
    rig = Rig(lab=lab)
    with pytest.raises(Exited, match="-1"):
        rig.trap(CAUSE_LOAD_PAGE, stval=0x5000)
    va = f"{0x5000:{'#x' if lab >= 2024 else '#018x'}}"
    assert rig.events == [
        f"usertrap(): unexpected scause {cause} pid=1\n",
        f"            sepc={pc} stval={va}\n",
        (1, CAUSE_LOAD_PAGE, 0x5000),
    ]
    assert rig.p.killed


def test_a_tick_ends_the_turn_and_may_call_the_alarm_before(rig: Rig) -> None:
    class Alarm:
        def tick(self, tf: memoryview) -> None:
            rig.events.append("alarm")

    rig.k.timer.intr = lambda: True
    assert rig.trap(TIMER) == ["yield"]
    rig.p.traits.alarm = Alarm()
    assert rig.trap(TIMER) == ["alarm", "yield"]
    rig.k.timer.intr = lambda: False
    assert rig.trap(TIMER) == [], "a timeout in mid-turn is nothing to the process"
    assert rig.trap(EXTERNAL) == [], "a device ends no turn"


def test_a_trap_in_the_kernel_is_an_interrupt_or_a_bug(rig: Rig) -> None:
    rig.regs[e.SCAUSE] = TIMER
    rig.k.trap.kerneltrap()
    assert rig.events == [], "nobody had a turn"
    for cause, told in ((CAUSE_LOAD_PAGE, "kerneltrap: scause 0xd"), (SOFTWARE, "unexpected interrupt")):
        rig.regs[e.SCAUSE] = cause
        with pytest.raises(KernelPanic, match=told):
            rig.k.trap.kerneltrap()
    with pytest.raises(KernelPanic, match="unexpected interrupt"):
        rig.trap(SOFTWARE)


# --- on the way out ---


def test_the_tlb_is_flushed_for_another_space_or_generation_and_else_not(rig: Rig) -> None:
    flushes: list[str] = []
    rig.board.engine.flush_tlb = lambda: flushes.append("flush")  # type: ignore[method-assign]
    back = rig.k.trap._usertrapret
    back(rig.thread)
    back(rig.thread)
    assert len(flushes) == 1
    rig.p.space.generation += 1
    back(rig.thread)
    back(rig.thread)
    assert len(flushes) == 2
    mine, rig.p.space = rig.p.space, AddressSpace(rig.p.space.root)
    rig.p.space.generation = mine.generation
    back(rig.thread)
    back(rig.thread)
    assert len(flushes) == 3
    rig.p.space = mine
    back(rig.thread)
    assert len(flushes) == 4


@pytest.mark.parametrize(
    "before", [0, SSTATUS_SPP, SSTATUS_SPIE, SSTATUS_FS | SSTATUS_SD, SSTATUS_FS | SSTATUS_SPIE]
)
def test_user_mode_begins_with_interrupts_on_and_floating_point_off(rig: Rig, before: int) -> None:
    other = 1 << 13 << 6  # SUM's neighbour: what is not ours stays
    rig.regs[e.MSTATUS] = before | other
    rig.thread.tf[TF_EPC] = 0x1235
    rig.k.trap._usertrapret(rig.thread)
    mine = SSTATUS_SPP | SSTATUS_SPIE | SSTATUS_FS | SSTATUS_SD
    assert rig.regs[e.MSTATUS] & mine == SSTATUS_SPIE and rig.regs[e.MSTATUS] & other
    assert rig.regs[e.SEPC] == 0x1234, "bit 0 of a pc does not count"
    assert rig.regs[A0] == rig.p.space.satp
    assert rig.regs[e.STVEC] == rig.k.trap._uservec


# --- devices ---


def test_each_device_that_may_interrupt_is_served_until_none_does(rig: Rig) -> None:
    """The PLIC's enable bits and priorities are for both; a device that was served may come again."""
    served: list[str] = []
    rig.k.disk.intr = lambda: served.append("disk")
    rig.k.uart.intr = lambda: served.append("uart")
    for turn in range(2):
        for irq, name in ((UART0_IRQ, "uart"), (VIRTIO0_IRQ, "disk")):
            rig.board.plic.line(irq)(True)
            assert rig.regs[e.MIP] >> 9 & 1, f"{name}, {turn}: the hart is told in S-mode"
            assert rig.trap(EXTERNAL) == [] and served.pop() == name and not served
            rig.board.plic.line(irq)(False)
    assert not rig.regs[e.MIP] >> 9 & 1


def test_a_device_of_lowest_priority_interrupts_too(rig: Rig) -> None:
    assert [rig.board.bus.load(PLIC + 4 * irq, 4) for irq in (UART0_IRQ, VIRTIO0_IRQ)] == [1, 1]
    threshold = PLIC + 0x201000  # of S-mode
    rig.board.bus.store(threshold, 4, 7)
    rig.k.devices._plic.init((UART0_IRQ, VIRTIO0_IRQ))
    assert rig.board.bus.load(threshold, 4) == 0


class Wire:
    """A bus with a UART that logs what is stored, and is `busy` for so many reads of its status."""

    def __init__(self, busy: int = 0, received: bytes = b"") -> None:
        self.busy = busy
        self.received = list(received)
        self.stores: list[tuple[int, int]] = []
        self.room = 0  # what the transmitter takes until its status is read again

    def load(self, pa: int, size: int) -> int:
        register = pa & 7
        if register == uart.DATA:
            return self.received.pop(0)
        assert register == uart.LSR
        self.busy -= 1
        ready = uart.LSR_DATA_READY if self.received else 0
        if self.busy >= 0:
            return ready
        self.room = uart.FIFO_SIZE
        return ready | uart.LSR_TX_EMPTY

    def store(self, pa: int, size: int, value: int) -> None:
        self.stores.append((pa & 7, value))
        self.room -= 1


def driver(wire: Wire) -> UartDriver:
    return UartDriver(wire)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, 1, 16, 17, 100])
def test_no_more_is_sent_than_an_empty_transmitter_takes(n: int) -> None:
    class Strict(Wire):
        def store(self, pa: int, size: int, value: int) -> None:
            super().store(pa, size, value)
            assert self.room >= 0, "its status was not read, or said that it is full"

    wire = Strict(busy=5)
    driver(wire).write(bytes(range(n)))
    assert wire.stores == [(uart.DATA, byte) for byte in range(n)]


def test_a_transmitter_that_stays_full_is_a_panic() -> None:
    driver(Wire(busy=POLLS_MAX - 1)).write(b"x")
    with pytest.raises(KernelPanic, match="stays full"):
        driver(Wire(busy=POLLS_MAX)).write(b"x")


def test_all_that_has_come_in_is_passed_on() -> None:
    got: list[int] = []
    uart_driver = driver(Wire(received=b"abc"))
    uart_driver.receive = got.append
    uart_driver.intr()
    assert bytes(got) == b"abc"


def test_the_uart_is_set_up_with_its_interrupts_off_and_empty(rig: Rig) -> None:
    chip = rig.board.uart
    chip.receive(ord("x"))
    chip.store(uart.IER, 1, 0x0F)
    chip.store(uart.LCR, 1, uart.LCR_DLAB)
    rig.k.uart.init()
    state = chip.state
    assert (state.divisor, state.lcr, state.ier, state.capacity, state.received) == (
        3,
        uart.LCR_8_BITS,
        uart.IER_RX,
        16,
        0,
    )
    wire = Wire()
    driver(wire).init()
    assert wire.stores[0] == (uart.IER, 0) and wire.stores[-1] == (uart.IER, uart.IER_RX)


# --- the kernel's image ---


@pytest.mark.parametrize("damage", [(0, b"\0"), (18, b"\x3e")])
def test_an_image_that_is_not_ours_is_refused(damage: tuple[int, bytes]) -> None:
    at, value = damage
    elf = bytearray(image.kernel_elf())
    elf[at : at + 1] = value
    with pytest.raises(ValueError, match="not a RISC-V ELF file"):
        KernelImage(bytes(elf), Ram(4 << 20))


def test_text_is_one_frame_for_all_until_the_file_changes_or_nobody_runs_it(rig: Rig) -> None:
    text, frames, ip = rig.k.text, rig.k.frames, Inode(rig.k.fs, 7, rig.k, rig.k.inodes)
    free = frames.free_frames
    for pa in (dirty := [frames.alloc() for _ in range(4)]):
        rig.k.ram.view(pa, PGSIZE)[:] = b"\xa5" * PGSIZE
    for pa in dirty:
        frames.free(pa)
    reads: list[tuple[int, int]] = []
    dropped: list[int] = []
    text._drop_code = lambda low, high: dropped.append(low)

    def read(offset: int, n: int) -> bytes:
        reads.append((offset, n))
        return b"t" * n

    whole, part = text.frame(ip, 0, PGSIZE, read), text.frame(ip, 0, 10, read)
    assert whole != part and text.frame(ip, 0, PGSIZE, read) == whole and len(reads) == 2
    assert bytes(rig.k.ram.view(part, PGSIZE)) == b"t" * 10 + bytes(PGSIZE - 10)
    assert ip.text == {(0, PGSIZE): whole, (0, 10): part}
    assert dropped == [whole, part], "they may have held other instructions"
    frames.share(whole)
    assert text.reclaimable == 1 and text.reclaim() and not text.reclaim()
    assert ip.text == {(0, PGSIZE): whole}
    frames.free(whole)
    assert text.reclaimable == 1 and text.reclaim()
    assert ip.text is None and not text.inodes and frames.free_frames == free
    text.frame(ip, 0, PGSIZE, read)
    text.drop(ip)
    assert ip.text is None and frames.free_frames == free


def test_text_that_another_read_meanwhile_is_taken(rig: Rig) -> None:
    """Reading may sleep: who comes back finds the frame of who was faster, and takes no second."""
    text, ip = rig.k.text, Inode(rig.k.fs, 7, rig.k, rig.k.inodes)
    free = rig.k.frames.free_frames
    faster: list[int] = []

    def read(offset: int, n: int) -> bytes:
        faster.append(text.frame(ip, 0, n, lambda offset, n: b"t" * n))
        return b"t" * n

    assert text.frame(ip, 0, PGSIZE, read) == faster[0]
    assert free - rig.k.frames.free_frames == 1
