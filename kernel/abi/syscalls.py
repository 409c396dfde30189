"""The system-call table: number, name and C prototype of each call, declared once.

The dispatcher, strace, the C header, the call stubs and the table in the docs are all made from
`SYSCALLS`.  Numbers 1-21 are xv6's, 22-34 those of the course's labs, and the calls of our own start at 64.
The number that a program asks for is a C int, as are most arguments: the upper half of the register says
nothing.  The labs used a number twice in different years: `table(year)` is what a kernel of that year knows,
while header and stubs have the calls of all years.  An argument's kind (kernel/abi/kinds.py) says how the
kernel fetches it and how strace prints it.
"""

from dataclasses import dataclass
from typing import Final

from kernel.abi import fcntl
from kernel.abi.kinds import (
    Argv,
    Bytes,
    Fd,
    Flags,
    Int,
    Kind,
    Out,
    OutBytes,
    OutInts,
    OutProcesses,
    OutStat,
    Str,
    Word,
)

LAB_YEARS: Final = range(2019, 2026)
LAB_YEAR: Final = LAB_YEARS[-1]  # the course's year where nobody asks for another
UNTIL_2023, SINCE_2024 = range(LAB_YEARS.start, 2024), range(2024, LAB_YEARS.stop)


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: its C declaration's name, its kind and its C type."""

    name: str
    kind: Kind
    ctype: str


@dataclass(frozen=True, slots=True)
class Syscall:
    """One call.

    `returns` is the C result type, `noreturn` marks a call that does not come back, and `symbol` is the C
    function's name where the libc wraps the raw call (`sbrk` calls `sys_sbrk`).  `years` are the lab years
    in which the number means this call.  `missing`, of one that the kernel has not, says why.
    """

    number: int
    name: str
    args: tuple[Arg, ...] = ()
    returns: str = "int"
    noreturn: bool = False
    symbol: str = ""
    years: range = LAB_YEARS
    missing: str = ""


def _int(name: str) -> Arg:
    return Arg(name, Int(), "int")


def _port(name: str) -> Arg:
    return Arg(name, Int(), "uint16")


def _str(name: str) -> Arg:
    return Arg(name, Str(), "const char *")


def _flags(name: str, prefix: str, lowest: int = 0) -> Arg:
    """Bits that fcntl.py names so; those below `lowest` are values of one number."""
    named = [(value, name) for name, value in vars(fcntl).items() if name.startswith(prefix)]
    numbers = (*(name for value, name in named if value < lowest), str(lowest)) if lowest else ()
    return Arg(name, Flags(tuple(pair for pair in named if pair[0] >= lowest), numbers), "int")


FD: Final = Arg("fd", Fd(), "int")
PATH: Final = _str("path")
MASK: Final = _int("mask")
PROT: Final = _flags("prot", "PROT_")
MAP_FLAGS: Final = _flags("flags", "MAP_")
VA: Final = Arg("va", Word(), "const void *")
AREA: Final = (Arg("addr", Word(), "void *"), Arg("len", Word(), "size_t"))

