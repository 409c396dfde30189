"""Modes of open(), rights and flags of mmap(), kinds of file that stat() reports, and the like."""

from typing import Final

O_RDONLY: Final = 0x000
O_WRONLY: Final = 0x001
O_RDWR: Final = 0x002
O_CREATE: Final = 0x200
O_TRUNC: Final = 0x400
O_NOFOLLOW: Final = 0x800

PROT_NONE: Final = 0
PROT_READ: Final = 1
PROT_WRITE: Final = 2
PROT_EXEC: Final = 4

MAP_SHARED: Final = 0x01
MAP_PRIVATE: Final = 0x02
MAP_FIXED: Final = 0x10
MAP_ANONYMOUS: Final = 0x20

MS_ASYNC: Final = 1
MS_INVALIDATE: Final = 2
MS_SYNC: Final = 4

T_DIR: Final = 1
T_FILE: Final = 2
T_DEVICE: Final = 3
T_SYMLINK: Final = 4

SEEK_SET: Final = 0
SEEK_CUR: Final = 1
SEEK_END: Final = 2

POLLIN: Final = 0x01
POLLOUT: Final = 0x04
POLLERR: Final = 0x08
POLLHUP: Final = 0x10
