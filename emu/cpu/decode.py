"""Decodes instruction words: their length, which memory they access, whether they are floating point.

A device is not mapped in the engine: an access to one stops the hart with pc on the instruction, and
emu/cpu/exits.py decodes it here, does the access on the bus, and steps over. The address of a fault is found
in the same way. Only instructions that access memory are decoded; for others the result is None.
Whether a word is floating point matters where that is switched off, or its state is marked as unchanged.
Source: The RISC-V Instruction Set Manual, volume I, chapters 2 (RV32I), 5 (RV64I), 8 (A), 11-12 (F, D),
16 (C) and the tables of chapter 24.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

_MASK64: Final = (1 << 64) - 1


class Kind(Enum):
    """What is done to memory."""

    LOAD = "load"
    STORE = "store"
    LR = "lr"
    SC = "sc"
    AMO = "amo"


@dataclass(frozen=True, slots=True)
class MemoryAccess:
    """One instruction that touches memory: `size` bytes at x[base] + offset.

    rd is the register written (LOAD, LR, SC, AMO), rs2 the register whose value is stored or combined
    (STORE, SC, AMO); the one that a kind has not is 0. With is_float they number f registers.
    signed: a loaded value is sign-extended to 64 bits. op: which AMO (as amo_result takes it), else "".
    length: of the instruction, in bytes.
    """

    kind: Kind
    rd: int
    rs2: int
    base: int
    offset: int
    size: int
    signed: bool
    is_float: bool
    length: int
    op: str = ""

    def register_value(self, raw: int) -> int:
        """What the 64-bit register rd holds after `raw` (`size` bytes, unsigned) came from memory."""
        bits = self.size * 8
        if self.is_float:
            return raw | _MASK64 << bits & _MASK64  # NaN-boxed
        return _to_signed(raw, bits) & _MASK64 if self.signed else raw


def length(word: int) -> int:
    """Bytes of the instruction that begins with the 16 or more bits `word`: 2 or 4."""
    return 4 if word & 3 == 3 else 2


def is_fence_i(word: int) -> bool:
    """Whether `word` is a fence.i: what was written to memory is now to be run."""
    return word & 0x707F == 0x100F


_FLOAT_OPCODES: Final = frozenset((0x07, 0x27, 0x43, 0x47, 0x4B, 0x4F, 0x53))
_SYSTEM: Final = 0x73
_OP_FP: Final = 0x53
_FUNCT5_FMV_X_OR_FCLASS: Final = 0x1C
_FCSR: Final = 3  # fflags is CSR 1, frm 2


def is_float(word: int) -> bool:
    """Whether `word` is floating point, and so does not exist while mstatus.FS is off; CSRs apart.

    All of the seven major opcodes is, and c.fld, c.fsd, c.fldsp and c.fsdsp, whose funct3 is 1 or 5.
    """
    if word & 3 == 3:
        return word & 0x7F in _FLOAT_OPCODES
    return word & 1 == 0 and word >> 13 & 3 == 1


def may_write_float(word: int) -> bool:
    """Whether `word` may change floating-point state, a register or fcsr, so that mstatus.FS becomes dirty.

    A reserved encoding among the others may too; what only reads state does not.
    """
    opcode = word & 0x7F
    if opcode == _SYSTEM:
        op, rs1 = word >> 12 & 3, word >> 15 & 31
        return 1 <= word >> 20 <= _FCSR and (op == 1 or (op > 1 and rs1 != 0))
    if opcode == _OP_FP:
        return word >> 27 != _FUNCT5_FMV_X_OR_FCLASS
    is_store = opcode == _STORE_FP if word & 3 == 3 else bool(word >> 15 & 1)
    return is_float(word) and not is_store


def lengths(code: bytes | memoryview) -> list[int]:
    """Lengths of the instructions that follow one another from the start of `code`.

    One that is cut off by the end of `code` is left out.
    """
    result: list[int] = []
    at = 0
    while at + 2 <= len(code):
        size = length(code[at])
        if at + size > len(code):
            break
        result.append(size)
        at += size
    return result


@lru_cache(maxsize=1024)
def decode(word: int) -> MemoryAccess | None:
    """The memory access of instruction `word`, or None if it is no load, store or atomic.

    word: 32 bits as fetched; of a compressed instruction only the low 16 count.
    """
    quadrant = word & 3
    if quadrant == 3:
        return _decode_32(word & 0xFFFF_FFFF)
    if quadrant == 0:
        return _decode_register_based(word)
    if quadrant == 2:
        return _decode_stack_based(word)
    return None


# 32-bit formats:
#
#   31        25 24   20 19   15 14    12 11       7 6       0
#   +-----------+-------+-------+--------+----------+---------+
#   | imm[11:0]         | base  | funct3 | rd       | opcode  |  load
#   | imm[11:5] | rs2   | base  | funct3 | imm[4:0] | opcode  |  store
#   | f5  aq rl | rs2   | base  | funct3 | rd       | opcode  |  atomic
#   +-----------+-------+-------+--------+----------+---------+

_LOAD: Final = 0x03
_LOAD_FP: Final = 0x07
_STORE: Final = 0x23
_STORE_FP: Final = 0x27
_AMO: Final = 0x2F

_FUNCT5_LR: Final = 0x02
_FUNCT5_SC: Final = 0x03
_FUNCT5_AMO: Final = {
    0x00: "add",
    0x01: "swap",
    0x04: "xor",
    0x08: "or",
    0x0C: "and",
    0x10: "min",
    0x14: "max",
    0x18: "minu",
    0x1C: "maxu",
}


def _decode_32(word: int) -> MemoryAccess | None:
    opcode = word & 0x7F
    if opcode == _AMO:
        return _decode_atomic(word)
    funct3 = word >> 12 & 7
    base = word >> 15 & 31
    is_float = opcode in (_LOAD_FP, _STORE_FP)
    if is_float and funct3 not in (2, 3):
        return None
    size = 1 << (funct3 & 3)
    if opcode in (_LOAD, _LOAD_FP):
        if funct3 == 7:
            return None
        signed = not is_float and funct3 < 4
        return _load(word >> 7 & 31, base, _to_signed(word >> 20, 12), size, signed, is_float, 4)
    if opcode in (_STORE, _STORE_FP) and funct3 < 4:
        offset = _to_signed(word >> 25 << 5 | word >> 7 & 31, 12)
        return _store(word >> 20 & 31, base, offset, size, is_float, 4)
    return None


def _decode_atomic(word: int) -> MemoryAccess | None:
    funct3 = word >> 12 & 7
    if funct3 not in (2, 3):
        return None
    funct5 = word >> 27
    rs2 = word >> 20 & 31
    op = ""
    if funct5 == _FUNCT5_LR:
        if rs2:
            return None
        kind = Kind.LR
    elif funct5 == _FUNCT5_SC:
        kind = Kind.SC
    elif funct5 in _FUNCT5_AMO:
        kind = Kind.AMO
        op = _FUNCT5_AMO[funct5]
    else:
        return None
    return MemoryAccess(kind, word >> 7 & 31, rs2, word >> 15 & 31, 0, 1 << funct3, True, False, 4, op)


# Compressed formats. A three-bit register field r' means register 8 + r'; the stack forms' base is x2 (sp).
# Which bits of the offset stand where depends on the size of the access only:
#
#   15    13 12       10 9     7 6        5 4        2 1  0
#   +-------+-----------+-------+----------+----------+-----+
#   | f3    | off[5:3]  | base' | off[2|6] | rd'/rs2' | 0 0 |  4 bytes
#   | f3    | off[5:3]  | base' | off[7:6] | rd'/rs2' | 0 0 |  8 bytes
#   | f3    | off[5] |  rd      | off[4:2|7:6]        | 1 0 |  4 bytes, load from stack
#   | f3    | off[5] |  rd      | off[4:3|8:6]        | 1 0 |  8 bytes, load from stack
#   | f3    | off[5:2|7:6]      | rs2                 | 1 0 |  4 bytes, store to stack
#   | f3    | off[5:3|8:6]      | rs2                 | 1 0 |  8 bytes, store to stack
#   +-------+-----------+-------+----------+----------+-----+

_SP: Final = 2
_C_LOADS: Final = {1: (8, True), 2: (4, False), 3: (8, False)}  # funct3 -> (size, is_float)
_C_STORES: Final = {5: (8, True), 6: (4, False), 7: (8, False)}


def _decode_register_based(word: int) -> MemoryAccess | None:
    funct3 = word >> 13 & 7
    found = _C_LOADS.get(funct3) or _C_STORES.get(funct3)
    if found is None:
        return None
    size, is_float = found
    base = 8 + (word >> 7 & 7)
    register = 8 + (word >> 2 & 7)
    offset = (word >> 10 & 7) << 3
    if size == 4:
        offset |= (word >> 6 & 1) << 2 | (word >> 5 & 1) << 6
    else:
        offset |= (word >> 5 & 3) << 6
    if funct3 in _C_LOADS:
        return _load(register, base, offset, size, not is_float, is_float, 2)
    return _store(register, base, offset, size, is_float, 2)


def _decode_stack_based(word: int) -> MemoryAccess | None:
    funct3 = word >> 13 & 7
    if funct3 in _C_LOADS:
        size, is_float = _C_LOADS[funct3]
        rd = word >> 7 & 31
        if rd == 0 and not is_float:
            return None  # reserved
        offset = (word >> 12 & 1) << 5
        if size == 4:
            offset |= (word >> 4 & 7) << 2 | (word >> 2 & 3) << 6
        else:
            offset |= (word >> 5 & 3) << 3 | (word >> 2 & 7) << 6
        return _load(rd, _SP, offset, size, not is_float, is_float, 2)
    if funct3 in _C_STORES:
        size, is_float = _C_STORES[funct3]
        if size == 4:
            offset = (word >> 9 & 15) << 2 | (word >> 7 & 3) << 6
        else:
            offset = (word >> 10 & 7) << 3 | (word >> 7 & 7) << 6
        return _store(word >> 2 & 31, _SP, offset, size, is_float, 2)
    return None


def _load(
    rd: int, base: int, offset: int, size: int, signed: bool, is_float: bool, length: int
) -> MemoryAccess:
    return MemoryAccess(Kind.LOAD, rd, 0, base, offset, size, signed, is_float, length)


def _store(rs2: int, base: int, offset: int, size: int, is_float: bool, length: int) -> MemoryAccess:
    return MemoryAccess(Kind.STORE, 0, rs2, base, offset, size, False, is_float, length)


def _to_signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def amo_result(op: str, old: int, operand: int, size: int) -> int:
    """What AMO `op` writes back where `old` was; all values unsigned, `size` bytes (operand is cut to it)."""
    bits = size * 8
    operand &= (1 << bits) - 1
    match op:
        case "swap":
            return operand
        case "add":
            return old + operand & (1 << bits) - 1
        case "xor":
            return old ^ operand
        case "and":
            return old & operand
        case "or":
            return old | operand
        case "minu":
            return min(old, operand)
        case "maxu":
            return max(old, operand)
        case "min":
            return old if _to_signed(old, bits) <= _to_signed(operand, bits) else operand
        case "max":
            return old if _to_signed(old, bits) >= _to_signed(operand, bits) else operand
    raise AssertionError(f"there is no atomic operation {op!r}")
