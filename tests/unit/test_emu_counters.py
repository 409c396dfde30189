"""Counters that would show the host's time do not exist, on either engine, in every mode."""

import struct
from pathlib import Path

import pytest

from emu import engine as e
from emu.board import Board
from emu.csr import HOST_COUNTERS, touches_host_counter
from emu.fast import FastEngine
from emu.public import PublicEngine
from toolchain import cc

HOOKS = cc.host_library(Path(__file__).resolve().parents[2] / "emu" / "native" / "hooks.c")
ENGINES = {"fast": lambda ram: FastEngine(ram, HOOKS), "public": PublicEngine}
NOP, ADDI, SPIN = 0x0000_0013, 0x0010_8093, 0x0000_006F
READ_OPS = (2, 3, 6, 7)  # csrrs, csrrc and their immediate forms, with x0 for the source
CODE, HANDLER = 0x1000, 0x2000


def board(engine: str, words: list[int]) -> Board:
    """A board in M-mode at these instructions, the handler of its traps a loop."""
    made = Board(1, ENGINES[engine], None, lambda byte: None)
    base = made.ram.base
    made.ram.view(base + CODE, 4 * len(words))[:] = struct.pack(f"<{len(words)}I", *words)
    made.ram.u32[HANDLER // 4] = SPIN
    made.hart.regs[e.MTVEC] = base + HANDLER
    made.hart.regs[e.PC] = base + CODE
    return made


def read(csr: int, op: int = 2) -> int:
    return csr << 20 | op << 12 | 5 << 7 | 0x73


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("csr", [0xB00, 0xC00, 0xC02])
def test_reading_one_is_an_illegal_instruction(engine: str, csr: int, stepped: bool) -> None:
    for op in READ_OPS:
        for before in range(3):
            made = board(engine, [ADDI] * before + [read(csr, op), ADDI])
            if stepped:
                for _ in range(before + 1):
                    made.loop.step()
            else:
                made.loop.run(made.clock.now + 4 * before + 8)
            regs, base = made.hart.regs, made.ram.base
            assert regs[e.MCAUSE] == 2 and regs[e.MEPC] == base + CODE + 4 * before
            assert regs[e.PC] == base + HANDLER and regs[1] == before and regs[5] == 0
            assert made.clock.now == 4 * before + (0 if stepped else 8)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_only_looks_like_one(engine: str) -> None:
    """Two compressed instructions, and halves of two others, with the bits of rdcycle."""
    c_nop = 0x0001
    lui_with_rdcycle = 0x2573_0537  # its upper half, followed by 0xC000 (c.sw), reads as rdcycle
    made = board(engine, [lui_with_rdcycle, c_nop << 16 | c_nop, ADDI, SPIN])
    made.loop.run(made.clock.now + 40)
    assert made.hart.regs[10] == 0x2573_0000 and made.hart.regs[1] == 1


def test_which_instructions_touch_them() -> None:
    for csr in HOST_COUNTERS:
        assert all(touches_host_counter(read(csr, op)) for op in (1, 2, 3, 5, 6, 7))
        assert not touches_host_counter(read(csr, 0)) and not touches_host_counter(read(csr, 4))
    assert not touches_host_counter(read(0xC01)), "time is the board's own"
    assert not touches_host_counter(NOP)
