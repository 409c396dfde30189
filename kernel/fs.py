"""The file system: the mounted disk, and its inodes.

An inode is a file without a name: a row of bytes, a type, and a count of the directory entries that name it.
The table keeps the ones in use in memory, one Inode for each, however many processes use it:

    iget / idup   one more reference: the Inode stays the one for its number
    ilock         the one user that may read or change it; reads it from disk the first time
    iunlock       others may; the reference stays
    iput          one reference fewer; the last one of an inode that has no name left frees it on disk,
                  so iput is called inside an operation of the log, never with its lock held

Separate references and locks let an inode be kept long (an open file) and locked briefly, and let a path be
walked without deadlock.  `ref` and the table itself need no lock.  Everything else of an Inode is read and
changed under its lock, and changes reach the disk by `iupdate`, inside an operation.

Inodes that nobody refers to stay in the table, as a cache, until their place is needed, least recently used
first.  Names are in dir.py, free blocks in blockmap.py.
"""

from errno import EFBIG, ENFILE, ENOSPC
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.abi.disk import (
    BSIZE,
    DINODE,
    DINODE_SIZE,
    FSMAGIC,
    IPB,
    MAXFILE,
    NDIRECT,
    STAT,
    SUPERBLOCK,
)
from kernel.abi.fcntl import T_FILE
from kernel.abi.memlayout import PGSHIFT, PGSIZE
from kernel.abi.param import NINODE
from kernel.bio import Buf, BufferCache
from kernel.blockmap import BlockMap
from kernel.errors import SyscallError, settles
from kernel.inode import NO_ADDRS, Inode
from kernel.log import Log
from kernel.pagecache import PageCache

if TYPE_CHECKING:
    from types import TracebackType

    from kernel.kernel import Kernel


class SuperBlock(NamedTuple):
    """Where the regions of the disk are, in blocks; as in kernel/abi/disk.py."""

    magic: int
    size: int
    nblocks: int
    ninodes: int
    nlog: int
    logstart: int
    inodestart: int
    bmapstart: int


class Locked:
    """`with fs.locked(ip):` holds an inode's lock; `put` also drops the reference at the end."""

    __slots__ = ("_fs", "_ip", "_put")

    def __init__(self, fs: "FileSystem", ip: Inode, put: bool) -> None:
        self._fs = fs
        self._ip = ip
        self._put = put

    def __enter__(self) -> Inode:
        if self._put:
            self._fs.ilock_or_put(self._ip)
        else:
            self._fs.ilock(self._ip)
        return self._ip

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        if settles(exc_type):
            self._fs.iunlock(self._ip)
            if self._put:
                self._fs.iput(self._ip)


