"""What memory costs: each row of user/tests/membench.c beside another way to the same, on this very kernel.

The rival is named in the row: another call that does the same, or the same on a machine whose kernel was
changed for it, by one of the functions here.  All machines are in the bench's own process and take turns, and
what counts is the processor time that they take, the least of several runs: the host may be as busy as it
likes.  As in rows.py a round is the difference of a run with many of them and one with few.

`--plot` shows that cost grows as the work does.  There a single system call is timed, by the kernel's hook
for observers, which costs both ends alike.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter_ns, process_time
from typing import Any, Final, cast

from bench.rows import MICRO, SHARE, suitable_count
from bench.terminal import BenchError
from emu.cpu import engine as e
from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.abi.riscv import PTE_FLAGS, PTE_SUPER, PTE_W
from kernel.abi.syscalls import Syscall
from kernel.errors import OutOfMemory, SyscallError
from kernel.mm.pagetable import PA_FROM_PTE_SHIFT, PageTable, pa_of
from kernel.proc import Process
from orrery import Machine
from orrery.machine.hooks import Watcher
from toolchain import cc, image, mkfs

MEM_MIB: Final = 256
IMAGE_BLOCKS: Final = 32_768
PROGRAMS: Final = ("init", "sh", "bench", "membench")
DATA_MIB: Final = 16  # of membench.c's file
NANO: Final = 1e-9
LONG_S: Final = 0.2
PLOT_RUNS: Final = 7
READS_ROUNDS: Final = 100


# --- machines ---


class CountingDrive(RamDrive):
    """A disk that counts what is asked of it."""

    reads = 0

    def read(self, sector: int, count: int) -> bytes:
        self.reads += 1
        return super().read(sector, count)


def as_it_is(machine: Machine) -> None:
    """The kernel, unchanged."""


def copying_eagerly(machine: Machine) -> None:
    """Let fork copy each page that can be written, as xv6 does and this kernel did before it had COW."""
    vm, frames, ram = machine.kernel.vm, machine.kernel.frames, machine.board.ram

    def copy(source: PageTable, target: PageTable, low: int, high: int, sp: int = -1) -> None:
        for va, _, pte in vm.leaves(source, low, high):
            if not pte & PTE_W:
                vm.map_shared(target, va, pa_of(pte), pte & PTE_FLAGS)
            elif pte & PTE_SUPER:
                copy_superpage(target, va, pte)
            else:
                new = frames.alloc()
                if not new:
                    raise OutOfMemory
                ram.view(new, PGSIZE)[:] = ram.view(pa_of(pte), PGSIZE)
                vm.write(vm.walk(target, va, own=True), new >> PA_FROM_PTE_SHIFT | pte & PTE_FLAGS)

    def copy_superpage(target: PageTable, va: int, pte: int) -> None:
        if not machine.kernel.superpages.map(target, va, pte & PTE_FLAGS):
            raise OutOfMemory
        ram.view(pa_of(vm.pte(target, va)), SUPERPGSIZE)[:] = ram.view(pa_of(pte), SUPERPGSIZE)

    cast(Any, machine.kernel.cow).copy = copy


class _Forgetful(Watcher):
    """Has nothing in memory when a program is to be run, but what is in use."""

    def __init__(self, machine: Machine) -> None:
        self._kernel: Final = machine.kernel

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        if call.name == "exec":
            while self._kernel.frames.reclaim():
                pass
            for buf in self._kernel.cache.buffers.values():
                buf.valid &= buf.refcnt > 0


def forgetting(machine: Machine) -> None:
    """Let each exec find empty caches. To empty them takes time too, some 5 % of the row."""
    machine.kernel.hooks.observer = _Forgetful(machine)


@cache
def _program(name: str) -> bytes:
    return cc.compile_user(image.programs()[name])


@cache
def _image() -> bytes:
    files = {name: _program(name) for name in PROGRAMS}
    words = array("I", range(DATA_MIB << 18)).tobytes()
    return bytes(mkfs.build({**files, "data": words}, IMAGE_BLOCKS, layout="lab"))


Change = Callable[[Machine], None]


class Side:
    """A machine with a change; measures commands on it."""

    def __init__(self, change: Change) -> None:
        self.drive: Final = CountingDrive(_image())
        self.machine: Final = Machine(self.drive, mem_mib=MEM_MIB).boot()
        self._counts: dict[str, int] = {}
        change(self.machine)

    def run_s(self, command: str, count: int) -> float:
        """Processor time of so many rounds, the program's start and end included; raises BenchError."""
        begin_s = process_time()
        printed = self.machine.sh(f"{command} {count}")
        took_s = process_time() - begin_s
        if f"{command} {count} done" not in printed.replace("bench: ", "bench "):
            raise BenchError(f"{command}: the machine says: {' / '.join(printed.strip().splitlines()[-3:])}")
        return took_s

    def round_s(self, command: str) -> float:
        """Processor time of one round."""
        if command not in self._counts:
            self._counts[command] = suitable_count(lambda n: self.run_s(command, n), SHARE, LONG_S)
        large = self._counts[command]
        small = large // SHARE
        return (self.run_s(command, large) - self.run_s(command, small)) / (large - small)

    def reads_in(self, command: str, count: int) -> int:
        """Requests to the disk, to read, of so many rounds once they have all run before."""
        self.run_s(command, count)
        before = self.drive.reads
        self.run_s(command, count)
        return self.drive.reads - before


