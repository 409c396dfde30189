"""`python -m bench`: measure ours, beside the rival where it is there, and say where a call's time goes.

Status 0: all was measured, whatever came out; 1: a row could not be measured; 2: bad input.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import breakdown, report, rival
from bench.report import Result
from bench.rows import ROWS, Measurer, Row, Start, measure_start
from bench.terminal import BenchError, Terminal

START_KEY = "start"
PARTS_KEY = "parts"
KEYS = (START_KEY, *(row.command for row in ROWS if row.command), PARTS_KEY)
REPEATS = 5


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print; returns the exit status."""
    options = _parser().parse_args(arguments)
    with ExitStack() as cleanup:
        try:
            ours, other = _sides(options, cleanup)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
        results = _measure_rows(_chosen(options.rows), ours, other, options.repeat)
    parts, failures = None, {r.row.name: r.failure for r in results if r.failure}
    if not options.rows or PARTS_KEY in options.rows:
        try:
            parts = breakdown.measure()
            print(report.parts_table(parts))
        except BenchError as error:
            failures[PARTS_KEY] = str(error)
            print(f"{PARTS_KEY}: failed: {error}")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results, parts, failures), indent=2) + "\n")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, beside a rival.")
    parser.add_argument("--xv6", type=Path, metavar="DIR", help="a built C xv6-riscv tree, the rival")
    parser.add_argument("--qemu", metavar="PATH", help=f"what runs it (default: {rival.QEMU})")
    parser.add_argument("--orrery", metavar="PATH", help="the orrery to measure (default: this one's)")
    parser.add_argument("--rows", nargs="+", choices=KEYS, metavar="ROW", help=f"some of: {', '.join(KEYS)}")
    parser.add_argument("--repeat", type=_positive, default=REPEATS, metavar="N", help="times (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _chosen(keys: Sequence[str] | None) -> list[Row]:
    return [row for row in ROWS if not keys or (row.command or START_KEY) in keys]


def _sides(options: argparse.Namespace, cleanup: ExitStack) -> tuple[Side, Side | None]:
    """Ours, and the rival if it is there; both end with `cleanup`."""
    orrery = options.orrery or str(Path(sys.executable).with_name("orrery"))
    ours = Side(lambda: Terminal([orrery, "boot"]))
    cleanup.callback(ours.close)
    qemu = rival.find_qemu(options.qemu)
    if options.xv6 is None:
        return ours, None
    if qemu is None:
        print(f"{rival.QEMU} is not in PATH: install it, or name it with --qemu")
        return ours, None
    scratch = Path(cleanup.enter_context(TemporaryDirectory(prefix="orrery-bench-")))
    other = Side(rival.rival_start(options.xv6, qemu, scratch))
    cleanup.callback(other.close)
    return ours, other


def _measure_rows(rows: Sequence[Row], ours: Side, other: Side | None, repeat: int) -> list[Result]:
    """Measure each row `repeat` times on each side, in turns, and print it."""
    results = []
    if rows:
        print(report.header(other is not None), flush=True)
    for row in rows:
        result = _measure_row(row, ours.measure, other.measure if other else None, repeat)
        results.append(result)
        print(report.line(result, other is not None), flush=True)
    if rows:
        print(report.footer(other is not None), end="\n\n", flush=True)
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
