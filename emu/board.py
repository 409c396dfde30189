"""The board: one hart and its devices, wired as on QEMU's `virt` machine.

Made by the workbench, which hands in the engine's kind and the list of devices (emu/board_map.py); the world
outside, a drive and where the UART's bytes go, is in that list.  The kernel gets the parts by name.  All
state of the machine is in here and in RAM; the board reads no clock, file or terminal of the host.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from emu.board_map import NO_IRQ, Node, Parts
from emu.bus import Bus
from emu.clock import BoardClock
from emu.cpu import engine as e
from emu.cpu.core import Core
from emu.cpu.hart import M_EXTERNAL, S_EXTERNAL
from emu.dev.clint import Clint
from emu.dev.device import Device, Digest
from emu.dev.drive import Drive
from emu.dev.plic import Plic
from emu.dev.uart import Uart
from emu.dev.virtio import VirtioMmio
from emu.dev.virtio_blk import VirtioBlk
from emu.events import EventQueue
from emu.loop import Loop
from emu.ram import Ram

D = TypeVar("D", bound=Device)


class Attached(NamedTuple):
    """A device, and the node of the list by which it was made and connected."""

    node: Node
    device: Device


class Board:
    """A machine with `mem_mib` MiB of RAM and the devices of `nodes`, just powered on.

    pc is at the start of RAM, in M-mode; make_engine(ram) is an engine of emu.cpu.fast or emu.cpu.public.
    """

    def __init__(self, mem_mib: int, make_engine: Callable[[Ram], e.Engine], nodes: Sequence[Node]) -> None:
        self.ram: Final = Ram(mem_mib << 20)
        self.bus: Final = Bus(self.ram)
        self.events: Final = EventQueue()
        self.cores: Final = [Core(make_engine(self.ram), self.ram, self.bus, self.events)]
        self.harts: Final = [core.hart for core in self.cores]
        self.clock: Final = BoardClock([core.clock for core in self.cores])
        self.loop: Final = Loop(self.cores, self.clock, self.events)
        self.exit_code: int | None = None  # what the guest told the test finisher
        lines = [hart.line(number) for hart in self.harts for number in (M_EXTERNAL, S_EXTERNAL)]
        self.plic: Final = Plic(lines)
        parts = Parts(self.ram, self.clock, self.events, self.harts, self.plic, self._finish)
        self.devices: Final = [self._attach(node, parts) for node in nodes]
        self.hart: Final = self.harts[0]  # the only one so far, with its engine and its timer
        self.engine: Final = self.hart.engine
        self.timer: Final = self.cores[0].timer
        for hart in self.harts:
            hart.regs[e.PC] = self.ram.base

    def _attach(self, node: Node, parts: Parts) -> Attached:
        """Make a device, put it on the bus, and connect its interrupt."""
        device = node.make(parts, _not_connected if node.irq == NO_IRQ else self.plic.line(node.irq))
        self.bus.attach(node.base, node.size, device)
        return Attached(node, device)

    def _finish(self, code: int) -> None:
        """The guest wrote to the finisher: the run ends at the next occasion."""
        self.exit_code = code
        self.loop.ask_stop()

    def of_kind(self, kind: type[D]) -> list[D]:
        """The devices of a class, in the order of the list."""
        return [device for _, device in self.devices if isinstance(device, kind)]

    @cached_property
    def clint(self) -> Clint:
        """The board's only one, as is the UART."""
        return self.of_kind(Clint)[0]

    @cached_property
    def uart(self) -> Uart:
        """The console's serial port."""
        return self.of_kind(Uart)[0]

    @cached_property
    def virtio(self) -> list[VirtioMmio]:
        """The virtio transports, by slot, empty ones included."""
        return self.of_kind(VirtioMmio)

    @property
    def drive(self) -> Drive | None:
        """What is behind the first disk."""
        disks = self.of_kind(VirtioBlk)
        return disks[0].drive if disks else None

    def digest_update(self, digest: Digest) -> None:
        """Feed all state of the machine to `digest`: registers, time, RAM, what devices store."""
        for hart in self.harts:
            for index in e.DIGESTED:
                digest.update(hart.regs[index].to_bytes(8, "little"))
            now = hart.clock.now
            digest.update(now.to_bytes(max(8, now.bit_length() + 7 >> 3), "little"))
        digest.update(self.ram.bytes)
        for _, device in self.devices:
            device.digest_update(digest)


def _not_connected(level: bool) -> None:
    raise AssertionError("the device has no interrupt: its node says NO_IRQ")
