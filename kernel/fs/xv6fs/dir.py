"""Directories of an xv6 disk: the entries, from names to inode numbers.

A directory is a file of 16-byte entries {inode number, name}; number 0 marks an entry as free.  Names are at
most DIRSIZ bytes; only the first DIRSIZ of a longer one count.  `.` and `..` are ordinary entries.
"""

from errno import EEXIST, ENOENT, ENOTDIR
from typing import Final

from kernel.abi.disk import DIRENT, DIRENT_SIZE, DIRSIZ
from kernel.abi.fcntl import T_DIR
from kernel.errors import SyscallError
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import Inode

NAME_AT: Final = DIRENT_SIZE - DIRSIZ  # where the name starts in an entry
FREE_INUM: Final = bytes(NAME_AT)


def dirlookup(table: InodeTable, dp: Inode, name: bytes) -> tuple[Inode, int] | None:
    """The inode that an entry of a locked directory names (a reference, not locked), and the entry's offset.

    None where there is no such entry; fails where `dp` is no directory.
    """
    if dp.type != T_DIR:
        raise SyscallError(ENOTDIR, f"{dp} is no directory")
    entries = dp.read(0, dp.size)
    at = _find_name(entries, name[:DIRSIZ])
    if at < 0:
        return None
    ip = table.get(dp.fs, entries[at] | entries[at + 1] << 8)
    if not dp.nlink and ip is not dp and not all(ip.peek()):
        ip.put()
        return None  # the .. of a removed directory, whose parent has gone as well
    return ip, at


def dirlink(table: InodeTable, dp: Inode, name: bytes, inum: int) -> None:
    """Enter a name in a locked directory. Fails where it is taken, without room, or if `dp` was removed."""
    found = dirlookup(table, dp, name)
    if found is not None:
        found[0].put()
        raise SyscallError(EEXIST, "the name is taken")
    if not dp.nlink:
        raise SyscallError(ENOENT, f"{dp} has been removed")  # an entry in it could never be removed
    dp.write([*inums(dp), 0].index(0) * DIRENT_SIZE, DIRENT.pack(inum, name[:DIRSIZ]))  # its end, perhaps


def inums(dp: Inode) -> list[int]:
    """The inode number of each entry of a locked directory, 0 for a free one."""
    return memoryview(dp.read(0, dp.size)).cast("H")[:: DIRENT_SIZE // 2].tolist()


def _find_name(entries: bytes, name: bytes) -> int:
    """Offset of the entry in use that has `name`; -1 where none has."""
    padded = name.ljust(DIRSIZ, b"\0")[: len(name) + 1]  # with the NUL that ends a name of less than DIRSIZ
    at = entries.find(padded)
    while at >= 0:
        entry = at - NAME_AT
        if entry % DIRENT_SIZE == 0 and entries[entry:at] != FREE_INUM:
            return entry
        at = entries.find(padded, at + 1)
    return -1
