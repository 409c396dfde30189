"""exec: replace a process's memory with a program.

The new address space is built beside the old one, which goes only when nothing can fail any more:

    | text R-X | data RW- | guard | stack RW- | heap ...
    0                     page-aligned

On the stack, from the top down: the argument strings, each 16-aligned, then argv with its NULL.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from kernel.abi import elf
from kernel.abi.memlayout import PGMASK, PGSIZE, TRAPFRAME
from kernel.abi.param import MAXARG, USERSTACK
from kernel.abi.riscv import PTE_R, PTE_W, PTE_X
from kernel.dir import namei
from kernel.errors import BadAddress, SyscallError
from kernel.proc import TF_A1, TF_EPC, TF_SP, Proc
from kernel.vm import OutOfMemory, pgroundup, satp_of

if TYPE_CHECKING:
    from kernel.inode import Inode
    from kernel.kernel import Kernel

SEGMENTS_MAX: Final = 64
POINTER: Final = 8

Read: TypeAlias = Callable[[int, int], bytes]
"""read(offset, n): up to n bytes of the program's file."""


class BadProgram(Exception):
    """The file is not a program that can be run; the text says why."""


def exec_(k: "Kernel", p: Proc, path: bytes, argv: list[bytes]) -> int:
    """Run the program at `path` in `p`; returns argc (which becomes a0), or -1 and leaves `p` as it was."""
    module = k.modules.get(path)
    if module is not None:
        return _load_and_commit(k, p, path, argv, None, lambda offset, n: module[offset : offset + n])
    with k.log:
        ip = namei(k, path)
        with k.fs.borrowed(ip):
            return _load_and_commit(k, p, path, argv, ip, lambda offset, n: k.fs.readi(ip, offset, n))


def _load_and_commit(
    k: "Kernel", p: Proc, path: bytes, argv: list[bytes], ip: "Inode | None", read: Read
) -> int:
    try:
        pagetable = k.vm.create_user(p.trapframe_pa, k.image.trampoline)
    except OutOfMemory:
        return -1
    builder = _AddressSpace(k, pagetable, ip, read)
    try:
        entry = builder.load()
        sp, argv_va = builder.push_stack(argv)
    except (BadProgram, OutOfMemory, SyscallError):
        k.vm.free_user(pagetable, builder.sz)
        return -1
    old_pagetable, old_sz = p.pagetable, p.sz
    p.pagetable, p.satp, p.sz = pagetable, satp_of(pagetable), builder.sz
    p.tf[TF_EPC], p.tf[TF_SP], p.tf[TF_A1] = entry, sp, argv_va
    p.name = path.rsplit(b"/", 1)[-1][:15].decode(errors="replace")
    p.alarm = None
    k.vm.free_user(old_pagetable, old_sz)
    k.vm.changed = True
    return len(argv)


