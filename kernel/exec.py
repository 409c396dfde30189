"""exec: replace a process's memory with a program.

The new address space is built beside the old one, which is freed only when nothing can fail any more:

    | text R-X | data RW- | guard | stack RW- | heap ...
    0                     page-aligned

Segments may come in any order and overlap, as in xv6: each extends memory up to its own end, with its rights,
and overwrites what is there.  So a page has the rights of the first segment that reached it, and the bytes of
the last one.

The stack has one page, which stock programs rely on.  A program that asks for more by PT_GNU_STACK, as ours
do, gets up to USERSTACK pages in the years whose kernels support that; a machine may be set to give every
program the same number.  On the stack, from the top down: the argument strings, each 16-aligned, then argv
with its NULL.
"""

from collections.abc import Callable, Mapping
from errno import ENOEXEC
from typing import Final, NamedTuple, TypeAlias

from emu.cpu.hart import EVEN
from kernel.abi import elf
from kernel.abi.memlayout import PGMASK, PGSIZE, USYSCALL
from kernel.abi.param import MAXARG, SEGMENTS_MAX, USERSTACK, USERSTACK_SINCE
from kernel.abi.riscv import PTE_R, PTE_W, PTE_X
from kernel.errors import OutOfMemory, SyscallError
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import Inode
from kernel.mm.cow import CopyOnWrite
from kernel.mm.mmap import Mmap
from kernel.mm.pagetable import VirtualMemory, pgroundup
from kernel.mm.space import AddressSpace
from kernel.mm.text import TextCache
from kernel.mm.usercopy import UserCopy
from kernel.proc import Process, process_name
from kernel.thread import TF_A1, TF_EPC, TF_SP

POINTER: Final = 8

Read: TypeAlias = Callable[[int, int], bytes]
"""read(offset, n): up to n bytes of the program's file."""


class BadProgram(SyscallError):
    """The file is not an executable; the text says why."""

    def __init__(self, why: str) -> None:
        super().__init__(ENOEXEC, why)


class Memory(NamedTuple):
    """What an address space is built with."""

    vm: VirtualMemory
    cow: CopyOnWrite
    text: TextCache
    usercopy: UserCopy


