"""The split virtqueue of virtio 1.x, seen from the device: three tables in RAM, and nothing but RAM.

    descriptor table   size * 16   {address u64, length u32, flags u16, next u16}
    available ring     6 + 2*size  {flags u16, index u16, head u16 [size], used_event u16}   driver writes
    used ring          6 + 8*size  {flags u16, index u16, {head u32, length u32} [size], ..} device writes

The transport (emu/dev/virtio.py) makes one when the driver says that a queue is ready. The device takes
chains with `pop` and gives them back with `push`. The tables are the guest's, and it may write there what it
likes, at any time: each value is read once and checked before it is used, no walk is longer than the queue,
and a broken rule ends the queue's life: `broken` says which rule, and from then on pop gives None.
Source: Virtual I/O Device (VIRTIO) 1.1, section 2.6.
"""

from struct import Struct
from typing import Final, NamedTuple

from emu.ram import Ram

QUEUE_SIZE_MAX: Final = 1024

DESCRIPTOR: Final = Struct("<QIHH")
_USED_ELEMENT: Final = Struct("<II")
_HEADER_SIZE: Final = 4  # flags and index, in front of both rings

NEXT: Final = 1 << 0  # flags of a descriptor
WRITE: Final = 1 << 1
_INDIRECT: Final = 1 << 2
_NO_INTERRUPT: Final = 1


class Segment(NamedTuple):
    """`size` bytes of RAM at physical address `pa`; all of them exist."""

    pa: int
    size: int


class Chain(NamedTuple):
    """One request: what the device may read, then what it may write. `head` is its name in both rings."""

    head: int
    readable: tuple[Segment, ...]
    writable: tuple[Segment, ...]
    readable_size: int  # bytes in all of them
    writable_size: int


class VirtQueue:
    """The device's end of a queue of `size` descriptors with its tables at three physical addresses.

    If they cannot be such tables the queue is broken from the start.
    """

    def __init__(self, ram: Ram, size: int, descriptors_pa: int, available_pa: int, used_pa: int) -> None:
        self.size: Final = size
        self.in_flight = 0  # chains popped and not pushed back
        self.broken = ""  # the rule that the driver broke, "" while it kept them
        self._ram: Final = ram
        self._descriptors: Final = descriptors_pa - ram.base  # offsets in RAM
        self._available: Final = available_pa - ram.base
        self._used: Final = used_pa - ram.base
        self._available_index = 0  # of the next chain to pop; both count modulo 2**16
        self._used_index = 0
        if not 0 < size <= QUEUE_SIZE_MAX or size & size - 1:
            self.broken = f"a queue's size is a power of 2 up to {QUEUE_SIZE_MAX}, not {size}"
            return
        for pa, table_size, alignment in (
            (descriptors_pa, 16 * size, 16),
            (available_pa, 6 + 2 * size, 2),
            (used_pa, 6 + 8 * size, 4),
        ):
            if pa % alignment or not ram.holds(pa, table_size):
                self.broken = f"a queue's tables lie aligned in RAM, not at {pa:#x}"

    @property
    def taken(self) -> int:
        """How many chains were taken so far, modulo 2**16: up to where the available ring was read."""
        return self._available_index

    @property
    def given_back(self) -> int:
        """How many of them were given back, modulo 2**16: the index of the used ring."""
        return self._used_index

    @property
    def offered(self) -> int:
        """How many the driver has made available, modulo 2**16; not checked."""
        return self._load_u16(self._available + 2)

    def pop(self) -> Chain | None:
        """The next chain that the driver has made available; None if there is none or the queue is broken."""
        if self.broken:
            return None
        waiting = self._load_u16(self._available + 2) - self._available_index & 0xFFFF
        if waiting == 0:
            return None
        if waiting + self.in_flight > self.size:
            self.broken = f"{waiting} chains waiting and {self.in_flight} in work in a queue of {self.size}"
            return None
        slot = self._available_index % self.size
        chain = self._walk(self._load_u16(self._available + _HEADER_SIZE + 2 * slot))
        if isinstance(chain, str):
            self.broken = chain
            return None
        self._available_index = self._available_index + 1 & 0xFFFF
        self.in_flight += 1
        return chain

    def push(self, chain: Chain, written: int) -> bool:
        """Give `chain` back, `written` bytes of it written; True if the driver wants an interrupt for it."""
        assert self.in_flight > 0, "a chain is given back once"
        self.in_flight -= 1
        memory = self._ram.bytes
        slot = self._used_index % self.size
        _USED_ELEMENT.pack_into(memory, self._used + _HEADER_SIZE + 8 * slot, chain.head, written)
        self._used_index = self._used_index + 1 & 0xFFFF
        memory[self._used + 2] = self._used_index & 0xFF
        memory[self._used + 3] = self._used_index >> 8
        return not self._load_u16(self._available) & _NO_INTERRUPT

    def _walk(self, head: int) -> Chain | str:
        """The chain that begins with descriptor `head`, or the rule that it breaks."""
        readable: list[Segment] = []
        writable: list[Segment] = []
        index = head
        for _ in range(self.size):
            if index >= self.size:
                return f"descriptor {index} in a queue of {self.size}"
            pa, size, flags, following = DESCRIPTOR.unpack_from(
                self._ram.bytes, self._descriptors + DESCRIPTOR.size * index
            )
            if flags & _INDIRECT:
                return "an indirect descriptor, which was not negotiated"
            if not self._ram.holds(pa, size):
                return f"a descriptor for {size} bytes at {pa:#x}, not all in RAM"
            if flags & WRITE:
                writable.append(Segment(pa, size))
            elif writable:
                return "a descriptor to read behind one to write"
            else:
                readable.append(Segment(pa, size))
            if not flags & NEXT:
                return _chain(head, readable, writable)
            index = following
        return "descriptors chained in a loop"

    def _load_u16(self, offset: int) -> int:
        memory = self._ram.bytes
        return memory[offset] | memory[offset + 1] << 8


def _chain(head: int, readable: list[Segment], writable: list[Segment]) -> Chain:
    readable_size = sum([segment.size for segment in readable])
    writable_size = sum([segment.size for segment in writable])
    return Chain(head, tuple(readable), tuple(writable), readable_size, writable_size)


def gather(ram: Ram, segments: tuple[Segment, ...], start: int, size: int) -> bytes:
    """`size` bytes from byte `start` on of what `segments` hold one after the other."""
    return b"".join([ram.view(pa, taken) for pa, taken in _slices(segments, start, size)])


def scatter(ram: Ram, segments: tuple[Segment, ...], start: int, data: bytes) -> None:
    """Put `data` into `segments`, one after the other, from byte `start` on."""
    done = 0
    for pa, taken in _slices(segments, start, len(data)):
        ram.view(pa, taken)[:] = data[done : done + taken]
        done += taken


def _slices(segments: tuple[Segment, ...], start: int, size: int) -> list[Segment]:
    """The parts of `segments` that bytes start..start+size fall on. They must have that many."""
    parts: list[Segment] = []
    for segment in segments:
        taken = min(segment.size - start, size)
        if taken > 0:
            parts.append(Segment(segment.pa + start, taken))
            size -= taken
        start = max(start - segment.size, 0)
    assert size == 0, f"{size} bytes more were asked for than the descriptors have"
    return parts
