"""`python -m bench`: measure ours, beside the rival where it is there, and say where the time goes.

Status 0: all was measured, whatever came out; 1: a row could not be measured; 2: bad input.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import breakdown, flame, memory, overgdb, profiling, report, rival, timetravel
from bench.memory import MemoryResult
from bench.report import Result
from bench.rows import (
    ROWS,
    USERTESTS,
    WORK,
    WORK_ROWS,
    Measurer,
    Row,
    Start,
    measure_start,
    measure_whole,
)
from bench.terminal import BenchError, Terminal
from bench.timetravel import Measure
from toolchain.image import default_image, rebuilt

PARTS_KEY = "parts"
MEMORY_KEY = "memory"
TIME_KEY = "time"
GDB_KEY = "gdb"
KEYS = (*(row.key for row in ROWS), WORK, MEMORY_KEY, TIME_KEY, GDB_KEY, PARTS_KEY)
PROFILED = {row.key: row for row in (*ROWS, *WORK_ROWS, USERTESTS["quick"]) if row.command}
REPEATS = 5
HEADINGS = {TIME_KEY: "time travel; wall time", GDB_KEY: "over gdb's protocol; wall time"}


class Side:
    """Ours, or the rival: a way to start it, and the machine that is up."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._terminal: Terminal | None = None
        self._measurer: Measurer | None = None
        self._has_started = False

    def measure(self, row: Row) -> float:
        """One value of `row`; raises BenchError, and begins with a new machine after that."""
        try:
            if row.whole:
                return row.value(measure_whole(self._start, row))
            if not row.command:
                return self._measure_start(row)
            if self._measurer is None:
                self._terminal = self._start()
                self._measurer = Measurer(self._terminal)
            return row.value(self._measurer.round_s(row))
        except BenchError:
            self.close()
            raise

    def _measure_start(self, row: Row) -> float:
        if not self._has_started:
            measure_start(self._start)  # the first start may compile; it does not count
            self._has_started = True
        return row.value(measure_start(self._start))

    def close(self) -> None:
        """End the machine, if one is up."""
        if self._terminal is not None:
            self._terminal.close()
        self._terminal = self._measurer = None


