"""Several harts in one loop: which of them runs, how far apart they get, and that slicing does not show."""

import random
from array import array

import pytest
from assembler import A0, A1, C_JUMP_TO_ITSELF, NOP, S1, WFI, Code, addi, jal, store

from emu.bus import Bus
from emu.clock import BoardClock
from emu.cpu import engine as e
from emu.cpu.core import Core
from emu.cpu.hart import M_TIMER, Hart
from emu.cpu.public import PublicEngine
from emu.dev.device import Device
from emu.events import NEVER, EventQueue
from emu.loop import Loop, Stop
from emu.ram import PAGE_SIZE, RAM_BASE, Ram

DEVICE = 0x1000_0000
TURN_TICKS = 800
END = 40 * TURN_TICKS
COUNTING = (addi(A0, A0, 1), jal(0, -4))  # for ever: one more every 8 ticks


class Log(Device):
    """Keeps who writes to it, and the board's time then."""

    def __init__(self, clock: BoardClock) -> None:
        self.seen: list[tuple[int, int]] = []
        self._clock = clock

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        self.seen.append((value, self._clock.now))


class Harts:
    """A loop over a hart for each program; all in M-mode, each with a page of RAM for its code."""

    def __init__(self, *programs: tuple[int, ...]) -> None:
        self.ram = Ram(16 * PAGE_SIZE)
        self.bus = Bus(self.ram)
        self.events = EventQueue()
        self.cores = [Core(PublicEngine(self.ram), self.ram, self.bus, self.events) for _ in programs]
        self.clock = BoardClock([core.clock for core in self.cores])
        self.loop = Loop(self.cores, self.clock, self.events, TURN_TICKS)
        self.log = Log(self.clock)
        self.bus.attach(DEVICE, PAGE_SIZE, self.log)
        for number, (core, program) in enumerate(zip(self.cores, programs, strict=True)):
            at = RAM_BASE + number * PAGE_SIZE
            code = Code(at)
            code.put(*program)
            text = code.finish()
            self.ram.view(at, len(text))[:] = text
            regs = core.hart.regs
            regs[e.PC], regs[S1], regs[A1] = at, DEVICE, number

    @property
    def times(self) -> list[int]:
        return [core.clock.now for core in self.cores]

    def turns(self, limit: int) -> list[int]:
        """Whose turn it is, at each change, until the limit."""
        seen = [self.cores.index(self.loop.core)]
        while self.clock.now < limit:
            before = self.times
            self.loop.step(limit)
            now = self.cores.index(self.loop.core)
            if now != seen[-1]:
                assert now == before.index(min(before)), "the one furthest behind, the first of equals"
                seen.append(now)
        return seen


def writing(number_of_nops: int) -> tuple[int, ...]:
    """Writes the hart's number to the device, for ever."""
    return (*[NOP] * number_of_nops, store(2, A1, S1, 0), jal(0, -4 * (number_of_nops + 1)))


def test_the_hart_that_is_furthest_behind_runs() -> None:
    made = Harts(COUNTING, COUNTING, COUNTING)
    assert made.turns(END)[:7] == [0, 1, 2, 0, 1, 0, 2]
    made = Harts(COUNTING, COUNTING, COUNTING)
    for core, start in zip(made.cores, (5 * TURN_TICKS, 0, 3 * TURN_TICKS), strict=True):
        core.clock.advance_to(start)
    made.loop.run(1)
    assert made.times == [5 * TURN_TICKS, 0, 3 * TURN_TICKS], "the first hart has come to the limit"
    assert made.turns(END)[:5] == [0, 1, 2, 1, 0], "at first hart 1 alone, until it is ahead of hart 2"


