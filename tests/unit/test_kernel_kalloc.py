"""FrameAllocator against a model: a dict of owners."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.mm.kalloc import SUPER_FRAMES, FrameAllocator

FRAMES = 16
FIRST = 240  # frames of the RAM below ours


def make() -> tuple[Ram, FrameAllocator]:
    ram = Ram(1 << 20)
    ram.bytes[:] = b"\xa5" * ram.size
    return ram, FrameAllocator(ram, ram.base + FIRST * PGSIZE)


@given(st.lists(st.tuples(st.sampled_from(["alloc", "zeroed", "share", "free"]), st.integers(0, 99))))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_like_a_table_of_owners(ops: list[tuple[str, int]]) -> None:
    ram, frames = make()
    owners: dict[int, int] = {}
    for op, choice in ops:
        if op in ("alloc", "zeroed"):
            pa = frames.alloc() if op == "alloc" else frames.alloc_zeroed()
            assert bool(pa) == (len(owners) < FRAMES)
            if pa:
                assert pa not in owners and frames.first_pa <= pa < ram.end and pa % PGSIZE == 0
                page = bytes(ram.view(pa, PGSIZE))
                assert op == "alloc" or page == bytes(PGSIZE)
                ram.view(pa, PGSIZE)[:] = b"\x5a" * PGSIZE
                owners[pa] = 1
        elif owners:
            pa = sorted(owners)[choice % len(owners)]
            if op == "share":
                frames.share(pa)
                owners[pa] += 1
            else:
                frames.free(pa)
                owners[pa] -= 1
                if not owners[pa]:
                    del owners[pa]
        assert frames.free_frames == FRAMES - len(owners)
        assert all(frames.owners(pa) == count for pa, count in owners.items())
    assert bytes(ram.view(ram.base, FIRST * PGSIZE)) == b"\xa5" * (FIRST * PGSIZE), "others' RAM is untouched"


def test_lowest_first() -> None:
    _, frames = make()
    assert [frames.alloc() for _ in range(FRAMES)] == [frames.first_pa + i * PGSIZE for i in range(FRAMES)]


def test_zeroed_after_use() -> None:
    ram, frames = make()
    pa = frames.alloc()
    ram.view(pa, PGSIZE)[:] = b"x" * PGSIZE
    frames.free(pa)
    again = frames.alloc_zeroed()
    assert again == pa and bytes(ram.view(pa, PGSIZE)) == bytes(PGSIZE)


def test_reclaim_is_asked_when_none_is_left_and_only_then() -> None:
    _, frames = make()
    kept = [frames.alloc() for _ in range(FRAMES)]
    asked = []

    class Cache:
        def reclaim(self) -> bool:
            asked.append(len(kept))
            if not kept:
                return False
            frames.free(kept.pop())
            return True

        @property
        def reclaimable(self) -> int:
            return len(kept)

    frames.caches.append(Cache())
    frames.free(kept.pop())
    assert frames.available == FRAMES
    assert frames.alloc() and not asked
    assert frames.alloc() and asked == [FRAMES - 1]
    kept.clear()
    assert frames.alloc() == 0 and len(asked) == 2


def test_rules_are_asserted() -> None:
    ram, frames = make()
    pa = frames.alloc()
    frames.free(pa)
    with pytest.raises(AssertionError, match="nobody owns it"):
        frames.free(pa)
    with pytest.raises(AssertionError, match="nobody owns it"):
        frames.share(pa)
    pa = frames.alloc()
    with pytest.raises(AssertionError):
        frames.free(pa + 8)
    with pytest.raises(AssertionError, match="pages of RAM"):
        FrameAllocator(ram, ram.base + 8)


def test_caches_are_asked_in_order_until_one_gives() -> None:
    _, frames = make()
    taken = [frames.alloc() for _ in range(FRAMES)]
    asked = []

    class Cache:
        reclaimable = 0

        def __init__(self, name: str, gives: bool) -> None:
            self.name, self.gives = name, gives

        def reclaim(self) -> bool:
            asked.append(self.name)
            if self.gives:
                frames.free(taken.pop())
            return self.gives

    frames.caches += [Cache("empty", False), Cache("full", True), Cache("spared", True)]
    assert frames.alloc() and asked == ["empty", "full"]


# --- superpages ---


def pieces() -> tuple[Ram, FrameAllocator]:
    """Two pieces of 2 MiB, with 3 frames below the first and 256 above the last."""
    ram = Ram(7 << 20)
    ram.bytes[:] = b"\xa5" * ram.size
    frames = FrameAllocator(ram, ram.base + SUPERPGSIZE - 3 * PGSIZE)
    assert frames.free_frames == 3 + 2 * SUPER_FRAMES + 256
    return ram, frames


def test_every_frame_is_had_once_those_outside_of_whole_pieces_first_and_the_lowest_of_each() -> None:
    ram, frames = pieces()
    got = []
    while pa := frames.alloc():
        got.append(pa)
    whole = range(ram.base + SUPERPGSIZE, ram.base + 3 * SUPERPGSIZE, PGSIZE)
    outside = [*range(frames.first_pa, whole[0], PGSIZE), *range(whole[-1] + PGSIZE, ram.end, PGSIZE)]
    assert got == [*outside, *whole] and frames.free_frames == 0


def test_superpages_are_zeroed_and_lowest_first() -> None:
    ram, frames = pieces()
    got = [frames.alloc_super() for _ in range(3)]
    assert got == [ram.base + SUPERPGSIZE, ram.base + 2 * SUPERPGSIZE, 0]
    assert bytes(ram.view(got[0], 2 * SUPERPGSIZE)) == bytes(2 * SUPERPGSIZE)
    assert frames.free_frames == 3 + 256
    for pa in got[:2]:
        frames.share(pa)
        frames.free_super(pa)
        assert frames.owners(pa) == 1
        frames.free_super(pa)
    assert frames.free_frames == 3 + 2 * SUPER_FRAMES + 256


def test_single_frames_are_put_together_when_a_superpage_is_wanted_and_there_is_none() -> None:
    ram, frames = pieces()
    taken = []
    while pa := frames.alloc():
        taken.append(pa)
    missing = ram.base + 2 * SUPERPGSIZE + 7 * PGSIZE
    for pa in taken:
        if pa != missing:
            frames.free(pa)
    assert frames.alloc_super() == ram.base + SUPERPGSIZE
    assert frames.alloc_super() == 0, "of the other piece a frame is missing"
    frames.free(missing)
    frames.free_super(ram.base + SUPERPGSIZE)
    before = frames.free_frames
    assert frames.alloc_super() == ram.base + SUPERPGSIZE, "while one is there, none is put together"
    assert frames.alloc_super() == ram.base + 2 * SUPERPGSIZE
    assert before - frames.free_frames == 2 * SUPER_FRAMES


def test_pieces_put_together_are_lowest_first() -> None:
    ram, frames = pieces()
    taken = []
    while pa := frames.alloc():
        taken.append(pa)
    for pa in taken:
        frames.free(pa)
    assert [frames.alloc_super() for _ in range(2)] == [ram.base + SUPERPGSIZE, ram.base + 2 * SUPERPGSIZE]


def test_a_superpage_is_split_by_its_only_owner() -> None:
    _, frames = pieces()
    pa = frames.alloc_super()
    frames.share(pa)
    with pytest.raises(AssertionError, match="other owners"):
        frames.split_super(pa)
    frames.free_super(pa)
    frames.split_super(pa)
    before = frames.free_frames
    for i in range(SUPER_FRAMES):
        frames.free(pa + i * PGSIZE)
    assert frames.free_frames == before + SUPER_FRAMES
    with pytest.raises(AssertionError, match="no superpage"):
        frames.free_super(pa + PGSIZE)
