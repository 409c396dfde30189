"""CSRs that the board does instead of the engines: counters, timers, mip and sip, PMP."""

import pytest
from assembler import A0, A1, A2, CSRS, ZERO, Code, addi, csr, csrr, csrw
from bare import ENGINES, TEXT, Machine

from emu.cpu import engine as e
from emu.cpu.csr import MENVCFG_STCE, TAKEN, takes

ILLEGAL = 2


def text(*words: int) -> bytes:
    code = Code(TEXT)
    code.put(*words)
    return code.finish()


def run(engine: str, privilege: int, *words: int, stepped: bool = False, **regs: int) -> Machine:
    """A machine that has run these instructions, `regs` set before."""
    machine = Machine(engine, text(*words), privilege)
    for name, value in regs.items():
        machine.hart.regs[getattr(e, name.upper())] = value
    limit = 4 * len(words)
    while stepped and machine.clock.now < limit:
        machine.loop.step()
    machine.loop.run(limit)
    return machine


def illegal(machine: Machine) -> bool:
    """Whether the program ended in an illegal instruction, in either handler."""
    regs = machine.hart.regs
    return ILLEGAL in (regs[e.SCAUSE], regs[e.MCAUSE])


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_counters_count_virtual_time(engine: str, stepped: bool) -> None:
    """One count of cycle and instret is 4 bytes of instructions; time counts 100 ns."""
    words = [addi(A2, ZERO, 1)] * 5
    for name in ("cycle", "instret", "mcycle", "minstret"):
        machine = run(engine, 3, *words, csrr(A0, name), *words, csrr(A1, name), stepped=stepped)
        assert (machine.hart.regs[A0], machine.hart.regs[A1]) == (5, 11)
    assert run(engine, 3, *[addi(A2, ZERO, 1)] * 250, csrr(A0, "time")).hart.regs[A0] == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_machine_counters_can_be_set(engine: str) -> None:
    machine = run(engine, 3, addi(A0, ZERO, 1000), csrw("mcycle", A0), csrr(A1, "mcycle"), csrr(A2, "cycle"))
    assert machine.hart.regs[A1] == 1001 and machine.hart.regs[A2] == 1002


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("name", "bit"), [("cycle", 0), ("time", 1), ("instret", 2), ("hpmcounter3", 3)])
def test_who_may_read_a_counter(engine: str, name: str, bit: int) -> None:
    """mcounteren lets S-mode in, and scounteren beside it U-mode (privileged specification, 3.1.11)."""
    mask = 1 << bit
    for privilege, mcounteren, scounteren, allowed in [
        (0, 0, 0, False), (0, mask, 0, False), (0, 0, mask, False), (0, mask, mask, True),
        (0, 0xF ^ mask, 0xF ^ mask, False), (1, 0, mask, False), (1, mask, 0, True), (3, 0, 0, True),
    ]:  # fmt: skip
        machine = run(engine, privilege, csrr(A0, name), mcounteren=mcounteren, scounteren=scounteren)
        assert illegal(machine) is not allowed


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["cycle", "time", "instret"])
def test_counters_are_read_only(engine: str, name: str) -> None:
    assert illegal(run(engine, 3, csrw(name, A0)))
    assert illegal(run(engine, 3, csr(6, A0, CSRS[name], 1)))
    assert not illegal(run(engine, 3, csr(6, A0, CSRS[name], 0)))


@pytest.mark.parametrize("engine", ENGINES)
def test_machine_csrs_are_machine_mode_s(engine: str) -> None:
    for name in ("mip", "menvcfg", "pmpcfg0", "pmpaddr0", "mcycle", "minstret"):
        for privilege in (0, 1):
            assert illegal(run(engine, privilege, csrr(A0, name)))
        assert not illegal(run(engine, 3, csrr(A0, name)))
    assert illegal(run(engine, 0, csrr(A0, "sip")))


