"""ELF64 as the kernel loads it: the file header, program headers, and symbols.

Source: System V ABI, chapters 4 and 5; the RISC-V ELF psABI for EM_RISCV.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

MAGIC: Final = b"\x7fELF"
CLASS_64: Final = 2
EM_RISCV: Final = 243
PT_LOAD: Final = 1
PF_X, PF_W, PF_R = 1, 2, 4
SHT_SYMTAB: Final = 2

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
HEADER_SIZE: Final = _HEADER.size
PROGRAM_SIZE: Final = _PROGRAM.size


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed of the file header."""

    machine: int
    entry: int
    phoff: int
    shoff: int
    phnum: int
    shnum: int

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """From the first HEADER_SIZE bytes of a file; None where it has no ELF magic."""
        if len(data) < HEADER_SIZE or not data.startswith(MAGIC):
            return None
        _, _, machine, _, entry, phoff, shoff, _, _, _, phnum, _, shnum, _ = _HEADER.unpack_from(data)
        return cls(machine, entry, phoff, shoff, phnum, shnum)


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """From PROGRAM_SIZE bytes."""
        kind, flags, offset, vaddr, _, filesz, memsz, _ = _PROGRAM.unpack(data)
        return cls(kind, flags, offset, vaddr, filesz, memsz)


def segments(elf: bytes, header: Header) -> list[Segment]:
    """The PT_LOAD segments of a whole file."""
    at = range(header.phoff, header.phoff + header.phnum * PROGRAM_SIZE, PROGRAM_SIZE)
    found = [Segment.unpack(elf[offset : offset + PROGRAM_SIZE]) for offset in at]
    return [segment for segment in found if segment.type == PT_LOAD]


def symbols(elf: bytes, header: Header) -> dict[str, int]:
    """Name to value of all named symbols of a whole file that has a symbol table."""
    at = range(header.shoff, header.shoff + header.shnum * _SECTION.size, _SECTION.size)
    sections = [_SECTION.unpack_from(elf, offset) for offset in at]
    found: dict[str, int] = {}
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for entry in range(offset, offset + size, _SYMBOL.size):
            name_at, _, _, _, value, _ = _SYMBOL.unpack_from(elf, entry)
            start = strings + name_at
            if name_at:
                found[elf[start : elf.index(b"\0", start)].decode()] = value
    return found
