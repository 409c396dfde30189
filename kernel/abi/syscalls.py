"""The system-call table: number, name and C prototype of each call, declared once.

The dispatcher, strace, the C header, the call stubs and the table in the docs are all made from
`SYSCALLS`.  Numbers 1-21 are xv6's; the calls of our own start at 64.  An argument's kind says how the
kernel fetches it and how strace prints it:

    int     32-bit signed              fd     as int, names an open file
    uint64  64-bit, printed in hex     str    address of a NUL-terminated string to read
    buf     address of bytes to read   out    address of bytes that the call fills
    argv    address of a NULL-terminated array of strings
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: its C declaration's name, its kind (see above) and its C type."""

    name: str
    kind: str
    ctype: str


@dataclass(frozen=True, slots=True)
class Syscall:
    """One call.

    `returns` is the C result type, `noreturn` marks a call that does not come back, and `symbol`
    is the C function's name where the libc wraps the raw call (`sbrk` calls `sys_sbrk`).
    """

    number: int
    name: str
    args: tuple[Arg, ...] = ()
    returns: str = "int"
    noreturn: bool = False
    symbol: str = ""

    @property
    def stub(self) -> str:
        """Name of the C function that makes the call."""
        return self.symbol or self.name

    @property
    def prototype(self) -> str:
        """The C declaration, without a semicolon."""
        args = ", ".join(_declare(a.ctype, a.name) for a in self.args) or "void"
        return f"{_declare(self.returns, self.stub)}({args})"


def _declare(ctype: str, name: str) -> str:
    return ctype + name if ctype.endswith("*") else f"{ctype} {name}"


def _int(name: str) -> Arg:
    return Arg(name, "int", "int")


def _str(name: str) -> Arg:
    return Arg(name, "str", "const char *")


FD: Final = Arg("fd", "fd", "int")
PATH: Final = _str("path")

SYSCALLS: Final[tuple[Syscall, ...]] = (
    Syscall(1, "fork"),
    Syscall(2, "exit", (_int("status"),), noreturn=True),
    Syscall(3, "wait", (Arg("status", "out", "int *"),)),
    Syscall(4, "pipe", (Arg("fds", "out", "int *"),)),
    Syscall(5, "read", (FD, Arg("dst", "out", "void *"), _int("n"))),
    Syscall(6, "kill", (_int("pid"),)),
    Syscall(7, "exec", (PATH, Arg("argv", "argv", "char **"))),
    Syscall(8, "fstat", (FD, Arg("st", "out", "struct stat *"))),
    Syscall(9, "chdir", (PATH,)),
    Syscall(10, "dup", (FD,)),
    Syscall(11, "getpid"),
    # a1 is the mode of 2025's sbrk; programs of 2022 leave garbage in it (1 eager, else lazy)
    Syscall(12, "sbrk", (_int("n"), _int("mode")), returns="char *", symbol="sys_sbrk"),
    Syscall(13, "sleep", (_int("ticks"),)),
    Syscall(14, "uptime"),
    Syscall(15, "open", (PATH, _int("omode"))),
    Syscall(16, "write", (FD, Arg("src", "buf", "const void *"), _int("n"))),
    Syscall(17, "mknod", (PATH, Arg("major", "int", "short"), Arg("minor", "int", "short"))),
    Syscall(18, "unlink", (PATH,)),
    Syscall(19, "link", (_str("old"), _str("new"))),
    Syscall(20, "mkdir", (PATH,)),
    Syscall(21, "close", (FD,)),
    # ours: ends the run with a status; only process 1 may call it, others get -1
    Syscall(64, "poweroff", (_int("status"),)),
    # ours: fills up to n entries of struct psinfo, returns how many processes there are
    Syscall(65, "ps", (Arg("out", "out", "struct psinfo *"), _int("n"))),
)

BY_NUMBER: Final = {call.number: call for call in SYSCALLS}
BY_NAME: Final = {call.name: call for call in SYSCALLS}
assert len(BY_NUMBER) == len(SYSCALLS) and len(BY_NAME) == len(SYSCALLS)
