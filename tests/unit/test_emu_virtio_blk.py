"""virtio disk: requests and their statuses, their time and order, and drivers that break the protocol."""

import struct

import pytest
from virtio_driver import AVAILABLE, DATA, QUEUE_SIZE, WRITE, Rings, bring_up

from emu.clock import TICKS_PER_US, Clock
from emu.dev.drive import SECTOR_SIZE, DriveError, RamDrive
from emu.dev.virtio_blk import LATENCY_TICKS, TICKS_PER_BYTE, VirtioBlk
from emu.events import NEVER, EventQueue
from emu.ram import Ram

SECTORS = 64
IMAGE = b"".join(struct.pack("<I", number) * 128 for number in range(SECTORS))
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
OK, IOERR, UNSUPP = 0, 1, 2
UNTOUCHED = 0xEE

HEADER, BUFFER, STATUS = DATA, DATA + 0x1000, DATA + 0x800


class NotingDrive(RamDrive):
    """Notes flushes; `failing` makes it a host that cannot."""

    failing = False
    flushed = 0

    def write(self, sector: int, data: bytes) -> None:
        if self.failing:
            raise DriveError("as asked")
        super().write(sector, data)

    def flush(self) -> None:
        if self.failing:
            raise DriveError("as asked")
        self.flushed += 1


