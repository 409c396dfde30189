"""UserCopy where the model of test_kernel_vm.py does not look: what a copy marks and costs, where it ends."""

from typing import Any

import pytest
from test_kernel_vm import RW, RX, Machine, Space

from emu.cpu.sv39 import Access
from kernel.abi.memlayout import MAXVA, PGSIZE, SUPERPGSIZE
from kernel.abi.riscv import PTE_A, PTE_D, PTE_X
from kernel.errors import BadAddress
from kernel.mm.usercopy import PIECE_MAX, REST_IN_BYTES, REST_OUT_BYTES, UserBuffer


class Kernel(Machine):
    """A machine with one space, whose `pages` pages are mapped, and one promised; it counts its rests."""

    def __init__(self, pages: int = 4, perm: int = RW) -> None:
        super().__init__()
        self.p: Any = Space(self.space(), (pages + 1) * PGSIZE)
        self.vm.grow(self.p, 0, pages * PGSIZE, perm)
        self.dropped.clear()
        self.rests = 0
        self.copyin, self.copyout = self.usercopy.copyin, self.usercopy.copyout

    def rest(self) -> None:
        self.rests += 1

    def marks(self, va: int) -> int:
        return self.vm.pte(self.p, va) & (PTE_A | PTE_D)


@pytest.fixture
def k() -> Any:
    return Kernel()


END = 5 * PGSIZE  # of what the process may use


def test_a_store_marks_its_pages_as_the_hart_would_and_no_others(k: Any) -> None:
    k.copyin(k.p, 0, 3 * PGSIZE)
    assert not k.marks(0), "reading leaves no trace: what is A is for who looks at the pages a program used"
    k.copyout(k.p, PGSIZE - 1, b"xy")
    assert [k.marks(page * PGSIZE) for page in range(3)] == [PTE_A | PTE_D, PTE_A | PTE_D, 0]
    k.copyout(k.p, END - 1, b"x")
    assert k.marks(END - PGSIZE) == PTE_A | PTE_D, "a page that was only promised, too"


def test_a_store_to_what_may_be_instructions_drops_them() -> None:
    """Where the page can be executed, or another maps the frame, who may execute it; not for mere data."""
    k: Any = Kernel()
    k.copyout(k.p, 0, bytes(2 * PGSIZE))
    assert k.dropped == []
    shared = k.physical(k.p, PGSIZE, Access.LOAD)
    k.frames.share(shared)
    k.copyout(k.p, PGSIZE - 8, bytes(16))
    assert k.dropped == [shared]
    k = Kernel(1, RW | PTE_X)
    k.copyout(k.p, 8, b"x")
    assert k.dropped == [k.physical(k.p, 0, Access.FETCH)]


@pytest.mark.parametrize("n", [1, 100, PGSIZE, 3 * PGSIZE])
def test_a_byte_costs_a_tick_of_time(k: Any, n: int) -> None:
    before = k.clock.now
    k.copyin(k.p, 8, n)
    assert k.clock.now == before + n
    k.copyout(k.p, 8, bytes(n))
    assert k.clock.now == before + 2 * n


@pytest.mark.parametrize("n", [0, -1, -(1 << 31)])
def test_no_bytes_need_no_memory(k: Any, n: int) -> None:
    assert k.copyin(k.p, MAXVA, n) == b""
    k.copyout(k.p, MAXVA, b"")
    assert k.clock.now == 0


def test_what_goes_on_over_the_end_of_a_page_is_whole(k: Any) -> None:
    data = bytes(range(256)) * 48
    k.copyout(k.p, 100, data)
    for va, n in ((100, 12288), (PGSIZE - 4, 4), (PGSIZE - 4, 5), (100, 2 * PGSIZE - 100), (99, PGSIZE)):
        assert k.copyin(k.p, va, n) == (bytes(100) + data)[va : va + n]


