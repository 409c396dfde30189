"""The command `orrery grade`: what its options ask to be graded. Called by commands.py."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orrery.errors import BadInput
from orrery.grading import grade, overlay
from orrery.grading.grade import GradingJob
from orrery.machine.checks import option_seconds
from toolchain.names import shown

JOBS_MAX: Final = 256


def run(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Grade a class; the exit status. Raises BadInput."""
    return grade.main(grading_job(options), say)


def grading_job(options: argparse.Namespace) -> GradingJob:
    """What the command line asks for; raises BadInput."""
    jobs = os.cpu_count() or 1 if options.jobs is None else options.jobs
    if not 1 <= jobs <= JOBS_MAX:
        raise BadInput(f"-j {jobs}: give from 1 to {JOBS_MAX}")
    timeout_s = option_seconds("--timeout", options.timeout)
    option_seconds("--max-time", options.max_time)
    assert timeout_s is not None, "it has a default"
    tests = [Path(name) for name in options.test] or sorted(Path().glob("test_*.py"))
    if not tests:
        raise BadInput("no test_*.py in the current directory; name the hidden test with --test")
    kernel = options.kernel or options.tree is not None
    if options.programs is not None and not kernel:
        raise BadInput("--programs: goes with --kernel or --tree; without, the sources are in each DIR")
    return GradingJob(
        [Path(name) for name in options.submissions],
        tests,
        Path(options.out),
        jobs,
        float(timeout_s),
        options.max_time,
        kernel,
        None if options.programs is None else Path(options.programs),
        None if options.tree is None else _tree(options.tree),
    )


def _tree(name: str) -> Path:
    """The tree that students were given; raises BadInput."""
    missing = [part for part in overlay.TREE if not Path(name, part).is_dir()]
    if missing:
        raise BadInput(f"--tree {shown(name)}: not a source tree of Orrery: it has no {', '.join(missing)}")
    return Path(name).resolve()
