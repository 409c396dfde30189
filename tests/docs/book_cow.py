"""The outputs of docs/06-copy-on-write.md."""

from dataclasses import asdict
from itertools import pairwise

from book_lazy import running_after_boot
from book_machine import Lines, flags, follow, memory, output
from book_pages import leaves

from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.abi.riscv import PTE_U
from kernel.proc import Process
from orrery import FaultEvent, Machine, SyscallEvent

HEAP_PAGES = 4  # of cow.c
SIZES = (16, 512, 4096, 8192)  # pages of family.c
PIECE_PAGES = SUPERPGSIZE // PGSIZE
SHOWN = 3  # entries of a piece


@output("cow-steps")
def steps() -> Lines:
    """The heap of parent and child, and who else has each frame, from step to step."""
    with running_after_boot("cow") as machine:
        lines: Lines = []

        def look(line: str, p: Process) -> None:
            family = [q for q in machine.kernel.procs if q.name == "cow"]
            tables = [dict(leaves(machine, q.space.root)) for q in family]
            heading = "   ".join(f"{f'pid {q.pid}':<21}" for q in family)
            lines.append(f"{line + ':':<32}{heading}".rstrip())
            for va in range(p.space.sz - HEAP_PAGES * PGSIZE, p.space.sz, PGSIZE):
                cells = "   ".join(f"{t[va] >> 10 << 12:#x} {flags(t[va])}" for t in tables)
                owners = machine.kernel.frames.owners(tables[0][va] >> 10 << 12)
                shared = "   the same frame" if owners > 1 else ""
                lines.append(f"  {va:#06x}{'':24}{cells}{shared}")

        follow(machine, "cow", look)
    return lines


@output("cow-faults")
def faults() -> Lines:
    """The faults of the same run, what they did, and whether the hart must forget translations."""
    with running_after_boot("cow") as machine:
        counts, trap = machine.kernel.counts, machine.kernel.trap
        lines: Lines = []
        before = asdict(counts)

        def flush_is_due(p: Process) -> bool:
            return trap._tlb_space is not p.space or trap._tlb_generation != p.space.generation

        def note(what: str) -> None:
            nonlocal before
            after = asdict(counts)
            done = ", ".join(f"{name} {after[name] - n:+}" for name, n in before.items() if after[name] != n)
            before = after
            flush = "flush" if flush_is_due(machine.kernel.myproc()) else "no flush"
            lines.append(f"{what:<28} {done:<29} {flush}")

        def fault(event: FaultEvent) -> None:
            if event.name == "cow":
                note(f"pid {event.pid}: cause {event.cause} at {event.va:#06x}")

        def called(event: SyscallEvent) -> None:
            nonlocal before
            if event.process == "cow" and event.name in ("fork", "pipe"):
                note(f"pid {event.pid}: {event.text}")
            before = asdict(counts)  # what other calls did, the shell's fork and exec, is not told

        machine.on("fault", fault)
        machine.on("syscall", called)
        machine.sh("cow")
    return lines


@output("cow-costs")
def costs() -> Lines:
    """The frames that fork takes, and the first store to one page, by the size of the process."""
    lines = ["         one by one          superpages", "pages    fork  one store     fork  one store"]
    for pages in SIZES:
        ways = [frames_of_steps(f"family {pages}")]
        if pages >= PIECE_PAGES:
            ways.append(frames_of_steps(f"family {pages} at-once"))
        lines.append(f"{pages:5}" + "".join(f"{fork:8} {store:10}  " for fork, store, *_ in ways).rstrip())
    return lines


def frames_of_steps(command: str) -> list[int]:
    """How many frames were taken from each line that is printed to the next."""
    with running_after_boot("family") as machine:
        free: list[int] = []
        follow(machine, command, lambda line, p: free.append(machine.kernel.frames.free_frames))
        return [before - after for before, after in pairwise(free)]


@output("cow-tables")
def tables() -> Lines:
    """The last two pieces of both processes when the child has stored to one of 1024 pages."""
    return family_memory(f"family {2 * PIECE_PAGES}", PIECE_PAGES + 1)


@output("cow-superpages")
def superpages() -> Lines:
    """The same with superpages."""
    return family_memory(f"family {2 * PIECE_PAGES} at-once", 1)


def family_memory(command: str, entries_per_piece: int) -> Lines:
    """The two pieces of the heap of both processes of family.c, the first entries of each."""
    with running_after_boot("family") as machine:
        lines: Lines = []

        def look(line: str, p: Process) -> None:
            if line not in ("forked", "one store"):
                return
            for q in (q for q in machine.kernel.procs if q.name == "family"):
                lines.append(f"{line}, pid {q.pid}:")
                entries = memory(machine, q, SUPERPGSIZE, 3 * SUPERPGSIZE)
                for at in (0, entries_per_piece):
                    lines.extend(entries[at : at + min(entries_per_piece, SHOWN)])
                    lines.extend(["  ..."] if entries_per_piece > SHOWN else [])

        follow(machine, command, look)
    return lines


@output("cow-commands")
def commands() -> Lines:
    """What one command of the shell copies and takes."""
    lines = ["             copied  taken"]
    with Machine().boot() as machine:
        counts = machine.kernel.counts
        for command in ("echo hello", "echo hello", "ls", "ls | wc"):
            copied, taken = counts.cow_copied, counts.cow_taken
            machine.sh(command)
            lines.append(f"{command:<12} {counts.cow_copied - copied:6}  {counts.cow_taken - taken:5}")
    return lines


@output("fork-share")
def fork_share() -> Lines:
    """Two processes that run one file."""
    with Machine().boot() as machine:
        machine.type("cat | cat\n")
        machine.run()
        first, second = [p for p in machine.kernel.procs if p.name == "cat"]
        tables = [dict(leaves(machine, p.space.root)) for p in (first, second)]
        lines = [f"va        cat, pid {first.pid}            cat, pid {second.pid}"]
        for va in sorted(tables[0].keys() | tables[1].keys()):
            if not tables[0][va] & PTE_U:
                continue
            cells = [f"{t[va] >> 10 << 12:#x} {flags(t[va])}" if va in t else "-" for t in tables]
            same = "the same frame" if len({t.get(va, 0) >> 10 for t in tables}) == 1 else ""
            lines.append(f"{va:#06x}    {cells[0]}   {cells[1]}   {same}".rstrip())
        return lines
