"""UART 16550: registers, FIFOs, interrupts, and that an xv6-like driver neither storms nor misses a byte."""

import pytest

from emu.dev.plic import Plic
from emu.dev.uart import FIFO_SIZE, Uart

DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 2, 3, 4, 5, 6, 7
RX, TX, LINE = 1, 2, 4
NONE, SHOWS_TX, SHOWS_RX, SHOWS_LINE, SHOWS_TIMEOUT = 1, 2, 4, 6, 0xC


class Board:
    """A UART, what it sent, and the calls on its interrupt line."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.calls: list[bool] = []
        self.uart = Uart(self.calls.append, self.sent.append)

    @property
    def level(self) -> bool:
        return bool(self.calls) and self.calls[-1]

    def read(self, register: int) -> int:
        return self.uart.load(register, 1)

    def write(self, register: int, value: int) -> None:
        self.uart.store(register, 1, value)

    def receive(self, data: bytes) -> None:
        for byte in data:
            self.uart.receive(byte)


@pytest.fixture
def board() -> Board:
    return Board()


def test_reset_state(board: Board) -> None:
    assert [board.read(register) for register in range(8)] == [0, 0, NONE, 0, 0, 0x60, 0xB0, 0]
    assert board.uart.room == 1
    assert board.calls == []
    board.write(LCR, 0x80)
    assert (board.read(DATA), board.read(IER)) == (12, 0), "the divisor of 9600 baud"


def test_transmits_at_once(board: Board) -> None:
    for byte in b"hi\n":
        assert board.read(LSR) & 0x60 == 0x60
        board.write(DATA, byte)
    assert bytes(board.sent) == b"hi\n"
    assert board.calls == []


def test_divisor_latch_hides_data_and_interrupt_enable(board: Board) -> None:
    board.write(IER, RX)
    board.write(LCR, 0x83)
    board.write(DATA, 0x34)
    board.write(IER, 0x12)
    assert (board.read(DATA), board.read(IER)) == (0x34, 0x12)
    board.write(LCR, 0x03)
    assert (board.read(DATA), board.read(IER)) == (0, RX)
    assert board.sent == b""


@pytest.mark.parametrize(
    ("register", "written", "read"),
    [
        (IER, 0xFF, 0x0F),
        (LCR, 0x1F, 0x1F),
        (MCR, 0xEF, 0x0F),
        (SCR, 0xA5, 0xA5),
        (LSR, 0, 0x60),
        (MSR, 0, 0xB0),
    ],
)
def test_plain_registers(board: Board, register: int, written: int, read: int) -> None:
    board.write(register, written)
    assert board.read(register) == read


def test_wide_accesses_reach_one_register(board: Board) -> None:
    board.uart.store(SCR, 4, 0x1234_56A5)
    board.uart.store(DATA, 4, 0x4142_4344)
    assert board.uart.load(SCR, 4) == 0xA5
    assert board.sent == b"\x44"
    assert board.uart.load(8, 4) == board.uart.load(0xFFC, 4) == 0


def test_fifo_takes_sixteen_and_reports_overrun_once(board: Board) -> None:
    board.write(FCR, 1)
    assert board.uart.room == FIFO_SIZE
    board.receive(bytes(range(17)))
    assert board.uart.room == 0
    assert board.read(LSR) == 0x63
    assert board.read(LSR) == 0x61
    assert [board.read(DATA) for _ in range(16)] == list(range(16))
    assert (board.read(LSR), board.uart.room) == (0x60, 16)


def test_without_fifo_the_newest_byte_wins(board: Board) -> None:
    board.receive(b"ab")
    assert board.read(LSR) == 0x63
    assert board.read(DATA) == ord("b")
    assert board.read(LSR) == 0x60


@pytest.mark.parametrize("command", [0, 0b11])  # switched off; receiver cleared
def test_fifo_control_empties_the_receiver(board: Board, command: int) -> None:
    board.write(FCR, 1)
    board.write(IER, RX)
    board.receive(b"abc")
    board.write(FCR, command)
    assert board.read(LSR) == 0x60
    assert not board.level


def test_received_data_interrupt(board: Board) -> None:
    board.receive(b"a")
    assert board.calls == []
    board.write(IER, RX)
    assert board.calls == [True]
    assert board.read(IIR) == SHOWS_RX
    board.read(DATA)
    assert board.calls == [True, False]
    assert board.read(IIR) == NONE


def test_below_the_trigger_level_it_is_a_timeout(board: Board) -> None:
    board.write(FCR, 0x41)  # four bytes
    board.write(IER, RX)
    board.receive(b"abc")
    assert board.read(IIR) == 0xC0 | SHOWS_TIMEOUT
    board.receive(b"d")
    assert board.read(IIR) == 0xC0 | SHOWS_RX


def test_transmitter_empty_interrupt_is_cleared_by_iir(board: Board) -> None:
    board.write(IER, TX)
    assert board.calls == [True]
    assert board.read(IIR) == SHOWS_TX
    assert board.calls == [True, False]
    assert board.read(IIR) == NONE
    board.write(DATA, ord("x"))
    assert board.calls == [True, False, True]
    board.write(IER, 0)
    assert not board.level
    board.write(IER, TX)
    assert board.level, "enabling it tells of an empty transmitter again"


def test_priorities(board: Board) -> None:
    board.write(IER, RX | TX | LINE)
    board.receive(b"ab")  # an overrun
    assert board.read(IIR) == SHOWS_LINE
    board.read(LSR)
    assert board.read(IIR) == SHOWS_RX
    board.read(DATA)
    assert board.read(IIR) == SHOWS_TX
    assert board.read(IIR) == NONE
    assert not board.level


def test_overrun_does_not_interrupt_unless_enabled(board: Board) -> None:
    board.write(IER, TX)
    board.read(IIR)
    board.receive(b"ab")
    assert not board.level


def test_each_byte_raises_the_line_again(board: Board) -> None:
    board.write(FCR, 1)
    board.write(IER, RX)
    board.receive(b"ab")
    assert board.calls == [True, True]
    board.read(DATA)
    assert board.calls == [True, True, True], "one byte is left"
    board.read(DATA)
    assert board.calls[-1] is False


def test_loop_back(board: Board) -> None:
    board.write(FCR, 1)
    board.write(MCR, 0x10)
    board.write(DATA, 0x5A)
    board.uart.receive(0x11)
    assert board.uart.room == 0
    assert (board.read(DATA), board.read(LSR)) == (0x5A, 0x60)
    assert board.sent == b""
    for outputs, status in [(0, 0), (1, 0x20), (2, 0x10), (4, 0x40), (8, 0x80)]:
        board.write(MCR, 0x10 | outputs)
        assert board.read(MSR) == status


def test_a_driver_that_never_reads_iir_gets_all_bytes_and_no_storm() -> None:
    """As xv6 does it: both interrupts enabled, a handler that drains the receiver, then complete."""
    level = [False]
    plic = Plic([lambda _: None, lambda high: level.__setitem__(0, high)])
    sent = bytearray()
    uart = Uart(plic.line(10), sent.append)
    plic.store(40, 4, 1)
    plic.store(0x2080, 4, 1 << 10)
    got = bytearray()
    interrupts = 0

    def handle() -> None:
        nonlocal interrupts
        while level[0]:
            interrupts += 1
            assert interrupts < 200, "a storm"
            assert plic.load(0x20_1004, 4) == 10
            while uart.load(LSR, 1) & 1:
                got.append(uart.load(DATA, 1))
                uart.store(DATA, 1, got[-1])  # the echo
            plic.store(0x20_1004, 4, 10)

    uart.store(IER, 1, 0)
    uart.store(FCR, 1, 7)
    uart.store(IER, 1, RX | TX)
    uart.store(DATA, 1, ord(">"))
    handle()
    for byte in b"one by one":
        uart.receive(byte)
        assert level[0]
        handle()
    for byte in b"in a burst":
        uart.receive(byte)
    handle()
    assert bytes(got) == b"one by onein a burst"
    assert sent == b">" + got
