"""Traps as the privileged specification has them, on both engines, run through and stepped.

Each case says what is run, and what mcause/scause, mtval/stval, mepc/sepc, mstatus and pc are to be when
the handler is about to begin.
"""

from dataclasses import dataclass

import pytest
from assembler import (
    A0,
    A1,
    C_EBREAK,
    C_JUMP_TO_ITSELF,
    C_NOP,
    CSRS,
    EBREAK,
    ECALL,
    LR,
    MRET,
    NOP,
    SRET,
    T0,
    T1,
    T2,
    WFI,
    ZERO,
    Code,
    addi,
    atomic,
    csr,
    csrr,
    csrw,
    jalr,
    ld,
    load,
    sd,
    store,
)  # fmt: skip
from bare import (
    DATA,
    DATA_PA,
    DEVICES,
    ENGINES,
    HANDLERS_PA,
    HOLE,
    ISLAND,
    LEAVES_PA,
    TEXT,
    Island,
    Machine,
    R,
    V,
    W,
    X,
    physical,
)
from float_assembler import operation

from emu.cpu import engine as e
from emu.cpu.exits import TrapLoop
from emu.ram import RAM_BASE

USER, SUPERVISOR, MACHINE = 0, 1, 3
SIE, MIE, SPIE, MPIE, SPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8
MPP_SHIFT = 11
PAGE = 0x1000
ALL = 0xB3FF


@dataclass(frozen=True)
class Case:
    """`word` at the start of the text, with `a0` in its register, raises `cause` with `tval`, in `mode`."""

    name: str
    word: int
    cause: int
    tval: int = 0
    a0: int = 0
    mode: int = USER
    island: Island = Island.MAPPED
    at: int = TEXT


def straddling(name: str, cause: int, tval: int, island: Island) -> Case:
    """A 4-byte instruction whose second half is on the island."""
    return Case(name, NOP, cause, tval, island=island, at=ISLAND)


