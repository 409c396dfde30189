"""Hart.trap against the engine's own trap entry on random states; interrupts and their lines; wfi."""

import ctypes

import pytest
from bare import DATA, DATA_PA, ENGINES, HANDLERS_PA, Machine
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.cpu import engine as e
from emu.cpu.fast import FastEngine
from emu.cpu.hart import INTERRUPT, M_EXTERNAL, MSTATUS_FS, PRIORITY, S_TIMER, Hart
from emu.cpu.library import library
from emu.cpu.sv39 import Access, TranslationFault

WORDS = st.integers(0, (1 << 64) - 1)
EVEN = WORDS.map(lambda word: word & ~1)
PRIVILEGES = st.sampled_from((0, 1, 3))
CAUSES = st.sampled_from((0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15))
MSTATUS_BITS = 0x7E_79AA  # TSR to MXR, FS, MPP, SPP, and the interrupt bits
MPP = 3 << 11
TRAP_REGISTERS = (e.PC, e.PRIV, e.MSTATUS, e.SCAUSE, e.SEPC, e.STVAL, e.MCAUSE, e.MEPC, e.MTVAL, e.LOAD_RES)
HAS_ADDRESS = (0, 1, 4, 5, 6, 7, 12, 13, 15)
ECALL = 8
BOUNDED = settings(deadline=None, derandomize=True, database=None, max_examples=300)


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Both tests set all the registers that they look at, so one machine does for all examples."""
    return Machine("fast", b"", 3)


def enter_trap_natively(machine: Machine, cause: int) -> None:
    """What native/hooks.c does for an exception."""
    engine = machine.board.engine
    assert isinstance(engine, FastEngine)
    ctypes.c_int32.from_address(engine._native.cause_now).value = cause
    library().riscv_cpu_do_interrupt_riscv64(ctypes.c_void_p(engine._native.cpu))
    engine.cells[e.NOW] += e.TRAP_TICKS


@given(PRIVILEGES, CAUSES, WORDS, EVEN, WORDS, WORDS, WORDS, WORDS)
@BOUNDED
def test_a_trap_is_what_the_engine_makes_of_it(
    machine: Machine,
    privilege: int,
    cause: int,
    mstatus: int,
    pc: int,
    medeleg: int,
    tval: int,
    stvec: int,
    mtvec: int,
) -> None:
    """The native hook enters traps by the library's function, the loop by Hart.trap: the same registers."""
    regs = machine.hart.regs
    results = []
    for native in (False, True):
        now = machine.clock.now
        for register in TRAP_REGISTERS:
            regs[register] = 0
        regs[e.PRIV], regs[e.PC], regs[e.MEDELEG] = privilege, pc, medeleg
        regs[e.MSTATUS] = mstatus & MSTATUS_BITS & ~MPP & ~MSTATUS_FS | 1 << 13
        regs[e.STVEC], regs[e.MTVEC], regs[e.BADADDR] = stvec & ~2, mtvec & ~2, tval
        if native:
            enter_trap_natively(machine, cause)
        else:
            code = cause + privilege if cause == ECALL else cause
            machine.hart.trap(code, tval if cause in HAS_ADDRESS else 0)
        results.append([machine.clock.now - now, *(regs[register] for register in TRAP_REGISTERS)])
    assert results[0] == results[1]


