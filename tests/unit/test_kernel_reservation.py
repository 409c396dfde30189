"""What an operation of the log reserves is enough: the worst case of each system call, on both layouts.

The disk is made so that everything costs most.  Its log holds MAXOPBLOCKS blocks and no more, so that nobody
gets more than it reserved.  Each block of the free map has one free bit, so that each new block
dirties another one.  The directory `d` and the file `edge` are full up to the first block that needs all the
tables that there are.
"""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, Panic, PowerCut, attempt, namei
from file_model import audit, tree_of

from kernel.abi import disk
from kernel.abi.disk import BPB, BSIZE, DINODE_SIZE, DIRENT_SIZE, Layout, SuperBlock
from kernel.abi.fcntl import O_CREATE, O_RDWR, O_TRUNC, T_DIR, T_FILE
from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import MAXOPBLOCKS, MAXPATH, ROOTDEV
from kernel.fs.xv6fs.log import HEADER_ENTRIES_MAX
from kernel.xv6 import sysfile
from toolchain import mkfs
from toolchain.fsimage import FsImage, check

MAPS = 5  # blocks of the free map
X = 18  # the inode that all entries of `d` name: in another block than that of `d`, as is a new one
EACH = pytest.mark.parametrize("layout", [disk.STOCK, disk.LAB], ids=lambda layout: layout.name)
Call = Callable[[Any, FakeProc], object]


def superblock_with(image: bytearray, **changes: int) -> None:
    sb = SuperBlock._make(disk.SUPERBLOCK.unpack_from(image, BSIZE))._replace(**changes)
    disk.SUPERBLOCK.pack_into(image, BSIZE, *sb)


def edge(layout: Layout) -> int:
    """The first block of a file that needs as many tables as a file can have above one block."""
    return layout.first(disk.NADDRS - 1)


@cache
def worst_image(layout: Layout) -> bytes:
    count = edge(layout) * BSIZE // DIRENT_SIZE
    entries = [(4, b"."), (1, b".."), *((X, b"x%d" % i) for i in range(count - 2))]
    content = b"".join(disk.DIRENT.pack(*entry) for entry in entries)
    files = {"edge": b"e" * edge(layout) * BSIZE, "f1": b"", "d": content, "f2": b""}
    files |= {f"other{i}": b"" for i in range(12)} | {"x": b"x"}
    image = mkfs.build(files, size=MAPS * BPB, ninodes=48, layout=layout.name)
    superblock_with(image, nlog=MAXOPBLOCKS + 1)
    inodes = FsImage(image).superblock.inodestart * BSIZE
    struct.pack_into("<h", image, inodes + 4 * DINODE_SIZE, T_DIR)
    struct.pack_into("<h", image, inodes + X * DINODE_SIZE + 6, count)
    start = FsImage(image).superblock.bmapstart * BSIZE
    image[start : start + MAPS * BSIZE] = (b"\xff" * (BSIZE - 1) + b"\x7f") * MAPS
    check(image)
    return bytes(image)


def lost(image: bytes) -> int:
    """How many blocks are marked in use and belong to nothing, in a sound image: most."""
    fs = check(image)
    start = fs.superblock.bmapstart * BSIZE
    marked = int.from_bytes(image[start : start + MAPS * BSIZE], "little").bit_count()
    return marked - sum(1 for inode in fs.inodes() for block in fs.all_blocks(inode) if block)


def has_new(image: bytes) -> bool:
    """Whether the directory `d` has an entry `new`."""
    fs = FsImage(image)
    return b"new".ljust(disk.DIRSIZ, b"\0") in fs.content(fs.inode(4))


@cache
def lost_before(layout: Layout) -> int:
    return lost(worst_image(layout))


