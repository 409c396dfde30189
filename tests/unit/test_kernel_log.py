"""The log: power cuts at every disk write, operations that commit together, and operations that wait."""

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, Panic, PowerCut
from file_model import Model, Op, Tree, audit, ops, perform, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st
from unordered_disk import LastFirst

from kernel.abi.disk import BSIZE
from kernel.abi.fcntl import O_CREATE, O_RDWR
from kernel.abi.param import MAXOPBLOCKS
from kernel.xv6 import sysfile
from toolchain.fsimage import FsImage
from toolchain.mkfs import build

SIZE, NINODES = 300, 32
IMAGE = bytes(build({}, size=SIZE, ninodes=NINODES))
LOGSTART = FsImage(IMAGE).superblock.logstart

# One operation of the log each, except that an unlink or an overwrite is followed by a close.
STORY: list[Op] = [
    ("mkdir", ("a",)),
    ("create", ("a", "b")),
    ("write", ("a", "b"), 0, 3 * BSIZE, 1),
    ("link", ("a", "b"), ("b",)),
    ("write", ("b",), 100, 2 * BSIZE, 2),
    ("unlink", ("a", "b")),
    ("unlink", ("a",)),
    ("truncate", ("b",)),
    ("unlink", ("b",)),
]


class Cut:
    """The story told on a disk whose power fails after `blocks` blocks, and what can be seen afterwards."""

    def __init__(
        self, story: list[Op], blocks: int | None, image: bytes = IMAGE, chance: Random | None = None
    ) -> None:
        self.drive = CutDrive(image)
        self.model = Model()
        self.trees = [self.model.tree()]  # after each operation that has returned
        self.finished = False
        k = FakeKernel(self.drive, chance=chance).mount()
        self.drive.blocks_left = blocks
        try:
            k.call(self._tell, story)
            self.finished = True
        except PowerCut:
            pass

    def _tell(self, k: FakeKernel, p: FakeProc, story: list[Op]) -> None:
        for op in story:
            perform(k, p, op)
            self.model.apply(op)
            self.trees.append(self.model.tree())

    def outcomes(self, story: list[Op]) -> list[Tree]:
        """The trees that may be found: what had returned, and with it the operation under way."""
        done = len(self.trees) - 1
        if done < len(story):
            self.model.apply(story[done])
        return [self.trees[-1], self.model.tree()]


def mounted_again(image: bytes) -> bytes:
    """What the disk holds after the kernel has recovered it."""
    drive = CutDrive(image)
    FakeKernel(drive).mount()
    return drive.image


@pytest.mark.parametrize(
    "chance", [None, LastFirst(), Random(1)], ids=["in order", "last first", "any order"]
)
def test_a_power_cut_at_any_write_leaves_each_operation_done_or_not_begun(chance: Random | None) -> None:
    """Whichever requests the disk had done by then: what has to be in order, the log waits for."""
    blocks = 0
    while not (cut := Cut(STORY, blocks, chance=chance)).finished:
        image = cut.drive.image
        assert tree_of(image) in cut.outcomes(STORY), f"after {blocks} blocks"
        recovered = mounted_again(image)
        assert tree_of(recovered) == tree_of(image)
        assert FsImage(recovered).superblock and recovered[LOGSTART * BSIZE] == 0
        audit(recovered)
        blocks += 1
    assert blocks == cut.drive.blocks_written > 50
    assert tree_of(cut.drive.image) == cut.model.tree() == {(): None}


small_ops = ops.filter(lambda op: op[0] != "write" or op[3] <= 3 * BSIZE)  # writes of one operation


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(small_ops, min_size=1, max_size=12),
    st.integers(0, 150),
    st.none() | st.builds(Random, st.integers(0, 99)),
)
def test_a_power_cut_in_any_story_does_too(story: list[Op], blocks: int, chance: Random | None) -> None:
    story = [("mkdir", ("a",)), ("create", ("b",)), *story]
    cut = Cut(story, blocks, chance=chance)
    image = cut.drive.image
    assert tree_of(image) in cut.outcomes(story)
    audit(mounted_again(image))


def test_a_power_cut_during_recovery_is_recovered_from() -> None:
    cut = Cut(STORY, 40)
    expected = tree_of(cut.drive.image)
    for blocks in range(10):
        drive = CutDrive(cut.drive.image, blocks)
        with suppress(PowerCut):
            FakeKernel(drive).mount()
        assert tree_of(drive.image) == expected
        audit(mounted_again(drive.image))


