"""The board's memory: one anonymous host mapping that the engine, the devices and the kernel share.

The machine makes one Ram and hands it to everybody. The engine maps it by `address`, so a guest store is
seen by Python at once and the other way round; nothing is copied. The mapping is private: a forked child
(a checkpoint) gets its own copy, page by page as it writes. The Ram must outlive every engine that maps it.
Translated code is the engine's business: who writes instructions here drops the old translations.
"""

import ctypes
import mmap
import sys
from typing import Final

RAM_BASE: Final = 0x8000_0000
PAGE_SIZE: Final = 4096


class Ram:
    """`size` bytes of zeroed memory at physical address `base`.

    `bytes`, `u32` and `u64` are writable views of all of it, indexed in their own units from `base`:
    the 64-bit word at physical address pa is `u64[(pa - base) >> 3]`. RISC-V is little endian and so
    must the host be.
    """

    def __init__(self, size: int, base: int = RAM_BASE) -> None:
        assert sys.byteorder == "little", "the views are native, so the host must be little endian"
        assert size > 0 and size % PAGE_SIZE == 0, f"RAM is whole pages, not {size} bytes"
        assert base % PAGE_SIZE == 0, f"RAM starts on a page boundary, not at {base:#x}"
        self.base: Final = base
        self.size: Final = size
        self.end: Final = base + size  # first physical address behind it
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.bytes: Final = memoryview(mapping)
        self.u32: Final = self.bytes.cast("I")
        self.u64: Final = self.bytes.cast("Q")
        self.address: Final[int] = ctypes.addressof(ctypes.c_char.from_buffer(mapping))  # in the host

    def holds(self, pa: int, size: int) -> bool:
        """Whether all of the `size` bytes (0 or more) at physical address `pa` are in this RAM."""
        return self.base <= pa and size >= 0 and pa + size <= self.end

    def view(self, pa: int, size: int) -> memoryview:
        """The `size` bytes at physical address `pa`, writable, not copied."""
        assert self.holds(pa, size), f"{size} bytes at {pa:#x} are not all in RAM"
        start = pa - self.base
        return self.bytes[start : start + size]
