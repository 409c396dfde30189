"""Floating point that is switched on and off by mstatus.FS, on both engines, run and stepped.

Privileged specification, 3.1.6.6: with FS off every instruction that reads or writes floating-point state is
illegal; with FS initial or clean one that writes it makes FS dirty, and SD says so.
"""

from functools import cache

import pytest
from assembler import (
    A0,
    A1,
    C_NOP,
    CSRS,
    ECALL,
    MRET,
    NOP,
    SP,
    SRET,
    T0,
    ZERO,
    Code,
    addi,
    csr,
    csrr,
    csrw,
    lui,
)
from bare import DATA, DATA_PA, ENGINES, HANDLERS_PA, ISLAND, TEXT, Island, Machine, V, physical
from float_assembler import READS_ALONE, c_fld, every_float, fload, operation

from emu.cpu import engine as e
from emu.cpu.decode import is_float, length, may_write_float

EACH = pytest.mark.parametrize("engine", ENGINES)
MODES = pytest.mark.parametrize("mode", [0, 1, 3])
OFF, INITIAL, CLEAN, DIRTY = range(4)
FS_SHIFT = 13
SD = 1 << 63
ILLEGAL = 2
PAGE = 0x1000
CSR_OPS = (1, 2, 3, 5, 6, 7)
F8, F9 = e.F + 8, e.F + 9
KEPT = {A0: DATA, SP: DATA + 16, F8: 0x4000_0000_0000_0000, F9: 0x4008_0000_0000_0000}
STORES = ("fsw", "fsd", "c.fsd", "c.fsdsp")


def writes(name: str) -> bool:
    """Whether this instruction of every_float writes an f register or a flag."""
    return name not in STORES and name not in READS_ALONE


def fs_of(machine: Machine) -> tuple[int, bool]:
    mstatus = machine.hart.regs[e.MSTATUS]
    return mstatus >> FS_SHIFT & 3, bool(mstatus & SD)


def set_fs(machine: Machine, fs: int) -> None:
    mstatus = machine.hart.regs[e.MSTATUS] & ~(SD | 3 << FS_SHIFT)
    machine.hart.regs[e.MSTATUS] = mstatus | fs << FS_SHIFT | (SD if fs == DIRTY else 0)


def begin(machine: Machine, at: int, fs: int) -> None:
    """Let the program go on at virtual address `at`, with registers as KEPT says."""
    regs = machine.hart.regs
    regs[e.PRIV] = machine.privilege
    set_fs(machine, fs)
    for index, value in KEPT.items():
        regs[index] = machine.address(value) if index in (A0, SP) else value
    regs[e.PC] = machine.address(at)
    machine.board.engine.flush_tlb()  # another mode goes on without a trap's return
    machine.board.ram.view(DATA_PA[0], 32)[:] = bytes(range(32))


def go(machine: Machine, ticks: int, stepped: bool) -> None:
    """Run so long, or one step."""
    if stepped:
        machine.loop.step()
    else:
        machine.loop.run(machine.clock.now + ticks)


def trapped(machine: Machine) -> tuple[int, int, int]:
    """cause, epc and tval of the trap that machine's mode goes to."""
    regs = machine.hart.regs
    if machine.privilege == 3:
        return regs[e.MCAUSE], regs[e.MEPC], regs[e.MTVAL]
    return regs[e.SCAUSE], regs[e.SEPC], regs[e.STVAL]


def meets_trap(machine: Machine, at: int, stepped: bool) -> bool:
    """Whether the instruction at `at` is illegal, touches nothing and takes no time but the trap's."""
    begin(machine, at, OFF)
    regs, start = machine.hart.regs, machine.clock.now
    kept = [regs[index] for index in range(e.PC)]
    memory = bytes(machine.board.ram.view(DATA_PA[0], 32))
    go(machine, e.TRAP_TICKS, stepped)
    same = [regs[index] for index in range(e.PC)] == kept and memory == machine.board.ram.view(DATA_PA[0], 32)
    vector = regs[e.MTVEC if machine.privilege == 3 else e.STVEC]
    return (
        same
        and trapped(machine) == (ILLEGAL, machine.address(at), 0)
        and regs[e.PC] == vector
        and machine.clock.now == start + e.TRAP_TICKS
        and fs_of(machine) == (OFF, False)
    )


