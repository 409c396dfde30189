"""The system calls on files: open, read, write, close, pipe, link and their like.

The dispatcher finds `sys_NAME` by the call's name and passes the kernel, the calling process and the
arguments, fetched as kernel/abi/syscalls.py declares them: C ints as ints, addresses as ints, strings as
bytes.  A handler returns the call's result, or raises SyscallError and so makes it the error result.
Everything that these calls need to know about files is below them; here it is put together in the order that
programs see: which error comes first, and what stays done when a later step fails.
"""

import struct
from ctypes import c_short
from errno import EBADF, EEXIST, EINVAL, EISDIR, EMLINK, ENOENT, ENOTDIR, ENOTEMPTY, ENOTTY, EPERM
from typing import TYPE_CHECKING, Final

from kernel.abi import fcntl
from kernel.abi.disk import DIRENT_SIZE
from kernel.abi.fcntl import T_DEVICE, T_DIR, T_FILE, T_SYMLINK
from kernel.abi.param import NDEV
from kernel.errors import SyscallError
from kernel.fs.file import DeviceFile, InodeFile
from kernel.fs.pipe import Pipe
from kernel.fs.xv6fs.dir import dirlink, dirlookup, inums, namei, nameiparent
from kernel.fs.xv6fs.inode import Inode

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc

NLINK_MAX: Final = 32767  # a C short
FD_PAIR: Final = struct.Struct("<ii")

# --- descriptors ---


def sys_read(k: "Kernel", p: "Proc", fd: int, dst: int, n: int) -> int:
    """Read up to `n` bytes to `dst`; gives the number read, 0 at the end."""
    f = p.files.file(fd)
    if not f.readable:
        raise SyscallError(EBADF, "not open for reading")
    return f.read(p, dst, n)


def sys_write(k: "Kernel", p: "Proc", fd: int, src: int, n: int) -> int:
    """Write `n` bytes from `src`; gives the number written."""
    f = p.files.file(fd)
    if not f.writable:
        raise SyscallError(EBADF, "not open for writing")
    return f.write(p, src, n)


def sys_ttymode(k: "Kernel", p: "Proc", fd: int, mode: int) -> int:
    """How many columns the terminal at the console has, whose mode is then the one asked for."""
    f = p.files.file(fd)
    if not isinstance(f, DeviceFile) or k.files.devices.get(f.ip.major) is not k.console:
        raise SyscallError(ENOTTY, "not the console")
    return k.console.set_mode(p, mode)


def sys_close(k: "Kernel", p: "Proc", fd: int) -> int:
    """Give up a descriptor."""
    f = p.files.file(fd)
    p.files.ofile[fd] = None
    k.files.close(f)
    return 0


def sys_dup(k: "Kernel", p: "Proc", fd: int) -> int:
    """Make another descriptor for the same open file, the lowest that is free."""
    f = p.files.file(fd)
    copy = p.files.free()
    p.files.ofile[copy] = k.files.dup(f)
    return copy


def sys_fstat(k: "Kernel", p: "Proc", fd: int, st: int) -> int:
    """Store struct stat of an open file at `st`."""
    k.copyout(p.space, st, p.files.file(fd).stat())
    return 0


def sys_pipe(k: "Kernel", p: "Proc", fds: int) -> int:
    """Make a pipe; stores the descriptors of its ends, the one to read first, as two ints at `fds`."""
    reader_fd = p.files.free()
    k.files.reserve(2)
    pipe = Pipe(k)
    ends = (pipe.reader, pipe.writer)
    try:
        p.files.ofile[reader_fd] = pipe.reader
        writer_fd = p.files.free()
        p.files.ofile[writer_fd] = pipe.writer
        k.copyout(p.space, fds, FD_PAIR.pack(reader_fd, writer_fd))
    except SyscallError:
        p.files.ofile[:] = [None if f in ends else f for f in p.files.ofile]
        for end in ends:
            k.files.close(end)
        raise
    return 0


# --- open ---


def sys_open(k: "Kernel", p: "Proc", path: bytes, omode: int) -> int:
    """Open the file that `path` names, with O_CREATE make it if need be; gives a descriptor."""
    makes = omode & fcntl.O_CREATE  # what only opens changes nothing, and waits for no commit of others
    with k.log if makes else k.fs.unlogged(), k.fs.borrowed(_inode_to_open(k, path, omode)) as ip:
        if ip.type in (T_DIR, T_SYMLINK) and omode & ~fcntl.O_NOFOLLOW != fcntl.O_RDONLY:
            raise SyscallError(EISDIR, "a directory or a symbolic link can only be read")
        if ip.type == T_DEVICE and not 0 <= ip.major < NDEV:
            raise SyscallError(EINVAL, f"no device has major number {ip.major}")
        fd = p.files.free()
        k.files.reserve()
        kind = DeviceFile if ip.type == T_DEVICE else InodeFile
        readable, writable = not omode & fcntl.O_WRONLY, bool(omode & (fcntl.O_WRONLY | fcntl.O_RDWR))
        p.files.ofile[fd] = kind(k, k.fs.idup(ip), readable, writable)
    if omode & fcntl.O_TRUNC and ip.type == T_FILE and ip.size:
        _truncate(k, p, fd, ip)
    return fd


def _inode_to_open(k: "Kernel", path: bytes, omode: int) -> Inode:
    """The inode for open; a reference, not locked."""
    if omode & fcntl.O_CREATE:
        try:
            return create(k, path, T_FILE)
        except SyscallError as error:
            if error.code != EEXIST:  # there may be a symbolic link
                raise
    return namei(k, path, follow=not omode & fcntl.O_NOFOLLOW)


