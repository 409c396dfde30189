"""The table of inodes: the one Inode in memory for each file in use, of all file systems.

Inodes that nobody refers to stay in the table, as a cache, until their place is needed, least recently used
first.  What exec and the page cache keep of a file hangs on its Inode and goes with it.

An inode that has lost its last name is freed with its last reference.  The caller that drops it may hold
locks, and then no change of the disk can begin; so the file system may defer the freeing, and a caller of
`put` calls `reap` before it returns, with no lock held:  `with inodes.reaping(): ...`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENFILE
from typing import Final

from kernel.abi.param import NINODE
from kernel.errors import SyscallError
from kernel.fs.vfs import FileSystem, Inode
from kernel.wait import Threads


class InodeTable:
    """At most NINODE inodes. `on_evict(ip)` is called when one leaves the table."""

    def __init__(self, threads: Threads, on_evict: Callable[[Inode], None] = lambda ip: None) -> None:
        self._threads: Final = threads
        self.on_evict = on_evict
        self.inodes: Final[dict[tuple[int, int], Inode]] = {}  # by device and number: in use or idle
        self._idle: Final[dict[Inode, None]] = {}  # those with ref 0, the longest idle first
        self._to_reap: Final[list[Inode]] = []

    def get(self, fs: FileSystem, inum: int) -> Inode:
        """The Inode of a number, one reference more; neither locked nor read. Fails where all are in use."""
        ip = self.inodes.get((fs.dev, inum))
        if ip is None:
            ip = self._enter(fs, inum)
        elif not ip.ref:
            del self._idle[ip]
        ip.ref += 1
        return ip

    def _enter(self, fs: FileSystem, inum: int) -> Inode:
        """A new Inode in the table, in the place of the longest idle one where the table is full."""
        if len(self.inodes) >= NINODE:
            if not self._idle:
                raise SyscallError(ENFILE, f"{NINODE} inodes are in use")
            self._evict(next(iter(self._idle)))
        ip = self.inodes[fs.dev, inum] = fs.new_inode(inum, self._threads, self)
        return ip

    def _evict(self, ip: Inode) -> None:
        del self._idle[ip]
        self.on_evict(ip)
        del self.inodes[ip.dev, ip.inum]

    def dup(self, ip: Inode) -> Inode:
        """One more reference to `ip`."""
        assert ip.ref > 0, f"one more reference to {ip}, to which nobody refers"
        ip.ref += 1
        return ip

    def put(self, ip: Inode) -> None:
        """Drop a reference. The last one of a nameless inode frees it: now, or by `reap`."""
        assert ip.ref > 0, f"one reference fewer to {ip}, to which nobody refers"
        if ip.ref == 1 and ip.valid and not ip.nlink and not ip.fs.free(ip):
            self._to_reap.append(ip)  # with the reference
            return
        ip.ref -= 1
        if not ip.ref:
            self._idle[ip] = None

    def reap(self) -> None:
        """Free what lost its last reference and could not be freed then.

        Called with no lock held and in no change.  What a crash leaves is an inode without a name, which the
        next mount frees.
        """
        while self._to_reap:
            ip = self._to_reap.pop()
            ip.fs.reap(ip)

    @contextmanager
    def reaping(self) -> Iterator[None]:
        """`with inodes.reaping():` looks up names, reads, drops references; `reap` is called at the end."""
        try:
            yield
        except SyscallError:
            self.reap()
            raise
        self.reap()

    def drop(self, fs: FileSystem) -> bool:
        """Forget the inodes of a file system, if nobody refers to one."""
        mine = [ip for ip in self.inodes.values() if ip.fs is fs]
        if any(ip.ref for ip in mine):
            return False
        for ip in mine:
            self._evict(ip)
        return True
