"""An image that is being changed: files, directories and links put into it.

Called by `orrery put`.  All happens in a copy of the image, which is the caller's to keep or to drop, so an
error leaves nothing half done.  What comes out is what a kernel might have written: it passes fsimage.check.
"""

from kernel.abi import disk, fcntl
from toolchain import fspath, mkfs
from toolchain.fsimage import Buffer, FsImage, Inode, check
from toolchain.mkfs import ImageError
from toolchain.names import shown

NLINK_MAX = 0x7FFF  # a short


class Editor:
    """The image `image`, called `name` in messages; `data` is the copy that has the changes.

    Raises BadImage for an image that a kernel could not trust.
    """

    def __init__(self, image: Buffer, name: str, layout: str | None = None) -> None:
        self.data = check(image, name, layout).replayed()
        self.fs = FsImage(self.data, name, layout)
        self._data_start = max(end for _, _, end in self.fs.regions())
        self._next_block = self._data_start  # none before it is free
        self._next_inode = 1  # the same

    # --- what can be put in ---

    def put_file(self, directory: int, name: bytes, content: bytes) -> None:
        """Have the file `name` in `directory` contain `content`: a new one, or one that is there."""
        limit = self.fs.layout.blocks_max * disk.BSIZE
        if len(content) > limit:
            raise self._refusal(name, f"{len(content)} bytes; a file has at most {limit}: split it")
        old = fspath.lookup(self.fs, self.fs.inode(directory), self._checked(name))
        if old is None:
            self._link(directory, name, self._new_inode(fcntl.T_FILE, content, name))
        elif old.type == fcntl.T_FILE:
            self.replace(old.number, content, name)
        else:
            kind = {fcntl.T_DIR: "a directory", fcntl.T_DEVICE: "a device"}.get(old.type, "a symbolic link")
            raise self._refusal(name, f"is {kind} there; remove it, or choose another name")

    def put_link(self, directory: int, name: bytes, target: bytes) -> None:
        """Make `name` in `directory` a symbolic link to `target`."""
        if fspath.lookup(self.fs, self.fs.inode(directory), self._checked(name)) is not None:
            raise self._refusal(name, "is there already, and a link is to get its name; remove it first")
        self._link(directory, name, self._new_inode(fcntl.T_SYMLINK, target, name))

    def make_directory(self, directory: int, name: bytes) -> int:
        """The number of the directory `name` in `directory`, made if there is none."""
        parent = self.fs.inode(directory)
        old = fspath.lookup(self.fs, parent, self._checked(name))
        if old is not None:
            if old.type != fcntl.T_DIR:
                raise self._refusal(name, "is there, and no directory; remove it, or choose another name")
            return old.number
        if parent.nlink >= NLINK_MAX:
            raise self._refusal(name, "no further directory fits beside it; put it elsewhere")
        number = self._new_inode(fcntl.T_DIR, b"", name)
        dots = disk.DIRENT.pack(number, b".") + disk.DIRENT.pack(directory, b"..")
        self.replace(number, dots, name)
        self._link(directory, name, number)
        self._write_inode(self.fs.inode(directory)._replace(nlink=parent.nlink + 1))
        return number

    def replace(self, number: int, content: bytes, name: bytes) -> None:
        """Have inode `number`, called `name` in messages, contain `content`."""
        inode = self.fs.inode(number)
        for block in filter(None, self.fs.all_blocks(inode)):
            self._mark(block, used=False)
            self._next_block = min(self._next_block, block)
        blocks = [
            self._store(content[at : at + disk.BSIZE], name) for at in range(0, len(content), disk.BSIZE)
        ]
        addresses = mkfs.addresses(self.fs.layout, blocks, lambda table: self._store(table, name))
        self._write_inode(inode._replace(size=len(content), addresses=tuple(addresses)))

    # --- parts ---

    def _checked(self, name: bytes) -> bytes:
        if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
            raise self._refusal(name, "not a file name: it may not be empty, '.' or '..'; name it otherwise")
        if len(name) > disk.DIRSIZ:
            raise self._refusal(name, f"name of {len(name)} bytes; xv6 allows {disk.DIRSIZ}: shorten it")
        return name

    def _refusal(self, name: bytes, why: str) -> ImageError:
        return ImageError(f"{self.fs.name}: {shown(name)}: {why}")

    def _link(self, directory: int, name: bytes, number: int) -> None:
        """Enter inode `number` in `directory`, in the first free place."""
        entry = disk.DIRENT.pack(number, name)
        content = bytearray(self.fs.content(self.fs.inode(directory)))
        for at in range(0, len(content), disk.DIRENT_SIZE):
            if content[at : at + 2] == b"\0\0":
                content[at : at + disk.DIRENT_SIZE] = entry
                break
        else:
            content += entry
        if len(content) > self.fs.layout.blocks_max * disk.BSIZE:
            raise self._refusal(name, "its directory is full; put it into another one")
        self.replace(directory, bytes(content), name)

    def _new_inode(self, kind: int, content: bytes, name: bytes) -> int:
        for number in range(self._next_inode, self.fs.superblock.ninodes):
            if self.fs.inode(number).type == 0:
                self._next_inode = number + 1
                self._write_inode(Inode(number, kind, 0, 0, 1, 0, (0,) * disk.NADDRS))
                self.replace(number, content, name)
                return number
        raise self._refusal(
            name, f"no inode left of {self.fs.superblock.ninodes}; remove files, or make an image with more"
        )

    def _write_inode(self, inode: Inode) -> None:
        offset = self.fs.superblock.inodestart * disk.BSIZE + inode.number * disk.DINODE_SIZE
        number, *fields, addresses = inode
        assert 0 < number < self.fs.superblock.ninodes, f"inode {number} is in the table"
        disk.DINODE.pack_into(self.data, offset, *fields, *addresses)

    def _store(self, content: bytes, name: bytes) -> int:
        """A block that was free, with `content` and zeroes behind it."""
        size = self.fs.superblock.size
        block = next((at for at in range(self._next_block, size) if not self.fs.in_use(at)), None)
        if block is None:
            free = sum(not self.fs.in_use(at) for at in range(self._data_start, size))
            assert free == 0, "no block before the next one is free"
            raise self._refusal(
                name, f"no space left: all {size} blocks are in use; remove files, or make a larger image"
            )
        self._next_block = block + 1
        self._mark(block, used=True)
        start = block * disk.BSIZE
        self.data[start : start + disk.BSIZE] = content.ljust(disk.BSIZE, b"\0")
        return block

    def _mark(self, block: int, *, used: bool) -> None:
        at = self.fs.superblock.bmapstart * disk.BSIZE + block // 8
        bit = 1 << block % 8
        self.data[at] = self.data[at] | bit if used else self.data[at] & ~bit
