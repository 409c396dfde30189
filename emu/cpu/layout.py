"""The insides of the one build of Unicorn that the fast engine knows: where it keeps things, and proofs.

Used by emu/cpu/fast.py.  The offsets were read off the library with the build id given here and mean nothing
for another one, so the library is checked for that (`check_library`).  Each time an engine is made the
offsets are proved besides: by writing through the public interface and reading through the private one, and
by finding known values where they belong.  native/hart.h, tlb.h and clock.h have the same offsets.  What is
not as expected raises EngineUnavailable, with the reason as its text.
"""

import ctypes
from pathlib import Path
from typing import Any, Final

from emu.cpu import engine as e
from emu.cpu.library import library, riscv_const, unicorn

VERSION: Final = "2.1.4"
# The linker's hash of all that it put into the library, and the size of the file: hashing its 24 MB anew
# would be a quarter of a start.
BUILD_ID: Final = bytes.fromhex("44285d3e80527122e9e361928189385906ec813e")  # Linux x86-64 wheel
LIBRARY_BYTES: Final = 24_507_432
NOTES_BYTES: Final = 4096  # from the start of the file; the build id is among the notes there

# In uc_engine, in bytes: cpu, the translator (TCGContext), no_exit_request.
CPU_IN_ENGINE: Final = 440
TRANSLATOR_IN_ENGINE: Final = 768
NO_EXIT_REQUEST_IN_ENGINE: Final = 2034
# In the CPUState behind `cpu`: cflags_next_tb, a pointer that the library does not use, exception_index, uc,
# and CPURISCVState.
NEXT_BLOCK_FLAGS_IN_CPU: Final = 24
HART_IN_CPU: Final = 33136
EXCEPTION_IN_CPU: Final = 33184
ENGINE_IN_CPU: Final = 33192
ENV_IN_CPU: Final = 36112
# In front of that: the TLB of each mode (the size of its entries as a mask, and where they are), how full it
# was (struct use of native/tlb.h), and the bytes that align the state, which hold the clock.
TLBS_BEFORE_STATE: Final = 80
USES_BEFORE_STATE: Final = 0xB30
USE_BYTES: Final = 696
FREE_BEFORE_STATE: Final = 12
MODES: Final = 4
TLB_MASK_AT_START: Final = 255 << 6
# In the translator: the temporaries that stand for the state's address and for pc, and uc.  In a temporary:
# its name.
STATE_IN_TRANSLATOR: Final = 0x88F0
ENGINE_IN_TRANSLATOR: Final = 0x8970
PC_IN_TRANSLATOR: Final = 0x8CD0
NAME_IN_TEMPORARY: Final = 32

ENV_WORDS: Final = 160
NONE_32: Final = (1 << 32) - 1  # both of the 32-bit words above, when there is none
SINCE_2020_NS: Final = 1_577_836_800 * 10**9

PROBES: Final = {
    e.X + 10: riscv_const.UC_RISCV_REG_A0,
    e.X + 31: riscv_const.UC_RISCV_REG_X31,
    e.F + 7: riscv_const.UC_RISCV_REG_F7,
    e.PC: riscv_const.UC_RISCV_REG_PC,
    e.STVEC: riscv_const.UC_RISCV_REG_STVEC,
    e.SEPC: riscv_const.UC_RISCV_REG_SEPC,
    e.SCAUSE: riscv_const.UC_RISCV_REG_SCAUSE,
    e.STVAL: riscv_const.UC_RISCV_REG_STVAL,
    e.MTVEC: riscv_const.UC_RISCV_REG_MTVEC,
    e.MEPC: riscv_const.UC_RISCV_REG_MEPC,
    e.SSCRATCH: riscv_const.UC_RISCV_REG_SSCRATCH,
}


class EngineUnavailable(Exception):
    """The fast engine cannot be had here; the text says why."""


def check_library() -> None:
    """Raise EngineUnavailable unless the loaded Unicorn is the build whose internals are known."""
    if unicorn.__version__ != VERSION:
        raise EngineUnavailable(f"unicorn {unicorn.__version__} is not {VERSION}")
    path = Path(library()._name)
    with path.open("rb") as file:
        notes = file.read(NOTES_BYTES)
    if BUILD_ID not in notes or path.stat().st_size != LIBRARY_BYTES:
        raise EngineUnavailable(f"the library {path.name} is not the build whose insides are known")


def prove_registers(uc: Any, regs: e.Words) -> None:
    """Check that what the public interface writes is found at the offsets that we use."""
    for index, register in PROBES.items():
        magic = 0x5EED_0000_0000_0000 + index * 0x1_0001_0004
        uc.reg_write(register, magic)
        if regs[index] != magic:
            raise EngineUnavailable(f"the hart's state is not laid out as expected (word {index})")
        regs[index] = 0
        if uc.reg_read(register) != 0:
            raise EngineUnavailable(f"the hart's state does not follow word {index}")
    if regs[e.PRIV] != 3:
        raise EngineUnavailable("the hart does not start in M-mode")


def prove_cpu(engine: int, cpu: int) -> None:
    """Check the words of the engine's and the CPU's objects that the native hooks use."""
    for offset in (NEXT_BLOCK_FLAGS_IN_CPU, EXCEPTION_IN_CPU):
        if _word_32(cpu + offset) != NONE_32:
            raise EngineUnavailable(f"the CPU's object is not laid out as expected (byte {offset})")
    if _word(cpu + ENGINE_IN_CPU) != engine or _word(cpu + HART_IN_CPU):
        raise EngineUnavailable("the CPU's object is not laid out as expected")
    state = cpu + ENV_IN_CPU
    if any(ctypes.string_at(state - FREE_BEFORE_STATE, FREE_BEFORE_STATE)):
        raise EngineUnavailable("the bytes in front of the hart's state are not free")
    first_ns = _word(state - USES_BEFORE_STATE + 16)
    for mode in range(MODES):
        tlb, use = state - TLBS_BEFORE_STATE + 16 * mode, state - USES_BEFORE_STATE + USE_BYTES * mode
        begin_ns, used_max, used = (_word(use + 8 * i) for i in (2, 3, 4))
        has_begun = begin_ns == first_ns > SINCE_2020_NS  # all at one moment, of the host's clock
        if _word(tlb) != TLB_MASK_AT_START or not has_begun or used_max or used:
            raise EngineUnavailable(f"the TLB of mode {mode} is not laid out as expected")
    if ctypes.c_uint8.from_address(engine + NO_EXIT_REQUEST_IN_ENGINE).value != 0:
        raise EngineUnavailable("the engine's object is not laid out as expected")


def prove_translator(engine: int) -> None:
    """Check the words of the translator that native/clock.h uses."""
    translator = _word(engine + TRANSLATOR_IN_ENGINE)
    names = (STATE_IN_TRANSLATOR, b"env"), (PC_IN_TRANSLATOR, b"pc")
    if not translator or _word(translator + ENGINE_IN_TRANSLATOR) != engine:
        raise EngineUnavailable("the translator is not laid out as expected")
    for offset, name in names:
        temporary = translator + _word(translator + offset)
        if ctypes.string_at(_word(temporary + NAME_IN_TEMPORARY)) != name:
            raise EngineUnavailable(f"the translator has no temporary {name.decode()} where it is expected")


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _word_32(address: int) -> int:
    return ctypes.c_uint32.from_address(address).value
