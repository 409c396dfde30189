"""The file system: the mounted disk, and its inodes.

An inode is a file without a name: a row of bytes, a type, and a count of the directory entries that name it.
The table keeps the ones in use in memory, one Inode for each, however many processes use it:

    iget, idup    one more reference: the Inode stays the one for its number
    locked        `with fs.locked(ip)`: the one user that may read or change it; read from disk the first time
    iput          one reference fewer; the last one of an inode that has no name left frees it on disk,
                  never called with its lock held
    unlogged      `with fs.unlogged()`: who changes nothing, but may drop a last reference, is in no operation
                  of the log; what is to be freed then is, at the end
    borrowed      `with fs.borrowed(ip)`: locked inside, iput at the end;  `with fs.kept(ip)`: only the latter

Separate references and locks let an inode be kept long (an open file) and locked briefly, and let a path be
walked without deadlock.  `ref` and the table itself need no lock, and a type stays as long as there is a
reference.  Everything else of an Inode is read and changed under its lock, and changes reach the disk by
`iupdate`, inside an operation.

Inodes that nobody refers to stay in the table, as a cache, until their place is needed, least recently used
first.  Names are in dir.py, free blocks in blockmap.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EFBIG, ENFILE, ENOSPC
from typing import TYPE_CHECKING, Final

from kernel.abi import disk
from kernel.abi.disk import BPB, BSIZE, DINODE, DINODE_SIZE, IPB, NINDIRECT, Layout, SuperBlock
from kernel.abi.fcntl import T_FILE
from kernel.abi.memlayout import PGSHIFT, PGSIZE
from kernel.abi.param import NINODE
from kernel.errors import SyscallError, settles
from kernel.fs.xv6fs.blockmap import BlockMap
from kernel.fs.xv6fs.inode import NO_ADDRS, Inode

if TYPE_CHECKING:
    from kernel.block.bio import Buf
    from kernel.kernel import Kernel


# How many blocks an operation writes at most for one block of a file: itself and the inode; where it is new,
# also two tables, and a block of the map for each of the three.
OLD_BLOCK_COST_MAX: Final = 2
NEW_BLOCK_COST_MAX: Final = 7
# What cutting off a file must leave: room for the inode, two tables, and what else the operation may do.
CUT_SPARE: Final = 6


class Held:
    """`with` one of these: the inode is locked inside, or its reference dropped at the end, or both."""

    __slots__ = ("_fs", "_ip", "_lock", "_put")

    def __init__(self, fs: "FileSystem", ip: Inode, lock: bool, put: bool) -> None:
        self._fs, self._ip, self._lock, self._put = fs, ip, lock, put

    def __enter__(self) -> Inode:
        if self._lock:
            self._ip.lock.acquire()
            try:
                self._fs.load(self._ip)
            except SyscallError as error:
                self.__exit__(type(error))
                raise
        return self._ip

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if settles(exc_type):
            if self._lock:
                self._ip.lock.release()
            if self._put:
                self._fs.iput(self._ip)


class FileSystem:
    """One mounted file system. `mount` comes first, from the first process, because it waits for the disk."""

    def __init__(self, k: "Kernel", layout: str | None = None) -> None:
        self._k = k
        self._given_layout = layout or ""
        self._dev = 0
        self.sb: SuperBlock
        self.layout: Layout
        self._blocks: BlockMap
        self.inodes: Final[dict[int, Inode]] = {}  # by number: in use or idle
        self._idle: Final[dict[int, Inode]] = {}  # those with ref 0, the longest idle first
        self._to_free: Final[list[Inode]] = []

    # --- mount ---

    def mount(self, dev: int) -> None:
        """Read the super block, replay the log, free the inodes that a crash left without a name."""
        self._dev = dev
        self.sb = SuperBlock._make(disk.SUPERBLOCK.unpack_from(self._block(1)))
        if self.sb.magic != disk.FSMAGIC:
            self._k.panic(f"file system: the super block has the magic {self.sb.magic:#x}")
        self.layout = disk.LAYOUTS.get(self._given_layout, disk.layout_of(self.sb.layout))
        self._k.log.mount(dev, self.sb.logstart, self.sb.nlog)
        self._blocks = BlockMap(self._k, dev, self.sb.bmapstart, self.sb.size)
        self._k.cache.prefetch(dev, self._inode_blocks())
        for inum, kind, nlink in self._inodes_on_disk():
            if kind and not nlink:  # it was unlinked but open when the machine stopped
                self._k.printf(f"ireclaim: orphaned inode {inum}\n")
                with self._k.log, self.borrowed(self.iget(dev, inum)):
                    pass

    # --- references ---

    def iget(self, dev: int, inum: int) -> Inode:
        """The Inode of a number, one reference more; neither locked nor read. Fails where all are in use."""
        ip = self.inodes.get(inum)
        if ip is None:
            ip = self._enter(dev, inum)
        elif not ip.ref:
            del self._idle[inum]
        ip.ref += 1
        return ip

    def idup(self, ip: Inode) -> Inode:
        """One more reference to `ip`."""
        assert ip.ref > 0, f"idup of {ip}, to which nobody refers"
        ip.ref += 1
        return ip

    def iput(self, ip: Inode) -> None:
        """Drop a reference. The last one of a nameless inode frees it on disk: now, or by `free_rest`."""
        assert ip.ref > 0, f"iput of {ip}, to which nobody refers"
        if ip.ref == 1 and ip.valid and not ip.nlink and not self._free(ip):
            self._to_free.append(ip)  # with the reference
            return
        ip.ref -= 1
        if not ip.ref:
            self._idle[ip.inum] = ip

    def peek(self, ip: Inode) -> tuple[int, int]:
        """Type and link count of an inode that is not locked. Where that fails, the reference is dropped."""
        try:
            kind, _, _, nlink, *_ = self._dinode(ip) if not ip.valid else (ip.type, 0, 0, ip.nlink)
        except SyscallError:
            self.iput(ip)
            raise
        return kind, nlink

    def _enter(self, dev: int, inum: int) -> Inode:
        """A new Inode in the table, in the place of the longest idle one where the table is full."""
        if len(self.inodes) >= NINODE:
            if not self._idle:
                raise SyscallError(ENFILE, f"{NINODE} inodes are in use")
            oldest = self._idle.pop(next(iter(self._idle)))
            self._text_changed(oldest)
            self._k.pages.truncated(oldest)
            del self.inodes[oldest.inum]
        ip = self.inodes[inum] = Inode(self._k, dev, inum)
        return ip

    def _free(self, ip: Inode) -> bool:
        """Free on disk an inode that has no name and one user: nobody can find it. Whether it is done."""
        if not self._k.log.has_begun(self._k.myproc()):
            return False
        try:
            with self.locked(ip):
                if not self.itrunc(ip):
                    return False
                ip.type = 0
                self.iupdate(ip)
                ip.valid = False
        except SyscallError as error:  # nothing was changed; the next mount frees it as an orphan
            self._k.printf(f"{ip} is not freed: {error}\n")
        return True

    def free_rest(self) -> None:
        """Free what lost its last reference outside of an operation, or was too large for one.

        Called in none, with no lock held.  What a crash leaves is an inode without a name, which the next
        mount frees.
        """
        while self._to_free:
            ip = self._to_free.pop()
            self._k.log.begin_op()
            self.iput(ip)
            self._k.log.end_op()

    @contextmanager
    def unlogged(self) -> Iterator[None]:
        """`with fs.unlogged():` looks up names, reads, drops references, in no operation of the log."""
        try:
            yield
        except SyscallError:
            self.free_rest()
            raise
        self.free_rest()

    # --- locks ---

    def load(self, ip: Inode) -> None:
        """Read an inode, just locked, from disk where that was not done yet."""
        assert ip.ref > 0, f"nobody refers to {ip}, which is locked"
        if not ip.valid:
            ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs = self._dinode(ip)
            if not ip.type:
                self._k.panic(f"file system: {ip} is in use but free on disk")
            ip.valid = True

    def locked(self, ip: Inode) -> Held:
        """`with fs.locked(ip):` holds the lock."""
        return Held(self, ip, lock=True, put=False)

    def borrowed(self, ip: Inode) -> Held:
        """`with fs.borrowed(ip):` holds the lock, then drops the reference too."""
        return Held(self, ip, lock=True, put=True)

    def kept(self, ip: Inode) -> Held:
        """`with fs.kept(ip):` only drops the reference at the end."""
        return Held(self, ip, lock=False, put=True)

    # --- the inode on disk ---

    def ialloc(self, dev: int, kind: int, major: int, minor: int) -> Inode:
        """Make the first free inode one with one name; a reference, not locked. Fails where none is free."""
        for inum, used, _ in self._inodes_on_disk():
            if not used:
                with self.kept(self.iget(dev, inum)) as ip:
                    if self._claim(ip, kind, major, minor):
                        return self.idup(ip)
        raise SyscallError(ENOSPC, "all inodes are in use")

    def _claim(self, ip: Inode, kind: int, major: int, minor: int) -> bool:
        """Make a free inode one with one name; False if it was taken while its block was waited for.

        The block stays locked between the look and the change, or two processes could have one inode.
        """
        buf = self._k.cache.bread(ip.dev, self._inode_block(ip.inum))
        is_free = not DINODE.unpack_from(buf.data, ip.inum % IPB * DINODE_SIZE)[0]
        if is_free:
            ip.type, ip.major, ip.minor, ip.nlink, ip.size = kind, major, minor, 1, 0
            ip.addrs = list(NO_ADDRS)
            ip.valid = True
            self._store(ip, buf)
        self._k.cache.brelse(buf)
        return is_free

    def _inodes_on_disk(self) -> Iterator[tuple[int, int, int]]:
        """(number, type, link count) of each inode; inode 0 does not count as one."""
        for blockno in self._inode_blocks():
            shorts = memoryview(self._block(blockno)).cast("h")
            for i, inum in enumerate(range((blockno - self.sb.inodestart) * IPB, self.sb.ninodes)[:IPB]):
                if inum:
                    yield inum, shorts[i * DINODE_SIZE // 2], shorts[i * DINODE_SIZE // 2 + 3]

    def iupdate(self, ip: Inode) -> None:
        """Copy a locked inode to its block, inside an operation: after every change of its fields."""
        buf = self._k.cache.bread(ip.dev, self._inode_block(ip.inum))
        self._store(ip, buf)
        self._k.cache.brelse(buf)

    def _store(self, ip: Inode, buf: "Buf") -> None:
        """Copy an inode into its block, which is locked."""
        DINODE.pack_into(
            buf.data, ip.inum % IPB * DINODE_SIZE,
            ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs,
        )  # fmt: skip
        self._k.log.write(buf)
        ip.dirty = False

    def _dinode(self, ip: Inode) -> tuple[int, ...]:
        """What the disk says of an inode: type, major, minor, link count, size, and the block numbers."""
        return DINODE.unpack_from(self._block(self._inode_block(ip.inum)), ip.inum % IPB * DINODE_SIZE)

    def _inode_blocks(self) -> range:
        return range(self.sb.inodestart, self._inode_block(self.sb.ninodes - 1) + 1)

    def _inode_block(self, inum: int) -> int:
        return self.sb.inodestart + inum // IPB

    # --- content ---

    def readi(self, ip: Inode, off: int, n: int) -> bytes:
        """Up to `n` bytes of a locked inode from `off` on; fewer at its end, none behind it."""
        if off + n > 0xFFFF_FFFF:  # a sum that does not fit C's unsigned int reads nothing
            return b""
        n = min(n, ip.size - off)
        if n <= 0:
            return b""
        return self._k.pages.read(ip, off, n) if ip.type == T_FILE else self.read_blocks(ip, off, n)

    def read_blocks(self, ip: Inode, off: int, n: int) -> bytes:
        """The `n` bytes of a locked inode from `off` on, which are all in it, by way of buffers."""
        index, start = divmod(off, BSIZE)
        blocknos = self.blocknos(ip, index, (start + n + BSIZE - 1) // BSIZE)
        if len(blocknos) > 1:
            self._k.cache.prefetch(ip.dev, [blockno for blockno in blocknos if blockno])
        return b"".join(map(self._block, blocknos))[start : start + n]

    def _block(self, blockno: int) -> bytes:
        """The bytes of a block; block 0 stands for a hole, which other image makers leave."""
        if not blockno:
            return bytes(BSIZE)
        buf = self._k.cache.bread(self._dev, blockno)
        data = bytes(buf.data)
        self._k.cache.brelse(buf)
        return data

    def writei(self, ip: Inode, off: int, data: bytes) -> int:
        """Write into a locked inode, inside an operation; gives the bytes written.

        Fewer than asked, but not none, where the operation has no room for more or the disk fills up.
        Fails where it would leave a hole or be too large, or the disk is full.
        """
        if off > ip.size or off + len(data) > self.layout.blocks_max * BSIZE:
            raise SyscallError(EFBIG, f"{len(data)} bytes at {off} of a file of {ip.size}")
        done, full = self._write_blocks(ip, off, data)
        if full and not done:
            raise full
        if ip.pages:
            self._k.pages.patch(ip, off, data[:done])
        return done

    def write_page(self, ip: Inode, index: int) -> bool:
        """Write the cached page `index` of a locked inode as far as the file goes, inside an operation.

        Whether all of it was written: where it fills holes, it may need another operation.  It may sleep, and
        what others store to the page meanwhile stays in the page: the cache is not patched.
        """
        off = index << PGSHIFT
        size = max(0, min(PGSIZE, ip.size - off))
        page = self._k.ram.view(ip.pages[index], PGSIZE)
        page[size:] = bytes(PGSIZE - size)  # what was stored behind the end is not kept
        done, full = self._write_blocks(ip, off, bytes(page[:size]))
        if full:
            raise full
        return done == size

    def _write_blocks(self, ip: Inode, off: int, data: bytes) -> tuple[int, SyscallError | None]:
        """How many of the bytes at `off` of a file are in blocks now, and the error of a full disk."""
        self._text_changed(ip)
        first, start = divmod(off, BSIZE)
        blocknos = self.blocknos(ip, first, (start + len(data) + BSIZE - 1) // BSIZE)
        done, full = 0, None
        try:
            for index, blockno in enumerate(blocknos, first):
                cost = OLD_BLOCK_COST_MAX if blockno else NEW_BLOCK_COST_MAX
                if self._k.log.claim(cost) < cost and done:
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
            self.iupdate(ip)
        return done, full

    def _write_block(self, blockno: int, start: int, piece: bytes) -> None:
        fetch = self._k.cache.bread if len(piece) < BSIZE else self._k.cache.bclear
        buf = fetch(self._dev, blockno)
        buf.data[start : start + len(piece)] = piece
        self._k.log.write(buf)
        self._k.cache.brelse(buf)

    # --- block numbers ---

    def blocknos(self, ip: Inode, index: int, count: int) -> list[int]:
        """The disk blocks with the `count` blocks of a locked inode from `index` on; 0 for a hole."""
        blocknos: list[int] = []
        while len(blocknos) < count:
            blocknos += self._row(ip, index + len(blocknos))[: count - len(blocknos)]
        return blocknos

    def _row(self, ip: Inode, index: int) -> list[int]:
        """The numbers of block `index` and of those behind it that are numbered in the same place."""
        slot, *places = self.layout.path(index)
        row = ip.addrs[slot : self.layout.direct] or ip.addrs[slot : slot + 1]
        for place in places:
            row = self._words(row[0])[place:]
        return row

    def _words(self, blockno: int) -> list[int]:
        """The numbers in a table."""
        return memoryview(self._block(blockno)).cast("I").tolist()

    def _bmap(self, ip: Inode, index: int) -> int:
        """The disk block with block `index` of a locked inode; new, and with new tables, if there is none."""
        slot, *places = self.layout.path(index)
        blockno = ip.addrs[slot]
        if not blockno:
            blockno = ip.addrs[slot] = self._blocks.alloc()
            ip.dirty = True
        for place in places:
            buf = self._k.cache.bread(ip.dev, blockno)
            try:
                blockno = buf.words[place]
                if not blockno:
                    blockno = buf.words[place] = self._blocks.alloc()
                    self._k.log.write(buf)
            finally:
                self._k.cache.brelse(buf)
        return blockno

    # --- giving blocks back ---

    def itrunc(self, ip: Inode) -> bool:
        """Throw away the content of a locked inode, inside an operation; whether all of it is gone.

        Where the operation has no room for all the blocks of the map, the file is cut off as far as it has:
        to be called again, in another operation.
        """
        self._text_changed(ip)
        direct = self.layout.direct
        blocks = list(self._tree(ip.addrs[:direct], 0, 0))
        for levels, head in enumerate(ip.addrs[direct:], 1):
            blocks += self._tree([head], levels, self.layout.first(direct + levels - 1))
        wanted = len({blockno // BPB for _, blockno in blocks})
        room = self._k.log.claim(wanted + CUT_SPARE) - CUT_SPARE
        if room <= 0:
            return False
        maps: dict[int, None] = {}  # the blocks of the map that must be written
        cut = 0  # blocks that stay
        for index, blockno in reversed(blocks):
            maps[blockno // BPB] = None
            if len(maps) > room:
                cut = index + 1
                break
        self._blocks.free(blockno for index, blockno in blocks if index >= cut)
        self._forget_from(ip, cut)
        ip.size = min(ip.size, cut * BSIZE)
        self.iupdate(ip)
        self._k.pages.truncated(ip)
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
        slot, *places = self.layout.path(cut)
        keep = slot + any(places)  # a table whose first block is the first to go is gone itself
        blockno = ip.addrs[slot]
        ip.addrs[keep:] = NO_ADDRS[keep:]
        while any(places) and blockno:
            place, *places = places
            keep = place + any(places)
            buf = self._k.cache.bread(ip.dev, blockno)
            blockno = buf.words[place]
            buf.data[keep * 4 :] = bytes(BSIZE - keep * 4)
            self._k.log.write(buf)
            self._k.cache.brelse(buf)

    def _text_changed(self, ip: Inode) -> None:
        """Have exec drop what it keeps of a program whose file changes or leaves the table."""
        if ip.text is not None:
            self._k.text_changed(ip)