def test_an_operation_that_changes_nothing_writes_nothing() -> None:
    drive = CutDrive(build({"f": b"x"}, size=SIZE, ninodes=NINODES))
    k = FakeKernel(drive).mount()

    def program(k: Any, p: FakeProc) -> None:
        fd = sysfile.sys_open(k, p, b"/f", O_RDWR | O_CREATE)
        sysfile.sys_chdir(k, p, b".")
        sysfile.sys_write(k, p, fd, 0, 0)
        sysfile.sys_read(k, p, fd, 0, 10)
        sysfile.sys_close(k, p, fd)

    k.call(program)
    assert drive.blocks_written == 0


def test_operations_that_overlap_are_committed_together() -> None:
    drive = CutDrive(IMAGE)
    k = FakeKernel(drive).mount()

    def program(k: Any, p: FakeProc, at: int) -> None:
        with k.log:
            k.sleep(barrier)
            buf = k.cache.bread(1, at)
            buf.data[:4] = b"mine"
            k.log.write(buf)
            k.cache.brelse(buf)

    barrier = object()
    for at in (200, 202):
        k.spawn(program, at)
    k.run_until_idle()
    k.wakeup(barrier)
    k.run()
    assert drive.blocks_written == 2 + 1 + 2 + 1  # to the log, the header, to their places, the header
    assert drive.image[200 * BSIZE :][:4] == drive.image[202 * BSIZE :][:4] == b"mine"


def test_an_operation_waits_until_the_log_has_room_for_it() -> None:
    k = FakeKernel(CutDrive(IMAGE)).mount()
    running: list[int] = []
    most: list[int] = []

    def program(k: Any, p: FakeProc) -> None:
        with k.log:
            running.append(p.pid)
            most.append(len(running))
            k.sleep(barrier)
            running.remove(p.pid)

    barrier = object()
    for _ in range(7):
        k.spawn(program)
    for _ in range(7):
        k.run_until_idle()
        k.wakeup(barrier)
    k.run_until_idle()
    assert max(most) == FsImage(IMAGE).superblock.nlog // MAXOPBLOCKS == 3
    assert len(most) == 7 and not running


def test_nobody_begins_an_operation_while_a_commit_waits_for_the_disk() -> None:
    k = FakeKernel(CutDrive(IMAGE)).mount()
    order: list[str] = []

    def first(k: Any, p: FakeProc) -> None:
        sysfile.sys_mkdir(k, p, b"/d")
        order.append("committed")

    def second(k: Any, p: FakeProc) -> None:
        k.sleep(k.log._header)  # a channel of its own, woken below
        with k.log:
            order.append("began")

    k.spawn(second).files.cwd = k.inodes.get(k.fs, 1)
    k.spawn(first).files.cwd = k.inodes.get(k.fs, 1)
    original = k.log._commit

    def commit() -> None:
        k.wakeup(k.log._header)
        original()

    k.log._commit = commit  # type: ignore[method-assign]
    k.run()
    assert order == ["committed", "began"]


def test_the_log_is_not_touched_before_its_header_is_clear_on_disk() -> None:
    k = FakeKernel(CutDrive(IMAGE), latency_ticks=1000).mount()
    submit = k.disk.submit
    checked = []

    def checking_submit(kind: int, blockno: int, pas: Any) -> Any:
        if blockno == LOGSTART + 1:
            under_way = [request.blockno for request in k.disk.requests.values()]
            assert LOGSTART not in under_way
            checked.append(blockno)
        return submit(kind, blockno, pas)

    k.disk.submit = checking_submit  # type: ignore[method-assign]

    def program(k: Any, p: FakeProc) -> None:
        for name in (b"a", b"b", b"c"):
            sysfile.sys_mkdir(k, p, name)
        k.log.drain()
        assert not k.disk.requests

    k.call(program)
    assert len(checked) == 3


def test_a_change_outside_of_an_operation_is_refused() -> None:
    k = FakeKernel(CutDrive(IMAGE)).mount()

    def program(k: Any, p: FakeProc) -> None:
        buf = k.cache.bread(1, 200)
        k.log.write(buf)

    with pytest.raises(AssertionError, match="outside of an operation"):
        k.call(program)


def test_an_operation_that_writes_too_much_is_a_panic() -> None:
    k = FakeKernel(CutDrive(IMAGE)).mount()

    def program(k: Any, p: FakeProc) -> None:
        with k.log:
            for at in range(200, 200 + FsImage(IMAGE).superblock.nlog):
                buf = k.cache.bread(1, at)
                k.log.write(buf)
                k.cache.brelse(buf)

    with pytest.raises(Panic, match="too many blocks"):
        k.call(program)


@pytest.mark.parametrize("count", [31, 255, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_header_that_names_too_many_blocks_is_a_panic(count: int) -> None:
    image = bytearray(IMAGE)
    image[LOGSTART * BSIZE : LOGSTART * BSIZE + 4] = count.to_bytes(4, "little")
    with pytest.raises(Panic, match="header"):
        FakeKernel(CutDrive(image)).mount()
