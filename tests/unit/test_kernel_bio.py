"""The buffer cache: what is read from disk and when, what is thrown out, and who waits for whom."""

from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, Panic

from kernel.abi.disk import BSIZE
from kernel.errors import SyscallError

BLOCKS = 200
NBUF = 40


class CountingDrive(CutDrive):
    """A disk that keeps a list of what was read: (first block, count)."""

    def __init__(self) -> None:
        super().__init__(b"".join(i.to_bytes(4, "little") * (BSIZE // 4) for i in range(BLOCKS)))
        self.reads: list[tuple[int, int]] = []

    def read(self, sector: int, count: int) -> bytes:
        self.reads.append((sector // 2, count // 2))
        return super().read(sector, count)


def run(program: Any, *more: Any) -> tuple[CountingDrive, FakeKernel]:
    """Run each program(k, p) as a process on an unmounted disk."""
    drive = CountingDrive()
    k = FakeKernel(drive, nbuf=NBUF)
    for function in (program, *more):
        k.spawn(function)
    k.run()
    return drive, k


def use(k: Any, *blocknos: int) -> None:
    """Read blocks and let go of them, checking what is in them."""
    for blockno in blocknos:
        buf = k.cache.bread(1, blockno)
        assert buf.words[0] == blockno and bytes(buf.data[-4:]) == blockno.to_bytes(4, "little")
        k.cache.brelse(buf)


def test_a_block_is_read_once() -> None:
    drive, _ = run(lambda k, p: use(k, 5, 6, 5, 6, 5))
    assert drive.reads == [(5, 1), (6, 1)]


def test_the_least_recently_used_block_makes_room() -> None:
    def program(k: Any, p: FakeProc) -> None:
        use(k, *range(NBUF))
        use(k, 0, 1)  # now 2 is the oldest
        use(k, 100)
        use(k, 0, 1, 3, 100)
        use(k, 2)

    drive, _ = run(program)
    assert drive.reads[NBUF:] == [(100, 1), (2, 1)]


def test_a_block_in_use_or_pinned_stays() -> None:
    def program(k: Any, p: FakeProc) -> None:
        held = k.cache.bread(1, 0)
        pinned = k.cache.bread(1, 1)
        k.cache.bpin(pinned)
        k.cache.brelse(pinned)
        use(k, *range(10, 10 + 2 * NBUF))
        use(k, 1)
        k.cache.brelse(held)
        k.cache.bunpin(pinned)
        use(k, 0, 1)

    drive, _ = run(program)
    assert len(drive.reads) == 2 + 2 * NBUF


def test_every_buffer_in_use_is_a_panic() -> None:
    def program(k: Any, p: FakeProc) -> None:
        for blockno in range(NBUF + 1):
            k.cache.bread(1, blockno)

    with pytest.raises(Panic, match="every buffer"):
        run(program)


def test_two_processes_that_want_a_block_get_it_one_after_the_other_and_read_it_once() -> None:
    held: list[int] = []

    def program(k: Any, p: FakeProc) -> None:
        buf = k.cache.bread(1, 7)
        held.append(p.pid)
        use(k, 50 + p.pid)  # waits for the disk with the buffer locked
        assert held[-1] == p.pid
        k.cache.brelse(buf)

    drive, _ = run(program, program, program)
    assert held == [1, 2, 3]
    assert drive.reads == [(7, 1), (51, 1), (52, 1), (53, 1)]


def test_bclear_reads_nothing_and_gives_zeros() -> None:
    def program(k: Any, p: FakeProc) -> None:
        for _ in range(2):
            buf = k.cache.bclear(1, 9)
            assert bytes(buf.data) == bytes(BSIZE)
            buf.data[:] = b"x" * BSIZE
            k.cache.brelse(buf)
        buf = k.cache.bread(1, 9)
        assert bytes(buf.data) == b"x" * BSIZE

    drive, _ = run(program)
    assert drive.reads == []


def test_prefetch_reads_what_is_missing_with_neighbours_in_one_request() -> None:
    def program(k: Any, p: FakeProc) -> None:
        use(k, 21)
        k.cache.prefetch(1, [20, 21, 22, 23, 40])
        use(k, 20, 21, 22, 23, 40)
        k.cache.prefetch(1, range(100, 130))

    drive, _ = run(program)
    assert drive.reads == [(21, 1), (20, 1), (22, 2), (40, 1), (100, 16), (116, 14)]


def test_one_who_wants_a_block_that_is_being_prefetched_waits_for_it() -> None:
    def reader(k: Any, p: FakeProc) -> None:
        use(k, 22)

    drive, _ = run(lambda k, p: k.cache.prefetch(1, range(20, 25)), reader)
    assert drive.reads == [(20, 5)]


def test_a_block_that_could_not_be_prefetched_is_read_when_it_is_wanted() -> None:
    """A neighbour beyond the disk fails the request for both: neither's bytes are taken for good."""

    def program(k: Any, p: FakeProc) -> None:
        k.cache.prefetch(1, [BLOCKS - 1, BLOCKS])
        use(k, BLOCKS - 1)
        with pytest.raises(SyscallError):
            k.cache.bread(1, BLOCKS)

    drive, _ = run(program)
    assert drive.reads == [(BLOCKS - 1, 1)]


def test_a_block_that_cannot_be_read_in_mid_change_is_a_panic() -> None:
    """Before the first change the call may fail; behind it half of it would stay."""

    def program(k: Any, p: FakeProc) -> None:
        with pytest.raises(SyscallError):
            k.cache.bread(1, BLOCKS)
        k.cache.in_change[1] = lambda: True
        k.cache.bread(1, BLOCKS)

    with pytest.raises(Panic, match=f"block {BLOCKS} cannot be read in the middle of a change"):
        run(program)
