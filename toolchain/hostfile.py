"""Reading files that a person names: only regular files, and no more of one than it can sensibly have.

Called wherever a name comes from outside: sources, programs, images, recordings.  A pipe would be waited
for, and a device may never end, so neither is opened; of a file that is too large nothing is read.  All is
told as an OSError with the reason in `strerror`, for the caller, who knows what the file was to be.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from typing import Final

SOURCE_BYTES_MAX: Final = 1 << 24  # C, assembly, a header, a script for the linker
PROGRAM_BYTES_MAX: Final = 1 << 28  # an ELF file with all its debug information
RECORDING_BYTES_MAX: Final = 1 << 28
IMAGE_BYTES_MAX: Final = 1 << 32  # what mkfs makes at the most
LINE_BYTES_MAX: Final = 1 << 20  # of input that comes line by line

KINDS: Final = (
    (stat.S_ISDIR, errno.EISDIR, "is a directory"),
    (stat.S_ISFIFO, errno.ESPIPE, "is a pipe, and not a file"),
    (stat.S_ISCHR, errno.ENODEV, "is a device, and not a file"),
    (stat.S_ISBLK, errno.ENODEV, "is a device, and not a file"),
    (stat.S_ISSOCK, errno.ENXIO, "is a socket, and not a file"),
)
"""What is not read: the test for it, its error number, and its name."""


def read(path: str | os.PathLike[str], bytes_max: int) -> bytes:
    """The content of the file at `path`, which has at most `bytes_max`; raises OSError."""
    fd = opened(path, bytes_max)
    with open(fd, "rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:  # it grows, or says nothing of its size, as those in /proc
        raise _too_large(path, f"more than {bytes_max}", bytes_max)
    return content


@contextmanager
def mapped(path: str | os.PathLike[str], bytes_max: int) -> Iterator[mmap | bytes]:
    """As `read`, with the content mapped for the length of the `with` statement, and not copied."""
    fd = opened(path, bytes_max)
    try:
        size = os.fstat(fd).st_size
        content = mmap(fd, size, access=ACCESS_READ) if size else b""
    finally:
        os.close(fd)
    yield content  # views of it may outlive this, so it is not closed by force


def opened(path: str | os.PathLike[str], bytes_max: int) -> int:
    """A descriptor of the regular file at `path`, to read it; raises OSError."""
    _check(path, os.stat(path), bytes_max)  # opening a device may already do something to it
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(fd), bytes_max)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check(path: str | os.PathLike[str], status: os.stat_result, bytes_max: int) -> None:
    """Raise OSError for what is not read."""
    for is_kind, number, text in KINDS:
        if is_kind(status.st_mode):
            raise OSError(number, text, os.fspath(path))
    if status.st_size > bytes_max:
        raise _too_large(path, str(status.st_size), bytes_max)


def _too_large(path: str | os.PathLike[str], size: str, bytes_max: int) -> OSError:
    return OSError(errno.EFBIG, f"has {size} bytes, where {bytes_max} are the most", os.fspath(path))
