"""A kernel to exec programs in, for tests: a whole one, started without its hart.

A file is a bytes object behind an inode, read the way Exec reads it, so the pages of its text go through the
shared text too.  After each exec the frames are counted, and none is lost.
"""

from collections.abc import Iterator

from emu.board import Board
from emu.board_map import virt
from emu.cpu.public import PublicEngine
from emu.dev.drive import RamDrive
from kernel.abi.memlayout import PGSIZE, TRAPFRAME
from kernel.abi.riscv import PTE_SUPER, PTE_U, PTE_W, PTE_X
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode
from kernel.kernel import Kernel
from kernel.mm.kalloc import SUPER_FRAMES
from kernel.proc import Process
from kernel.xv6.personality import Xv6
from toolchain import image

MEM_MIB = 4  # so that asking for too much fails soon


class Bench:
    """A kernel with process 1 to run programs in, and the account of its frames."""

    def __init__(self, mem_mib: int = MEM_MIB, **options: int) -> None:
        board = Board(mem_mib, PublicEngine, virt(RamDrive(bytes(1 << 20)), lambda byte: None))
        self.k = Kernel(board, image.kernel_elf(), Xv6, **options)  # type: ignore[arg-type]
        self.k.start()
        self.p: Process = self.k.procs.init
        self.free = self.k.frames.free_frames
        self.own = self.frames_of_process()

    def frames_of_process(self) -> int:
        """Frames that only the process's memory and tables take, root excluded."""
        leaves = {pte >> 10: pte for _, _, pte in self.k.vm.leaves(self.p.space, 0, self.p.space.sz)}
        mapped = sum(SUPER_FRAMES if pte & PTE_SUPER else 1 for pte in leaves.values())
        tables, words = 0, self.k.ram.u64
        for level2 in self.table(self.p.space.root):
            tables += 1 + sum(not words[i] & PTE_SUPER for i in self.table(words[level2] >> 10 << 12))
        return mapped + tables

    def table(self, pa: int) -> Iterator[int]:
        first = (pa - self.k.ram.base) // 8
        return (i for i in range(first, first + 512) if self.k.ram.u64[i] & 1)

    def exec(self, program: bytes, argv: list[bytes] | None = None) -> int:
        """Run it in process 1 as a file of its own; the result, after checking that nothing was lost."""
        k, p = self.k, self.p
        before = p.space.root, p.space.sz, p.thread.tf.tolist()
        ip = Inode(k.fs, 5, k, k.inodes)
        argv = argv or [b"echo"]
        try:
            new = k.exec._build(p, argv, ip, lambda offset, n: program[offset : offset + n])
            k.exec._commit(p, b"/bin/sh", new)
            self.check_rights()
            result = len(argv)
        except SyscallError:
            assert (p.space.root, p.space.sz, p.thread.tf.tolist()) == before, "the old program goes on"
            result = -1
        self.check_text(ip, program)
        k.text.drop(ip)
        assert k.frames.free_frames == self.free - (self.frames_of_process() - self.own)
        return result

    def check_text(self, ip: Inode, program: bytes) -> None:
        for (offset, size), pa in self.k.text.inodes.get(ip, {}).items():
            shared = program[offset : offset + size].ljust(PGSIZE, b"\0")
            assert self.k.ram.view(pa, PGSIZE) == shared, "what others run is what the file says"

    def check_rights(self) -> None:
        for va, _, pte in self.k.vm.leaves(self.p.space, 0, TRAPFRAME):
            assert va < self.p.space.sz, "nothing is mapped beyond the size"
            if pte & PTE_W and pte & PTE_X:
                assert pte & PTE_U  # a segment that asked for both, of a program that was made so