@pytest.mark.parametrize("engine", ENGINES)
def test_stimecmp_reads_back_what_was_written(engine: str) -> None:
    words = addi(A0, ZERO, -7), csrw("stimecmp", A0), csrr(A1, "stimecmp")
    machine = run(engine, 3, csrr(A2, "stimecmp"), *words)
    assert (machine.hart.regs[A2], machine.hart.regs[A1]) == ((1 << 64) - 1, (1 << 64) - 7)


@pytest.mark.parametrize("engine", ENGINES)
def test_stimecmp_needs_menvcfg_and_mcounteren(engine: str) -> None:
    for enabled, mcounteren in ((0, 2), (MENVCFG_STCE, 0), (MENVCFG_STCE, 2)):
        machine = Machine(engine, text(csrw("stimecmp", ZERO)), 1)
        machine.board.cores[0].csrs.menvcfg = enabled
        machine.hart.regs[e.MCOUNTEREN] = mcounteren
        machine.hart.regs[e.MIE] = 0
        machine.loop.run(4)
        assert illegal(machine) is not (enabled and mcounteren == 2)
        assert bool(machine.hart.regs[e.MIP] & 1 << 5) is bool(enabled and mcounteren == 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_mip_is_lines_and_what_software_wrote(engine: str) -> None:
    """SSIP, STIP and SEIP can be written; a line that is high cannot be cleared, nor kept by a set."""
    code = [addi(A1, ZERO, -1), csrw("mip", A1), csrr(A0, "mip"), csrw("mip", ZERO), csrr(A2, "mip")]
    machine = run(engine, 3, *code)
    assert machine.hart.regs[A0] == 0x222 and machine.hart.regs[A2] == 0

    machine = Machine(engine, text(csr(3, A0, CSRS["mip"], A1), csr(6, A2, CSRS["mip"], 2)), 3)
    machine.hart.regs[A1] = (1 << 64) - 1
    for line in (5, 9, 11):
        machine.hart.line(line)(True)
    machine.loop.run(8)
    assert machine.hart.regs[A0] == 0xA20 and machine.hart.regs[A2] == 0xA20
    assert machine.hart.regs[e.MIP] == 0xA22
    for line in (5, 9, 11):
        machine.hart.line(line)(False)
    assert machine.hart.regs[e.MIP] == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_sip_shows_what_is_delegated_and_clears_ssip_alone(engine: str) -> None:
    machine = Machine(engine, text(csrr(A0, "sip"), csrw("sip", ZERO), csrr(A1, "sip")), 1)
    machine.hart.regs[e.MIDELEG] = 0x202
    machine.hart.set_software(0x222, 0x222)
    machine.loop.run(12)
    assert machine.hart.regs[A0] == 0x202 and machine.hart.regs[A1] == 0x200
    assert machine.hart.regs[e.MIP] == 0x220


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_protection_is_not_there(engine: str) -> None:
    """Its CSRs read 0 and take no value, so what a kernel writes there has no effect."""
    code = [addi(A1, ZERO, 0x1F), csrw("pmpaddr0", A1), csrw("pmpcfg0", A1), csrr(A0, "pmpcfg0")]
    machine = run(engine, 3, *code)
    assert machine.hart.regs[A0] == 0 and not illegal(machine)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_only_looks_like_an_access(engine: str) -> None:
    """The upper half of one instruction and a compressed one behind it have the bits of rdcycle."""
    lui_a0 = 0x2573_0537
    machine = run(engine, 3, lui_a0, 0xC000, addi(A1, ZERO, 1))
    assert machine.hart.regs[A0] == 0x2573_0000 and not illegal(machine)


def test_takes_every_form_of_access() -> None:
    for number in TAKEN:
        assert all(takes(csr(op, A0, number, ZERO)) for op in (1, 2, 3, 5, 6, 7))
        assert not takes(csr(0, A0, number, ZERO)) and not takes(csr(4, A0, number, ZERO))
    assert not takes(csrr(A0, "mstatus")) and not takes(addi(A0, A0, 1))
