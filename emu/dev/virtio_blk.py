"""A virtio disk: takes requests from its queue and does them on a drive, a little later.

A request is a chain of descriptors that hold, in this order, however they are cut:

    read by the device                           written by the device
    {type u32, reserved u32, sector u64} data... ...data {status u8}

Time: a request is done LATENCY_TICKS after it was noticed, but not before the one ahead of it; and moving
its data costs TICKS_PER_BYTE on top, one request after the other. So requests that are submitted together
share the latency, and all complete in the order in which they were submitted. The device looks at header
and data, and moves them, at the moment of completion: what a driver changes in between is its own doing, and
the same in every run. A write is on the drive before its status says so.

Errors in a request (a sector beyond the end, half a sector, a host that cannot write) are its status. A chain
that has no header or no status byte breaks the protocol: the device stops and asks for a reset.
Source: Virtual I/O Device (VIRTIO) 1.1, section 5.2.
"""

from collections import deque
from struct import Struct
from typing import Final, NamedTuple

from emu.clock import TICKS_PER_US, TimeSource
from emu.dev.device import Digest, SetLevel
from emu.dev.drive import SECTOR_SIZE, Drive, DriveError
from emu.dev.virtio import F_VERSION_1, VirtioMmio
from emu.dev.virtqueue import Chain, VirtQueue, gather, scatter
from emu.events import Event, EventQueue
from emu.ram import Ram

LATENCY_TICKS: Final = 20 * TICKS_PER_US
TICKS_PER_BYTE: Final = 8  # 2 ns: 500 MB/s

DEVICE_ID: Final = 2
F_FLUSH: Final = 1 << 9

TYPE_IN: Final = 0
TYPE_OUT: Final = 1
TYPE_FLUSH: Final = 4
TYPE_GET_ID: Final = 8

STATUS_OK: Final = 0
STATUS_IOERR: Final = 1
STATUS_UNSUPP: Final = 2

ID_SIZE: Final = 20
HEADER: Final = Struct("<IIQ")
_CONFIG: Final = Struct("<QII4xI")  # capacity, (size_max, seg_max, geometry: not offered), block size


class Request(NamedTuple):
    """A chain in work, and when it will be done."""

    queue: VirtQueue
    chain: Chain
    done_ticks: int


class VirtioBlk(VirtioMmio):
    """A disk on `drive`. `serial` is what GET_ID tells: up to 20 ASCII characters."""

    device_id = DEVICE_ID
    queue_count = 1
    features = F_VERSION_1 | F_FLUSH

    def __init__(
        self,
        ram: Ram,
        irq: SetLevel,
        clock: TimeSource,
        events: EventQueue,
        drive: Drive,
        *,
        serial: str = "orrery0",
        latency_ticks: int = LATENCY_TICKS,
    ) -> None:
        self._clock: Final = clock
        self._events: Final = events
        self.drive: Final = drive
        self._id: Final = serial.encode("ascii").ljust(ID_SIZE, b"\0")
        assert len(self._id) == ID_SIZE, f"a disk's serial has up to {ID_SIZE} characters, not {serial!r}"
        self._latency_ticks: Final = latency_ticks
        self._requests: Final[deque[Request]] = deque()  # in work, in order
        self._timer: Event | None = None  # for the first of them
        self._busy_until = 0  # when the last of them is done
        super().__init__(ram, irq)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Those in work, in the order in which they will be done."""
        return tuple(self._requests)

    def digest_update(self, digest: Digest) -> None:
        self.drive.sha256_update(digest)

    def asked(self, chain: Chain) -> tuple[int, int]:
        """What the header of a request says now: its type, one of TYPE_*, and sector."""
        kind, _, sector = HEADER.unpack(gather(self.ram, chain.readable, 0, HEADER.size))
        return kind, sector

    def config(self) -> bytes:
        return _CONFIG.pack(self.drive.capacity, 0, 0, SECTOR_SIZE)

    def serve(self, index: int, queue: VirtQueue) -> None:
        while (chain := queue.pop()) is not None:
            size = chain.readable_size + chain.writable_size
            if chain.readable_size < HEADER.size or chain.writable_size < 1:
                self.need_reset("a disk request has a header to read and a status byte to write")
                break
            earliest = max(self._clock.now + self._latency_ticks, self._busy_until)
            self._busy_until = earliest + (size - HEADER.size - 1) * TICKS_PER_BYTE
            self._requests.append(Request(queue, chain, self._busy_until))
        self._set_timer()

    def stop(self) -> None:
        self._requests.clear()
        self._busy_until = 0
        if self._timer is not None:
            self._events.cancel(self._timer)
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is None and self._requests:
            self._timer = self._events.at(self._requests[0].done_ticks, self._complete)

    def _complete(self) -> None:
        """The first request's time has come."""
        self._timer = None
        request = self._requests.popleft()
        chain = request.chain
        status, written = self._perform(chain)
        scatter(self.ram, chain.writable, chain.writable_size - 1, bytes([status]))
        if request.queue.push(chain, written + 1):
            self.interrupt_used()
        self._set_timer()

    def _perform(self, chain: Chain) -> tuple[int, int]:
        """Do what the request asks: (its status, bytes of data written to RAM)."""
        kind, sector = self.asked(chain)
        try:
            if kind == TYPE_IN:
                return self._read(chain, sector)
            if kind == TYPE_OUT:
                return self._write(chain, sector), 0
            if kind == TYPE_FLUSH:
                self.drive.flush()
                return STATUS_OK, 0
        except DriveError:
            return STATUS_IOERR, 0  # the guest's to deal with, as on a real disk
        if kind == TYPE_GET_ID:
            data = self._id[: chain.writable_size - 1]
            scatter(self.ram, chain.writable, 0, data)
            return STATUS_OK, len(data)
        return STATUS_UNSUPP, 0

    def _read(self, chain: Chain, sector: int) -> tuple[int, int]:
        size = chain.writable_size - 1
        if not self._has(sector, size):
            return STATUS_IOERR, 0
        scatter(self.ram, chain.writable, 0, self.drive.read(sector, size // SECTOR_SIZE))
        return STATUS_OK, size

    def _write(self, chain: Chain, sector: int) -> int:
        size = chain.readable_size - HEADER.size
        if not self._has(sector, size):
            return STATUS_IOERR
        self.drive.write(sector, gather(self.ram, chain.readable, HEADER.size, size))
        return STATUS_OK

    def _has(self, sector: int, size: int) -> bool:
        """Whether the disk has `size` bytes from `sector` on, in whole sectors."""
        return size % SECTOR_SIZE == 0 and sector + size // SECTOR_SIZE <= self.drive.capacity
