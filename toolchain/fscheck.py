"""The checker: whether a kernel may trust an image, as fsck would see it.

Called by fsimage.check, on an image whose super block and log are sound.  A kernel believes what its disk
says: a block that two files have, or that is marked free while a file has it, breaks one of them sooner or
later, and the kernel when it is given back.  So every number in every inode is looked at, also behind the end
of its file (a write that failed leaves blocks there, and they are given back with the others), and every
entry of every directory that can be reached.

What only wastes room is left alone, as a crash, another image maker or a kernel in the making leave it:
blocks marked in use that belong to nothing, inodes that no entry names, link counts that are too high, those
of directories that do not count what is in them, holes in files.

All is done in one pass over the inodes, the tables and the directories; a block is one byte of `_taken`.
"""

import os
from collections.abc import Iterator
from typing import Final

from kernel.abi import disk, fcntl, param
from toolchain.fsimage import TYPES, BadImage, FsImage, Inode

DOTS: Final = (b".", b"..")
PATH_MAX: Final = 200  # letters of a path that are shown: there may be thousands of directories in it


class Checker:
    """Checks `fs`; each method raises BadImage for the first thing that it finds wrong."""

    def __init__(self, fs: FsImage) -> None:
        self._fs: Final = fs
        self._size: Final = fs.superblock.size
        self._taken: Final = bytearray(self._size)  # 1 for a block that something has
        self._parents: Final[dict[int, tuple[int, bytes]]] = {}  # of each directory: what it is in, its name
        self._links: Final[dict[int, int]] = {param.ROOTINO: 1}  # entries that name each inode, but for dots
        for _, start, end in fs.regions():
            self._taken[start:end] = b"\1" * (end - start)

    def check(self) -> None:
        """Everything."""
        for inode in self._fs.inodes():
            self._check_inode(inode)
        self._check_map()
        self._check_directories()
        self._check_links()

    # --- inodes and blocks ---

    def _check_inode(self, inode: Inode) -> None:
        fs = self._fs
        if inode.type not in TYPES:
            raise fs.bad(f"inode {inode.number}: no such type: {inode.type}")
        if inode.nlink < 0:
            raise fs.bad(f"inode {inode.number}: link count {inode.nlink}")
        if inode.type != fcntl.T_DEVICE:
            fs.check_size(inode)
        for row in fs.rows(inode):
            self._take(inode, row)

    def _take(self, inode: Inode, row: tuple[int, ...]) -> None:
        """Note that `inode` has these blocks, 0 for none; raises where one is not its to have."""
        taken, size = self._taken, self._size
        for block in row:
            if block:
                if block >= size:
                    what = f"block {block} is out of range: the image has {size}"
                    raise self._fs.bad_blocks(f"inode {inode.number}: {what}")
                if taken[block]:
                    raise self._taken_already(inode, block)
                taken[block] = 1

    def _taken_already(self, inode: Inode, block: int) -> BadImage:
        region = self._region(block)
        if region is not None:
            return self._fs.bad_blocks(f"inode {inode.number}: block {block} belongs to the {region}")
        owner = self._owner(block)
        return self._fs.bad_blocks(f"inode {inode.number}: block {block} is also used by inode {owner}")

    def _region(self, block: int) -> str | None:
        """Which part of the disk that is not data `block` is in."""
        return next((name for name, start, end in self._fs.regions() if start <= block < end), None)

    def _owner(self, block: int) -> int:
        """The first inode that has `block`, which one has."""
        fs = self._fs
        return next(inode.number for inode in fs.inodes() if any(block in row for row in fs.rows(inode)))

    def _check_map(self) -> None:
        """Every block that something has is marked in use."""
        marked = int.from_bytes(self._fs.free_map, "little")
        # Byte i of each eighth of `_taken` is for bit j of byte i of the map.
        taken = 0
        for bit in range(8):
            taken |= int.from_bytes(self._taken[bit::8], "little") << bit
        wrong = taken & ~marked
        if wrong:
            block = (wrong & -wrong).bit_length() - 1
            region = self._region(block)
            if region is not None:
                raise self._fs.bad(f"free map: block {block}, of the {region}, is marked free")
            raise self._fs.bad_blocks(f"inode {self._owner(block)}: block {block} is marked free")

    # --- directories ---

    def _check_directories(self) -> None:
        fs = self._fs
        root = fs.inode(param.ROOTINO)
        if root.type != fcntl.T_DIR:
            raise fs.bad(f"root directory: inode {root.number} has type {root.type}, not {fcntl.T_DIR}")
        self._parents[root.number] = root.number, b""
        above = [self._check_directory(root)]  # an own stack, as they may nest deeply
        while above:
            directory = next(above[-1], None)
            if directory is None:
                above.pop()
            else:
                above.append(self._check_directory(directory))

    def _check_directory(self, directory: Inode) -> Iterator[Inode]:
        """Check the entries of a directory; gives the directories among them."""
        fs, number = self._fs, directory.number
        if directory.size % disk.DIRENT_SIZE:
            raise self._bad(number, f"size {directory.size} is no multiple of {disk.DIRENT_SIZE}")
        if 0 in fs.data_blocks(directory):
            raise self._bad(number, "a block of it is missing")
        content = fs.content(directory)
        self._check_dots(number, content)
        names = {*DOTS}
        for inum, raw in disk.DIRENT.iter_unpack(content[len(DOTS) * disk.DIRENT_SIZE :]):
            if inum:
                name = raw.partition(b"\0")[0]
                if name in names:
                    raise self._bad(number, f"entry '{os.fsdecode(name)}' is there twice")
                names.add(name)
                if self._check_entry(number, name, inum):
                    yield fs.inode(inum)

    def _check_dots(self, number: int, content: bytes) -> None:
        """The first two entries, by which a kernel knows that a directory is empty."""
        for slot, (name, expected) in enumerate(zip(DOTS, (number, self._parents[number][0]), strict=True)):
            entry = content[slot * disk.DIRENT_SIZE : (slot + 1) * disk.DIRENT_SIZE]
            inum, raw = disk.DIRENT.unpack(entry.ljust(disk.DIRENT_SIZE, b"\0"))
            if not inum or raw.partition(b"\0")[0] != name:
                raise self._bad(number, f"has no '{name.decode()}' for entry {slot}")
            if inum != expected:
                raise self._bad(number, f"'{name.decode()}' is inode {inum}, not {expected}")

    def _check_entry(self, directory: int, name: bytes, inum: int) -> bool:
        """Check an entry, and count it; whether it names a directory."""
        fs, said = self._fs, f"entry '{os.fsdecode(name)}'"
        if not name or b"/" in name:
            raise self._bad(directory, f"{said} has no name" if not name else f"{said} has a / in its name")
        if inum >= fs.superblock.ninodes:
            count = fs.superblock.ninodes
            raise self._bad(directory, f"{said} names inode {inum}, but the image has {count}")
        inode = fs.inode(inum)
        if not inode.type:
            raise self._bad(directory, f"{said} names inode {inum}, which is free")
        self._links[inum] = self._links.get(inum, 0) + 1
        if inode.type != fcntl.T_DIR:
            return False
        if inum in self._parents:
            contains = inum in self._above(directory)
            also = (
                f"a cycle: it is inode {inum}, which contains it"
                if contains
                else (f"is also {self._path(inum)} (inode {inum})")
            )
            raise fs.bad(f"directory {self._path(directory, name)}: {also}")
        self._parents[inum] = directory, name
        return True

    def _check_links(self) -> None:
        """No inode goes, with its last link, before its last name."""
        for inode in self._fs.inodes():
            named = self._links.get(inode.number, 0)
            if inode.nlink < named:
                entries = "an entry names it" if named == 1 else f"{named} entries name it"
                raise self._fs.bad(f"inode {inode.number}: link count {inode.nlink}, but {entries}")

    # --- names of directories, for messages ---

    def _above(self, number: int) -> Iterator[int]:
        """A directory and those that contain it."""
        while True:
            yield number
            if number == param.ROOTINO:
                return
            number = self._parents[number][0]

    def _path(self, directory: int, *names: bytes) -> str:
        """The path of a directory that was met, or of `names` below it."""
        parts = [self._parents[number][1] for number in self._above(directory)]
        path = "/" + os.fsdecode(b"/".join([*filter(None, reversed(parts)), *names]))
        return path if len(path) <= PATH_MAX else f"...{path[-PATH_MAX:]}"

    def _bad(self, directory: int, what: str) -> BadImage:
        return self._fs.bad(f"directory {self._path(directory)}: {what}")