def test_no_hart_gets_further_ahead_than_a_turn() -> None:
    made = Harts(COUNTING, (C_JUMP_TO_ITSELF,), writing(3))
    while made.clock.now < END:
        made.loop.step()
        assert max(made.times) - min(made.times) <= TURN_TICKS + 8
    counted = made.cores[0].hart.regs[A0]
    assert abs(counted - END // 8) <= 2 * TURN_TICKS // 8, "each has had its share"


def test_a_hart_alone_has_no_turns() -> None:
    made = Harts(COUNTING)
    assert made.loop.run(END) is Stop.LIMIT
    assert made.cores[0].hart.regs[A0] == END // 8 and made.turns(2 * END) == [0]


def test_a_device_sees_the_time_of_the_hart_that_asks() -> None:
    made = Harts(writing(1), writing(4))
    made.loop.run(END)
    for number, length in ((0, 12), (1, 24)):
        own = [now for who, now in made.log.seen if who == number]
        assert own == list(range(own[0], own[0] + length * len(own), length)), "every round takes as long"
    assert [now for _, now in made.log.seen] != sorted(now for _, now in made.log.seen)


@pytest.mark.parametrize("seed", range(8))
def test_how_a_run_is_sliced_does_not_show(seed: int) -> None:
    """Not in the order of accesses, and not in any register, clock or cell of RAM."""

    def run(rng: random.Random | None) -> tuple[object, ...]:
        made = Harts(writing(1), writing(4), COUNTING, (*[NOP] * 50, WFI))
        made.cores[3].hart.regs[e.MIE] = 1 << M_TIMER
        line = made.cores[3].hart.line(M_TIMER)
        for at in (300, TURN_TICKS, 5 * TURN_TICKS // 2):
            made.events.at(at, lambda at=at: made.log.seen.append((-at, made.clock.now)))
        made.events.at(3 * TURN_TICKS, lambda: line(True))
        made.events.at(11 * TURN_TICKS, made.loop.ask_stop)
        while rng is not None:
            if rng.random() < 0.5:
                made.loop.step()
            elif made.loop.run(made.clock.now + rng.choice((1, 13, 500, 3000))) is Stop.ASKED:
                break
        if rng is None:
            assert made.loop.run() is Stop.ASKED
        regs = [[core.hart.regs[index] for index in e.DIGESTED] for core in made.cores]
        return made.times, regs, made.log.seen, bytes(made.ram.bytes), made.cores.index(made.loop.core)

    assert run(random.Random(seed)) == run(None)


def test_an_event_waits_for_all_harts_to_come_to_its_time() -> None:
    made = Harts(COUNTING, COUNTING)
    seen = array("q")
    for at in (TURN_TICKS // 2 + 3, 3 * TURN_TICKS):
        made.events.at(at, lambda: seen.extend(made.times))
    made.loop.run(END)
    assert list(seen) == [TURN_TICKS // 2 + 4] * 2 + [3 * TURN_TICKS] * 2, "the first boundary at or after it"


def test_a_hart_that_waits_lets_the_others_run_and_wakes_at_its_time() -> None:
    made = Harts((WFI, *COUNTING), COUNTING)
    sleeper: Hart = made.cores[0].hart
    sleeper.regs[e.MIE] = 1 << M_TIMER
    made.events.at(7 * TURN_TICKS, lambda: sleeper.line(M_TIMER)(True))
    made.loop.run(6 * TURN_TICKS)
    assert sleeper.waiting and made.times[0] == 4 and made.times[1] >= 6 * TURN_TICKS
    made.loop.run(END)
    assert not sleeper.waiting
    late = sleeper.clock.now - 7 * TURN_TICKS - 8 * sleeper.regs[A0]
    assert 0 <= late <= TURN_TICKS, "it has not run before it was woken, nor much later"


def test_all_harts_asleep_jump_to_the_next_event() -> None:
    made = Harts((WFI, *COUNTING), (NOP, WFI, *COUNTING))
    for core in made.cores:
        core.hart.regs[e.MIE] = 1 << M_TIMER
    asked: list[int] = []
    made.loop.on_idle = lambda until: bool(asked.append(until))
    assert made.loop.run() is Stop.ASLEEP and asked == [NEVER] and made.times == [4, 8]
    made.events.at(1_000_000, lambda: made.cores[1].hart.line(M_TIMER)(True))
    assert made.loop.run(1_100_000) is Stop.LIMIT
    assert asked == [NEVER, 1_000_000] and [core.hart.waiting for core in made.cores] == [True, False]
    assert made.cores[1].hart.regs[A0] == 100_000 // 8


def test_spots_are_those_of_all_harts() -> None:
    made = Harts(COUNTING, (NOP, NOP, *COUNTING))
    at = RAM_BASE + PAGE_SIZE + 8
    made.loop.set_spots([e.Spot(at, at, e.FETCHES)])
    assert made.loop.run() is Stop.BREAK
    assert made.loop.core is made.cores[1] and made.loop.core.hart.regs[e.PC] == at
