"""ELF files with only what is loaded, for the disk.

Called by cc.py.
"""

import struct

# Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align
_PHDR = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_PACKING = 16  # bytes to which strip() aligns a segment in the file


def strip(elf: bytes) -> bytes:
    """`elf` with only what is loaded: the header, the PT_LOAD entries and their bytes, tightly packed."""
    phoff, phentsize, phnum = struct.unpack_from("<Q14xHH", elf, 32)
    entries = [_PHDR.unpack_from(elf, phoff + i * phentsize) for i in range(phnum)]
    loads = [e for e in entries if e[0] == _PT_LOAD and e[6] > 0]
    header = bytearray(elf[:64])
    struct.pack_into("<QQ", header, 32, 64, 0)  # e_phoff, e_shoff
    struct.pack_into("<HHHHH", header, 54, _PHDR.size, len(loads), 0, 0, 0)
    body = bytearray()
    table = bytearray()
    start = -(-(64 + len(loads) * _PHDR.size) // _PACKING) * _PACKING
    for kind, flags, offset, vaddr, paddr, filesz, memsz, _align in loads:
        table += _PHDR.pack(kind, flags, start + len(body), vaddr, paddr, filesz, memsz, _PACKING)
        body += elf[offset : offset + filesz]
        body += bytes(-len(body) % _PACKING)
    return bytes((header + table).ljust(start, b"\0") + body)
