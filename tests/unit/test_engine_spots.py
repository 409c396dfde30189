"""Breakpoints and watchpoints: where run() stops is where single steps meet them, on both engines, and the
run itself is the same as without.
"""

import ctypes

import pytest
from assembler import A0, A1, C_JUMP_TO_ITSELF, C_NOP, LR, NOP, SC, Code, addi, atomic, ld, sd
from bare import ALIAS, CODE, DATA, DEVICES, ENGINES, ISLAND, PAGE_SIZE, TEXT, Island
from bare import Machine as BareMachine
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import HOT_PROGRAMS, PROGRAMS, Fragment, Program
from test_engine_slicing import BOUNDED, END, run

from emu.cpu import engine as e
from emu.cpu.accesses import LOADS, STORES
from emu.cpu.core import Hit
from emu.cpu.engine import Spot
from emu.cpu.exits import TrapLoop
from emu.cpu.fast import FastEngine
from emu.loop import Stop

EACH = pytest.mark.parametrize("engine", ENGINES)
STOPS_MAX = 60
Stops = list[tuple[int, int, Hit | None]]

BREAKS = st.builds(lambda at: (at, at, e.FETCHES), st.integers(0, 120).map(lambda n: TEXT + 2 * n))
WATCHES = st.builds(
    lambda at, size, kinds: (at, at + size, kinds),
    st.one_of(st.integers(DATA + 0xC0, DATA + 0x140), st.integers(DATA + 0xFF0, DATA + 0x1010)),
    st.integers(1, 16),
    st.sampled_from([e.LOADS, e.STORES, e.LOADS | e.STORES]),
)
SPOTS = st.lists(st.one_of(BREAKS, WATCHES), max_size=5)
BESIDE = st.builds(
    lambda at, size, kinds: (at, at + size, kinds),
    st.one_of(
        st.integers(DATA + 0xE8, DATA + 0x118),
        st.integers(DATA + 0xFE8, DATA + 0x1018),
        *(st.integers(page, page + 0x1FF) for page in (CODE, ALIAS)),
        st.sampled_from([page + 0x800 for page in (DATA, DATA + 0x1000, CODE, ALIAS)]),  # nobody goes there
    ),
    st.integers(1, 8),
    st.sampled_from([e.LOADS, e.STORES, e.LOADS | e.STORES]),
)


def placed(machine: BareMachine, spots: list[tuple[int, int, int]]) -> list[Spot]:
    """The spots where the program has these addresses."""
    there = machine.address
    return [Spot(there(low), there(low) + high - low, kinds) for low, high, kinds in spots]


def by_running(program: Program, engine: str, spots: list[tuple[int, int, int]]) -> tuple[Stops, object]:
    machine = program.machine(engine)
    loop, stops = machine.loop, Stops()
    loop.set_spots(placed(machine, spots))
    try:
        while machine.clock.now < END:
            stop = loop.run(END)
            if stop in (Stop.BREAK, Stop.WATCH):
                stops.append((machine.clock.now, machine.hart.regs[e.PC], loop.hit))
            if stop is Stop.ASLEEP:
                break
            if len(stops) == STOPS_MAX:
                loop.set_spots([])
    except TrapLoop:
        pass
    return stops, machine.state()


def by_stepping(program: Program, spots: list[tuple[int, int, int]]) -> Stops:
    machine = program.machine("fast")
    loop, stops = machine.loop, Stops()
    loop.set_spots(placed(machine, spots))
    try:
        while machine.clock.now < END and len(stops) < STOPS_MAX:
            now = machine.clock.now
            loop.forget_hit()
            if not loop.step(END):
                break
            moved = machine.clock.now > now or loop.hit is not None
            if moved and machine.clock.now < END and (loop.hit is not None or loop.at_break()):
                stops.append((machine.clock.now, machine.hart.regs[e.PC], loop.hit))
    except TrapLoop:
        pass
    return stops


def check(program: Program, spots: list[tuple[int, int, int]]) -> None:
    fast, state = by_running(program, "fast", spots)
    assert by_running(program, "public", spots) == (fast, state), "the engines differ"
    assert state == run(program, "fast", [])[1:], "the spots show in the run"
    assert [stop for stop in fast if stop[0] < END] == by_stepping(program, spots), "steps find others"


@pytest.mark.slow
@given(PROGRAMS, SPOTS)
@settings(BOUNDED, max_examples=120)
def test_spots_are_met_and_change_nothing(program: Program, spots: list[tuple[int, int, int]]) -> None:
    check(program, spots)


