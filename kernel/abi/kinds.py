"""Kinds of arguments of system calls: what a register holds, and how a trace of the call shows it.

Each argument in the table of calls has one of these objects.  Its class says what the kernel takes of the
register (REGISTER), strace has for each how it is printed (SHOW_BEFORE and SHOW_AFTER in
orrery/machine/decode.py); nothing depends on the name of a call.

    Int          a C int            Fd          a C int, names an open file
    Flags        a C int of bits    Word        all of the register, an address or a size
    Str          address of a NUL-terminated string to read
    Argv         address of a NULL-terminated array of strings
    Bytes        address of bytes to read, whose number is the next argument
    Out...       address of what the call fills in
"""

from dataclasses import dataclass
from typing import ClassVar

from kernel.abi.param import MAXPATH


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument is. REGISTER is the format, for struct, of what a handler gets of its register."""

    REGISTER: ClassVar[str] = "Q"


@dataclass(frozen=True, slots=True)
class Int(Kind):
    """A number: the low 32 bits, signed."""

    REGISTER: ClassVar[str] = "i4x"


@dataclass(frozen=True, slots=True)
class Fd(Int):
    """A descriptor."""


@dataclass(frozen=True, slots=True)
class Flags(Int):
    """Bits that have names, in pairs (bit, name); (0, name) stands for none of them.

    With `lowest` the two lowest bits are a number that has a name.
    """

    names: tuple[tuple[int, str], ...]
    lowest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Word(Kind):
    """All 64 bits, unsigned."""


@dataclass(frozen=True, slots=True)
class Str(Kind):
    """A string of less than `size` bytes, which the kernel copies."""

    size: int = MAXPATH


@dataclass(frozen=True, slots=True)
class Argv(Word):
    """Strings, as exec takes them."""


@dataclass(frozen=True, slots=True)
class Bytes(Word):
    """As many bytes as the next argument says."""


@dataclass(frozen=True, slots=True)
class Out(Word):
    """Something that is shown by its address."""


@dataclass(frozen=True, slots=True)
class OutBytes(Out):
    """As many bytes as the call returns."""


@dataclass(frozen=True, slots=True)
class OutInts(Out):
    """`count` C ints; `optional`: the address may be NULL."""

    count: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class OutStat(Out):
    """struct stat."""


@dataclass(frozen=True, slots=True)
class OutProcesses(Out):
    """struct psinfo, as many as the call returns, and at most as many as the next argument says."""
