"""The system calls on files: open, read, write, close, pipe, link and their like.

The dispatcher finds `sys_NAME` by the call's name and passes the kernel, the calling process and the
arguments, fetched as kernel/abi/syscalls.py declares them: C ints as ints, addresses as ints, strings as
bytes.  A handler returns the call's result, or raises SyscallError and so makes it the error result.
Everything that these calls need to know about files is below them; here it is put together in the order that
programs see: which error comes first, and what stays done when a later step fails.
"""

import struct
from ctypes import c_short
from errno import EBADF, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR
from typing import TYPE_CHECKING, Final

from kernel.abi import fcntl
from kernel.abi.disk import STAT
from kernel.abi.fcntl import T_DEVICE, T_DIR, T_FILE, T_SYMLINK
from kernel.abi.param import NDEV
from kernel.abi.tty import TTY_MODE
from kernel.errors import SyscallError
from kernel.fs.file import DeviceFile, InodeFile
from kernel.fs.namei import namei, nameiparent
from kernel.fs.pipe import Pipe
from kernel.fs.vfs import Inode, Node
from kernel.mm.usercopy import UserBuffer

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Process

FD_PAIR: Final = struct.Struct("<ii")

# --- descriptors ---


def sys_read(k: "Kernel", p: "Process", fd: int, dst: int, n: int) -> int:
    """Read up to `n` bytes to `dst`; gives the number read, 0 at the end."""
    f = p.files.file(fd)
    if not f.readable:
        raise SyscallError(EBADF, "not open for reading")
    if type(f) is InodeFile:
        n &= 0xFFFF_FFFF  # xv6's readi takes an unsigned length
    return f.read(UserBuffer(k.usercopy, p.space, (dst, n)))


def sys_write(k: "Kernel", p: "Process", fd: int, src: int, n: int) -> int:
    """Write `n` bytes from `src`; gives the number written."""
    f = p.files.file(fd)
    if not f.writable:
        raise SyscallError(EBADF, "not open for writing")
    if n < 0 and type(f) is InodeFile:
        raise SyscallError(EINVAL, "negative length")
    return f.write(UserBuffer(k.usercopy, p.space, (src, n)))


def sys_ttymode(k: "Kernel", p: "Process", fd: int, mode: int) -> int:
    """How many columns the terminal at the console has, whose mode is then the one asked for."""
    return p.files.file(fd).ioctl(TTY_MODE, mode)


def sys_close(k: "Kernel", p: "Process", fd: int) -> int:
    """Give up a descriptor."""
    f = p.files.file(fd)
    p.files.ofile[fd] = None
    k.files.close(f)
    return 0


def sys_dup(k: "Kernel", p: "Process", fd: int) -> int:
    """Make another descriptor for the same open file, the lowest that is free."""
    f = p.files.file(fd)
    copy = p.files.free()
    p.files.ofile[copy] = k.files.dup(f)
    return copy


def sys_fstat(k: "Kernel", p: "Process", fd: int, st: int) -> int:
    """Store struct stat of an open file at `st`."""
    found = p.files.file(fd).stat()
    k.copyout(p.space, st, STAT.pack(found.dev, found.ino, found.type, found.nlink, found.size))
    return 0


def sys_pipe(k: "Kernel", p: "Process", fds: int) -> int:
    """Make a pipe; stores the descriptors of its ends, the one to read first, as two ints at `fds`."""
    reader_fd = p.files.free()
    k.files.reserve(2)
    pipe = Pipe(k.waits)
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