@cache
def all_floats() -> tuple[dict[str, int], bytes]:
    """Every instruction, one behind the other, and csrw and the like of the CSRs: where each is."""
    code, places = Code(TEXT), {}
    words = every_float()
    for name in ("fflags", "frm", "fcsr"):
        words |= {f"{op} {name}": csr(op, A1, CSRS[name], 1) for op in CSR_OPS}
        words |= {f"read {name}": csrr(A1, name)}
    for name, word in words.items():
        places[name] = code.pc
        code.put(word, NOP)
    return places, code.finish()


@EACH
@MODES
@pytest.mark.parametrize("stepped", [False, True])
def test_everything_is_illegal_where_floating_point_is_off(engine: str, mode: int, stepped: bool) -> None:
    places, text = all_floats()
    machine = Machine(engine, text, mode)
    assert [name for name, at in places.items() if not meets_trap(machine, at, stepped)] == []


@EACH
@MODES
@pytest.mark.parametrize("fs", [INITIAL, CLEAN, DIRTY])
def test_everything_runs_where_it_is_on_and_marks_what_it_writes(engine: str, mode: int, fs: int) -> None:
    places, text = all_floats()
    machine = Machine(engine, text, mode)
    for stepped in (False, True):
        for name, at in places.items():
            begin(machine, at, fs)
            word = int.from_bytes(text[at - TEXT : at - TEXT + 4], "little")
            go(machine, length(word), stepped)
            dirty = fs == DIRTY or (writes(name) if name in every_float() else "read" not in name)
            assert machine.hart.regs[e.PC] == machine.address(at) + length(word), name
            assert fs_of(machine) == ((DIRTY, True) if dirty else (fs, False)), name


@EACH
def test_the_same_code_while_it_is_on_and_off(engine: str) -> None:
    """Blocks that were translated for one FS are not run with another; Python and the guest switch it."""
    code = Code(TEXT)
    code.put(lui(T0, 6), csr(2, ZERO, CSRS["sstatus"], T0))
    code.put(fload(3, 9, A0, 0), csr(3, ZERO, CSRS["sstatus"], T0))
    on = code.pc
    code.put(C_NOP, c_fld(8, A0, 8), operation("fsgnj.d", 9, 8, 8), ECALL)
    machine = Machine(engine, code.finish(), 1)
    regs = machine.hart.regs
    for _ in range(2):
        for fs in (OFF, DIRTY, OFF, INITIAL):
            begin(machine, on, fs)
            machine.loop.run(machine.clock.now + (2 + e.TRAP_TICKS if fs == OFF else 8 + e.TRAP_TICKS))
            cause, epc = (ILLEGAL, on + 2) if fs == OFF else (9, on + 8)
            assert trapped(machine) == (cause, epc, 0)
        begin(machine, TEXT, OFF)
        machine.loop.run(machine.clock.now + 18 + e.TRAP_TICKS)
        assert trapped(machine) == (ILLEGAL, on + 2, 0)
        assert regs[F9] == 0x0706_0504_0302_0100, "the load between the two switches was done"


@EACH
@pytest.mark.parametrize("stepped", [False, True])
def test_where_the_instruction_is_does_not_matter(engine: str, stepped: bool) -> None:
    """First, last and across two pages, alone in its block or behind others."""
    for word in (c_fld(8, A0, 8), operation("fsgnj.d", 9, 8, 8)):
        for at in (TEXT, TEXT + 2, ISLAND - 2, ISLAND, ISLAND + 2):
            for before in (0, 1, 3):
                text = bytearray(b"\1\0" * (2 * PAGE))
                start = max(TEXT, at - 2 * before)
                text[at - TEXT : at - TEXT + length(word)] = word.to_bytes(length(word), "little")
                machine = Machine(engine, bytes(text), 0)
                begin(machine, start, OFF)
                while stepped and machine.hart.regs[e.PRIV] == 0:
                    machine.loop.step()
                machine.loop.run(at - start + e.TRAP_TICKS)
                assert trapped(machine) == (ILLEGAL, at, 0)
                assert machine.clock.now == at - start + e.TRAP_TICKS


