"""The machine loop: why run() returns, what it calls and when, gates, events and waiting."""

import pytest
from assembler import A0, C_JUMP_TO_ITSELF, ECALL, NOP, WFI, Code, addi, csrr, jal
from bare import ENGINES, TEXT, Machine

from emu.clock import TICKS_PER_S
from emu.cpu import engine as e
from emu.cpu.hart import M_TIMER, MASK64, S_TIMER, Hart
from emu.dev.clint import TICKS_PER_MTIME
from emu.loop import GATE_TICKS, SLICE_TICKS, Stop

SUPERVISOR = 1
YEAR_TICKS = 365 * 24 * 3600 * TICKS_PER_S
EACH = pytest.mark.parametrize("engine", ENGINES)
BOTH_WAYS = pytest.mark.parametrize("stepped", [False, True], ids=["run", "stepped"])


def machine(engine: str, *words: int, privilege: int = SUPERVISOR) -> Machine:
    code = Code(TEXT)
    code.put(*words)
    return Machine(engine, code.finish(), privilege)


def spinning(engine: str) -> Machine:
    return machine(engine, C_JUMP_TO_ITSELF, privilege=0)


def go(made: Machine, limit: int, stepped: bool) -> None:
    while stepped and made.clock.now < limit:
        made.loop.step(limit)
    made.loop.run(limit)


@EACH
def test_a_limit_is_the_first_boundary_at_or_after_it(engine: str) -> None:
    made = machine(engine, *[addi(A0, A0, 1)] * 20)
    made.hart.regs[A0] = 0
    for limit, now in ((0, 0), (1, 4), (4, 4), (7, 8), (9, 12), (40, 40)):
        assert made.loop.run(limit) is Stop.LIMIT
        assert made.clock.now == now and made.hart.regs[A0] == now // 4


@EACH
@BOTH_WAYS
@pytest.mark.parametrize("pc", [0xFFF, 0xFFE, 0x003, 1])
def test_nothing_is_at_the_top_of_the_address_space(engine: str, stepped: bool, pc: int) -> None:
    """The last page: addresses behind it wrap. The trap's handler runs from there on."""
    made = machine(engine, NOP)
    made.hart.regs[e.PC] = (1 << 64) - 1 - pc & ~1
    go(made, 40, stepped)
    assert made.hart.regs[e.SCAUSE] == 12 and made.hart.regs[e.STVAL] >> 12 == (1 << 52) - 1


@EACH
def test_a_run_ends_when_it_is_asked_to(engine: str) -> None:
    """At the event that asks, and once."""
    made = spinning(engine)
    made.board.events.at(1000, made.loop.ask_stop)
    assert made.loop.run(5000) is Stop.ASKED and made.clock.now == 1000
    assert made.loop.run(5000) is Stop.LIMIT and made.clock.now == 5000


@EACH
def test_all_asleep_is_said_and_no_time_passes(engine: str) -> None:
    made = machine(engine, NOP, WFI, NOP)
    made.hart.regs[e.MIE] = 1 << S_TIMER
    assert made.loop.run(10_000) is Stop.ASLEEP and made.clock.now == 8
    assert made.loop.run(10_000) is Stop.ASLEEP and made.clock.now == 8
    assert not made.loop.step(10_000)
    made.hart.line(S_TIMER)(True)
    assert made.loop.run(12) is Stop.LIMIT and made.hart.regs[e.PC] == TEXT + 12


@EACH
def test_who_waits_asks_for_something_from_outside(engine: str) -> None:
    """on_idle gets the time of the next event, and what it brings in comes first."""
    made = machine(engine, WFI, NOP)
    made.hart.regs[e.MIE] = 1 << S_TIMER
    made.board.events.at(9000, lambda: None)
    asked = []

    def on_idle(until_ticks: int) -> bool:
        asked.append(until_ticks)
        if len(asked) == 2:
            made.hart.line(S_TIMER)(True)
        return len(asked) == 2

    made.loop.on_idle = on_idle
    made.loop.run(9004)
    assert asked[0] == 9000 and made.clock.now == 9004 and len(asked) == 2


