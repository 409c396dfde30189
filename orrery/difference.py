"""The difference of two machines of one origin: the first place where their runs part.

For scripts: `orrery.diff(machine, machine.fork())`, once both have run.  Both runs are made again, side by
side, each in processes of its own, because that is where one can go back and forth in them.
"""

import os
from typing import TYPE_CHECKING, Any

from orrery.errors import BadInput

if TYPE_CHECKING:
    from orrery.debugger.parting import Parting
    from orrery.machine import Machine


def diff(first: "Machine", second: "Machine") -> "Parting | None":
    """Where the runs of the two part; None where the shorter one is as the other, as far as it goes.

    Raises BadInput for machines that were made in different ways, or whose drives keep what is written.
    """
    from orrery.debugger.parting import parting
    from orrery.debugger.timeline import Timeline

    options, other = _options(first), _options(second)
    if options != other:
        names = ", ".join(name for name in options if options[name] != other[name])
        raise BadInput(f"the machines were made in different ways: compare those of one {names}")
    limit_ticks = min(machine.board.clock.now for machine in (first, second))
    with (
        Timeline(**options, changes=first.past.changes) as one,
        Timeline(**options, changes=second.past.changes) as two,
    ):
        return parting(one, two, limit_ticks)


def _options(machine: "Machine") -> dict[str, Any]:
    """What the machine was made by, as plain values."""
    machine.past.check_repeatable()
    options = {name: value for name, value in machine.made_by.items() if name != "warn"}
    drive = options["drive"]
    if isinstance(drive, os.PathLike):
        options["drive"] = os.fspath(drive)
    elif isinstance(drive, bytearray | memoryview):
        options["drive"] = bytes(drive)
    return {**options, "init_argv": tuple(options["init_argv"]), "modules": dict(options["modules"] or {})}
