"""Driver of the virtio block device: one split virtqueue in guest RAM, requests of one or more blocks.

The buffer cache and the log call it from processes, the trap code calls `intr`.  A request is a chain of
descriptors: a 16-byte header that the device reads, one descriptor for each block's data, and a status byte
that the device writes.

    descriptors  head -> data -> data -> ... -> status
    the driver's ring ("available") names heads that wait, the device's ring ("used") heads that are done

Registers and structures are declared in emu/.  Source: Virtual I/O Device (VIRTIO) 1.2, sections 2.7 (split
virtqueues), 3.1 (bringing a device up), 4.2 (MMIO) and 5.2 (block device).
"""

from collections.abc import Sequence
from typing import Final

from emu.bus import Bus
from emu.dev import virtio, virtio_blk, virtqueue
from emu.dev.drive import SECTOR_SIZE
from emu.dev.virtio import Reg
from emu.ram import Ram
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGSIZE, VIRTIO0
from kernel.block.device import BLOCKS_PER_REQUEST_MAX, READ, WRITE, BlockDevice, Request
from kernel.errors import panic
from kernel.wait import Threads, WaitQueue

TYPES: Final = {READ: virtio_blk.TYPE_IN, WRITE: virtio_blk.TYPE_OUT}
STATUS_PENDING: Final = 0xFF  # no value that the device writes

# What the region handed in holds, offsets in bytes
QUEUE_SIZE: Final = 128
DESC_AT: Final = 0
AVAIL_AT: Final = DESC_AT + 16 * QUEUE_SIZE  # flags, index, ring of 16-bit heads
STATUS_AT: Final = AVAIL_AT + 512  # one byte for each head
USED_AT: Final = PGSIZE  # flags, index, ring of {32-bit head, 32-bit length}
HEADER_AT: Final = USED_AT + 2048  # 16 bytes for each head
REGION_SIZE: Final = HEADER_AT + 16 * QUEUE_SIZE
assert AVAIL_AT + 4 + 2 * QUEUE_SIZE <= STATUS_AT and STATUS_AT + QUEUE_SIZE <= USED_AT
assert USED_AT + 4 + 8 * QUEUE_SIZE <= HEADER_AT and REGION_SIZE == 2 * PGSIZE