def _truncate(k: "Kernel", p: "Proc", fd: int, ip: Inode) -> None:
    """Empty the file that was opened as `fd`, by as many operations as that takes."""
    try:
        done = False
        while not done:
            with k.log, k.fs.locked(ip):
                done = k.fs.itrunc(ip)
    except SyscallError:
        sys_close(k, p, fd)
        raise


def create(
    k: "Kernel", path: bytes, kind: int, major: int = 0, minor: int = 0, content: bytes = b""
) -> Inode:
    """Make an inode of type `kind` and enter it as `path`; gives a reference, not locked.

    `path` is not followed where it names a symbolic link.  A file or device that is there already is what
    open(O_CREATE), which asks for a T_FILE, gets instead.
    """
    dp, name = nameiparent(k, path)
    with k.fs.borrowed(dp):
        found = dirlookup(k, dp, name)
        if found is None:
            return _make(k, dp, name, kind, major, minor, content)
        ip = found[0]
        if k.fs.peek(ip)[0] in (T_FILE, T_DEVICE) and kind == T_FILE:
            return ip
        k.fs.iput(ip)
    raise SyscallError(EEXIST, "the path is taken")


def _make(k: "Kernel", dp: Inode, name: bytes, kind: int, major: int, minor: int, content: bytes) -> Inode:
    """A new inode with an entry in the locked directory `dp`; where that fails the inode is freed again."""
    fs = k.fs
    if kind == T_DIR and dp.nlink == NLINK_MAX:
        raise SyscallError(EMLINK, "the directory has too many subdirectories")
    ip = fs.ialloc(dp.dev, kind, major, minor)
    try:
        with fs.locked(ip):
            if kind == T_DIR:  # `.` is not counted as a link, or the directory could never be freed
                dirlink(k, ip, b".", ip.inum)
                dirlink(k, ip, b"..", dp.inum)
            fs.writei(ip, ip.size, content)
        dirlink(k, dp, name, ip.inum)
    except SyscallError:
        with fs.borrowed(ip):
            ip.nlink = 0
            fs.iupdate(ip)
        raise
    if kind == T_DIR:
        dp.nlink += 1  # the new directory's ..
        fs.iupdate(dp)
    return ip


def sys_mkdir(k: "Kernel", p: "Proc", path: bytes) -> int:
    """Make an empty directory."""
    with k.log:
        k.fs.iput(create(k, path, T_DIR))
    return 0


def sys_mknod(k: "Kernel", p: "Proc", path: bytes, major: int, minor: int) -> int:
    """Make a device file; the numbers are C shorts."""
    with k.log:
        k.fs.iput(create(k, path, T_DEVICE, c_short(major).value, c_short(minor).value))
    return 0


def sys_symlink(k: "Kernel", p: "Proc", target: bytes, path: bytes) -> int:
    """Make a symbolic link: a name that stands for the path in it, which need not lead anywhere."""
    if not target:
        raise SyscallError(ENOENT, "an empty path leads nowhere")
    with k.log:
        k.fs.iput(create(k, path, T_SYMLINK, content=target))
    return 0


# --- names ---


def sys_chdir(k: "Kernel", p: "Proc", path: bytes) -> int:
    """Change the current directory."""
    with k.fs.unlogged(), k.fs.borrowed(namei(k, path)) as ip:
        if ip.type != T_DIR:
            raise SyscallError(ENOTDIR, "not a directory")
        old, p.files.cwd = p.files.cwd, k.fs.idup(ip)
        assert old is not None, "a process that makes calls has a directory"
        k.fs.iput(old)
    return 0


def sys_link(k: "Kernel", p: "Proc", old: bytes, new: bytes) -> int:
    """Give a file a second name."""
    with k.log:
        ip = namei(k, old, follow=False)
        is_dir = k.fs.peek(ip)[0] == T_DIR
        with k.fs.kept(ip):
            dp, name = nameiparent(k, new)
            with k.fs.borrowed(dp):
                if is_dir or dp is ip:
                    raise SyscallError(EPERM, "a directory has one name only, and a file holds none")
                with k.fs.locked(ip):
                    if ip.nlink == NLINK_MAX:
                        raise SyscallError(EMLINK, "too many links")
                    dirlink(k, dp, name, ip.inum)
                    ip.nlink += 1
                    k.fs.iupdate(ip)
    return 0


def sys_unlink(k: "Kernel", p: "Proc", path: bytes) -> int:
    """Take away a name; the file goes with its last name and its last user."""
    with k.log:
        dp, name = nameiparent(k, path)
        with k.fs.borrowed(dp):
            if name in (b".", b".."):
                raise SyscallError(EINVAL, ". and .. stay")
            found = dirlookup(k, dp, name)
            if found is None:
                raise SyscallError(ENOENT, "no such entry")
            ip, off = found
            with k.fs.borrowed(ip):
                _unlink_entry(k, dp, off, ip)
    return 0


def _unlink_entry(k: "Kernel", dp: Inode, off: int, ip: Inode) -> None:
    """Free the entry at `off` of `dp`, which names `ip`; both are locked."""
    if ip.nlink < 1:
        k.panic(f"unlink: an entry names {ip}, which has no links")
    if ip.type == T_DIR and any(inums(k, ip)[2:]):  # the first two are . and ..
        raise SyscallError(ENOTEMPTY, "the directory is not empty")
    k.fs.writei(dp, off, bytes(DIRENT_SIZE))
    if ip.type == T_DIR:
        dp.nlink = max(1, dp.nlink - 1)  # the .. of the directory that goes; its own name still counts
    k.fs.iupdate(dp)
    ip.nlink -= 1
    k.fs.iupdate(ip)
