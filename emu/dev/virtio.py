"""The virtio-mmio transport, version 2: the registers by which a driver finds and runs a virtio device.

A device (emu/dev/virtio_blk.py) is a subclass: it says what it is, what it offers, what its configuration
space holds, and what to do when the driver has put chains in a queue. VirtioMmio itself is an empty slot
(device number 0), as the board has where nothing is plugged in.

    driver:  ACKNOWLEDGE, DRIVER -> features -> FEATURES_OK -> queues ready -> DRIVER_OK -> notify ...
    device:  ... used ring written, interrupt status set, line raised -> driver acknowledges

Queues are served only while DRIVER_OK is set. A driver that breaks a queue's rules makes the device stop
with DEVICE_NEEDS_RESET; nothing that it does raises. Registers take 4-byte accesses, the configuration space
any. Features are the driver's to leave out, VERSION_1 too (xv6 never reads the upper half of the offer).
Source: Virtual I/O Device (VIRTIO) 1.1, sections 2.1, 3.1, 4.2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from emu.dev.device import Device, SetLevel
from emu.dev.virtqueue import QUEUE_SIZE_MAX, VirtQueue
from emu.ram import Ram


class Reg:
    """Offsets of the registers; the kernel's driver (kernel/dev/virtio_blk.py) has them from here too."""

    MAGIC: Final = 0x000
    VERSION: Final = 0x004
    DEVICE_ID: Final = 0x008
    VENDOR_ID: Final = 0x00C
    DEVICE_FEATURES: Final = 0x010  # 32 of them, chosen by the next
    DEVICE_FEATURES_SEL: Final = 0x014
    DRIVER_FEATURES: Final = 0x020
    DRIVER_FEATURES_SEL: Final = 0x024
    QUEUE_SEL: Final = 0x030
    QUEUE_NUM_MAX: Final = 0x034
    QUEUE_NUM: Final = 0x038
    QUEUE_READY: Final = 0x044
    QUEUE_NOTIFY: Final = 0x050
    INTERRUPT_STATUS: Final = 0x060
    INTERRUPT_ACK: Final = 0x064
    STATUS: Final = 0x070
    QUEUE_DESC: Final = 0x080  # addresses of the tables, the high word 4 bytes further
    QUEUE_DRIVER: Final = 0x090
    QUEUE_DEVICE: Final = 0x0A0
    SHM_LEN: Final = 0x0B0  # shared memory, which no device here has: length and address
    SHM_BASE: Final = 0x0B8
    CONFIG_GENERATION: Final = 0x0FC
    CONFIG: Final = 0x100


MAGIC: Final = 0x74726976  # "virt"
VERSION: Final = 2
VENDOR: Final = 0x554D4551  # as QEMU's: drivers look for it

F_VERSION_1: Final = 1 << 32

STATUS_ACKNOWLEDGE: Final = 1
STATUS_DRIVER: Final = 2
STATUS_DRIVER_OK: Final = 4
STATUS_FEATURES_OK: Final = 8
STATUS_NEEDS_RESET: Final = 0x40

INTERRUPT_USED: Final = 1
INTERRUPT_CONFIG: Final = 2

_NO_SHARED_MEMORY: Final = 0xFFFF_FFFF  # length and address of a region that does not exist


@dataclass(slots=True)
class QueueSetup:
    """What the driver has said of a queue; `queue` is there while it is ready."""

    size: int = 0
    tables_pa: list[int] = field(default_factory=lambda: [0, 0, 0])  # descriptors, available, used
    queue: VirtQueue | None = None


class TransportState(NamedTuple):
    """The state of a transport, for reports: features as the driver has accepted them, bits by STATUS_*."""

    status: int
    interrupt_status: int
    features: int
    queues: tuple[QueueSetup, ...]


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

    @property
    def state(self) -> TransportState:
        """The state now; registers would show only the queue that is selected."""
        return TransportState(self._status, self._interrupt_status, self._accepted, tuple(self._queues))

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
        if offset >= Reg.CONFIG:
            start = offset - Reg.CONFIG
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
        self._queues: list[QueueSetup] = [QueueSetup() for _ in range(self.queue_count)]

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
        return self.features >> 32 * self._offer_word & 0xFFFF_FFFF

    def _setup(self) -> QueueSetup | None:
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
    Reg.MAGIC: lambda transport: MAGIC,
    Reg.VERSION: lambda transport: VERSION,
    Reg.DEVICE_ID: lambda transport: transport.device_id,
    Reg.VENDOR_ID: lambda transport: VENDOR,
    Reg.DEVICE_FEATURES: VirtioMmio._offered_features,
    Reg.QUEUE_NUM_MAX: VirtioMmio._queue_size_max,
    Reg.QUEUE_READY: VirtioMmio._queue_ready,
    Reg.INTERRUPT_STATUS: lambda transport: transport._interrupt_status,
    Reg.STATUS: lambda transport: transport._status,
    Reg.SHM_LEN: lambda transport: _NO_SHARED_MEMORY,
    Reg.SHM_LEN + 4: lambda transport: _NO_SHARED_MEMORY,
    Reg.SHM_BASE: lambda transport: _NO_SHARED_MEMORY,
    Reg.SHM_BASE + 4: lambda transport: _NO_SHARED_MEMORY,
    Reg.CONFIG_GENERATION: lambda transport: 0,  # generation of the configuration, which never changes
}

_WRITE: Final[dict[int, Callable[[VirtioMmio, int], None]]] = {
    Reg.DEVICE_FEATURES_SEL: VirtioMmio._set_offer_word,
    Reg.DRIVER_FEATURES: VirtioMmio._accept_features,
    Reg.DRIVER_FEATURES_SEL: VirtioMmio._set_accepted_word,
    Reg.QUEUE_SEL: VirtioMmio._select,
    Reg.QUEUE_NUM: VirtioMmio._set_queue_size,
    Reg.QUEUE_READY: VirtioMmio._write_ready,
    Reg.QUEUE_NOTIFY: VirtioMmio._notify,
    Reg.INTERRUPT_ACK: VirtioMmio._acknowledge,
    Reg.STATUS: VirtioMmio._write_status,
    Reg.QUEUE_DESC: _table_address(0, 0),
    Reg.QUEUE_DESC + 4: _table_address(0, 32),
    Reg.QUEUE_DRIVER: _table_address(1, 0),
    Reg.QUEUE_DRIVER + 4: _table_address(1, 32),
    Reg.QUEUE_DEVICE: _table_address(2, 0),
    Reg.QUEUE_DEVICE + 4: _table_address(2, 32),
}
