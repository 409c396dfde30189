"""The rows: what is measured on a machine, in which unit, and what the goal is.

Most run user/tests/bench.c on the machine, which does a thing N times, or bench/work.c, which computes.  Each
is run with two counts, and what one more round takes is the difference of the times over that of the counts:
typing, fork, exec and exit cost the same in both and drop out.  The start, and a program of a stock image
(`whole`), are timed from begin to end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from bench.terminal import PROMPT, BenchError, Terminal

START_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 120.0
WHOLE_TIMEOUT_S = 1800.0
LONG_RUN_S = 0.3  # how long the run with the larger count takes, about
SHARE = 8  # the larger count is so many times the smaller
COUNT_MAX = 2_000_000_000  # bench.c's atoi has 32 bits
GROWTH_MAX = 20.0  # by how much a count may grow at a time while the right one is looked for

Start = Callable[[], Terminal]
"""Starts a machine that will show a shell prompt."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    `command` is what `program` calls it ('': the start); `first_count` is a count that takes a moment only.
    A value is seconds for a round divided by `scale`, or, where `rate`, rounds times `scale` a second.
    Where `whole`, `command` is a line for the shell, and one round is all of it.
    """

    name: str
    unit: str
    command: str
    goal: float | None  # times as fast as the rival, at least
    scale: float = 1.0
    rate: bool = False
    first_count: int = 0
    whole: bool = False
    program: str = "bench"

    @property
    def key(self) -> str:
        """What the command line calls it."""
        return self.command.partition(" ")[0] or START_KEY

    @property
    def success(self) -> str:
        """What the machine prints if all went well."""
        return "ALL TESTS PASSED" if self.whole else f"{self.program}: {self.command} "

    def line(self, count: int) -> str:
        """What is typed for so many rounds."""
        return f"{self.program} {self.command} {count}"

    def value(self, round_s: float) -> float:
        """What is printed for a round that takes so many seconds."""
        return self.scale / round_s if self.rate else round_s / self.scale

    def speedup(self, ours: float, rival: float) -> float:
        """How many times as fast as the rival we are, from two values."""
        return ours / rival if self.rate else rival / ours


START_KEY = "start"
MILLI = 1e-3
MICRO = 1e-6
MEGA = 1e6
CHUNK_BYTES = 4096  # bench.c's
FILE_CHUNKS = 25  # bench.c's
FILE_MEGA = FILE_CHUNKS * CHUNK_BYTES / MEGA

ROWS = (
    Row("start to prompt", "s", "", 1.0),
    Row("getpid", "us", "getpid", 6.0, MICRO, first_count=2000),
    Row("fork+exit+wait", "us", "fork", 3.0, MICRO, first_count=40),
    Row("fork+exec+wait", "us", "exec", 3.0, MICRO, first_count=20),
    Row("pipe 4 KiB", "MB/s", "pipe", 3.0, CHUNK_BYTES / MEGA, True, first_count=20),
    Row("ping-pong", "us", "pingpong", 3.0, MICRO, first_count=100),
    Row("create+write 100 KB", "MB/s", "create", 3.0, FILE_MEGA, True, first_count=1),
    Row("read 100 KB", "MB/s", "readfile", 3.0, FILE_MEGA, True, first_count=2),
    Row("sbrk+touch+free", "us", "sbrk", 3.0, MICRO, first_count=1000),
    Row("ALU loop, 16", "MIPS", "alu16", 0.9, 16 / MEGA, True, first_count=1_000_000),
    Row("ALU loop, 2", "MIPS", "alu2", 0.5, 2 / MEGA, True, first_count=4_000_000),
    Row("load/store loop", "MIPS", "loadstore", 0.9, 10 / MEGA, True, first_count=1_000_000),
)

WORK = "work"
WORK_ROWS = tuple(
    Row(name, "ms", name, 0.85, MILLI, first_count=1, program=WORK)
    for name in ("crc", "quicksort", "sieve", "interpreter", "tree", "strings", "matrix")
)
"""Those of bench/work.c."""
WORK_MEDIAN_GOAL = 1.0

USERTESTS = {
    "quick": Row("usertests -q", "s", "usertests -q", 2.0, whole=True),
    "all": Row("usertests", "s", "usertests", 2.0, whole=True),
}
"""xv6's own tests, as they come in a stock image."""


def measure_whole(start: Start, row: Row) -> float:
    """Seconds from typing the command to its last line, on a new machine."""
    with start() as terminal:
        terminal.expect(PROMPT, START_TIMEOUT_S)
        begin = perf_counter()
        terminal.type(f"{row.command}\n")
        failure = rb"panic: |FAILED|exec [a-z]+ failed"
        return terminal.expect(row.success.encode(), WHOLE_TIMEOUT_S, failure) - begin


def measure_start(start: Start) -> float:
    """Seconds from starting the process to the shell's prompt."""
    begin = perf_counter()
    with start() as terminal:
        return terminal.expect(PROMPT, START_TIMEOUT_S) - begin


def suitable_count(run_s: Callable[[int], float], first: int, long_s: float = LONG_RUN_S) -> int:
    """A count, `first` or more, with which `run_s(count)` takes about `long_s`."""
    count = first
    while True:
        took_s = run_s(count)
        if took_s >= long_s / 2 or count == COUNT_MAX:
            return count
        count = min(int(count * min(long_s / took_s, GROWTH_MAX)) + 1, COUNT_MAX)


class Measurer:
    """Runs rows of one program on one machine that stays up; remembers the count that suits each row.

    Between measurements the machine is held, so that it is not in the way of the other one.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._counts: dict[str, int] = {}
        terminal.expect(PROMPT, START_TIMEOUT_S)
        terminal.pause()

    def round_s(self, row: Row) -> float:
        """Seconds that one round of `row` takes; raises BenchError."""
        self._terminal.resume()
        if row.command not in self._counts:
            self._counts[row.command] = suitable_count(lambda n: self._run(row, n), row.first_count)
        large = self._counts[row.command]
        small = large // SHARE
        difference_s = self._run(row, large) - self._run(row, small)
        self._terminal.pause()
        if difference_s <= 0:
            raise BenchError(f"{large} rounds took no longer than {small}: this machine is too busy")
        return difference_s / (large - small)

    def _run(self, row: Row, count: int) -> float:
        """Seconds from typing the command to its last line."""
        terminal = self._terminal
        begin = perf_counter()
        terminal.type(f"{row.line(count)}\n")
        done = f"{row.success}{count} done".encode()
        failure = rb"panic: |bench: [a-z ]*failed|usage: |exec [a-z]+ failed"
        end = terminal.expect(done, RUN_TIMEOUT_S, failure)
        terminal.expect(PROMPT, RUN_TIMEOUT_S)
        return end - begin
