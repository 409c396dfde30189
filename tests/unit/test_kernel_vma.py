"""The lists of mappings against a model that has an entry for each page."""

from errno import ENOMEM
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.abi.fcntl import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import NVMA
from kernel.errors import SyscallError
from kernel.mm.vma import Vma, VmaList

PAGES = 40  # of the model's address space
RW = PROT_READ | PROT_WRITE


class Page(NamedTuple):
    """What the model knows of a page: the attributes of its mapping, and where in the file it is."""

    prot: int
    flags: int
    ip: Any
    index: int
    may_write: bool


Model = dict[int, Page]


def model_of(vmas: VmaList) -> Model:
    return {
        va // PGSIZE: Page(vma.prot, vma.flags, vma.ip, vma.page_index(va), vma.may_write)
        for vma in vmas
        for va in range(vma.start, vma.end, PGSIZE)
    }


def neighbours_that_could_be_one(model: Model) -> int:
    """How many of the pages continue the mapping of the page before them."""
    return sum(
        page - 1 in model and model[page - 1]._replace(index=model[page - 1].index + 1) == model[page]
        for page in model
    )


def check(vmas: VmaList, model: Model) -> None:
    """The list says of every page what the model says, and has no mapping more than it must."""
    assert model_of(vmas) == model
    assert len(vmas) == len(list(vmas)) == len(model) - neighbours_that_could_be_one(model) <= NVMA
    assert [vma.start for vma in vmas] == sorted(vma.start for vma in vmas)
    for page in range(PAGES):
        found = vmas.find(page * PGSIZE + 5)
        assert (found is not None) == (page in model)
        if found is not None:
            assert found.start <= page * PGSIZE < found.end


RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES)).map(
    lambda ends: (min(ends), max(max(ends), min(ends) + 1))
)
STEPS = st.one_of(
    st.tuples(
        st.just("insert"),
        RANGES,
        st.sampled_from([PROT_READ, RW]),
        st.sampled_from(
            [
                (MAP_PRIVATE | MAP_ANONYMOUS, None, True),
                (MAP_SHARED, "file a", True),
                (MAP_SHARED, "file a", False),
                (MAP_PRIVATE, "file b", True),
            ]
        ),
        st.integers(-2, 2),
    ),
    st.tuples(st.just("remove"), RANGES),
    st.tuples(st.just("protect"), RANGES, st.sampled_from([0, PROT_READ, RW])),
)


@given(st.lists(STEPS, max_size=30))
def test_lists_against_pages(steps: list[Any]) -> None:
    vmas, model = VmaList(), Model()
    for step in steps:
        first, last = step[1]
        low, high = first * PGSIZE, last * PGSIZE
        before, pages_before = vmas, dict(model)
        assert vmas.cover(low, high) == all(page in model for page in range(first, last))
        if step[0] == "insert":
            _, _, prot, (flags, ip, may_write), shift = step
            # offsets that go on from the page before, or nearly so
            index = first if ip is None else first + PAGES + shift
            if not vmas.parts(low, high):
                vmas = vmas.insert(Vma(low, high, prot, flags, ip, index * PGSIZE, None, may_write))
                for page in range(first, last):
                    model[page] = Page(prot, flags, ip, index + page - first, may_write)
            else:
                assert any(page in model for page in range(first, last))
        elif step[0] == "remove":
            vmas = vmas.remove(low, high)
            for page in range(first, last):
                model.pop(page, None)
        else:
            vmas = vmas.protect(low, high, step[2])
            for page in range(first, last):
                if page in model:
                    model[page] = model[page]._replace(prot=step[2])
        check(vmas, model)
        assert model_of(before) == pages_before, "a list is a value"


