"""The interface of a device: registers that the bus reads and writes, and an interrupt line.

A device is a block of registers that is read and written by offset. It belongs to one machine and runs
only inside a bus access or an event. A guest may do anything to it: an access that means nothing reads 0 or
is ignored, and never raises.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

# An interrupt line, called with its level. True while the line is high already means a new reason to look,
# which counts (emu/dev/plic.py says why); False again changes nothing.
SetLevel = Callable[[bool], None]


class Digest(Protocol):
    """As hashlib's objects."""

    def update(self, data: bytes | memoryview, /) -> None: ...


class Device(Protocol):
    """A block of registers. Offsets are in bytes from where the bus has it, aligned to the size."""

    # Whether the device takes 8-byte accesses whole. If not the bus makes two of 4 bytes, low half first.
    takes_8_bytes: ClassVar[bool] = False

    def load(self, offset: int, size: int) -> int:
        """The `size` bytes (1, 2, 4; 8 where it takes them) at `offset`, zero-extended."""
        ...

    def store(self, offset: int, size: int, value: int) -> None:
        """Write the `size` low bytes `value`, which has no bits above them, at `offset`."""
        ...

    def digest_update(self, digest: Digest) -> None:
        """Feed to `digest` what the device stores for long, as a disk does; most have nothing of the kind."""
        return

    def status(self) -> str:
        """How the device stands, in a few words for a person; reads no register that reading changes."""
        return ""
