"""Directories and paths: from names to inodes.

A directory is a file of 16-byte entries {inode number, name}; number 0 marks an entry as free.  Names are at
most DIRSIZ bytes, longer ones count by their first DIRSIZ.  `.` and `..` are ordinary entries.

Walking a path locks one directory at a time: the reference to the next inode is taken while the directory is
locked, its lock only after that lock was given back.  So `.` does not lock an inode twice, and two walks in
opposite directions do not wait for each other.  Only a symbolic link is locked while its directory is, as it
is none itself.  All functions run inside an operation of the log or `FileSystem.unlogged`, because dropping a
reference may free an inode.
"""

from errno import EEXIST, ELOOP, ENOENT, ENOTDIR
from typing import TYPE_CHECKING, Final

from kernel.abi.disk import DIRENT, DIRENT_SIZE, DIRSIZ
from kernel.abi.fcntl import T_DIR, T_SYMLINK
from kernel.abi.param import MAXPATH, ROOTDEV, ROOTINO, SYMLINKS_MAX
from kernel.errors import SyscallError
from kernel.fs.xv6fs.inode import Inode

if TYPE_CHECKING:
    from kernel.kernel import Kernel

NAME_AT: Final = DIRENT_SIZE - DIRSIZ  # where the name starts in an entry
FREE_INUM: Final = bytes(NAME_AT)


def namei(k: "Kernel", path: bytes, *, follow: bool = True) -> Inode:
    """The inode that a path names; a reference, not locked. An empty path is the current directory.

    Without `follow`, a symbolic link that is the path's last component stands for itself.
    """
    return _walk(k, _start(k, path, k.myproc().files.cwd), _components(path), follow)


def nameiparent(k: "Kernel", path: bytes) -> tuple[Inode, bytes]:
    """What should be the directory that has the path's last component, and that component.

    A reference, not locked; that it is a directory is for dirlookup to find out.
    """
    *parents, last = _components(path) or [b""]
    if not last:
        raise SyscallError(ENOENT, "the path names no entry")
    return _walk(k, _start(k, path, k.myproc().files.cwd), parents, follow=True), last


def _components(path: bytes) -> list[bytes]:
    return [name[:DIRSIZ] for name in path.split(b"/") if name]


def _start(k: "Kernel", path: bytes, dp: Inode | None) -> Inode:
    """A reference to where the walk along a path starts: the root, or `dp`."""
    if path.startswith(b"/"):
        return k.fs.iget(ROOTDEV, ROOTINO)
    assert dp is not None, "only a process that runs programs walks paths"
    return k.fs.idup(dp)


def _walk(k: "Kernel", ip: Inode, names: list[bytes], follow: bool) -> Inode:
    """From a reference to one directory, along `names`, to one to what the last of them is in its directory.

    A symbolic link is replaced by the path in it, which starts where the link is.
    """
    links = 0
    while names:
        with k.fs.borrowed(ip) as dp:
            name, *names = names
            found = dirlookup(k, dp, name)
            if found is None:
                raise SyscallError(ENOENT, "no such entry")
            ip = found[0]
            if (names or follow) and k.fs.peek(ip)[0] == T_SYMLINK:
                with k.fs.borrowed(ip):
                    target = k.fs.readi(ip, 0, MAXPATH)
                links += 1
                if links > SYMLINKS_MAX:
                    raise SyscallError(ELOOP, f"more than {SYMLINKS_MAX} symbolic links")
                names = _components(target) + names
                ip = _start(k, target, dp)
    return ip


def dirlookup(k: "Kernel", dp: Inode, name: bytes) -> tuple[Inode, int] | None:
    """The inode that an entry of a locked directory names (a reference, not locked), and the entry's offset.

    None where there is no such entry; fails where `dp` is no directory.
    """
    if dp.type != T_DIR:
        raise SyscallError(ENOTDIR, f"{dp} is no directory")
    entries = k.fs.readi(dp, 0, dp.size)
    at = _find_name(entries, name)
    if at < 0:
        return None
    ip = k.fs.iget(dp.dev, entries[at] | entries[at + 1] << 8)
    if not dp.nlink and ip is not dp and not all(k.fs.peek(ip)):
        k.fs.iput(ip)
        return None  # the .. of a removed directory, whose parent has gone as well
    return ip, at


def dirlink(k: "Kernel", dp: Inode, name: bytes, inum: int) -> None:
    """Enter a name in a locked directory. Fails where it is taken, without room, or if `dp` was removed."""
    assert 0 < len(name) <= DIRSIZ, f"a directory entry cannot have the name {name!r}"
    found = dirlookup(k, dp, name)
    if found is not None:
        k.fs.iput(found[0])
        raise SyscallError(EEXIST, "the name is taken")
    if not dp.nlink:
        raise SyscallError(ENOENT, f"{dp} has been removed")  # an entry in it could never be removed
    k.fs.writei(dp, [*inums(k, dp), 0].index(0) * DIRENT_SIZE, DIRENT.pack(inum, name))  # its end, perhaps


def inums(k: "Kernel", dp: Inode) -> list[int]:
    """The inode number of each entry of a locked directory, 0 for a free one."""
    return memoryview(k.fs.readi(dp, 0, dp.size)).cast("H")[:: DIRENT_SIZE // 2].tolist()


def _find_name(entries: bytes, name: bytes) -> int:
    """Offset of the entry in use that has `name`; -1 where none has."""
    padded = name.ljust(DIRSIZ, b"\0")[: len(name) + 1]  # with the NUL that ends a name of less than DIRSIZ
    at = entries.find(padded)
    while at >= 0:
        entry = at - NAME_AT
        if entry % DIRENT_SIZE == 0 and entries[entry:at] != FREE_INUM:
            return entry
        at = entries.find(padded, at + 1)
    return -1
