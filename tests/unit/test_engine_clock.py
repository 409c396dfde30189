"""The fast engine's inline clock and the sizes of its TLBs: what is not seen from outside."""

import ctypes
from pathlib import Path

import pytest
from assembler import A0, A1, C_JUMP_TO_ITSELF, NOP, Code, addi, c_addi, c_bnez, csrr, csrw, ld
from bare import ENGINES, TEXT
from bare import Machine as BareMachine
from host_code import HostBlock, block_at, next_place

from emu.cpu import engine as e
from emu.cpu import layout
from emu.cpu.fast import FastEngine
from emu.cpu.hart import S_SOFT
from emu.loop import Stop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engine.md"


def fast(machine: BareMachine) -> FastEngine:
    assert isinstance(machine.board.engine, FastEngine)
    return machine.board.engine


def shortest_loop(engine: str, privilege: int = 0) -> BareMachine:
    code = Code(TEXT)
    code.put(c_addi(A0, -1), c_bnez(A0, -2), C_JUMP_TO_ITSELF)
    return BareMachine(engine, code.finish(), privilege)


def first_block(machine: BareMachine, ticks: int) -> HostBlock:
    place = next_place(fast(machine))
    machine.loop.run(ticks)
    return block_at(place)


def test_the_page_shows_the_code_of_the_shortest_loop() -> None:
    machine = shortest_loop("fast")
    machine.hart.regs[A0] = 5
    block = first_block(machine, 8)
    assert (block.pc, block.bytes) == (TEXT, 4)
    shown = [
        line.strip().split("  ;")[0].rstrip() for line in PAGE.read_text().splitlines() if " +" in line[:6]
    ]
    assert block.listing() == shown


def test_a_block_asks_only_where_its_time_does_not_suffice() -> None:
    """Seen at the state's pc, which only a block that asks sets."""
    machine = shortest_loop("fast")
    machine.hart.regs[A0] = 10**6
    machine.loop.run(4000)
    assert machine.hart.regs[A0] == 10**6 - 1000 and machine.clock.now == 4000
    assert fast(machine)._native.held == 0


def test_a_jump_to_itself_lets_time_go_on() -> None:
    code = Code(TEXT)
    code.put(C_JUMP_TO_ITSELF)
    machine = BareMachine("fast", code.finish(), 0)
    assert first_block(machine, 1 << 40).listing()[1].split()[1:] == ["nop"]  # and a jump: it always asks
    assert machine.clock.now == 1 << 40 and machine.hart.regs[e.PC] == TEXT


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("is_enabled", [False, True])
def test_an_interrupt_that_waits_is_taken_where_the_guest_allows_it(engine: str, is_enabled: bool) -> None:
    """mip is set before the run; mie is written by the guest, in M-mode with interrupts on or off."""
    code = Code(TEXT)
    code.put(NOP, NOP, csrr(A1, "mip"), addi(A0, A0, 1), csrw("mie", A1), addi(A0, A0, 2), addi(A0, A0, 4))
    code.put(C_JUMP_TO_ITSELF)
    machine = BareMachine(engine, code.finish(), 3)
    hart = machine.hart
    hart.regs[A0] = hart.regs[e.MIE] = hart.regs[e.MIDELEG] = 0
    hart.regs[e.MSTATUS] = hart.regs[e.MSTATUS] & ~8 | 8 * is_enabled
    hart.regs[e.MTVEC] = machine.address(TEXT + 24)  # the second of the additions behind
    hart.line(S_SOFT)(True)
    machine.loop.run(100)
    assert hart.regs[A0] == (1 + 4 if is_enabled else 7)
    assert hart.regs[e.MCAUSE] == ((1 << 63) + S_SOFT if is_enabled else 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_is_one_instruction_however_far_the_deadline(engine: str) -> None:
    machine = shortest_loop(engine)
    machine.hart.regs[A0] = 5
    machine.hart.cells[e.DEADLINE] = (1 << 63) - 1
    assert machine.board.engine.step(2) == e.OK
    assert machine.hart.regs[e.PC] == TEXT + 2 and machine.hart.cells[e.NOW] == 2


def test_machines_in_one_process_keep_their_own_time() -> None:
    alone = {}
    for count in (1000, 777, 5):
        machine = shortest_loop("fast")
        machine.hart.regs[A0] = count
        machine.loop.run(10_000)
        alone[count] = machine.hart.regs[A0], machine.hart.regs[e.PC], machine.clock.now
    machines = {}
    for count, engine in ((1000, "fast"), (777, "public"), (5, "fast")):
        machines[count] = shortest_loop(engine)
        machines[count].hart.regs[A0] = count
    for ticks in range(100, 10_001, 100):
        for machine in machines.values():
            assert machine.loop.run(ticks) is Stop.LIMIT
    assert alone == {
        count: (machine.hart.regs[A0], machine.hart.regs[e.PC], machine.clock.now)
        for count, machine in machines.items()
    }


def entries(engine: FastEngine, mode: int) -> int:
    """How many the TLB of a mode has."""
    state = ctypes.addressof(engine._env)
    mask = ctypes.c_uint64.from_address(state - layout.TLBS_BEFORE_STATE + 16 * mode).value
    return (mask >> 6) + 1


def test_a_tlb_grows_where_entries_put_each_other_out_and_shrinks_when_unused() -> None:
    code = Code(TEXT)
    code.put(ld(A1, A0, 0), C_JUMP_TO_ITSELF)
    machine = BareMachine("fast", code.finish(), 1)
    engine = fast(machine)
    start = entries(engine, 1)
    assert start == 256
    native = engine._native
    machine.loop.run(10)  # a table that nothing was put into is not emptied
    sizes = []
    for _ in range(8):
        native.tlb_fills[1] = 5 * entries(engine, 1)  # as if a program had gone round more pages than fit
        machine.loop.run(machine.clock.now + 10)
        sizes.append(entries(engine, 1))
    assert sizes == [512, 1024, 2048, 4096, 8192, 8192, 8192, 8192]
    assert entries(engine, 0) == start
    for _ in range(40):
        machine.loop.run(machine.clock.now + 10)
        engine.flush_tlb()
    assert entries(engine, 1) == start
