"""The first moment at which two runs differ.

Two futures of one machine differ in their input.  That alone makes no difference: a byte that was changed
has to be read first.  What is compared is where the hart is, when, its registers, the console's output, and
all of memory but for the bytes that were changed.  Both runs go forward in strides that grow; the first
stride behind which they differ is bisected, and at the end they step side by side:

    same         same           different
    |------------|--------------|
                 |------|same
                        |--|--| steps: parted here
"""

from itertools import zip_longest
from typing import Final, NamedTuple

from emu.cpu.hart import USER
from emu.ram import PAGE_SIZE, RAM_BASE
from orrery.timetravel.input_log import Change
from orrery.timetravel.moment import Moment
from orrery.timetravel.program_symbols import ProgramSymbols
from orrery.timetravel.registers import NAMES
from orrery.timetravel.stops import ENDS, KERNEL
from orrery.timetravel.target import name_of
from orrery.timetravel.timeline import Timeline
from toolchain.names import shown

STRIDE_TICKS: Final = 10_000  # the first one
STRIDE_TICKS_MAX: Final = 40_000_000
STEPPED_TICKS_MAX: Final = 200  # as long a way is gone by single steps
SHOWN_MAX: Final = 4  # addresses in a line


class Parting(NamedTuple):
    """Both runs come to `moment` in the same way, and a step later they are at `first` and at `second`.

    `registers` are the names of those that differ then, with both values, the time being `ticks`; `addresses`
    are the physical ones of bytes that do; `console` says that it has shown different things.  `text` says it
    all in a line, with the process, the function and its line in the source, where these are known.
    """

    moment: Moment
    first: Moment
    second: Moment
    registers: dict[str, tuple[int, int]]
    addresses: tuple[int, ...]
    console: bool
    text: str


def parting(first: Timeline, second: Timeline, limit_ticks: int) -> Parting | None:
    """Where the two part, which began in the same way; None where they do not before `limit_ticks`."""
    both = TimelinePair(first, second)
    low = high = min(common_ticks(first.changes, second.changes), limit_ticks)
    stride = STRIDE_TICKS
    both.goto(high)
    both.take_as_known()
    while not both.differ:
        if both.ended or high >= limit_ticks:
            return None
        low, high = high, min(high + stride, limit_ticks)
        both.goto(high)
        stride = min(2 * stride, STRIDE_TICKS_MAX)
    while high - low > STEPPED_TICKS_MAX:
        middle = (low + high) // 2
        both.goto(middle)
        low, high = (low, middle) if both.differ else (middle, high)
    both.goto(low)
    before = first.moment
    while not both.differ:
        before = first.moment
        both.step()
    return both.parting(before)


def common_ticks(first: tuple[Change, ...], second: tuple[Change, ...]) -> int:
    """The time up to which the same is done in both; 0 where that is all."""
    for one, other in zip_longest(first, second):
        if one != other:
            return min(change.moment.ticks for change in (one, other) if change is not None)
    return 0


class TimelinePair:
    """Two timelines that are moved together."""

    def __init__(self, first: Timeline, second: Timeline) -> None:
        self._first: Final = first
        self._second: Final = second
        self._known: frozenset[int] = frozenset()  # addresses whose bytes may differ
        self.ended = False  # both runs, before the time to which they were to go

    def goto(self, ticks: int) -> None:
        """Both go to a time."""
        stops = [timeline.goto(ticks).why for timeline in (self._first, self._second)]
        self.ended = all(why in ENDS for why in stops)

    def step(self) -> None:
        """Both make a step."""
        self._first.step()
        self._second.step()

    def take_as_known(self) -> None:
        """Let what differs in memory now make no difference."""
        self._known = frozenset(self._addresses())

    @property
    def differ(self) -> bool:
        """Whether they do, here."""
        return bool(self._registers() or self._addresses() or self._console())

    def parting(self, before: Moment) -> Parting:
        """Of here, where they differ, which they did not at `before`."""
        first, registers, addresses = self._first, self._registers(), self._addresses()
        console, both = self._console(), (first.moment, self._second.moment)
        first.goto(before)
        name = name_of(first.processes(), first.current)
        who = f"in process {first.current} ({shown(name)})" if name else "in the kernel"
        pc = f"pc {before.pc:#x}{self._place(before)}"
        values = [f"{name} is {a:#x} and {b:#x}" for name, (a, b) in registers.items()]
        values += [f"the bytes at {pa:#x} differ" for pa in addresses[:SHOWN_MAX]]
        values += ["the console shows different things"] if console else []
        text = f"they part at {before.time_ps} ps, {pc}, {who}: {', '.join(values)}"
        return Parting(before, *both, registers, addresses, console, text)

    def _place(self, moment: Moment) -> str:
        """The function and the line at which the first is, in parentheses, where they are known."""
        programs = ProgramSymbols(self._first, {})
        info = programs.find(self._first.current) if moment.priv == USER else programs.kernel
        places = info.places(programs.kernel_address(moment.pc)) if info is not None else ()
        return f" ({places[0].function} at {places[0].where})" if places else ""

    def _registers(self) -> dict[str, tuple[int, int]]:
        here, there = self._first.registers(KERNEL), self._second.registers(KERNEL)
        found = {name: (a, b) for name, a, b in zip(NAMES, here, there, strict=True) if a != b}
        times = self._first.moment.ticks, self._second.moment.ticks
        return found if times[0] == times[1] else {**found, "ticks": times}

    def _console(self) -> bool:
        return self._first.console_digest() != self._second.console_digest()

    def _addresses(self) -> tuple[int, ...]:
        found: list[int] = []
        sums = zip(self._first.page_sums(), self._second.page_sums(), strict=True)
        for pa in (RAM_BASE + i * PAGE_SIZE for i, (a, b) in enumerate(sums) if a != b):
            pages = (timeline.read_physical(pa, PAGE_SIZE) for timeline in (self._first, self._second))
            found += (pa + i for i, (a, b) in enumerate(zip(*pages, strict=True)) if a != b)
        return tuple(pa for pa in found if pa not in self._known)