class _AddressSpace:
    """An address space under construction; `sz` is how much of it there is to free."""

    def __init__(self, k: "Kernel", pagetable: int, ip: "Inode | None", read: Read) -> None:
        self._k = k
        self._pagetable = pagetable
        self._ip = ip
        self._read = read
        self.sz = 0

    def load(self) -> int:
        """Map and fill the segments; returns the entry point."""
        header = elf.Header.unpack(self._read(0, elf.HEADER_SIZE))
        if header is None:
            raise BadProgram("no ELF magic")
        if header.phnum > SEGMENTS_MAX:
            raise BadProgram("too many segments")
        for i in range(header.phnum):
            data = self._read(header.phoff + i * elf.PROGRAM_SIZE, elf.PROGRAM_SIZE)
            if len(data) < elf.PROGRAM_SIZE:
                raise BadProgram("truncated program header")
            segment = elf.Segment.unpack(data)
            if segment.type == elf.PT_LOAD:
                self._load_segment(segment)
        return header.entry

    def _load_segment(self, segment: elf.Segment) -> None:
        end = segment.vaddr + segment.memsz
        if segment.memsz < segment.filesz or end > TRAPFRAME or segment.vaddr & PGMASK:
            raise BadProgram("bad segment")
        perm = PTE_R
        if segment.flags & elf.PF_X:
            perm |= PTE_X
        if segment.flags & elf.PF_W:
            perm |= PTE_W
        shares = perm == PTE_R | PTE_X and self._ip is not None and segment.vaddr >= pgroundup(self.sz)
        self._grow_to(segment.vaddr if shares else end, perm)
        for va in range(segment.vaddr, segment.vaddr + segment.memsz, PGSIZE):
            size = max(0, min(PGSIZE, segment.vaddr + segment.filesz - va))
            offset = segment.offset + va - segment.vaddr
            if shares:
                self._map_text(va, offset, size)
            elif size:
                self._fill(va, self._read_exactly(offset, size))
        self._grow_to(end, perm)

    def _grow_to(self, sz: int, perm: int) -> None:
        if sz > self.sz:
            self._k.vm.grow(self._pagetable, self.sz, sz, perm)
            self.sz = sz

    def _map_text(self, va: int, offset: int, size: int) -> None:
        assert self._ip is not None, "only a file's text is shared"
        pa = self._k.text.frame(self._ip, offset, size, self._read_exactly)
        if not pa:
            raise OutOfMemory
        self._k.vm.map_shared(self._pagetable, va, pa, PTE_R | PTE_X)
        self.sz = va + PGSIZE

    def _read_exactly(self, offset: int, size: int) -> bytes:
        data = self._read(offset, size)
        if len(data) != size:
            raise BadProgram("truncated segment")
        return data

    def _fill(self, va: int, data: bytes) -> None:
        """Store at a mapped page, whatever its rights; shared text belongs to others too."""
        k = self._k
        pte = k.ram.u64[k.vm.walk(self._pagetable, va)]
        pa = pte >> 10 << 12
        if k.frames.owners(pa) > 1:
            raise BadProgram("a segment overlaps the text")
        k.ram.view(pa, len(data))[:] = data
        if pte & PTE_X:
            k.drop_code(pa, pa + PGSIZE)

    def push_stack(self, argv: list[bytes]) -> tuple[int, int]:
        """Make the guard page and the stack, push `argv`; returns (sp, address of argv)."""
        if len(argv) > MAXARG:
            raise BadProgram("too many arguments")
        k = self._k
        base = pgroundup(self.sz)
        top = base + (1 + USERSTACK) * PGSIZE
        k.vm.grow(self._pagetable, base, top, PTE_R | PTE_W)
        self.sz = top
        k.vm.forbid(self._pagetable, base)
        sp, limit = top, top - USERSTACK * PGSIZE
        pointers = []
        for arg in argv:
            sp = sp - (len(arg) + 1) & ~15
            self._push(sp, limit, arg + b"\0")
            pointers.append(sp)
        vector = b"".join(va.to_bytes(POINTER, "little") for va in [*pointers, 0])
        sp = sp - len(vector) & ~15
        self._push(sp, limit, vector)
        return sp, sp

    def _push(self, sp: int, limit: int, data: bytes) -> None:
        if sp < limit:
            raise BadProgram("the arguments do not fit on the stack")
        self._k.vm.copyout(self._pagetable, self.sz, sp, data)


def fetch_argv(k: "Kernel", p: Proc, va: int) -> list[bytes]:
    """The argument strings of exec; raises BadAddress, for too many or too long ones too."""
    argv: list[bytes] = []
    while True:
        pointer = int.from_bytes(k.copyin(p, va + POINTER * len(argv), POINTER), "little")
        if not pointer:
            return argv
        if len(argv) == MAXARG - 1:
            raise BadAddress(va)
        argv.append(k.vm.copyinstr(p.pagetable, pointer, PGSIZE))
