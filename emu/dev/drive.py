"""Where a disk's bytes are kept: 512-byte sectors kept in memory, in a file, or in memory over a file.

The caller of a machine makes one and hands it to the block device (emu/dev/virtio_blk.py), which alone
reads and writes it, and never beyond its capacity. What cannot be opened, read or written is a DriveError
with one line that names the file and the remedy; nothing has been changed then.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import Final, Protocol

from emu.dev.device import Digest

SECTOR_SIZE: Final = 512
_DIGEST_SECTORS: Final = 2048  # a mebibyte at a time


class DriveError(Exception):
    """A drive that cannot be used, in one line for the person who named it."""


class Drive(Protocol):
    """`capacity` sectors. The caller keeps sector + count within it."""

    capacity: int

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors from `sector` on. Raises DriveError where the host cannot."""
        ...

    def write(self, sector: int, data: bytes) -> None:
        """Put whole sectors at `sector`; kept, in the sense of the drive, on return. Raises DriveError."""
        ...

    def flush(self) -> None:
        """Make what was written outlast a crash of the host. Raises DriveError."""
        ...

    def sha256_update(self, digest: Digest) -> None:
        """Feed the whole present content to `digest`."""
        ...

    def close(self) -> None:
        """Let go of the host's resources. The drive is not used after it; closing twice is harmless."""
        ...


class RamDrive(Drive):
    """A disk in memory, gone with the machine.

    `image` is not copied before the first write, nor changed, unless the drive is to have it for its `own`.
    """

    def __init__(self, image: bytes | bytearray | memoryview, *, own: bool = False) -> None:
        self._content: memoryview = memoryview(image).cast("B")
        self._own = own and not self._content.readonly
        self.capacity = _sectors("the image in memory", len(self._content))

    def read(self, sector: int, count: int) -> bytes:
        _check_range(self, sector, count)
        return bytes(self._content[sector * SECTOR_SIZE : (sector + count) * SECTOR_SIZE])

    def write(self, sector: int, data: bytes) -> None:
        _check_range(self, sector, _whole_sectors(data))
        if not self._own:
            self._content = memoryview(bytearray(self._content))
            self._own = True
        start = sector * SECTOR_SIZE
        self._content[start : start + len(data)] = data

    def flush(self) -> None:
        pass

    def sha256_update(self, digest: Digest) -> None:
        digest.update(self._content)

    def close(self) -> None:
        pass


