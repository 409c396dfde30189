"""How far apart checkpoints are made: near enough that the way back is short, and not so near that they cost.

A checkpoint takes a fork, and then a copy of each page that the machine writes to for the first time.  That
is a few milliseconds, or many where a program writes to much memory; there they are farther apart.
"""

import resource
from typing import Final

SPACING_S: Final = 0.06  # of wall time, that a machine runs between two checkpoints
FARTHEST: Final = 1.25  # times that, where they cost much
COST_FACTOR: Final = 12  # times what one costs
FAULT_S: Final = 3e-6  # for a page that is copied; 1 to 4 us


def faults() -> int:
    """How many pages this process has come to have of its own, by the host's count."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


class Spacing:
    """`now_s` of wall time, at least `least_s`, by what the last checkpoint cost."""

    def __init__(self, least_s: float = SPACING_S) -> None:
        self._least_s: Final = least_s
        self._faults = 0
        self.now_s = least_s

    def learn(self, fork_s: float, faults: int) -> None:
        """A fork took `fork_s` of CPU time; the process that was forked has had `faults` in all."""
        worth_s = COST_FACTOR * (fork_s + max(faults - self._faults, 0) * FAULT_S)
        self._faults = faults
        self.now_s = min(max(worth_s, self._least_s), FARTHEST * self._least_s)
