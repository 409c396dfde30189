"""Paths in an image: from names, which are bytes, to inodes, by the kernel's rules.

Called by fsedit.py and by the commands that copy files out of an image.  The image must have passed
fsimage.check.
"""

from kernel.abi import disk, fcntl, param
from toolchain.fsimage import FsImage, Inode
from toolchain.mkfs import ImageError
from toolchain.names import shown


class NoSuchPath(ImageError):
    """A path leads nowhere."""


def children(fs: FsImage, directory: Inode) -> list[tuple[bytes, Inode]]:
    """Name and inode of each entry in use, in order, without `.` and `..`."""
    found = []
    for number, raw in disk.DIRENT.iter_unpack(fs.content(directory)):
        name = raw.split(b"\0", 1)[0]
        if number and name not in (b".", b".."):
            found.append((name, fs.inode(number)))
    return found


def lookup(fs: FsImage, directory: Inode, name: bytes) -> Inode | None:
    """What `name` is in `directory`. As in the kernel, of a name only as much counts as fits an entry."""
    for number, raw in disk.DIRENT.iter_unpack(fs.content(directory)):
        if number and raw.split(b"\0", 1)[0] == name[: disk.DIRSIZ]:
            return fs.inode(number)
    return None


def resolve(fs: FsImage, path: bytes, *, follow: bool = True) -> Inode:
    """The inode at `path`, from the root directory on; with `follow`, not a link but what it stands for.

    Raises NoSuchPath.
    """
    at = root = fs.inode(param.ROOTINO)
    names = [name for name in path.split(b"/") if name]
    links = 0
    while names:
        name = names.pop(0)
        found = lookup(fs, at, name) if at.type == fcntl.T_DIR else None
        if found is None:
            raise NoSuchPath(
                f"{fs.name}: no such file or directory: {shown(path)}; "
                f"`orrery lsfs {fs.name}` lists what there is"
            )
        if found.type == fcntl.T_SYMLINK and (names or follow):
            links += 1
            if links > param.SYMLINKS_MAX:
                raise NoSuchPath(
                    f"{fs.name}: {shown(path)}: more than {param.SYMLINKS_MAX} symbolic links on the way; "
                    "name the file that they lead to"
                )
            target = fs.content(found)
            at = root if target.startswith(b"/") else at
            names = [part for part in target.split(b"/") if part] + names
        else:
            at = found
    if path.endswith(b"/") and at.type not in (fcntl.T_DIR, fcntl.T_SYMLINK):
        raise NoSuchPath(f"{fs.name}: {shown(path)}: not a directory; leave out the / at its end")
    return at
