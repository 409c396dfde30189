"""A small virtio driver for tests: sets a device up and puts chains in its queue, by the book."""

import struct
from collections.abc import Sequence

from emu.dev.virtio import VirtioMmio
from emu.ram import RAM_BASE, Ram

QUEUE_SIZE = 8
DESCRIPTORS = RAM_BASE + 0x1000
AVAILABLE = RAM_BASE + 0x2000
USED = RAM_BASE + 0x3000
DATA = RAM_BASE + 0x4000  # from here on memory is free for buffers

NEXT, WRITE, INDIRECT = 1, 2, 4


class Rings:
    """The driver's end of a queue whose tables are at the addresses above."""

    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.available_index = 0

    def put(self, pa: int, format: str, *values: int) -> None:
        struct.pack_into(format, self.ram.bytes, pa - RAM_BASE, *values)

    def get(self, pa: int, format: str) -> tuple[int, ...]:
        return struct.unpack_from(format, self.ram.bytes, pa - RAM_BASE)

    def describe(self, index: int, pa: int, size: int, flags: int = 0, following: int = 0) -> None:
        self.put(DESCRIPTORS + 16 * index, "<QIHH", pa, size, flags, following)

    def chain(self, first: int, segments: Sequence[tuple[int, int, int]]) -> None:
        """Describe (pa, size, flags) segments in descriptors first, first + 1, ..."""
        for number, (pa, size, flags) in enumerate(segments):
            last = number == len(segments) - 1
            index = first + number
            self.describe(index, pa, size, flags | (0 if last else NEXT), 0 if last else index + 1)

    def offer(self, *heads: int) -> None:
        """Make chains available."""
        for head in heads:
            self.put(AVAILABLE + 4 + 2 * (self.available_index % QUEUE_SIZE), "<H", head)
            self.available_index = self.available_index + 1 & 0xFFFF
        self.put(AVAILABLE + 2, "<H", self.available_index)

    @property
    def used_index(self) -> int:
        return self.get(USED + 2, "<H")[0]

    def used(self) -> list[tuple[int, int]]:
        """The (head, written) of all elements so far; the ring must not have wrapped."""
        return [
            (head, written)
            for slot in range(self.used_index)
            for head, written in [self.get(USED + 4 + 8 * slot, "<II")]
        ]


def bring_up(device: VirtioMmio, size: int = QUEUE_SIZE, features: int = 0) -> None:
    """From reset to DRIVER_OK with queue 0 at the addresses above."""
    for status in (0, 1, 3):
        device.store(0x70, 4, status)
    device.store(0x24, 4, 0)
    device.store(0x20, 4, features)
    device.store(0x70, 4, 11)
    device.store(0x30, 4, 0)
    device.store(0x38, 4, size)
    for register, pa in ((0x80, DESCRIPTORS), (0x90, AVAILABLE), (0xA0, USED)):
        device.store(register, 4, pa & 0xFFFF_FFFF)
        device.store(register + 4, 4, pa >> 32)
    device.store(0x44, 4, 1)
    device.store(0x70, 4, 15)
