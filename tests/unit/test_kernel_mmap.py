"""mmap without a hart: which error each wrong call gets, and anonymous memory against a model by the byte.

Files need a disk and processes that run: tests/system/test_mmap.py, and mmaptest on the guest's side.
"""

from errno import EACCES, EBADF, EINVAL, ENODEV, ENOMEM, EOVERFLOW
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emu.board import Board
from emu.board_map import virt
from emu.cpu.public import PublicEngine
from emu.dev.drive import RamDrive
from kernel.abi.fcntl import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_ASYNC,
    MS_INVALIDATE,
    MS_SYNC,
    PROT_EXEC,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    T_DEVICE,
    T_DIR,
    T_FILE,
)
from kernel.abi.memlayout import MAXVA, PGSIZE, TRAPFRAME, USYSCALL
from kernel.abi.param import NOFILE
from kernel.abi.riscv import PTE_R, PTE_W
from kernel.errors import BadAddress, OutOfMemory, SyscallError
from kernel.fs.file import DeviceFile, InodeFile
from kernel.fs.pipe import Pipe, PipeEnd
from kernel.fs.vfs import Inode
from kernel.kernel import Kernel
from kernel.mm.mmap import MMAP_TOP
from kernel.mm.vma import Vma
from kernel.proc import Process
from kernel.xv6.personality import Xv6
from kernel.xv6.sysmem import sys_mmap, sys_mprotect, sys_msync, sys_munmap
from toolchain import image

RW = PROT_READ | PROT_WRITE
ANON = MAP_ANONYMOUS | MAP_PRIVATE
HEAP = 3 * PGSIZE + 1
U64 = 1 << 64
# descriptors
BOTH, READS, WRITES, DIRECTORY, DEVICE, PIPE, CLOSED = range(7)


def kernel() -> Kernel:
    board = Board(4, PublicEngine, virt(RamDrive(bytes(1 << 20)), lambda byte: None))
    k = Kernel(board, image.kernel_elf(), Xv6)
    k.start()
    k.sched.current = k.procs.init.thread
    return k


def inode(k: Kernel, kind: int) -> Inode:
    ip = Inode(k.fs, 1, k, k.inodes)
    ip.ref, ip.valid, ip.type, ip.size = 1, True, kind, PGSIZE
    return ip


@pytest.fixture(scope="module")
def k() -> Kernel:
    k = kernel()
    p = k.procs.init
    p.space.sz = HEAP
    file = inode(k, T_FILE)
    p.files.ofile[:6] = [
        InodeFile(file, True, True),
        InodeFile(file, True, False),
        InodeFile(file, False, True),
        InodeFile(inode(k, T_DIR), True, False),
        DeviceFile(inode(k, T_DEVICE), True, True, {}),
        PipeEnd(Pipe(k.waits), writer=False),
    ]
    sys_mmap(k, p, 0, 2 * PGSIZE, PROT_READ, MAP_SHARED, READS, 0)
    return k


MAPPED = MMAP_TOP - 2 * PGSIZE  # two pages, of a file that cannot be written


