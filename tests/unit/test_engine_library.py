"""The fast engine runs on one known build of the library: anything else is refused before it is used.

The offsets into the library's insides are also proved one by one; each kind of surprise is made here.
"""

from collections.abc import Callable
from typing import Any

import pytest
from bare import HOOKS

from emu.cpu import engine as e
from emu.cpu import fast
from emu.cpu.fast import EngineUnavailable, FastEngine, check_library
from emu.cpu.library import riscv_const
from emu.ram import Ram


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("VERSION", "2.1.5", "is not 2.1.5"),
        ("BUILD_ID", bytes(20 * [0xA5]), "not the build"),
        ("LIBRARY_BYTES", fast.LIBRARY_BYTES + 1, "not the build"),
        ("NOTES_BYTES", 16, "not the build"),
    ],
)
def test_another_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, why: str
) -> None:
    check_library()
    monkeypatch.setattr(fast, name, value)
    with pytest.raises(EngineUnavailable, match=why):
        FastEngine(Ram(1 << 20), HOOKS)


@pytest.mark.parametrize(
    "name", ["NEXT_BLOCK_FLAGS_IN_CPU", "EXCEPTION_IN_CPU", "ENGINE_IN_CPU", "TLBS_BEFORE_STATE"]
)
def test_a_word_that_lies_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(fast, name, getattr(fast, name) + 8)
    with pytest.raises(EngineUnavailable, match="not laid out as expected"):
        FastEngine(Ram(1 << 20), HOOKS)


class Registers:
    """A library whose public interface has the register of word `odd` elsewhere, or `reads` it wrongly."""

    def __init__(self, odd: int = -1, *, reads: bool = False) -> None:
        self.words: dict[int, int] = {e.PRIV: 3}
        self.odd = odd
        self.reads = reads
        self.at = _word_of()

    def __getitem__(self, word: int) -> int:
        return self.words.get(word, 0)

    def __setitem__(self, word: int, value: int) -> None:
        self.words[word] = value

    def reg_write(self, register: int, value: int) -> None:
        word = self.at[register]
        self.words[word + (word == self.odd and not self.reads)] = value

    def reg_read(self, register: int) -> int:
        word = self.at[register]
        return 1 if word == self.odd and self.reads else self.words.get(word, 0)


def _word_of() -> dict[int, int]:
    names = {"A0": e.X + 10, "X31": e.X + 31, "F7": e.F + 7, "PC": e.PC, "STVEC": e.STVEC, "SEPC": e.SEPC}
    names |= {"SCAUSE": e.SCAUSE, "STVAL": e.STVAL, "MTVEC": e.MTVEC, "MEPC": e.MEPC, "SSCRATCH": e.SSCRATCH}
    return {getattr(riscv_const, f"UC_RISCV_REG_{name}"): word for name, word in names.items()}


def proof(registers: Registers) -> Callable[[], None]:
    """The proof of the hart's registers, on these."""
    engine: Any = FastEngine.__new__(FastEngine)
    engine._uc = engine.regs = registers
    prove: Callable[[], None] = engine._prove_registers
    return prove


@pytest.mark.parametrize("word", _word_of().values())
def test_a_register_that_lies_elsewhere_is_found(word: int) -> None:
    proof(Registers())()
    with pytest.raises(EngineUnavailable, match=rf"not laid out as expected \(word {word}\)"):
        proof(Registers(word))()
    with pytest.raises(EngineUnavailable, match=f"does not follow word {word}"):
        proof(Registers(word, reads=True))()


def test_a_hart_that_starts_elsewhere_than_in_machine_mode_is_found() -> None:
    registers = Registers()
    registers[e.PRIV] = 1
    with pytest.raises(EngineUnavailable, match="M-mode"):
        proof(registers)()
