"""The descriptors of a process: the small numbers by which it names open files; its current directory.

Made by fork as a copy that shares the open files, closed by exit.  The system calls on files ask it for the
file behind a number and for a number that is free.
"""

from errno import EBADF, EMFILE
from typing import TYPE_CHECKING

from kernel.abi.param import NOFILE
from kernel.errors import SyscallError

if TYPE_CHECKING:
    from kernel.fs.file import File
    from kernel.fs.vfs import Inode


class DescriptorTable:
    """`ofile` are the open files by descriptor, None where one is free; `cwd` is the current directory."""

    def __init__(self) -> None:
        self.ofile: list[File | None] = [None] * NOFILE
        self.cwd: Inode | None = None

    def file(self, fd: int) -> "File":
        """The open file that a descriptor names."""
        ofile = self.ofile
        f = ofile[fd] if 0 <= fd < len(ofile) else None
        if f is None:
            raise SyscallError(EBADF, f"descriptor {fd} is not open")
        return f

    def free(self) -> int:
        """The lowest descriptor that is free."""
        if None not in self.ofile:
            raise SyscallError(EMFILE, f"{len(self.ofile)} descriptors are open")
        return self.ofile.index(None)