def check_error(k: Kernel, code: int, call: Any, *args: int) -> None:
    before = list(k.procs.init.space.vmas)
    with pytest.raises(SyscallError) as error:
        call(k, k.procs.init, *args)
    assert error.value.code == code
    assert list(k.procs.init.space.vmas) == before


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        (EINVAL, {"flags": 0}),
        (EINVAL, {"flags": MAP_SHARED | MAP_PRIVATE}),
        (EINVAL, {"flags": MAP_SHARED | 0x40}),
        (EINVAL, {"flags": -1}),
        (EINVAL, {"flags": MAP_ANONYMOUS}),
        (EINVAL, {"prot": 8}),
        (EINVAL, {"prot": -1}),
        (EACCES, {"prot": RW | PROT_EXEC}),
        (EACCES, {"prot": PROT_WRITE | PROT_EXEC, "flags": ANON}),
        (EINVAL, {"length": 0}),
        (ENOMEM, {"length": MAXVA}),
        (ENOMEM, {"length": U64 - 1}),
        (ENOMEM, {"length": U64 - PGSIZE, "flags": ANON}),
        (ENOMEM, {"length": MMAP_TOP - HEAP, "flags": ANON}),
        (EINVAL, {"offset": 1}),
        (EINVAL, {"offset": U64 - 1}),
        (EOVERFLOW, {"offset": U64 - PGSIZE}),
        (EOVERFLOW, {"offset": (1 << 63) - PGSIZE}),
        (EBADF, {"fd": CLOSED}),
        (EBADF, {"fd": -1}),
        (EBADF, {"fd": NOFILE}),
        (ENODEV, {"fd": DIRECTORY, "prot": PROT_READ}),
        (ENODEV, {"fd": DEVICE}),
        (ENODEV, {"fd": PIPE, "prot": PROT_READ}),
        (EACCES, {"fd": WRITES}),
        (EACCES, {"fd": WRITES, "prot": PROT_NONE}),
        (EACCES, {"fd": WRITES, "flags": MAP_PRIVATE}),
        (EACCES, {"fd": READS}),
        (EACCES, {"fd": READS, "prot": PROT_WRITE}),
        (EINVAL, {"addr": 0x10001, "flags": ANON | MAP_FIXED}),
        (EINVAL, {"addr": 0, "flags": ANON | MAP_FIXED}),
        (EINVAL, {"addr": HEAP - 1, "flags": ANON | MAP_FIXED}),
        (ENOMEM, {"addr": MMAP_TOP, "flags": ANON | MAP_FIXED}),
        (ENOMEM, {"addr": MMAP_TOP - PGSIZE, "length": PGSIZE + 1, "flags": ANON | MAP_FIXED}),
        (ENOMEM, {"addr": TRAPFRAME, "flags": ANON | MAP_FIXED}),
        (ENOMEM, {"addr": U64 - PGSIZE, "flags": ANON | MAP_FIXED}),
    ],
)
def test_mmap_fails(k: Kernel, code: int, changed: dict[str, int]) -> None:
    args = {"addr": 0, "length": PGSIZE, "prot": RW, "flags": MAP_SHARED, "fd": BOTH, "offset": 0} | changed
    check_error(k, code, sys_mmap, *args.values())


@pytest.mark.parametrize(
    ("code", "call", "args"),
    [
        (EINVAL, sys_munmap, (MAPPED + 1, PGSIZE)),
        (EINVAL, sys_munmap, (MAPPED, 0)),
        (EINVAL, sys_munmap, (MAPPED, 3 * PGSIZE)),
        (EINVAL, sys_munmap, (MAPPED, U64 - 1)),
        (EINVAL, sys_munmap, (0, PGSIZE)),
        (EINVAL, sys_munmap, (3 * PGSIZE, PGSIZE)),
        (EINVAL, sys_munmap, (USYSCALL, PGSIZE)),
        (EINVAL, sys_munmap, (U64 - PGSIZE, PGSIZE)),
        (EINVAL, sys_mprotect, (MAPPED + 1, PGSIZE, PROT_READ)),
        (EINVAL, sys_mprotect, (0, PGSIZE, PROT_READ)),
        (EINVAL, sys_mprotect, (MAPPED, PGSIZE, 8)),
        (EINVAL, sys_mprotect, (MAPPED, PGSIZE, -1)),
        (EACCES, sys_mprotect, (MAPPED, PGSIZE, PROT_WRITE | PROT_EXEC)),
        (EACCES, sys_mprotect, (MAPPED, PGSIZE, RW)),
        (ENOMEM, sys_mprotect, (MAPPED - PGSIZE, 2 * PGSIZE, PROT_READ)),
        (EINVAL, sys_msync, (MAPPED + 1, PGSIZE, MS_SYNC)),
        (EINVAL, sys_msync, (MAPPED, PGSIZE, 8)),
        (EINVAL, sys_msync, (MAPPED, PGSIZE, MS_SYNC | MS_ASYNC)),
        (ENOMEM, sys_msync, (MAPPED - PGSIZE, 2 * PGSIZE, MS_SYNC)),
    ],
)
def test_the_other_calls_fail(k: Kernel, code: int, call: Any, args: tuple[int, ...]) -> None:
    check_error(k, code, call, *args)


