"""Disassembly: instructions as text, with the symbols of their program.

capstone decodes the instructions; the targets of jumps, which it leaves as numbers, get their names here.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import capstone

NUMBER: Final = re.compile(r"(?:^|, )(-?0x[0-9a-f]+|-?\d+)$")


class Instruction(NamedTuple):
    """`text` at `address`, `size` bytes long."""

    address: int
    size: int
    text: str


def disassembled(code: bytes, address: int, name: Callable[[int], str]) -> Iterator[Instruction]:
    """The instructions in `code`, which is at `address`; `name` gives ` <function+offset>` for an address."""
    reader = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
    at = 0
    while at < len(code) - 1:
        size = 2 if code[at] & 3 != 3 else 4
        found = next(reader.disasm_lite(code[at : at + size], address + at, 1), None)
        text = f".half {code[at] | code[at + 1] << 8:#06x}"
        if found is not None:
            _, size, mnemonic, operands = found
            text = f"{mnemonic}\t{_named(mnemonic, operands, address + at, name)}".rstrip()
        else:
            size = 2
        yield Instruction(address + at, size, text)
        at += size


def _named(mnemonic: str, operands: str, pc: int, name: Callable[[int], str]) -> str:
    """The operands; a jump's distance as the address that it leads to."""
    found = NUMBER.search(operands)
    bare = mnemonic.removeprefix("c.")
    if found is None or not (bare in ("j", "jal") or bare.startswith("b")):
        return operands
    goal = pc + int(found[1], 0) & (1 << 64) - 1
    return f"{operands[: found.start(1)]}{goal:#x}{name(goal)}"