SYSCALLS: Final[tuple[Syscall, ...]] = (
    Syscall(1, "fork"),
    Syscall(2, "exit", (_int("status"),), noreturn=True),
    Syscall(3, "wait", (Arg("status", OutInts(1, optional=True), "int *"),)),
    Syscall(4, "pipe", (Arg("fds", OutInts(2), "int *"),)),
    Syscall(5, "read", (FD, Arg("dst", OutBytes(), "void *"), _int("n"))),
    Syscall(6, "kill", (_int("pid"),)),
    Syscall(7, "exec", (PATH, Arg("argv", Argv(), "char **"))),
    Syscall(8, "fstat", (FD, Arg("st", OutStat(), "struct stat *"))),
    Syscall(9, "chdir", (PATH,)),
    Syscall(10, "dup", (FD,)),
    Syscall(11, "getpid"),
    # a1 is the mode since 2025 (1 eager, else lazy); programs of older years leave garbage in it
    Syscall(12, "sbrk", (_int("n"), _int("mode")), returns="char *", symbol="sys_sbrk"),
    Syscall(13, "sleep", (_int("ticks"),)),
    Syscall(14, "uptime"),
    Syscall(15, "open", (PATH, _flags("omode", "O_", lowest=3))),
    Syscall(16, "write", (FD, Arg("src", Bytes(), "const void *"), _int("n"))),
    Syscall(17, "mknod", (PATH, Arg("major", Int(), "short"), Arg("minor", Int(), "short"))),
    Syscall(18, "unlink", (PATH,)),
    Syscall(19, "link", (_str("old"), _str("new"))),
    Syscall(20, "mkdir", (PATH,)),
    Syscall(21, "close", (FD,)),
    Syscall(22, "trace", (MASK,)),
    Syscall(23, "sysinfo", (Arg("info", Out(), "struct sysinfo *"),), years=UNTIL_2023),
    Syscall(23, "interpose", (MASK, PATH), years=range(2025, 2026)),
    Syscall(24, "sigalarm", (_int("ticks"), Arg("handler", Word(), "void (*)(void)"))),
    Syscall(25, "sigreturn"),
    Syscall(26, "symlink", (_str("target"), PATH)),
    Syscall(27, "mmap", (*AREA, PROT, MAP_FLAGS, FD, Arg("offset", Word(), "off_t")), returns="void *"),
    Syscall(28, "munmap", AREA),
    Syscall(30, "pgaccess", (VA, _int("n"), Arg("mask", Out(), "void *")), years=UNTIL_2023),
    Syscall(33, "pgpte", (VA,), returns="uint64", years=SINCE_2024),
    Syscall(34, "kpgtbl", returns="void", years=SINCE_2024),
    # ours: ends the run with a status; only process 1 may call it, others get -1
    Syscall(64, "poweroff", (_int("status"),)),
    # ours: fills up to n entries of struct psinfo, returns how many processes there are
    Syscall(65, "ps", (Arg("out", OutProcesses(), "struct psinfo *"), _int("n"))),
    # ours: what the labs leave out of mmap
    Syscall(66, "mprotect", (*AREA, PROT)),
    Syscall(67, "msync", (*AREA, _flags("flags", "MS_"))),
    # ours: whether a terminal is at the console, how many columns it has, and the mode of kernel/abi/tty.py
    Syscall(68, "ttymode", (FD, _int("mode"))),
)


def c_int(word: int) -> int:
    """What a C int holds of a register: the low 32 bits, signed."""
    return ((word & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


DESTINATION: Final = Arg("dst", Word(), "uint32")
NET_CALLS: Final[tuple[Syscall, ...]] = (
    Syscall(29, "connect", (DESTINATION, _port("sport"), _port("dport")), years=UNTIL_2023),
    Syscall(29, "bind", (_port("port"),), years=SINCE_2024),
    Syscall(30, "unbind", (_port("port"),), years=SINCE_2024),
    Syscall(
        31,
        "send",
        (_port("sport"), DESTINATION, _port("dport"), Arg("buf", Bytes(), "char *"), _int("len")),
        years=SINCE_2024,
    ),
    Syscall(
        32,
        "recv",
        (
            _port("dport"),
            Arg("src", Out(), "uint32 *"),
            Arg("sport", Out(), "uint16 *"),
            Arg("buf", Out(), "char *"),
            _int("len"),
        ),
        years=SINCE_2024,
    ),
)
"""What the lab on networks adds: programs can name them, and they fail as in a kernel without that lab."""

LOCK_CALLS: Final[tuple[Syscall, ...]] = (
    Syscall(
        35,
        "rwlktest",
        years=range(2025, 2026),
        missing="rwlktest tests read-write spinlocks, and this kernel, on one hart, has none",
    ),
    Syscall(
        36,
        "cpupin",
        (_int("cpu"),),
        years=range(2025, 2026),
        missing="cpupin chooses a hart, and this machine has one",
    ),
)
"""What the lab on locks adds in 2025: likewise."""

BY_NAME: Final = {call.name: call for call in SYSCALLS}
assert len(BY_NAME) == len(SYSCALLS), "a call is declared once"


def table(year: int) -> dict[int, Syscall]:
    """The calls that a kernel of lab year `year` knows, by number."""
    calls = [call for call in SYSCALLS if year in call.years]
    assert len({call.number for call in calls}) == len(calls), f"in {year} each number has one meaning"
    return {call.number: call for call in calls}
