"""How large a stack a program wants, and what it is told about it.

Called by cc.py for each program that it links, and by those that compile one for a machine of their own.  The
size is in the program header PT_GNU_STACK, where the kernel's exec reads it and stock kernels skip it; the
linker enters it by itself only where no script says which headers there are.
"""

from dataclasses import replace

from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE
from kernel.abi.param import USERSTACK, USERSTACK_SINCE
from kernel.abi.syscalls import LAB_YEAR
from toolchain.flags import Flags


def with_stack(program: bytes, pages: int) -> bytes:
    """`program`, which asks for a stack of so many pages."""
    header = elf.Header.unpack(program)
    assert header is not None, "a linker makes ELF files"
    changed = bytearray(program)
    for at in range(header.phoff, header.phoff + header.phnum * elf.PROGRAM_SIZE, elf.PROGRAM_SIZE):
        if elf.Segment.unpack(program[at : at + elf.PROGRAM_SIZE]).type == elf.PT_GNU_STACK:
            size = at + elf.MEMSZ_AT
            changed[size : size + 8] = (pages * PGSIZE).to_bytes(8, "little")
    return bytes(changed)


def flags_for(lab: int | None, ustack: int | None, flags: Flags | None = None) -> Flags:
    """The flags for a program that is to run on a machine with these options: the USERSTACK that it has."""
    flags = flags or Flags()
    year = LAB_YEAR if lab is None else lab
    pages = ustack or (USERSTACK if year >= USERSTACK_SINCE else 1)
    if pages == USERSTACK or any(word.startswith("-DUSERSTACK=") for word in flags.words):
        return flags
    return replace(flags, words=(*flags.words, f"-DUSERSTACK={pages}"))
