"""The outputs of docs/03-processes-and-swtch.md."""

from book_machine import Lines, named, output, run_until, running, the

from emu.clock import TICKS_PER_S
from emu.cpu import engine as e
from emu.cpu.hart import Hart
from kernel.abi.ps import STATE_NAMES
from kernel.kernel import Kernel
from orrery import Machine, SwitchEvent, SyscallEvent

SAVED = ("ra", "sp", *(f"s{i}" for i in range(12)))
BOOT_GATES = 8
QUIET = ("close", "open", "dup")


@output("boot-gates")
def boot_gates() -> Lines:
    """The first gates after power-on, and the way in which the kernel gave the hart back."""
    lines = ["   time us  gate        sp                                 then the hart runs"]
    with Machine() as machine:
        kernel, loop = machine.kernel, machine.board.loop
        on_gate = loop.on_gate

        def watch(hart: Hart) -> None:
            regs = hart.regs
            gate, sp, us = regs[e.PC], regs[e.X + 2], machine.time_ps // 1_000_000
            on_gate(hart)
            if len(lines) > BOOT_GATES:
                loop.ask_stop()
                return
            to = named(kernel, regs[e.PC]) or "kernelvec goes on"
            if to == "swtch":
                to += f"({context(kernel, regs[e.X + 10])}, {context(kernel, regs[e.X + 11])})"
            at = f"{sp:#x} {named(kernel, sp)}"
            lines.append(f"{us:10}  {named(kernel, gate):<10}  {at:<33}  {to}")

        loop.on_gate = watch
        machine.run()
    return lines


def context(kernel: Kernel, pa: int) -> str:
    """Whose context is at `pa`."""
    if pa == kernel.cpu_context:
        return "scheduler"
    (stack,) = [stack for stack in kernel.procs.stacks if stack.context_pa == pa]
    return stack.thread.process.name if stack.thread is not None else f"slot {stack.slot}"


@output("process-table")
def process_table() -> Lines:
    """Processes that wait, what for, and what of them is in RAM."""
    with Machine().boot() as machine:
        machine.type("cat | wc\n")
        machine.run()
        lines = ["pid  name  state   waits for                     trapframe    context      kernel stack"]
        for p in machine.kernel.procs:
            chan = machine.kernel.procs.waits_for(p.thread)
            names = f"{p.pid:3}  {p.name:<4}  {STATE_NAMES[p.state]:<6}  {chan:<28}"
            trapframe_pa, stack = p.thread.trapframe_pa, p.thread.stack
            lines.append(f"{names}  {trapframe_pa:#x}   {stack.context_pa:#x}   {stack.va:#x}")
        return lines


@output("context")
def context_before_and_after() -> Lines:
    """One swtch: both contexts in RAM before it, and after it."""
    with Machine() as machine:
        kernel, regs = machine.kernel, machine.board.hart.regs

        def shell_gives_up(hart: Hart) -> bool:
            thread = kernel.sched.current
            sleeps = thread is not None and thread.process.name == "sh" and bool(thread.waits_for)
            return sleeps and regs[e.PC] == kernel.image.swtch

        run_until(machine, shell_gives_up)
        stack = the(machine, "sh").thread.stack
        before = [regs[e.NAMES[name]] for name in SAVED]
        stale = stack.context.tolist()
        scheduler = machine.board.ram.view(kernel.cpu_context, 8 * len(SAVED)).cast("Q").tolist()
        steps = 0
        while regs[e.PC] != kernel.image.resumed:
            machine.board.loop.step()
            steps += 1
        after = [regs[e.NAMES[name]] for name in SAVED]
        assert stack.context.tolist() == before and after == scheduler, (
            "swtch saves one and loads the other"
        )
        lines = [f"{steps} instructions, from swtch to the gate resumed", ""]
        lines.append("        old context in RAM            registers                     new context")
        lines.append("        before        after           before        after           in RAM")
        for i in (0, 1, 2, 13):
            cells = (stale[i], before[i], before[i], after[i], scheduler[i])
            lines.append(
                f"{SAVED[i]:<6}"
                + "".join(f"  {cell:<#{14 if n % 2 else 12}x}" for n, cell in enumerate(cells)).rstrip()
            )
            if i == 2:
                lines.append("...")
        return [line.rstrip() for line in lines]


@output("pipe-switches")
def pipe_switches() -> Lines:
    """Who runs when in `echo hello | wc`, and the calls that they make."""
    lines: Lines = []
    with Machine().boot() as machine:
        machine.sh("echo hello | wc")  # so that both programs are in memory, and exec does not wait

        def switch(event: SwitchEvent) -> None:
            lines.append(f"-> {event.pid} {event.name}")

        def called(event: SyscallEvent) -> None:
            if event.name not in QUIET and (event.name != "write" or event.process != "sh"):
                lines.append(f"     {event.pid} {event.process}: {event.text}")

        machine.on("switch", switch)
        machine.on("syscall", called)
        machine.sh("echo hello | wc")
    return lines


@output("preempt")
def preempt() -> Lines:
    """When two spinning processes change places."""
    lines: Lines = []
    with running("spin.c") as machine:

        def switch(event: SwitchEvent) -> None:
            if event.name == "spin":
                lines.append(f"{event.time_ps / 1e9:9.4f} ms  -> {event.pid}")

        machine.on("switch", switch)
        machine.run(TICKS_PER_S // 2)
    return [line for line in lines if not line.startswith("   ")]  # from the first tick on


@output("deadlock")
def deadlock() -> Lines:
    """What the machine says when all wait for ever."""
    with Machine().boot() as machine:
        machine.type("cat | cat | cat\n")
        stop = machine.run()
        report = machine.kernel.procs.sleepers_report()
        return [f"{stop}", *report.replace(", ", ",\n").splitlines()]
