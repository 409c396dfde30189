"""Open files: what a file descriptor stands for.

A File is shared by every descriptor made from it by dup or fork and counts them in `ref`; the last close
releases what it holds.  The kinds differ in `read`, `write`, `stat` and `release`: an InodeFile has an
offset into an inode, a DeviceFile sends its bytes to a driver, a pipe's ends are in pipe.py.  NFILE of them
may be open in all.

Bytes are copied to and from the program while no inode is locked and no change is under way, because a copy
may fault pages in, and that may need the file system.

A write that fails leaves what xv6's leaves.  That moves bytes in steps (`FileSystem.step`), each a change of
its own, and inside a step by the block of the file.  A step that would make the file too large is not begun.
The pieces before a bad address are in the file, and the offset is behind them.  Of the piece with the bad
address the good bytes are stored too, but only over bytes that the file has; the offset stays before them.
"""

from abc import ABC, abstractmethod
from errno import EFBIG, EINVAL, EIO, ENFILE
from typing import TYPE_CHECKING, Final, Protocol

from kernel.abi.disk import BSIZE
from kernel.abi.param import NFILE
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode, Stat
from kernel.mm.usercopy import UserBuffer

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc

WRITE_MAX: Final = 16 * BSIZE  # bytes of a long write that are copied at a time


class CharDevice(Protocol):
    """A driver that programs reach through a T_DEVICE inode with its major number."""

    def read(self, p: "Proc", va: int, n: int) -> int: ...

    def write(self, p: "Proc", va: int, n: int) -> int: ...


class File(ABC):
    """An open file of any kind.

    `read` and `write` move up to `n` (a C int) bytes at user address `va`; they raise SyscallError.
    """

    def __init__(self, k: "Kernel", readable: bool, writable: bool) -> None:
        self._k = k
        self.readable: Final = readable
        self.writable: Final = writable
        self.ref = 1

    @abstractmethod
    def read(self, p: "Proc", va: int, n: int) -> int:
        """Gives the number of bytes read, 0 at the end."""

    @abstractmethod
    def write(self, p: "Proc", va: int, n: int) -> int:
        """Gives the number of bytes written."""

    def stat(self) -> Stat:
        """What can be told of what is open."""
        raise SyscallError(EINVAL, "only files and devices have a status")

    @abstractmethod
    def release(self) -> None:
        """The last descriptor was closed."""


class InodeFile(File):
    """A file or directory, read and written at `off`, which moves on by what was moved."""

    def __init__(self, k: "Kernel", ip: Inode, readable: bool, writable: bool) -> None:
        super().__init__(k, readable, writable)
        self.ip: Final = ip
        self.off = 0

    def read(self, p: "Proc", va: int, n: int) -> int:
        with self.ip.locked() as ip:
            data = ip.read(self.off, n & 0xFFFF_FFFF)  # xv6's readi takes an unsigned length
            self.off += len(data)
        buf = UserBuffer(self._k.usercopy, p.space, (va, len(data)))
        buf.put(data)
        if buf.bad:
            self.off -= len(data)
            raise buf.bad
        return len(data)

    def write(self, p: "Proc", va: int, n: int) -> int:
        if n < 0:
            raise SyscallError(EINVAL, "negative length")
        fs, start, room = self.ip.fs, self.off, self.ip.fs.size_max - self.off
        fits = n if n <= room else room // fs.step * fs.step
        buf = UserBuffer(self._k.usercopy, p.space, (va, fits))
        done = 0
        while done < fits:  # what was written before a failure stays
            data = buf.take(min(fits - done, WRITE_MAX))
            if buf.bad:
                good = done + len(data)
                whole = max(good - (start + good) % fs.block_size, good // fs.step * fs.step, done)
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

    def release(self) -> None:
        with self._k.inodes.reaping():
            self.ip.put()

    def __repr__(self) -> str:
        return f"{self.ip} at {self.off}"


class DeviceFile(InodeFile):
    """A device: the inode only names the driver, by its major number."""

    def read(self, p: "Proc", va: int, n: int) -> int:
        return self._driver().read(p, va, n)

    def write(self, p: "Proc", va: int, n: int) -> int:
        return self._driver().write(p, va, n)

    def _driver(self) -> CharDevice:
        driver = self._k.files.devices.get(self.ip.major)
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