class Costs:
    """Runs calls on the worst disk; how many blocks each operation of the log wrote is in `costs`."""

    def __init__(self, layout: Layout, free: int = MAPS) -> None:
        image = bytearray(worst_image(layout))
        start = FsImage(image).superblock.bmapstart * BSIZE
        for i in range(free, MAPS):
            image[start + (i + 1) * BSIZE - 1] = 0xFF
        self.drive = CutDrive(image)
        self.k: Any = FakeKernel(self.drive, nbuf=128).mount()
        self.costs: list[int] = []
        self.lost = lost_before(layout) + MAPS - free
        end_op = self.k.log.end_op

        def counting_end_op() -> None:
            assert self.k.log.capacity == MAXOPBLOCKS
            self.costs.append(MAXOPBLOCKS - self.k.log.room[self.k.myproc()])
            end_op()

        self.k.log.end_op = counting_end_op

    def call(self, function: Call) -> object:
        self.costs.clear()
        return self.k.call(function)

    def check(self) -> None:
        """Each operation kept to what it reserved, and no block was lost."""
        assert self.costs and max(self.costs) <= MAXOPBLOCKS
        assert lost(self.drive.image) == self.lost


def opened(k: Any, p: FakeProc, name: bytes, mode: int = O_RDWR) -> int:
    return sysfile.sys_open(k, p, name, mode)


def write_at(block: int, n: int) -> Call:
    """Write `n` bytes at the start of a block of `edge`, for which the file is longer than it was."""

    def program(k: Any, p: FakeProc) -> int:
        fd = opened(k, p, b"edge")
        p.files.ofile[fd].off = block * BSIZE  # type: ignore[union-attr, attr-defined]
        return sysfile.sys_write(k, p, fd, 0, n)

    return program


def spread(k: Any, p: FakeProc) -> int:
    """Make f1 a file whose blocks are in as many blocks of the map; gives its descriptor."""
    fd = opened(k, p, b"f1")
    assert sysfile.sys_write(k, p, fd, 0, MAPS * BSIZE) == MAPS * BSIZE
    k.cost_log.clear()
    return fd


def write_back(k: Any, p: FakeProc) -> bool:
    """What munmap does for a page of a file whose four blocks are holes."""
    fd = opened(k, p, b"f2")
    ip = p.files.ofile[fd].ip  # type: ignore[union-attr, attr-defined]
    with ip.locked():
        ip.size = 4 * BSIZE
        assert k.pages.frame(ip, 0)
    done = False
    while not done:
        with k.log, ip.locked():
            done = k.fs.write_page(ip, 0)
    return done


# What each call costs in all, on a disk of the stock layout and of the lab's, operation by operation.  In its
# order: the blocks themselves, the blocks of the map for new ones, inodes.
CALLS: dict[str, tuple[Call, int, int]] = {
    "create": (lambda k, p: opened(k, p, b"d/new", O_CREATE), 2 + 2 + 2, 3 + 3 + 2),
    "mkdir": (lambda k, p: sysfile.sys_mkdir(k, p, b"d/new"), 3 + 3 + 2, 4 + 4 + 2),
    "mknod": (lambda k, p: sysfile.sys_mknod(k, p, b"d/new", 1, 0), 2 + 2 + 2, 3 + 3 + 2),
    "symlink": (lambda k, p: sysfile.sys_symlink(k, p, b"x" * (MAXPATH - 1), b"d/new"), 3 + 3 + 2, 4 + 4 + 2),
    "link": (lambda k, p: sysfile.sys_link(k, p, b"x", b"d/new"), 2 + 2 + 2, 3 + 3 + 2),
}


@EACH
@pytest.mark.parametrize("name", CALLS)
def test_a_new_entry_in_a_directory_at_its_edge(name: str, layout: Layout) -> None:
    call, stock, lab = CALLS[name]
    costs = Costs(layout)
    costs.call(call)
    assert costs.costs == [stock if layout is disk.STOCK else lab]
    costs.check()
    assert has_new(costs.drive.image)


@pytest.mark.parametrize("free", range(4))
@pytest.mark.parametrize("name", ["create", "mkdir"])
def test_a_new_entry_for_which_the_disk_fills_up(name: str, free: int) -> None:
    """Whatever block is the one too many: the call fails, fits into its reservation, and leaves nothing."""
    layout, (call, _, lab) = disk.LAB, CALLS[name]
    if free >= (lab - 2) // 2:
        return
    costs = Costs(layout, free)
    assert costs.call(lambda k, p: attempt(lambda: call(k, p) and 0)) == -1  # type: ignore[arg-type, return-value]
    assert not has_new(costs.drive.image)
    costs.check()