class Exec:
    """Runs programs in processes.

    `modules` are programs that are on no disk, by their paths; `namei(p, path)` finds a file.  `lab` is the
    year of the course, and `ustack` how many pages every stack has; 0: as the program asks.
    """

    def __init__(
        self,
        memory: Memory,
        mmap: Mmap,
        inodes: InodeTable,
        namei: Callable[[Process, bytes], Inode],
        trampoline_pa: int,
        modules: Mapping[bytes, bytes],
        lab: int,
        ustack: int,
    ) -> None:
        self._memory: Final = memory
        self._mmap: Final = mmap
        self._inodes: Final = inodes
        self._namei: Final = namei
        self._trampoline_pa: Final = trampoline_pa
        self._modules: Final = modules
        self._stack_pages_max: Final = USERSTACK if lab >= USERSTACK_SINCE else 1
        self._ustack: Final = ustack

    def run(self, p: Process, path: bytes, argv: list[bytes]) -> int:
        """Run the program at `path` in `p`; returns argc, its a0. SyscallError leaves `p` as it was."""
        module = self._modules.get(path)
        if module is not None and self._is_start(p):
            new = self._build_module(p, argv, module)
        else:
            with self._inodes.reaping():
                try:
                    ip = self._namei(p, path)
                except SyscallError:
                    if module is None:
                        raise
                    new = self._build_module(p, argv, module)
                else:
                    with ip.borrowed():
                        new = self._build(p, argv, ip, ip.read)
        self._commit(p, path, new)
        return len(argv)

    @staticmethod
    def _is_start(p: Process) -> bool:
        """Whether what `p` execs is what the machine was started for: `p` is process 1, or init's child.

        That program comes before a file of the disk of the same name. Any other exec is a program's own, and
        takes the disk's, where there is one.
        """
        return p.parent is None or (p.parent.parent is None and p.name == p.parent.name)

    def _build_module(self, p: Process, argv: list[bytes], module: bytes) -> "_Program":
        return self._build(p, argv, None, lambda offset, n: module[offset : offset + n])

    def _build(self, p: Process, argv: list[bytes], ip: Inode | None, read: Read) -> "_Program":
        """Build the new address space; on an error it is freed again."""
        vm, usyscall_pa = self._memory.vm, p.space.usyscall_pa
        root = vm.create_user(p.thread.trapframe_pa, self._trampoline_pa, usyscall_pa)
        new = _Program(self._memory, AddressSpace(root, usyscall_pa), ip, read)
        try:
            new.load()
            new.push_stack(argv, self._stack_pages(new.stack_wanted))
        except SyscallError:
            vm.free_user(new.space, new.space.sz)
            raise
        return new

    def _stack_pages(self, wanted: int) -> int:
        """The pages of stack for a program that asks for `wanted` bytes."""
        return self._ustack or max(1, min(pgroundup(wanted) // PGSIZE, self._stack_pages_max))

    def _commit(self, p: Process, path: bytes, new: "_Program") -> None:
        """Switch `p` to the new address space; nothing can fail here."""
        self._mmap.drop_all(p.space)
        self._memory.vm.free_user(p.space, p.space.sz)
        p.space = new.space
        tf = p.thread.tf
        tf[TF_EPC], tf[TF_SP], tf[TF_A1] = new.entry & EVEN, new.sp, new.sp
        p.name = process_name(path)
        p.traits.on_exec()


class _Program:
    """An address space under construction; its `sz` is how much of it there is to free."""

    def __init__(self, memory: Memory, space: AddressSpace, ip: Inode | None, read: Read) -> None:
        self._memory: Final = memory
        self.space: Final = space
        self._ip = ip
        self._read = read
        self.entry = 0
        self.sp = 0  # where argv is
        self.stack_wanted = 0  # bytes that the file asks for
        self._stack_bytes = 0
        self._pushed = b""  # what is on the stack, from sp up

    def load(self) -> None:
        """Map and fill the segments."""
        header = elf.Header.unpack(self._read(0, elf.HEADER_SIZE))
        if header is None:
            raise BadProgram("no ELF magic")
        if header.phnum > SEGMENTS_MAX:
            raise BadProgram("too many segments")
        table = self._read(header.phoff, header.phnum * elf.PROGRAM_SIZE)
        if len(table) < header.phnum * elf.PROGRAM_SIZE:
            raise BadProgram("truncated program header")
        for at in range(0, len(table), elf.PROGRAM_SIZE):
            segment = elf.Segment.unpack(table[at : at + elf.PROGRAM_SIZE])
            if segment.type == elf.PT_LOAD:
                self._load_segment(segment)
            elif segment.type == elf.PT_GNU_STACK:
                self.stack_wanted = segment.memsz
        self.entry = header.entry

    def _load_segment(self, segment: elf.Segment) -> None:
        end = segment.vaddr + segment.memsz
        if segment.memsz < segment.filesz or end > USYSCALL or segment.vaddr & PGMASK:
            raise BadProgram("bad segment")
        flags = segment.flags
        perm = PTE_R | (PTE_X if flags & elf.PF_X else 0) | (PTE_W if flags & elf.PF_W else 0)
        keeps = self._ip is not None and not self._ip.writable_mappings  # or stores to the file would show
        shares = perm == PTE_R | PTE_X and keeps and segment.vaddr >= pgroundup(self.space.sz)
        self._grow_to(segment.vaddr if shares else end, perm)
        for va in range(segment.vaddr, segment.vaddr + segment.memsz, PGSIZE):
            size = max(0, min(PGSIZE, segment.vaddr + segment.filesz - va))
            offset = segment.offset + va - segment.vaddr
            if shares:
                self._map_text(va, offset, size)
            elif size:
                self._fill(va, self._read_exactly(offset, size))

    def _grow_to(self, sz: int, perm: int) -> None:
        if sz > self.space.sz:
            self._memory.vm.grow(self.space, self.space.sz, sz, perm)
            self.space.sz = sz

    def _map_text(self, va: int, offset: int, size: int) -> None:
        assert self._ip is not None, "only a file's text is shared"
        pa = self._memory.text.frame(self._ip, offset, size, self._read_exactly)
        if not pa:
            raise OutOfMemory
        self._memory.vm.map_shared(self.space, va, pa, PTE_R | PTE_X)
        self.space.sz = va + PGSIZE

    def _read_exactly(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if len(data) != size:
            raise BadProgram("truncated segment")
        return data

    def _fill(self, va: int, data: bytes) -> None:
        """Store at a mapped page, whatever its rights. A shared text page is copied first."""
        self._memory.cow.own_page(self.space, va)
        self._memory.usercopy.store(self.space, va, data)

    def push_stack(self, argv: list[bytes], pages: int) -> None:
        """Map the guard page and a stack of `pages` pages, and push `argv`."""
        if len(argv) > MAXARG:
            raise BadProgram("too many arguments")
        base = pgroundup(self.space.sz)
        top = base + (1 + pages) * PGSIZE
        self._grow_to(base + PGSIZE, PTE_R | PTE_W)
        self._memory.vm.forbid(self.space, base)  # apart from the stack, which may have a superpage
        self._grow_to(top, PTE_R | PTE_W)
        self.sp, self._stack_bytes = top, pages * PGSIZE
        pointers = [self._push(arg + b"\0") for arg in argv]
        self._push(b"".join(va.to_bytes(POINTER, "little") for va in [*pointers, 0]))
        self._memory.usercopy.store(self.space, self.sp, self._pushed)

    def _push(self, data: bytes) -> int:
        size = self.sp - (self.sp - len(data) & ~15)
        self.sp -= size
        self._pushed = data.ljust(size, b"\0") + self._pushed
        if len(self._pushed) > self._stack_bytes:
            raise BadProgram("the arguments do not fit on the stack")
        return self.sp
