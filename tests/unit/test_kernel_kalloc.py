"""FrameAllocator against a model: a dict of owners."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.ram import Ram
from kernel.abi.memlayout import PGSIZE
from kernel.mm.kalloc import FrameAllocator

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
