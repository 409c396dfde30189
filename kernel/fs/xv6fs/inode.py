"""An inode in memory: what the kernel knows of a file, apart from its names and its bytes.

Made, looked up, locked and changed by FileSystem only (filesystem.py tells the protocol); everybody else
holds references and reads the fields under the lock.
"""

from typing import TYPE_CHECKING, Final

from kernel.abi.disk import NADDRS
from kernel.sleeplock import SleepLock

if TYPE_CHECKING:
    from kernel.kernel import Kernel

NO_ADDRS: Final = (0,) * NADDRS


class Inode:
    """Inode `inum` of device `dev` in memory; the fields behind `valid` are the disk's, once it is True.

    `addrs` has the block numbers that a Layout (kernel/abi/disk.py) tells of; 0 is none.
    `text` belongs to exec: what it keeps of the program in this file.  `pages` belongs to the page cache: its
    frames by page index.  `mappings` counts where mmap has mapped the file, `writable_mappings` those of them
    through which a program may write to it.
    """

    __slots__ = (
        "addrs", "dev", "dirty", "inum", "lock", "major", "mappings", "minor", "nlink", "pages", "ref",
        "size", "text", "type", "valid", "writable_mappings",
    )  # fmt: skip

    def __init__(self, k: "Kernel", dev: int, inum: int) -> None:
        self.dev: Final = dev
        self.inum: Final = inum
        self.ref = 0
        self.lock: Final = SleepLock(k, self)
        self.text: object | None = None
        self.pages: Final[dict[int, int]] = {}
        self.mappings = 0
        self.writable_mappings = 0
        self.valid = False
        self.type = 0
        self.major = 0
        self.minor = 0
        self.nlink = 0
        self.size = 0
        self.addrs = list(NO_ADDRS)
        self.dirty = False  # a block was mapped since the last iupdate

    def __repr__(self) -> str:
        return f"inode {self.inum}"