READ_ONLY = DATA + 2 * PAGE
DATA_END = DATA + 3 * PAGE  # the page behind is missing
CASES = (
    Case("ecall from U", ECALL, 8),
    Case("ecall from S", ECALL, 9, mode=SUPERVISOR),
    Case("ecall from M", ECALL, 11, mode=MACHINE),
    Case("ebreak", EBREAK, 3, TEXT),
    Case("compressed ebreak", C_EBREAK, 3, TEXT),
    Case("illegal instruction", 0xFFFF_FFFF, 2),
    Case("illegal compressed instruction", 0x0000, 2),
    Case("illegal instruction in M", 0xFFFF_FFFF, 2, mode=MACHINE),
    Case("CSR of a higher mode", csrr(A1, "sstatus"), 2),
    Case("CSR of M in S", csrr(A1, "mstatus"), 2, mode=SUPERVISOR),
    Case("CSR that is read-only", csr(1, A1, 0xF14, A0), 2, mode=MACHINE),
    Case("CSR that does not exist", csr(1, A1, 0x5C0, A0), 2, mode=MACHINE),
    Case("sret in U", SRET, 2),
    Case("mret in S", MRET, 2, mode=SUPERVISOR),
    Case("wfi in U", WFI, 2),
    Case("load from a missing page", ld(A1, A0, 0), 13, DATA_END, a0=DATA_END),
    Case("load from a supervisor's page", ld(A1, A0, 0), 13, HANDLERS_PA, a0=HANDLERS_PA),
    Case("load far away", ld(A1, A0, 8), 13, (1 << 62) + 8, a0=1 << 62),
    Case("load that begins on a missing page", ld(A1, A0, -1), 13, DATA_END, a0=DATA_END + 1),
    Case("load that reaches into a missing page", load(3, A1, A0, -1), 13, DATA_END, a0=DATA_END - 1),
    Case("store to a missing page", sd(A1, A0, 0), 15, DATA_END, a0=DATA_END),
    Case("store to a read-only page", sd(A1, A0, 0), 15, READ_ONLY, a0=READ_ONLY),
    Case(
        "store that reaches into a read-only page",
        store(3, A1, A0, 0),
        15,
        DATA + 2 * PAGE,
        a0=DATA + 2 * PAGE - 2,
    ),
    Case(
        "store from a read-only page into a missing one",
        store(2, A1, A0, 0),
        15,
        DATA_END - 2,
        a0=DATA_END - 2,
    ),
    Case("misaligned lr", atomic(LR, True, A1, A0, 0), 4, DATA + 4, a0=DATA + 4),
    Case("misaligned amo", atomic(0, True, A1, A0, A1), 6, DATA + 4, a0=DATA + 4),
    Case("amo on a read-only page", atomic(0, True, A1, A0, A1), 15, READ_ONLY, a0=READ_ONLY),
    Case("amo on a missing page", atomic(0, True, A1, A0, A1), 15, DATA_END, a0=DATA_END),
    Case("lr from a missing page", atomic(LR, True, A1, A0, A1), 13, DATA_END, a0=DATA_END),
    Case("lr from a device", atomic(LR, False, A1, A0, 0), 5, DEVICES, a0=DEVICES),
    Case("amo on a device", atomic(0, False, A1, A0, A1), 7, DEVICES, a0=DEVICES),
    Case("amo on a hole of the bus", atomic(0, True, A1, A0, A1), 7, HOLE, a0=HOLE, mode=MACHINE),
    Case("load from a hole of the bus", ld(A1, A0, 0), 5, DEVICES + 7 * PAGE, a0=DEVICES + 7 * PAGE),
    Case("store to a hole of the bus", sd(A1, A0, 0), 7, DEVICES + 7 * PAGE, a0=DEVICES + 7 * PAGE),
    Case("misaligned load from a device", load(2, A1, A0, 1), 5, DEVICES + 1, a0=DEVICES),
    Case("load past the end of RAM", ld(A1, A0, 0), 5, 0x8010_0000, a0=0x8010_0000, mode=MACHINE),
    Case("load across the end of RAM", ld(A1, A0, 0), 5, 0x800F_FFFC, a0=0x800F_FFFC, mode=MACHINE),
    straddling("fetch across into a missing page", 12, ISLAND + 2, Island.MISSING),
    straddling("fetch across into data", 12, ISLAND + 2, Island.DATA),
    straddling("fetch across into no RAM", 1, ISLAND + 2, Island.HOLE),
)
MODES = pytest.mark.parametrize("stepped", [False, True], ids=["run", "stepped"])
EACH = pytest.mark.parametrize("engine", ENGINES)


def prepare(engine: str, case: Case, before: int = 0) -> Machine:
    """A machine that runs `case`, `before` instructions before it in the same block."""
    code = Code(TEXT)
    code.bytes += bytes(case.at - TEXT)
    if case.at != TEXT:
        del code.bytes[len(code.bytes) - 2 * before :]
        code.put(*[C_NOP] * before)
    else:
        code.put(*[NOP] * before)
    code.put(case.word, NOP)
    machine = Machine(engine, code.finish(), case.mode, case.island)
    regs = machine.hart.regs
    regs[e.PC] = machine.address(case.at - 2 * before if case.at != TEXT else TEXT)
    regs[A0] = machine.address(case.a0) if case.a0 < HANDLERS_PA else case.a0
    return machine


def trap(machine: Machine, stepped: bool, limit: int) -> None:
    """Run until the trap has been entered, and no further."""
    if stepped:
        while machine.clock.now < limit:
            machine.loop.step()
    machine.loop.run(limit)


@EACH
@MODES
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_exception_in_s_mode(case: Case, before: int, stepped: bool, engine: str) -> None:
    """Delegated, where M-mode has not raised it."""
    machine = prepare(engine, case, before)
    regs = machine.hart.regs
    regs[e.MSTATUS] |= SIE | MIE
    mstatus = regs[e.MSTATUS]
    shift = before * (2 if case.at != TEXT else 4)
    start = regs[e.PC] + shift
    trap(machine, stepped, shift + e.TRAP_TICKS)
    assert machine.clock.now == shift + e.TRAP_TICKS
    tval = case.tval + (shift if case.cause == 3 else 0)
    if case.mode == MACHINE:
        tval = physical(tval) if case.cause == 3 else tval
        assert (regs[e.MCAUSE], regs[e.MTVAL], regs[e.MEPC]) == (case.cause, tval, start)
        assert (regs[e.PC], regs[e.PRIV]) == (regs[e.MTVEC], MACHINE)
        assert regs[e.MSTATUS] == mstatus & ~MIE | MPIE | MACHINE << MPP_SHIFT
    else:
        assert (regs[e.SCAUSE], regs[e.STVAL], regs[e.SEPC]) == (case.cause, tval, start)
        assert (regs[e.PC], regs[e.PRIV]) == (regs[e.STVEC], SUPERVISOR)
        assert regs[e.MSTATUS] == mstatus & ~SIE | SPIE | (SPP if case.mode == SUPERVISOR else 0)


