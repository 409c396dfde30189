"""The outputs of docs/01-the-trap.md."""

from book_machine import (
    Lines,
    example,
    example_symbols,
    flags,
    in_trampoline,
    output,
    registers,
    run_until,
    running,
    step_to,
    the,
)

from emu.cpu import engine as e
from kernel.abi.memlayout import TRAMPOLINE, TRAPFRAME
from kernel.thread import TF_WORDS
from orrery import Machine

PROGRAM = "getpid.S"
TRAPFRAME_NAMES = (
    *("kernel_satp", "kernel_sp", "kernel_trap", "epc", "kernel_hartid"),
    *("ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *("t3", "t4", "t5", "t6"),
)


def at_the_call() -> Machine:
    """A machine whose next instruction is the ecall of getpid."""
    machine = running(PROGRAM)
    kernel = machine.kernel
    run_until(machine, lambda hart: any(p.name == "getpid" for p in kernel.procs))
    step_to(machine, example_symbols(PROGRAM)["call"], privilege=0)
    return machine


@output("trap-addresses")
def addresses() -> Lines:
    machine = running(PROGRAM)
    image = machine.kernel.image
    lines = ["name          in RAM       mapped at"]
    for name in ("uservec", "userret", "kernelvec", "swtch", "idle"):
        pa = image.symbols[name]
        va = in_trampoline(machine.kernel, name) if pa >= image.trampoline else pa
        lines.append(f"{name:<13} {pa:#x}   {va:#x}")
    lines += [
        f"{gate:<13} {image.symbols[gate]:#x}   {image.symbols[gate]:#x}   a gate" for gate in gates(machine)
    ]
    machine.close()
    return lines


def gates(machine: Machine) -> list[str]:
    image = machine.kernel.image
    inside = {a: n for n, a in image.symbols.items() if image.gates <= a < image.gates_end and n != "gates"}
    return [inside[address] for address in sorted(inside)]


def changes(before: dict[str, int], after: dict[str, int]) -> Lines:
    """The registers that differ, both values."""
    lines = [f"{'':<10}{'before':>20}{'after':>20}"]
    lines += [
        f"{name:<10}{before[name]:>#20x}{after[name]:>#20x}" for name in before if before[name] != after[name]
    ]
    return lines


@output("trap-entry")
def entry() -> Lines:
    """What one ecall changes."""
    with at_the_call() as machine:
        before = registers(machine)
        machine.board.loop.step()
        return changes(before, registers(machine))


@output("trap-return")
def leave() -> Lines:
    """What one sret changes."""
    with at_the_call() as machine:
        after = example_symbols(PROGRAM)["after"]
        regs, loop = machine.board.hart.regs, machine.board.loop
        loop.step()
        while regs[e.PC] != after or regs[e.PRIV]:
            before = registers(machine)
            loop.step()
        return changes(before, registers(machine))


@output("trap-steps")
def steps() -> Lines:
    """The way of one getpid, a line where something changes."""
    with at_the_call() as machine:
        kernel, loop, regs = machine.kernel, machine.board.loop, machine.board.hart.regs
        p = the(machine, "getpid")
        image, after = kernel.image, example_symbols(PROGRAM)["after"]
        places = {
            in_trampoline(kernel, "uservec"): "uservec begins",
            image.usertrap: "the gate usertrap",
            in_trampoline(kernel, "userret"): "userret begins",
        }
        lines = ["step     time  mode  page table  pc             what is next"]
        start_ps, step, shown_satp = machine.time_ps, 0, regs[e.SATP]
        while True:
            pc, privilege, satp = regs[e.PC], regs[e.PRIV], regs[e.SATP]
            what = places.get(pc, "")
            if step == 0:
                what = "ecall"
            elif privilege == 0 and pc == after:
                what = "the instruction after the ecall"
            elif satp != shown_satp:
                what = f"in the page table of {'the kernel' if satp == kernel.satp else 'the process'}"
            if what:
                table = "kernel" if satp == kernel.satp else "process"
                ns = (machine.time_ps - start_ps) // 1000
                lines.append(f"{step:4} {ns:5} ns  {'US'[privilege]}     {table:<8}    {pc:#012x}   {what}")
            shown_satp = satp
            if privilege == 0 and pc == after:
                assert p.space.satp == satp
                return lines
            loop.step()
            step += 1


@output("trapframe")
def trapframe() -> Lines:
    """The trapframe when the hart is at the gate."""
    with at_the_call() as machine:
        kernel = machine.kernel
        step_to(machine, kernel.image.usertrap, privilege=1)
        p = the(machine, "getpid")
        words = machine.board.ram.view(p.thread.trapframe_pa, 8 * TF_WORDS).cast("Q").tolist()
        cells = [
            f"{8 * i:4} {name:<13} {word:#x}"
            for i, (name, word) in enumerate(zip(TRAPFRAME_NAMES, words, strict=True))
        ]
        half = len(cells) // 2
        return [f"{left:<39}{right}".rstrip() for left, right in zip(cells[:half], cells[half:], strict=True)]


@output("trap-mappings")
def mappings() -> Lines:
    """The two pages at the top, in the kernel's page table and in a process's."""
    with at_the_call() as machine:
        kernel = machine.kernel
        p = the(machine, "getpid")
        lines = []
        for whose, root in (("kernel ", kernel.pagetable), ("process", p.space)):
            for name, va in (("trampoline", TRAMPOLINE), ("trapframe", TRAPFRAME)):
                index = kernel.vm.walk(root, va)
                pte = machine.board.ram.u64[index] if index >= 0 else 0
                where = f"-> {pte >> 10 << 12:#x}  {flags(pte)}" if pte & 1 else "not mapped"
                lines.append(f"{whose}  {va:#x} {name:<10} {where}")
        return lines


@output("trap-unexpected")
def unexpected() -> Lines:
    """What a program sees that reads where it has nothing."""
    with Machine(modules={b"lazy": example("lazy.c")}).boot() as machine:
        return ["$ lazy", *machine.sh("lazy").splitlines()]
