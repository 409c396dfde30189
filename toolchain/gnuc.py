"""What gcc compiles and clang refuses, made into what clang takes.

Called by objects.py with each C source.  One construct of the course's programs is of this kind: a register
variable of the whole file that is narrower than the register (the alarm test of 2025 keeps an int in s11).

    register int saved asm("s11");

clang has such variables only in the full width of a register that it was told to leave alone.  So the
declaration becomes one of a long, signed or not as it was, and the register is fixed: what a program stores
and reads is the same.  No line is added or taken away, so errors and debuggers show the source's own lines.
"""

import re
from typing import Final

ABI_NAMES: Final = {
    **{f"t{i}": number for i, number in enumerate((5, 6, 7, 28, 29, 30, 31))},
    **{f"s{i}": 8 + i if i < 2 else 16 + i for i in range(12)},
    **{f"a{i}": 10 + i for i in range(8)},
    **{f"x{i}": i for i in range(32)},
    "fp": 8,
}
RESERVED: Final = ("zero", "ra", "sp", "gp", "tp", "x0", "x1", "x2", "x3", "x4")  # nobody has to fix these
SIGNED: Final = frozenset(
    ["int", "short", "char", "signed", "int8", "int16", "int32", "int8_t", "int16_t", "int32_t"]
)
UNSIGNED: Final = frozenset(
    ["unsigned", "uint", "ushort", "uchar", "uint8", "uint16", "uint32", "uint8_t", "uint16_t", "uint32_t"]
)
QUALIFIERS: Final = frozenset(("const", "volatile"))
SKIPPED: Final = re.compile(  # comments, strings, characters, lines of the preprocessor, and braces
    rb"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|^[ \t]*\#(?:\\\n|[^\n])*|[{}]""",
    re.S | re.M,
)
DECLARATION: Final = re.compile(
    rb"""\bregister\s+(?P<type>[\w\s]+?)\s*\b(?P<name>\w+)\s*\b(?:asm|__asm__|__asm)\s*\(\s*"(?P<reg>\w+)"\s*\)"""
)


def adapted(source: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The source as clang takes it, and the flags that it needs for that."""
    if b"register" not in source:
        return source, ()
    outside = _outside(source)
    fixed: dict[str, None] = {}
    parts, done = [], 0
    for found in DECLARATION.finditer(source):
        register = found["reg"].decode()
        if not outside[found.start()] or register not in ABI_NAMES or register in RESERVED:
            continue
        fixed[f"-ffixed-x{ABI_NAMES[register]}"] = None
        parts += [source[done : found.start("type")], _wide(found["type"])]
        done = found.end("type")
    return b"".join((*parts, source[done:])), tuple(fixed)


def _outside(source: bytes) -> bytearray:
    """For each byte whether it is code outside of all functions: 1, else 0."""
    outside, depth, last = bytearray(len(source)), 0, 0
    for found in SKIPPED.finditer(source):
        if not depth:
            outside[last : found.start()] = b"\1" * (found.start() - last)
        depth = max(0, depth + {b"{": 1, b"}": -1}.get(found[0], 0))
        last = found.end()
    if not depth:
        outside[last:] = b"\1" * (len(source) - last)
    return outside


def _wide(type_: bytes) -> bytes:
    """A type of at most 32 bits made 64 wide, with its qualifiers and line breaks; any other as it is."""
    words = type_.decode(errors="surrogateescape").split()
    kinds = [word for word in words if word not in QUALIFIERS]
    if not kinds or "long" in kinds or not SIGNED.union(UNSIGNED).issuperset(kinds):
        return type_
    long = "unsigned long" if UNSIGNED.intersection(kinds) else "long"
    kept = " ".join([*(word for word in words if word in QUALIFIERS), long])
    return kept.encode() + b"\n" * type_.count(b"\n")
