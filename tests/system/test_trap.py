"""The trap is real: registers, contexts and page tables that the hart uses are the bytes in guest RAM.

A system call goes through uservec, the usertrap gate and userret once each, and what is changed in RAM while
a process is suspended is what the process finds.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from boot import ENGINES, System, program

from emu.cpu import engine as e
from emu.cpu.exits import TrapLoop
from emu.cpu.hart import Hart
from emu.loop import Stop
from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, TRAMPOLINE, TRAPFRAME
from kernel.abi.riscv import PTE_R, PTE_U, PTE_V
from kernel.errors import SyscallError
from kernel.kernel import KernelPanic
from kernel.proc import Process
from kernel.thread import CONTEXT_RA, CONTEXT_SP, TF_EPC

SRET = 0x1020_0073
ILLEGAL = 0
FREE_RUN_S = 300e-6  # ample for eight calls
RESUMED_STATUS = 1 + 2 + 4 + 8
S1_OFFSET, S11_OFFSET, TP_OFFSET = 104, 248, 64


def symbols(name: str) -> dict[str, int]:
    image = program(name)
    header = elf.Header.unpack(image)
    assert header is not None
    return elf.symbols(image, header)


def alone(name: str, engine: str = "fast") -> System:
    """A machine whose process 1 is this program."""
    return System(engine=engine, argv=("/program",), modules={"/program": program(name)})


def trapframe_word(system: System, offset: int) -> int:
    """Index in ram.u64 of the word `offset` bytes into the trapframe of process 1."""
    return (system.kernel.procs.init.thread.trapframe_pa + offset - system.board.ram.base) // 8


def step_to(system: System, pc: int) -> None:
    """Run until process 1 has its program, then step until it is at `pc`."""
    regs, on_gate = system.board.hart.regs, system.loop.on_gate

    def stop_when_loaded(hart: Hart) -> None:
        on_gate(hart)
        if any(p.space.sz for p in system.kernel.procs):
            system.loop.ask_stop()

    system.loop.on_gate = stop_when_loaded
    system.run()
    system.loop.on_gate = on_gate
    while regs[e.PC] != pc or regs[e.PRIV]:
        system.loop.step()


class Marks:
    """Addresses of the trampoline and what the hart does at them, seen by single steps."""

    def __init__(self, system: System) -> None:
        image, ram = system.kernel.image, system.board.ram
        self.system = system
        self.uservec = TRAMPOLINE + image.uservec - image.trampoline
        self.userret = TRAMPOLINE + image.userret - image.trampoline
        end = image.trampoline + PGSIZE - ram.base
        srets = [
            ram.base + offset
            for offset in range(image.userret - ram.base, end, 4)
            if ram.u32[offset // 4] == SRET
        ]
        assert len(srets) == 1, "the trampoline has one sret"
        self.sret = TRAMPOLINE + srets[0] - image.trampoline

    def step(self, passed: Counter[str]) -> None:
        """One step; count what it began at."""
        pc = self.system.board.hart.regs[e.PC]
        for name in ("uservec", "userret", "sret"):
            if pc == getattr(self, name):
                passed[name] += 1
        if pc == self.system.kernel.image.usertrap:
            passed["usertrap"] += 1
        self.system.loop.step()


# --- one pass for each call ---


@pytest.mark.parametrize("engine", ENGINES)
def test_each_system_call_takes_the_trampoline_once(engine: str) -> None:
    at = symbols("calls.S")
    with alone("calls.S", engine) as system:
        regs = system.board.hart.regs
        step_to(system, at["first_call"])
        system.run(limit_s=FREE_RUN_S)
        assert regs[e.PC] == at["loop"], "the program has come to its end in a free run"

    with alone("calls.S", engine) as system:
        calls = CountCalls()
        system.kernel.hooks.observer = calls
        step_to(system, at["first_call"])
        marks, regs = Marks(system), system.board.hart.regs
        passed: Counter[str] = Counter()
        while regs[e.PC] != at["loop"] or regs[e.PRIV]:
            before = passed.copy()
            marks.step(passed)
            assert sum((passed - before).values()) <= 1
        assert calls.entered == 8
        assert passed == {"uservec": 8, "usertrap": 8, "userret": 8, "sret": 8}


class CountCalls:
    """An observer that counts system calls."""

    def __init__(self) -> None:
        self.entered = 0

    def syscall_enter(self, p: Process, call: Any) -> None:
        self.entered += 1

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        pass

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        pass

    def switch(self, p: Process) -> None:
        pass


@pytest.mark.parametrize("broken", ["uservec", "userret"])
def test_no_system_call_without_the_trampoline_in_ram(broken: str) -> None:
    """An illegal instruction there, and no call comes back."""
    for spoil in (False, True):
        with alone("calls.S") as system:
            regs, at = system.board.hart.regs, symbols("calls.S")
            step_to(system, at["first_call"])
            if spoil:
                pa = getattr(system.kernel.image, broken)
                system.board.ram.u32[(pa - system.board.ram.base) // 4] = ILLEGAL
                system.kernel.drop_code(pa, pa + 4)
            calls = CountCalls()
            system.kernel.hooks.observer = calls
            if not spoil:
                system.run(limit_s=FREE_RUN_S)
                assert calls.entered == 8 and regs[e.PC] == at["loop"]
                continue
            with pytest.raises(TrapLoop if broken == "uservec" else KernelPanic):
                system.run(limit_s=FREE_RUN_S)
            assert calls.entered == (0 if broken == "uservec" else 1)
            assert regs[e.PRIV] == 1, "the hart has not come back to user mode"


# --- what is in RAM is what counts ---


def suspended(change: Callable[[System], None] = lambda system: None) -> System:
    """A machine on which `resume` sleeps, after `change`."""
    system = alone("resume.S")
    stop = system.run(limit_s=0.1)
    assert stop is Stop.LIMIT and system.process("program").thread.waits_for, "it sleeps"
    change(system)
    return system


def test_resume_undisturbed() -> None:
    with suspended() as system:
        assert system.run() is Stop.ASKED
        assert system.board.exit_code == RESUMED_STATUS


@pytest.mark.parametrize("offset, was", [(S1_OFFSET, 1), (S11_OFFSET, 2), (TP_OFFSET, 4)])
def test_trapframe_in_ram_carries_the_registers(offset: int, was: int) -> None:
    def change(system: System) -> None:
        words = system.board.ram.u64
        index = trapframe_word(system, offset)
        assert words[index] == was
        words[index] = 100

    with suspended(change) as system:
        system.run()
        assert system.board.exit_code == RESUMED_STATUS - was + 100


def test_trapframe_in_ram_says_where_to_go_on() -> None:
    """epc moved back by 4 while it sleeps: the call is made once more."""

    def change(system: System) -> None:
        system.board.ram.u64[trapframe_word(system, 8 * TF_EPC)] -= 4

    entered = []
    for how in (lambda system: None, change):
        with suspended(how) as system:
            calls = CountCalls()
            system.kernel.hooks.observer = calls
            system.run()
            entered.append(calls.entered)
            assert system.board.exit_code == RESUMED_STATUS
    assert entered[1] == entered[0] + 1


def test_bit_0_of_the_pc_in_a_trapframe_does_not_count() -> None:
    """As on a real hart, whose sepc has no such bit."""

    def change(system: System) -> None:
        system.board.ram.u64[trapframe_word(system, 8 * TF_EPC)] |= 1

    with suspended(change) as system:
        assert system.run() is Stop.ASKED
        assert system.board.exit_code == RESUMED_STATUS


def test_context_in_ram_is_a_real_one() -> None:
    with suspended() as system:
        stack = system.process("program").thread.stack
        assert stack.context[CONTEXT_RA] == system.kernel.image.resumed
        assert stack.va < stack.context[CONTEXT_SP] <= stack.top

        seen = []
        regs, on_gate = system.board.hart.regs, system.loop.on_gate
        stack.context[2] = 0x1234_5678  # s0

        def watch(hart: Hart) -> None:
            if regs[e.PC] == system.kernel.image.resumed and regs[e.X + 2] == stack.context[CONTEXT_SP]:
                seen.append(regs[e.X + 8])
            on_gate(hart)

        system.loop.on_gate = watch
        system.run()
        assert seen[0] == 0x1234_5678


def test_context_with_a_wrong_return_address_is_a_panic() -> None:
    def change(system: System) -> None:
        system.process("program").thread.stack.context[CONTEXT_RA] = 0x1000

    with suspended(change) as system, pytest.raises(KernelPanic, match="kerneltrap"):
        system.run()


def leaf_index(system: System, va: int) -> int:
    """Index in ram.u64 of the level-0 PTE of `va` in process 1, walked here and not by the kernel."""
    words, base = system.board.ram.u64, system.board.ram.base
    table = system.kernel.procs.init.space.root
    for shift in (30, 21):
        pte = words[(table - base) // 8 + (va >> shift & 511)]
        assert pte & PTE_V
        table = pte >> 10 << 12
    return (table - base) // 8 + (va >> 12 & 511)


def test_page_table_in_ram_says_which_frame() -> None:
    cell = symbols("resume.S")["cell"]

    def change(system: System) -> None:
        ram = system.board.ram
        frame = system.kernel.frames.alloc_zeroed()
        ram.u64[(frame + cell % PGSIZE - ram.base) // 8] = 80
        index = leaf_index(system, cell)
        ram.u64[index] = frame >> 12 << 10 | ram.u64[index] & 1023
        system.board.engine.flush_tlb()

    with suspended(change) as system:
        system.run()
        assert system.board.exit_code == RESUMED_STATUS - 8 + 80


@pytest.mark.parametrize("bit", [PTE_V, PTE_R, PTE_U])
def test_page_table_in_ram_says_who_may(bit: int) -> None:
    cell = symbols("resume.S")["cell"]

    def change(system: System) -> None:
        index = leaf_index(system, cell)
        # A page that can be written and not read is reserved: take W with R.
        system.board.ram.u64[index] &= ~(bit | (4 if bit == PTE_R else 0))
        system.board.engine.flush_tlb()

    with suspended(change) as system:
        if bit == PTE_V:  # not mapped is as good as promised: it gets a new page, of zeroes
            system.run()
            assert system.board.exit_code == RESUMED_STATUS - 8
        else:
            with pytest.raises(KernelPanic, match="init exiting"):
                system.run()
            assert "unexpected scause 0xd pid=1" in system.text
            assert f"stval={cell:#x}" in system.text


def test_trapframe_page_is_not_the_users() -> None:
    with suspended() as system:
        words = system.board.ram.u64
        for va in (TRAPFRAME, TRAMPOLINE):
            assert not words[leaf_index(system, va)] & PTE_U