@given(PRIVILEGES, WORDS, WORDS, WORDS, WORDS)
@BOUNDED
def test_which_interrupt_is_taken(
    machine: Machine, privilege: int, mip: int, mie: int, mideleg: int, mstatus: int
) -> None:
    """By the rules of section 3.1.9, told once more: each candidate is asked for by itself."""
    regs, hart = machine.hart.regs, machine.hart
    mideleg &= 0x222
    regs[e.PRIV], regs[e.MIP], regs[e.MIE] = privilege, mip & 0xAAA, mie & 0xAAA
    regs[e.MIDELEG], regs[e.MSTATUS] = mideleg, mstatus & 0xA
    candidates = []
    for number in PRIORITY:
        target, enabled = (1, mstatus >> 1 & 1) if mideleg >> number & 1 else (3, mstatus >> 3 & 1)
        if mip & mie & 1 << number and (privilege < target or (privilege == target and enabled)):
            candidates.append((target, number))
    expected = max(candidates, key=lambda c: (c[0], -PRIORITY.index(c[1])))[1] if candidates else None
    assert hart.takeable_interrupt() == expected
    if expected is None:
        assert not hart.take_interrupt()
    else:
        now = machine.clock.now
        assert hart.take_interrupt() and machine.clock.now == now, "the trap of an interrupt costs no time"
        cause = regs[e.SCAUSE if regs[e.PRIV] == 1 else e.MCAUSE]
        assert cause == INTERRUPT | expected


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wfi_ends_by_what_mie_lets_through(engine: str) -> None:
    hart: Hart = Machine(engine, b"", 1).hart
    hart.regs[e.MIE] = 1 << S_TIMER
    hart.regs[e.MSTATUS] = 0
    set_timer, set_external = hart.line(S_TIMER), hart.line(M_EXTERNAL)
    set_external(True)
    assert not hart.wakes() and hart.regs[e.MIP] == 1 << M_EXTERNAL
    set_timer(True)
    assert hart.wakes() and hart.takeable_interrupt() is None
    set_timer(False)
    set_external(False)
    assert not hart.wakes() and hart.regs[e.MIP] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_line_is_a_level(engine: str) -> None:
    """Two machines in one process do not share it, and software's bits stay apart from it."""
    first, second = Machine(engine, b"", 1).hart, Machine(engine, b"", 1).hart
    line = first.line(S_TIMER)
    line(True)
    line(True)
    first.set_software(0x222, 0x20)
    line(False)
    assert first.regs[e.MIP] == 0x20 and second.regs[e.MIP] == 0
    first.set_software(0x222, 0)
    assert first.regs[e.MIP] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_data_is_where_the_hart_would_find_it(engine: str) -> None:
    """By the mode, by that of MPP under MPRV, and with what SUM and MXR let through (3.1.6.3)."""
    pages = {DATA: 2 | 16, DATA + 0x1000: 2, DATA + 0x2000: 8, DATA + 0x3000: 8 | 16}  # U: 16, X: 8, R: 2
    sum_, mxr, mprv, as_user, as_supervisor = 1 << 18, 1 << 19, 1 << 17, 0, 1 << 11
    for privilege, mstatus, seen in (
        (0, 0, "y..."), (0, sum_, "y..."), (0, mxr, "y..y"), (1, 0, ".y.."),
        (1, sum_, "yy.."), (1, mxr, ".yy."), (1, sum_ | mxr, "yyyy"), (3, mprv | as_user, "y..."),
        (3, mprv | as_supervisor, ".y.."), (1, mprv | as_user, ".y.."),
        (3, mprv | as_supervisor | sum_ | mxr, "yyyy"),
    ):  # fmt: skip
        machine = Machine(engine, b"", privilege)
        for va, flags in pages.items():
            machine.map_page(va, DATA_PA[0], flags)
        machine.hart.regs[e.MSTATUS] = mstatus
        for va, can in zip(pages, seen, strict=True):
            if can == "y":
                assert machine.hart.data_pa(va + 8, Access.LOAD) == DATA_PA[0] + 8
            else:
                with pytest.raises(TranslationFault):
                    machine.hart.data_pa(va + 8, Access.LOAD)
    for mstatus in (0, as_user, mprv | 3 << 11):
        machine.hart.regs[e.PRIV], machine.hart.regs[e.MSTATUS] = 3, mstatus
        assert machine.hart.data_pa(DATA, Access.LOAD) == DATA, "M-mode translates nothing"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_instruction_is_read_where_the_hart_would_fetch_it(engine: str) -> None:
    machine = Machine(engine, b"\x01\x00\x13\x05\x10\x00", 0)
    assert machine.hart.instruction() == 0x0001
    machine.hart.regs[e.PC] += 2
    assert machine.hart.instruction() == 0x0010_0513
    machine.hart.regs[e.PC] = HANDLERS_PA
    assert machine.hart.instruction() is None, "a supervisor's page, in user mode"
