"""The page cache: the same bytes for read(), write() and mmap, whatever happens; how it reads the disk."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, attempt, namei
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dev.drive import SECTOR_SIZE, DriveError
from kernel.abi.disk import BSIZE, MAXFILE
from kernel.abi.fcntl import O_RDWR, O_TRUNC
from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import NINODE
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode
from kernel.mm.pagecache import AHEAD_MAX, RECLAIM_BATCH
from kernel.xv6 import sysfile
from toolchain.fsimage import FsImage
from toolchain.mkfs import build

BLOCKS = PGSIZE // BSIZE


class CountingDrive(CutDrive):
    """Counts read requests, and cannot read the blocks in `bad`."""

    def __init__(self, image: bytes | bytearray) -> None:
        super().__init__(image)
        self.reads: list[tuple[int, int]] = []  # first block and count
        self.bad: set[int] = set()

    def read(self, sector: int, count: int) -> bytes:
        first, blocks = sector * SECTOR_SIZE // BSIZE, count * SECTOR_SIZE // BSIZE
        self.reads.append((first, blocks))
        if self.bad.intersection(range(first, first + blocks)):
            raise DriveError("a bad block")
        return super().read(sector, count)


def pattern(size: int) -> bytes:
    """Bytes of which no two pages are the same."""
    return b"".join(b"%07d " % i for i in range(size // 8 + 1))[:size]


def machine(content: bytes, nbuf: int = 64) -> tuple[FakeKernel, CountingDrive]:
    """A mounted kernel whose disk has the file `f`; the reads so far are forgotten."""
    drive = CountingDrive(build({"f": content}, size=600, ninodes=NINODE + 20))
    k = FakeKernel(drive, nbuf).mount()
    drive.reads.clear()
    return k, drive


def on_file(k: FakeKernel, function: Callable[[Any, Inode], Any]) -> Any:
    """function(k, ip) with /f locked, in a process."""

    def program(k: Any, p: FakeProc) -> Any:
        with k.log, namei(k, b"/f").borrowed() as ip:
            return function(k, ip)

    return k.call(program)


def page(k: FakeKernel, pa: int) -> bytes:
    return bytes(k.ram.view(pa, PGSIZE))


def exhaust(k: FakeKernel) -> list[int]:
    """Take all memory."""
    taken = []
    while pa := k.frames.alloc():
        taken.append(pa)
    return taken


# --- one truth ---

sizes = st.sampled_from([1, 5, 100, BSIZE - 1, BSIZE, 2 * BSIZE + 7, PGSIZE, PGSIZE + 1, 3 * PGSIZE])
offsets = st.sampled_from([0, 1, BSIZE, PGSIZE - 1, PGSIZE, 2 * PGSIZE + 17, 5 * PGSIZE, 20 * PGSIZE])
steps = st.one_of(
    st.tuples(st.just("read"), offsets, sizes),
    st.tuples(st.just("write"), offsets, sizes),
    st.tuples(st.just("frame"), st.integers(0, 21), st.just(0)),
    st.tuples(st.sampled_from(["truncate", "reclaim", "exhaust", "release"]), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(steps, max_size=30), st.integers(0, 6 * PGSIZE))
def test_reads_and_frames_agree_with_what_was_written(program: list[tuple[str, int, int]], size: int) -> None:
    k, drive = machine(pattern(size), nbuf=40)
    model = bytearray(pattern(size))
    taken: list[int] = []

    def step(k: Any, ip: Inode, turn: int, name: str, at: int, n: int) -> None:
        if name == "read":
            assert ip.read(at, n) == model[at : at + n]
        elif name == "write" and at <= len(model):
            data = bytes([turn]) * min(n, 3 * BSIZE)  # an operation takes no more
            assert ip.write(at, data) == len(data)
            model[at : at + len(data)] = data
        elif name == "truncate":
            k.fs.itrunc(ip)
            model.clear()
        elif name == "frame":
            pa = k.pages.frame(ip, at)
            assert pa or taken
            assert not pa or page(k, pa) == model[at * PGSIZE : (at + 1) * PGSIZE].ljust(PGSIZE, b"\0")
        elif name == "reclaim":
            had_pages = bool(ip.pages)
            assert k.pages.reclaim() == had_pages and not ip.pages
        elif name == "exhaust":
            taken.extend(exhaust(k))
        elif name == "release":
            while taken:
                k.frames.free(taken.pop())
        for index, pa in ip.pages.items():
            assert page(k, pa) == model[index * PGSIZE : (index + 1) * PGSIZE].ljust(PGSIZE, b"\0")
            assert k.frames.owners(pa) == 1
        assert k.pages.reclaimable == len(ip.pages)

    for turn, (name, at, n) in enumerate(program):
        on_file(k, lambda k, ip, args=(turn, name, at, n): step(k, ip, *args))
    assert FsImage(drive.image).read("/f") == model


def test_what_a_mapping_stored_is_read_and_written_back_within_the_file_only() -> None:
    k, drive = machine(pattern(PGSIZE + 100))

    def store(k: Any, ip: Inode) -> bytes:
        pa = k.pages.frame(ip, 1)
        k.ram.view(pa, PGSIZE)[:] = b"m" * PGSIZE
        k.fs.write_page(ip, 1)
        assert ip.read(PGSIZE, 200) == b"m" * 100
        return ip.read(0, PGSIZE)

    assert on_file(k, store) == pattern(PGSIZE)
    assert FsImage(drive.image).read("/f") == pattern(PGSIZE) + b"m" * 100
    last = FsImage(drive.image).inode(2).addresses[4]
    assert drive.image[last * BSIZE + 100 : (last + 1) * BSIZE] == bytes(BSIZE - 100)


def test_what_is_behind_the_end_in_the_last_block_on_disk_is_not_seen() -> None:
    image = build({"f": pattern(BSIZE)}, size=600, ninodes=64)
    at = FsImage(image).inode(2).addresses[0] * BSIZE
    inode_at = FsImage(image).superblock.inodestart * BSIZE + 2 * 64
    image[inode_at + 8 : inode_at + 12] = (10).to_bytes(4, "little")  # the size
    assert any(image[at + 10 : at + BSIZE])
    k = FakeKernel(CountingDrive(image)).mount()
    assert page(k, on_file(k, lambda k, ip: k.pages.frame(ip, 0))) == pattern(10).ljust(PGSIZE, b"\0")


def test_a_truncated_file_is_unmapped_first_and_its_frames_are_free() -> None:
    k, _ = machine(pattern(5 * PGSIZE))
    free = k.frames.free_frames
    told: list[tuple[int, int]] = []
    k.pages.on_truncate = lambda ip: told.append((ip.size, len(ip.pages)))

    def program(k: Any, p: FakeProc) -> None:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        assert sysfile.sys_read(k, p, fd, 0, 5 * PGSIZE) == 5 * PGSIZE
        assert k.frames.free_frames == free - 5
        sysfile.sys_open(k, p, b"f", O_RDWR | O_TRUNC)

    k.call(program)
    assert told == [(0, 5)] and k.frames.free_frames == free


def test_an_inode_that_leaves_the_table_takes_its_pages_along() -> None:
    k, _ = machine(pattern(PGSIZE))
    free = k.frames.free_frames
    on_file(k, lambda k, ip: ip.read(0, 10))
    assert k.frames.free_frames == free - 1

    def program(k: Any, p: FakeProc) -> None:
        for inum in range(3, NINODE + 3):
            k.inodes.get(k.fs, inum).put()

    k.call(program)
    assert k.frames.free_frames == free


# --- the disk ---


def test_reading_in_order_reads_ahead_in_large_requests() -> None:
    k, drive = machine(pattern(100 * BSIZE))

    def program(k: Any, p: FakeProc) -> int:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        drive.reads.clear()
        done = 0
        while n := sysfile.sys_read(k, p, fd, 0, 512):
            assert p.memory[:n] == pattern(100 * BSIZE)[done : done + n]
            done += n
        return done

    assert k.call(program) == 100 * BSIZE
    large = [count for _, count in drive.reads if count > 1]
    assert sum(count for _, count in drive.reads) == 101  # each block once, and the indirect one
    assert len(drive.reads) <= 6 and max(large) == AHEAD_MAX * BLOCKS


def test_a_page_out_of_order_and_a_touched_one_read_themselves_only() -> None:
    k, drive = machine(pattern(12 * BSIZE))
    on_file(k, lambda k, ip: ip.read(2 * PGSIZE, 1))
    assert [count for _, count in drive.reads][-1] == BLOCKS
    on_file(k, lambda k, ip: k.pages.frame(ip, 0))
    assert [count for _, count in drive.reads][-1] == BLOCKS
    on_file(k, lambda k, ip: [k.pages.frame(ip, 0), ip.read(0, PGSIZE)])
    assert sum(count for _, count in drive.reads if count == BLOCKS) == 2 * BLOCKS


def test_what_a_buffer_holds_is_not_read_from_disk() -> None:
    k, drive = machine(b"")

    def write_and_read(k: Any, ip: Inode) -> None:
        ip.write(0, pattern(3 * BSIZE))
        drive.reads.clear()
        assert page(k, k.pages.frame(ip, 0)) == pattern(3 * BSIZE).ljust(PGSIZE, b"\0")

    on_file(k, write_and_read)
    assert drive.reads == []


def test_two_processes_that_read_one_page_share_a_frame() -> None:
    k, drive = machine(pattern(PGSIZE))
    free = k.frames.free_frames

    def program(k: Any, p: FakeProc) -> bytes:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        assert sysfile.sys_read(k, p, fd, 0, PGSIZE) == PGSIZE
        return bytes(p.memory[:PGSIZE])

    procs = [k.spawn(program, cwd=k.inodes.get(k.fs, 1)) for _ in range(3)]
    k.run()
    assert [proc.result for proc in procs] == [pattern(PGSIZE)] * 3
    assert k.frames.free_frames == free - 1
    assert sum(count == BLOCKS for _, count in drive.reads) == 1


def test_a_bad_block_fails_what_needs_it_and_leaves_nothing_in_the_cache() -> None:
    k, drive = machine(pattern(4 * PGSIZE), nbuf=64)
    free = k.frames.free_frames
    drive.bad = {FsImage(drive.image).inode(2).addresses[5]}  # in page 1

    def program(k: Any, ip: Inode) -> list[object]:
        with pytest.raises(SyscallError, match="EIO: page 1 "):
            k.pages.frame(ip, 1)
        assert not ip.pages and k.frames.free_frames == free
        assert ip.read(0, PGSIZE + BSIZE) == pattern(PGSIZE + BSIZE)
        with pytest.raises(SyscallError, match="EIO"):
            ip.read(PGSIZE, PGSIZE)
        assert ip.read(PGSIZE + 2 * BSIZE, BSIZE) == pattern(4 * PGSIZE)[6 * BSIZE : 7 * BSIZE]
        assert 1 not in ip.pages
        drive.bad.clear()
        return [page(k, k.pages.frame(ip, i)) == pattern(4 * PGSIZE)[i * PGSIZE :][:PGSIZE] for i in range(4)]

    assert on_file(k, program) == [True] * 4
    assert k.frames.free_frames == free - 4


# --- memory ---


def test_without_memory_reading_goes_by_buffers_and_a_frame_is_refused() -> None:
    k, _ = machine(pattern(3 * PGSIZE))
    exhaust(k)

    def program(k: Any, ip: Inode) -> bytes:
        assert k.pages.frame(ip, 0) == 0
        return ip.read(10, 2 * PGSIZE)

    assert on_file(k, program) == pattern(3 * PGSIZE)[10 : 10 + 2 * PGSIZE]


def test_the_allocator_takes_the_oldest_pages_that_nobody_maps() -> None:
    k, _ = machine(pattern(MAXFILE * BSIZE))

    def program(k: Any, ip: Inode) -> list[int]:
        ip.read(0, MAXFILE * BSIZE)
        k.frames.share(ip.pages[0])  # as a mapping does
        k.frames.share(ip.pages[2])
        assert k.pages.reclaimable == MAXFILE // BLOCKS - 2
        while k.frames.free_frames:
            k.frames.alloc()
        assert k.frames.alloc()
        return list(ip.pages)

    left = on_file(k, program)
    assert left == [0, 2, *range(RECLAIM_BATCH + 2, MAXFILE // BLOCKS)]


def test_a_read_that_cannot_store_changes_nothing() -> None:
    k, _ = machine(pattern(PGSIZE))

    def program(k: Any, p: FakeProc) -> int:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        assert attempt(sysfile.sys_read, k, p, fd, 1 << 40, 10) == -1
        assert sysfile.sys_read(k, p, fd, 0, 10) == 10
        return p.memory[:10] == pattern(10)

    assert k.call(program)


def test_reading_ahead_takes_the_last_page_too_and_out_of_order_no_page_more_than_wanted() -> None:
    size = 40 * PGSIZE - 100
    k, drive = machine(pattern(size))
    on_file(k, lambda k, ip: ip.read(38 * PGSIZE, 1))
    drive.reads.clear()

    def pages_read(off: int, n: int) -> int:
        before = k.counts.pages_read
        assert on_file(k, lambda k, ip: ip.read(off, n)) == pattern(size)[off : off + n]
        return k.counts.pages_read - before

    assert pages_read(39 * PGSIZE, 1) == 1, "it is the next, but there is only one more"
    assert pages_read(10 * PGSIZE, 1) == 1
    assert pages_read(20 * PGSIZE - 1, 2 * PGSIZE) == 3
    k, drive = machine(pattern(2 * PGSIZE + 100))
    on_file(k, lambda k, ip: ip.read(0, 1))
    drive.reads.clear()
    on_file(k, lambda k, ip: ip.read(0, ip.size))
    assert drive.reads == []


def test_a_bad_neighbour_costs_nothing() -> None:
    """A block that is in a buffer parts the pages behind the first from its request."""
    k, drive = machine(pattern(6 * PGSIZE))

    def program(k: Any, ip: Inode) -> None:
        blocknos = k.fs.content.blocknos(ip, 0, 6 * BLOCKS)
        k.cache.brelse(k.cache.bread(1, blocknos[BLOCKS]))
        drive.bad.add(blocknos[4 * BLOCKS])
        drive.reads.clear()
        assert ip.read(0, PGSIZE) == pattern(PGSIZE)
        assert list(ip.pages) == [0]

    on_file(k, program)
    assert len(drive.reads) == 2, "the first page was not read a second time"


def test_a_hole_is_zeroes_and_no_block() -> None:
    """Whatever is in block 0, which the numbers of holes name."""
    k, drive = machine(b"")
    drive.write(0, b"\xee" * BSIZE)

    def program(k: Any, ip: Inode) -> None:
        ip.size = PGSIZE
        assert ip.read(0, PGSIZE) == bytes(PGSIZE)
        ip.size = 0

    on_file(k, program)


@pytest.mark.parametrize("mappings", [0, 1])
def test_what_is_written_where_it_may_be_executed_drops_the_code(mappings: int) -> None:
    k, _ = machine(pattern(3 * PGSIZE))
    dropped: list[tuple[int, int]] = []
    k.drop_code = lambda low, high: dropped.append((low, high))  # type: ignore[attr-defined]

    def program(k: Any, ip: Inode) -> None:
        pa = k.pages.frame(ip, 1)
        ip.mappings = mappings
        ip.write(PGSIZE + 8, b"new")
        ip.mappings = 0
        assert dropped == [(pa, pa + PGSIZE)] * mappings

    on_file(k, program)


def test_all_pages_of_a_file_are_forgotten_but_for_those_that_are_mapped() -> None:
    count = RECLAIM_BATCH + 3
    k, _ = machine(pattern(count * PGSIZE))

    def program(k: Any, ip: Inode) -> None:
        ip.read(0, count * PGSIZE)
        assert len(ip.pages) == count
        k.frames.share(ip.pages[5])
        k.pages.forget(ip)
        assert list(ip.pages) == [5]
        k.frames.free(ip.pages[5])

    on_file(k, program)