def sys_open(k: "Kernel", p: "Process", path: bytes, omode: int) -> int:
    """Open the file that `path` names, with O_CREATE make it if need be; gives a descriptor."""
    with k.inodes.reaping(), _inode_to_open(k, p, path, omode).borrowed() as ip:
        if ip.type in (T_DIR, T_SYMLINK) and omode & ~fcntl.O_NOFOLLOW != fcntl.O_RDONLY:
            raise SyscallError(EISDIR, "a directory or a symbolic link can only be read")
        if ip.type == T_DEVICE and not 0 <= ip.major < NDEV:
            raise SyscallError(EINVAL, f"no device has major number {ip.major}")
        fd = p.files.free()
        k.files.reserve()
        readable, writable = not omode & fcntl.O_WRONLY, bool(omode & (fcntl.O_WRONLY | fcntl.O_RDWR))
        if ip.type == T_DEVICE:
            p.files.ofile[fd] = DeviceFile(ip.dup(), readable, writable, k.files.devices)
        else:
            p.files.ofile[fd] = InodeFile(ip.dup(), readable, writable)
    if omode & fcntl.O_TRUNC and ip.type == T_FILE and ip.size:
        try:
            ip.fs.truncate(ip)
        except SyscallError:
            sys_close(k, p, fd)
            raise
    return fd


def _inode_to_open(k: "Kernel", p: "Process", path: bytes, omode: int) -> Inode:
    """The inode for open; a reference, not locked."""
    if omode & fcntl.O_CREATE:
        try:
            return _create(k, p, path, Node(T_FILE), exclusive=False)
        except SyscallError as error:
            if error.code != EEXIST:  # there may be a symbolic link
                raise
    return namei(k.mounts, p.files.cwd, path, follow=not omode & fcntl.O_NOFOLLOW)


def _create(k: "Kernel", p: "Process", path: bytes, node: Node, *, exclusive: bool = True) -> Inode:
    """Make an inode and enter it as `path`, which is not followed where it names a symbolic link.

    Gives a reference, not locked.  Where not `exclusive`, a file or device that is there already is given.
    """
    dp, name = nameiparent(k.mounts, p.files.cwd, path)
    with dp.kept():
        return dp.fs.create(dp, name, node, exclusive=exclusive)


def _make(k: "Kernel", p: "Process", path: bytes, node: Node) -> int:
    """Make an inode that nobody opens."""
    with k.inodes.reaping():
        _create(k, p, path, node).put()
    return 0


def sys_mkdir(k: "Kernel", p: "Process", path: bytes) -> int:
    """Make an empty directory."""
    return _make(k, p, path, Node(T_DIR))


def sys_mknod(k: "Kernel", p: "Process", path: bytes, major: int, minor: int) -> int:
    """Make a device file; the numbers are C shorts."""
    return _make(k, p, path, Node(T_DEVICE, c_short(major).value, c_short(minor).value))


def sys_symlink(k: "Kernel", p: "Process", target: bytes, path: bytes) -> int:
    """Make a symbolic link: a name that stands for the path in it, which need not lead anywhere."""
    if not target:
        raise SyscallError(ENOENT, "an empty path leads nowhere")
    return _make(k, p, path, Node(T_SYMLINK, content=target))


# --- names ---


def sys_chdir(k: "Kernel", p: "Process", path: bytes) -> int:
    """Change the current directory."""
    with k.inodes.reaping(), namei(k.mounts, p.files.cwd, path).borrowed() as ip:
        if ip.type != T_DIR:
            raise SyscallError(ENOTDIR, "not a directory")
        old, p.files.cwd = p.files.cwd, ip.dup()
        assert old is not None, "a process that makes calls has a directory"
        old.put()
    return 0


def sys_link(k: "Kernel", p: "Process", old: bytes, new: bytes) -> int:
    """Give a file a second name."""
    with k.inodes.reaping():
        ip = namei(k.mounts, p.files.cwd, old, follow=False)
        ip.peek()  # what cannot be read is an error before `new` is looked at
        with ip.kept():
            dp, name = nameiparent(k.mounts, p.files.cwd, new)
            with dp.kept():
                dp.fs.link(ip, dp, name)
    return 0


def sys_unlink(k: "Kernel", p: "Process", path: bytes) -> int:
    """Take away a name; the file goes with its last name and its last user."""
    with k.inodes.reaping():
        dp, name = nameiparent(k.mounts, p.files.cwd, path)
        with dp.kept():
            dp.fs.unlink(dp, name)
    return 0
