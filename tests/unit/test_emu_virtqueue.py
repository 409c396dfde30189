"""Split virtqueue: chains as the driver wrote them, and each rule that a driver can break."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtio_driver import AVAILABLE, DATA, DESCRIPTORS, INDIRECT, NEXT, QUEUE_SIZE, USED, WRITE, Rings

from emu.dev.virtqueue import Segment, VirtQueue, gather, scatter
from emu.ram import RAM_BASE, Ram


@pytest.fixture
def rings() -> Rings:
    return Rings(Ram(0x1_0000))


def queue_on(rings: Rings) -> VirtQueue:
    return VirtQueue(rings.ram, QUEUE_SIZE, DESCRIPTORS, AVAILABLE, USED)


def test_chains_come_in_the_order_of_the_ring(rings: Rings) -> None:
    rings.chain(0, [(DATA, 16, 0), (DATA + 16, 0, 0), (DATA + 32, 512, WRITE), (DATA + 544, 1, WRITE)])
    rings.chain(5, [(DATA + 1024, 4, WRITE)])
    rings.offer(5, 0)
    queue = queue_on(rings)
    first, second = queue.pop(), queue.pop()
    assert first is not None and second is not None
    assert (first.head, first.readable, first.writable) == (5, (), (Segment(DATA + 1024, 4),))
    assert (second.head, second.readable_size, second.writable_size) == (0, 16, 513)
    assert queue.pop() is None
    assert queue.in_flight == 2
    assert not queue.broken


def test_used_ring(rings: Rings) -> None:
    rings.chain(3, [(DATA, 8, WRITE)])
    rings.offer(3)
    queue = queue_on(rings)
    chain = queue.pop()
    assert chain is not None
    assert rings.used() == []
    assert queue.push(chain, 7)
    assert rings.used() == [(3, 7)]
    assert queue.in_flight == 0
    with pytest.raises(AssertionError, match="given back once"):
        queue.push(chain, 7)


def test_driver_may_ask_for_silence(rings: Rings) -> None:
    rings.chain(3, [(DATA, 8, WRITE)])
    rings.put(AVAILABLE, "<H", 1)
    rings.offer(3)
    queue = queue_on(rings)
    assert (queue.offered, queue.given_back) == (1, 0)
    chain = queue.pop()
    assert chain is not None
    assert not queue.push(chain, 0)


def test_indices_wrap(rings: Rings) -> None:
    queue = queue_on(rings)
    rings.chain(0, [(DATA, 8, WRITE)])
    for _ in range(65536 + 3):
        rings.offer(0)
        chain = queue.pop()
        assert chain is not None
        queue.push(chain, 0)
    assert rings.used_index == 3
    assert queue.pop() is None and not queue.broken


END = RAM_BASE + 0x1_0000
ONE = (DATA, 8, 0)


@pytest.mark.parametrize(
    ("segments", "rule"),
    [
        ([(END, 1, 0)], "not all in RAM"),
        ([(END - 8, 9, 0)], "not all in RAM"),
        ([(0x1000_0000, 4, WRITE)], "not all in RAM"),
        ([(RAM_BASE - 1, 2, 0)], "not all in RAM"),
        ([((1 << 64) - 1, 0xFFFF_FFFF, 0)], "not all in RAM"),
        ([(DATA, 0xFFFF_FFFF, WRITE)], "not all in RAM"),
        ([(DATA, 8, WRITE), ONE], "read behind one to write"),
        ([ONE, (DATA, 16, INDIRECT)], "indirect"),
    ],
)
def test_bad_chains_break_the_queue(rings: Rings, segments: list[tuple[int, int, int]], rule: str) -> None:
    rings.chain(0, segments)
    rings.chain(4, [ONE])
    rings.offer(0, 4)
    queue = queue_on(rings)
    assert queue.pop() is None
    assert rule in queue.broken
    assert queue.pop() is None, "a broken queue gives nothing more"


@pytest.mark.parametrize("following", [0, 1, QUEUE_SIZE, 0xFFFF])
def test_loops_and_wild_links_end(rings: Rings, following: int) -> None:
    rings.describe(0, DATA, 8, NEXT, 1)
    rings.describe(1, DATA, 8, NEXT, following)
    rings.offer(0)
    queue = queue_on(rings)
    assert queue.pop() is None
    assert ("in a loop" if following < QUEUE_SIZE else "in a queue of 8") in queue.broken


def test_a_chain_may_use_every_descriptor(rings: Rings) -> None:
    rings.chain(0, [ONE] * QUEUE_SIZE)
    rings.offer(0)
    chain = queue_on(rings).pop()
    assert chain is not None and len(chain.readable) == QUEUE_SIZE


def test_a_head_that_is_not_there(rings: Rings) -> None:
    rings.offer(QUEUE_SIZE)
    queue = queue_on(rings)
    assert queue.pop() is None
    assert "descriptor 8" in queue.broken


@pytest.mark.parametrize("index", [QUEUE_SIZE + 1, 0xFFFF])
def test_more_chains_than_the_queue_has(rings: Rings, index: int) -> None:
    rings.put(AVAILABLE + 2, "<H", index)
    queue = queue_on(rings)
    assert queue.pop() is None
    assert "chains waiting" in queue.broken


def test_one_chain_cannot_be_in_work_without_end(rings: Rings) -> None:
    rings.chain(0, [ONE])
    queue = queue_on(rings)
    for _ in range(QUEUE_SIZE):
        rings.offer(0)
        assert queue.pop() is not None
    rings.offer(0)
    assert queue.pop() is None
    assert "8 in work" in queue.broken


@pytest.mark.parametrize(
    ("size", "descriptors", "available", "used"),
    [
        (0, DESCRIPTORS, AVAILABLE, USED),
        (3, DESCRIPTORS, AVAILABLE, USED),
        (2048, DESCRIPTORS, AVAILABLE, USED),
        (8, DESCRIPTORS + 8, AVAILABLE, USED),
        (8, DESCRIPTORS, AVAILABLE + 1, USED),
        (8, DESCRIPTORS, AVAILABLE, USED + 2),
        (8, 0, AVAILABLE, USED),
        (8, DESCRIPTORS, END - 20, USED),
        (8, DESCRIPTORS, AVAILABLE, END - 68),
        (8, 1 << 63, AVAILABLE, USED),
    ],
)
def test_tables_that_cannot_be(rings: Rings, size: int, descriptors: int, available: int, used: int) -> None:
    queue = VirtQueue(rings.ram, size, descriptors, available, used)
    assert queue.broken
    assert queue.pop() is None


def test_gather_and_scatter_cross_segments() -> None:
    ram = Ram(4096)
    segments = (Segment(RAM_BASE, 3), Segment(RAM_BASE + 100, 0), Segment(RAM_BASE + 50, 5))
    scatter(ram, segments, 1, b"abcdef")
    assert bytes(ram.bytes[:4]) == b"\0ab\0"
    assert bytes(ram.bytes[50:56]) == b"cdef\0\0"
    assert gather(ram, segments, 0, 8) == b"\0abcdef\0"
    assert gather(ram, segments, 4, 2) == b"de"
    assert gather(ram, segments, 8, 0) == b""
    with pytest.raises(AssertionError, match="1 bytes more"):
        gather(ram, segments, 1, 8)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, QUEUE_SIZE + 1), st.data())
def test_random_rings_never_raise(noise: bytes, index: int, data: st.DataObject) -> None:
    """Random words over all three tables; what pops is inside RAM and within the queue's size."""
    ram = Ram(0x1_0000)
    rings = Rings(ram)
    for table in (DESCRIPTORS, AVAILABLE, USED):
        start = table - RAM_BASE
        ram.bytes[start : start + len(noise)] = noise
    for number in range(QUEUE_SIZE):  # make some of them plausible, so that walks get far
        if data.draw(st.booleans()):
            rings.describe(number, DATA, number, data.draw(st.integers(0, 3)), data.draw(st.integers(0, 9)))
    rings.put(AVAILABLE + 2, "<H", index)
    queue = queue_on(rings)
    popped = 0
    while (chain := queue.pop()) is not None:
        popped += 1
        assert len(chain.readable) + len(chain.writable) <= QUEUE_SIZE
        assert all(ram.holds(*segment) for segment in chain.readable + chain.writable)
        queue.push(chain, 0)
        assert popped <= index
