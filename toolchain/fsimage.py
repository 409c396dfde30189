"""The image reader: what is in an xv6 file system, and by fscheck.py whether a kernel may trust it.

Called by `orrery lsfs`, by boot before it hands a drive to the kernel, and by tests.  The image that is
handed in is never written: a pending log is replayed in a copy, so what is read is what a kernel
would see after mounting.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap
from typing import NamedTuple, TypeAlias

from kernel.abi import disk, fcntl, param
from toolchain.mkfs import ImageError
from toolchain.names import shown

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap"

TYPES = (fcntl.T_DIR, fcntl.T_FILE, fcntl.T_DEVICE, fcntl.T_SYMLINK)
_REMEDY = "make a new image with `orrery mkfs`"
_NO_BLOCKS = (0,) * disk.NINDIRECT
_TABLE = struct.Struct(f"<{disk.NINDIRECT}I")


class BadImage(ImageError):
    """The image is damaged, or is none."""


class Inode(NamedTuple):
    """One inode as it is on disk; `addresses` are the block numbers that disk.Layout tells of, 0 for none."""

    number: int
    type: int
    major: int
    minor: int
    nlink: int
    size: int
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as walk() meets it; `path` is as Python has names of files, see names.py."""

    ino: int
    type: int
    nlink: int
    size: int
    path: str

    def __str__(self) -> str:
        """The line that lsfs prints."""
        return f"{self.ino} {self.type} {self.nlink} {self.size} {shown(self.path)}"