@EACH
@MODES
@pytest.mark.parametrize("mode", [USER, SUPERVISOR, MACHINE])
@pytest.mark.parametrize("enabled", [False, True])
def test_an_exception_that_is_not_delegated(enabled: bool, mode: int, stepped: bool, engine: str) -> None:
    """MPP and MPIE remember the mode and MIE; the S-mode registers stay as they are."""
    machine = prepare(engine, Case("", ld(A1, ZERO, 8), 13 if mode < MACHINE else 5, mode=mode))
    regs = machine.hart.regs
    regs[e.MEDELEG] = ALL & ~(1 << 13)
    regs[e.MSTATUS] |= MIE if enabled else MPIE
    trap(machine, stepped, e.TRAP_TICKS)
    assert regs[e.MCAUSE] == (13 if mode < MACHINE else 5) and regs[e.MTVAL] == 8
    assert regs[e.MEPC] == machine.address(TEXT) and regs[e.PC] == regs[e.MTVEC]
    assert regs[e.PRIV] == MACHINE and regs[e.SCAUSE] == regs[e.SEPC] == regs[e.STVAL] == 0
    assert regs[e.MSTATUS] & (MIE | MPIE | 3 << MPP_SHIFT) == (MPIE if enabled else 0) | mode << MPP_SHIFT


@EACH
@MODES
def test_vectored_mode_is_for_interrupts_alone(stepped: bool, engine: str) -> None:
    machine = prepare(engine, Case("", ECALL, 8))
    machine.hart.regs[e.STVEC] |= 1
    trap(machine, stepped, e.TRAP_TICKS)
    assert machine.hart.regs[e.PC] == HANDLERS_PA

    machine = prepare(engine, Case("", NOP, 0), before=3)
    machine.hart.regs[e.STVEC] |= 1
    machine.hart.regs[e.MIE] = 1 << 5
    machine.board.events.at(6, lambda: machine.hart.line(5)(True))
    if stepped:
        while machine.hart.regs[e.PRIV] == USER:
            machine.loop.step()
    else:
        machine.loop.run(9)
    assert machine.hart.regs[e.SCAUSE] == 1 << 63 | 5 and machine.hart.regs[e.SEPC] == TEXT + 8
    assert machine.hart.regs[e.PC] in (HANDLERS_PA + 4 * 5, HANDLERS_PA + 4 * 5 + 4)


S_LINES, M_LINES = (1, 5, 9), (3, 7, 11)


@EACH
@pytest.mark.parametrize("mode", [USER, SUPERVISOR, MACHINE])
def test_interrupts_are_taken_in_order_of_priority(mode: int, engine: str) -> None:
    """MEI, MSI, MTI, SEI, SSI, STI (privileged specification, 3.1.9), M-mode's before S-mode's."""
    machine = prepare(engine, Case("", NOP, 0, mode=mode), before=20)
    regs, hart = machine.hart.regs, machine.hart
    regs[e.MSTATUS] |= SIE | MIE
    regs[e.MIE] = 0xAAA
    for line in (*S_LINES, *M_LINES):
        hart.line(line)(True)
    taken = []
    for _ in range(6):
        before = regs[e.PRIV]
        if hart.takeable_interrupt() is None:
            break
        machine.loop.step()
        number = regs[e.MCAUSE if regs[e.PRIV] == MACHINE else e.SCAUSE] & 0xFF
        taken.append(number)
        hart.line(number)(False)
        regs[e.PRIV] = before
        regs[e.MSTATUS] |= SIE | MIE
    assert taken == ([11, 3, 7] if mode == MACHINE else [11, 3, 7, 9, 1, 5])