@EACH
def test_the_outside_is_looked_at_in_every_slice(engine: str) -> None:
    made = spinning(engine)
    times = []
    made.loop.on_slice = lambda: times.append(made.clock.now)
    made.loop.run(3 * SLICE_TICKS)
    assert len(times) == 2 and all(abs(t - (n + 1) * SLICE_TICKS) < 100 for n, t in enumerate(times))


@EACH
@BOTH_WAYS
def test_a_gate_is_handed_over_with_its_time_charged(stepped: bool, engine: str) -> None:
    made = machine(engine, NOP, NOP, ECALL, NOP)
    gate = TEXT + 8
    made.board.engine.cells[e.GATE_LOW], made.board.engine.cells[e.GATE_HIGH] = gate, gate + 4
    seen = []

    def on_gate(hart: Hart) -> None:
        seen.append((hart.regs[e.PC], made.clock.now))
        hart.regs[e.PC] += 4

    made.loop.on_gate = on_gate
    go(made, 8 + GATE_TICKS + 4, stepped)
    assert seen == [(gate, 8 + GATE_TICKS)] and made.hart.regs[e.PC] == TEXT + 16


class Gates:
    """A program that comes to a gate for ever, 8 ticks after it has left it; `went_on` is for `connect`."""

    def __init__(self, engine: str) -> None:
        self.made = machine(engine, addi(A0, A0, 1), ECALL, jal(0, -8))
        self.made.board.engine.cells[e.GATE_LOW], self.made.board.engine.cells[e.GATE_HIGH] = TEXT, TEXT + 8
        self.loop = self.made.loop
        self.seen: list[int] = []  # the times
        self.entries = 0
        self.stop_at = -1  # which of them asks for a stop

    def take(self, hart: Hart) -> None:
        self.seen.append(self.made.clock.now)
        hart.regs[e.PC] += 4
        if len(self.seen) == self.stop_at:
            self.loop.ask_stop()

    def went_on(self, hart: Hart) -> None:
        self.entries += 1
        self.take(hart)
        while self.loop.go_on():
            self.take(hart)

    def run(self) -> list[object]:
        """With an event, a stop that is asked for and a limit between the gates; what was seen."""
        gate_ticks = GATE_TICKS + 8
        self.made.board.events.at(5 * gate_ticks + 2, lambda: self.seen.append(-self.made.clock.now))
        self.stop_at = 9  # the event is one of them
        stops = [self.loop.run(12 * gate_ticks), self.loop.run(12 * gate_ticks + 2)]
        return [*stops, self.made.clock.now, self.made.hart.regs[A0], *self.seen]


@EACH
def test_it_does_not_show_that_the_kernel_goes_on_from_a_gate(engine: str) -> None:
    plain, going_on = Gates(engine), Gates(engine)
    plain.loop.on_gate = plain.take
    going_on.loop.connect(going_on.went_on)
    assert plain.run() == going_on.run()
    assert len(going_on.seen) == 13 and going_on.entries == 3, "and anew behind the event and the stop"


@EACH
def test_the_kernel_does_not_go_on_while_somebody_watches_gates_or_steps(engine: str) -> None:
    gates = Gates(engine)
    gates.loop.connect(gates.went_on)
    gates.loop.on_gate = lambda hart: gates.went_on(hart)
    gates.loop.run(4 * GATE_TICKS)
    assert gates.entries == len(gates.seen) == 4
    gates.loop.on_gate = gates.loop._kernel  # type: ignore[assignment]
    gates.loop.set_spots([e.Spot(TEXT + 16, TEXT + 16, e.FETCHES)])
    gates.loop.run(8 * GATE_TICKS)
    assert gates.entries == len(gates.seen) == 8
    gates.loop.set_spots([])
    while len(gates.seen) < 12:
        gates.loop.step()
    assert gates.entries == 12
    gates.loop.run(16 * GATE_TICKS)
    assert gates.entries < len(gates.seen) == 16


@EACH
@BOTH_WAYS
def test_gates_are_where_they_were_said_to_be_and_not_beside(stepped: bool, engine: str) -> None:
    for distance, is_gate in ((-4, False), (0, True), (4, True), (8, False)):
        made = machine(engine, NOP, NOP, ECALL, NOP)
        low = TEXT + 8 - distance
        made.board.engine.cells[e.GATE_LOW], made.board.engine.cells[e.GATE_HIGH] = low, low + 8
        made.loop.on_gate = lambda hart: hart.regs.__setitem__(e.PC, TEXT)
        go(made, 8 + (GATE_TICKS if is_gate else e.TRAP_TICKS), stepped)
        assert made.hart.regs[e.SCAUSE] == (0 if is_gate else 9)