class VirtioDisk(BlockDevice):
    """The disk behind the virtio transport at `base_pa`; its rings take REGION_SIZE bytes at `region_pa`."""

    def __init__(
        self, threads: Threads, ram: Ram, bus: Bus, region_pa: int, base_pa: int = VIRTIO0
    ) -> None:
        super().__init__(threads)
        assert region_pa % PGSIZE == 0, "the rings start on a page boundary"
        self._bus: Final = bus
        self._base_pa: Final = base_pa
        self._region_pa: Final = region_pa
        self._region: Final = ram.view(region_pa, REGION_SIZE)
        self._region[:] = bytes(REGION_SIZE)
        self._desc: Final = self._region[DESC_AT:AVAIL_AT]
        self._avail: Final = self._region[AVAIL_AT:STATUS_AT].cast("H")
        self._status: Final = self._region[STATUS_AT:USED_AT]
        self._used_index: Final = self._region[USED_AT : USED_AT + 4].cast("H")
        self._used: Final = self._region[USED_AT + 4 : HEADER_AT].cast("I")
        self._free: Final = list(range(QUEUE_SIZE - 1, -1, -1))
        self._room: Final = WaitQueue(threads, self)
        # By head, from submit to interrupt; and the descriptors of each, the head first.
        self.requests: Final[dict[int, Request]] = {}
        self.chains: Final[dict[int, list[int]]] = {}
        self._submitted = 0  # as avail's index, 16 bits
        self._completed = 0  # as used's index, 16 bits

    # --- the device ---

    def init(self) -> None:
        """Find the device and bring it up. Panics where there is none that can be driven."""
        load, store = self._load, self._store
        found = [load(register) for register in (Reg.MAGIC, Reg.VERSION, Reg.DEVICE_ID)]
        if found != [virtio.MAGIC, virtio.VERSION, virtio_blk.DEVICE_ID]:
            panic("disk: no virtio 2 block device")
        status = 0
        for bit in (0, virtio.STATUS_ACKNOWLEDGE, virtio.STATUS_DRIVER):  # 0 resets the device
            status |= bit
            store(Reg.STATUS, status)
        for select, features in ((0, 0), (1, virtio.F_VERSION_1 >> 32)):  # a modern device, and nothing else
            store(Reg.DRIVER_FEATURES_SEL, select)
            store(Reg.DRIVER_FEATURES, features)
        status |= virtio.STATUS_FEATURES_OK
        store(Reg.STATUS, status)
        if not load(Reg.STATUS) & virtio.STATUS_FEATURES_OK:
            panic("disk: the device refuses our features")

        store(Reg.QUEUE_SEL, 0)
        if load(Reg.QUEUE_READY):
            panic("disk: queue 0 is in use already")
        if load(Reg.QUEUE_NUM_MAX) < QUEUE_SIZE:
            panic(f"disk: the queue is shorter than {QUEUE_SIZE}")
        store(Reg.QUEUE_NUM, QUEUE_SIZE)
        tables = ((Reg.QUEUE_DESC, DESC_AT), (Reg.QUEUE_DRIVER, AVAIL_AT), (Reg.QUEUE_DEVICE, USED_AT))
        for register, offset in tables:
            store(register, self._region_pa + offset & 0xFFFF_FFFF)
            store(register + 4, self._region_pa + offset >> 32)
        store(Reg.QUEUE_READY, 1)
        store(Reg.STATUS, status | virtio.STATUS_DRIVER_OK)

    def _load(self, register: int) -> int:
        return self._bus.load(self._base_pa + register, 4)

    def _store(self, register: int, value: int) -> None:
        self._bus.store(self._base_pa + register, 4, value)

    # --- requests ---

    def submit(self, kind: int, blockno: int, pas: Sequence[int]) -> Request:
        """Sleeps while the queue has no room."""
        assert 0 < len(pas) <= BLOCKS_PER_REQUEST_MAX, f"a request has 1 to {BLOCKS_PER_REQUEST_MAX} blocks"
        count = len(pas) + 2
        if len(self._free) < count or self._room.waiting:
            self.kick()  # or nothing would ever become free
            self._room.wait(lambda: len(self._free) >= count)
        chain = [self._free.pop() for _ in range(count)]
        self._room.notify()
        head = chain[0]
        header_at, status_at = HEADER_AT + 16 * head, STATUS_AT + head
        virtio_blk.HEADER.pack_into(self._region, header_at, TYPES[kind], 0, blockno * (BSIZE // SECTOR_SIZE))
        self._region[status_at] = STATUS_PENDING

        describe, desc = virtqueue.DESCRIPTOR.pack_into, self._desc
        describe(desc, 16 * head, self._region_pa + header_at, 16, virtqueue.NEXT, chain[1])
        flags = virtqueue.NEXT | (virtqueue.WRITE if kind == READ else 0)
        for i, pa in enumerate(pas, 1):
            describe(desc, 16 * chain[i], pa, BSIZE, flags, chain[i + 1])
        describe(desc, 16 * chain[-1], self._region_pa + status_at, 1, virtqueue.WRITE, 0)

        request = self.requests[head] = Request(kind, blockno, pas)
        self.chains[head] = chain
        self._avail[2 + self._submitted % QUEUE_SIZE] = head
        self._submitted = (self._submitted + 1) & 0xFFFF
        return request

    def kick(self) -> None:
        if self._avail[1] != self._submitted:
            self._avail[1] = self._submitted
            self._store(Reg.QUEUE_NOTIFY, 0)

    def intr(self) -> None:
        """The device's interrupt: finish what the used ring names, wake the waiters. Never blocks."""
        self._store(Reg.INTERRUPT_ACK, self._load(Reg.INTERRUPT_STATUS))
        if self._load(Reg.STATUS) & virtio.STATUS_NEEDS_RESET:
            panic("disk: the device has broken down")
        while self._completed != self._used_index[1]:
            self._finish(self._used[2 * (self._completed % QUEUE_SIZE)])
            self._completed = (self._completed + 1) & 0xFFFF
        self._room.notify()

    def _finish(self, head: int) -> None:
        request = self.requests.pop(head)
        status = self._status[head]
        request.failed = status != virtio_blk.STATUS_OK
        if request.failed and request.kind == WRITE:
            panic(f"disk: {request} failed with status {status}")
        self._free.extend(self.chains.pop(head))
        self.finish(request)

    def __repr__(self) -> str:
        return "room in the disk's queue"
