"""ELF64 as the kernel loads it: the file header, program headers, and symbols.

Each structure below holds the fields that are needed; its format skips the rest.
Source: System V ABI, chapters 4 and 5; the RISC-V ELF psABI for EM_RISCV.
"""

from struct import Struct
from typing import Final, NamedTuple, Self

MAGIC: Final = b"\x7fELF"
EM_RISCV: Final = 243
PT_LOAD: Final = 1
PT_GNU_STACK: Final = 0x6474_E551  # its size in memory is that of the stack, 0: whatever the system gives
PF_X, PF_W, PF_R = 1, 2, 4
SHT_SYMTAB: Final = 2

_HEADER: Final = Struct("<18xH4xQQQ8xH2xH2x")
_PROGRAM: Final = Struct("<IIQQ8xQQ8x")
_SECTION: Final = Struct("<4xI16xQQI20x")  # type, offset, size, link: to a symbol table's strings
_SYMBOL: Final = Struct("<I4xQ8x")  # where its name begins in the strings, value
MEMSZ_AT: Final = 40  # where in a program header a segment's size in memory is
HEADER_SIZE: Final = _HEADER.size
PROGRAM_SIZE: Final = _PROGRAM.size
assert (HEADER_SIZE, PROGRAM_SIZE, _SECTION.size, _SYMBOL.size) == (64, 56, 64, 24)


class Header(NamedTuple):
    """The file header."""

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
        return cls._make(_HEADER.unpack_from(data))


class Segment(NamedTuple):
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
        return cls._make(_PROGRAM.unpack(data))


def segments(elf: bytes, header: Header) -> list[Segment]:
    """The PT_LOAD segments of a whole file."""
    table = elf[header.phoff : header.phoff + header.phnum * PROGRAM_SIZE]
    found = map(Segment._make, _PROGRAM.iter_unpack(table))
    return [segment for segment in found if segment.type == PT_LOAD]


def symbol_names(elf: bytes, header: Header) -> bytes:
    """The names of the symbols of a whole file, each between two NULs; of a damaged one what there is."""
    table = elf[header.shoff : header.shoff + header.shnum * _SECTION.size]
    sections = list(_SECTION.iter_unpack(table[: len(table) // _SECTION.size * _SECTION.size]))
    tables = [sections[link] for kind, *_, link in sections if kind == SHT_SYMTAB and link < len(sections)]
    return b"".join(elf[offset : offset + size] for _, offset, size, _ in tables)


def symbols(elf: bytes, header: Header) -> dict[str, int]:
    """Name to value of all named symbols of a whole file that has a symbol table."""
    table = elf[header.shoff : header.shoff + header.shnum * _SECTION.size]
    sections = list(_SECTION.iter_unpack(table))
    found: dict[str, int] = {}
    for kind, offset, size, link in sections:
        if kind == SHT_SYMTAB:
            _, strings, _, _ = sections[link]
            for name, value in _SYMBOL.iter_unpack(elf[offset : offset + size]):
                if name:
                    start = strings + name
                    found[elf[start : elf.index(b"\0", start)].decode()] = value
    return found