@EACH
@pytest.mark.parametrize("fs", [OFF, INITIAL])
def test_a_half_that_cannot_be_fetched_comes_first(engine: str, fs: int) -> None:
    """Of an instruction across two pages; then it is there, and its second half begins another."""
    at, other = ISLAND, operation("fsgnj.d", 9, 8, 8)
    word = operation("fadd.d", 9, 8, 9) & 0xFFFF | other << 16
    text = bytearray(b"\1\0" * (2 * PAGE))
    text[at - TEXT : at - TEXT + 6] = word.to_bytes(6, "little")
    machine = Machine(engine, bytes(text), 0, Island.MISSING)
    begin(machine, at, fs)
    machine.loop.run(e.TRAP_TICKS)
    assert trapped(machine) == (12, at, at + 2)
    machine.map_page(ISLAND + 2, physical(ISLAND + 2), V | 2 | 8 | 16)
    for start in (at + 2, at):
        begin(machine, start, OFF)
        machine.loop.run(machine.clock.now + e.TRAP_TICKS)
        assert trapped(machine) == (ILLEGAL, start, 0)


@EACH
@pytest.mark.parametrize("mode", [1, 3])
def test_a_handler_finds_fcsr_that_a_comparison_changed(engine: str, mode: int) -> None:
    """A kernel saves what is dirty: FS shows a flag alone, and a rounding mode, to who reads it next."""
    name = "mstatus" if mode == 3 else "sstatus"
    for word in (operation("feq.d", A1, 8, 9), operation("fcvt.w.d", A1, 8, 0), csr(5, ZERO, CSRS["frm"], 1)):
        code = Code(TEXT)
        code.put(word, csrr(A0, name), csrr(A1, "fcsr"))
        machine = Machine(engine, code.finish(), mode)
        begin(machine, TEXT, CLEAN)
        machine.hart.regs[F8] = 0x7FF0_0000_0000_0001  # a signalling NaN
        machine.loop.run(12)
        regs = machine.hart.regs
        assert regs[A0] >> FS_SHIFT & 3 == DIRTY and regs[A0] & SD and regs[A1]


@EACH
def test_a_return_to_user_mode_with_floating_point_off(engine: str) -> None:
    """The guest itself sends the hart there, from S-mode and from M-mode."""
    for mode, ret, name in ((1, SRET, "sepc"), (3, MRET, "mepc")):
        machine = Machine(engine, Code(TEXT).finish(), 0)
        code = Code(HANDLERS_PA + 0x400)
        code.put(csrw(name, T0), ret)
        machine.board.ram.view(HANDLERS_PA + 0x400, len(code.bytes))[:] = code.finish()
        machine.board.ram.view(physical(TEXT), 4)[:] = operation("fsgnj.d", 9, 8, 8).to_bytes(4, "little")
        begin(machine, TEXT, OFF)
        machine.hart.regs[e.PC], machine.hart.regs[e.PRIV] = HANDLERS_PA + 0x400, mode
        machine.hart.regs[T0] = TEXT
        machine.loop.run(8 + e.TRAP_TICKS)
        assert trapped(machine) == (ILLEGAL, TEXT, 0)


def test_what_is_floating_point() -> None:
    """By the decoder, and no other instruction of the same shape is."""
    for name, word in every_float().items():
        assert is_float(word), name
        assert may_write_float(word) == writes(name), name
    compressed = (C_NOP, 0x6108, 0xE108, 0x4108, 0xC108, 0x6422, 0xE022, 0x2085, 0xA001)
    others = (NOP, ECALL, addi(A0, A0, 7), *compressed)
    assert not any(is_float(word) or may_write_float(word) for word in others)
    for name in ("fflags", "frm", "fcsr"):
        assert all(may_write_float(csr(op, A0, CSRS[name], 1)) for op in CSR_OPS)
        assert may_write_float(csr(1, A0, CSRS[name], 0)) and may_write_float(csr(5, A0, CSRS[name], 0))
        assert not any(may_write_float(csr(op, A0, CSRS[name], 0)) for op in (2, 3, 6, 7))
    assert not any(may_write_float(csr(1, A0, number, 1)) for number in (0, 4, 0x300, 0xC03))
    assert not may_write_float(0x0010_0073) and not may_write_float(0x0030_0073)  # ebreak, and no CSR access
