"""The stock xv6 disk layout: one declaration for the kernel, the image maker and the checker.

    block 0    1             2         2+nlog        inodestart       bmapstart
    +-------+-------------+-----------+-------------+----------------+------------+
    | boot  | super block | log       | inodes      | free-block map | data ...   |
    +-------+-------------+-----------+-------------+----------------+------------+

Blocks are 1024 bytes, numbers little endian.  The super block's fields say where each region
starts; images differ, so nothing may be assumed from the order drawn here.
"""

import struct
from typing import Final, NamedTuple, cast

BSIZE: Final = 1024
FSMAGIC: Final = 0x1020_3040


class SuperBlock(NamedTuple):
    """struct superblock: where the regions are, in blocks. `layout` is a word of ours that others leave 0."""

    magic: int
    size: int
    nblocks: int
    ninodes: int
    nlog: int
    logstart: int
    inodestart: int
    bmapstart: int
    layout: int


SUPERBLOCK: Final = struct.Struct("<9I")

# struct dinode { short type, major, minor, nlink; uint size; uint addrs[NDIRECT+1]; }
NADDRS: Final = 13
NDIRECT: Final = 12
NINDIRECT: Final = BSIZE // 4
MAXFILE: Final = NDIRECT + NINDIRECT
DINODE: Final = struct.Struct("<4hI13I")
DINODE_SIZE: Final = DINODE.size
IPB: Final = BSIZE // DINODE_SIZE  # inodes a block


class Layout(NamedTuple):
    """What the NADDRS block numbers of an inode stand for: the first blocks of the file themselves, `direct`
    of them, then tables of numbers, each with one level of tables more than the one before it.

        stock    12 direct | table                    12 + 256 blocks
        lab      11 direct | table | table of tables  11 + 256 + 256 * 256 blocks

    `mark` is the super block's word for it: images of both kinds have the same magic.
    """

    name: str
    mark: int
    direct: int

    @property
    def blocks_max(self) -> int:
        """How many blocks a file may have."""
        return self.first(NADDRS)

    def first(self, slot: int) -> int:
        """The first block of the file that `slot` among the inode's numbers leads to."""
        blocks = min(slot, self.direct)
        for levels in range(1, slot - self.direct + 1):
            blocks += cast(int, NINDIRECT**levels)
        return blocks

    def path(self, index: int) -> list[int]:
        """Where the number of a file's block `index` is: place in the inode, and in each table on the way."""
        if index < self.direct:
            return [index]
        index -= self.direct
        levels = 1
        while index >= NINDIRECT**levels:
            index -= NINDIRECT**levels
            levels += 1
        places = [index // NINDIRECT**level % NINDIRECT for level in reversed(range(levels))]
        return [self.direct + levels - 1, *places]


STOCK: Final = Layout("stock", 0, NDIRECT)
LAB: Final = Layout("lab", 0x3262_616C, NDIRECT - 1)  # "lab2"
LAYOUTS: Final = {layout.name: layout for layout in (STOCK, LAB)}


def layout_of(mark: int) -> Layout:
    """The layout that a super block's word tells of; what is no mark of ours stands for stock's."""
    return LAB if mark == LAB.mark else STOCK


# struct dirent { ushort inum; char name[DIRSIZ]; }, inum 0 marks a free entry
DIRSIZ: Final = 14
DIRENT: Final = struct.Struct("<H14s")
DIRENT_SIZE: Final = DIRENT.size

# struct logheader { int n; int block[nlog - 1]; }: n is not zero only while a commit is installed
LOG_N: Final = struct.Struct("<i")
LOG_ENTRIES_MAX: Final = (BSIZE - LOG_N.size) // 4  # block numbers that a header has room for

# struct stat { int dev; uint ino; short type; short nlink; uint64 size; }
STAT: Final = struct.Struct("<iIhh4xQ")
assert DINODE_SIZE == 64 and DIRENT_SIZE == 16
assert STAT.size == 24

BPB: Final = BSIZE * 8  # blocks whose state one block of the map holds