class Board:
    """A disk that is set up, with its clock and events, and a driver."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events = EventQueue()
        self.drive = NotingDrive(IMAGE)
        self.ram = Ram(0x10_0000)
        self.rings = Rings(self.ram)
        self.raised = 0
        self.disk = VirtioBlk(self.ram, self.set_level, self.clock, self.events, self.drive, serial="disk-7")
        bring_up(self.disk)

    def set_level(self, level: bool) -> None:
        self.raised += level

    def request(self, number: int, kind: int, sector: int, data: list[tuple[int, int, int]]) -> int:
        """Describe request `number` (three descriptors from 3 * number on): its head."""
        header, status = HEADER + 16 * number, STATUS + number
        self.rings.put(header, "<IIQ", kind, 0, sector)
        self.rings.put(status, "B", UNTOUCHED)
        self.rings.chain(3 * number, [(header, 16, 0), *data, (status, 1, WRITE)])
        return 3 * number

    def notify(self, *heads: int) -> None:
        self.rings.offer(*heads)
        self.disk.store(0x50, 4, 0)

    def finish(self) -> int:
        """Let everything happen; how many ticks that took."""
        start = self.clock.now
        while self.events.next_ticks < NEVER:
            self.clock.advance_to(self.events.next_ticks)
            self.events.run_due(self.clock.now)
        return self.clock.now - start

    def status(self, number: int = 0) -> int:
        return self.rings.get(STATUS + number, "B")[0]

    def buffer(self, size: int) -> bytes:
        return bytes(self.ram.view(BUFFER, size))


@pytest.fixture
def board() -> Board:
    return Board()


def test_config_space(board: Board) -> None:
    assert board.disk.load(0x100, 4) == SECTORS
    assert board.disk.load(0x104, 4) == 0
    assert board.disk.load(0x114, 4) == SECTOR_SIZE
    assert board.disk.load(0x008, 4) == 2


def test_reads(board: Board) -> None:
    board.notify(board.request(0, IN, 5, [(BUFFER, 1024, WRITE)]))
    assert (board.status(), board.rings.used(), board.raised) == (UNTOUCHED, [], 0)
    assert board.finish() == LATENCY_TICKS + 1024 * TICKS_PER_BYTE
    assert (board.status(), board.rings.used(), board.raised) == (OK, [(0, 1025)], 1)
    assert board.buffer(1024) == IMAGE[5 * 512 : 7 * 512]
    assert LATENCY_TICKS == 20 * TICKS_PER_US


def test_writes_what_is_in_memory_at_completion(board: Board) -> None:
    board.notify(board.request(0, OUT, 63, [(BUFFER, 512, 0)]))
    board.ram.view(BUFFER, 512)[:] = b"w" * 512
    board.finish()
    assert (board.status(), board.rings.used()) == (OK, [(0, 1)])
    assert board.drive.read(63, 1) == b"w" * 512


def test_data_in_pieces(board: Board) -> None:
    """Header, data and status may be cut anywhere; the status is the last byte of all."""
    board.rings.put(HEADER, "<IIQ", IN, 0, 9)
    board.rings.chain(
        0,
        [
            (HEADER, 3, 0),
            (HEADER + 3, 13, 0),
            (BUFFER, 100, WRITE),
            (BUFFER + 100, 0, WRITE),
            (BUFFER + 100, 413, WRITE),
        ],
    )
    board.notify(0)
    board.finish()
    assert board.buffer(513) == IMAGE[9 * 512 : 10 * 512] + bytes([OK])
    assert board.rings.used() == [(0, 513)]


def test_write_with_header_and_data_in_one_descriptor(board: Board) -> None:
    board.rings.put(BUFFER, "<IIQ", OUT, 0, 2)
    board.ram.view(BUFFER + 16, 512)[:] = b"x" * 512
    board.rings.chain(0, [(BUFFER, 528, 0), (STATUS, 1, WRITE)])
    board.notify(0)
    board.finish()
    assert (board.status(), board.drive.read(2, 1)) == (OK, b"x" * 512)


@pytest.mark.parametrize(
    ("kind", "sector", "size", "status"),
    [
        (IN, 0, SECTORS * 512, OK),
        (IN, SECTORS - 1, 512, OK),
        (IN, SECTORS - 1, 1024, IOERR),
        (IN, SECTORS, 512, IOERR),
        (IN, (1 << 64) - 1, 512, IOERR),
        (IN, 0, 511, IOERR),
        (IN, 0, 0, OK),
        (OUT, SECTORS - 1, 1024, IOERR),
        (OUT, 1 << 63, 512, IOERR),
        (OUT, 0, 513, IOERR),
        (2, 0, 512, UNSUPP),
        (11, 0, 512, UNSUPP),
        (0xFFFFFFFF, 0, 512, UNSUPP),
    ],
)
def test_statuses(board: Board, kind: int, sector: int, size: int, status: int) -> None:
    board.notify(board.request(0, kind, sector, [(BUFFER, size, 0 if kind == OUT else WRITE)]))
    board.finish()
    assert board.status() == status
    assert board.rings.used() == [(0, 1 + (size if kind == IN and status == OK else 0))]
    assert board.disk.load(0x70, 4) == 15
    assert board.drive.read(0, SECTORS) == IMAGE


def test_flush(board: Board) -> None:
    board.notify(board.request(0, FLUSH, 0, []))
    board.finish()
    assert (board.status(), board.drive.flushed) == (OK, 1)


@pytest.mark.parametrize(
    ("size", "text"), [(20, b"disk-7" + bytes(14)), (3, b"dis"), (64, b"disk-7" + bytes(14))]
)
def test_get_id(board: Board, size: int, text: bytes) -> None:
    board.notify(board.request(0, GET_ID, 0, [(BUFFER, size, WRITE)]))
    board.finish()
    assert (board.status(), board.buffer(len(text))) == (OK, text)
    assert board.rings.used() == [(0, len(text) + 1)]


@pytest.mark.parametrize("kind", [OUT, FLUSH])
def test_a_host_that_fails_is_an_io_error(board: Board, kind: int) -> None:
    board.drive.failing = True
    board.notify(board.request(0, kind, 0, [(BUFFER, 512, 0)]))
    board.finish()
    assert board.status() == IOERR


def test_requests_together_share_the_latency_and_keep_their_order(board: Board) -> None:
    """The second overwrites what the first wrote, in whatever way they are submitted."""
    board.ram.view(BUFFER, 512)[:] = b"1" * 512
    board.ram.view(BUFFER + 512, 512)[:] = b"2" * 512
    first = board.request(0, OUT, 7, [(BUFFER, 512, 0)])
    second = board.request(1, OUT, 7, [(BUFFER + 512, 512, 0)])
    board.notify(first, second)
    assert board.finish() == LATENCY_TICKS + 2 * 512 * TICKS_PER_BYTE
    assert board.rings.used() == [(first, 1), (second, 1)]
    assert board.raised == 2
    assert board.drive.read(7, 1) == b"2" * 512


def test_a_later_small_request_does_not_overtake(board: Board) -> None:
    big = board.request(0, IN, 0, [(BUFFER, SECTORS * 512, WRITE)])
    small = board.request(1, FLUSH, 0, [])
    board.notify(big)
    board.clock.charge(1)
    board.notify(small)
    assert board.finish() == LATENCY_TICKS + SECTORS * 512 * TICKS_PER_BYTE - 1
    assert board.rings.used() == [(big, SECTORS * 512 + 1), (small, 1)]


def test_driver_may_ask_for_silence(board: Board) -> None:
    board.rings.put(AVAILABLE, "<H", 1)
    board.notify(board.request(0, FLUSH, 0, []))
    board.finish()
    assert (board.status(), board.raised) == (OK, 0)


def test_reset_drops_what_is_in_work(board: Board) -> None:
    board.ram.view(BUFFER, 512)[:] = b"w" * 512
    board.notify(board.request(0, OUT, 1, [(BUFFER, 512, 0)]))
    board.disk.store(0x70, 4, 0)
    assert board.events.next_ticks == NEVER
    board.finish()
    assert (board.status(), board.drive.read(0, SECTORS)) == (UNTOUCHED, IMAGE)
    bring_up(board.disk)
    board.disk.store(0x50, 4, 0)
    assert board.finish() == LATENCY_TICKS + 512 * TICKS_PER_BYTE
    assert board.drive.read(1, 1) == b"w" * 512


@pytest.mark.parametrize(
    "segments",
    [
        [(HEADER, 15, 0), (STATUS, 1, WRITE)],  # half a header
        [(HEADER, 16, 0)],  # no status
        [(HEADER, 16, 0), (STATUS, 0, WRITE)],
        [(STATUS, 1, WRITE)],
        [(HEADER, 16, WRITE), (STATUS, 1, WRITE)],
    ],
)
def test_what_is_no_request_stops_the_device(board: Board, segments: list[tuple[int, int, int]]) -> None:
    good = board.request(1, FLUSH, 0, [])
    board.rings.chain(0, segments)
    board.notify(good, 0, good)
    board.notify()
    board.finish()
    assert board.disk.load(0x70, 4) == 15 | 0x40
    assert board.rings.used() == [(good, 1)], "what came before it is done, what comes after is not"
    assert "header" in board.disk.broken


def test_a_queue_that_is_full_all_the_time(board: Board) -> None:
    for round_number in range(300):
        heads = [board.request(number, IN, round_number % SECTORS, []) for number in range(2)]
        board.notify(*heads)
        board.finish()
    assert board.rings.used_index == 600
    assert board.disk.load(0x70, 4) == 15


def test_time_of_many_requests_is_bounded_by_the_queue(board: Board) -> None:
    head = board.request(0, FLUSH, 0, [])
    for _ in range(5):
        board.notify(*[head] * QUEUE_SIZE)
    assert board.disk.load(0x70, 4) & 0x40, "more in work than the queue has descriptors"


def test_serial_has_a_limit() -> None:
    with pytest.raises(AssertionError, match="up to 20"):
        VirtioBlk(Ram(4096), lambda level: None, Clock(), EventQueue(), RamDrive(IMAGE), serial="x" * 21)
