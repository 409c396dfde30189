"""The files that gdb reads through the server: the programs of processes, and the kernel's code.

gdb opens what a process executes on the machine that it is connected to, with the vFile packets.  There are
only these files, and they are read-only:

    /cat           the program that some process runs, with its DWARF where that is available
    /cat~2         another program of this name
    /kernel.elf    kernel/asm, and the trampoline at the address where it runs
"""

import struct
from typing import Final

from orrery.gdb.errors import EBADF, EINVAL, ENOENT, number, unhex

OPEN_MAX: Final = 64
MODE: Final = 0o100755  # an ordinary file that can be executed
BLOCK_BYTES: Final = 512
STAT: Final = struct.Struct(">IIIIIIIQQQIII")  # dev ino mode nlink uid gid rdev size blksize blocks a/m/ctime


class RemoteFiles:
    """Files by name, and which the client has open."""

    def __init__(self) -> None:
        self._content: Final[dict[str, bytes]] = {}
        self._open: Final[dict[int, str]] = {}

    def add(self, name: str, content: bytes) -> str:
        """Have `content` under `name` or one like it; returns the path."""
        count = 1
        while True:
            path = f"/{name}" if count == 1 else f"/{name}~{count}"
            if self._content.setdefault(path, content) == content:
                return path
            count += 1

    def answer(self, operation: bytes, arguments: list[bytes]) -> bytes:
        """Carry out vFile:operation:arguments; raises Refused for what is no request."""
        if operation == b"setfs":
            return b"F0"
        if operation == b"open" and len(arguments) == 3:
            return self._open_file(unhex(arguments[0]).decode(errors="replace"), number(arguments[1]))
        if operation == b"close" and len(arguments) == 1:
            return b"F0" if self._open.pop(number(arguments[0]), None) is not None else _failed(EBADF)
        if operation == b"fstat" and len(arguments) == 1:
            return self._stat(self._open.get(number(arguments[0])))
        if operation in (b"stat", b"lstat") and len(arguments) == 1:
            path = unhex(arguments[0]).decode(errors="replace")
            return self._stat(path) if path in self._content else _failed(ENOENT)
        if operation == b"pread" and len(arguments) == 3:
            return self._read(*(number(argument) for argument in arguments))
        return _failed(EINVAL) if operation == b"readlink" else b""

    def _open_file(self, path: str, flags: int) -> bytes:
        if path not in self._content or flags & 3:
            return _failed(ENOENT)
        fd = next((fd for fd in range(OPEN_MAX) if fd not in self._open), None)
        if fd is None:
            return _failed(EBADF)
        self._open[fd] = path
        return b"F%x" % fd

    def _read(self, fd: int, count: int, offset: int) -> bytes:
        path = self._open.get(fd)
        if path is None:
            return _failed(EBADF)
        data = self._content[path][offset : offset + min(count, READ_MAX)]
        return b"F%x;%b" % (len(data), data)

    def _stat(self, path: str | None) -> bytes:
        if path is None:
            return _failed(EBADF)
        inode = 1 + list(self._content).index(path)
        size = len(self._content[path])
        blocks = (size + BLOCK_BYTES - 1) // BLOCK_BYTES
        data = STAT.pack(0, inode, MODE, 1, 0, 0, 0, size, BLOCK_BYTES, blocks, 0, 0, 0)
        return b"F%x;%b" % (len(data), data)


READ_MAX: Final = 0x4000
"""Bytes in one answer: escaped they are still less than a packet."""


def _failed(error: int) -> bytes:
    return b"F-1,%x" % error
