"""The virtio-mmio transport, version 2: the registers by which a driver finds and runs a virtio device.

A device (emu/virtio_blk.py) is a subclass: it says what it is, what it offers, what its configuration space
holds, and what to do when the driver has put chains in a queue. VirtioMmio itself is an empty slot (device
number 0), as the board has where nothing is plugged in.

    driver:  ACKNOWLEDGE, DRIVER -> features -> FEATURES_OK -> queues ready -> DRIVER_OK -> notify ...
    device:  ... used ring written, interrupt status set, line raised -> driver acknowledges

Queues are served only while DRIVER_OK is set. A driver that breaks a queue's rules makes the device stop
with DEVICE_NEEDS_RESET; nothing that it does raises. Registers take 4-byte accesses, the configuration space
any. Features are the driver's to leave out, VERSION_1 too (xv6 never reads the upper half of the offer).
Source: Virtual I/O Device (VIRTIO) 1.1, sections 2.1, 3.1, 4.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from emu.device import Device, SetLevel
from emu.ram import Ram
from emu.virtqueue import QUEUE_SIZE_MAX, VirtQueue

MAGIC: Final = 0x74726976  # "virt"
VERSION: Final = 2
VENDOR: Final = 0x554D4551  # as QEMU's: drivers look for it

F_VERSION_1: Final = 1 << 32

STATUS_FEATURES_OK: Final = 8
STATUS_DRIVER_OK: Final = 4
STATUS_NEEDS_RESET: Final = 0x40

INTERRUPT_USED: Final = 1
INTERRUPT_CONFIG: Final = 2

_CONFIG: Final = 0x100
_NO_SHARED_MEMORY: Final = 0xFFFF_FFFF  # length and address of a region that does not exist


@dataclass(slots=True)
class _QueueSetup:
    """What the driver has said of a queue; `queue` is there while it is ready."""

    size: int = 0
    tables_pa: list[int] = field(default_factory=lambda: [0, 0, 0])  # descriptors, available, used
    queue: VirtQueue | None = None


class VirtioMmio(Device):
    """An empty slot, or the register side of a subclass's device. `irq` is its interrupt line."""

    device_id: ClassVar[int] = 0
    queue_count: ClassVar[int] = 0
    features: ClassVar[int] = 0  # offered, as one 64-bit mask

    def __init__(self, ram: Ram, irq: SetLevel) -> None:
        self.ram: Final = ram
        self.broken = ""  # why the device needs a reset, "" if it does not
        self._irq: Final = irq
        self._forget()

    # What a subclass fills in.

    def config(self) -> bytes:
        """The configuration space as it is now; it reads 0 behind its end."""
        return b""

    def serve(self, index: int, queue: VirtQueue) -> None:
        """The driver has notified queue `index`: take its chains."""

    def stop(self) -> None:
        """Forget all requests in work: the driver resets the device, or a queue is gone."""

    # What a subclass calls.

    def interrupt_used(self) -> None:
        """Tell the driver that a used ring has grown."""
        self._interrupt_status |= INTERRUPT_USED
        self._irq(True)

    def need_reset(self, reason: str) -> None:
        """The driver broke a rule: serve nothing more until it resets the device."""
        self.broken = self.broken or reason
        self._status |= STATUS_NEEDS_RESET
        if self._status & STATUS_DRIVER_OK:
            self._interrupt_status |= INTERRUPT_CONFIG
            self._irq(True)

    # The bus's side.

    def load(self, offset: int, size: int) -> int:
        if offset >= _CONFIG:
            start = offset - _CONFIG
            return int.from_bytes(self.config()[start : start + size], "little")
        read = _READ.get(offset)
        return read(self) if read is not None and size == 4 else 0

    def store(self, offset: int, size: int, value: int) -> None:
        write = _WRITE.get(offset)
        if write is not None and size == 4:
            write(self, value)

    def _forget(self) -> None:
        """The state after a reset."""
        self.broken = ""
        self._status = 0
        self._interrupt_status = 0
        self._offer_word = 0
        self._accepted_word = 0
        self._accepted = 0
        self._selected = 0
        self._queues: list[_QueueSetup] = [_QueueSetup() for _ in range(self.queue_count)]

    def _write_status(self, value: int) -> None:
        if value == 0:
            self.stop()
            self._forget()
            self._irq(False)
            return
        if value & STATUS_FEATURES_OK and self._accepted & ~self.features:
            value &= ~STATUS_FEATURES_OK  # the driver reads it back, and sees that we do not agree
        self._status = value & 0xFF | self._status & STATUS_NEEDS_RESET

    def _accept_features(self, value: int) -> None:
        if self._accepted_word < 2 and not self._status & STATUS_FEATURES_OK:
            shift = 32 * self._accepted_word
            self._accepted = self._accepted & ~(0xFFFF_FFFF << shift) | value << shift

    def _offered_features(self) -> int:
        return self.features >> 32 * self._offer_word & 0xFFFF_FFFF if self._offer_word < 2 else 0

    def _setup(self) -> _QueueSetup | None:
        """The queue that the driver has selected, if the device has it."""
        return self._queues[self._selected] if self._selected < len(self._queues) else None

    def _write_ready(self, value: int) -> None:
        setup = self._setup()
        if setup is None:
            return
        if not value & 1:
            if setup.queue is not None:
                setup.queue = None
                self.stop()
        elif setup.queue is None:
            queue = VirtQueue(self.ram, setup.size, *setup.tables_pa)
            if queue.broken:
                self.need_reset(queue.broken)
            else:
                setup.queue = queue

    def _notify(self, index: int) -> None:
        if index >= len(self._queues) or self.broken or not self._status & STATUS_DRIVER_OK:
            return
        queue = self._queues[index].queue
        if queue is not None:
            self.serve(index, queue)
            if queue.broken:
                self.need_reset(queue.broken)

    def _acknowledge(self, value: int) -> None:
        self._interrupt_status &= ~value
        if not self._interrupt_status:
            self._irq(False)

    def _set_offer_word(self, value: int) -> None:
        self._offer_word = value

    def _set_accepted_word(self, value: int) -> None:
        self._accepted_word = value

    def _select(self, value: int) -> None:
        self._selected = value

    def _set_queue_size(self, value: int) -> None:
        setup = self._setup()
        if setup is not None and setup.queue is None:
            setup.size = value

    def _queue_size_max(self) -> int:
        return QUEUE_SIZE_MAX if self._setup() is not None else 0

    def _queue_ready(self) -> int:
        setup = self._setup()
        return int(setup is not None and setup.queue is not None)