@dataclass(frozen=True, slots=True)
class Contest:
    """Rows that are measured on the same two sides, so many times."""

    rows: Sequence[Row]
    ours: Side
    rival: Side | None
    repeat: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.out and not (options.profile or options.plot):
            raise BenchError("--out keeps what --profile or --plot found: give one of them")
        if options.profile:
            _profile(options)
            return 0
        if options.plot:
            _plot(options)
            return 0
        return _measure(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _measure(options: argparse.Namespace) -> int:
    """Measure what was asked for; BenchError for bad input, the status for the rest."""
    with ExitStack() as cleanup:
        contests = _contests(options, cleanup)
        results = _measure_rows(contests)
    parts, failures = None, {r.row.name: r.failure for r in results if r.failure}
    memory_results = _measure_memory(options)
    failures |= {r.row.name: r.failure for r in memory_results if r.failure}
    measures = _measure_all(TIME_KEY, options, lambda cleanup: timetravel.measure(), failures)
    measures += _measure_all(GDB_KEY, options, lambda cleanup: _over_gdb(options, cleanup), failures)
    if PARTS_KEY in _keys(options):
        try:
            parts = breakdown.measure()
            print(report.parts_table(parts))
        except BenchError as error:
            failures[PARTS_KEY] = str(error)
            print(f"{PARTS_KEY}: failed: {error}")
    if options.json:
        _write(
            options.json,
            json.dumps(report.as_json(results, memory_results, measures, parts, failures), indent=2) + "\n",
        )
    return 1 if failures else 0


def _measure_memory(options: argparse.Namespace) -> list[MemoryResult]:
    """Measure the memory rows, if they were asked for, and print them."""
    results: list[MemoryResult] = []
    if MEMORY_KEY in _keys(options):
        print(report.memory_header(), flush=True)
        for result in memory.measure(options.repeat):
            results.append(result)
            print(report.memory_line(result), flush=True)
        print()
    return results


def _measure_all(
    key: str,
    options: argparse.Namespace,
    measuring: Callable[[ExitStack], Iterator[Measure]],
    failures: dict[str, str],
) -> list[Measure]:
    """Measure rows with goals of their own, if these were asked for, and print them."""
    measures: list[Measure] = []
    if key not in _keys(options):
        return measures
    print(report.time_header(HEADINGS[key]), flush=True)
    with ExitStack() as cleanup:
        try:
            for found in measuring(cleanup):
                measures.append(found)
                print(report.time_line(found), flush=True)
        except BenchError as error:
            failures[key] = str(error)
            print(f"{key}: failed: {error}")
    print()
    return measures


def _over_gdb(options: argparse.Namespace, cleanup: ExitStack) -> Iterator[Measure]:
    """What goes through gdb's protocol, beside the rival's server where that is here."""
    argv, qemu = None, rival.find_qemu(options.qemu)
    if options.xv6 is not None and qemu is not None:
        scratch = Path(cleanup.enter_context(TemporaryDirectory(prefix="orrery-bench-")))
        argv = rival.debugged(options.xv6, qemu, scratch)
    return overgdb.measure(_orrery(options), argv)


def _orrery(options: argparse.Namespace) -> str:
    """The program to measure."""
    return options.orrery or str(Path(sys.executable).with_name("orrery"))


def _plot(options: argparse.Namespace) -> None:
    """Print how cost grows with the work, and write the points where that was asked for."""
    curves = []
    for plotted in memory.plot():
        curves.append(plotted)
        print(report.plot_text(plotted), end="\n\n", flush=True)
    if options.out:
        _write(options.out, report.plot_csv(curves))


def _profile(options: argparse.Namespace) -> None:
    """Print where the time of one row goes, and draw it where that was asked for."""
    row = PROFILED[options.profile]
    image = _stock_image(options, "--profile usertests") if row.whole else None
    with ExitStack() as cleanup:
        if row.program == WORK:
            image = _work_image(cleanup)
        profile = profiling.profile_row(row, image)
    print(f"{row.name}: {profile.summary()}")
    if options.out:
        _write(options.out, flame.svg(profile, f"{row.name}, processor time by Python stack"))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, beside a rival.")
    parser.add_argument("--xv6", type=Path, metavar="DIR", help="a built C xv6-riscv tree, the rival")
    parser.add_argument("--qemu", metavar="PATH", help=f"what runs it (default: {rival.QEMU})")
    parser.add_argument("--orrery", metavar="PATH", help="the orrery to measure (default: this one's)")
    parser.add_argument("--rows", nargs="+", choices=KEYS, metavar="ROW", help=f"some of: {', '.join(KEYS)}")
    parser.add_argument("--repeat", type=_positive, default=REPEATS, metavar="N", help="times (%(default)s)")
    parser.add_argument("--stock", type=Path, metavar="IMG", help="stock xv6 image (default: that of --xv6)")
    parser.add_argument(
        "--usertests",
        nargs="?",
        const="quick",
        choices=sorted(USERTESTS),
        help="time the stock image's usertests, -q or all, once a side: minutes; other rows only by --rows",
    )
    parser.add_argument(
        "--profile",
        choices=sorted(PROFILED),
        metavar="ROW",
        help="measure nothing, but show where one row's time goes",
    )
    parser.add_argument(
        "--plot", action="store_true", help="measure nothing, but show how the cost of memory grows"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="--profile as a flame graph (SVG), --plot as a table (CSV)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _keys(options: argparse.Namespace) -> Sequence[str]:
    """Which rows to measure, usertests apart."""
    if options.rows or options.usertests:
        return options.rows or ()
    return KEYS


def _stock_image(options: argparse.Namespace, wanted_by: str) -> Path:
    """The image that whole programs run on."""
    if options.stock is None and options.xv6 is None:
        raise BenchError(f"{wanted_by} needs a stock xv6 image: name it with --stock, or a tree with --xv6")
    image: Path = options.stock or rival.tree_image(options.xv6)
    if not image.is_file():
        raise BenchError(f"{image}: not there: check --stock")
    return image


def _contests(options: argparse.Namespace, cleanup: ExitStack) -> list[Contest]:
    """What is to be measured, on which sides; the sides end with `cleanup`."""
    orrery = _orrery(options)
    qemu = rival.find_qemu(options.qemu)
    if options.xv6 is not None and qemu is None:
        print(f"{rival.QEMU} is not in PATH: install it, or name it with --qemu")
    tree = options.xv6 if qemu else None
    rows = [row for row in ROWS if row.key in _keys(options)]
    contests = []

    def add(rows: Sequence[Row], argv: Sequence[str], image: Callable[[], bytes], repeat: int) -> None:
        ours, other = Side(lambda: Terminal(argv)), None
        cleanup.callback(ours.close)
        if tree is not None and qemu is not None:
            scratch = Path(cleanup.enter_context(TemporaryDirectory(prefix="orrery-bench-")))
            other = Side(rival.rival_start(tree, qemu, scratch, image()))
            cleanup.callback(other.close)
        contests.append(Contest(rows, ours, other, repeat))

    if rows:
        image = partial(_rival_image, options, "bench")
        add(rows, [orrery, "boot"], image, options.repeat)
    if WORK in _keys(options):
        argv = [orrery, "boot", "--drive", str(_work_image(cleanup)), "--snapshot"]
        add(WORK_ROWS, argv, partial(_rival_image, options, WORK), options.repeat)
    if options.usertests:
        stock = _stock_image(options, "--usertests")
        argv = [orrery, "boot", "--drive", str(stock), "--snapshot"]
        add([USERTESTS[options.usertests]], argv, stock.read_bytes, 1)
    return contests


def _work_image(cleanup: ExitStack) -> Path:
    """The default image with work.c on it, in a file that goes with `cleanup`."""
    path = Path(cleanup.enter_context(TemporaryDirectory(prefix="orrery-bench-"))) / "fs.img"
    path.write_bytes(rebuilt(default_image(), {WORK: rival.program(WORK)}))
    return path


def _rival_image(options: argparse.Namespace, program: str) -> bytes:
    return rival.image_with(program, rival.tree_image(options.xv6).read_bytes())


def _measure_rows(contests: Sequence[Contest]) -> list[Result]:
    """Measure each row on each side, in turns, and print it."""
    if not contests:
        return []
    beside = contests[0].rival is not None
    results = []
    print(report.header(beside), flush=True)
    for contest in contests:
        for row in contest.rows:
            other = contest.rival.measure if contest.rival else None
            result = _measure_row(row, contest.ours.measure, other, contest.repeat)
            results.append(result)
            print(report.line(result, beside), flush=True)
    if (median := report.work_line(results)) is not None:
        print(median)
    print(report.footer(beside), end="\n\n", flush=True)
    return results


def _measure_row(
    row: Row, ours: Callable[[Row], float], other: Callable[[Row], float] | None, repeat: int
) -> Result:
    result = Result(row)
    sides = [("ours", ours, result.ours)]
    if other is not None:
        sides.append(("the rival", other, result.rival))
    for _ in range(repeat):
        for name, measure, values in sides:
            try:
                values.append(measure(row))
            except BenchError as error:
                result.failure = f"{name}: {error}"
                return result
    return result


if __name__ == "__main__":
    sys.exit(main())
