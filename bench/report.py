"""Results, as text and as JSON.  Pure: no measuring here, so that tests can say what a table shows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.breakdown import Breakdown
from bench.memory import MemoryResult, Plotted
from bench.rival import REFERENCE, REFERENCE_SOURCE
from bench.rows import MICRO, WORK, WORK_MEDIAN_GOAL, Row
from bench.timetravel import Measure

NAME_WIDTH = 20
VALUE_WIDTH = 14
PART_WIDTH = 44
MEMORY_WIDTH = 46
TIME_WIDTH = 60
BAR_WIDTH = 60


@dataclass(slots=True)
class Result:
    """What was measured for one row; `failure` says why there is not all of it."""

    row: Row
    ours: list[float] = field(default_factory=list)
    rival: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the rival we are, by the medians."""
        if not self.ours or not self.rival:
            return None
        return self.row.speedup(median(self.ours), median(self.rival))

    @property
    def passed(self) -> bool | None:
        """Whether the goal was met; None where there is no goal or no rival."""
        if self.speedup is None or self.row.goal is None:
            return None
        return self.speedup >= self.row.goal


def header(rival: bool) -> str:
    """The first line of the table, with the rival's columns or those of the reference."""
    line = f"{'':{NAME_WIDTH}}{'ours':>{VALUE_WIDTH}}"
    if rival:
        return f"{line}{'QEMU, C xv6':>{VALUE_WIDTH}}{'times as fast':>{VALUE_WIDTH}}  goal"
    return f"{line}{'reference':>{VALUE_WIDTH}}"


def line(result: Result, rival: bool) -> str:
    """One row of the table."""
    row = result.row
    text = f"{row.name:{NAME_WIDTH}}{_value(row, result.ours)}"
    if result.failure:
        return f"{text}  failed: {result.failure}"
    if not rival:
        reference = REFERENCE.get(row.name)
        return f"{text}{_value(row, [] if reference is None else [reference])}"
    speedup = result.speedup
    assert speedup is not None, "a row that did not fail has values of both"
    return f"{text}{_value(row, result.rival)}{speedup:{VALUE_WIDTH}.2f}  {_verdict(result)}".rstrip()


def work_line(results: Sequence[Result]) -> str | None:
    """The middle of the rows that compute; None where they were not measured beside a rival."""
    speedups = [result.speedup for result in results if result.row.program == WORK]
    if not speedups or None in speedups:
        return None
    middle = median(speedup for speedup in speedups if speedup is not None)
    verdict = "pass" if middle >= WORK_MEDIAN_GOAL else "miss"
    text = f"{'median of these':{NAME_WIDTH}}{'':{2 * VALUE_WIDTH}}"
    return f"{text}{middle:{VALUE_WIDTH}.2f}  {WORK_MEDIAN_GOAL:g} {verdict}"


def footer(rival: bool) -> str:
    """What is to be said below the table."""
    if rival:
        return "times as fast: of the medians; ours and the rival took turns in one run"
    return (
        "The rival is not here: it needs QEMU and a built C xv6-riscv tree, named with --xv6 DIR.\n"
        f"reference: QEMU 7.2 with C xv6, measured elsewhere; source: {REFERENCE_SOURCE}"
    )


def parts_table(breakdown: Breakdown) -> str:
    """Where the time of a system call goes."""
    lines = ["one getpid: processor time, ns"]
    parts = [(part.name, part.ns) for part in breakdown.parts]
    for name, ns in [
        *parts,
        ("unexplained", breakdown.unexplained_ns),
        ("total, measured", breakdown.total_ns),
    ]:
        lines.append(f"  {name:{PART_WIDTH}}{ns:8.0f}{ns / breakdown.total_ns:6.0%}")
    return "\n".join(lines)


def memory_header() -> str:
    """The first line of the table of memory rows."""
    return (
        f"{'memory; processor time':{MEMORY_WIDTH}}{'ours':>{VALUE_WIDTH}}{'rival':>{VALUE_WIDTH}}"
        f"{'times as fast':>{VALUE_WIDTH}}  goal       rival"
    )


