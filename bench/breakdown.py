"""Where the time of a system call goes: a machine in this process, taken apart at its public seams.

A real machine runs bench.c's getpid loop as its first process.  It is timed as a whole; then the engine is
timed without the kernel, entered by hand at four places of the way of one call, and the kernel without the
engine, on a stub that claims to have come to the usertrap gate:

    userret -> sret -> user code -> ecall -> trap entry -> uservec -> gate | loop, trap.py, handler
    |<-------------------------- engine.run ----------------------------->|<------ Python -------->|
    A                                B                       C        D

Parts are differences (A - B is userret and the user's code), so they add up to what was timed apart; what
the whole takes beyond that sum is printed as unexplained.  All times are processor time of this process,
in nanoseconds for one call, medians of several rounds in which all stages take turns.
"""

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import process_time_ns
from typing import Any, Final, cast

from bench import rival
from bench.terminal import BenchError
from emu.board import Board
from emu.board_map import virt
from emu.cpu import engine as e
from emu.cpu.fast import EngineUnavailable, FastEngine
from emu.cpu.hart import SUPERVISOR, USER
from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi.memlayout import TRAMPOLINE
from kernel.abi.riscv import CAUSE_USER_ECALL
from kernel.abi.syscalls import SYSCALLS
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.thread import TF_A7
from kernel.xv6.personality import Xv6
from kernel.xv6.sysproc import sys_getpid
from toolchain import cc, image, mkfs, paths

MEM_MIB: Final = 16
ROUNDS: Final = 7
CALLS: Final = 20_000  # in a round of a stage
FOREVER: Final = b"2000000000"  # more calls than are ever timed
FAR: Final = 1 << 62  # ticks: a deadline that does not come
A0: Final = 10
ECALL_BYTES: Final = 4
KEPT: Final = (e.PC, e.PRIV, e.MSTATUS, e.MIE, e.SATP, e.STVEC, e.SEPC, e.SCAUSE, e.STVAL, e.SSCRATCH)
GETPID: Final = next(call.number for call in SYSCALLS if call.name == "getpid")

Stage = Callable[[int], None]
"""stage(n) does its part of a call n times."""


@dataclass(frozen=True, slots=True)
class Part:
    """One line: what it is, and nanoseconds a call."""

    name: str
    ns: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The parts of a call, and the whole as measured."""

    parts: list[Part]
    total_ns: float

    @property
    def unexplained_ns(self) -> float:
        """What the whole takes beyond its parts."""
        return self.total_ns - sum(part.ns for part in self.parts)


class _StubEngine:
    """In the engine's place: every run ends at once, at the usertrap gate, after the ecall at `sepc`."""

    name = "stub"

    def __init__(self, engine: e.Engine, gate: int, sepc: int) -> None:
        self.cells: Final = engine.cells
        self.regs: Final = engine.regs
        self.step: Final = engine.step
        self.flush_tlb: Final = engine.flush_tlb
        self.drop_code: Final = engine.drop_code
        self._gate: Final = gate
        self._sepc: Final = sepc
        self.runs = 0

    def run(self) -> int:
        self.runs += 1
        self.cells[e.REASON] = e.AT_GATE
        self.regs[e.PC] = self._gate
        self.regs[e.SEPC] = self._sepc
        return e.OK