@pytest.mark.slow
@given(HOT_PROGRAMS, st.lists(BESIDE, min_size=1, max_size=5))
@settings(BOUNDED, max_examples=50)
def test_what_is_done_beside_a_watched_place_is_done_as_ever(
    program: Program, spots: list[tuple[int, int, int]]
) -> None:
    check(program, spots)


@pytest.mark.long
@given(HOT_PROGRAMS, st.lists(BESIDE, min_size=1, max_size=5))
@settings(BOUNDED, derandomize=False, max_examples=2000)
def test_what_is_done_beside_a_watched_place_is_done_as_ever_in_many_programs(
    program: Program, spots: list[tuple[int, int, int]]
) -> None:
    check(program, spots)


@pytest.mark.long
@given(PROGRAMS, SPOTS)
@settings(BOUNDED, derandomize=False, max_examples=2000)
def test_spots_are_met_and_change_nothing_in_many_programs(
    program: Program, spots: list[tuple[int, int, int]]
) -> None:
    check(program, spots)


def counting(engine: str) -> BareMachine:
    """Adds 1, stores it in DATA, loads it back, and spins."""
    code = Code(TEXT)
    code.put(addi(A0, A0, 1), sd(A0, A1, 0), ld(A0, A1, 0), C_JUMP_TO_ITSELF)
    machine = BareMachine(engine, code.finish(), privilege=0)
    machine.hart.regs[A0], machine.hart.regs[A1] = 0, DATA
    return machine


@EACH
def test_a_breakpoint_stops_before_and_a_watchpoint_behind(engine: str) -> None:
    machine = counting(engine)
    machine.loop.set_spots([Spot(TEXT + 4, TEXT + 4, e.FETCHES), Spot(DATA + 7, DATA + 8, e.STORES)])
    assert machine.loop.run(100) is Stop.BREAK
    assert (machine.hart.regs[e.PC], machine.clock.now) == (TEXT + 4, 4)
    assert machine.loop.run(100) is Stop.WATCH
    assert (machine.hart.regs[e.PC], machine.clock.now) == (TEXT + 8, 8)
    assert machine.loop.hit == Hit(TEXT + 4, DATA, 8, e.STORES)
    assert machine.loop.run(100) is Stop.LIMIT and machine.loop.hit is None


@EACH
@pytest.mark.parametrize("privilege", [0, 1])
def test_a_breakpoint_is_met_at_each_round_of_a_jump_to_itself(engine: str, privilege: int) -> None:
    """Time goes on over such a jump in user mode, but not where somebody wants to stop."""
    code = Code(TEXT)
    code.put(NOP, C_JUMP_TO_ITSELF)
    machine = BareMachine(engine, code.finish(), privilege)
    machine.loop.set_spots([Spot(TEXT + 4, TEXT + 4, e.FETCHES)])
    assert [(machine.loop.run(1000), machine.clock.now) for _ in range(4)] == [
        (Stop.BREAK, now) for now in (4, 6, 8, 10)
    ]
    machine.loop.set_spots([])
    assert machine.loop.run(1001) is Stop.LIMIT and machine.clock.now == 1002


