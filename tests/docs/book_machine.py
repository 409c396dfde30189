"""Machines for the book's outputs, and stopping them where something can be seen.

The functions of the other book_*.py make the blocks of output that the chapters print; each registers itself
by `@output(name)`.  Everything is looked at from outside, between two steps of the machine.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from emu.cpu import engine as e
from emu.cpu.hart import Hart
from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE, TRAMPOLINE, kstack
from kernel.abi.param import NPROC
from kernel.abi.riscv import PTE_SUPER
from kernel.kernel import Kernel
from kernel.proc import Process
from orrery import Machine, SyscallEvent
from toolchain import cc

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
STEPS_MAX = 100_000  # a walk that is longer than this will not end
PRINTED = re.compile(r'write\(1, "(.*)\\n"')  # a call that prints a line

Lines = list[str]
OUTPUTS: dict[str, Callable[[], Lines]] = {}


def output(name: str) -> Callable[[Callable[[], Lines]], Callable[[], Lines]]:
    """The function makes the lines of the output block `name`."""

    def register(make: Callable[[], Lines]) -> Callable[[], Lines]:
        assert name not in OUTPUTS, f"two outputs named {name}"
        OUTPUTS[name] = make
        return make

    return register


@cache
def example(file: str) -> bytes:
    """A program of docs/examples, compiled."""
    return cc.compile_user([EXAMPLES / file])


def running(file: str) -> Machine:
    """A machine that has not run yet, whose init will start this program, known as its name without .c."""
    name = b"/" + Path(file).stem.encode()
    return Machine(init_argv=(b"/init", name), modules={name: example(file)})


def example_symbols(file: str) -> dict[str, int]:
    """Addresses in a program of docs/examples."""
    program = example(file)
    header = elf.Header.unpack(program)
    assert header is not None
    return elf.symbols(program, header)


def run_until(machine: Machine, seen: Callable[[Hart], bool]) -> None:
    """Run until `seen(hart)` is true behind a gate: the kernel has just given the hart back."""
    loop = machine.board.loop
    on_gate = loop.on_gate

    def watch(hart: Hart) -> None:
        on_gate(hart)
        if seen(hart):
            loop.ask_stop()

    loop.on_gate = watch
    try:
        machine.run()
    finally:
        loop.on_gate = on_gate
    assert seen(machine.board.hart), "the machine stopped before it was seen"


def step_to(machine: Machine, pc: int, privilege: int) -> int:
    """Step to an instruction; gives the number of steps."""
    regs, loop = machine.board.hart.regs, machine.board.loop
    for steps in range(STEPS_MAX):
        if regs[e.PC] == pc and regs[e.PRIV] == privilege:
            return steps
        loop.step()
    raise AssertionError(f"the hart does not come to {pc:#x}")


def the(machine: Machine, name: str) -> Process:
    """The one process of that name."""
    (p,) = [p for p in machine.kernel.procs if p.name == name]
    return p


def registers(machine: Machine) -> dict[str, int]:
    """All registers by name; s0 is not also fp, and x0-x31 have their ABI names only."""
    regs = machine.board.hart.regs
    skipped = {f"x{i}" for i in range(32)} | {"fp", "mip"}
    return {name: regs[index] for name, index in e.NAMES.items() if name not in skipped}


def in_trampoline(kernel: Kernel, symbol: str) -> int:
    """Where a symbol of the trampoline is in every address space."""
    return TRAMPOLINE + kernel.image.symbols[symbol] - kernel.image.trampoline


def named(kernel: Kernel, address: int) -> str:
    """An address with the name that the kernel's image, or its stacks, give it."""
    image = kernel.image
    for name in ("main", "usertrap", "kerneltrap", "forkret", "resumed", "swtch", "idle", "kernelvec"):
        if image.symbols[name] == address:
            return name
    for name in ("uservec", "userret"):
        if in_trampoline(kernel, name) == address:
            return f"{name} in the trampoline"
    if image.symbols["boot_stack"] < address <= image.symbols["boot_stack_top"]:
        return "on the boot stack"
    for slot in range(NPROC):
        if kstack(slot) < address <= kstack(slot) + PGSIZE:
            return f"on kernel stack {slot}"
    return ""


def flags(pte: int) -> str:
    """The low ten bits of a page-table entry, as in `S C D A - U X W R V`, without the blanks."""
    letters = reversed(list(enumerate("VRWXUGADCS")))
    return "".join(letter if pte >> bit & 1 else "-" for bit, letter in letters)


def follow(machine: Machine, command: str, look: Callable[[str, Process], None]) -> None:
    """Type a command; look(line, p) whenever a process has printed a line that is not the shell's."""

    def called(event: SyscallEvent) -> None:
        printed = PRINTED.match(event.text)
        p = machine.kernel.procs.find(event.pid)
        if printed and p is not None and event.process != "sh":
            look(printed[1], p)

    machine.on("syscall", called)
    machine.sh(command)


def memory(machine: Machine, p: Process, low: int, high: int) -> Lines:
    """The page table of `p` for [low, high): a line for each piece of 2 MiB, and for each page in it."""
    kernel = machine.kernel
    lines: Lines = []
    for piece, _, entry in kernel.vm.regions(p.space, low, high):
        kind = "superpage" if entry & PTE_SUPER else "table"
        lines.append(entry_line(kernel, f"{piece:#012x}  {kind}", entry))
        if not entry & PTE_SUPER:
            first, last = max(low, piece), min(high, piece + SUPERPGSIZE)
            pages = kernel.vm.leaves(p.space, first, last)
            lines += [entry_line(kernel, f"  {va:#012x}", pte) for va, _, pte in pages]
    return lines


def entry_line(kernel: Kernel, what: str, pte: int) -> str:
    pa = pte >> 10 << 12
    owners = kernel.frames.owners(pa)
    return f"{what:<25}{pa:#x} {flags(pte)}  {owners} {'owner' if owners == 1 else 'owners'}"