def memory_line(result: MemoryResult) -> str:
    """One row of that table."""
    row = result.row
    if result.failure:
        return f"{row.name:{MEMORY_WIDTH}}  failed: {result.failure}"
    values = "".join(_number(min(times) / row.scale, row.unit) for times in (result.ours, result.theirs))
    goal = "" if row.goal is None else f"{row.goal:g} {'pass' if result.speedup >= row.goal else 'miss'}"
    note = f"; {result.note}" if result.note else ""
    return f"{row.name:{MEMORY_WIDTH}}{values}{result.speedup:{VALUE_WIDTH}.2f}  {goal:11}{row.rival}{note}"


def time_header(heading: str) -> str:
    """The first line of a table of rows with goals of their own."""
    return f"{heading:{TIME_WIDTH}}{'ours':>{VALUE_WIDTH}}{'':10}  goal"


def time_line(found: Measure) -> str:
    """One measure of that table."""
    line = f"{found.name:{TIME_WIDTH}}{found.value:{VALUE_WIDTH},.1f} {found.unit:9}"
    if found.goal is not None:
        verdict = "reached" if found.passed else "MISSED"
        line += f"  {'at least' if found.more else 'at most'} {found.goal:,g}: {verdict}"
    return f"{line}  {found.note}".rstrip()


def plot_text(plotted: Plotted) -> str:
    """A curve as a column of bars, whose lengths are the times."""
    longest = max(took_s for _, took_s in plotted.points)
    lines = [f"{plotted.curve.name}, us"]
    for size, took_s in plotted.points:
        bar = "#" * round(took_s / longest * BAR_WIDTH)
        lines.append(f"{size:6} {plotted.curve.unit:6}{took_s / MICRO:10,.1f}  {bar}".rstrip())
    return "\n".join(lines)


def plot_csv(curves: Sequence[Plotted]) -> str:
    """All curves, for other programs that draw."""
    lines = ["curve,unit,size,us"]
    for plotted in curves:
        curve = plotted.curve
        lines += [f'"{curve.name}",{curve.unit},{size},{t / MICRO:.2f}' for size, t in plotted.points]
    return "\n".join(lines) + "\n"


def as_json(
    results: Sequence[Result],
    memory: Sequence[MemoryResult],
    time: Sequence[Measure],
    breakdown: Breakdown | None,
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """All values, for programs."""
    return {
        "rows": [
            {
                "name": result.row.name,
                "unit": result.row.unit,
                "ours": result.ours,
                "rival": result.rival,
                "speedup": result.speedup,
                "goal": result.row.goal,
                "passed": result.passed,
                "failure": result.failure,
            }
            for result in results
        ],
        "time": [{**asdict(found), "passed": found.passed} for found in time],
        "memory": [
            {
                "name": result.row.name,
                "unit": result.row.unit,
                "ours": [took_s / result.row.scale for took_s in result.ours],
                "rival": [took_s / result.row.scale for took_s in result.theirs],
                "rival_is": result.row.rival,
                "speedup": None if result.failure else result.speedup,
                "goal": result.row.goal,
                "note": result.note,
                "failure": result.failure,
            }
            for result in memory
        ],
        "getpid_ns": None
        if breakdown is None
        else {
            "parts": {part.name: part.ns for part in breakdown.parts},
            "unexplained": breakdown.unexplained_ns,
            "total": breakdown.total_ns,
        },
        "failures": dict(failures),
    }


def _value(row: Row, values: Sequence[float]) -> str:
    """The median with its unit, to three digits or so."""
    if not values:
        return f"{'-':>{VALUE_WIDTH}}"
    return _number(median(values), row.unit)


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{f'{value:,.{digits}f} {unit}':>{VALUE_WIDTH}}"


def _verdict(result: Result) -> str:
    if result.passed is None:
        return ""
    return f"{result.row.goal} {'pass' if result.passed else 'miss'}"
