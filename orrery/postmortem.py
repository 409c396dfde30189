"""The report of a kernel panic: where the kernel was in Python, and where the program was in C.

Called by session.py when an exception came out of a machine.  Reads registers and memory of the process
that ran; a broken machine must not break the report, so memory is read as far as it goes.
"""

import traceback
from collections.abc import Iterator
from typing import Final

from kernel.abi import elf
from kernel.abi.memlayout import TRAPFRAME
from kernel.kernel import Kernel, KernelPanic
from kernel.proc import TF_EPC, TF_RA, Proc
from orrery.decode import POINTER, Decoder
from orrery.machine import Machine

REGISTERS: Final = (
    "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), *(f"t{i}" for i in range(3, 7)),
)  # fmt: skip
"""A trapframe's registers, from TF_RA on."""
S0: Final = TF_RA + REGISTERS.index("s0")
ECALL: Final = (0x73).to_bytes(4, "little")
FRAMES_MAX: Final = 32
A_LINE: Final = 4  # registers in a line


def report(machine: Machine, error: Exception) -> str:
    """What happened, and below it the process, its registers, its backtrace and the kernel's traceback."""
    what = str(error) if isinstance(error, KernelPanic) else f"{type(error).__name__}: {error}"
    lines = [what, *_process(machine.kernel), "kernel traceback:"]
    text = "".join(traceback.format_exception(error))
    return "\n".join(lines) + "\n" + text.rstrip("\n")


def _process(kernel: Kernel) -> Iterator[str]:
    p = kernel.sched.current
    if p is None:
        yield "no process was running"
        return
    yield f"process {p.pid} ({p.name}), {p.sz} bytes of memory, pc {p.tf[TF_EPC]:#x}"
    names = list(enumerate(REGISTERS, TF_RA))
    for at in range(0, len(names), A_LINE):
        yield "  " + "  ".join(f"{name:>3} {p.tf[i]:016x}" for i, name in names[at : at + A_LINE])
    yield "user backtrace:"
    for number, pc in enumerate(backtrace(kernel, p)):
        yield f"  #{number} {pc:#x}{_symbol(kernel, p, pc)}"


def backtrace(kernel: Kernel, p: Proc) -> Iterator[int]:
    """Where `p` is in its program, the innermost function first: pc, then return addresses.

    Programs are compiled with frame pointers: s0 points behind the frame, whose last two words are the
    return address and the caller's s0.
    """
    pc = p.tf[TF_EPC]
    yield pc
    decoder, frame = Decoder(kernel), p.tf[S0]
    if decoder.peek(p, pc - len(ECALL), len(ECALL)) == ECALL:
        yield p.tf[TF_RA]  # a system call's stub has no frame of its own
    for _ in range(FRAMES_MAX):
        if not 2 * POINTER <= frame < TRAPFRAME:
            return
        words = decoder.peek(p, frame - 2 * POINTER, 2 * POINTER)
        if len(words) < 2 * POINTER:
            return
        caller, pc = (int.from_bytes(words[at : at + POINTER], "little") for at in (0, POINTER))
        if not pc:
            return
        yield pc
        if caller <= frame:  # the stack grows down
            return
        frame = caller


def _symbol(kernel: Kernel, p: Proc, pc: int) -> str:
    """` name+offset` where the program's symbols are at hand: those of modules are."""
    program = kernel.modules.get(p.name.encode())
    header = elf.Header.unpack(program) if program is not None else None
    if program is None or header is None:
        return ""
    below = [(value, name) for name, value in elf.symbols(program, header).items() if value <= pc]
    if not below:
        return ""
    value, name = max(below)
    return f" {name}+{pc - value:#x}"
