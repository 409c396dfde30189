"""The outputs of docs/07-mmap.md."""

from collections.abc import Callable

from book_disk import WatchedDrive
from book_lazy import running_after_boot
from book_machine import Lines, entry_line, example, flags, follow, output, the

from kernel.abi.memlayout import PGSIZE
from kernel.abi.riscv import PTE_D
from kernel.mm.mmap import MMAP_TOP
from kernel.mm.vma import Vma
from kernel.proc import Process
from orrery import Machine
from toolchain import fsimage, image

PAGES = 4  # of dirty.c
KINDS = ("shared", "private", "shared zeroes", "private zeroes")
READ_PAGES = 60


def vma_line(vma: Vma) -> str:
    rights = "".join(letter if vma.prot >> bit & 1 else "-" for bit, letter in enumerate("RWX"))
    kind = "shared" if vma.shared else "private"
    return f"  {vma.start:#x}-{vma.end:#x}  {rights}  {kind}, file from {vma.offset:#x}"


def mapped(machine: Machine, p: Process) -> Lines:
    """The mappings of a process, and those of their pages that are in its page table."""
    kernel = machine.kernel
    lines: Lines = []
    for vma in p.space.vmas:
        lines.append(vma_line(vma))
        entries = kernel.vm.leaves(p.space, vma.start, vma.end)
        lines += [entry_line(kernel, f"    {va:#x}", pte) for va, _, pte in entries]
    return lines


def steps(wanted: Callable[[str], bool]) -> Lines:
    """The mappings of mmap.c behind some of the lines that it prints."""
    with running_after_boot("mmap") as machine:
        lines: Lines = []
        last: Lines = []

        def look(line: str, p: Process) -> None:
            nonlocal last
            now = mapped(machine, p)
            if wanted(line):
                lines.extend([line, *(now if now != last else ["  as before"])])
                last = now

        follow(machine, "mmap", look)
    return lines


@output("mmap-steps")
def touches() -> Lines:
    """The pages of a mapping as they come."""
    return steps(lambda line: "unmapped" not in line and "protected" not in line)


@output("mmap-parts")
def parts() -> Lines:
    """The mappings of a process when a page was unmapped, and one made read-only."""
    return steps(lambda line: "unmapped" in line or "protected" in line)


@output("mmap-kinds")
def kinds() -> Lines:
    """What the pages of four mappings are in parent and child."""
    with running_after_boot("kinds") as machine:
        kernel = machine.kernel
        lines: Lines = []

        def look(line: str, p: Process) -> None:
            if "stored" not in line:
                lines.append(line)
                return
            family = [q for q in kernel.procs if q.name == "kinds"]
            lines.append(f"{line + ':':<24}" + "".join(f"pid {q.pid}{'':19}" for q in family).rstrip())
            pages = range(MMAP_TOP - PGSIZE, 0, -PGSIZE)
            for name, va in zip(KINDS, pages, strict=False):
                ptes = [kernel.vm.pte(q.space, va) for q in family]
                cells = [f"{pte >> 10 << 12:#x} {flags(pte)}" for pte in ptes]
                lines.append(f"  {name:<22}{'   '.join(cells)}")

        follow(machine, "kinds", look)
    return lines


@output("mmap-dirty")
def dirty() -> Lines:
    """What reaches the disk of four pages, when bytes and dirty bits are changed in RAM."""
    drive = WatchedDrive(image.default_image())
    with Machine(drive=drive, modules={b"dirty": example("dirty.c")}).boot() as machine:
        kernel = machine.kernel
        machine.type("dirty\n")
        machine.run()
        p = the(machine, "dirty")
        (vma,) = p.space.vmas
        entries = [kernel.vm.walk(p.space, va) for va in range(vma.start, vma.end, PGSIZE)]
        u64 = kernel.ram.u64
        frames = [u64[index] >> 10 << 12 for index in entries]

        def show(what: str) -> None:
            letters = "".join(
                f"  {chr(machine.read(pa, 1)[0])} {flags(u64[index])}"
                for pa, index in zip(frames, entries, strict=True)
            )
            lines.append(f"{what:<18}{letters}")

        lines = [f"{'':<18}" + "".join(f"  page {i}      " for i in range(PAGES)).rstrip()]
        show("stored")
        u64[entries[0]] &= ~PTE_D
        u64[entries[2]] |= PTE_D
        for pa, letter in zip(frames[2:], b"CD", strict=True):
            kernel.ram.view(pa, 1)[0] = letter
        show("changed in RAM")
        written = kernel.counts.pages_written
        machine.type("\n")
        machine.run()
        data = fsimage.FsImage(drive.content).read("/data")
        lines.append(
            f"{'on the disk':<18}"
            + "".join(f"  {chr(data[at]):<12}" for at in range(0, len(data), PGSIZE)).rstrip()
        )
        lines.append(f"{kernel.counts.pages_written - written} pages were written")
    return lines


@output("mmap-cutoff")
def cutoff() -> Lines:
    """A file that is cut off while it is mapped."""
    with running_after_boot("cutoff") as machine:
        lines: Lines = []
        follow(machine, "cutoff", lambda line, p: lines.extend([f"{line}:", *mapped(machine, p)]))
    return lines


@output("mmap-eviction")
def eviction() -> Lines:
    """Free frames, and those that could be had, before and after reading, and when memory was used up."""
    modules = {b"reader": example("reader.c"), b"greedy": example("greedy.c")}
    with Machine(modules=modules).boot() as machine:
        frames, pages = machine.kernel.frames, machine.kernel.pages
        lines = [f"{'':<12}without owner  to be had  page cache"]
        for command in ("", f"reader {READ_PAGES}", "greedy"):
            machine.sh(command)
            cached = len(pages._homes)
            lines.append(f"{command:<12}{frames.free_frames:13}  {frames.available:9}  {cached:10}")
    return lines
