"""The board: which device answers where, whose interrupt reaches which bit of mip, what a digest covers."""

import hashlib
from collections.abc import Iterator

import pytest

from emu import board_map as at
from emu.board import Board
from emu.board_map import virt
from emu.cpu import engine as e
from emu.cpu.hart import M_EXTERNAL, M_SOFT, M_TIMER, MACHINE, S_EXTERNAL, S_TIMER
from emu.cpu.public import PublicEngine
from emu.dev import virtio, virtio_blk
from emu.dev.drive import RamDrive
from emu.loop import Stop
from emu.ram import RAM_BASE

SECTORS = 8
PRIORITY, ENABLE_M, ENABLE_S, CLAIM_M, CLAIM_S = 0, 0x2000, 0x2080, 0x20_0004, 0x20_1004
UART_IER = 1
UART_IER_RX = 1
JUMP_TO_ITSELF = 0xA001


@pytest.fixture
def board() -> Iterator[Board]:
    yield made()


def made(drive: RamDrive | None = None) -> Board:
    return Board(1, PublicEngine, virt(drive, lambda byte: None))


def lines(board: Board) -> set[int]:
    """The bits of mip that devices hold high."""
    return {bit for bit in range(16) if board.hart.regs[e.MIP] >> bit & 1}


def test_it_starts_in_m_mode_at_the_start_of_ram(board: Board) -> None:
    assert (board.hart.regs[e.PC], board.hart.privilege, board.clock.now) == (RAM_BASE, MACHINE, 0)
    assert board.ram.size == 1 << 20 and not lines(board)


def test_the_clint_has_the_software_and_the_timer_line(board: Board) -> None:
    board.bus.store(at.CLINT, 4, 1)
    assert lines(board) == {M_SOFT}
    board.bus.store(at.CLINT, 4, 0)
    board.bus.store(at.CLINT + 0x4000, 8, 0)
    assert lines(board) == {M_TIMER}


def test_stimecmp_has_the_supervisors_timer_line(board: Board) -> None:
    board.timer.set_compare(0)
    assert lines(board) == {S_TIMER}


@pytest.mark.parametrize(
    ("enable", "claim", "line"), [(ENABLE_M, CLAIM_M, M_EXTERNAL), (ENABLE_S, CLAIM_S, S_EXTERNAL)]
)
def test_the_plic_has_a_context_for_each_mode_and_a_source_for_each_device(
    board: Board, enable: int, claim: int, line: int
) -> None:
    for source in range(1, 64):
        board.bus.store(at.PLIC + PRIORITY + 4 * source, 4, 1)
    for word in (0, 4):
        board.bus.store(at.PLIC + enable + word, 4, 0xFFFF_FFFF)
    for slot, device in enumerate(board.virtio):
        device.interrupt_used()
        assert lines(board) == {line}
        assert board.bus.load(at.PLIC + claim, 4) == at.VIRTIO0_IRQ + slot
        board.bus.store(at.PLIC + claim, 4, at.VIRTIO0_IRQ + slot)
        assert not lines(board)
    board.bus.store(at.UART0 + UART_IER, 1, UART_IER_RX)
    board.uart.receive(65)
    assert lines(board) == {line} and board.bus.load(at.PLIC + claim, 4) == at.UART0_IRQ


def test_the_disk_is_in_the_first_slot_and_the_others_are_empty() -> None:
    for drive, first in ((None, 0), (RamDrive(bytes(512 * SECTORS)), virtio_blk.DEVICE_ID)):
        board = made(drive)
        assert len(board.virtio) == at.VIRTIO_COUNT
        for slot in range(at.VIRTIO_COUNT):
            base = at.VIRTIO0 + slot * at.VIRTIO_STRIDE
            assert board.bus.load(base + virtio.Reg.MAGIC, 4) == virtio.MAGIC
            assert board.bus.load(base + virtio.Reg.DEVICE_ID, 4) == (first if slot == 0 else 0)


def test_8_bytes_are_one_access_to_the_clint_and_two_to_the_other_devices(board: Board) -> None:
    board.bus.store(at.CLINT + 0x4000, 8, 0x1234_5678_9ABC_DEF0)
    assert board.bus.load(at.CLINT + 0x4000, 8) == 0x1234_5678_9ABC_DEF0
    board.bus.store(at.PLIC + PRIORITY + 8, 8, 3 << 32 | 2)
    assert [board.bus.load(at.PLIC + PRIORITY + 4 * source, 4) for source in (2, 3)] == [2, 3]
    assert board.bus.load(at.PLIC + PRIORITY + 8, 8) == 3 << 32 | 2
    assert board.bus.load(at.VIRTIO0, 8) == virtio.VERSION << 32 | virtio.MAGIC


@pytest.mark.parametrize(("word", "code"), [(0x5555, 0), (0x7777, 0), (0x3333, 0), (7 << 16 | 0x3333, 7)])
def test_the_finisher_ends_the_run(board: Board, word: int, code: int) -> None:
    board.ram.view(RAM_BASE, 2)[:] = JUMP_TO_ITSELF.to_bytes(2, "little")
    board.events.at(100, lambda: board.bus.store(at.FINISHER, 4, word))
    assert board.loop.run(1000) is Stop.ASKED
    assert board.exit_code == code and board.clock.now == 100


def digest(board: Board) -> str:
    result = hashlib.sha256()
    board.digest_update(result)
    return result.hexdigest()


def test_a_digest_covers_registers_time_memory_and_disk() -> None:
    """Each change of one shows, and two that are alike have one digest."""
    drive = RamDrive(bytes(512 * SECTORS))
    board = made(drive)
    seen = [digest(board)]
    assert digest(made(RamDrive(bytes(512 * SECTORS)))) == seen[0] != digest(made())
    for index in (*range(1, 32), e.F, e.F + 31, e.PC, e.SEPC, e.STVEC, e.SCAUSE, e.SSCRATCH, e.MEPC):
        board.hart.regs[index] = 4 * index + 4
        seen.append(digest(board))
    for place in (RAM_BASE, board.ram.end - 1):
        board.ram.view(place, 1)[0] = 1
        seen.append(digest(board))
    for sector in (0, SECTORS - 1):
        drive.write(sector, b"x" * 512)
        seen.append(digest(board))
    board.clock.advance_to(1)
    seen.append(digest(board))
    assert len(set(seen)) == len(seen)
