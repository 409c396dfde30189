"""Profile a row: a machine in this process runs it while a sampler looks which function has the processor.

For `python -m bench --profile`.  A row of bench.c runs on the default image, with a count that takes a few
seconds; usertests runs on a stock image, whole.
"""

import sys
from pathlib import Path
from time import process_time

from bench.rows import Row, suitable_count
from bench.sampling import Profile, Sampler
from bench.terminal import BenchError
from emu.dev.drive import DriveError
from orrery import BadInput, Machine, MachineStopped
from toolchain import fsimage, paths

LONG_S = 3.0  # processor time that a row is profiled for, about


def profile_row(row: Row, image: Path | None = None, long_s: float = LONG_S) -> Profile:
    """Where the time of `row` goes; `image`, which is not written to, is for a whole program.

    Raises BenchError where the machine cannot run it.
    """
    sampler = Sampler(paths.ROOT)
    try:
        with Machine(drive=image, snapshot=True) as machine:
            machine.boot()
            command = row.command
            if not row.whole:
                count = suitable_count(lambda n: _run_s(machine, row, n), row.first_count, long_s)
                command = row.line(count)
            with sampler.running(base=sys._getframe()):
                printed = machine.sh(command)
    except (BadInput, DriveError, fsimage.BadImage, MachineStopped) as error:
        raise BenchError(f"{row.command}: {error}") from error
    _check(row, printed)
    profile = sampler.profile()
    if not profile.samples:
        raise BenchError(f"{row.command}: it was over before the first sample")
    return profile


def _run_s(machine: Machine, row: Row, count: int) -> float:
    """Seconds of this process's time that so many rounds take."""
    begin_s = process_time()
    _check(row, machine.sh(row.line(count)))
    return process_time() - begin_s


def _check(row: Row, printed: str) -> None:
    """Raise BenchError unless `printed` says that the row came to its end."""
    if row.success not in printed:
        raise BenchError(f"the machine says: {' / '.join(printed.strip().splitlines()[-3:])}")
