"""PLIC: priorities, claims, and the rule of emu/dev/plic.py about what becomes pending when."""

import pytest

from emu.dev.plic import Plic

DISK, SERIAL = 1, 10
PRIORITY, PENDING, THRESHOLD, CLAIM = 0, 0x1000, 0x20_0000, 0x20_0004


class Board:
    """A PLIC for one hart (contexts 0 and 1), all sources at priority 1 and enabled for context 1."""

    def __init__(self) -> None:
        self.levels = [False, False]
        self.changes = 0
        self.plic = Plic([self.output(0), self.output(1)])
        for source in range(96):
            self.plic.store(PRIORITY + 4 * source, 4, 1)
        for word in range(3):
            self.plic.store(0x2080 + 4 * word, 4, 0xFFFF_FFFF)

    def output(self, context: int):  # type: ignore[no-untyped-def]
        def set_level(level: bool) -> None:
            assert self.levels[context] != level, "only changes are told"
            self.levels[context] = level
            self.changes += 1

        return set_level

    def claim(self, context: int = 1) -> int:
        return self.plic.load(CLAIM + 0x1000 * context, 4)

    def complete(self, source: int, context: int = 1) -> None:
        self.plic.store(CLAIM + 0x1000 * context, 4, source)

    def pending(self, source: int) -> bool:
        return bool(self.plic.load(PENDING + 4 * (source // 32), 4) >> source % 32 & 1)


@pytest.fixture
def board() -> Board:
    return Board()


def test_claim_and_complete(board: Board) -> None:
    line = board.plic.line(SERIAL)
    assert board.claim() == 0
    line(True)
    assert board.levels == [False, True]
    assert board.pending(SERIAL)
    assert board.claim() == SERIAL
    assert board.levels == [False, False]
    assert not board.pending(SERIAL)
    assert board.claim() == 0
    line(False)
    board.complete(SERIAL)
    assert board.levels == [False, False]
    line(True)
    assert board.claim() == SERIAL


def test_what_is_being_served_can_be_seen(board: Board) -> None:
    board.plic.line(SERIAL)(True)
    assert board.plic.claimed == 0
    board.claim()
    assert board.plic.claimed == 1 << SERIAL
    board.complete(SERIAL)
    assert board.plic.claimed == 0


def test_a_line_that_stays_high_does_not_storm(board: Board) -> None:
    board.plic.line(SERIAL)(True)
    assert board.claim() == SERIAL
    board.complete(SERIAL)
    assert board.claim() == 0
    assert board.levels == [False, False]


def test_a_new_reason_on_a_high_line_interrupts_again(board: Board) -> None:
    line = board.plic.line(SERIAL)
    line(True)
    assert board.claim() == SERIAL
    board.complete(SERIAL)
    line(True)
    assert board.claim() == SERIAL


def test_a_reason_while_in_service_is_delivered_after_completion(board: Board) -> None:
    line = board.plic.line(SERIAL)
    line(True)
    assert board.claim() == SERIAL
    line(True)
    line(True)
    assert board.pending(SERIAL)
    assert (board.levels, board.claim()) == ([False, False], 0)
    board.complete(SERIAL)
    assert board.levels == [False, True]
    assert board.claim() == SERIAL
    board.complete(SERIAL)
    assert board.claim() == 0


def test_a_line_that_falls_before_the_claim_takes_its_request_back(board: Board) -> None:
    line = board.plic.line(SERIAL)
    line(True)
    line(False)
    assert board.levels == [False, False]
    assert board.claim() == 0


def test_highest_priority_first_then_lowest_number(board: Board) -> None:
    for source, priority in [(3, 2), (4, 7), (5, 7), (6, 1), (95, 3)]:
        board.plic.store(PRIORITY + 4 * source, 4, priority)
        board.plic.line(source)(True)
    assert [board.claim() for _ in range(6)] == [4, 5, 95, 3, 6, 0]


def test_priority_zero_never_interrupts(board: Board) -> None:
    board.plic.store(PRIORITY + 4 * SERIAL, 4, 0)
    board.plic.line(SERIAL)(True)
    assert (board.levels, board.claim()) == ([False, False], 0)
    board.plic.store(PRIORITY + 4 * SERIAL, 4, 1)
    assert board.levels == [False, True]


def test_threshold(board: Board) -> None:
    board.plic.line(SERIAL)(True)
    board.plic.store(THRESHOLD + 0x1000, 4, 1)
    assert (board.levels, board.claim()) == ([False, False], 0)
    board.plic.store(THRESHOLD + 0x1000, 4, 0)
    assert board.levels == [False, True]


def test_enable_bits_are_per_context(board: Board) -> None:
    board.plic.line(DISK)(True)
    board.plic.line(40)(True)
    board.plic.store(0x2080, 4, 0)
    assert board.plic.load(0x2084, 4) == 0xFFFF_FFFF
    board.plic.store(0x2000, 4, 1 << DISK)
    assert board.levels == [True, True]
    assert board.claim(1) == 40
    assert board.levels == [True, False]
    assert board.claim(0) == DISK


def test_one_claim_for_two_contexts(board: Board) -> None:
    board.plic.store(0x2000, 4, 1 << DISK)
    board.plic.line(DISK)(True)
    assert board.levels == [True, True]
    assert board.claim(0) == DISK
    assert board.levels == [False, False]
    assert board.claim(1) == 0
    board.complete(DISK, 1)
    board.plic.line(DISK)(True)
    assert board.claim(1) == DISK


@pytest.mark.parametrize(
    ("offset", "written", "read"),
    [
        (PRIORITY, 7, 0),  # there is no source 0
        (PRIORITY + 4, 0xFFFF_FFFF, 7),
        (PRIORITY + 4 * 95, 6, 6),
        (PRIORITY + 4 * 96, 6, 0),
        (PENDING, 0xFFFF_FFFF, 0),  # read only
        (0x2000, 0xFFFF_FFFF, 0xFFFF_FFFE),
        (0x2008, 0x8000_0001, 0x8000_0001),
        (0x200C, 1, 0),
        (0x2100, 1, 0),  # context 2
        (THRESHOLD, 0xFFFF_FFFF, 7),
        (THRESHOLD + 0x2000, 7, 0),
        (CLAIM, 5, 0),
        (0x3FF_FFFC, 5, 0),
    ],
)
def test_registers(board: Board, offset: int, written: int, read: int) -> None:
    board.plic.store(offset, 4, written)
    assert board.plic.load(offset, 4) == read


def test_narrow_accesses_do_nothing(board: Board) -> None:
    board.plic.line(SERIAL)(True)
    assert board.plic.load(CLAIM + 0x1000, 1) == board.plic.load(CLAIM + 0x1000, 2) == 0
    board.plic.store(THRESHOLD + 0x1000, 1, 7)
    assert board.claim() == SERIAL


@pytest.mark.parametrize("source", [0, 96, -1])
def test_sources_that_are_not_there(source: int) -> None:
    with pytest.raises(AssertionError, match="sources are 1 to 95"):
        Plic([]).line(source)


@pytest.mark.parametrize(("offset", "value"), [(0, SERIAL), (8, SERIAL), (4, 96), (4, 0xFFFF_FFFF)])
def test_only_its_number_in_the_claim_register_completes_a_source(
    board: Board, offset: int, value: int
) -> None:
    line = board.plic.line(SERIAL)
    line(True)
    assert board.claim() == SERIAL
    line(False)
    line(True)
    board.plic.store(THRESHOLD + 0x1000 + offset, 4, value)
    board.plic.store(THRESHOLD + 0x1000, 4, 0)
    assert board.claim() == 0, "it is claimed still"
    board.complete(SERIAL)
    assert board.claim() == SERIAL
