"""Driver of the virtio block device: one split virtqueue in guest RAM, requests of one or more blocks.

The buffer cache and the log call it from processes, the trap code calls `intr`.  A request is a chain of
descriptors: a 16-byte header that the device reads, one descriptor for each block's data, and a status byte
that the device writes.

    descriptors  head -> data -> data -> ... -> status
    the driver's ring ("available") names heads that wait, the device's ring ("used") heads that are done

A request belongs to the device from `kick` until its interrupt; until then the data must neither be changed
(a write) nor read (a read).  Requests may complete in any order: who needs an order waits in between.
Source: Virtual I/O Device (VIRTIO) 1.2, sections 2.7 (split virtqueues), 4.2 (MMIO) and 5.2 (block device).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGSIZE, VIRTIO0

if TYPE_CHECKING:
    from kernel.kernel import Kernel

# Registers, offsets from the transport's base (4.2.2)
MAGIC: Final = 0x000
VERSION: Final = 0x004
DEVICE_ID: Final = 0x008
DEVICE_FEATURES: Final = 0x010
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
QUEUE_DESC: Final = 0x080
QUEUE_DRIVER: Final = 0x090
QUEUE_DEVICE: Final = 0x0A0

MAGIC_VALUE: Final = 0x7472_6976  # "virt"
BLOCK_DEVICE: Final = 2
STATUS_ACKNOWLEDGE: Final = 1
STATUS_DRIVER: Final = 2
STATUS_DRIVER_OK: Final = 4
STATUS_FEATURES_OK: Final = 8
STATUS_NEEDS_RESET: Final = 64
FEATURE_VERSION_1_HIGH: Final = 1 << (32 - 32)  # bit 32, in the high word of the features

DESC_NEXT: Final = 1 << 32  # the flags, where they stand in a descriptor's second 64-bit word
DESC_WRITE: Final = 2 << 32  # the device writes here
NEXT_SHIFT: Final = 48
READ, WRITE = 0, 1  # VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT
STATUS_OK: Final = 0
STATUS_PENDING: Final = 0xFF  # no value that the device writes
SECTOR: Final = 512

# What the region handed in holds, offsets in bytes
QUEUE_SIZE: Final = 128
DESC_AT: Final = 0
AVAIL_AT: Final = DESC_AT + 16 * QUEUE_SIZE  # flags, index, ring of 16-bit heads
STATUS_AT: Final = AVAIL_AT + 512  # one byte for each head
USED_AT: Final = PGSIZE  # flags, index, ring of {32-bit head, 32-bit length}
HEADER_AT: Final = USED_AT + 2048  # 16 bytes for each head
REGION_SIZE: Final = HEADER_AT + 16 * QUEUE_SIZE
BLOCKS_PER_REQUEST_MAX: Final = 32
assert AVAIL_AT + 4 + 2 * QUEUE_SIZE <= STATUS_AT and STATUS_AT + QUEUE_SIZE <= USED_AT
assert USED_AT + 4 + 8 * QUEUE_SIZE <= HEADER_AT and REGION_SIZE == 2 * PGSIZE


class Request:
    """Blocks `blockno` .. `blockno + count - 1` on their way. Processes that wait for it sleep on it."""

    __slots__ = ("awaited", "blockno", "chain", "count", "done", "failed", "kind")

    def __init__(self, kind: int, blockno: int, count: int, chain: list[int]) -> None:
        self.kind = kind
        self.blockno = blockno
        self.count = count
        self.chain = chain  # its descriptors, the head first
        self.done = False
        self.failed = False  # a read; a write that fails is a panic
        self.awaited = False

    def __repr__(self) -> str:
        verb = "read" if self.kind == READ else "write"
        return f"disk {verb} of {self.count} block(s) from {self.blockno} on"


class VirtioDisk:
    """The disk behind the virtio transport at `base_pa`; its rings take REGION_SIZE bytes at `region_pa`."""

    def __init__(self, k: "Kernel", region_pa: int, base_pa: int = VIRTIO0) -> None:
        assert region_pa % PGSIZE == 0, "the rings start on a page boundary"
        self._k = k
        self._base_pa: Final = base_pa
        self._region_pa: Final = region_pa
        region = k.ram.view(region_pa, REGION_SIZE)
        region[:] = bytes(REGION_SIZE)
        self._desc: Final = region[DESC_AT:AVAIL_AT].cast("Q")
        self._avail: Final = region[AVAIL_AT:STATUS_AT].cast("H")
        self._status: Final = region[STATUS_AT:USED_AT]
        self._used_index: Final = region[USED_AT : USED_AT + 4].cast("H")
        self._used: Final = region[USED_AT + 4 : HEADER_AT].cast("I")
        self._header: Final = region[HEADER_AT:REGION_SIZE].cast("Q")
        self._free: Final = list(range(QUEUE_SIZE - 1, -1, -1))
        self._waiting_for_room = 0
        self._requests: Final[dict[int, Request]] = {}  # by head, from submit to interrupt
        self._submitted = 0  # as avail's index, 16 bits
        self._kicked = 0
        self._completed = 0  # as used's index, 16 bits

    # --- the device ---

    def init(self) -> None:
        """Find the device and bring it up. Panics where there is none that can be driven."""
        load, store = self._load, self._store
        if load(MAGIC) != MAGIC_VALUE or load(VERSION) != 2 or load(DEVICE_ID) != BLOCK_DEVICE:
            self._k.panic("disk: no virtio 2 block device")
        store(STATUS, 0)
        store(STATUS, STATUS_ACKNOWLEDGE)
        store(STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER)
        self._negotiate_features()
        ready = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK
        store(STATUS, ready)
        if not load(STATUS) & STATUS_FEATURES_OK:
            self._k.panic("disk: the device refuses our features")
        self._set_up_queue()
        store(STATUS, ready | STATUS_DRIVER_OK)

    def _negotiate_features(self) -> None:
        """Accept that the device is a modern one, and nothing else."""
        self._store(DEVICE_FEATURES_SEL, 1)
        high = self._load(DEVICE_FEATURES) & FEATURE_VERSION_1_HIGH
        for select, features in ((0, 0), (1, high)):
            self._store(DRIVER_FEATURES_SEL, select)
            self._store(DRIVER_FEATURES, features)

    def _set_up_queue(self) -> None:
        load, store = self._load, self._store
        store(QUEUE_SEL, 0)
        if load(QUEUE_READY):
            self._k.panic("disk: queue 0 is in use already")
        if load(QUEUE_NUM_MAX) < QUEUE_SIZE:
            self._k.panic(f"disk: the queue is shorter than {QUEUE_SIZE}")
        store(QUEUE_NUM, QUEUE_SIZE)
        for register, offset in ((QUEUE_DESC, DESC_AT), (QUEUE_DRIVER, AVAIL_AT), (QUEUE_DEVICE, USED_AT)):
            pa = self._region_pa + offset
            store(register, pa & 0xFFFF_FFFF)
            store(register + 4, pa >> 32)
        store(QUEUE_READY, 1)

    def _load(self, register: int) -> int:
        return self._k.bus.load(self._base_pa + register, 4)

    def _store(self, register: int, value: int) -> None:
        self._k.bus.store(self._base_pa + register, 4, value)

    # --- requests ---

    def submit(self, kind: int, blockno: int, pas: Sequence[int]) -> Request:
        """Queue a READ or WRITE of consecutive blocks from `blockno` on, block i being at pas[i] in RAM.

        The device sees it at the next `kick`.  Sleeps while the queue has no room.
        """
        count = len(pas)
        assert 0 < count <= BLOCKS_PER_REQUEST_MAX, f"a request has 1 to {BLOCKS_PER_REQUEST_MAX} blocks"
        self._wait_for_room(count + 2)
        free, desc = self._free, self._desc
        chain = [free.pop() for _ in range(count + 2)]
        head, tail = chain[0], chain[-1]

        header = 2 * head
        self._header[header] = kind
        self._header[header + 1] = blockno * (BSIZE // SECTOR)
        desc[header] = self._region_pa + HEADER_AT + 16 * head
        desc[header + 1] = 16 | DESC_NEXT | chain[1] << NEXT_SHIFT
        flags = BSIZE | DESC_NEXT | (DESC_WRITE if kind == READ else 0)
        for i, pa in enumerate(pas, 1):
            at = 2 * chain[i]
            desc[at] = pa
            desc[at + 1] = flags | chain[i + 1] << NEXT_SHIFT
        desc[2 * tail] = self._region_pa + STATUS_AT + head
        desc[2 * tail + 1] = 1 | DESC_WRITE
        self._status[head] = STATUS_PENDING

        request = self._requests[head] = Request(kind, blockno, count, chain)
        self._avail[2 + self._submitted % QUEUE_SIZE] = head
        self._submitted = (self._submitted + 1) & 0xFFFF
        return request

    def _wait_for_room(self, descriptors: int) -> None:
        while len(self._free) < descriptors:
            self.kick()  # or nothing would ever become free
            self._waiting_for_room += 1
            self._k.sleep(self)
            self._waiting_for_room -= 1

    def kick(self) -> None:
        """Hand all that was submitted to the device."""
        if self._kicked != self._submitted:
            self._kicked = self._submitted
            self._avail[1] = self._submitted
            self._store(QUEUE_NOTIFY, 0)

    def wait(self, request: Request) -> None:
        """Sleep until `request` is done."""
        while not request.done:
            request.awaited = True
            self._k.sleep(request)

    def transfer(self, kind: int, blockno: int, pas: Sequence[int]) -> bool:
        """Submit one request and wait for it; False where a read failed."""
        request = self.submit(kind, blockno, pas)
        self.kick()
        self.wait(request)
        return not request.failed

    def intr(self) -> None:
        """The device's interrupt: finish what the used ring names, wake who waits. Never blocks."""
        self._store(INTERRUPT_ACK, self._load(INTERRUPT_STATUS) & 3)
        if self._load(STATUS) & STATUS_NEEDS_RESET:
            self._k.panic("disk: the device has broken down")
        while self._completed != self._used_index[1]:
            self._finish(self._used[2 * (self._completed % QUEUE_SIZE)])
            self._completed = (self._completed + 1) & 0xFFFF
        if self._waiting_for_room:
            self._k.wakeup(self)

    def _finish(self, head: int) -> None:
        request = self._requests.pop(head)
        status = self._status[head]
        request.failed = status != STATUS_OK
        if request.failed and request.kind == WRITE:
            self._k.panic(f"disk: {request} failed with status {status}")
        self._free.extend(request.chain)
        request.done = True
        if request.awaited:
            self._k.wakeup(request)

    def __repr__(self) -> str:
        return "room in the disk's queue"