class FsImage:
    """An image, opened: its super block is sound and its log replayed, the rest is as it is found.

    `name` is what messages call it, and `layout` that of its inodes where the image does not say it.
    Reading something damaged raises BadImage.
    """

    def __init__(self, data: Buffer, name: str = "image", layout: str | None = None) -> None:
        self.name = name
        self._data = memoryview(data).cast("B")
        self._read_superblock()
        self._replay_log()
        self.layout = disk.LAYOUTS[layout] if layout else disk.layout_of(self.superblock.layout)

    def replayed(self) -> bytearray:
        """A copy of the image as it is when a kernel has mounted it: the log installed, and empty."""
        copy = bytearray(self._data)
        disk.LOG_N.pack_into(copy, self.superblock.logstart * disk.BSIZE, 0)
        return copy

    def bad(self, what: str, remedy: str = _REMEDY) -> BadImage:
        """The exception for a finding."""
        return BadImage(shown(f"{self.name}: {what}; {remedy}"))

    def bad_blocks(self, what: str) -> BadImage:
        """As bad, for what may only look wrong because the image has another layout than was said."""
        if self.layout is not disk.layout_of(self.superblock.layout):
            return self.bad(what, f"leave out --layout {self.layout.name}, or {_REMEDY}")
        return self.bad(what)

    def inode(self, number: int) -> Inode:
        """Inode `number`, which must be one that the image has."""
        assert 0 < number < self.superblock.ninodes, f"inode {number} is not in the image"
        offset = self.superblock.inodestart * disk.BSIZE + number * disk.DINODE_SIZE
        kind, major, minor, nlink, size, *addresses = disk.DINODE.unpack_from(self._data, offset)
        return Inode(number, kind, major, minor, nlink, size, tuple(addresses))

    def content(self, inode: Inode) -> bytes:
        """All bytes of a file or directory; holes read as zeros."""
        parts = []
        for block in self.data_blocks(inode):
            parts.append(self._block(block) if block else bytes(disk.BSIZE))
        return b"".join(parts)[: inode.size]

    def data_blocks(self, inode: Inode) -> list[int]:
        """The numbers of a file's data blocks in order, 0 for a hole, each checked to be a data block."""
        return self._blocks(inode)[0]

    def all_blocks(self, inode: Inode) -> list[int]:
        """All blocks that an inode has: data, tables, and those behind the end of the file, 0 for none.

        Each is checked to be a data block, but not that it is there once.
        """
        blocks: list[int] = []
        for row in self.rows(inode):
            for block in row:
                self._check_block(block, inode)
            blocks += row
        return blocks

    def inodes(self) -> Iterator[Inode]:
        """All inodes that are in use."""
        start = self.superblock.inodestart * disk.BSIZE
        table = self._data[start : start + self.superblock.ninodes * disk.DINODE_SIZE]
        for number, fields in enumerate(disk.DINODE.iter_unpack(table)):
            if fields[0] and number:
                kind, major, minor, nlink, size, *addresses = fields
                yield Inode(number, kind, major, minor, nlink, size, tuple(addresses))

    def rows(self, inode: Inode) -> Iterator[tuple[int, ...]]:
        """The block numbers of an inode as they stand together, in it and in each of its tables.

        They are as they are found; but when one is given, the caller has accepted those before, which may be
        read as tables.
        """
        direct = self.layout.direct
        yield inode.addresses
        for levels, head in enumerate(inode.addresses[direct:], 1):
            yield from self._rows_below(head, levels)

    def _rows_below(self, table: int, levels: int) -> Iterator[tuple[int, ...]]:
        if table:
            row = self._numbers(table)
            yield row
            for below in row if levels > 1 else ():
                yield from self._rows_below(below, levels - 1)

    @property
    def free_map(self) -> memoryview:
        """The map of free blocks: a bit for each, 1 where it is in use."""
        sb = self.superblock
        return self._data[sb.bmapstart * disk.BSIZE : (sb.bmapstart - (-sb.size // disk.BPB)) * disk.BSIZE]

    def check_size(self, inode: Inode) -> None:
        """Raise BadImage unless a file can be as large as `inode` says."""
        layout, count = self.layout, -(-inode.size // disk.BSIZE)
        if count > layout.blocks_max:
            what = f"inode {inode.number}: size {inode.size} is more than a file's {layout.blocks_max} blocks"
            if count <= disk.LAB.blocks_max:
                raise self.bad(what, f"give --layout lab if it was made so, or {_REMEDY}")
            raise self.bad_blocks(what)

    def _blocks(self, inode: Inode) -> tuple[list[int], list[int]]:
        """The blocks with a file's data and those with their numbers, each checked to be a data block."""
        self.check_size(inode)
        layout, count = self.layout, -(-inode.size // disk.BSIZE)
        data = list(inode.addresses[: layout.direct])
        tables: list[int] = []
        for levels, head in enumerate(inode.addresses[layout.direct :], 1):
            row = [head]
            for level in reversed(range(levels)):  # as far as the file goes
                row = row[: max(0, -(-(count - len(data)) // disk.NINDIRECT ** (level + 1)))]
                for block in row:
                    self._check_block(block, inode)
                tables += row
                row = [below for block in row for below in self._numbers(block)]
            data += row
        for block in data[:count]:
            self._check_block(block, inode)
        return data[:count], tables

    def _numbers(self, table: int) -> tuple[int, ...]:
        return _TABLE.unpack(self._block(table)) if table else _NO_BLOCKS

    def regions(self) -> list[tuple[str, int, int]]:
        """Name, first block and block after the last of everything that is not data."""
        sb = self.superblock
        return [
            ("boot and super block", 0, 2),
            ("log", sb.logstart, sb.logstart + sb.nlog),
            ("inodes", sb.inodestart, sb.inodestart - (-sb.ninodes // disk.IPB)),
            ("free map", sb.bmapstart, sb.bmapstart - (-sb.size // disk.BPB)),
        ]

    def entries(self, directory: Inode, path: str) -> Iterator[tuple[str, Inode]]:
        """Name and inode of each entry in use; `path` is for messages."""
        if directory.size % disk.DIRENT_SIZE:
            raise self.bad(f"directory {path}: size {directory.size} is no multiple of {disk.DIRENT_SIZE}")
        for number, raw in disk.DIRENT.iter_unpack(self.content(directory)):
            if number == 0:
                continue
            name = os.fsdecode(raw.split(b"\0", 1)[0])
            if number >= self.superblock.ninodes:
                raise self.bad(
                    f"directory {path}: entry '{name}' names inode {number}, "
                    f"but the image has {self.superblock.ninodes}"
                )
            inode = self.inode(number)
            if inode.type == 0:
                raise self.bad(f"directory {path}: entry '{name}' names inode {number}, which is free")
            if inode.type not in TYPES:
                raise self.bad(f"inode {number} ('{name}' in {path}): no such type: {inode.type}")
            yield name, inode

    def walk(self) -> Iterator[Entry]:
        """Every file, a directory before what is in it, in the order of the directories' entries."""
        root = self.inode(param.ROOTINO)
        if root.type != fcntl.T_DIR:
            raise self.bad(f"root directory: inode {root.number} has type {root.type}, not {fcntl.T_DIR}")
        yield _entry(root, "/")
        yield from self._walk_below(root)

    def read(self, path: str) -> bytes:
        """The content of the file at the absolute `path`; raises ImageError when there is none."""
        inode = self.inode(param.ROOTINO)
        for part in filter(None, path.split("/")):
            found = dict(self.entries(inode, path)) if inode.type == fcntl.T_DIR else {}
            if part not in found:
                raise ImageError(
                    f"{shown(self.name)}: no file {shown(path)}; `orrery lsfs` lists those that there are"
                )
            inode = found[part]
        return self.content(inode)

    def in_use(self, block: int) -> bool:
        """Whether the free map marks `block` as taken."""
        byte = self._data[self.superblock.bmapstart * disk.BSIZE + block // 8]
        return bool(byte >> block % 8 & 1)

    def _walk_below(self, root: Inode) -> Iterator[Entry]:
        """walk() without the root; keeps its own stack, as a damaged image may nest deeply."""
        # The directories from the root to where we are: inode number, path, entries still to come.
        above = [(root.number, "", self._children(root, root.number, "/"))]
        parents = {root.number: "/"}
        while above:
            number, path, children = above[-1]
            found = next(children, None)
            if found is None:
                above.pop()
                continue
            name, inode = found
            below = f"{path}/{name}"
            yield _entry(inode, below)
            if inode.type != fcntl.T_DIR:
                continue
            if inode.number in (one[0] for one in above):
                raise self.bad(f"directory {below}: a cycle: it is inode {inode.number}, which contains it")
            if inode.number in parents:
                raise self.bad(f"directory {below}: is also {parents[inode.number]} (inode {inode.number})")
            parents[inode.number] = below
            above.append((inode.number, below, self._children(inode, number, below)))

    def _children(self, directory: Inode, parent: int, path: str) -> Iterator[tuple[str, Inode]]:
        """The entries of a directory but for `.` and `..`, which are checked."""
        for name, inode in self.entries(directory, path):
            if name in (".", ".."):
                expected = directory.number if name == "." else parent
                if inode.number != expected:
                    raise self.bad(f"directory {path}: '{name}' is inode {inode.number}, not {expected}")
            else:
                yield name, inode

    def _block(self, number: int) -> memoryview:
        return self._data[number * disk.BSIZE : (number + 1) * disk.BSIZE]

    def _check_block(self, block: int, inode: Inode) -> None:
        """Raise BadImage unless `block` is 0 or a data block."""
        sb = self.superblock
        if block >= sb.size:
            what = f"block {block} is out of range: the image has {sb.size}"
            raise self.bad_blocks(f"inode {inode.number}: {what}")
        if not block or block >= self._data_start:
            return
        for region, start, end in self.regions():
            if start <= block < end:
                raise self.bad_blocks(f"inode {inode.number}: block {block} belongs to the {region}")

    def _read_superblock(self) -> None:
        """Take the super block; raises BadImage unless its regions lie in the image and apart."""
        have = len(self._data) // disk.BSIZE
        if have < 2:
            raise self.bad(f"{len(self._data)} bytes are too few for a file system")
        sb = self.superblock = disk.SuperBlock(*disk.SUPERBLOCK.unpack_from(self._data, disk.BSIZE))
        if sb.magic != disk.FSMAGIC:
            raise self.bad(
                "super block: not an xv6 file system: "
                f"the magic number is {sb.magic:#x}, not {disk.FSMAGIC:#x}"
            )
        if sb.size > have:
            raise self.bad(f"super block: says {sb.size} blocks, but the file holds {have}: it is truncated")
        if sb.nblocks > sb.size or sb.ninodes <= param.ROOTINO or sb.ninodes > 1 << 16:
            raise self.bad(
                f"super block: {sb.nblocks} data blocks and {sb.ninodes} inodes do not fit {sb.size} blocks"
            )
        if sb.nlog <= param.MAXOPBLOCKS:
            least = param.MAXOPBLOCKS + 1
            raise self.bad(f"super block: a log of {sb.nlog} blocks: too few, a system call needs {least}")
        if sb.logstart + sb.nlog > sb.size:
            raise self.bad(f"super block: a log of {sb.nlog} blocks does not fit into {sb.size}")
        regions = sorted(self.regions(), key=lambda region: region[1])
        for (name, _, end), (later, start, _) in pairwise(regions):
            if start < end:
                raise self.bad(f"super block: the {later} at block {start} overlaps the {name}")
        if regions[-1][2] > sb.size:
            raise self.bad(f"super block: the {regions[-1][0]} ends behind the last of {sb.size} blocks")
        self._data_start = regions[-1][2]  # no block from here on is anything but data

    def _replay_log(self) -> None:
        """Install a committed transaction, in a copy of the image."""
        sb = self.superblock
        header = self._block(sb.logstart)
        (count,) = disk.LOG_N.unpack_from(header)
        room = min(sb.nlog - 1, disk.LOG_ENTRIES_MAX)
        if not 0 <= count <= room:
            raise self.bad(f"log: its header counts {count} blocks, but the log has {room}")
        if count == 0:
            return
        targets = struct.unpack_from(f"<{count}I", header, disk.LOG_N.size)
        for target in targets:
            if target < 2 or target >= sb.size or sb.logstart <= target < sb.logstart + sb.nlog:
                raise self.bad(f"log: its header names block {target}, which no transaction writes")
        if len(set(targets)) < count:
            raise self.bad("log: its header names a block twice")
        self._data = memoryview(bytearray(self._data))
        for i, target in enumerate(targets):
            self._block(target)[:] = self._block(sb.logstart + 1 + i)
        self._read_superblock()


def _entry(inode: Inode, path: str) -> Entry:
    return Entry(inode.number, inode.type, inode.nlink, inode.size, path)


def check(image: Buffer, name: str = "image", layout: str | None = None) -> FsImage:
    """The image, opened; BadImage, one line with the finding and the remedy, unless a kernel can trust it."""
    from toolchain.fscheck import Checker  # which reads images by this file

    fs = FsImage(image, name, layout)
    told = disk.layout_of(fs.superblock.layout)
    if told is disk.LAB and fs.layout is not told:  # a kernel would write what nobody could read again
        raise fs.bad(f"was made with --layout {told.name}, and says so", f"leave out --layout {layout}")
    Checker(fs).check()
    return fs
