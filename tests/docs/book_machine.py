"""Machines for the book's outputs, and stopping them where something can be seen.

The functions of book_trap.py, book_pages.py, book_processes.py and book_disk.py make the blocks of output
that the chapters print; each registers itself by `@output(name)`.  Everything is looked at from outside,
between two steps of the machine.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from emu import engine as e
from emu.hart import Hart
from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, TRAMPOLINE, kstack
from kernel.abi.param import NPROC
from kernel.kernel import Kernel
from kernel.proc import Proc
from orrery import Machine
from toolchain import cc

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
STEPS_MAX = 100_000  # a walk that is longer than this will not end

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


def the(machine: Machine, name: str) -> Proc:
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
    """The low eight bits of a page-table entry, as in `D A - U X W R V`, without the blanks."""
    return "".join(letter if pte >> bit & 1 else "-" for bit, letter in reversed(list(enumerate("VRWXUGAD"))))
