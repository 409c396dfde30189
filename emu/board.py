"""The board: one hart and its devices, wired as on QEMU's `virt` machine.

Made by the workbench, which hands in the engine's kind and the world outside: a drive, and where the
UART's bytes go.  The kernel gets the parts by name.  Everything that the machine is stands in here and in
RAM; it reads no clock, file or terminal of the host.
"""

from collections.abc import Callable
from typing import Final

from emu import board_map as at
from emu.bus import Bus
from emu.cpu import engine as e
from emu.cpu.csr import AddedCsrs, SupervisorTimer
from emu.cpu.hart import M_EXTERNAL, M_SOFT, M_TIMER, S_EXTERNAL, S_TIMER, Hart
from emu.dev.clint import Clint, HartLines
from emu.dev.drive import Digest, Drive
from emu.dev.finisher import Finisher
from emu.dev.plic import Plic
from emu.dev.uart import Uart
from emu.dev.virtio import VirtioMmio
from emu.dev.virtio_blk import VirtioBlk
from emu.events import EventQueue
from emu.loop import Loop
from emu.ram import PAGE_SIZE, Ram


class Board:
    """A machine with `mem_mib` MiB of RAM, reset: pc at the start of RAM, in M-mode.

    make_engine(ram) is an engine of emu.cpu.fast or emu.cpu.public; transmit(byte) takes what the UART sends.
    """

    def __init__(
        self,
        mem_mib: int,
        make_engine: Callable[[Ram], e.Engine],
        drive: Drive | None,
        transmit: Callable[[int], None],
    ) -> None:
        self.ram: Final = Ram(mem_mib << 20)
        self.engine: Final = make_engine(self.ram)
        self.drive: Final = drive
        self.hart: Final = Hart(self.engine, self.ram)
        self.clock: Final = self.hart.clock
        self.events: Final = EventQueue()
        self.bus: Final = Bus(self.ram)
        self.timer: Final = SupervisorTimer(self.clock, self.events, self.hart.line(S_TIMER))
        self.exit_code: int | None = None  # what the guest told the test finisher
        self.loop: Final = Loop(self.hart, self.bus, self.clock, self.events, AddedCsrs(self.timer))

        hart_lines = HartLines(self.hart.line(M_SOFT), self.hart.line(M_TIMER))
        self.clint: Final = Clint(self.clock, self.events, [hart_lines])
        self.plic: Final = Plic([self.hart.line(M_EXTERNAL), self.hart.line(S_EXTERNAL)])
        self.uart: Final = Uart(self.plic.line(at.UART0_IRQ), transmit)
        self.finisher: Final = Finisher(self._finish, lambda: self._finish(0))
        self.bus.attach(at.FINISHER, at.FINISHER_SIZE, self.finisher)
        self.bus.attach(at.CLINT, at.CLINT_SIZE, self.clint)
        self.bus.attach(at.PLIC, at.PLIC_SIZE, self.plic)
        self.bus.attach(at.UART0, PAGE_SIZE, self.uart)
        self.virtio: Final[list[VirtioMmio]] = []  # by slot
        for slot in range(at.VIRTIO_COUNT):
            irq = self.plic.line(at.VIRTIO0_IRQ + slot)
            device = VirtioMmio(self.ram, irq)
            if slot == 0 and drive is not None:
                device = VirtioBlk(self.ram, irq, self.clock, self.events, drive)
            self.bus.attach(at.VIRTIO0 + slot * at.VIRTIO_STRIDE, at.VIRTIO_STRIDE, device)
            self.virtio.append(device)
        self.hart.regs[e.PC] = self.ram.base

    def _finish(self, code: int) -> None:
        """The guest wrote to the finisher: the run ends at the next occasion."""
        self.exit_code = code
        self.loop.ask_stop()

    def digest_update(self, digest: Digest) -> None:
        """Feed everything that the machine is into `digest`: registers, time, RAM, disk."""
        for index in e.DIGESTED:
            digest.update(self.hart.regs[index].to_bytes(8, "little"))
        now = self.clock.now
        digest.update(now.to_bytes(max(8, now.bit_length() + 7 >> 3), "little"))
        digest.update(self.ram.bytes)
        if self.drive is not None:
            self.drive.sha256_update(digest)
