"""The image maker: files in, a file system in stock xv6 format out.

Called by image.py for the default image and by `orrery mkfs`.  The layout is drawn in
kernel/abi/disk.py; the log is one header block and LOGBLOCKS data blocks, which is what the newest xv6
counts on and older ones accept.  The result depends on nothing but the arguments.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kernel.abi import disk, fcntl, param
from toolchain import hostfile
from toolchain.names import shown

DEFAULT_SIZE = 8192  # blocks: 8 MiB, of which the programs take a part; one block of map covers it
LAB_SIZE = 200_000  # blocks of an image in the lab's layout: one file may have 65,803
SIZE_MAX = 1 << 22  # blocks: 4 GiB
DEFAULT_NINODES = 1024
KEPT_SIZE = 32_768  # blocks of a disk that a person keeps: 32 MiB
KEPT_NINODES = 4096
LOG_SIZE = param.LOGBLOCKS + 1  # blocks, the header included


class ImageError(Exception):
    """An image cannot be made or used; str() is one line that names the thing and the remedy."""


def build(
    files: Mapping[str, bytes],
    size: int | None = None,
    ninodes: int = DEFAULT_NINODES,
    layout: str = disk.STOCK.name,
) -> bytearray:
    """An image of `size` blocks whose root directory holds `files`, in their order.

    `layout` is that of its inodes: "stock" or "lab"; it decides the size where none is given.
    Raises ImageError for a name that does not fit, a file that is too big, or when space runs out.
    """
    for name in files:
        _check_name(name)
    if size is None:
        size = LAB_SIZE if layout == disk.LAB.name else DEFAULT_SIZE
    image = _Image(size, ninodes, disk.LAYOUTS[layout])
    root = image.allocate_inode()
    assert root == param.ROOTINO, "the root directory is the first inode"
    entries = [disk.DIRENT.pack(root, b"."), disk.DIRENT.pack(root, b"..")]
    for name, content in files.items():
        inode = image.allocate_inode()
        image.write_inode(inode, fcntl.T_FILE, content, name)
        entries.append(disk.DIRENT.pack(inode, os.fsencode(name)))
    directory = b"".join(entries)
    directory += bytes(-len(directory) % disk.BSIZE)
    image.write_inode(root, fcntl.T_DIR, directory, "/")
    image.write_map()
    return image.data


def collect(paths: Iterable[Path]) -> dict[str, bytes]:
    """Read host files into what build() takes: named by their last part, a leading `_` dropped."""
    files: dict[str, bytes] = {}
    for path in paths:
        name = path.name.removeprefix("_")
        if name in files:
            raise ImageError(
                f"{shown(path)}: a second file named '{shown(name)}': an image has one directory; rename one"
            )
        try:
            files[name] = hostfile.read(path, disk.LAB.blocks_max * disk.BSIZE)
        except OSError as error:
            raise ImageError(
                f"{shown(path)}: {error.strerror or error}; check the name of the file"
            ) from error
    return files


def _check_name(name: str) -> None:
    encoded = os.fsencode(name)
    if not encoded or "/" in name or "\0" in name or name in (".", ".."):
        raise ImageError(
            f"'{shown(name)}': not a file name: it may not be empty, '.', '..' or contain '/' or NUL"
        )
    if len(encoded) > disk.DIRSIZ:
        raise ImageError(f"{shown(name)}: name of {len(encoded)} bytes; xv6 allows {disk.DIRSIZ}: shorten it")


def addresses(layout: disk.Layout, blocks: list[int], store: Callable[[bytes], int]) -> list[int]:
    """The numbers in an inode of a file with these blocks; `store` puts a table of numbers into a block."""
    places = []
    for slot in range(disk.NADDRS):
        below = blocks[layout.first(slot) : layout.first(slot + 1)]
        places.append(_tree(below, max(0, slot - layout.direct + 1), store))
    return places


def _tree(blocks: list[int], levels: int, store: Callable[[bytes], int]) -> int:
    """The block that leads to `blocks` by so many levels of tables, made here; 0 where there are none."""
    if not levels or not blocks:
        return blocks[0] if blocks else 0
    span = disk.NINDIRECT ** (levels - 1)
    row = [_tree(blocks[i : i + span], levels - 1, store) for i in range(0, len(blocks), span)]
    return store(b"".join(block.to_bytes(4, "little") for block in row))


class _Image:
    """An image being filled: inodes and data blocks are given out in order and never taken back."""

    def __init__(self, size: int, ninodes: int, layout: disk.Layout) -> None:
        inode_blocks = ninodes // disk.IPB + 1
        map_blocks = size // disk.BPB + 1
        self.inode_start = 2 + LOG_SIZE
        self.map_start = self.inode_start + inode_blocks
        self.next_block = self.map_start + map_blocks
        if size > SIZE_MAX:
            raise ImageError(f"{size} blocks: too many: an image has at most {SIZE_MAX}; make it smaller")
        if ninodes < 2 or ninodes > 0xFFFF:
            raise ImageError(
                f"{ninodes} inodes: an image has from 2 to 65535, as directory entries are 16 bits"
            )
        if size <= self.next_block:
            raise ImageError(
                f"{size} blocks: too small: the log, {ninodes} inodes and the map take {self.next_block}; "
                "make the image larger"
            )
        self.size = size
        self.ninodes = ninodes
        self.layout = layout
        self.next_inode = 1
        self.data = bytearray(size * disk.BSIZE)
        nblocks = size - self.next_block
        superblock = disk.SuperBlock(
            disk.FSMAGIC, size, nblocks, ninodes, LOG_SIZE, 2, self.inode_start, self.map_start, layout.mark
        )
        disk.SUPERBLOCK.pack_into(self.data, disk.BSIZE, *superblock)

    def allocate_inode(self) -> int:
        """The number of a fresh inode."""
        if self.next_inode >= self.ninodes:
            raise ImageError(
                f"more than {self.ninodes - 2} files: too many for the image's inodes; leave some out"
            )
        self.next_inode += 1
        return self.next_inode - 1

    def write_inode(self, number: int, kind: int, content: bytes, name: str) -> None:
        """Store `content` in new blocks and inode `number` of type `kind` over them."""
        count = -(-len(content) // disk.BSIZE)
        if count > self.layout.blocks_max:
            limit = self.layout.blocks_max * disk.BSIZE
            raise ImageError(
                f"{shown(name)}: {len(content)} bytes; a file has at most {limit}: leave it out or split it"
            )
        blocks = [self._allocate_block(name) for _ in range(count)]
        for i, block in enumerate(blocks):
            self._fill_block(block, content[i * disk.BSIZE : (i + 1) * disk.BSIZE])
        places = addresses(self.layout, blocks, lambda table: self._store(table, name))
        offset = self.inode_start * disk.BSIZE + number * disk.DINODE_SIZE
        disk.DINODE.pack_into(self.data, offset, kind, 0, 0, 1, len(content), *places)

    def _store(self, content: bytes, name: str) -> int:
        block = self._allocate_block(name)
        self._fill_block(block, content)
        return block

    def write_map(self) -> None:
        """Mark every block that was given out, and all before the first, as in use."""
        full, rest = divmod(self.next_block, 8)
        start = self.map_start * disk.BSIZE
        self.data[start : start + full] = b"\xff" * full
        if rest:
            self.data[start + full] = (1 << rest) - 1

    def _allocate_block(self, name: str) -> int:
        if self.next_block >= self.size:
            raise ImageError(
                f"{shown(name)}: does not fit: the image's {self.size} blocks are full; make it larger"
            )
        self.next_block += 1
        return self.next_block - 1

    def _fill_block(self, block: int, content: bytes) -> None:
        start = block * disk.BSIZE
        self.data[start : start + len(content)] = content
