"""The file system of xv6: what the rest of the kernel asks of a disk of this format.

Each change is an operation of the log (log.py): for those of a file's content the caller marks it by `begin`
and `end`; a call that enters or removes a name is one by itself.  Inside an operation a directory is locked
before the inodes in it, and an inode before any buffer.

Inodes on the disk are in inode.py, their blocks in content.py, names in dir.py.
"""

from collections.abc import Callable, Sequence
from errno import EBUSY, EEXIST, EFBIG, EINVAL, EMLINK, ENOENT, ENOSPC, ENOTEMPTY, EPERM, EXDEV
from typing import Final

from kernel.abi import disk
from kernel.abi.disk import BSIZE, DIRENT_SIZE, DIRSIZ, Layout, SuperBlock
from kernel.abi.fcntl import T_DEVICE, T_DIR, T_FILE
from kernel.abi.param import MAXOPBLOCKS, ROOTINO
from kernel.block.bio import BufferCache
from kernel.errors import SyscallError, panic
from kernel.fs import vfs
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import Node, References, StatFs
from kernel.fs.xv6fs.blockmap import BlockMap
from kernel.fs.xv6fs.content import Content
from kernel.fs.xv6fs.dir import dirlink, dirlookup, inums
from kernel.fs.xv6fs.inode import Inode, InodeBlocks
from kernel.fs.xv6fs.log import Log
from kernel.fs.xv6fs.pages import PageBlocks
from kernel.mm.pagecache import PageCache
from kernel.wait import Threads

NLINK_MAX: Final = 32767  # a C short