class FileSystem:
    """One mounted file system. `mount` comes first, from the first process, because it waits for the disk."""

    def __init__(self, k: "Kernel", cache: BufferCache, log: Log, pages: PageCache) -> None:
        self._k = k
        self._pages = pages
        self._cache = cache
        self._log = log
        self.sb = SuperBlock(*(0,) * 8)
        self._blocks: BlockMap
        self._dev = 0
        self.inodes: Final[dict[int, Inode]] = {}  # by number: in use or idle
        self._idle: Final[dict[int, Inode]] = {}  # those with ref 0, the longest idle first

    # --- mount ---

    def mount(self, dev: int) -> None:
        """Read the super block, replay the log, free the inodes that a crash left without a name."""
        buf = self._cache.bread(dev, 1)
        self.sb = SuperBlock._make(SUPERBLOCK.unpack_from(buf.data))
        self._cache.brelse(buf)
        if self.sb.magic != FSMAGIC:
            self._k.panic(f"file system: the super block's magic is {self.sb.magic:#x}, not {FSMAGIC:#x}")
        self._dev = dev
        self._log.mount(dev, self.sb.logstart, self.sb.nlog)
        self._blocks = BlockMap(self._k, dev, self.sb.bmapstart, self.sb.size)
        self._reclaim_orphans()

    def _reclaim_orphans(self) -> None:
        """Free inodes that were in use without a name (a file unlinked but open) when the machine stopped."""
        blocknos = self._inode_blocks()
        self._cache.prefetch(self._dev, blocknos)
        for blockno in blocknos:
            for inum in self._orphans_in(blockno):
                self._k.printf(f"ireclaim: orphaned inode {inum}\n")
                with self._log:
                    ip = self.iget(self._dev, inum)
                    self.ilock_or_put(ip)
                    self.iunlockput(ip)

    def _orphans_in(self, blockno: int) -> list[int]:
        """Numbers of the inodes in one block of them that have a type and no name."""
        buf = self._cache.bread(self._dev, blockno)
        inodes = self._kinds_and_links(buf)
        self._cache.brelse(buf)
        return [inum for inum, kind, nlink in inodes if kind and not nlink]

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
        """Drop a reference, inside an operation. The last one of a nameless inode frees it on disk."""
        assert ip.ref > 0, f"iput of {ip}, to which nobody refers"
        if ip.ref == 1 and ip.valid and not ip.nlink:
            self._free(ip)
        ip.ref -= 1
        if not ip.ref:
            self._idle[ip.inum] = ip

    def has_name(self, ip: Inode) -> bool:
        """Whether an inode (a reference, not locked) is in use and a directory entry names it."""
        buf = self._cache.bread(self._dev, self._inode_block(ip.inum))
        kind, _, _, nlink, *_ = DINODE.unpack_from(buf.data, ip.inum % IPB * DINODE_SIZE)
        self._cache.brelse(buf)
        return bool(kind and nlink)

    def _enter(self, dev: int, inum: int) -> Inode:
        """A new Inode in the table, in the place of the longest idle one where the table is full."""
        if len(self.inodes) >= NINODE:
            if not self._idle:
                raise SyscallError(ENFILE, f"{NINODE} inodes are in use")
            oldest = self._idle.pop(next(iter(self._idle)))
            self._text_changed(oldest)
            self._pages.truncated(oldest)
            del self.inodes[oldest.inum]
        ip = self.inodes[inum] = Inode(self._k, dev, inum)
        return ip

    def _free(self, ip: Inode) -> None:
        """Free on disk an inode that has no name and one user: nobody else can find it."""
        ip.lock.acquire()
        try:
            self.itrunc(ip)
            ip.type = 0
            self.iupdate(ip)
            ip.valid = False
        except SyscallError as error:  # nothing was changed; the next mount frees it as an orphan
            self._k.printf(f"{ip} is not freed: {error}\n")
        ip.lock.release()

    # --- locks ---

    def ilock(self, ip: Inode) -> None:
        """Lock an inode; reads it from disk where that was not done yet."""
        assert ip.ref > 0, f"ilock of {ip}, to which nobody refers"
        ip.lock.acquire()
        if not ip.valid:
            try:
                self._read_inode(ip)
            except SyscallError:
                ip.lock.release()
                raise

    def ilock_or_put(self, ip: Inode) -> None:
        """As ilock, but where it fails the reference is dropped as well."""
        try:
            self.ilock(ip)
        except SyscallError:
            self.iput(ip)
            raise

    def iunlock(self, ip: Inode) -> None:
        """Unlock an inode. Never blocks."""
        ip.lock.release()

    def iunlockput(self, ip: Inode) -> None:
        """Unlock an inode and drop the reference."""
        ip.lock.release()
        self.iput(ip)

    def locked(self, ip: Inode) -> Locked:
        """`with fs.locked(ip):` holds the lock."""
        return Locked(self, ip, put=False)

    def borrowed(self, ip: Inode) -> Locked:
        """`with fs.borrowed(ip):` holds the lock, then drops the reference too."""
        return Locked(self, ip, put=True)

    # --- the inode on disk ---

    def ialloc(self, dev: int, kind: int) -> Inode:
        """Take the first free inode and give it a type; a reference, not locked. Fails where none is free."""
        for blockno in self._inode_blocks():
            ip = self._claim_in(dev, blockno, kind)
            if ip is not None:
                return ip
        raise SyscallError(ENOSPC, "all inodes are in use")

    def _claim_in(self, dev: int, blockno: int, kind: int) -> Inode | None:
        """Make the first free inode of a block one of type `kind`; None if there is none."""
        buf = self._cache.bread(dev, blockno)
        try:
            free = [inum for inum, used, _ in self._kinds_and_links(buf) if not used]
            if not free:
                return None
            ip = self.iget(dev, free[0])  # first of all, because it may fail
            DINODE.pack_into(buf.data, free[0] % IPB * DINODE_SIZE, kind, 0, 0, 0, 0, *NO_ADDRS)
            self._log.write(buf)
            return ip
        finally:
            self._cache.brelse(buf)

    def _kinds_and_links(self, buf: Buf) -> list[tuple[int, int, int]]:
        """(number, type, link count) of the inodes in one block of them; inode 0 does not count as one."""
        shorts, step = buf.data.cast("h"), DINODE_SIZE // 2
        first = (buf.blockno - self.sb.inodestart) * IPB
        inums = range(first, first + IPB)
        inodes = zip(inums, shorts[::step].tolist(), shorts[3::step].tolist(), strict=True)
        return [inode for inode in inodes if 0 < inode[0] < self.sb.ninodes]

    def iupdate(self, ip: Inode) -> None:
        """Copy a locked inode to its block, inside an operation: after every change of its fields."""
        buf = self._cache.bread(ip.dev, self._inode_block(ip.inum))
        DINODE.pack_into(
            buf.data, ip.inum % IPB * DINODE_SIZE,
            ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs,
        )  # fmt: skip
        self._log.write(buf)
        self._cache.brelse(buf)
        ip.dirty = False

    def _read_inode(self, ip: Inode) -> None:
        buf = self._cache.bread(ip.dev, self._inode_block(ip.inum))
        ip.type, ip.major, ip.minor, ip.nlink, ip.size, *ip.addrs = DINODE.unpack_from(
            buf.data, ip.inum % IPB * DINODE_SIZE
        )
        self._cache.brelse(buf)
        if not ip.type:
            self._k.panic(f"file system: {ip} is in use but free on disk")
        ip.valid = True

    def _inode_blocks(self) -> range:
        return range(self.sb.inodestart, self._inode_block(self.sb.ninodes - 1) + 1)

    def _inode_block(self, inum: int) -> int:
        return self.sb.inodestart + inum // IPB

    # --- content ---

    def stati(self, ip: Inode) -> bytes:
        """struct stat of a locked inode."""
        return STAT.pack(ip.dev, ip.inum, ip.type, ip.nlink, ip.size)

    def readi(self, ip: Inode, off: int, n: int) -> bytes:
        """Up to `n` bytes of a locked inode from `off` on; fewer at its end, none behind it."""
        if off + n > 0xFFFF_FFFF:  # a sum that does not fit C's unsigned int reads nothing
            return b""
        n = min(n, ip.size - off)
        if n <= 0:
            return b""
        return self._pages.read(ip, off, n) if ip.type == T_FILE else self.read_blocks(ip, off, n)

    def read_blocks(self, ip: Inode, off: int, n: int) -> bytes:
        """The `n` bytes of a locked inode from `off` on, which are all in it, by way of buffers."""
        index, start = divmod(off, BSIZE)
        blocknos = self.blocknos(ip, index, (start + n + BSIZE - 1) // BSIZE)
        if len(blocknos) == 1:
            return self._read_block(blocknos[0], start, start + n)
        self._cache.prefetch(ip.dev, [blockno for blockno in blocknos if blockno])
        blocks = [self._read_block(blockno, 0, BSIZE) for blockno in blocknos]
        return b"".join(blocks)[start : start + n]

    def _read_block(self, blockno: int, start: int, end: int) -> bytes:
        """Bytes start .. end - 1 of a block; block 0 stands for a hole, which other image makers leave."""
        if not blockno:
            return bytes(end - start)
        buf = self._cache.bread(self._dev, blockno)
        data = bytes(buf.data[start:end])
        self._cache.brelse(buf)
        return data

    def writei(self, ip: Inode, off: int, data: bytes) -> int:
        """Write into a locked inode, inside an operation that has room for it; gives the bytes written.

        Fewer than asked where the disk fills up. Fails where it would leave a hole or be too large.
        """
        if off > ip.size or off + len(data) > MAXFILE * BSIZE:
            raise SyscallError(EFBIG, f"{len(data)} bytes at {off} of a file of {ip.size}")
        if ip.text is not None:
            self._text_changed(ip)
        done = 0
        try:
            while done < len(data):
                index, start = divmod(off + done, BSIZE)
                piece = data[done : done + BSIZE - start]
                self._write_block(ip, index, start, piece)
                done += len(piece)
        except SyscallError as error:
            if error.code != ENOSPC:
                raise
        if ip.pages:
            self._pages.patch(ip, off, data[:done])
        if off + done > ip.size:
            ip.size = off + done
            self.iupdate(ip)
        elif ip.dirty:
            self.iupdate(ip)
        return done

    def write_page(self, ip: Inode, index: int) -> None:
        """Write the cached page `index` of a locked inode as far as the file goes, inside an operation."""
        off = index << PGSHIFT
        size = min(PGSIZE, ip.size - off)
        if size > 0:
            self.writei(ip, off, bytes(self._k.ram.view(ip.pages[index], size)))

    def _write_block(self, ip: Inode, index: int, start: int, piece: bytes) -> None:
        blockno = self._bmap(ip, index)
        fetch = self._cache.bread if len(piece) < BSIZE else self._cache.bclear
        buf = fetch(ip.dev, blockno)
        buf.data[start : start + len(piece)] = piece
        self._log.write(buf)
        self._cache.brelse(buf)

    def itrunc(self, ip: Inode) -> None:
        """Throw away the content of a locked inode, inside an operation."""
        if ip.text is not None:
            self._text_changed(ip)
        blocknos = [*self.blocknos(ip, 0, MAXFILE), ip.addrs[NDIRECT]]
        self._blocks.free(filter(None, blocknos))
        ip.addrs = list(NO_ADDRS)
        ip.size = 0
        self.iupdate(ip)
        self._pages.truncated(ip)

    def blocknos(self, ip: Inode, index: int, count: int) -> list[int]:
        """The disk blocks with the `count` blocks of a locked inode from `index` on; 0 for a hole."""
        blocknos = ip.addrs[:NDIRECT]
        if index + count > NDIRECT and ip.addrs[NDIRECT]:
            buf = self._cache.bread(ip.dev, ip.addrs[NDIRECT])
            blocknos += buf.words.tolist()
            self._cache.brelse(buf)
        blocknos += [0] * (MAXFILE - len(blocknos))
        return blocknos[index : index + count]

    def _bmap(self, ip: Inode, index: int) -> int:
        """The disk block with block `index` of a locked inode; a new one if none does."""
        assert 0 <= index < MAXFILE, f"a file has {MAXFILE} blocks, there is no block {index}"
        if index < NDIRECT:
            blockno = ip.addrs[index]
            if not blockno:
                blockno = ip.addrs[index] = self._blocks.alloc()
                ip.dirty = True
            return blockno
        indirect = ip.addrs[NDIRECT]
        if not indirect:
            indirect = ip.addrs[NDIRECT] = self._blocks.alloc()
            ip.dirty = True
        buf = self._cache.bread(ip.dev, indirect)
        blockno = buf.words[index - NDIRECT]
        if not blockno:
            try:
                blockno = buf.words[index - NDIRECT] = self._blocks.alloc()
                self._log.write(buf)
            finally:
                self._cache.brelse(buf)
            return blockno
        self._cache.brelse(buf)
        return blockno

    def _text_changed(self, ip: Inode) -> None:
        """Have exec drop what it keeps of a program whose file changes or leaves the table."""
        if ip.text is not None:
            self._k.text_changed(ip)