@given(st.lists(RANGES, max_size=8), RANGES, st.integers(1, PAGES))
def test_the_highest_gap(used: list[tuple[int, int]], area: tuple[int, int], size: int) -> None:
    vmas, taken = VmaList(), set[int]()
    for first, last in used:
        # all within the area, as mmap's are
        first, last = max(first, area[0]), min(last, area[1])
        if first < last and not taken & {*range(first, last)}:
            taken |= {*range(first, last)}
            vmas = vmas.insert(anonymous(first, last))
    found = vmas.gap(size * PGSIZE, area[0] * PGSIZE, area[1] * PGSIZE)
    fits = [page for page in range(area[0], area[1] - size + 1) if not taken & {*range(page, page + size)}]
    assert found == (fits[-1] * PGSIZE if fits else -1)


def anonymous(first: int, last: int, prot: int = RW) -> Vma:
    return Vma(first * PGSIZE, last * PGSIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, offset=first * PGSIZE)


def test_a_hole_in_the_middle_leaves_two() -> None:
    whole = Vma(0x10000, 0x15000, RW, MAP_SHARED, offset=0x3000)
    assert list(VmaList([whole]).remove(0x12000, 0x13000)) == [
        Vma(0x10000, 0x12000, RW, MAP_SHARED, offset=0x3000),
        Vma(0x13000, 0x15000, RW, MAP_SHARED, offset=0x6000),
    ]


def test_the_limit_is_an_error_that_changes_nothing() -> None:
    full = VmaList(anonymous(2 * i, 2 * i + 1) for i in range(NVMA - 1)).insert(anonymous(1000, 1003))
    assert len(full) == NVMA
    for change in (
        lambda: full.insert(anonymous(2000, 2001)),
        lambda: full.remove(1001 * PGSIZE, 1002 * PGSIZE),
        lambda: full.protect(1001 * PGSIZE, 1002 * PGSIZE, PROT_READ),
    ):
        with pytest.raises(SyscallError) as error:
            change()
        assert error.value.code == ENOMEM and len(full) == NVMA
    # what needs no further one goes on
    assert len(full.insert(anonymous(1003, 1004))) == len(full.protect(0, PGSIZE, PROT_READ)) == NVMA


def test_overlaps_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="two mappings at 0x2000"):
        VmaList([anonymous(1, 3), anonymous(2, 4)])


def test_nothing_is_a_part_of_no_mapping() -> None:
    """An empty range, as mprotect of 0 bytes has, in the middle of a mapping."""
    vmas = VmaList([anonymous(1, 4)])
    assert vmas.parts(2 * PGSIZE, 2 * PGSIZE) == []
    assert vmas.protect(2 * PGSIZE, 2 * PGSIZE, PROT_READ) == vmas and vmas.cover(2 * PGSIZE, 2 * PGSIZE)


def test_a_mapping_ends_before_its_end() -> None:
    vmas = VmaList([anonymous(1, 3)])
    ends = [PGSIZE - 1, PGSIZE, 3 * PGSIZE - 1, 3 * PGSIZE]
    assert [vmas.find(va) is not None for va in ends] == [False, True, True, False]


def test_a_gap_that_just_fits_is_taken_and_what_lies_above_the_area_does_not_count() -> None:
    vmas = VmaList([anonymous(2, 4), anonymous(6, 8), anonymous(20, 21)])
    assert vmas.gap(2 * PGSIZE, 0, 8 * PGSIZE) == 4 * PGSIZE
    assert vmas.gap(2 * PGSIZE, 0, 10 * PGSIZE) == 8 * PGSIZE
    assert vmas.gap(3 * PGSIZE, 0, 10 * PGSIZE) == -1


def test_stores_reach_a_file_where_they_are_shared_and_may_be_made() -> None:
    ip: Any = object()
    shared = Vma(0, PGSIZE, PROT_READ, MAP_SHARED, ip)
    assert shared.writes_file, "mprotect may still ask for it"
    for other in (
        shared._replace(flags=MAP_PRIVATE),
        shared._replace(may_write=False),
        shared._replace(ip=None, flags=MAP_SHARED | MAP_ANONYMOUS),
    ):
        assert not other.writes_file
