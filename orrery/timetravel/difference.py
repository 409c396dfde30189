"""orrery.diff: the first moment at which the runs of two machines of one origin differ.

For scripts: `orrery.diff(machine, machine.fork())`, once both have run.  Both runs are made again side by
side, each in processes of its own, where one can go back and forth.
"""

from typing import TYPE_CHECKING, Final

from orrery.errors import BadInput

if TYPE_CHECKING:
    from orrery.timetravel.divergence import Parting
    from orrery.timetravel.rewindable import RewindableMachine

MAY_DIFFER: Final = ("drive", "seed", "snapshot")


def diff(first: "RewindableMachine", second: "RewindableMachine") -> "Parting | None":
    """Where the runs of the two part; None where the shorter one is as the other, as far as it goes.

    They may have another seed, and other drives.  Raises BadInput for machines that were made in ways which
    differ otherwise, or whose drives keep what is written.
    """
    from orrery.timetravel.divergence import parting
    from orrery.timetravel.timeline import Timeline

    options, other = first.options(), second.options()
    names = ", ".join(name for name in options if options[name] != other[name] and name not in MAY_DIFFER)
    if names:
        raise BadInput(f"the machines were made in different ways: compare those of one {names}")
    limit_ticks = min(machine.board.clock.now for machine in (first, second))
    with (
        Timeline(**options, changes=first.changes) as one,
        Timeline(**other, changes=second.changes) as two,
    ):
        return parting(one, two, limit_ticks)