@EACH
def test_writes(layout: Layout) -> None:
    """A write takes as many operations as it needs, each within its reservation."""
    first, tables = edge(layout), 1 if layout is disk.STOCK else 2
    for n, expected in (
        (1, [2 * (1 + tables) + 1]),
        (BSIZE, [2 * (1 + tables) + 1]),
        # One new block behind it: itself, its number in the table, a block of the map, the inode.
        (2 * BSIZE, [2 * (1 + tables) + 1, 4]),
        (3 * BSIZE, [2 * (1 + tables) + 1, 6]),
    ):
        costs = Costs(layout)
        assert costs.call(write_at(first, n)) == n
        assert costs.costs == expected
        costs.check()
    costs = Costs(layout)
    assert costs.call(write_at(0, 30 * BSIZE - 5 if layout is disk.LAB else 11 * BSIZE)) is not None
    assert max(costs.costs) <= MAXOPBLOCKS
    costs = Costs(layout)
    assert costs.call(write_back)
    assert max(costs.costs) <= MAXOPBLOCKS and len(costs.costs) > 1
    costs.check()


@EACH
@pytest.mark.parametrize("how", ["unlink", "close", "truncate", "exit"])
def test_a_file_that_is_all_over_the_disk_is_given_back_in_pieces(how: str, layout: Layout) -> None:
    costs = Costs(layout)
    k = costs.k
    k.cost_log = costs.costs

    def program(k: Any, p: FakeProc) -> None:
        fd = spread(k, p)
        if how == "truncate":
            opened(k, p, b"f1", O_RDWR | O_TRUNC)
            return
        if how == "unlink":
            sysfile.sys_close(k, p, fd)
        sysfile.sys_unlink(k, p, b"f1")
        if how == "close":
            sysfile.sys_close(k, p, fd)
        elif how == "exit":
            with k.inodes.reaping():
                p.files.ofile[fd].ip.put()  # type: ignore[union-attr, attr-defined]

    costs.call(program)
    assert len(costs.costs) > 1 and max(costs.costs) <= MAXOPBLOCKS
    image = costs.drive.image
    start = FsImage(image).superblock.bmapstart * BSIZE
    assert image[start : start + MAPS * BSIZE] == worst_image(layout)[start : start + MAPS * BSIZE]
    costs.check()


@EACH
def test_the_last_blocks_of_the_largest_trees_are_given_back(layout: Layout) -> None:
    """`edge` with one block more than its edge: all tables that a file can have are cleared or given back."""
    costs = Costs(layout)

    def program(k: Any, p: FakeProc) -> None:
        write_at(edge(layout), BSIZE)(k, p)
        sysfile.sys_close(k, p, 0)
        costs.costs.clear()
        sysfile.sys_unlink(k, p, b"edge")

    costs.call(program)
    costs.check()


def test_a_directory_that_goes() -> None:
    costs = Costs(disk.STOCK)

    def program(k: Any, p: FakeProc) -> None:
        sysfile.sys_mkdir(k, p, b"e")
        costs.costs.clear()
        sysfile.sys_unlink(k, p, b"e")

    costs.call(program)
    assert sum(costs.costs) <= 2 * MAXOPBLOCKS and max(costs.costs) <= MAXOPBLOCKS
    costs.check()


# --- what is reserved and what is committed ---


def small(nlog: int, monkeypatch: pytest.MonkeyPatch, **files: bytes) -> bytearray:
    """A disk of 1000 blocks whose log has `nlog`."""
    monkeypatch.setattr(mkfs, "LOG_SIZE", nlog)
    return mkfs.build(files, size=1000, ninodes=64)


def test_a_commit_that_the_log_does_not_hold_is_a_panic() -> None:
    """Whatever let it come to that; and nothing was written."""
    drive = CutDrive(mkfs.build({}, size=400, ninodes=64))
    k: Any = FakeKernel(drive).mount()

    def program(k: Any, p: FakeProc) -> None:
        with k.log:
            for at in range(300, 300 + k.log.capacity + 1):
                k.log.room[p] = MAXOPBLOCKS  # as a reservation that is worth nothing
                buf = k.cache.bread(ROOTDEV, at)
                k.log.write(buf)
                k.cache.brelse(buf)

    with pytest.raises(Panic, match="a commit of 31 blocks into a log of 30"):
        k.call(program)
    assert drive.blocks_written == 0