def _table_address(table: int, shift: int) -> Callable[[VirtioMmio, int], None]:
    """The write of one half of the address of a queue's table number `table`."""

    def write(transport: VirtioMmio, value: int) -> None:
        setup = transport._setup()
        if setup is not None and setup.queue is None:
            others = setup.tables_pa[table] & ~(0xFFFF_FFFF << shift)
            setup.tables_pa[table] = others | value << shift

    return write


_READ: Final[dict[int, Callable[[VirtioMmio], int]]] = {
    0x000: lambda transport: MAGIC,
    0x004: lambda transport: VERSION,
    0x008: lambda transport: transport.device_id,
    0x00C: lambda transport: VENDOR,
    0x010: VirtioMmio._offered_features,
    0x034: VirtioMmio._queue_size_max,
    0x044: VirtioMmio._queue_ready,
    0x060: lambda transport: transport._interrupt_status,
    0x070: lambda transport: transport._status,
    0x0B0: lambda transport: _NO_SHARED_MEMORY,
    0x0B4: lambda transport: _NO_SHARED_MEMORY,
    0x0B8: lambda transport: _NO_SHARED_MEMORY,
    0x0BC: lambda transport: _NO_SHARED_MEMORY,
    0x0FC: lambda transport: 0,  # generation of the configuration, which never changes
}

_WRITE: Final[dict[int, Callable[[VirtioMmio, int], None]]] = {
    0x014: VirtioMmio._set_offer_word,
    0x020: VirtioMmio._accept_features,
    0x024: VirtioMmio._set_accepted_word,
    0x030: VirtioMmio._select,
    0x038: VirtioMmio._set_queue_size,
    0x044: VirtioMmio._write_ready,
    0x050: VirtioMmio._notify,
    0x064: VirtioMmio._acknowledge,
    0x070: VirtioMmio._write_status,
    0x080: _table_address(0, 0),
    0x084: _table_address(0, 32),
    0x090: _table_address(1, 0),
    0x094: _table_address(1, 32),
    0x0A0: _table_address(2, 0),
    0x0A4: _table_address(2, 32),
}