class _Machine:
    """A machine whose first process calls getpid for ever, halted on its way back to it."""

    def __init__(self) -> None:
        hooks = cc.host_library(paths.ROOT / "emu" / "cpu" / "native" / "hooks.c")
        drive = RamDrive(bytes(mkfs.build({})))
        self.board: Final = Board(MEM_MIB, lambda ram: FastEngine(ram, hooks), virt(drive, lambda byte: None))
        self.kernel: Final = Kernel(
            self.board,
            image.kernel_elf(),
            Xv6,
            init_argv=(b"/bench", b"getpid", FOREVER),
            modules={b"/bench": rival.program()},
        )
        self.engine: Final = self.board.engine
        self.board.loop.on_slice = self.board.loop.ask_stop
        self.run_slice()
        self.run_slice()  # the first one is mostly boot and translation
        proc = self.kernel.procs.find(1)
        assert proc is not None, "the first process runs for ever"
        self.proc: Final[Process] = proc
        self.calls_per_tick: Final = self._calls_per_tick()
        assert self.engine.regs[e.SCAUSE] == CAUSE_USER_ECALL, "the slice ended behind a system call"
        gate, sepc = self.kernel.image.usertrap, self.engine.regs[e.SEPC] - ECALL_BYTES
        self.stub: Final = _StubEngine(self.engine, gate, sepc)

    def run_slice(self) -> int:
        """Run for a slice; returns how many ticks of virtual time passed."""
        before = self.board.clock.now
        stop = self.board.loop.run()
        assert stop is Stop.ASKED, "the machine runs until the slice's end"
        return self.board.clock.now - before

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Put registers and trapframe back afterwards; time passes."""
        regs, tf = self.engine.regs, self.proc.thread.tf
        registers = [(index, regs[index]) for index in (*range(e.F), *KEPT)]
        trapframe = tf.tolist()
        yield
        for index, value in registers:
            regs[index] = value
        tf[:] = memoryview(array("Q", trapframe))

    def close(self) -> None:
        """End the kernel's threads."""
        self.kernel.sched.unwind()

    def _calls_per_tick(self) -> float:
        """How many calls a tick of virtual time holds; a tick of the scheduler now and then is one too."""
        gates = 0
        loop = self.board.loop
        on_gate = loop.on_gate

        def count(hart: Any) -> None:
            nonlocal gates
            gates += 1
            on_gate(hart)

        loop.on_gate = count
        ticks = self.run_slice()
        loop.on_gate = on_gate
        return gates / ticks


def measure(rounds: int = ROUNDS, calls: int = CALLS) -> Breakdown:
    """Take one getpid apart.  Raises BenchError where the fast engine cannot be had."""
    try:
        machine = _Machine()
    except EngineUnavailable as error:
        raise BenchError(f"the parts of a call are those of the fast engine: {error}") from error
    try:
        return _measure(machine, rounds, calls)
    finally:
        machine.close()


def _measure(machine: _Machine, rounds: int, calls: int) -> Breakdown:
    stages: dict[str, Callable[[], float]] = {
        "whole": lambda: _whole(machine),
        "kernel": lambda: _kernel_on_stub(machine),
        "loop": lambda: _loop_on_stub(machine),
        "dispatch": lambda: _timed(_dispatch(machine), calls),
        "handler": lambda: _timed(_handler(machine), calls),
        **_engine_stages(machine, calls),
    }
    seen: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, stage in stages.items():
            seen[name].append(stage())
    ns = {name: median(values) for name, values in seen.items()}
    trap_ns = ns["kernel"] - ns["loop"] - ns["dispatch"]
    return Breakdown(
        [
            Part("engine: enter, stop at a gate, leave", ns["gate"]),
            Part("trap entry, native hook included", ns["ecall"] - ns["uservec"]),
            Part("trampoline: uservec", ns["uservec"] - ns["gate"]),
            Part("trampoline: userret; the user's code", ns["userret"] - ns["ecall"]),
            Part("machine loop", ns["loop"]),
            Part("trap.py, sched.py: usertrap, usertrapret", trap_ns),
            Part("dispatch: number, arguments, result", ns["dispatch"] - ns["handler"]),
            Part("handler: sys_getpid", ns["handler"]),
        ],
        ns["whole"],
    )


def _timed(stage: Stage, calls: int) -> float:
    """Nanoseconds of one call of a stage, less those of a loop that does nothing."""
    begin = process_time_ns()
    stage(calls)
    middle = process_time_ns()
    for _ in range(calls):
        pass
    return (2 * middle - begin - process_time_ns()) / calls


# --- the whole, and the Python half ---