@pytest.mark.parametrize("nlog", [11, 15, 21, 30, 31, 45])
def test_operations_at_once_never_fill_the_log(nlog: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight that each write all they may, and sleep between: more than fits together at any size."""
    drive = CutDrive(small(nlog, monkeypatch))
    k: Any = FakeKernel(drive).mount()
    commits: list[int] = []
    commit = k.log._commit

    def counting_commit() -> None:
        commits.append(len(k.log.changed))
        commit()

    k.log._commit = counting_commit

    def program(k: Any, p: FakeProc, first: int) -> None:
        with k.log:
            for at in range(first, first + MAXOPBLOCKS):
                buf = k.cache.bread(ROOTDEV, at)
                buf.data[:] = bytes((first & 0xFF,)) * BSIZE
                k.log.write(buf)
                k.cache.brelse(buf)
                assert len(k.log.changed) + sum(k.log.room.values()) <= k.log.capacity == nlog - 1

    for i in range(8):
        k.spawn(program, 800 + i * MAXOPBLOCKS)
    k.run()
    assert sum(commits) == 8 * MAXOPBLOCKS and max(commits) == (nlog - 1) // MAXOPBLOCKS * MAXOPBLOCKS
    for i in range(8):
        at = 800 + i * MAXOPBLOCKS
        assert drive.image[at * BSIZE : (at + MAXOPBLOCKS) * BSIZE] == bytes((at & 0xFF,)) * 10 * BSIZE


@pytest.mark.parametrize("nlog", [11, 12, 29, 30, 64, 127, 128, 129, 200, 256, 257, 300])
def test_logs_of_any_length_are_used_and_recovered(nlog: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut at some writes of a story with an operation as large as the log takes."""
    image = small(nlog, monkeypatch, f=b"f" * 200 * BSIZE)
    done = False
    for blocks in (0, 3, nlog // 2, nlog, nlog + 20, 10**6):
        drive = CutDrive(image)
        k: Any = FakeKernel(drive, nbuf=400).mount()
        assert k.log.capacity == min(nlog - 1, HEADER_ENTRIES_MAX)
        drive.blocks_left = blocks

        def program(k: Any, p: FakeProc) -> None:
            with k.log, namei(k, b"f").borrowed() as ip:
                assert ip.type == T_FILE
                ip.write(0, b"g" * 150 * BSIZE)
            sysfile.sys_mkdir(k, p, b"d")
            k.log.drain()

        try:
            k.call(program)
            done = True
        except PowerCut:
            pass
        after = CutDrive(drive.image)
        FakeKernel(after, nbuf=400).mount()
        content = tree_of(after.image)[("f",)]
        assert content is not None and content.strip(b"f") in (b"", b"g" * len(content.strip(b"f")))
        audit(after.image)
    assert done


def test_a_header_of_another_kernel_may_name_more_blocks_than_we_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A C kernel with a longer log writes a header of up to a whole block."""
    count = disk.LOG_ENTRIES_MAX
    image = small(count + 1, monkeypatch)
    log = FsImage(bytes(image)).superblock.logstart
    targets = range(1000 - count, 1000)
    image[log * BSIZE : (log + 1) * BSIZE] = b"".join(n.to_bytes(4, "little") for n in (count, *targets))
    for i, target in enumerate(targets):
        at = (log + 1 + i) * BSIZE
        image[at : at + BSIZE] = target.to_bytes(2, "little") * (BSIZE // 2)
    check(image)
    drive = CutDrive(image)
    FakeKernel(drive, nbuf=400).mount()
    for target in targets:
        assert drive.image[target * BSIZE :][:BSIZE] == target.to_bytes(2, "little") * (BSIZE // 2)


def test_the_pages_of_a_mapping_fit() -> None:
    assert PGSIZE // BSIZE * 2 <= MAXOPBLOCKS, "a page whose blocks are all there goes in one operation"
