"""Character devices: what a driver offers to programs, which reach it through a device file.

A driver is entered in the registry (dev/registry.py) by its major number; DeviceFile in file.py, which open
makes for a device file, finds it by that number and passes on what a program asks for.
"""

from abc import ABC, abstractmethod
from errno import ENOTTY

from kernel.abi.fcntl import POLLIN, POLLOUT
from kernel.errors import SyscallError
from kernel.fs.buffer import Buffer


class CharDevice(ABC):
    """A driver; its operations mean what those of a File do."""

    @abstractmethod
    def read(self, buf: Buffer) -> int: ...

    @abstractmethod
    def write(self, buf: Buffer) -> int: ...

    def ioctl(self, request: int, arg: int) -> int:
        """What only this device can do."""
        raise SyscallError(ENOTTY, "the device has no such request")

    def poll(self) -> int:
        """Which of POLLIN and POLLOUT would not wait."""
        return POLLIN | POLLOUT