@pytest.mark.parametrize("before", [0, 1, 100, PGSIZE, PGSIZE + 1])
def test_up_to_the_first_bad_address(k: Any, before: int) -> None:
    """Of each kind: what is whole to be good fails, what takes what there is says how much there was."""
    va, data = END - before, bytes(before + 8)
    k.copyout(k.p, va, data[:before])
    for call in (lambda: k.copyin(k.p, va, before + 8), lambda: k.copyout(k.p, va, data)):
        with pytest.raises(BadAddress) as error:
            call()
        assert error.value.va == END
    assert UserBuffer(k.usercopy, k.p, (va, before + 8)).take(before + 8) == data[:before]
    assert UserBuffer(k.usercopy, k.p, (va, before + 8)).put(data) == before
    assert UserBuffer(k.usercopy, k.p, (va, before + 8)).put(data[:before]) == before


@pytest.mark.parametrize("unit", [1, 8])
@pytest.mark.parametrize("before", [0, 3, 8, 4095, 4096, 4101, 9000])
def test_bytes_are_handed_on_in_whole_units_up_to_a_bad_address(k: Any, before: int, unit: int) -> None:
    buf = UserBuffer(k.usercopy, k.p, (END - before, before + 100))
    taken = list(buf.pieces(unit))
    assert buf.done == before // unit * unit == sum(map(len, taken))
    assert all(len(data) <= PIECE_MAX for data in taken)


def test_a_long_copy_rests_now_and_then() -> None:
    size = 2 * REST_OUT_BYTES
    k: Any = Kernel(size // PGSIZE)
    k.copyout(k.p, 0, bytes(REST_OUT_BYTES - 1))
    assert k.rests == 0
    k.copyout(k.p, 0, bytes(size))
    assert k.rests == 2
    for n in (REST_IN_BYTES - 1, 3 * REST_IN_BYTES + 1):
        assert k.rests == 2
        assert sum(map(len, UserBuffer(k.usercopy, k.p, (0, n)).pieces())) == n
    assert k.rests == 5


@pytest.mark.parametrize("at", [0, PGSIZE - 3, 4 * PGSIZE - 1, 4 * PGSIZE + 8, END - 6])
def test_a_string_ends_within_its_limit(k: Any, at: int) -> None:
    """The NUL counts; the last page is promised and there at the first touch."""
    if at < 4 * PGSIZE:
        k.copyout(k.p, at, b"hello\0"[: 4 * PGSIZE - at])
    else:
        k.copyout(k.p, at, b"hello")
    expected = k.copyin(k.p, at, 6).partition(b"\0")[0]
    assert k.usercopy.copyinstr(k.p, at, len(expected) + 1) == expected
    with pytest.raises(BadAddress):
        k.usercopy.copyinstr(k.p, at, len(expected))


def test_a_string_on_promised_pages_is_empty_and_one_without_an_end_is_none(k: Any) -> None:
    assert k.usercopy.copyinstr(k.p, 4 * PGSIZE + 5, 1) == b""
    k.copyout(k.p, END - 3, b"abc")
    with pytest.raises(BadAddress) as error:
        k.usercopy.copyinstr(k.p, END - 3, 100)
    assert error.value.va == END


def test_a_superpage_is_copied_as_the_pages_it_stands_for() -> None:
    k: Any = Kernel(SUPERPGSIZE // PGSIZE)
    data = bytes(range(251)) * 40
    k.copyout(k.p, SUPERPGSIZE - PGSIZE - 5000, data)
    assert k.copyin(k.p, SUPERPGSIZE - PGSIZE - 5000, len(data)) == data
    assert k.marks(0) == PTE_A | PTE_D


def test_what_is_only_executed_is_not_written() -> None:
    k: Any = Kernel(1, RX)
    with pytest.raises(BadAddress):
        k.copyout(k.p, 0, b"x")
    assert k.marks(0) == 0 and k.dropped == []
