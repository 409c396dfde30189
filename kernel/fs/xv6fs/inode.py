"""Inodes on the disk: a table of 64-byte records, and what is kept of a record in memory.

iupdate     after every change of an Inode's fields, inside an operation of the log
claim       makes a free record an inode with one name
"""

from collections.abc import Iterator
from typing import Final

from kernel.abi.disk import BSIZE, DINODE, DINODE_SIZE, IPB, NADDRS, SuperBlock
from kernel.block.bio import Buf, BufferCache
from kernel.errors import panic
from kernel.fs import vfs
from kernel.fs.vfs import FileSystem, References
from kernel.fs.xv6fs.log import Log
from kernel.wait import Threads

NO_ADDRS: Final = (0,) * NADDRS


class Inode(vfs.Inode):
    """An inode of this file system.

    `addrs` has the block numbers that a Layout (kernel/abi/disk.py) tells of; 0 is none.  `dirty`: a block
    was mapped since the last iupdate.
    """

    __slots__ = ("addrs", "dirty")

    def __init__(self, fs: FileSystem, inum: int, threads: Threads, table: References) -> None:
        super().__init__(fs, inum, threads, table)
        self.addrs = list(NO_ADDRS)
        self.dirty = False


class InodeBlocks:
    """The inodes on device `dev`."""

    def __init__(self, cache: BufferCache, log: Log, dev: int, sb: SuperBlock) -> None:
        self._cache: Final = cache
        self._log: Final = log
        self._dev: Final = dev
        self._sb: Final = sb

    def load(self, ip: Inode) -> None:
        """Read a locked inode."""
        ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs = self._record(ip)
        if not ip.type:
            panic(f"file system: {ip} is in use but free on disk")
        ip.valid = True

    def peek(self, ip: vfs.Inode) -> tuple[int, int]:
        """What the disk says of an inode's type and link count."""
        kind, _, _, nlink, *_ = self._record(ip)
        return kind, nlink

    def iupdate(self, ip: Inode) -> None:
        """Copy a locked inode to its block, inside an operation: after every change of its fields."""
        buf = self._cache.bread(self._dev, self._block_of(ip.inum))
        self._store(ip, buf)
        self._cache.brelse(buf)

    def claim(self, ip: Inode, node: vfs.Node) -> bool:
        """Make a free inode one with one name; False if it was taken while its block was waited for.

        The block stays locked between the look and the change, or two processes could have one inode.
        """
        buf = self._cache.bread(self._dev, self._block_of(ip.inum))
        is_free = not DINODE.unpack_from(buf.data, ip.inum % IPB * DINODE_SIZE)[0]
        if is_free:
            ip.type, ip.major, ip.minor, ip.nlink, ip.size = node.type, node.major, node.minor, 1, 0
            ip.addrs = list(NO_ADDRS)
            ip.valid = True
            self._store(ip, buf)
        self._cache.brelse(buf)
        return is_free

    def all(self) -> Iterator[tuple[int, int, int]]:
        """(number, type, link count) of each inode; inode 0 does not count as one."""
        for blockno in self.blocks():
            shorts = memoryview(self._bytes(blockno)).cast("h")
            for i, inum in enumerate(range((blockno - self._sb.inodestart) * IPB, self._sb.ninodes)[:IPB]):
                if inum:
                    yield inum, shorts[i * DINODE_SIZE // 2], shorts[i * DINODE_SIZE // 2 + 3]

    def blocks(self) -> range:
        """The blocks with inodes in them."""
        return range(self._sb.inodestart, self._block_of(self._sb.ninodes - 1) + 1)

    def _block_of(self, inum: int) -> int:
        return self._sb.inodestart + inum // IPB

    def _record(self, ip: vfs.Inode) -> tuple[int, ...]:
        """What the disk says of an inode: type, major, minor, link count, size, and the block numbers."""
        return DINODE.unpack_from(self._bytes(self._block_of(ip.inum)), ip.inum % IPB * DINODE_SIZE)

    def _bytes(self, blockno: int) -> bytes:
        return self._cache.copy(self._dev, blockno) if blockno else bytes(BSIZE)  # 0 has no inodes

    def _store(self, ip: Inode, buf: Buf) -> None:
        """Copy an inode into its block, which is locked."""
        DINODE.pack_into(
            buf.data, ip.inum % IPB * DINODE_SIZE,
            ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs,
        )  # fmt: skip
        self._log.write(buf)
        ip.dirty = False
