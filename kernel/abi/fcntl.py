"""Modes of open() and the kinds of file that stat() reports."""

from typing import Final

O_RDONLY: Final = 0x000
O_WRONLY: Final = 0x001
O_RDWR: Final = 0x002
O_CREATE: Final = 0x200
O_TRUNC: Final = 0x400

T_DIR: Final = 1
T_FILE: Final = 2
T_DEVICE: Final = 3
