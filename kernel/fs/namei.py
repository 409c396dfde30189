"""Paths: from names to inodes, through all that is mounted.

Walking a path locks one directory at a time: the reference to the next inode is taken while the directory is
locked, its lock only after the directory was unlocked.  So `.` does not lock an inode twice, and two walks in
opposite directions do not wait for each other.  Only a symbolic link is locked while its directory is, since
it is not a directory itself.

A walk changes nothing, and is in no change of a file system.  It may drop the last reference to a directory
without a name: callers are in `InodeTable.reaping`.
"""

from errno import ELOOP, ENOENT

from kernel.abi.fcntl import T_SYMLINK
from kernel.abi.param import MAXPATH, SYMLINKS_MAX
from kernel.errors import SyscallError
from kernel.fs.mounts import MountTable
from kernel.fs.vfs import Inode


def namei(mounts: MountTable, cwd: Inode | None, path: bytes, *, follow: bool = True) -> Inode:
    """The inode that a path names; a reference, not locked. An empty path is the current directory.

    Without `follow`, a symbolic link that is the path's last component stands for itself.
    """
    return _walk(mounts, _start(mounts, path, cwd), _components(path), follow)


def nameiparent(mounts: MountTable, cwd: Inode | None, path: bytes) -> tuple[Inode, bytes]:
    """What should be the directory that has the path's last component, and that component.

    A reference, not locked; that it is a directory is for its file system to find out.
    """
    *parents, last = _components(path) or [b""]
    if not last:
        raise SyscallError(ENOENT, "the path names no entry")
    return _walk(mounts, _start(mounts, path, cwd), parents, follow=True), last


def _components(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name]


def _start(mounts: MountTable, path: bytes, dp: Inode | None) -> Inode:
    """A reference to where the walk along a path starts: the root, or `dp`."""
    if path.startswith(b"/"):
        return mounts.root()
    assert dp is not None, "only a process that runs programs walks paths"
    return dp.dup()


def _walk(mounts: MountTable, ip: Inode, names: list[bytes], follow: bool) -> Inode:
    """From a reference to one directory, along `names`, to one to what the last of them is in its directory.

    A symbolic link is replaced by the path in it, which starts where the link is.
    """
    links = 0
    while names:
        name, *names = names
        if name == b"..":
            ip = mounts.leave(ip)
        with ip.borrowed() as dp:
            found = dp.lookup(name)
            if found is None:
                raise SyscallError(ENOENT, "no such entry")
            ip = mounts.enter(found)
            if (names or follow) and ip.peek()[0] == T_SYMLINK:
                with ip.borrowed():
                    target = ip.read(0, MAXPATH)
                links += 1
                if links > SYMLINKS_MAX:
                    raise SyscallError(ELOOP, f"more than {SYMLINKS_MAX} symbolic links")
                names = _components(target) + names
                ip = _start(mounts, target, dp)
    return ip
