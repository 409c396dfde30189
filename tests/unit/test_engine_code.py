"""Code that changes: by the guest, through the page that runs or another one to the same frame; by Python."""

import pytest
from assembler import (
    A0,
    A1,
    C_JR_RA,
    C_JUMP_TO_ITSELF,
    C_NOP,
    FENCE_I,
    RA,
    T3,
    T4,
    Code,
    addi,
    branch,
    jalr,
    sd,
)
from bare import ALIAS, CODE, CODE_PA, CODE_X, CODE_X_PA, ENGINES, TEXT, Machine

from emu.cpu import engine as e
from emu.cpu.library import make_uc, riscv_const
from emu.ram import RAM_BASE, Ram

PAGE = 0x1000
FUNCTION_BYTES = 8
FUNCTIONS = PAGE // FUNCTION_BYTES
AMPLE_TICKS = 1_000_000
BNE = 1
FRAMES = {CODE: CODE_PA, CODE_X: CODE_X_PA}


def function(value: int) -> bytes:
    """A function that adds `value` to a0."""
    return b"".join(
        word.to_bytes(size, "little") for word, size in ((addi(A0, A0, value), 4), (C_JR_RA, 2), (C_NOP, 2))
    )


def for_each(code: Code, page: int, label: str, word: int) -> None:
    """Run `word` with t3 at each function of `page` in turn."""
    code.li(T3, page)
    code.put(addi(T4, T3, 2047), addi(T4, T4, 2047), addi(T4, T4, 2))
    code.label(label)
    code.put(word, addi(T3, T3, FUNCTION_BYTES))
    code.to(label, lambda offset: branch(BNE, T3, T4, offset))


def machine_with(engine: str, code: Code, executable: int) -> Machine:
    """A machine that is to run `code` in user mode, with a page of functions that add 1."""
    code.put(C_JUMP_TO_ITSELF)
    machine = Machine(engine, code.finish(), 0)
    machine.board.ram.view(FRAMES[executable], PAGE)[:] = function(1) * FUNCTIONS
    machine.hart.regs[A1] = int.from_bytes(function(2), "little")
    return machine


@pytest.mark.parametrize(("engine", "fence"), [("fast", False), ("fast", True), ("public", True)])
@pytest.mark.parametrize(("writable", "executable"), [(CODE, CODE), (ALIAS, CODE_X)])
def test_a_guest_writes_over_a_page_of_functions(
    writable: int, executable: int, engine: str, fence: bool
) -> None:
    """All are called, all are written over, all are called again: what an xv6 kernel does with its frames.

    It executes no fence.i, which QEMU does not ask for, nor does the fast engine.
    """
    code = Code(TEXT)
    for_each(code, executable, "call the first", jalr(RA, T3))
    for round_ in range(2):  # the second time, the entry for the writable page is dirty
        for_each(code, writable, f"store {round_}", sd(A1, T3, 0))
        if fence:
            code.put(FENCE_I)
        for_each(code, executable, f"call {round_}", jalr(RA, T3))
        code.put(addi(A1, A1, 0))
    machine = machine_with(engine, code, executable)
    machine.hart.regs[A0] = 0
    machine.loop.run(AMPLE_TICKS)
    assert machine.hart.regs[e.PC] == code.pc - 2
    assert machine.hart.regs[A0] == FUNCTIONS * (1 + 2 + 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_python_writes_over_a_function(engine: str) -> None:
    """Who writes code into RAM drops what was translated: the kernel does at exec."""
    code = Code(TEXT)
    for_each(code, CODE_X, "call", jalr(RA, T3))
    machine = machine_with(engine, code, CODE_X)
    machine.hart.regs[A0] = 0
    machine.loop.run(AMPLE_TICKS)
    machine.board.ram.view(CODE_X_PA, PAGE)[:] = function(3) * FUNCTIONS
    machine.board.engine.drop_code(CODE_X_PA, CODE_X_PA + PAGE)
    machine.hart.regs[e.PC] = TEXT
    machine.loop.run(2 * AMPLE_TICKS)
    assert machine.hart.regs[A0] == FUNCTIONS * (1 + 3)


def test_data_beside_code_can_be_written() -> None:
    """Stores to a page with running code change what they are to change, and the code runs on."""
    code = Code(TEXT)
    code.li(A1, 0x1234)
    code.li(T3, CODE)
    code.li(T4, CODE + PAGE // 2)
    code.label("again")
    code.put(sd(A1, T4, 0), addi(A1, A1, 1), jalr(RA, T3), addi(T4, T4, 8))
    code.li(5, CODE + PAGE)
    code.to("again", lambda offset: branch(BNE, T4, 5, offset))
    machine = machine_with("fast", code, CODE)
    machine.hart.regs[A0] = 0
    machine.loop.run(AMPLE_TICKS)
    words = machine.board.ram.u64[(CODE_PA + PAGE // 2 - RAM_BASE) // 8 : (CODE_PA + PAGE - RAM_BASE) // 8]
    assert machine.hart.regs[A0] == PAGE // 16 and list(words) == [0x1234 + i for i in range(PAGE // 16)]


def test_an_engine_of_others_in_this_process_is_left_alone() -> None:
    """The library's table of calls is redirected once for all engines; those without a hart run as before."""
    Machine("fast", b"", 3)
    ram = Ram(1 << 20)
    uc = make_uc(ram)
    for value in (5, 7):
        uc.mem_write(RAM_BASE, addi(A0, A0, value).to_bytes(4, "little"))
        uc.ctl_flush_tb()
        uc.emu_start(RAM_BASE, 0, count=1)
    assert uc.reg_read(riscv_const.UC_RISCV_REG_A0) == 12
    uc.mem_write(RAM_BASE + 4, sd(A0, A1, 0).to_bytes(4, "little"))
    uc.reg_write(riscv_const.UC_RISCV_REG_A1, RAM_BASE + 8)
    uc.emu_start(RAM_BASE + 4, 0, count=1)
    assert ram.u64[1] == 12
