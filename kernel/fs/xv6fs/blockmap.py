"""The free-block map: one bit for each block of the disk, 1 where the block is in use.

Inodes take blocks from it and give them back, inside an operation of the log.  A free block is found lowest
first, as xv6 does.  Bit b of the map is bit b % 8 of byte b // 8, so that a block of the map read as one
little-endian number has bit b at weight 2**b, and its lowest zero is found by one subtraction.
"""

from collections.abc import Iterable
from errno import ENOSPC
from itertools import groupby
from typing import Final

from kernel.abi.disk import BPB
from kernel.block.bio import BufferCache
from kernel.errors import SyscallError, panic
from kernel.fs.xv6fs.log import Log


class BlockMap:
    """The map of device `dev`: `size` blocks in all, the map itself from block `start` on."""

    def __init__(self, cache: BufferCache, log: Log, dev: int, start: int, size: int) -> None:
        self._cache: Final = cache
        self._log: Final = log
        self._dev: Final = dev
        self._start: Final = start
        self._size: Final = size
        self._full_below = 0  # no block before this one, which is the first of a block of the map, is free

    def alloc(self) -> int:
        """Take a block and clear it; gives its number. Fails where the disk is full."""
        cache, log = self._cache, self._log
        for base in range(self._full_below, self._size, BPB):
            buf = cache.bread(self._dev, self._start + base // BPB)
            used = int.from_bytes(buf.data, "little")
            bit = (~used & used + 1).bit_length() - 1  # the lowest zero; BPB where there is none
            found = bit < min(BPB, self._size - base)
            if found:
                buf.data[bit >> 3] |= 1 << (bit & 7)
                log.write(buf)
            cache.brelse(buf)
            if found:
                block = cache.bclear(self._dev, base + bit)
                log.write(block)
                cache.brelse(block)
                return base + bit
            self._full_below = base + BPB
        raise SyscallError(ENOSPC, "the disk is full")

    def free(self, blocknos: Iterable[int]) -> None:
        """Give blocks back."""
        for index, group in groupby(sorted(blocknos), lambda blockno: blockno // BPB):
            buf = self._cache.bread(self._dev, self._start + index)
            self._full_below = min(self._full_below, index * BPB)
            for blockno in group:
                byte, mask = blockno % BPB >> 3, 1 << (blockno & 7)
                if blockno >= self._size or not buf.data[byte] & mask:
                    panic(f"block map: block {blockno} is given back but not in use")
                buf.data[byte] ^= mask
            self._log.write(buf)
            self._cache.brelse(buf)
