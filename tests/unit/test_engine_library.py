"""The fast engine runs on one known build of the library: anything else is refused before it is used.

The offsets into the library's insides are also proved one by one; each kind of surprise is made here.
"""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from bare import HOOKS

from emu.cpu import engine as e
from emu.cpu import fast, layout
from emu.cpu.fast import FastEngine
from emu.cpu.layout import EngineUnavailable, check_library
from emu.cpu.library import library, riscv_const
from emu.cpu.public import PublicEngine
from emu.ram import Ram


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("VERSION", "2.1.5", "is not 2.1.5"),
        ("BUILD_ID", bytes(20 * [0xA5]), "not the build"),
        ("LIBRARY_BYTES", layout.LIBRARY_BYTES + 1, "not the build"),
        ("NOTES_BYTES", 16, "not the build"),
    ],
)
def test_another_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, why: str
) -> None:
    check_library()
    monkeypatch.setattr(layout, name, value)
    with pytest.raises(EngineUnavailable, match=why):
        FastEngine(Ram(1 << 20), HOOKS)


@pytest.mark.parametrize(
    "name",
    [
        "NEXT_BLOCK_FLAGS_IN_CPU",
        "EXCEPTION_IN_CPU",
        "ENGINE_IN_CPU",
        "TLBS_BEFORE_STATE",
        "USES_BEFORE_STATE",
        "TRANSLATOR_IN_ENGINE",
        "ENGINE_IN_TRANSLATOR",
    ],
)
def test_a_word_that_lies_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(layout, name, getattr(layout, name) + 8)
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


def proof(registers: Any) -> Callable[[], None]:
    """The proof of the hart's registers, on these."""
    return partial(layout.prove_registers, registers, registers)


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


@pytest.mark.parametrize(
    ("name", "other", "missing"),
    [("STATE_IN_TRANSLATOR", "PC_IN_TRANSLATOR", "env"), ("PC_IN_TRANSLATOR", "STATE_IN_TRANSLATOR", "pc")],
)
def test_a_temporary_of_another_name_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, other: str, missing: str
) -> None:
    monkeypatch.setattr(layout, name, getattr(layout, other))
    with pytest.raises(EngineUnavailable, match=f"no temporary {missing} where"):
        FastEngine(Ram(1 << 20), HOOKS)


def test_bytes_in_front_of_the_state_that_are_not_free_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "FREE_BEFORE_STATE", layout.TLBS_BEFORE_STATE)
    with pytest.raises(EngineUnavailable, match="are not free"):
        FastEngine(Ram(1 << 20), HOOKS)


def test_a_function_that_has_no_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "REDIRECTED", (("helper_check_exit_request", "on_emit_call"),))
    with pytest.raises(EngineUnavailable, match="no place of its own for helper_check_exit_request"):
        FastEngine(Ram(1 << 20), HOOKS)


def test_a_block_that_does_not_pay_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = FastEngine(Ram(1 << 20), HOOKS)._slot("tcg_gen_code", constant=False)
    others = tuple(pair for pair in fast.REDIRECTED if pair[1] != "on_generate")
    monkeypatch.setattr(fast, "REDIRECTED", others)
    word = ctypes.c_uint64.from_address(slot)
    ours = word.value
    word.value = ctypes.cast(library().tcg_gen_code_riscv64, ctypes.c_void_p).value or 0
    try:
        with pytest.raises(EngineUnavailable, match="does not translate as expected"):
            FastEngine(Ram(1 << 20), HOOKS)
    finally:
        word.value = ours


def test_an_engine_is_made_as_one_that_has_run_nothing() -> None:
    ram = Ram(1 << 20)
    ram.bytes[:8] = bytes(range(8))
    engine = FastEngine(ram, HOOKS)
    assert [engine.cells[i] for i in range(e.CELLS)] == [0] * e.CELLS
    assert bytes(ram.bytes[:8]) == bytes(range(8)) and not any(engine._code_pages)
    public = PublicEngine(Ram(1 << 20))
    assert all(engine.regs[i] == public.regs[i] for i in e.DIGESTED if i != e.PC)