@EACH
@MODES
@pytest.mark.parametrize("several", [False, True])
def test_an_interrupt_waits_until_it_is_enabled(several: bool, stepped: bool, engine: str) -> None:
    """It comes behind the csrs that sets SIE, and of several the one with the highest priority."""
    code = Code(TEXT)
    code.put(NOP, csr(6, ZERO, 0x100, SIE), NOP, NOP)
    machine = Machine(engine, code.finish(), SUPERVISOR)
    machine.hart.regs[e.MIE] = 0x222
    for line in (1, 5, 9) if several else (5,):
        machine.hart.line(line)(True)
    if stepped:
        for _ in range(3):
            machine.loop.step()
    machine.loop.run(9)
    regs = machine.hart.regs
    assert (regs[e.SCAUSE] & 0xFF, regs[e.SEPC]) == (9 if several else 5, TEXT + 8)


RETURNS = (
    (MACHINE, MRET, "mepc", SUPERVISOR, 7),
    (MACHINE, MRET, "mepc", USER, 7),
    (MACHINE, MRET, "mepc", USER, 5),
    (SUPERVISOR, SRET, "sepc", USER, 5),
)


@EACH
@MODES
@pytest.mark.parametrize(("mode", "ret", "epc", "target", "line"), RETURNS)
def test_an_interrupt_of_a_higher_mode_needs_no_enable_bit(
    mode: int, ret: int, epc: str, target: int, line: int, stepped: bool, engine: str
) -> None:
    """It is pending all the time, and comes when the guest goes down, with SIE and MIE clear."""
    text = Code(TEXT)
    text.put(NOP, NOP, C_JUMP_TO_ITSELF)
    machine = Machine(engine, text.finish(), target)
    start = HANDLERS_PA + 0x400
    code = Code(start)
    code.put(csrw(epc, T0), NOP, ret)
    machine.board.ram.view(start, len(code.bytes))[:] = code.finish()
    regs = machine.hart.regs
    regs[e.PC], regs[e.PRIV], regs[T0] = start, mode, TEXT
    regs[e.MSTATUS] |= target << MPP_SHIFT | (SPP if target else 0)
    regs[e.MIE] = 1 << line
    machine.hart.line(line)(True)
    for _ in range(4 if stepped else 0):
        machine.loop.step()
    machine.loop.run(400)
    cause, pc = (e.MCAUSE, e.MEPC) if line == 7 else (e.SCAUSE, e.SEPC)
    assert (regs[cause], regs[pc]) == (1 << 63 | line, TEXT)


@EACH
@pytest.mark.parametrize("mode", [USER, SUPERVISOR, MACHINE])
def test_an_engine_stops_for_the_interrupts_that_the_hart_takes(mode: int, engine: str) -> None:
    """And for no others: of each line, delegated or not, enabled or not."""
    text = Code(TEXT)
    text.put(C_JUMP_TO_ITSELF)
    machine = Machine(engine, text.finish(), mode)
    regs, cells, hart = machine.hart.regs, machine.hart.cells, machine.hart
    mstatus = regs[e.MSTATUS]
    for line in (*S_LINES, *M_LINES):
        hart.line(line)(True)
        for enabled in range(8):
            regs[e.MSTATUS] = mstatus | (SIE if enabled & 1 else 0) | (MIE if enabled & 2 else 0)
            regs[e.MIDELEG] = 1 << line if enabled & 4 else 0
            for mie in (0, 1 << line, 0xAAA & ~(1 << line)):
                regs[e.MIE] = mie
                cells[e.DEADLINE] = cells[e.NOW] + 10
                machine.board.engine.run()
                takes = hart.takeable_interrupt() is not None
                assert cells[e.REASON] == (e.AT_INTERRUPT if takes else e.AT_DEADLINE)
        hart.line(line)(False)