class _HostFile:
    """An image file, open and locked. The lock belongs to the open file: forked copies share it."""

    def __init__(self, path: str | Path, mode: int, lock: int) -> None:
        self.name: Final = str(path)
        self._fd = _open_locked(self.name, mode, lock)
        try:
            self.capacity: Final = _sectors(self.name, os.fstat(self._fd).st_size)
        except DriveError:
            self.close()
            raise

    def read(self, sector: int, count: int) -> bytes:
        size, start = count * SECTOR_SIZE, sector * SECTOR_SIZE
        data = self._read(size, start)
        if len(data) == size:
            return data
        parts = [data]  # the host gives no more than 2 GiB at once
        while data and len(data) < size:
            size, start = size - len(data), start + len(data)
            data = self._read(size, start)
            parts.append(data)
        if len(data) != size:
            raise DriveError(f"{self.name}: has become shorter while in use; restore it")
        return b"".join(parts)

    def _read(self, size: int, start: int) -> bytes:
        try:
            return os.pread(self._fd, size, start)
        except OSError as error:
            raise DriveError(f"{self.name}: cannot be read: {error.strerror}") from error

    def write(self, sector: int, data: bytes) -> None:
        at = sector * SECTOR_SIZE
        rest = memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._fd, rest, at)
                rest = rest[written:]
                at += written
        except OSError as error:
            raise DriveError(f"{self.name}: cannot be written: {error.strerror}") from error

    def flush(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise DriveError(f"{self.name}: cannot be flushed: {error.strerror}") from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileDrive(Drive):
    """A disk in a file, which is this machine's alone until `close`.

    A write has reached the host's kernel before it is acknowledged, so an emulator that is killed loses
    nothing that its guest was told is written. Forked copies of the machine share the file and its lock.
    """

    def __init__(self, path: str | Path) -> None:
        self._file: Final = _HostFile(path, os.O_RDWR, fcntl.LOCK_EX)
        self.capacity = self._file.capacity

    def read(self, sector: int, count: int) -> bytes:
        _check_range(self, sector, count)
        return self._file.read(sector, count)

    def write(self, sector: int, data: bytes) -> None:
        _check_range(self, sector, _whole_sectors(data))
        self._file.write(sector, data)

    def flush(self) -> None:
        self._file.flush()

    def sha256_update(self, digest: Digest) -> None:
        _feed(self, digest)

    def close(self) -> None:
        self._file.close()


class OverlayDrive(Drive):
    """A disk whose writes stay in memory, over an image or a file that keeps its content.

    The file is open for reading and shared: other overlays may have it at the same time, a FileDrive not.
    """

    def __init__(self, base: bytes | bytearray | memoryview | str | Path) -> None:
        self._base: Final[_HostFile | RamDrive] = (
            _HostFile(base, os.O_RDONLY, fcntl.LOCK_SH) if isinstance(base, str | Path) else RamDrive(base)
        )
        self._written: Final[dict[int, bytes]] = {}  # sector -> its content now
        self.capacity = self._base.capacity

    def read(self, sector: int, count: int) -> bytes:
        _check_range(self, sector, count)
        wanted = range(sector, sector + count)
        written = self._written
        if written and any(number in written for number in wanted):
            return b"".join(written.get(number) or self._base.read(number, 1) for number in wanted)
        return self._base.read(sector, count)

    def write(self, sector: int, data: bytes) -> None:
        _check_range(self, sector, _whole_sectors(data))
        for at in range(0, len(data), SECTOR_SIZE):
            self._written[sector + at // SECTOR_SIZE] = bytes(data[at : at + SECTOR_SIZE])

    def flush(self) -> None:
        pass

    def sha256_update(self, digest: Digest) -> None:
        _feed(self, digest)

    def close(self) -> None:
        self._base.close()


def _open_locked(name: str, mode: int, lock: int) -> int:
    """Open `name` for a machine, with the flock `lock`: a file descriptor. Raises DriveError."""
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            kind = "a directory" if os.path.isdir(name) else "no regular file"
            raise DriveError(f"{name}: is {kind}; name a disk image")
        fd = os.open(name, mode | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DriveError(f"{name}: no such file; check the name, or make an image with mkfs") from error
    except OSError as error:
        remedy = "; make it writable, or run it as a snapshot" if mode == os.O_RDWR else ""
        raise DriveError(f"{name}: cannot be opened: {error.strerror}{remedy}") from error
    try:
        fcntl.flock(fd, lock | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise DriveError(f"{name}: is in use by another machine; end that one, or use a copy") from error
    except OSError as error:
        os.close(fd)
        raise DriveError(f"{name}: cannot be locked: {error.strerror}; use a copy on a local disk") from error
    if not _is_still(name, fd):  # replaced before it was locked: what is written to it nobody would see
        os.close(fd)
        raise DriveError(f"{name}: has just been replaced by somebody else; try it again")
    return fd


def _is_still(name: str, fd: int) -> bool:
    """Whether the open file `fd` is the one that `name` names now."""
    try:
        return os.path.samestat(os.stat(name), os.fstat(fd))
    except OSError:
        return False


def _sectors(name: str, size: int) -> int:
    """Capacity of an image of `size` bytes. Raises DriveError if it is no disk's size."""
    if size == 0 or size % SECTOR_SIZE:
        raise DriveError(
            f"{name}: has {size} bytes, and a disk has a multiple of {SECTOR_SIZE}; make it anew"
        )
    return size // SECTOR_SIZE


def _whole_sectors(data: bytes) -> int:
    assert len(data) % SECTOR_SIZE == 0, f"a disk is written in whole sectors, not {len(data)} bytes"
    return len(data) // SECTOR_SIZE


def _check_range(drive: Drive, sector: int, count: int) -> None:
    assert sector >= 0 and count >= 0 and sector + count <= drive.capacity, (
        f"sectors {sector}+{count} are not all on a disk of {drive.capacity}"
    )


def _feed(drive: Drive, digest: Digest) -> None:
    for sector in range(0, drive.capacity, _DIGEST_SECTORS):
        digest.update(drive.read(sector, min(_DIGEST_SECTORS, drive.capacity - sector)))
