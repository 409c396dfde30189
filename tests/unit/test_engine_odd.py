"""No pc is odd, on both engines: xepc has no bit 0, and a jump to a register drops it.

Unprivileged specification, 2.5 (jalr); privileged specification, 3.1.14 (mepc) and 4.1.7 (sepc).
"""

import pytest
from assembler import A0, A1, A2, CSRS, MRET, NOP, RA, SRET, ZERO, Code, csr, csrr, csrw, jalr
from bare import ENGINES, TEXT, Machine

from emu.cpu import engine as e

EACH = pytest.mark.parametrize("engine", ENGINES)
STEPPED = pytest.mark.parametrize("stepped", [False, True])
WAS, GIVEN = 0x4442, 0x1_2345
WRITTEN = {
    1: GIVEN & ~1, 2: WAS | GIVEN & ~1, 3: WAS & ~GIVEN,  # csrrw, csrrs, csrrc
    5: 4, 6: WAS | 4, 7: WAS,  # the same with the immediate 5
}  # fmt: skip
C_JR_A0, C_JALR_A0 = 0x8502, 0x9502


def run(machine: Machine, ticks: int, stepped: bool) -> None:
    while stepped and machine.clock.now < ticks:
        machine.loop.step()
    machine.loop.run(ticks)


@EACH
@STEPPED
@pytest.mark.parametrize(("name", "mode"), [("sepc", 1), ("sepc", 3), ("mepc", 3)])
def test_a_guest_cannot_set_bit_0_of_xepc(engine: str, stepped: bool, name: str, mode: int) -> None:
    for op, expected in WRITTEN.items():
        for rd in (ZERO, A1):
            code = Code(TEXT)
            code.put(csr(op, rd, CSRS[name], 5 if op & 4 else A0), csrr(A2, name))
            machine = Machine(engine, code.finish(), mode)
            regs = machine.hart.regs
            regs[A0], regs[e.NAMES[name]] = GIVEN, WAS
            run(machine, 8, stepped)
            assert (regs[e.NAMES[name]], regs[A2], regs[A1]) == (expected, expected, WAS if rd else 0)
            assert regs[e.PC] == machine.address(TEXT + 8) and machine.clock.now == 8


@EACH
@STEPPED
def test_who_may_not_write_xepc_gets_a_trap(engine: str, stepped: bool) -> None:
    for name, mode in (("sepc", 0), ("mepc", 0), ("mepc", 1)):
        machine = Machine(engine, csrw(name, A0).to_bytes(4, "little"), mode)
        machine.hart.regs[A0] = WAS
        run(machine, e.TRAP_TICKS, stepped)
        assert machine.hart.regs[e.SCAUSE] == 2 and machine.hart.regs[e.SEPC] == TEXT
        assert machine.hart.regs[e.MEPC] == 0


@EACH
@STEPPED
@pytest.mark.parametrize(("name", "ret", "mode"), [("sepc", SRET, 1), ("mepc", MRET, 3)])
def test_a_return_goes_to_an_even_address(engine: str, stepped: bool, name: str, ret: int, mode: int) -> None:
    code = Code(TEXT)
    code.put(csrw(name, A0), ret, NOP, NOP)
    machine = Machine(engine, code.finish(), mode)
    regs = machine.hart.regs
    regs[A0] = machine.address(TEXT + 12) + 1
    regs[e.MSTATUS] |= 1 << 8 | 3 << 11  # to the mode it came from
    run(machine, 12, stepped)
    assert regs[e.PC] == machine.address(TEXT + 16)


@EACH
@STEPPED
@pytest.mark.parametrize("mode", [0, 1, 3])
def test_a_jump_goes_to_an_even_address(engine: str, stepped: bool, mode: int) -> None:
    for word, odd in (
        (jalr(RA, A0), 1), (jalr(RA, A0, 1), 0), (jalr(ZERO, A0, -1), 2), (jalr(A0, A0), 1),
        (C_JR_A0, 1), (C_JALR_A0, 1),
    ):  # fmt: skip
        code = Code(TEXT)
        code.put(word, NOP, NOP, NOP)
        machine = Machine(engine, code.finish().ljust(32, b"\0"), mode)
        machine.hart.regs[A0] = machine.address(TEXT + 16) + odd
        run(machine, 1, stepped)
        assert machine.hart.regs[e.PC] == machine.address(TEXT + 16)