class Sides:
    """A machine for each change, switched on when it is wanted first."""

    def __init__(self) -> None:
        self._sides: dict[Change, Side] = {}

    def __getitem__(self, change: Change) -> Side:
        if change not in self._sides:
            self._sides[change] = Side(change)
        return self._sides[change]

    def __enter__(self) -> "Sides":
        return self

    def __exit__(self, *_: object) -> None:
        for side in self._sides.values():
            side.machine.close()


# --- the table ---


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """`ours` and `theirs` are commands that lack their count; a round does the thing `times` times."""

    name: str
    unit: str
    scale: float
    ours: str
    rival: str  # who that is
    theirs: str
    goal: float | None = None
    times: int = 1
    change: Change = as_it_is  # of the rival's machine


ROWS: Final = (
    MemoryRow(
        "fork+exit+wait, 32 MiB in pages", "us", MICRO,
        "membench fork 32", "eager copying", "membench fork 32", 20.0, change=copying_eagerly,
    ),
    MemoryRow(
        "fork+exit+wait, 32 MiB in superpages", "us", MICRO,
        "membench superfork 32", "eager copying", "membench superfork 32", 20.0, change=copying_eagerly,
    ),
    MemoryRow(
        "fork+exit+wait, 32 MiB, a store to each page", "us", MICRO,
        "membench forkstore 32", "eager copying", "membench forkstore 32", change=copying_eagerly,
    ),
    MemoryRow(
        "fork+exec+wait", "us", MICRO, "bench exec", "nothing cached", "bench exec", change=forgetting
    ),
    MemoryRow(
        "a page of heap: promised, touched, freed", "us", MICRO,
        "membench lazy 256", "mapped at once", "membench eager 256", times=256,
    ),
    MemoryRow(
        "sum of a cached file of 16 MiB, mmap", "us", MICRO,
        "membench mapped 16", "read() of 4 KiB", "membench read 16", 2.0,
    ),
    MemoryRow(
        "a dirty page written back", "us", MICRO,
        "membench sync 64", "write() of 4 KiB", "membench write 64", times=64,
    ),
    MemoryRow(
        "switch of coroutines", "ns", NANO,
        "membench yield 2", "switch of processes", "bench pingpong", times=2,
    ),
)  # fmt: skip


@dataclass(slots=True)
class MemoryResult:
    """Seconds of each run; `note` is what else was counted, `failure` says why there is not all of it."""

    row: MemoryRow
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    note: str = ""
    failure: str = ""

    @property
    def speedup(self) -> float:
        """How many times as fast as the rival, by the least of each."""
        return min(self.theirs) / min(self.ours)


