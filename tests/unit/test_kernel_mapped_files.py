"""Mapped files on a real disk and file system, without a hart: which pages come where, and what goes back.

The processes are those of fake_kernel.py, with page tables; a touch is a page fault that nobody's hart made.
"""

from collections.abc import Callable
from typing import Any

import pytest
from fake_kernel import FakeKernel, FakeProc
from test_kernel_pagecache import machine, pattern

from kernel.abi.fcntl import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import NVMA
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_R, PTE_W, PTE_X
from kernel.errors import OutOfMemory, SyscallError
from kernel.mm.cow import CopyOnWrite
from kernel.mm.fault import Pager
from kernel.mm.mmap import AROUND, MMAP_TOP, Mmap
from kernel.mm.pagetable import VirtualMemory, pa_of
from kernel.mm.space import AddressSpace
from kernel.mm.superpage import Superpages
from kernel.mm.usercopy import UserCopy
from kernel.xv6 import sysfile
from kernel.xv6.sysmem import UNMAPPED_MAX, sys_mmap, sys_mprotect, sys_msync, sys_munmap

RW = PROT_READ | PROT_WRITE
BASE = MMAP_TOP - 64 * PGSIZE & -AROUND  # a window of pages that are mapped around a fault begins here


class Procs(list[Any]):
    """The processes, which have page tables, and who of them was killed."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: list[int] = []

    def kill(self, pid: int) -> None:
        self.killed.append(pid)

    def of(self, space: AddressSpace) -> Any:
        return next(p for p in self if p.space is space)


def run(content: bytes, program: Callable[[Any, Any], None]) -> Any:
    """Run program(k, p) where the disk has `content` as /f; gives the kernel."""
    k: Any = machine(content)[0]
    k.dropped = []
    k.drop_code = lambda low, high: k.dropped.append(low)
    k.vm = VirtualMemory(k.ram, k.frames, k.drop_code)
    k.vm.superpages = superpages = Superpages(k.ram, k.frames, k.vm, k.counts)
    k.cow = CopyOnWrite(k.ram, k.frames, k.vm, superpages, k.counts)
    k.procs = Procs()
    k.mmap = Mmap(
        k.ram,
        k.frames,
        k.vm,
        k.cow,
        k.counts,
        k.drop_code,
        k.pages,
        k.inodes,
        lambda: [p.space for p in k.procs],
        lambda space: k.procs.kill(k.procs.of(space).pid),
        lambda space, why: k.lost.append((k.procs.of(space), str(why))),
    )
    k.lost = []
    k.pager = Pager(k.vm, k.cow, superpages, k.counts, k.mmap.page_in)
    k.usercopy = UserCopy(k.ram, k.clock, k.frames, k.vm, k.drop_code, k.pager.fault, lambda: None)
    k.pages.on_truncate = k.mmap.truncated

    def with_space(k: FakeKernel, p: FakeProc) -> None:
        process(k, p)
        program(k, p)
        k.procs[:] = [p]  # its children never ran

    k.call(with_space)
    return k


def process(k: Any, p: Any) -> Any:
    """Give `p` an address space."""
    p.space = AddressSpace(k.vm.create_user(k.ram.base, k.ram.base))
    if p not in k.procs:
        k.procs.append(p)
    return p


def fork(k: Any, p: Any) -> Any:
    child = process(k, FakeProc(p.pid + 100, "child"))
    k.mmap.fork(p.space, child.space, -1)
    return child


def opened(k: Any, p: Any, omode: int = O_RDWR) -> int:
    return sysfile.sys_open(k, p, b"/f", omode)


def map_file(k: Any, p: Any, pages: int, prot: int = RW, flags: int = MAP_SHARED, **more: int) -> int:
    """Map so many pages of /f from page `first` on at page `at` of the window at BASE."""
    at, first = BASE + more.get("at", 0) * PGSIZE, more.get("first", 0) * PGSIZE
    return sys_mmap(k, p, at, pages * PGSIZE, prot, flags, opened(k, p), first)


def mapped(k: Any, p: Any, pages: int = 64) -> list[int]:
    """The pages of the window in which something is mapped, from the one before BASE on."""
    return [page for page in range(-1, pages) if k.vm.pte(p.space, BASE + page * PGSIZE)]


def cache_all(k: Any, p: Any, size: int) -> None:
    """Have all of /f in memory."""
    with p.files.file(opened(k, p)).ip.locked() as ip:
        ip.read(0, size)


def test_behind_the_last_page_of_a_file_there_is_nothing() -> None:
    def program(k: Any, p: Any) -> None:
        at = map_file(k, p, 3)
        assert k.pager.fault(p.space, at + PGSIZE, PTE_R)
        assert not k.pager.fault(p.space, at + 2 * PGSIZE, PTE_R)
        assert mapped(k, p) == [1]

    run(pattern(2 * PGSIZE), program)


def test_what_is_mapped_around_a_fault_is_of_the_mapping_and_of_the_window() -> None:
    size = 40 * PGSIZE

    def program(k: Any, p: Any) -> None:
        cache_all(k, p, size)
        map_file(k, p, 30, PROT_READ, at=5, first=5)
        assert k.pager.fault(p.space, BASE + 6 * PGSIZE, PTE_R)
        assert mapped(k, p) == list(range(5, 16)), "from where it begins to the end of the window"
        assert k.pager.fault(p.space, BASE + 33 * PGSIZE, PTE_R)
        assert mapped(k, p) == [*range(5, 16), *range(32, 35)], "to where it ends"
        for page in mapped(k, p):
            va = BASE + page * PGSIZE
            assert k.usercopy.copyin(p.space, va, 16) == pattern(size)[page * PGSIZE :][:16]

    run(pattern(size), program)


def test_code_is_dropped_for_each_page_that_becomes_executable() -> None:
    def program(k: Any, p: Any) -> None:
        cache_all(k, p, 4 * PGSIZE)
        at = map_file(k, p, 4, PROT_READ)
        assert k.pager.fault(p.space, at, PTE_R) and k.dropped == []
        sys_munmap(k, p, at, 4 * PGSIZE)
        at = map_file(k, p, 4, PROT_READ | PROT_EXEC)
        assert k.pager.fault(p.space, at + PGSIZE, PTE_X)
        frames = [pa_of(k.vm.pte(p.space, at + page * PGSIZE)) for page in range(4)]
        assert sorted(k.dropped) == sorted(frames)

    run(pattern(4 * PGSIZE), program)


def test_a_shared_page_that_may_be_written_again_is_no_copy() -> None:
    def program(k: Any, p: Any) -> None:
        for flags, copied in ((MAP_SHARED, False), (MAP_PRIVATE, True)):
            at = map_file(k, p, 1, RW, flags)
            assert k.pager.fault(p.space, at, PTE_R)
            for prot in (PROT_READ, RW):
                sys_mprotect(k, p, at, PGSIZE, prot)
            pte = k.vm.pte(p.space, at)
            assert bool(pte & PTE_W) != copied and bool(pte & PTE_COW) == copied
            k.usercopy.copyout(p.space, at, b"new")
            ip = p.space.vmas[0].ip
            assert (pa_of(k.vm.pte(p.space, at)) != ip.pages[0]) == copied
            sys_munmap(k, p, at, PGSIZE)

    run(pattern(PGSIZE), program)


def test_a_file_that_is_only_read_may_be_mapped_to_be_written_where_that_stays_private() -> None:
    def program(k: Any, p: Any) -> None:
        fd = opened(k, p, O_RDONLY)
        with pytest.raises(SyscallError):
            sys_mmap(k, p, 0, PGSIZE, RW, MAP_SHARED, fd, 0)
        at = sys_mmap(k, p, 0, PGSIZE, RW, MAP_PRIVATE, fd, 0)
        k.usercopy.copyout(p.space, at, b"mine")
        assert k.usercopy.copyin(p.space, at, 8) == b"mine" + pattern(8)[4:]
        ip = p.space.vmas[0].ip
        assert (ip.mappings, ip.writable_mappings) == (1, 0)
        sys_munmap(k, p, at, PGSIZE)
        assert ip.mappings == 0

    run(pattern(PGSIZE), program)


def test_memory_that_is_shared_lives_as_long_as_somebody_maps_it() -> None:
    def program(k: Any, p: Any) -> None:
        table = sys_mmap(k, p, BASE, PGSIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        k.usercopy.copyout(p.space, table, b"x")
        sys_munmap(k, p, table, PGSIZE)  # the table for it stays
        free = k.frames.free_frames
        at = sys_mmap(k, p, BASE, 2 * PGSIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        k.usercopy.copyout(p.space, at + PGSIZE, b"ours")
        assert free - k.frames.free_frames == 1
        child = fork(k, p)
        k.mmap.drop_all(p.space)
        assert k.usercopy.copyin(child.space, at + PGSIZE, 4) == b"ours"
        k.mmap.drop_all(child.space)
        k.vm.free_user(child.space, 0)
        assert k.frames.free_frames == free

    run(b"", program)


def test_a_fork_for_which_there_is_no_memory_leaves_the_child_none() -> None:
    def program(k: Any, p: Any) -> None:
        for page in (0, 600):  # two tables
            at = sys_mmap(k, p, BASE - page * PGSIZE, PGSIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            k.usercopy.copyout(p.space, at, b"x")
        child = process(k, FakeProc(7, "child"))
        copy, calls = k.cow.copy, []

        def second_fails(*args: Any) -> None:
            calls.append(args)
            if len(calls) == 2:
                raise OutOfMemory
            copy(*args)

        k.cow.copy = second_fails
        with pytest.raises(OutOfMemory):
            k.mmap.fork(p.space, child.space, -1)
        assert len(calls) == 2 and not list(k.vm.leaves(child.space, 0, MMAP_TOP)) and not child.space.vmas

    run(b"", program)


def test_of_a_file_that_is_cut_off_what_is_wholly_behind_its_end_is_unmapped() -> None:
    """Where that takes memory that there is not, the process cannot go on."""

    def program(k: Any, p: Any) -> None:
        at = map_file(k, p, 4, first=0)
        for page in range(4):
            assert k.pager.fault(p.space, at + page * PGSIZE, PTE_R)
        ip = p.space.vmas[0].ip
        ip.size = PGSIZE + 1
        k.mmap.truncated(ip)
        assert mapped(k, p) == [0, 1] and k.procs.killed == []

        def fails(*args: Any) -> None:
            raise OutOfMemory

        unmap, k.vm.unmap = k.vm.unmap, fails
        k.mmap.truncated(ip)
        k.vm.unmap = unmap
        assert k.procs.killed == [p.pid]
        ip.size = 4 * PGSIZE

    run(pattern(4 * PGSIZE), program)


def test_pages_that_were_stored_to_are_written_and_clean_then() -> None:
    """In steps that the log has room for; those behind a page that fails are written too."""
    size = 30 * PGSIZE

    def program(k: Any, p: Any) -> None:
        at = map_file(k, p, 30)
        for page in range(30):
            k.usercopy.copyout(p.space, at + page * PGSIZE, b"%04d" % page)
        before = k.counts.pages_written
        write_page, failing = k.fs.write_page, {3, 7}

        def fails(ip: Any, index: int) -> bool:
            if index in failing:
                raise SyscallError(5, f"page {index}")
            done: bool = write_page(ip, index)
            return done

        k.fs.write_page = fails
        with pytest.raises(SyscallError, match="page 3"):
            sys_msync(k, p, at, size, 0)
        assert k.counts.pages_written - before == 28
        dirty = [page for page in range(30) if k.vm.pte(p.space, at + page * PGSIZE) & PTE_D]
        assert dirty == [3, 7]
        failing.clear()
        assert sys_msync(k, p, at, size, 0) == 0
        assert k.counts.pages_written - before == 30
        with p.space.vmas[0].ip.locked() as ip:
            k.pages.forget(ip)
            assert all(k.fs.read_blocks(ip, page * PGSIZE, 4) == b"%04d" % page for page in range(30))

    run(pattern(size), program)


def test_stores_that_are_lost_are_told_and_nobody_sees_them_in_the_file() -> None:
    def program(k: Any, p: Any) -> None:
        at = map_file(k, p, 1)
        k.usercopy.copyout(p.space, at, b"lost")
        ip = p.space.vmas[0].ip

        def fails(ip: Any, index: int) -> bool:
            raise SyscallError(5, "the disk is full")

        k.fs.write_page = fails
        sys_munmap(k, p, at, PGSIZE)
        assert k.lost == [(p, "EIO: the disk is full")]
        with ip.locked():
            assert ip.read(0, 4) == pattern(4)

    run(pattern(PGSIZE), program)


def test_a_fixed_mapping_begins_at_the_heap_at_the_lowest_and_ends_at_the_top() -> None:
    def program(k: Any, p: Any) -> None:
        p.space.sz = 3 * PGSIZE - 5
        anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        for at in (3 * PGSIZE, MMAP_TOP - 2 * PGSIZE):
            assert sys_mmap(k, p, at, 2 * PGSIZE, RW, anonymous, -1, 0) == at
            assert p.space.heap_max == 3 * PGSIZE, "where the heap must end"

    run(b"", program)


def test_the_last_ranges_that_were_unmapped_are_remembered() -> None:
    def program(k: Any, p: Any) -> None:
        for page in range(UNMAPPED_MAX + 3):
            sys_munmap(k, p, BASE + page * PGSIZE, PGSIZE)
        kept = [(BASE + page * PGSIZE, BASE + page * PGSIZE + PGSIZE) for page in range(3, UNMAPPED_MAX + 3)]
        assert list(p.space.unmapped) == kept

    run(b"", program)


def test_rights_that_would_make_too_many_mappings_are_given_to_no_part() -> None:
    def program(k: Any, p: Any) -> None:
        low = BASE - 2 * NVMA * PGSIZE
        for i in range(NVMA - 2):
            sys_mmap(k, p, low + 2 * i * PGSIZE, PGSIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        sys_mmap(k, p, BASE, PGSIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        sys_mmap(k, p, BASE + PGSIZE, 3 * PGSIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        before = p.space.vmas
        assert len(before) == NVMA
        with pytest.raises(SyscallError):
            sys_mprotect(k, p, BASE, 2 * PGSIZE, PROT_READ)  # all of the one, a part of the other
        assert p.space.vmas == before
        assert sys_mprotect(k, p, BASE, 4 * PGSIZE, PROT_READ) == 0

    run(b"", program)
