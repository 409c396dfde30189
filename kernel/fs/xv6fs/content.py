"""The content of files: which blocks a file has, and the bytes in them.

An Inode's `addrs` lead to the blocks, some by way of tables of block numbers (kernel/abi/disk.py draws it).
The caller has locked the inode, and for every change has begun an operation of the log.
"""

from collections.abc import Iterator
from errno import ENOSPC
from typing import Final

from kernel.abi.disk import BPB, BSIZE, NINDIRECT, Layout
from kernel.block.bio import BufferCache
from kernel.errors import SyscallError
from kernel.fs.xv6fs.blockmap import BlockMap
from kernel.fs.xv6fs.inode import NO_ADDRS, Inode, InodeBlocks
from kernel.fs.xv6fs.log import Log
from kernel.mm.pagecache import PageCache

# How many blocks an operation writes at most for one block of a file: itself and the inode; where it is new,
# also two tables, and a block of the map for each of the three.
OLD_BLOCK_COST_MAX: Final = 2
NEW_BLOCK_COST_MAX: Final = 7
# What cutting off a file must leave: room for the inode, two tables, and what else the operation may do.
CUT_SPARE: Final = 6


class Content:
    """The blocks of the files on device `dev`, whose inodes are laid out as `layout`."""

    def __init__(
        self,
        cache: BufferCache,
        log: Log,
        dev: int,
        layout: Layout,
        inodes: InodeBlocks,
        free: BlockMap,
        pages: PageCache,
    ) -> None:
        self._cache: Final = cache
        self._log: Final = log
        self._dev: Final = dev
        self._layout: Final = layout
        self._inodes: Final = inodes
        self._free: Final = free
        self._pages: Final = pages

    # --- bytes ---

    def read(self, ip: Inode, off: int, n: int) -> bytes:
        """The `n` bytes of an inode from `off` on, which are all in it, by way of buffers."""
        index, start = divmod(off, BSIZE)
        blocknos = self.blocknos(ip, index, (start + n + BSIZE - 1) // BSIZE)
        if len(blocknos) > 1:
            self._cache.prefetch(self._dev, [blockno for blockno in blocknos if blockno])
        return b"".join(map(self._block, blocknos))[start : start + n]

    def _block(self, blockno: int) -> bytes:
        """The bytes of a block; block 0 stands for a hole, which other image makers leave."""
        return self._cache.copy(self._dev, blockno) if blockno else bytes(BSIZE)

    def write(self, ip: Inode, off: int, data: bytes) -> tuple[int, SyscallError | None]:
        """How many of the bytes at `off` of a file are in blocks now, and the error of a full disk."""
        first, start = divmod(off, BSIZE)
        blocknos = self.blocknos(ip, first, (start + len(data) + BSIZE - 1) // BSIZE)
        done, full = 0, None
        try:
            for index, blockno in enumerate(blocknos, first):
                cost = OLD_BLOCK_COST_MAX if blockno else NEW_BLOCK_COST_MAX
                if self._log.claim(cost) < cost and done:
                    break
                piece = data[done : done + BSIZE - start]
                self._write_block(blockno or self._bmap(ip, index), start, piece)
                done += len(piece)
                start = 0
        except SyscallError as error:
            if error.code != ENOSPC:
                raise
            full = error
        if off + done > ip.size or ip.dirty:
            ip.size = max(ip.size, off + done)
            self._inodes.iupdate(ip)
        return done, full

    def _write_block(self, blockno: int, start: int, piece: bytes) -> None:
        fetch = self._cache.bread if len(piece) < BSIZE else self._cache.bclear
        buf = fetch(self._dev, blockno)
        buf.data[start : start + len(piece)] = piece
        self._log.write(buf)
        self._cache.brelse(buf)

    # --- block numbers ---

    def blocknos(self, ip: Inode, index: int, count: int) -> list[int]:
        """The disk blocks with the `count` blocks of an inode from `index` on; 0 for a hole."""
        blocknos: list[int] = []
        while len(blocknos) < count:
            blocknos += self._row(ip, index + len(blocknos))[: count - len(blocknos)]
        return blocknos

    def _row(self, ip: Inode, index: int) -> list[int]:
        """The numbers of block `index` and of those behind it that are numbered in the same place."""
        slot, *places = self._layout.path(index)
        row = ip.addrs[slot : self._layout.direct] or ip.addrs[slot : slot + 1]
        for place in places:
            row = self._words(row[0])[place:]
        return row

    def _words(self, blockno: int) -> list[int]:
        """The numbers in a table."""
        return memoryview(self._block(blockno)).cast("I").tolist()

    def _bmap(self, ip: Inode, index: int) -> int:
        """The disk block with block `index` of an inode; new, and with new tables, if there is none."""
        slot, *places = self._layout.path(index)
        blockno = ip.addrs[slot]
        if not blockno:
            blockno = ip.addrs[slot] = self._free.alloc()
            ip.dirty = True
        for place in places:
            buf = self._cache.bread(self._dev, blockno)
            try:
                blockno = buf.words[place]
                if not blockno:
                    blockno = buf.words[place] = self._free.alloc()
                    self._log.write(buf)
            finally:
                self._cache.brelse(buf)
        return blockno

    # --- giving blocks back ---

    def cut(self, ip: Inode) -> bool:
        """Throw away the content of an inode; whether all of it is gone.

        Where the operation has no room for all the blocks of the map, the file is cut off as far as it has:
        to be called again, in another operation.
        """
        direct = self._layout.direct
        blocks = list(self._tree(ip.addrs[:direct], 0, 0))
        for levels, head in enumerate(ip.addrs[direct:], 1):
            blocks += self._tree([head], levels, self._layout.first(direct + levels - 1))
        wanted = len({blockno // BPB for _, blockno in blocks})
        room = self._log.claim(wanted + CUT_SPARE) - CUT_SPARE
        if room <= 0:
            return False
        maps: dict[int, None] = {}  # the blocks of the map that must be written
        cut = 0  # blocks that stay
        for index, blockno in reversed(blocks):
            maps[blockno // BPB] = None
            if len(maps) > room:
                cut = index + 1
                break
        self._free.free(blockno for index, blockno in blocks if index >= cut)
        self._forget_from(ip, cut)
        ip.size = min(ip.size, cut * BSIZE)
        self._inodes.iupdate(ip)
        self._pages.truncated(ip)
        return not cut

    def _tree(self, row: list[int], levels: int, first: int) -> Iterator[tuple[int, int]]:
        """Index and number of the blocks in `row`, which begins with block `first`, and of all below them.

        They have `levels` levels of tables; a table has the index of the first block that it leads to.
        """
        for index, blockno in enumerate(row):
            index = first + index * NINDIRECT**levels
            if blockno:
                yield index, blockno
                if levels:
                    yield from self._tree(self._words(blockno), levels - 1, index)

    def _forget_from(self, ip: Inode, cut: int) -> None:
        """Clear the numbers of all blocks from block `cut` on, which were given back."""
        slot, *places = self._layout.path(cut)
        keep = slot + any(places)  # a table whose first block is the first to go is gone itself
        blockno = ip.addrs[slot]
        ip.addrs[keep:] = NO_ADDRS[keep:]
        while any(places) and blockno:
            place, *places = places
            keep = place + any(places)
            buf = self._cache.bread(self._dev, blockno)
            blockno = buf.words[place]
            buf.data[keep * 4 :] = bytes(BSIZE - keep * 4)
            self._log.write(buf)
            self._cache.brelse(buf)
