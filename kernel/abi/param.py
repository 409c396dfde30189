"""Every limit of the kernel, in one place, each with the error a program sees when it is reached.

Read by all of kernel/ and, for the disk's own limits, by toolchain/.  All are at least xv6's.
"""

from typing import Final

NCPU: Final = 1
NPROC: Final = 64  # processes; fork returns -1
NOFILE: Final = 16  # open files of one process; open, dup, pipe return -1
NFILE: Final = 256  # open files in all; open, pipe return -1
NINODE: Final = 256  # inodes in memory; open, exec return -1
NDEV: Final = 10  # major device numbers; open of a larger one returns -1
NBUF: Final = 2048  # blocks in the buffer cache; the least recently used clean one is replaced
NVMA: Final = 256  # mappings of one process, a coroutine takes two; mmap, munmap, mprotect return -1
MAXARG: Final = 32  # words of argv; exec returns -1
SEGMENTS_MAX: Final = 64  # program headers of an ELF file; exec returns -1
MAXPATH: Final = 128  # bytes of a path with its NUL; the call returns -1
SYMLINKS_MAX: Final = 10  # symbolic links on the way along one path; the call returns -1
MAXOPBLOCKS: Final = 10  # blocks that one file-system operation may write
LOGBLOCKS: Final = MAXOPBLOCKS * 3  # blocks in the log of an image we make
PIPESIZE: Final = 512  # bytes in a pipe; a writer sleeps
INPUT_BUF_SIZE: Final = 128  # bytes of a console line; further keys are dropped
PGACCESS_MAX: Final = 64  # pages that pgaccess reports at once; more is -1
USERSTACK: Final = 2  # pages of a user stack where the program asks for them; growing past it is a fault
USERSTACK_SINCE: Final = 2024  # the first year in which it is more than one page, see kernel/exec.py
USTACK_MAX: Final = 1024  # pages that a machine can be told to give each stack
FSSIZE: Final = 2000  # blocks of a stock-sized image
ROOTDEV: Final = 1
ROOTINO: Final = 1
CONSOLE: Final = 1  # major number of the console

TICK_PS: Final = 100_000_000_000  # one tick of uptime() and sleep(): 0.1 s of virtual time