def measure(repeat: int) -> Iterator[MemoryResult]:
    """Each row, `repeat` times, ours and the rival in turns."""
    with Sides() as sides:
        for row in ROWS:
            result = MemoryResult(row)
            try:
                ours, theirs = sides[as_it_is], sides[row.change]
                for _ in range(repeat):
                    result.ours.append(ours.round_s(row.ours) / row.times)
                    result.theirs.append(theirs.round_s(row.theirs) / row.times)
                result.note = _note(row, ours)
            except BenchError as error:
                result.failure = str(error)
            yield result


def _note(row: MemoryRow, side: Side) -> str:
    if row.change is forgetting:
        return f"{side.reads_in(row.ours, READS_ROUNDS)} disk reads in {READS_ROUNDS} execs"
    if "yield" in row.ours:
        return f"{switch_instructions()} instructions"
    return ""


def switch_instructions() -> int:
    """How many instructions the hart retires from the first one of co_switch to where that returns."""
    program = _program("membench")
    header = elf.Header.unpack(program)
    assert header is not None, "the linker makes ELF files"
    symbols = elf.symbols(program, header)
    first, end = symbols["co_switch"], symbols["co_start"]
    argv = (b"/membench", b"yield", b"2", b"100")
    with Machine(RamDrive(_image()), init_argv=argv) as machine:
        loop, regs = machine.board.loop, machine.board.hart.regs
        loop.set_spots([e.Spot(first, first + 1, e.FETCHES)])
        stop = loop.run()
        assert stop is Stop.BREAK, "coroutines that yield come to co_switch"
        count = 0
        while first <= regs[e.PC] < end:
            loop.step()
            count += 1
        assert regs[e.PC] == machine.reg("ra"), "nothing came between"
    return count


# --- the plot ---


@dataclass(frozen=True, slots=True)
class Curve:
    """How long system call `call` takes in `command`, by a size."""

    name: str
    unit: str  # of the size
    call: str
    command: str
    sizes: Sequence[int]
    change: Change = as_it_is


MIBS: Final = (0, 1, 2, 4, 8, 16, 32, 48, 64)
PAGES: Final = (1, 16, 64, 256, 1024, 2048, 4096)
RANGES: Final = (1, 4, 16, 64, 256, 1024)
CURVES: Final = (
    Curve("fork, by memory in pages", "MiB", "fork", "membench fork", MIBS),
    Curve("fork, by memory in superpages", "MiB", "fork", "membench superfork", MIBS),
    Curve("fork with eager copying", "MiB", "fork", "membench fork", MIBS, copying_eagerly),
    Curve("munmap, by pages that were touched", "pages", "munmap", "membench dense", PAGES),
    Curve("munmap of 16 pages, by the range they are in", "MiB", "munmap", "membench wide", RANGES),
)


class _CallTimer(Watcher):
    """How long each system call of this name takes that the program makes, in seconds."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._began_ns = 0
        self.took_s: Final[list[float]] = []

    def syscall_enter(self, p: Process, call: Syscall) -> None:
        self._began_ns = perf_counter_ns()

    def syscall_exit(self, p: Process, call: Syscall, result: int, error: SyscallError | None) -> None:
        if call.name == self._name and p.name == PROGRAMS[-1]:
            self.took_s.append((perf_counter_ns() - self._began_ns) * NANO)


@dataclass(frozen=True, slots=True)
class Plotted:
    """A curve with its points: size, and seconds of the fastest call."""

    curve: Curve
    points: list[tuple[int, float]]


def plot(runs: int = PLOT_RUNS) -> Iterator[Plotted]:
    """Each curve; a new process makes the call once for each of so many runs."""
    with Sides() as sides:
        for curve in CURVES:
            side = sides[curve.change]
            yield Plotted(curve, [(size, _call_s(side, curve, size, runs)) for size in curve.sizes])


def _call_s(side: Side, curve: Curve, size: int, runs: int) -> float:
    timer = _CallTimer(curve.call)
    side.machine.kernel.hooks.observer = timer
    for _ in range(runs):
        side.run_s(f"{curve.command} {size}", 1)
    side.machine.kernel.hooks.observer = None
    assert len(timer.took_s) == runs, f"{curve.command} makes one call of {curve.call}"
    return min(timer.took_s)
