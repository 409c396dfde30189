"""The report of a kernel panic: where the kernel was in Python, and where the program was in C.

Called by session.py when an exception came out of a machine.  Reads registers and memory of the process
that ran; a broken machine must not break the report, so memory is read as far as it goes.
"""

import os
import traceback
from collections.abc import Iterator
from typing import Final

from kernel.kernel import KernelPanic
from kernel.proc import Process
from kernel.thread import TF_RA
from orrery.inspect import stacks
from orrery.machine.machine import Machine
from toolchain.names import shown
from toolchain.paths import ROOT, in_tree

REGISTERS: Final = (
    "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), *(f"t{i}" for i in range(3, 7)),
)  # fmt: skip
"""A trapframe's registers, from TF_RA on."""
A_LINE: Final = 4  # registers in a line
KERNEL: Final = f"{ROOT}{os.sep}kernel{os.sep}"


def report(machine: Machine, error: Exception) -> str:
    """What happened, and below it the process, its registers, its backtrace and the kernel's traceback."""
    what = str(error) if isinstance(error, KernelPanic) else f"{type(error).__name__}: {error}"
    lines = [what, *_process(machine, error), "kernel traceback:"]
    text = "".join(traceback.format_exception(error))
    return "\n".join(lines) + "\n" + text.rstrip("\n")


def _process(machine: Machine, error: Exception) -> Iterator[str]:
    p = machine.kernel.sched.process
    if p is None:
        yield "no process was running"
        yield f"at {_kernel_place(error)}"
        return
    frames = list(stacks.user_frames(machine, p, stacks.Programs(machine)))
    yield f"process {p.pid} ({shown(p.name)}), {p.space.sz} bytes of memory, pc {frames[0].pc:#x}"
    asked = stacks.c_place(frames)
    yield f"at {_kernel_place(error)}" + (f", called from {asked.where} in {asked.function}" if asked else "")
    yield from _registers(p)
    yield "user backtrace:"
    for line in stacks.user_lines(frames):
        yield f"  {line}"


def _kernel_place(error: Exception) -> str:
    """The innermost line of the kernel on the way to `error`, but for `panic` itself."""
    entries = traceback.extract_tb(error.__traceback__)
    ours = [one for one in entries if one.filename.startswith(KERNEL) and one.name != "panic"]
    place = (ours or entries)[-1]
    return f"{in_tree(place.filename)}:{place.lineno} in {place.name}"


def _registers(p: Process) -> Iterator[str]:
    """Those that the program had when it entered the kernel."""
    names = list(enumerate(REGISTERS, TF_RA))
    for at in range(0, len(names), A_LINE):
        yield "  " + "  ".join(f"{name:>3} {p.thread.tf[i]:016x}" for i, name in names[at : at + A_LINE])
