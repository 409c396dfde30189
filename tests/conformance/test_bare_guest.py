"""A guest in C that uses the board as xv6's kernel does boots on both engines, in the same virtual time.

It is compiled here from guest/; xv6 itself, which is not in this repository, boots in the same way.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from emu.board import Board
from emu.board_map import virt
from emu.clock import TICKS_PER_S
from emu.cpu.fast import FastEngine
from emu.cpu.public import PublicEngine
from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi import elf
from toolchain import cc

GUEST = Path(__file__).with_name("guest")
HOOKS = Path(__file__).resolve().parents[2] / "emu" / "cpu" / "native" / "hooks.c"
SECTOR = bytes(range(256)) * 2
LINES = b"hello\nboard\n\n"
SAID = b"up\n3 ticks\ndisk interrupts: 2\nolleh\ndraob\n\n"


@cache
def guest() -> bytes:
    return cc.link_freestanding(sorted(GUEST.glob("*.[cS]")), GUEST / "guest.ld")


class Computer:
    """A board with the guest in RAM and a disk of two sectors."""

    def __init__(self, engine: str) -> None:
        self.said = bytearray()
        self.drive = RamDrive(bytearray(SECTOR + bytes(512)))
        hooks = cc.host_library(HOOKS)
        make = PublicEngine if engine == "public" else lambda ram: FastEngine(ram, hooks)
        self.board = Board(1, make, virt(self.drive, self.said.append))
        header = elf.Header.unpack(guest())
        assert header is not None
        for segment in elf.segments(guest(), header):
            data = guest()[segment.offset : segment.offset + segment.filesz]
            self.board.ram.view(segment.vaddr, len(data))[:] = data

    def run(self, slice_ticks: int) -> bytes:
        """Run to the end, a byte of input whenever all before is done; the digest of what is left."""
        loop, clock = self.board.loop, self.board.clock
        to_type = bytearray(LINES)

        def type_a_byte(until_ticks: int) -> bool:
            waits = b"disk" in self.said and bool(to_type)
            if waits:
                self.board.uart.receive(to_type.pop(0))
            return waits

        loop.on_idle = type_a_byte
        while self.board.exit_code is None:
            assert loop.run(clock.now + slice_ticks) is not Stop.ASLEEP and clock.now < TICKS_PER_S
        digest = sha256(bytes(self.said))
        self.board.digest_update(digest)
        return digest.digest()


@pytest.mark.parametrize("engine", ["fast", "public"])
def test_the_guest_runs_to_its_end(engine: str) -> None:
    computer = Computer(engine)
    computer.run(TICKS_PER_S)
    assert bytes(computer.said) == SAID and computer.board.exit_code == 0
    assert computer.drive.read(1, 1) == SECTOR[::-1]


def test_engines_and_slices_do_not_show() -> None:
    """Slices of 3.3 us cut it at some hundred places."""
    expected = Computer("fast").run(TICKS_PER_S)
    assert Computer("public").run(TICKS_PER_S) == expected
    assert Computer("fast").run(13_333) == expected
    assert Computer("public").run(101_111) == expected
