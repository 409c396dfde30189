"""The year of the course that the programs of an image were built for, as far as they show it.

Called by drives.py for each image.  A program of the course's own repository keeps its symbols, and the
library that is linked to every one changed with the years:

    2025        sbrk() is a function, and what it calls is sys_sbrk
    2024        a program begins in start()
    2022, 2023  a program begins in _main()
    until 2021  a program begins in main()

The kernels of 2022 and 2023 are one for programs, and so are those of 2019 to 2021 but for the lab on lazy
allocation, which has a program of its own.  Where the shell is not the course's nothing is known.
"""

from typing import TYPE_CHECKING, Final

from kernel.abi import elf

if TYPE_CHECKING:
    from toolchain.fsimage import FsImage

SHELL, LAZY_TEST = "/sh", "/lazytests"
OF_THE_COURSE: Final = (b"runcmd", b"parsecmd", b"getcmd")  # functions of its shell
BUILT: Final = {b"sys_sbrk": 2025, b"start": 2024, b"_main": 2022, b"main": 2021}  # the first that there is


def year_of(fs: "FsImage") -> int | None:
    """The last year, or one that is the same to programs, of the course whose programs are on the image."""
    paths = {entry.path: entry.ino for entry in fs.walk()}
    if SHELL not in paths:
        return None
    shell = fs.content(fs.inode(paths[SHELL]))
    header = elf.Header.unpack(shell)
    names = elf.symbol_names(shell, header) if header is not None else b""
    if not all(b"\0%b\0" % name in names for name in OF_THE_COURSE):
        return None
    year = next((year for name, year in BUILT.items() if b"\0%b\0" % name in names), None)
    return 2020 if year == 2021 and LAZY_TEST in paths else year
