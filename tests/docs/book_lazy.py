"""The outputs of docs/05-lazy-allocation.md."""

from book_machine import Lines, example, follow, memory, output, the
from book_pages import leaves

from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.abi.riscv import PTE_U
from kernel.proc import Process
from orrery import FaultEvent, Machine, SyscallEvent

CALLS = ("sbrk", "pipe", "write", "open")
SHOWN_MAX = 5  # entries of three pieces; of more the middle is left out


def running_after_boot(program: str, mem_mib: int = 128) -> Machine:
    """A machine at its prompt whose shell knows a program of docs/examples."""
    return Machine(mem_mib=mem_mib, modules={program.encode(): example(f"{program}.c")}).boot()


@output("lazy-faults")
def lazy_faults() -> Lines:
    """Which of its pages a program has when, and the faults that made them."""
    snapshots: Lines = []
    with running_after_boot("lazy") as machine:
        start = 0

        def show(what: str) -> None:
            p = the(machine, "lazy")
            end = p.space.sz
            mapped = [va for va, pte in leaves(machine, p.space.root) if pte & PTE_U and start <= va < end]
            pages = " ".join("x" if va in mapped else "." for va in range(start, end, PGSIZE))
            snapshots.append(f"{what:<46} {pages}")

        def called(event: SyscallEvent) -> None:
            nonlocal start
            if event.process == "lazy" and event.name in CALLS:
                start = start or event.result or 0
                show(f"{event.name}() = {event.result:#x}" if event.name == "sbrk" else event.text)

        def fault(event: FaultEvent) -> None:
            if event.name == "lazy":
                end = "mapped" if event.mapped else "killed"
                show(f"cause {event.cause} at {event.va:#x}, pc {event.pc:#x}: {end}")

        machine.on("syscall", called)
        machine.on("fault", fault)
        machine.sh("lazy")
    return snapshots


@output("lazy-gigabyte")
def gigabyte() -> Lines:
    """What a program that reserves a gigabyte has of it, from step to step."""
    with running_after_boot("gigabyte") as machine:
        frames = machine.kernel.frames
        lines: Lines = []
        free = 0

        def look(line: str, p: Process) -> None:
            nonlocal free
            free = free or frames.free_frames
            pages = [va for va, _, pte in machine.kernel.vm.leaves(p.space, 0, p.space.sz)]
            heap = " ".join(f"{va:#x}" for va in pages if va >= 4 * PGSIZE) or "none"
            more = free - frames.free_frames
            lines.append(f"{line:<18}sz {p.space.sz:#x}  {more:>2} more frames  heap: {heap}")

        follow(machine, "gigabyte", look)
    return lines


@output("lazy-after-fork")
def after_fork() -> Lines:
    """The child's memory after its parent reserved a gigabyte, touched four pages and forked."""
    with running_after_boot("gigabyte") as machine:
        lines: Lines = []

        def look(line: str, p: Process) -> None:
            if line == "in the child":
                lines.extend(memory(machine, p, 0, p.space.sz))

        follow(machine, "gigabyte", look)
    return lines


@output("lazy-guard")
def guard() -> Lines:
    """A stack that runs into its guard."""
    with running_after_boot("deep") as machine:
        lines: Lines = []

        def fault(event: FaultEvent) -> None:
            if event.name == "deep":  # the shell has memory that comes at the first touch, too
                p = the(machine, "deep")
                lines.extend(memory(machine, p, 0, p.space.sz))

        machine.on("fault", fault)
        return ["$ deep", *machine.sh("deep").splitlines(), "", *lines]


@output("lazy-greedy")
def greedy() -> Lines:
    """A program that uses up all memory."""
    with running_after_boot("greedy") as machine:
        lines: Lines = []
        for command in ("greedy", "echo still here"):
            lines += [f"$ {command}", *machine.sh(command).splitlines()]
        return [*lines, "", f"{machine.kernel.counts.zero_filled} pages were given"]


@output("lazy-superpages")
def superpages() -> Lines:
    """Three pieces of heap, and the entries that map them."""
    with running_after_boot("superpage") as machine:
        lines: Lines = []

        def look(line: str, p: Process) -> None:
            entries = memory(machine, p, SUPERPGSIZE, 4 * SUPERPGSIZE)
            if len(entries) > SHOWN_MAX:
                entries[SHOWN_MAX - 1 : -1] = ["  ..."]
            lines.extend([f"{line}:", *entries])

        follow(machine, "superpage", look)
    return lines
