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

from typing import ClassVar, Final

from kernel.abi.param import MAXPATH


class Kind:
    """What an argument is. REGISTER is the format, for struct, of what a handler gets of its register."""

    __slots__ = ()
    REGISTER: ClassVar[str] = "Q"


class Int(Kind):
    """A number: the low 32 bits, signed."""

    __slots__ = ()
    REGISTER: ClassVar[str] = "i4x"


class Fd(Int):
    """A descriptor."""

    __slots__ = ()


class Flags(Int):
    """Bits that have names, in pairs (bit, name); (0, name) stands for none of them.

    With `lowest` the two lowest bits are a number that has a name.
    """

    __slots__ = ("lowest", "names")

    def __init__(self, names: tuple[tuple[int, str], ...], lowest: tuple[str, ...] = ()) -> None:
        self.names: Final = names
        self.lowest: Final = lowest


class Word(Kind):
    """All 64 bits, unsigned."""

    __slots__ = ()


class Str(Kind):
    """A string of less than `size` bytes, which the kernel copies."""

    __slots__ = ("size",)

    def __init__(self, size: int = MAXPATH) -> None:
        self.size: Final = size


class Argv(Word):
    """Strings, as exec takes them."""

    __slots__ = ()


class Bytes(Word):
    """As many bytes as the next argument says."""

    __slots__ = ()


class Out(Word):
    """Something that is shown by its address."""

    __slots__ = ()


class OutBytes(Out):
    """As many bytes as the call returns."""

    __slots__ = ()


class OutInts(Out):
    """`count` C ints; `optional`: the address may be NULL."""

    __slots__ = ("count", "optional")

    def __init__(self, count: int, optional: bool = False) -> None:
        self.count: Final = count
        self.optional: Final = optional


class OutStat(Out):
    """struct stat."""

    __slots__ = ()


class OutProcesses(Out):
    """struct psinfo, as many as the call returns, and at most as many as the next argument says."""

    __slots__ = ()