def test_what_is_no_error(k: Kernel) -> None:
    p = k.procs.init
    assert sys_munmap(k, p, MAPPED - 5 * PGSIZE, 4 * PGSIZE) == 0, "nothing was mapped there"
    assert sys_mprotect(k, p, MAPPED, 0, RW) == sys_msync(k, p, MAPPED, 0, 0) == 0
    assert sys_msync(k, p, MAPPED, 2 * PGSIZE, MS_ASYNC | MS_INVALIDATE) == 0
    start = sys_mmap(k, p, 0, 1, PROT_READ | PROT_EXEC, ANON, CLOSED, PGSIZE)
    assert list(p.space.vmas) == [
        Vma(start, start + PGSIZE, PROT_READ | PROT_EXEC, ANON, None, start),
        Vma(MAPPED, MMAP_TOP, PROT_READ, MAP_SHARED, p.files.ofile[READS].ip, 0, None, False),  # type: ignore[union-attr]
    ]


# --- anonymous memory against a model ---

BASE = 0x1000_0000 - 20 * PGSIZE  # so that a table's end is in the middle
SPAN = 40  # pages
PROTS = st.sampled_from([PROT_NONE, PROT_READ, PROT_WRITE, RW])


class Cell:
    """The first byte of a page; shared by those who share the page."""

    def __init__(self, value: int = 0) -> None:
        self.value = value


class Page:
    """A page of the model: what is in it and what its process may do."""

    def __init__(self, prot: int, shared: bool, cell: Cell) -> None:
        self.prot, self.shared, self.cell = prot, shared, cell


