"""The host code that the fast engine's library has made of blocks, for tests and for docs/engine.md."""

import ctypes
from dataclasses import dataclass

import capstone

from emu.cpu import layout
from emu.cpu.fast import FastEngine

# In the translator: where the next block is put.  There its object lies in front of its code, with pc,
# the bytes of guest code, where the host code is, and how long.
NEXT_IN_TRANSLATOR = 0xC0
ALIGNED = 64
BYTES_IN_BLOCK, CODE_IN_BLOCK, CODE_BYTES_IN_BLOCK = 0x14, 0x20, 0x28


@dataclass(frozen=True)
class HostBlock:
    """A block: its address and bytes in the guest, and its host code."""

    pc: int
    bytes: int
    code: bytes

    def listing(self) -> list[str]:
        """The code in Intel's syntax; jumps within it go to +N bytes, other addresses are left out."""
        disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        lines = []
        for one in disassembler.disasm(self.code, 0):
            operands = one.op_str
            if one.mnemonic.startswith("j"):
                to = int(operands, 16)
                operands = f"+{to}" if 0 <= to < len(self.code) else "..."
            elif one.mnemonic == "movabs" and int(operands.split()[-1], 16) >> 40:
                operands = f"{operands.split(',')[0]}, ..."
            lines.append(f"+{one.address:<4} {one.mnemonic:<6} {operands}".rstrip())
        return lines


def next_place(engine: FastEngine) -> int:
    """Where the next block is put that is translated."""
    return _word(_word(engine._uc._uch.value + layout.TRANSLATOR_IN_ENGINE) + NEXT_IN_TRANSLATOR)


def block_at(place: int) -> HostBlock:
    """The block that was put there."""
    at = -(-place // ALIGNED) * ALIGNED
    code = ctypes.string_at(_word(at + CODE_IN_BLOCK), _word(at + CODE_BYTES_IN_BLOCK))
    return HostBlock(_word(at), _word(at + BYTES_IN_BLOCK) & 0xFFFF, code)


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value
