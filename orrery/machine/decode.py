"""System calls in words: the arguments of a call as a person reads them, for strace and for hooks.

Each argument is shown as its kind (kernel/abi/kinds.py) asks, by SHOW_BEFORE and SHOW_AFTER.  Memory is read
with `peek`, which follows the page table and maps nothing, so whoever watches leaves no trace.  What the
kernel reads is decoded before the call, because exec replaces it; what it fills in, after.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from kernel.abi import fcntl, kinds
from kernel.abi.disk import STAT
from kernel.abi.kinds import Kind
from kernel.abi.memlayout import PGMASK, PGSIZE
from kernel.abi.param import MAXARG, MAXPATH
from kernel.abi.ps import PSINFO, STATE_NAMES
from kernel.abi.syscalls import Arg, Syscall, c_int
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.thread import TF_A0
from toolchain.names import shown

SHOWN_MAX: Final = 32  # bytes of a buffer that are printed
POINTER: Final = 8
INT: Final = 4
Values: TypeAlias = tuple[int, ...]
"""The value of an argument and of those behind it."""
_ESCAPES: Final = {
    **{ord(char): f"\\{letter}" for char, letter in zip("\n\r\t\v\f", "nrtvf", strict=True)},
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


_TYPES: Final = {value: name for name, value in vars(fcntl).items() if name.startswith("T_")}


def quote(data: bytes, *, more: bool = False) -> str:
    """`data` in double quotes with C's escapes; `more` adds dots: it was cut off."""
    parts = []
    for i, byte in enumerate(data):
        if byte in _ESCAPES:
            parts.append(_ESCAPES[byte])
        elif 0x20 <= byte < 0x7F:
            parts.append(chr(byte))
        else:  # octal, as short as what follows allows
            digit_follows = i + 1 < len(data) and 0x30 <= data[i + 1] <= 0x37
            parts.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return f'"{"".join(parts)}"' + ("..." if more else "")


@dataclass(slots=True)
class SystemCall:
    """A system call that `process`, of number `pid`, is in.

    `words` are the decoded arguments, with None for what the call is to fill in.
    """

    syscall: Syscall
    pid: int
    process: str
    args: tuple[int, ...]
    words: list[str | None]

    def text(self, result: str) -> str:
        """The call with its result, as strace prints it."""
        pairs = zip(self.words, self.args, strict=True)
        words = ", ".join(hex(value) if word is None else word for word, value in pairs)
        return f"{self.syscall.name}({words}) = {result}"


