"""The mount table: where each file system is in the one tree of names.

A file system is mounted at a directory, which it then hides: a path walk (fs/namei.py) that comes to the
directory goes on at the root of what is mounted there (`enter`), and from that root `..` leads back to where
the directory is (`leave`).  A mount keeps a reference to the directory.
"""

from errno import EBUSY, EINVAL, ENOTDIR
from typing import Final

from kernel.abi.fcntl import T_DIR
from kernel.errors import SyscallError
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import FileSystem, Inode, Node


class MountTable:
    """What is mounted, in the order of mounting: the root first."""

    def __init__(self, inodes: InodeTable) -> None:
        self.inodes: Final = inodes
        self.mounted: Final[list[FileSystem]] = []

    def mount_root(self, fs: FileSystem) -> None:
        """Make `fs` the one in which paths begin."""
        assert not self.mounted, "there is one root"
        fs.mount()
        self.mounted.append(fs)

    def mount(self, fs: FileSystem, at: Inode) -> None:
        """Mount `fs` at a directory, to which the caller has a reference and no lock."""
        assert all(fs.dev != other.dev for other in self.mounted), f"device {fs.dev} is mounted already"
        with at.locked():
            if at.type != T_DIR:
                raise SyscallError(ENOTDIR, f"{at} is no directory")
            if at.mounted is not None or self._is_root(at):
                raise SyscallError(EBUSY, f"something is mounted at {at}")
            fs.mount()
            at.mounted = fs
        fs.covered = at.dup()
        self.mounted.append(fs)

    def mount_at(self, fs: FileSystem, name: bytes) -> None:
        """Mount `fs` at the directory `name` of the root, which is made if it is not there."""
        with self.root().kept() as root:
            try:
                at = root.fs.create(root, name, Node(T_DIR))
            except SyscallError as error:
                with root.locked():
                    found = root.lookup(name)
                if found is None:
                    raise error
                at = found
        with at.kept():
            self.mount(fs, at)

    def unmount(self, fs: FileSystem) -> None:
        """Take `fs` out of the tree. Fails while somebody uses it."""
        at = fs.covered
        if at is None:
            raise SyscallError(EINVAL, "the root stays")
        if not self.inodes.drop(fs):
            raise SyscallError(EBUSY, "the file system is in use")
        fs.sync()
        at.mounted = fs.covered = None
        self.mounted.remove(fs)
        with self.inodes.reaping():
            at.put()

    def root(self) -> Inode:
        """A reference to the directory in which absolute paths begin."""
        return self._root_of(self.mounted[0])

    def enter(self, ip: Inode) -> Inode:
        """The root of what is mounted at `ip`, whose reference is given for it; else `ip` itself."""
        while ip.mounted is not None:
            covering = self._root_of(ip.mounted)
            ip.put()
            ip = covering
        return ip

    def leave(self, ip: Inode) -> Inode:
        """Where `..` of `ip` is looked up: what the root of a mounted file system covers; else `ip`."""
        while ip.fs.covered is not None and self._is_root(ip):
            covered = ip.fs.covered.dup()
            ip.put()
            ip = covered
        return ip

    def sync(self) -> None:
        """Wait until all changes are on the disks."""
        for fs in self.mounted:
            fs.sync()

    def _root_of(self, fs: FileSystem) -> Inode:
        return self.inodes.get(fs, fs.root_inum)

    def _is_root(self, ip: Inode) -> bool:
        return ip.inum == ip.fs.root_inum