def _whole(machine: _Machine) -> float:
    begin = process_time_ns()
    ticks = machine.run_slice()
    return (process_time_ns() - begin) / (ticks * machine.calls_per_tick)


def _on_stub(machine: _Machine) -> float:
    """Nanoseconds of a call for which the engine takes no time: that of the stub itself is taken off."""
    hart, stub = machine.board.hart, machine.stub
    stub.runs = 0
    with machine.preserved():
        cast(Any, hart).engine = stub
        begin = process_time_ns()
        machine.run_slice()
        middle = process_time_ns()
        cast(Any, hart).engine = machine.engine
        calls = stub.runs
        for _ in range(calls):
            stub.run()
        return (2 * middle - begin - process_time_ns()) / calls


def _kernel_on_stub(machine: _Machine) -> float:
    """Loop, trap handling, dispatch and handler."""
    return _on_stub(machine)


def _loop_on_stub(machine: _Machine) -> float:
    """The machine loop alone: what takes its gates goes on at once."""
    loop = machine.board.loop
    on_gate = loop.on_gate

    def go_on(hart: Any) -> None:
        while loop.go_on():
            pass

    loop.connect(go_on)
    took_ns = _on_stub(machine)
    loop.connect(on_gate)
    return took_ns


def _dispatch(machine: _Machine) -> Stage:
    thread, dispatch = machine.proc.thread, machine.kernel.syscalls.dispatch

    def stage(calls: int) -> None:
        thread.tf[TF_A7] = GETPID
        for _ in range(calls):
            dispatch(thread)

    return stage


def _handler(machine: _Machine) -> Stage:
    def stage(calls: int) -> None:
        p, k = machine.proc, machine.kernel
        for _ in range(calls):
            sys_getpid(k, p)

    return stage


# --- the engine half ---


def _engine_stages(machine: _Machine, calls: int) -> dict[str, Callable[[], float]]:
    """Timings of engine.run() from each of the four places to the gate; see this file's first lines."""
    regs, kernel_image = machine.board.hart.regs, machine.kernel.image
    user_satp, kernel_satp = machine.proc.space.satp, machine.kernel.satp
    at_userret = {index: regs[index] for index in (A0, e.SEPC, e.SSCRATCH, e.MSTATUS, e.STVEC, e.PC)}
    uservec = TRAMPOLINE + kernel_image.uservec - kernel_image.trampoline

    def entry(pc: int, privilege: int, satp: int) -> list[tuple[int, int]]:
        state = {**at_userret, e.PC: pc, e.PRIV: privilege, e.SATP: satp}
        return list(state.items())

    entries = {
        "userret": entry(at_userret[e.PC], SUPERVISOR, kernel_satp),
        "ecall": entry(at_userret[e.SEPC] - ECALL_BYTES, USER, user_satp),
        "uservec": entry(uservec, SUPERVISOR, user_satp),
        "gate": entry(kernel_image.usertrap, SUPERVISOR, kernel_satp),
    }

    def timing(state: list[tuple[int, int]]) -> Callable[[], float]:
        return lambda: _time_engine(machine, state, calls)

    return {name: timing(state) for name, state in entries.items()}


def _time_engine(machine: _Machine, state: list[tuple[int, int]], calls: int) -> float:
    """Nanoseconds of engine.run() from `state`; what setting the state takes is taken off."""
    engine, regs, cells = machine.engine, machine.engine.regs, machine.engine.cells
    with machine.preserved():
        regs[e.MIE] = 0  # no interrupt comes in between
        cells[e.DEADLINE] = FAR
        begin = process_time_ns()
        for _ in range(calls):
            for index, value in state:
                regs[index] = value
            engine.run()
        middle = process_time_ns()
        assert cells[e.REASON] == e.AT_GATE, "every stage ends at the gate"
        for _ in range(calls):
            for index, value in state:
                regs[index] = value
        return (2 * middle - begin - process_time_ns()) / calls
