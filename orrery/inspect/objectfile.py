"""Object files: the sections and symbols of an ELF file that nobody vouches for.

Read by dwarf.py.  Such a file may have been cut off or changed anywhere, and a program of it may run all the
same, for a kernel reads its program headers alone.  So whoever asks for sections that make no sense is told
BadDebugInfo.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from typing import Any, Final, NamedTuple

from orrery.inspect.entries import BadDebugInfo, read
from toolchain.names import shown

SHF_EXECINSTR: Final = 4
SHF_COMPRESSED: Final = 0x800
PF_X: Final = 1
SEGMENT_BYTES: Final = 56
SECTION_BYTES: Final = 64  # of a header
SYMBOL_BYTES: Final = 24
COMPRESSED_BYTES: Final = 24  # of the header in front of compressed content
COMPRESSED_BYTES_MAX: Final = 256 << 20  # and of that content
DEBUG: Final = (".debug_", ".zdebug_", ".eh_frame")
NUMBER_BYTES_MAX: Final = 4096
ENDLESS: Final = re.compile(
    rb"[\x80-\xff]{%d}" % NUMBER_BYTES_MAX
)  # a number that pyelftools would read for minutes
NUMBERS: Final = (
    ".debug_abbrev", ".debug_info", ".debug_line", ".debug_frame", ".eh_frame",
    ".debug_loclists", ".debug_rnglists",
)  # fmt: skip


class Symbol(NamedTuple):
    """One of .symtab; `section` is the number of its section."""

    name: str
    value: int
    size: int
    kind: str
    section: int


class ObjectFile:
    """The ELF file `elf`. Raises ValueError if it is none."""

    def __init__(self, elf: bytes) -> None:
        from elftools.elf.elffile import ELFFile

        self._size: Final = len(elf)
        try:
            self._elf: Final[Any] = read("not an ELF file", lambda: ELFFile(BytesIO(elf)))
        except BadDebugInfo as error:
            raise ValueError(f"{error}") from error

    @cached_property
    def sections(self) -> list[Any]:
        """Its sections, as pyelftools has them; raises BadDebugInfo."""
        header = self._elf.header
        if not header.e_shoff:
            return []
        end = header.e_shoff + header.e_shnum * SECTION_BYTES
        if header.e_shentsize != SECTION_BYTES or not header.e_shnum or end > self._size:
            raise BadDebugInfo("its section headers are not where its header says")
        found = read("section headers", lambda: [self._elf.get_section(i) for i in range(header.e_shnum)])
        for one in found:
            self._check(one)
        return found

    def _check(self, section: Any) -> None:
        """That the content of a section that is read here lies in the file."""
        is_debug = section.name.startswith(DEBUG)
        if not is_debug and not section["sh_flags"] & SHF_EXECINSTR and section["sh_type"] != "SHT_SYMTAB":
            return
        name, begin, size = shown(section.name), section["sh_offset"], section["sh_size"]
        if section["sh_type"] == "SHT_NOBITS" or begin + size > self._size:
            raise BadDebugInfo(f"its section {name} is not in the file")
        if section["sh_flags"] & SHF_COMPRESSED and (
            size < COMPRESSED_BYTES or section.data_size > COMPRESSED_BYTES_MAX
        ):
            raise BadDebugInfo(f"its section {name} would have {section.data_size} bytes")
        if section["sh_type"] == "SHT_SYMTAB" and section["sh_entsize"] != SYMBOL_BYTES:
            raise BadDebugInfo(f"its symbols have {section['sh_entsize']} bytes, not {SYMBOL_BYTES}")

    def has(self, name: str) -> bool:
        """Whether there is a section of this name."""
        return any(one.name == name for one in self.sections)

    @property
    def code(self) -> Iterator[tuple[int, Any]]:
        """The sections with code, by number."""
        return ((i, one) for i, one in enumerate(self.sections) if one["sh_flags"] & SHF_EXECINSTR)

    @property
    def code_of_sections(self) -> list[tuple[int, bytes]]:
        """(address, content) of the sections with code; raises BadDebugInfo."""
        return [(one["sh_addr"], read("code", one.data)) for _, one in self.code]

    @property
    def executable(self) -> list[tuple[int, bytes]]:
        """(address, content) of the segments with code, which a file has that runs; raises BadDebugInfo."""
        header = self._elf.header
        if (
            header.e_phentsize != SEGMENT_BYTES
            or header.e_phoff + header.e_phnum * SEGMENT_BYTES > self._size
        ):
            raise BadDebugInfo("its program headers are not where its header says")
        segments = read("program headers", lambda: list(self._elf.iter_segments()))
        return [
            (one["p_vaddr"], read("code", one.data))
            for one in segments
            if one["p_type"] == "PT_LOAD" and one["p_flags"] & PF_X and one["p_filesz"] <= self._size
        ]

    @cached_property
    def symbols(self) -> list[Symbol]:
        """Those of .symtab; raises BadDebugInfo."""
        table = next((one for one in self.sections if one["sh_type"] == "SHT_SYMTAB"), None)
        if table is None:
            return []
        names = read("names of symbols", lambda: table.stringtable.data())
        return [
            Symbol(
                _name_at(names, one["st_name"]),
                one["st_value"],
                one["st_size"],
                f"{one['st_info']['type']}",
                one["st_shndx"] if isinstance(one["st_shndx"], int) else -1,
            )
            for one in read("symbols", lambda: list(table.iter_symbols()))
        ]

    @cached_property
    def dwarf(self) -> Any:
        """What pyelftools has of DWARF; raises BadDebugInfo."""
        for one in self.sections:
            if one.name in NUMBERS and ENDLESS.search(read(one.name, one.data)):
                raise BadDebugInfo(f"a number in {one.name} has no end")
        # Links to other files are not followed: whose they are nobody knows.
        return read(
            "debug information",
            lambda: self._elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False),
        )


def _name_at(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    return shown(names[offset : end if end >= 0 else len(names)])