@EACH
@MODES
def test_wfi_goes_on_when_an_interrupt_is_pending(stepped: bool, engine: str) -> None:
    """Enabled or not by SIE; time jumps to the event, and the rest of the block has cost nothing."""
    code = Code(TEXT)
    code.put(NOP, WFI, addi(A0, ZERO, 1), NOP)
    machine = Machine(engine, code.finish(), SUPERVISOR)
    machine.hart.regs[e.MIE] = 1 << 5
    machine.board.events.at(1000, lambda: machine.hart.line(5)(True))
    while stepped and machine.clock.now < 1004:
        machine.loop.step()
    machine.loop.run(1004)
    assert machine.clock.now == 1004 and machine.hart.regs[A0] == 1 and not machine.hart.waiting


@EACH
@MODES
@pytest.mark.parametrize("mode", [USER, MACHINE])
def test_a_vector_that_faults_itself_is_an_error(mode: int, stepped: bool, engine: str) -> None:
    machine = prepare(engine, Case("", ECALL, 8, mode=mode))
    vector = HANDLERS_PA + (0x800 if mode == MACHINE else 0)
    machine.board.ram.u32[(vector - HANDLERS_PA) // 4] = 0
    with pytest.raises(TrapLoop, match=rf"trap vector at {vector:#x} faults itself \(cause 2\)"):
        trap(machine, stepped, 1000)
    assert machine.clock.now == 2 * e.TRAP_TICKS


@EACH
@MODES
@pytest.mark.parametrize(("word", "cause"), [(csrr(A1, "mcause"), 2), (ld(A1, A0, 0), 13)])
def test_a_trap_to_its_own_address_in_a_higher_mode_is_no_error(
    word: int, cause: int, stepped: bool, engine: str
) -> None:
    """What S-mode may not do at M-mode's vector, M-mode may, and goes on there."""
    vector = HANDLERS_PA + 0x800
    machine = prepare(engine, Case("", NOP, 0, mode=SUPERVISOR))
    machine.board.ram.u32[(vector - RAM_BASE) // 4] = word
    regs = machine.hart.regs
    regs[e.PC], regs[e.MEDELEG], regs[A0] = vector, 0, RAM_BASE + 0x40000  # in RAM, on no page
    trap(machine, stepped, e.TRAP_TICKS + 4)
    assert (regs[e.PC], regs[e.PRIV], regs[e.MEPC]) == (vector + 4, MACHINE, vector)
    assert regs[e.MCAUSE] == cause


@EACH
@MODES
@pytest.mark.parametrize("island", [Island.MISSING, Island.HOLE])
def test_an_interrupt_comes_before_a_fetch_that_fails(island: Island, stepped: bool, engine: str) -> None:
    """One that the last instruction of a page enables, where the next page cannot be fetched."""
    end = ISLAND + 2
    case = Case("", csr(6, ZERO, CSRS["sstatus"], SIE), 0, mode=SUPERVISOR, island=island, at=end - 4)
    machine = prepare(engine, case)
    regs = machine.hart.regs
    machine.board.ram.view(physical(end - 4), 4)[:] = case.word.to_bytes(4, "little")
    regs[e.MIE] = 1 << 5
    machine.hart.line(5)(True)
    trap(machine, stepped, 8)
    assert (regs[e.SCAUSE], regs[e.SEPC]) == (1 << 63 | 5, end)


@EACH
@MODES
def test_a_vector_that_cannot_be_fetched_is_an_error(stepped: bool, engine: str) -> None:
    machine = prepare(engine, Case("", ECALL, 8))
    machine.hart.regs[e.STVEC] = 0x7000
    with pytest.raises(TrapLoop, match=r"cause 12"):
        trap(machine, stepped, 1000)
    machine = prepare(engine, Case("", ECALL, 8, mode=MACHINE))
    machine.hart.regs[e.MTVEC] = 0x7000
    with pytest.raises(TrapLoop, match=r"cause 1\)"):
        trap(machine, stepped, 1000)


@EACH
def test_traps_in_a_longer_circle_take_time(engine: str) -> None:
    """The handler's second instruction faults: time passes, so a limit ends the run."""
    machine = prepare(engine, Case("", ECALL, 8))
    machine.board.ram.u32[0], machine.board.ram.u32[1] = NOP, 0
    machine.loop.run(996)
    assert machine.clock.now == 996


@EACH
def test_the_reservation_is_lost_in_a_trap(engine: str) -> None:
    """sc fails behind an ecall, and does not because somebody looked at the hart between lr and sc.

    It also fails behind what the public interface cannot do without losing it: a write to sepc, and the first
    instruction that writes floating-point state, here a comparison.
    """
    for mode, between, failed in (
        (USER, NOP, 0), (USER, ECALL, 1), (SUPERVISOR, csrw("sepc", T0), 1), (MACHINE, csrw("mepc", T0), 1),
        (SUPERVISOR, csrr(T0, "sepc"), 0), (USER, operation("feq.d", T0, 1, 2), 1),
    ):  # fmt: skip
        code = Code(TEXT)
        code.put(atomic(LR, True, A1, A0, 0), between, atomic(3, True, T1, A0, A1))
        for stepped in (False, True):
            machine = Machine(engine, code.finish(), mode)
            machine.hart.regs[A0], machine.hart.regs[T1] = machine.address(DATA), 7
            end = machine.address(TEXT + 12)
            while machine.hart.regs[e.PC] != end or machine.hart.regs[e.PRIV] != mode:
                if stepped:
                    machine.loop.step()
                    assert machine.hart.regs[e.SATP] and machine.hart.regs[e.MSTATUS]
                else:
                    machine.loop.run(machine.clock.now + 4)
            assert machine.hart.regs[T1] == failed


@EACH
def test_a_float_from_a_device_makes_the_state_dirty(engine: str) -> None:
    code = Code(TEXT)
    code.put(0x0000_0007 | 3 << 12 | A0 << 15 | 5 << 7)  # fld f5, 0(a0)
    machine = Machine(engine, code.finish(), SUPERVISOR)
    machine.hart.regs[A0] = DEVICES + 3 * PAGE + 0xFF8
    machine.loop.run(4)
    assert machine.hart.regs[e.PC] == TEXT + 4
    assert machine.hart.regs[e.MSTATUS] >> 13 & 3 == 3 and machine.hart.regs[e.MSTATUS] >> 63


@EACH
def test_a_zero_page_is_illegal_even_behind_a_missing_one(engine: str) -> None:
    """The engine looks for the last byte of a block without bytes on the page before."""
    for stepped in (False, True):
        machine = prepare(engine, Case("", jalr(ZERO, A0), 0))
        machine.map_page(TEXT + PAGE, 0, 0)
        machine.map_page(TEXT + 2 * PAGE, physical(TEXT + 3 * PAGE), 2 | 8 | 16)
        machine.board.engine.flush_tlb()
        machine.hart.regs[A0] = TEXT + 2 * PAGE
        trap(machine, stepped, 8)
        assert machine.hart.regs[e.SCAUSE] == 2 and machine.hart.regs[e.SEPC] == TEXT + 2 * PAGE


def test_data_lies_where_the_cases_think() -> None:
    assert physical(DATA) == DATA_PA[0] and csrw("sscratch", A0) & 0x7F == 0x73


@EACH
@MODES
@pytest.mark.parametrize(
    ("moved", "a0", "causes"),
    [(False, HOLE, {1}), (True, DEVICES + 7 * PAGE, {2}), (True, DATA + 3 * PAGE, {2, 13})],
    ids=["satp is zero", "the page is another, no RAM there", "the page is another, no page there"],
)
def test_code_that_only_the_tlb_still_finds_is_fetched_anew(
    moved: bool, a0: int, causes: set[int], stepped: bool, engine: str
) -> None:
    code = Code(TEXT)
    code.put(sd(T1, T0, 0) if moved else csrw("satp", ZERO), ld(T2, A0, 0), NOP)
    machine = Machine(engine, code.finish(), SUPERVISOR)
    machine.map_page(DATA, LEAVES_PA, R | W)
    regs = machine.hart.regs
    regs[A0] = a0
    regs[T0], regs[T1] = DATA + 8 * (TEXT >> 12), RAM_BASE + 0x40000 >> 2 | V | R | X  # a page of zeroes
    trap(machine, stepped, 4 + e.TRAP_TICKS)
    assert regs[e.SEPC] == TEXT + 4
    assert regs[e.SCAUSE] in causes, "a TLB may forget before the load, or behind it"