class Anonymous(RuleBasedStateMachine):
    """mmap, munmap, mprotect, fork, loads and stores, now and then without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.k = kernel()
        self.k.procs.init.files.cwd = inode(self.k, T_DIR)
        self.free = self.k.frames.free_frames
        self.models: dict[Process, dict[int, Page]] = {self.k.procs.init: {}}
        self.hoard: list[int] = []

    def chosen(self, which: int) -> Process:
        return list(self.models)[which % len(self.models)]

    @rule(
        which=st.integers(0, 5),
        first=st.integers(0, SPAN - 1),
        count=st.integers(1, 12),
        prot=PROTS,
        shared=st.booleans(),
    )
    def map(self, which: int, first: int, count: int, prot: int, shared: bool) -> None:
        p = self.chosen(which)
        flags = MAP_ANONYMOUS | MAP_FIXED | (MAP_SHARED if shared else MAP_PRIVATE)
        try:
            sys_mmap(self.k, p, BASE + first * PGSIZE, count * PGSIZE, prot, flags, -1, 0)
        except OutOfMemory:
            assert self.hoard
            return
        for page in range(first, first + count):
            self.models[p][page] = Page(prot, shared, Cell())

    @rule(which=st.integers(0, 5), first=st.integers(0, SPAN - 1), count=st.integers(1, 20))
    def unmap(self, which: int, first: int, count: int) -> None:
        p = self.chosen(which)
        try:
            assert sys_munmap(self.k, p, BASE + first * PGSIZE, count * PGSIZE) == 0
        except OutOfMemory:
            assert self.hoard
            return
        for page in range(first, first + count):
            self.models[p].pop(page, None)

    @rule(which=st.integers(0, 5), first=st.integers(0, SPAN - 1), count=st.integers(1, 8), prot=PROTS)
    def protect(self, which: int, first: int, count: int, prot: int) -> None:
        p = self.chosen(which)
        pages = range(first, first + count)
        try:
            sys_mprotect(self.k, p, BASE + first * PGSIZE, count * PGSIZE, prot)
        except OutOfMemory:
            assert self.hoard
            for page in pages:  # a first part may have them
                vma = p.space.vmas.find(BASE + page * PGSIZE)
                assert vma is not None and vma.prot in (prot, self.models[p][page].prot)
                self.models[p][page].prot = vma.prot
            return
        except SyscallError as error:
            assert error.code == ENOMEM and any(page not in self.models[p] for page in pages)
            return
        for page in pages:
            self.models[p][page].prot = prot

    @rule(which=st.integers(0, 5), page=st.integers(0, SPAN + 5))
    def load(self, which: int, page: int) -> None:
        p = self.chosen(which)
        known = self.models[p].get(page)
        try:
            found = self.k.copyin(p.space, BASE + page * PGSIZE, 1)[0]
        except BadAddress:
            assert self.hoard or not known or known.prot == PROT_NONE
        else:
            assert known and known.prot and found == known.cell.value

    @rule(which=st.integers(0, 5), page=st.integers(0, SPAN + 5), value=st.integers(1, 255))
    def store(self, which: int, page: int, value: int) -> None:
        p = self.chosen(which)
        known = self.models[p].get(page)
        try:
            self.k.copyout(p.space, BASE + page * PGSIZE, bytes([value]))
        except BadAddress:
            assert self.hoard or not known or not known.prot & PROT_WRITE
        else:
            assert known and known.prot & PROT_WRITE
            known.cell.value = value

    @rule(which=st.integers(0, 5))
    def fork(self, which: int) -> None:
        parent = self.chosen(which)
        if len(self.models) == 4:
            return
        try:
            child = self.k.procs.find(self.k.procs.fork(parent))
        except OutOfMemory:
            assert self.hoard
            return
        assert child is not None
        self.models[child] = {
            page: Page(known.prot, known.shared, known.cell if known.shared else Cell(known.cell.value))
            for page, known in self.models[parent].items()
        }

    @rule(which=st.integers(0, 5))
    def exit(self, which: int) -> None:
        if len(self.models) > 1:
            p = list(self.models)[1 + which % (len(self.models) - 1)]  # not init
            self.k.mmap.drop_all(p.space)
            self.k.procs.freeproc(p)
            del self.models[p]

    @rule(left=st.integers(0, 3))
    def run_short_of_memory(self, left: int) -> None:
        while pa := self.k.frames.alloc():
            self.hoard.append(pa)
        self.give_back(left)

    @rule()
    def have_memory_again(self) -> None:
        self.give_back(len(self.hoard))

    def give_back(self, count: int) -> None:
        for _ in range(min(count, len(self.hoard))):
            self.k.frames.free(self.hoard.pop())

    @invariant()
    def the_lists_say_what_the_model_says(self) -> None:
        for p, model in self.models.items():
            listed = {
                (va - BASE) // PGSIZE: (vma.prot, vma.shared)
                for vma in p.space.vmas
                for va in range(vma.start, vma.end, PGSIZE)
            }
            assert listed == {page: (known.prot, known.shared) for page, known in model.items()}

    @invariant()
    def no_page_may_be_used_more_than_allowed(self) -> None:
        for p, model in self.models.items():
            for va, _, pte in self.k.vm.leaves(p.space, BASE, BASE + 100 * PGSIZE):
                prot = model[(va - BASE) // PGSIZE].prot
                assert not pte & PTE_W or prot & PROT_WRITE
                assert bool(pte & PTE_R) and bool(pte & 16) == bool(prot)

    def teardown(self) -> None:
        self.have_memory_again()
        for p in list(self.models):
            self.k.mmap.drop_all(p.space)
            if p is not self.k.procs.init:
                self.k.procs.freeproc(p)
        # what is left are tables, which stay until their process goes
        assert self.free - self.k.frames.free_frames <= 3


TestAnonymous = pytest.mark.slow(Anonymous.TestCase)
TestAnonymous.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