class FileSystem(vfs.FileSystem):
    """The file system on block device `dev` of `cache`.

    `layout` is that of its inodes, where the super block does not say it.  `text_changed(ip)` is called
    before a file changes of which exec keeps something.
    """

    root_inum = ROOTINO
    block_size = BSIZE
    step = (MAXOPBLOCKS - 1 - 1 - 2) // 2 * BSIZE  # what xv6 writes in one operation

    def __init__(
        self,
        threads: Threads,
        cache: BufferCache,
        table: InodeTable,
        pages: PageCache,
        dev: int,
        *,
        layout: str | None = None,
        text_changed: Callable[[vfs.Inode], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(dev)
        self._threads: Final = threads
        self._cache: Final = cache
        self._table: Final = table
        self._pages: Final = pages
        self._given_layout = layout or ""
        self._text_changed: Final = text_changed
        self._say: Final = say
        self.log: Final = Log(threads, cache, dev)
        self.log.on_end = table.reap
        self.sb: SuperBlock
        self.layout: Layout
        self.inode_blocks: InodeBlocks
        self.content: Content
        self.page_blocks: PageBlocks

    def mount(self) -> None:
        """Read the super block, replay the log, free the inodes that a crash left without a name."""
        self.sb = sb = SuperBlock._make(disk.SUPERBLOCK.unpack_from(self._cache.copy(self.dev, 1)))
        if sb.magic != disk.FSMAGIC:
            panic(f"file system: the super block has the magic {sb.magic:#x}")
        self.layout = disk.LAYOUTS.get(self._given_layout, disk.layout_of(sb.layout))
        self.size_max = self.layout.blocks_max * BSIZE
        self.log.mount(sb.logstart, sb.nlog)
        self.inode_blocks = InodeBlocks(self._cache, self.log, self.dev, sb)
        where = self._cache, self.log, self.dev
        free = BlockMap(*where, sb.bmapstart, sb.size)
        self.content = Content(*where, self.layout, self.inode_blocks, free, self._pages)
        self.page_blocks = PageBlocks(self._cache, self.dev, self.content, self._pages)
        self._cache.prefetch(self.dev, self.inode_blocks.blocks())
        for inum, kind, nlink in self.inode_blocks.all():
            if kind and not nlink:  # it was unlinked but open when the machine stopped
                self._say(f"ireclaim: orphaned inode {inum}\n")
                with self.log, self._table.get(self, inum).borrowed():
                    pass

    # --- changes ---

    def begin(self) -> None:
        """Begin an operation of the log."""
        self.log.begin_op()

    def end(self) -> None:
        """End it: the last one that runs commits them all."""
        self.log.end_op()
        self._table.reap()

    def has_room(self) -> bool:
        """Whether the operation can write all blocks of one more page."""
        return self.log.claim(MAXOPBLOCKS) >= MAXOPBLOCKS

    def sync(self) -> None:
        """A change is on the disk when its call returns; what a crash would do again may be left of it."""
        self.log.drain()

    def statfs(self) -> StatFs:
        """As the super block says it; how much is free nobody counts."""
        return StatFs(BSIZE, self.sb.size, 0, self.sb.ninodes, DIRSIZ)

    # --- inodes ---

    def new_inode(self, inum: int, threads: Threads, table: References) -> Inode:
        """One that is not read yet."""
        return Inode(self, inum, threads, table)

    def load(self, ip: vfs.Inode) -> None:
        """Read an inode from the disk."""
        self.inode_blocks.load(_ours(ip))

    def peek(self, ip: vfs.Inode) -> tuple[int, int]:
        """Type and link count of an inode that is neither locked nor valid."""
        return self.inode_blocks.peek(ip)

    def free(self, ip: vfs.Inode) -> bool:
        """Free on disk an inode that has no name and one user: nobody can find it. Whether it is done."""
        if not self.log.has_begun(self._threads.myproc()):
            return False
        try:
            with ip.locked():
                if not self.itrunc(ip):
                    return False
                ip.type = 0
                self.inode_blocks.iupdate(_ours(ip))
                ip.valid = False
        except SyscallError as error:  # nothing was changed; the next mount frees it as an orphan
            self._say(f"{ip} is not freed: {error}\n")
        return True

    def reap(self, ip: vfs.Inode) -> None:
        """Drop a last reference in an operation; the inode may need another one after it."""
        self.log.begin_op()
        ip.put()
        self.log.end_op()

    # --- content ---

    def read(self, ip: vfs.Inode, off: int, n: int) -> bytes:
        """Those of regular files come from the page cache, others from buffers."""
        if off + n > 0xFFFF_FFFF:  # a sum that does not fit C's unsigned int reads nothing
            return b""
        n = min(n, ip.size - off)
        if n <= 0:
            return b""
        return self._pages.read(ip, off, n) if ip.type == T_FILE else self.content.read(_ours(ip), off, n)

    def write(self, ip: vfs.Inode, off: int, data: bytes) -> int:
        """Write into an inode, inside an operation."""
        if off > ip.size or off + len(data) > self.size_max:
            raise SyscallError(EFBIG, f"{len(data)} bytes at {off} of a file of {ip.size}")
        self._changes(ip)
        done, full = self.content.write(_ours(ip), off, data)
        if full and not done:
            raise full
        if ip.pages:
            self._pages.patch(ip, off, data[:done])
        return done

    def truncate(self, ip: vfs.Inode) -> None:
        """Empty a file, by as many operations as that takes."""
        done = False
        while not done:
            with ip.update():
                done = self.itrunc(ip)

    def itrunc(self, ip: vfs.Inode) -> bool:
        """Throw away the content of a locked inode, as far as the operation has room; whether all is gone."""
        self._changes(ip)
        return self.content.cut(_ours(ip))

    def _changes(self, ip: vfs.Inode) -> None:
        """Have exec drop what it keeps of a program whose file changes."""
        if ip.text is not None:
            self._text_changed(ip)

    # --- pages ---

    def read_blocks(self, ip: vfs.Inode, off: int, n: int) -> bytes:
        """By way of buffers."""
        return self.content.read(_ours(ip), off, n)

    def locate(self, ip: vfs.Inode, index: int, end: int) -> Sequence[int]:
        """See pages.py."""
        return self.page_blocks.locate(_ours(ip), index, end)

    def fill(self, ip: vfs.Inode, frames: Sequence[int], places: Sequence[int]) -> set[int]:
        """See pages.py."""
        return self.page_blocks.fill(frames, places)

    def write_page(self, ip: vfs.Inode, index: int) -> bool:
        """See pages.py."""
        self._changes(ip)
        return self.page_blocks.write(_ours(ip), index)

    # --- names ---

    def lookup(self, dp: vfs.Inode, name: bytes) -> vfs.Inode | None:
        """What a locked directory has under a name; fails where it is none."""
        found = dirlookup(self._table, dp, name)
        return found and found[0]

    def create(self, dp: vfs.Inode, name: bytes, node: Node, *, exclusive: bool = True) -> vfs.Inode:
        """Make an inode and enter it in a directory; see vfs.py."""
        with self.log, dp.locked():
            found = dirlookup(self._table, dp, name)
            if found is None:
                return self._make(dp, name, node)
            ip = found[0]
            if not exclusive and ip.peek()[0] in (T_FILE, T_DEVICE):
                return ip
            ip.put()
        raise SyscallError(EEXIST, "the path is taken")

    def _make(self, dp: vfs.Inode, name: bytes, node: Node) -> vfs.Inode:
        """A new inode with an entry in the locked directory `dp`; where that fails it is freed again."""
        if node.type == T_DIR and dp.nlink == NLINK_MAX:
            raise SyscallError(EMLINK, "the directory has too many subdirectories")
        ip = self._ialloc(node)
        try:
            with ip.locked():
                if node.type == T_DIR:  # `.` is not counted as a link, or the directory could never be freed
                    dirlink(self._table, ip, b".", ip.inum)
                    dirlink(self._table, ip, b"..", dp.inum)
                self.write(ip, ip.size, node.content)
            dirlink(self._table, dp, name, ip.inum)
        except SyscallError:
            with ip.borrowed():
                ip.nlink = 0
                self.inode_blocks.iupdate(_ours(ip))
            raise
        if node.type == T_DIR:
            dp.nlink += 1  # the new directory's ..
            self.inode_blocks.iupdate(_ours(dp))
        return ip

    def _ialloc(self, node: Node) -> vfs.Inode:
        """Make the first free inode one with one name; a reference, not locked. Fails where none is free."""
        for inum, kind, _ in self.inode_blocks.all():
            if not kind:
                with self._table.get(self, inum).kept() as ip:
                    if self.inode_blocks.claim(_ours(ip), node):
                        return ip.dup()
        raise SyscallError(ENOSPC, "all inodes are in use")

    def link(self, ip: vfs.Inode, dp: vfs.Inode, name: bytes) -> None:
        """Give a file a second name."""
        if ip.dev != dp.dev:
            raise SyscallError(EXDEV, "the name would be on another device")
        with self.log:
            is_dir = (ip.type if ip.valid else self.peek(ip)[0]) == T_DIR
            with dp.locked():
                if is_dir or dp is ip:
                    raise SyscallError(EPERM, "a directory has one name only, and a file holds none")
                with ip.locked():
                    if ip.nlink == NLINK_MAX:
                        raise SyscallError(EMLINK, "too many links")
                    dirlink(self._table, dp, name, ip.inum)
                    ip.nlink += 1
                    self.inode_blocks.iupdate(_ours(ip))

    def unlink(self, dp: vfs.Inode, name: bytes) -> None:
        """Take away a name; the file goes with its last name and its last user."""
        with self.log, dp.locked():
            if name in (b".", b".."):
                raise SyscallError(EINVAL, ". and .. stay")
            found = dirlookup(self._table, dp, name)
            if found is None:
                raise SyscallError(ENOENT, "no such entry")
            with found[0].borrowed() as ip:
                self._unlink_entry(dp, found[1], ip)

    def _unlink_entry(self, dp: vfs.Inode, off: int, ip: vfs.Inode) -> None:
        """Free the entry at `off` of `dp`, which names `ip`; both are locked."""
        if ip.nlink < 1:
            panic(f"unlink: an entry names {ip}, which has no links")
        if ip.mounted is not None:
            raise SyscallError(EBUSY, "something is mounted there")
        if ip.type == T_DIR and any(inums(ip)[2:]):  # the first two are . and ..
            raise SyscallError(ENOTEMPTY, "the directory is not empty")
        self.write(dp, off, bytes(DIRENT_SIZE))
        if ip.type == T_DIR:
            dp.nlink = max(1, dp.nlink - 1)  # the .. of the directory that goes; its own name still counts
        self.inode_blocks.iupdate(_ours(dp))
        ip.nlink -= 1
        self.inode_blocks.iupdate(_ours(ip))


def _ours(ip: vfs.Inode) -> Inode:
    """An inode of this kind of file system."""
    assert isinstance(ip, Inode), f"{ip} belongs to another file system"
    return ip