@EACH
@BOTH_WAYS
@pytest.mark.parametrize("privilege", [0, 3])
def test_only_supervisor_mode_has_gates(privilege: int, stepped: bool, engine: str) -> None:
    made = machine(engine, ECALL, privilege=privilege)
    made.board.engine.cells[e.GATE_LOW], made.board.engine.cells[e.GATE_HIGH] = 0, 1 << 62
    go(made, e.TRAP_TICKS, stepped)
    assert made.hart.regs[e.SCAUSE if privilege == 0 else e.MCAUSE] == 8 + privilege


@EACH
@BOTH_WAYS
def test_an_event_falls_between_two_instructions(stepped: bool, engine: str) -> None:
    """On the first boundary at or after its time, in the order of time and then of asking."""
    made = machine(engine, *[addi(A0, A0, 1)] * 10)
    made.hart.regs[A0] = 0
    seen = []
    for ticks, name in ((6, "late"), (5, "b"), (5, "c"), (0, "a")):
        made.board.events.at(ticks, lambda name=name: seen.append((name, made.clock.now, made.hart.regs[A0])))
    go(made, 20, stepped)
    assert seen == [("a", 0, 0), ("b", 8, 2), ("c", 8, 2), ("late", 8, 2)]


@EACH
def test_a_jump_to_itself_is_left_by_an_interrupt(engine: str) -> None:
    """And the time at which it is left is a whole number of its instructions."""
    made = spinning(engine)
    made.hart.regs[e.MIE] = 1 << S_TIMER
    made.board.events.at(100_001, lambda: made.hart.line(S_TIMER)(True))
    made.loop.run(100_003)
    assert made.hart.regs[e.SEPC] == TEXT and made.hart.regs[e.SCAUSE] == 1 << 63 | S_TIMER
    assert made.clock.now == 100_006


@EACH
@BOTH_WAYS
@pytest.mark.parametrize("years", [1, 36, 74, 150, 58_000, 10**9])
def test_a_wait_may_be_as_long_as_it_likes(years: int, stepped: bool, engine: str) -> None:
    """Time goes on by the tick behind it, and the next wait may be as long again."""
    made = machine(engine, NOP, WFI, NOP, NOP, WFI, NOP, NOP)
    made.hart.regs[e.MIE] = 1 << S_TIMER
    wait, timer = years * YEAR_TICKS, made.hart.line(S_TIMER)
    made.board.events.at(wait, lambda: timer(True))
    go(made, wait + 8, stepped)
    assert (made.clock.now, made.hart.regs[e.PC]) == (wait + 8, TEXT + 16)
    timer(False)
    made.board.events.at(2 * wait + 5, lambda: timer(True))
    go(made, 2 * wait + 9, stepped)
    assert (made.clock.now, made.hart.regs[e.PC]) == (2 * wait + 9, TEXT + 24)
    assert made.loop.run(made.clock.now) is Stop.LIMIT


@EACH
@pytest.mark.parametrize("count", [1 << 53, 1 << 54, 1 << 63, (1 << 64) - 2])
def test_timers_fire_at_every_count_of_64_bits_but_the_last(count: int, engine: str) -> None:
    """Sstc's and the CLINT's: the hart sleeps until then, and not for ever."""
    for timer in ("stimecmp", "mtimecmp"):
        made = machine(engine, WFI, csrr(A0, "time"), NOP, privilege=3)
        made.hart.regs[e.MIE] = 1 << S_TIMER | 1 << M_TIMER
        if timer == "stimecmp":
            made.board.timer.set_compare(count)
        else:
            made.board.clint.store(0x4000, 8, count)
        made.loop.run(count * TICKS_PER_MTIME + 8)
        assert made.hart.regs[A0] == count and made.board.clint.mtime == count
        assert made.hart.regs[e.MIP] in (1 << S_TIMER, 1 << M_TIMER)
        made.board.timer.set_compare(MASK64)
        made.board.clint.store(0x4000, 8, MASK64)
        made.hart.waiting = True
        assert made.loop.run() is Stop.ASLEEP
