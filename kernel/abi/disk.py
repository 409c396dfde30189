"""The stock xv6 disk layout: one declaration for the kernel, the image maker and the checker.

    block 0    1             2         2+nlog        inodestart       bmapstart
    +-------+-------------+-----------+-------------+----------------+------------+
    | boot  | super block | log       | inodes      | free-block map | data ...   |
    +-------+-------------+-----------+-------------+----------------+------------+

Blocks are 1024 bytes, numbers little endian.  The super block's fields say where each region
starts; images differ, so nothing may be assumed from the order drawn here.
"""

import struct
from typing import Final

BSIZE: Final = 1024
FSMAGIC: Final = 0x1020_3040

# struct superblock { uint magic, size, nblocks, ninodes, nlog, logstart, inodestart, bmapstart; }
SUPERBLOCK: Final = struct.Struct("<8I")
SUPERBLOCK_FIELDS: Final = (
    "magic", "size", "nblocks", "ninodes", "nlog", "logstart", "inodestart", "bmapstart",
)  # fmt: skip

# struct dinode { short type, major, minor, nlink; uint size; uint addrs[NDIRECT+1]; }
NDIRECT: Final = 12
NINDIRECT: Final = BSIZE // 4
MAXFILE: Final = NDIRECT + NINDIRECT
DINODE: Final = struct.Struct("<4hI13I")
DINODE_SIZE: Final = DINODE.size
IPB: Final = BSIZE // DINODE_SIZE  # inodes a block

# struct dirent { ushort inum; char name[DIRSIZ]; }, inum 0 marks a free entry
DIRSIZ: Final = 14
DIRENT: Final = struct.Struct("<H14s")
DIRENT_SIZE: Final = DIRENT.size

# struct logheader { int n; int block[nlog - 1]; }: n is not zero only while a commit is installed
LOG_N: Final = struct.Struct("<i")

# struct stat { int dev; uint ino; short type; short nlink; uint64 size; }
STAT: Final = struct.Struct("<iIhh4xQ")
assert DINODE_SIZE == 64 and DIRENT_SIZE == 16
assert STAT.size == 24

BPB: Final = BSIZE * 8  # blocks whose state one block of the map holds