class Decoder:
    """Decodes the system calls of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._vm: Final = kernel.vm

    def enter(self, p: Process, syscall: Syscall) -> SystemCall:
        """The call that `p` makes, with what is known before it is carried out."""
        args = tuple(_value(arg, p.thread.tf[TF_A0 + i]) for i, arg in enumerate(syscall.args))
        words = [self._before(p, syscall, i, args) for i in range(len(args))]
        return SystemCall(syscall, p.pid, p.name, args, words)

    def leave(self, p: Process, call: SystemCall, result: int) -> str:
        """The text of `call` when it has returned `result`."""
        for i, word in enumerate(call.words):
            if word is None:
                call.words[i] = self._after(p, call, i, result)
        address = call.syscall.returns.endswith("*") and result != -1
        return call.text(hex(result) if address or call.syscall.returns == "uint64" else str(result))

    # --- before the call ---

    def _before(self, p: Process, syscall: Syscall, i: int, args: tuple[int, ...]) -> str | None:
        kind = syscall.args[i].kind
        return None if isinstance(kind, kinds.Out) else SHOW_BEFORE[type(kind)](self, p, kind, args[i:])

    def number(self, p: Process, kind: Kind, args: Values) -> str:
        """A C int."""
        return str(args[0])

    def flags(self, p: Process, kind: Kind, args: Values) -> str:
        """An int by the names of its bits, the rest in hex."""
        assert isinstance(kind, kinds.Flags), "the table goes by classes"
        rest = args[0] & 0xFFFF_FFFF
        words = []
        if kind.lowest:
            words.append(kind.lowest[rest & 3])
            rest &= ~3
        for bit, name in kind.names:
            if rest & bit:
                words.append(name)
                rest &= ~bit
        if rest or not words:
            words.append(hex(rest) if rest else dict(kind.names).get(0, "0"))
        return "|".join(words)

    def address(self, p: Process, kind: Kind, args: Values) -> str:
        """A whole word."""
        return hex(args[0])

    def string(self, p: Process, kind: Kind, args: Values) -> str:
        """A path."""
        return self._string(p, args[0])

    def argv(self, p: Process, kind: Kind, args: Values) -> str:
        """The arguments of a program."""
        return self._argv(p, args[0])

    def buffer(self, p: Process, kind: Kind, args: Values) -> str:
        """Bytes that the call reads."""
        return self._buffer(p, args[0], args[1])

    def _string(self, p: Process, va: int) -> str:
        """A path or an argument in quotes, or its address where there is none."""
        data, end, _ = self.peek(p, va, MAXPATH).partition(b"\0")
        if end:
            return quote(data)
        return quote(data[:SHOWN_MAX], more=True) if len(data) == MAXPATH else hex(va)

    def _argv(self, p: Process, va: int) -> str:
        words: list[str] = []
        for i in range(MAXARG):
            raw = self.peek(p, va + POINTER * i, POINTER)
            if len(raw) < POINTER:
                return hex(va)
            pointer = int.from_bytes(raw, "little")
            if not pointer:
                return f"[{', '.join(words)}]"
            words.append(self._string(p, pointer))
        return f"[{', '.join(words)}, ...]"

    def _buffer(self, p: Process, va: int, n: int) -> str:
        """The `n` bytes at `va` as far as they are shown, or the address where they cannot be read."""
        shown = min(max(n, 0), SHOWN_MAX)
        data = self.peek(p, va, shown)
        if n < 0 or len(data) < shown:
            return hex(va)
        return quote(data, more=n > shown)

    # --- after the call ---

    def _after(self, p: Process, call: SystemCall, i: int, result: int) -> str:
        kind, args = call.syscall.args[i].kind, call.args[i:]
        if isinstance(kind, kinds.OutInts) and kind.optional and not args[0]:
            return "NULL"
        return SHOW_AFTER[type(kind)](self, p, kind, args, result) if result >= 0 else hex(args[0])

    def out(self, p: Process, kind: Kind, args: Values, result: int) -> str:
        """Something that is not shown."""
        return hex(args[0])

    def out_bytes(self, p: Process, kind: Kind, args: Values, result: int) -> str:
        """As many bytes as the result says."""
        return self._buffer(p, args[0], result)

    def out_ints(self, p: Process, kind: Kind, args: Values, result: int) -> str:
        """A fixed number of C ints."""
        assert isinstance(kind, kinds.OutInts), "the table goes by classes"
        return self._ints(p, args[0], kind.count)

    def out_stat(self, p: Process, kind: Kind, args: Values, result: int) -> str:
        """struct stat."""
        return self._stat(p, args[0])

    def out_processes(self, p: Process, kind: Kind, args: Values, result: int) -> str:
        """Entries of struct psinfo."""
        return self._processes(p, args[0], min(result, args[1]))

    def _ints(self, p: Process, va: int, count: int) -> str:
        data = self.peek(p, va, count * INT)
        if len(data) < count * INT:
            return hex(va)
        numbers = struct.unpack(f"<{count}i", data)
        return f"[{', '.join(map(str, numbers))}]"

    def _stat(self, p: Process, va: int) -> str:
        data = self.peek(p, va, STAT.size)
        if len(data) < STAT.size:
            return hex(va)
        dev, ino, kind, nlink, size = STAT.unpack(data)
        return f"{{dev={dev}, ino={ino}, type={_TYPES.get(kind, kind)}, nlink={nlink}, size={size}}}"

    def _processes(self, p: Process, va: int, count: int) -> str:
        data = self.peek(p, va, max(count, 0) * PSINFO.size)
        entries = []
        for pid, _, state, _, name in PSINFO.iter_unpack(data[: len(data) // PSINFO.size * PSINFO.size]):
            text = name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            entries.append(f"{{pid={pid}, state={STATE_NAMES[state]}, name={shown(text)}}}")
        return f"[{', '.join(entries)}]"

    def peek(self, p: Process, va: int, n: int) -> bytes:
        """The `n` bytes at user address `va` of `p`, or those before the first that is not mapped."""
        parts = []
        while n > 0:
            step = min(n, PGSIZE - (va & PGMASK))
            chunk = self._vm.peek(p.space, va, step)
            if chunk is None:
                break
            parts.append(chunk)
            va += step
            n -= step
        return b"".join(parts)


def _value(arg: Arg, word: int) -> int:
    """An argument as its kind says: ints are the low 32 bits, signed."""
    return c_int(word) if isinstance(arg.kind, kinds.Int) else word


SHOW_BEFORE: Final[dict[type[Kind], Callable[[Decoder, Process, Kind, Values], str]]] = {
    kinds.Int: Decoder.number,
    kinds.Fd: Decoder.number,
    kinds.Flags: Decoder.flags,
    kinds.Word: Decoder.address,
    kinds.Str: Decoder.string,
    kinds.Argv: Decoder.argv,
    kinds.Bytes: Decoder.buffer,
}
"""How an argument is printed that is known before the call."""

SHOW_AFTER: Final[dict[type[Kind], Callable[[Decoder, Process, Kind, Values, int], str]]] = {
    kinds.Out: Decoder.out,
    kinds.OutBytes: Decoder.out_bytes,
    kinds.OutInts: Decoder.out_ints,
    kinds.OutStat: Decoder.out_stat,
    kinds.OutProcesses: Decoder.out_processes,
}
"""How one that the call fills in is printed after it, where it did not fail."""