@pytest.mark.parametrize("can_write", [True, False])
def test_the_library_may_keep_its_tables(can_write: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = counting("fast").board.engine
    assert isinstance(engine, FastEngine)
    names = [(name, f"on_{kind}") for kind, names in (("load", LOADS), ("store", STORES)) for name in names]
    places = [ctypes.c_uint64.from_address(engine._slot(name, constant=True)) for name, _ in names]
    for place, (name, _) in zip(places, names, strict=True):
        place.value = ctypes.cast(engine._private(name), ctypes.c_void_p).value or 0
    theirs = [place.value for place in places]
    if not can_write:
        monkeypatch.setattr("emu.cpu.accesses._can_write", lambda at: False)
    machine = counting("fast")
    assert ([place.value for place in places] == theirs) is not can_write
    assert isinstance(machine.board.engine, FastEngine)
    assert machine.board.engine._native.stores_leave == can_write
    machine.loop.set_spots([Spot(DATA + 7, DATA + 8, e.STORES), Spot(DATA + 64, DATA + 72, e.LOADS)])
    assert machine.loop.run(100) is Stop.WATCH and machine.loop.hit == Hit(TEXT + 4, DATA, 8, e.STORES)
    assert machine.loop.run(100) is Stop.LIMIT and machine.hart.regs[A0] == 1
    machines = counting("fast"), counting("public")
    for machine in machines:
        machine.hart.regs[A1] = DEVICES
        assert machine.loop.run(100) is Stop.LIMIT
    states = [[m.clock.now, *(m.hart.regs[i] for i in e.DIGESTED)] for m in machines]
    assert states[0] == states[1]
    monkeypatch.undo()
    counting("fast")
    assert theirs != [place.value for place in places]


@EACH
@pytest.mark.parametrize("place", [DEVICES, DATA + 2 * PAGE_SIZE, DATA + 3 * PAGE_SIZE])
def test_an_access_that_reaches_no_memory_is_not_told(engine: str, place: int) -> None:
    """To a device, to a page that is only read, to one that is missing: run or stepped."""
    machine = counting(engine)
    machine.hart.regs[A1] = place
    machine.loop.set_spots([Spot(place, place + 8, e.STORES)])
    assert machine.loop.run(100) is Stop.LIMIT and machine.loop.hit is None
    machine = counting(engine)
    machine.hart.regs[A1] = place
    machine.loop.set_spots([Spot(place, place + 8, e.STORES)])
    for _ in range(4):
        machine.loop.step()
        assert machine.loop.hit is None


@EACH
def test_an_sc_that_fails_touches_nothing(engine: str) -> None:
    """The first has no reservation; the second has one, and is told."""
    code = Code(TEXT)
    code.put(atomic(SC, True, A0, A1, A1), atomic(LR, True, A0, A1, 0), atomic(SC, True, A0, A1, A1))
    code.put(C_JUMP_TO_ITSELF)
    machine = BareMachine(engine, code.finish(), privilege=0)
    machine.hart.regs[A1] = DATA
    machine.loop.set_spots([Spot(DATA, DATA + 8, e.STORES)])
    assert machine.loop.run(100) is Stop.WATCH
    assert machine.loop.hit == Hit(TEXT + 8, DATA, 8, e.STORES)


@EACH
def test_spots_belong_to_an_address_space(engine: str) -> None:
    machine = counting(engine)
    other = machine.hart.regs[e.SATP] + 1
    places = (TEXT + 4, e.FETCHES), (DATA, e.LOADS), (DATA, e.STORES)
    machine.loop.set_spots([Spot(at, at + 8, kind, satp=other) for at, kind in places])
    assert machine.loop.run(100) is Stop.LIMIT
    machine = counting(engine)
    machine.loop.set_spots([Spot(DATA, DATA + 8, e.LOADS, satp=other - 1)])
    assert machine.loop.run(100) is Stop.WATCH and machine.hart.regs[e.PC] == TEXT + 12
    machine.loop.set_spots([])
    assert machine.loop.run(100) is Stop.LIMIT


@EACH
def test_an_access_at_the_time_of_an_event_is_told(engine: str) -> None:
    machine = counting(engine)
    machine.loop.events.at(8, lambda: None)
    machine.loop.set_spots([Spot(DATA, DATA + 8, e.STORES)])
    assert machine.loop.run(100) is Stop.WATCH
    assert (machine.hart.regs[e.PC], machine.clock.now) == (TEXT + 8, 8)


@EACH
def test_a_spot_on_the_way_to_where_there_is_nothing_to_run_is_met(engine: str) -> None:
    """The block before the island cannot be run whole, so it is stepped through."""
    text = bytearray(PAGE_SIZE * 2)
    code = Code(ISLAND - 8)
    code.put(sd(A0, A1, 0), C_NOP, C_NOP, NOP)
    text[ISLAND - 8 - TEXT :] = code.finish()[: 2 * PAGE_SIZE + TEXT - ISLAND + 8]
    machine = BareMachine(engine, bytes(text), privilege=0, island=Island.HOLE)
    machine.hart.regs[e.PC], machine.hart.regs[A1] = ISLAND - 8, DATA
    machine.loop.set_spots([Spot(DATA, DATA + 8, e.STORES), Spot(ISLAND - 2, ISLAND - 2, e.FETCHES)])
    stops = [(machine.loop.run(100), machine.hart.regs[e.PC] - ISLAND, machine.clock.now) for _ in range(2)]
    assert stops == [(Stop.WATCH, -4, 4), (Stop.BREAK, -2, 6)]


def test_a_breakpoint_is_met_after_the_interrupt_that_is_due_there() -> None:
    """The line rises at 171, the instruction at the breakpoint would begin at 172: the handler is first."""
    fragments = (
        Fragment("other_code", 21, 13, 23, 196),
        Fragment("spin", 27, 12, 30, 665),
        Fragment("device", 16, 10, 18, 321),
        Fragment("float_switch", 2, 28, 26, 17),
        Fragment("system", 7, 26, 26, 3594),
        Fragment("device", 9, 12, 1, 440),
    )
    program = Program(fragments, 0, Island.MISSING, 4660, 2730, 1, False, ((171, 3),))
    check(program, [(65708, 65708, e.FETCHES)])
