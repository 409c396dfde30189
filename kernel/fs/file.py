"""Open files: what a file descriptor stands for.

A File is shared by every descriptor made from it by dup or fork and counts them in `ref`; the last close
releases what it holds.  The kinds differ in `read`, `write`, `stat` and `release`: an InodeFile has an
offset into an inode, a DeviceFile sends its bytes to a driver, a pipe's ends are in pipe.py.  NFILE of them
may be open in all.

Bytes are copied to and from the program while no inode is locked and no change is under way, because a copy
may fault pages in, and that may need the file system.

A write that fails leaves behind what xv6's does.  Bytes move in steps (`FileSystem.step`), each a change of
its own, and within a step by pieces, one for each block.  A step that would make the file too large is not
begun.  The pieces before a bad address are written, and the offset is behind them.  Of the piece with the bad
address the good bytes are stored too, but only over bytes that the file has; the offset stays before them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from errno import EFBIG, EINVAL, EIO, ENFILE, ENOTTY, ESPIPE
from typing import Final

from kernel.abi.disk import BSIZE
from kernel.abi.fcntl import POLLIN, POLLOUT, SEEK_CUR, SEEK_END, SEEK_SET
from kernel.abi.param import NFILE
from kernel.errors import SyscallError
from kernel.fs.buffer import Buffer
from kernel.fs.chardev import CharDevice
from kernel.fs.vfs import Inode, Stat

WRITE_MAX: Final = 16 * BSIZE  # bytes of a long write that are copied at a time


class File(ABC):
    """An open file of any kind. What a kind has not raises SyscallError."""

    def __init__(self, readable: bool, writable: bool) -> None:
        self.readable: Final = readable
        self.writable: Final = writable
        self.ref = 1

    @abstractmethod
    def read(self, buf: Buffer) -> int:
        """Move up to `buf.remaining` bytes into `buf`; gives their number, 0 at the end."""

    @abstractmethod
    def write(self, buf: Buffer) -> int:
        """Move what remains in `buf` to the file; gives the number of bytes."""

    def seek(self, offset: int, whence: int) -> int:
        """Set where the next read or write begins; gives it."""
        raise SyscallError(ESPIPE, "only a file has a place in it")

    def stat(self) -> Stat:
        """What can be told of what is open."""
        raise SyscallError(EINVAL, "only files and devices have a status")

    def poll(self) -> int:
        """Which of POLLIN and POLLOUT would not wait now; also POLLERR and POLLHUP."""
        return POLLIN | POLLOUT

    def ioctl(self, request: int, arg: int) -> int:
        """What only some devices can do."""
        raise SyscallError(ENOTTY, "not a device")

    @abstractmethod
    def release(self) -> None:
        """The last descriptor was closed."""


class InodeFile(File):
    """A file or directory, read and written at `off`, which moves on by what was moved."""

    def __init__(self, ip: Inode, readable: bool, writable: bool) -> None:
        super().__init__(readable, writable)
        self.ip: Final = ip
        self.off = 0

    def read(self, buf: Buffer) -> int:
        with self.ip.locked() as ip:
            data = ip.read(self.off, buf.remaining)
            self.off += len(data)
        buf.put(data)
        if buf.bad:
            self.off -= len(data)
            raise buf.bad
        return len(data)

    def write(self, buf: Buffer) -> int:
        fs, n, start, room = self.ip.fs, buf.remaining, self.off, self.ip.fs.size_max - self.off
        fits = n if n <= room else room // fs.step * fs.step
        done = 0
        while done < fits:  # what was written before a failure stays
            # Up to the end of a block, so that no piece is half written when the next address is bad.
            data = buf.take(min(fits - done, WRITE_MAX - (start + done) % fs.block_size))
            if buf.bad:
                good = done + len(data)
                whole = max(good - (start + good) % fs.block_size, good // fs.step * fs.step)
                self._write_before_bad(data, whole - done)
                raise buf.bad
            written = self._put(data)
            buf.give_back(len(data) - written)
            done += written
        if fits < n:
            raise SyscallError(EFBIG, f"{n} bytes at {start}")
        return n

    def _put(self, data: bytes) -> int:
        """Write as many of the bytes as one operation can, and move on; gives how many."""
        with self.ip.update() as ip:
            written = ip.write(self.off, data)
            self.off += written
        return written

    def _write_before_bad(self, data: bytes, whole: int) -> None:
        """Write `data`, which ends before a bad address: the first `whole` bytes are pieces without one."""
        while whole:
            written = self._put(data[:whole])
            data, whole = data[written:], whole - written
        with self.ip.update() as ip:
            ip.write(self.off, data[: max(0, ip.size - self.off)])

    def stat(self) -> Stat:
        with self.ip.locked() as ip:
            return ip.stat()

    def seek(self, offset: int, whence: int) -> int:
        if whence not in (SEEK_SET, SEEK_CUR, SEEK_END):
            raise SyscallError(EINVAL, f"a file has no place {whence} to count from")
        with self.ip.locked() as ip:
            to = offset + (0, self.off, ip.size)[whence]
            if to < 0:
                raise SyscallError(EINVAL, f"{to} is before the beginning")
            self.off = to
        return to

    def release(self) -> None:
        self.ip.drop()

    def __repr__(self) -> str:
        return f"{self.ip} at {self.off}"


class DeviceFile(InodeFile):
    """A device: the inode only names the driver, one of `drivers`, by its major number."""

    def __init__(self, ip: Inode, readable: bool, writable: bool, drivers: Mapping[int, CharDevice]) -> None:
        super().__init__(ip, readable, writable)
        self._drivers: Final = drivers

    def read(self, buf: Buffer) -> int:
        return self._driver().read(buf)

    def write(self, buf: Buffer) -> int:
        return self._driver().write(buf)

    def seek(self, offset: int, whence: int) -> int:
        raise SyscallError(ESPIPE, "a device has no place in it")

    def poll(self) -> int:
        return self._driver().poll()

    def ioctl(self, request: int, arg: int) -> int:
        return self._driver().ioctl(request, arg)

    def _driver(self) -> CharDevice:
        driver = self._drivers.get(self.ip.major)
        if driver is None:
            raise SyscallError(EIO, f"no driver for major number {self.ip.major}")
        return driver


class FileTable:
    """Counts the open files; `devices` are the drivers by major number, entered when the kernel starts."""

    def __init__(self) -> None:
        self.devices: Final[dict[int, CharDevice]] = {}
        self.open_count = 0

    def reserve(self, count: int = 1) -> None:
        """Take room for `count` new Files, which the caller makes at once; all or none."""
        if self.open_count + count > NFILE:
            raise SyscallError(ENFILE, f"{NFILE} files are open")
        self.open_count += count

    def dup(self, f: File) -> File:
        """One more descriptor for `f`."""
        assert f.ref > 0, "a closed file has no descriptors"
        f.ref += 1
        return f

    def close(self, f: File) -> None:
        """One descriptor fewer for `f`; the last one releases it, which may block."""
        assert f.ref > 0, "a closed file has no descriptors"
        f.ref -= 1
        if not f.ref:
            self.open_count -= 1
            f.release()
