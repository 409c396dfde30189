"""CLINT: mtime from the clock, comparators as events, software interrupts, halves of registers."""

import pytest

from emu.clock import Clock
from emu.dev.clint import TICKS_PER_MTIME, Clint, HartLines
from emu.events import NEVER, EventQueue

ALL_ONES = (1 << 64) - 1


class Board:
    """A CLINT with two harts, and the levels of their lines."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events = EventQueue()
        self.msip = [False, False]
        self.mtip = [False, False]
        self.clint = Clint(self.clock, self.events, [self.lines(0), self.lines(1)])

    def lines(self, hart: int) -> HartLines:
        return HartLines(
            lambda level: self.msip.__setitem__(hart, level), lambda level: self.mtip.__setitem__(hart, level)
        )

    def pass_ticks(self, ticks: int) -> None:
        """Let time pass as the machine loop does: event by event."""
        end = self.clock.now + ticks
        while self.events.next_ticks <= end:
            self.clock.advance_to(self.events.next_ticks)
            self.events.run_due(self.clock.now)
        self.clock.advance_to(end)


@pytest.fixture
def board() -> Board:
    return Board()


def test_mtime_counts_at_ten_megahertz(board: Board) -> None:
    board.clock.charge(TICKS_PER_MTIME * 5 - 1)
    assert board.clint.load(0xBFF8, 8) == 4
    board.clock.charge(1)
    assert board.clint.load(0xBFF8, 8) == board.clint.load(0xBFF8, 4) == 5
    assert board.clock.time_ps == 500_000


def test_comparator_interrupts_at_the_exact_tick(board: Board) -> None:
    board.clint.store(0x4000, 8, 10)
    assert board.events.next_ticks == 10 * TICKS_PER_MTIME
    board.pass_ticks(10 * TICKS_PER_MTIME - 1)
    assert board.mtip == [False, False]
    board.pass_ticks(1)
    assert board.mtip == [True, False]
    assert board.events.next_ticks == NEVER
    board.clint.store(0x4000, 8, 11)
    assert board.mtip == [False, False]
    board.pass_ticks(TICKS_PER_MTIME)
    assert board.mtip == [True, False]
    board.clint.store(0x4000, 8, ALL_ONES)
    assert board.mtip == [False, False]
    assert board.events.next_ticks == NEVER


def test_a_comparator_in_the_past_is_high_at_once(board: Board) -> None:
    board.pass_ticks(1000 * TICKS_PER_MTIME)
    board.clint.store(0x4008, 8, 1000)
    assert board.mtip == [False, True]


def test_setting_a_comparator_again_forgets_the_old_time(board: Board) -> None:
    board.clint.store(0x4000, 8, 10)
    board.clint.store(0x4000, 8, 20)
    assert board.events.next_ticks == 20 * TICKS_PER_MTIME
    board.pass_ticks(15 * TICKS_PER_MTIME)
    assert board.mtip == [False, False]
    board.pass_ticks(5 * TICKS_PER_MTIME)
    assert board.mtip == [True, False]


def test_halves_of_a_comparator(board: Board) -> None:
    board.clint.store(0x4008, 4, 0x89ABCDEF)
    board.clint.store(0x400C, 4, 0x01234567)
    assert board.clint.load(0x4008, 8) == 0x0123456789ABCDEF
    assert board.clint.load(0x400C, 4) == 0x01234567
    assert board.clint.load(0x4000, 8) == ALL_ONES


def test_writing_mtime_moves_the_comparators(board: Board) -> None:
    board.clint.store(0x4000, 8, 1000)
    board.clock.charge(10 * TICKS_PER_MTIME)
    board.clint.store(0xBFF8, 8, 990)
    assert board.clint.load(0xBFF8, 8) == 990
    board.pass_ticks(10 * TICKS_PER_MTIME - 1)
    assert board.mtip == [False, False]
    board.pass_ticks(1)
    assert board.mtip == [True, False]
    board.clint.store(0xBFF8, 4, 5)
    assert board.clint.load(0xBFF8, 8) == 5
    assert board.mtip == [False, False]
    board.clint.store(0xBFFC, 4, 7)
    assert board.clint.load(0xBFF8, 8) == 7 << 32 | 5
    assert board.mtip == [True, False]


def test_ticks_at(board: Board) -> None:
    board.clock.charge(3 * TICKS_PER_MTIME + 7)
    assert board.clint.ticks_at(3) == board.clock.now
    assert board.clint.ticks_at(4) == 4 * TICKS_PER_MTIME
    assert board.clint.ticks_at(ALL_ONES - 1) == (ALL_ONES - 1) * TICKS_PER_MTIME
    assert board.clint.ticks_at(ALL_ONES) == NEVER


def test_software_interrupts(board: Board) -> None:
    board.clint.store(4, 4, 0xFFFF_FFFF)
    assert board.msip == [False, True]
    assert (board.clint.load(0, 4), board.clint.load(4, 4)) == (0, 1)
    board.clint.store(0, 8, 1)
    assert board.msip == [True, False]
    assert board.clint.load(0, 8) == 1
    board.clint.store(4, 4, 1)
    assert board.msip == [True, True]
    board.clint.store(0, 4, 0)
    assert board.msip == [False, True]
    board.clint.store(8, 4, 1)  # a hart that is not there
    assert board.clint.load(8, 4) == 0


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (0x4000, 2), (0xBFF8, 1), (0x4010, 8), (0xC000, 4)])
def test_what_is_no_register_reads_zero_and_ignores(board: Board, offset: int, size: int) -> None:
    board.clock.charge(1 << 40)
    board.clint.store(offset, size, 1)
    assert board.clint.load(offset, size) == 0
    assert board.msip == board.mtip == [False, False]
    assert board.events.next_ticks == NEVER
