"""File systems and inodes as the rest of the kernel sees them, whatever the format on the disk.

An inode is a file without a name: bytes, a type, and a count of the directory entries that name it.
There is one Inode for each (device, number) in use, however many processes use it (fs/inodes.py):

    dup, put      add a reference; drop one, never with the lock held.  With the last reference of an inode
                  that has no name left, its file system frees it
    locked        `with ip.locked()`: only the caller may look at it and read it
    update        `with ip.update()`: locked, and what is changed inside happens as a whole or not at all
    borrowed      `with ip.borrowed()`: locked inside, put at the end;  `with ip.kept()`: only the latter

Separate references and locks let an inode be kept long (an open file) and locked briefly, and let a path be
walked without deadlock (fs/namei.py).  `ref` needs no lock, and a type stays as long as there is a reference.
Everything else of an Inode is read and changed under its lock.

A file system derives from FileSystem, and from Inode if it has something to remember of its own.  It must say
what is in a directory (`lookup`) and in a file (`read`); one that can be changed has the other operations
too, each of which is atomic by itself.  How it does that is its own business: nobody else knows of a log.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from errno import EROFS
from typing import Final, NamedTuple, NoReturn, Protocol

from kernel.errors import SyscallError, settles
from kernel.sleeplock import SleepLock
from kernel.wait import Threads


class Stat(NamedTuple):
    """What can be asked of a file; how a program gets it is for its personality to say."""

    dev: int
    ino: int
    type: int  # T_DIR and the like
    nlink: int
    size: int
    major: int = 0
    minor: int = 0


class StatFs(NamedTuple):
    """What can be asked of a file system: sizes in blocks."""

    block_size: int
    blocks: int
    blocks_free: int
    inodes: int
    name_max: int


class Node(NamedTuple):
    """What an inode is to be that is made: its type, a device's numbers, a symbolic link's path."""

    type: int
    major: int = 0
    minor: int = 0
    content: bytes = b""


class References(Protocol):
    """The table that an Inode is in (fs/inodes.py)."""

    def dup(self, ip: "Inode", /) -> "Inode":
        """One reference more."""

    def put(self, ip: "Inode", /) -> None:
        """One reference fewer."""

    def reap(self) -> None:
        """Free what lost its last reference and could not be freed then."""


class Inode:
    """Inode `inum` of a file system; the fields behind `valid` mean something once it is True.

    `text` belongs to exec: what it keeps of the program in this file.  `pages` belongs to the page cache: its
    frames by page index.  `mappings` counts where mmap has mapped the file, `writable_mappings` those of them
    through which a program may write to it.  `mounted` is the file system at this directory, if there is one.
    """

    __slots__ = (
        "dev", "fs", "inum", "lock", "major", "mappings", "minor", "mounted", "nlink", "pages", "ref", "size",
        "table", "text", "type", "valid", "writable_mappings",
    )  # fmt: skip

    def __init__(self, fs: "FileSystem", inum: int, threads: Threads, table: References) -> None:
        self.fs: Final = fs
        self.dev: Final = fs.dev
        self.inum: Final = inum
        self.table: Final = table
        self.ref = 0
        self.lock: Final = SleepLock(threads, self)
        self.mounted: FileSystem | None = None
        self.text: object | None = None
        self.pages: Final[dict[int, int]] = {}
        self.mappings = 0
        self.writable_mappings = 0
        self.valid = False
        self.type = 0
        self.major = 0
        self.minor = 0
        self.nlink = 0
        self.size = 0

    # --- references and locks ---

    def dup(self) -> "Inode":
        """One more reference."""
        return self.table.dup(self)

    def put(self) -> None:
        """Drop a reference."""
        self.table.put(self)

    def drop(self) -> None:
        """Drop a reference where no lock is held and no change is under way."""
        self.table.put(self)
        self.table.reap()

    def locked(self) -> "Held":
        """`with ip.locked():` holds the lock."""
        return Held(self)

    def update(self) -> "Held":
        """`with ip.update():` holds the lock, and makes one change of what is changed inside."""
        return Held(self, change=True)

    def borrowed(self) -> "Held":
        """`with ip.borrowed():` holds the lock, then drops the reference too."""
        return Held(self, put=True)

    def kept(self) -> "Held":
        """`with ip.kept():` only drops the reference at the end."""
        return Held(self, lock=False, put=True)

    # --- what its file system does ---

    def peek(self) -> tuple[int, int]:
        """Type and link count of an inode that is not locked. Where that fails, the reference is dropped."""
        try:
            return (self.type, self.nlink) if self.valid else self.fs.peek(self)
        except SyscallError:
            self.put()
            raise

    def lookup(self, name: bytes) -> "Inode | None":
        """See FileSystem.lookup."""
        return self.fs.lookup(self, name)

    def read(self, off: int, n: int) -> bytes:
        """See FileSystem.read."""
        return self.fs.read(self, off, n)

    def write(self, off: int, data: bytes) -> int:
        """See FileSystem.write."""
        return self.fs.write(self, off, data)

    def stat(self) -> Stat:
        """What stat() tells of a locked inode."""
        return Stat(self.dev, self.inum, self.type, self.nlink, self.size, self.major, self.minor)

    def __repr__(self) -> str:
        return f"inode {self.inum}"


class Held:
    """`with` one of these: the inode is locked inside, perhaps within a change; put at the end, perhaps."""

    __slots__ = ("_change", "_ip", "_lock", "_put")

    def __init__(self, ip: Inode, lock: bool = True, put: bool = False, change: bool = False) -> None:
        self._ip, self._lock, self._put, self._change = ip, lock, put, change

    def __enter__(self) -> Inode:
        ip = self._ip
        if self._change:
            ip.fs.begin()
        if self._lock:
            assert ip.ref > 0, f"nobody refers to {ip}, which is locked"
            ip.lock.acquire()
            if not ip.valid:
                try:
                    ip.fs.load(ip)
                except SyscallError as error:
                    self.__exit__(type(error))
                    raise
        return ip

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if settles(exc_type):
            if self._lock:
                self._ip.lock.release()
            if self._put:
                self._ip.put()
            if self._change:
                self._ip.fs.end()


class FileSystem(ABC):
    """The file system on device `dev`, a number that no other has. `mount` comes first."""

    root_inum = 1
    block_size = 1024  # bytes: a write that fails keeps to these
    step = 1024  # bytes of a long write: a step that would make the file too large is not begun
    size_max = (1 << 32) - 1  # bytes of a file

    def __init__(self, dev: int) -> None:
        self.dev: Final = dev
        self.covered: Inode | None = None  # the directory at which it is mounted

    # --- what every file system has ---

    @abstractmethod
    def new_inode(self, inum: int, threads: Threads, table: References) -> Inode:
        """An Inode of this file system for the table, with nothing read yet, or valid."""

    @abstractmethod
    def lookup(self, dp: Inode, name: bytes) -> Inode | None:
        """What a locked inode, which must be a directory, has under this name: a reference, not locked."""

    @abstractmethod
    def read(self, ip: Inode, off: int, n: int) -> bytes:
        """Up to `n` bytes of a locked inode from `off` on; fewer at its end, none behind it."""

    # --- what most need ---

    def mount(self) -> None:  # noqa: B027
        """Make it ready. Called once, by a process, as it may wait for the disk."""

    def load(self, ip: Inode) -> None:
        """Read what is known of an inode, which is locked and not valid; then it is."""
        ip.valid = True

    def peek(self, ip: Inode) -> tuple[int, int]:
        """Type and link count of an inode that is neither locked nor valid."""
        return ip.type, ip.nlink

    def begin(self) -> None:  # noqa: B027
        """Begin a change, which happens as a whole or not at all; may sleep. With no lock held."""

    def end(self) -> None:  # noqa: B027
        """End the change; may sleep."""

    def free(self, ip: Inode) -> bool:
        """Free an inode that has no name and one user. False where that must wait until `reap`."""
        return True

    def reap(self, ip: Inode) -> None:
        """Drop the last reference of an inode that could not be freed when it was put. With no lock held."""
        ip.put()

    def sync(self) -> None:  # noqa: B027
        """Wait until all changes are on the disk."""

    def statfs(self) -> StatFs:
        """What there is and how much of it is free."""
        return StatFs(self.block_size, 0, 0, 0, 255)

    # --- changes; where they are not offered, nothing can be changed ---

    def write(self, ip: Inode, off: int, data: bytes) -> int:
        """Write into an inode, which is in an update; gives the bytes written.

        Fewer than asked, but not none, where the change has no room for more or the disk fills up.
        Fails where it would leave a hole or be too large, or the disk is full.
        """
        self._read_only()

    def truncate(self, ip: Inode) -> None:
        """Throw away the content of an inode that is not locked."""
        self._read_only()

    def create(self, dp: Inode, name: bytes, node: Node, *, exclusive: bool = True) -> Inode:
        """Make an inode and enter it in the directory `dp`, which is not locked; a reference, not locked.

        Fails where the name is taken; where not `exclusive`, a file or a device of that name is given.
        """
        self._read_only()

    def link(self, ip: Inode, dp: Inode, name: bytes) -> None:
        """Give a file one name more, in the directory `dp`. Neither is locked."""
        self._read_only()

    def unlink(self, dp: Inode, name: bytes) -> None:
        """Take a name away from the directory `dp`, which is not locked; a directory must be empty."""
        self._read_only()

    def _read_only(self) -> NoReturn:
        raise SyscallError(EROFS, "the file system cannot be changed")

    # --- for the page cache, which calls it with the inode locked ---

    def read_blocks(self, ip: Inode, off: int, n: int) -> bytes:
        """As `read`, where it has no frame for the page: the `n` bytes, which are all in the file."""
        return self.read(ip, off, n)

    def locate(self, ip: Inode, index: int, end: int) -> Sequence[int] | None:
        """Where the pages of [index, end) are on the device, for `fill`; None: ask `read_blocks`."""
        return None

    def fill(self, ip: Inode, frames: Sequence[int], places: Sequence[int]) -> set[int]:
        """Bring pages into frames full of zeroes, as many as there are; gives the frames that failed."""
        raise AssertionError("a file system whose locate() names places fills pages from them")

    def write_page(self, ip: Inode, index: int) -> bool:
        """Write a page that is in the cache, in an update; False where that takes another update."""
        self._read_only()

    def has_room(self) -> bool:
        """Whether the running update has room for one more page."""
        return True
