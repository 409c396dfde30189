"""The workbench: `from orrery import Machine` for scripts, `orrery` for the command line.

Names are imported when they are asked for, so that the command line starts without what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.kernel import KernelPanic
    from orrery.errors import (
        BadInput,
        CannotBoot,
        CannotGoOn,
        Deadlock,
        ExpectTimeout,
        MachineStopped,
        PoweredOff,
    )
    from orrery.machine.hooks import FaultEvent, SwitchEvent, SyscallEvent
    from orrery.machine.machine import Machine
    from orrery.pool.machine_pool import Nursery, run_program
    from orrery.timetravel.difference import diff
    from orrery.timetravel.divergence import Parting
    from orrery.timetravel.timeline import Timeline
    from orrery.timetravel.travel import Snapshot

__version__ = "0.1.0"
__all__ = [
    "BadInput",
    "CannotBoot",
    "CannotGoOn",
    "Deadlock",
    "ExpectTimeout",
    "FaultEvent",
    "KernelPanic",
    "Machine",
    "MachineStopped",
    "Nursery",
    "Parting",
    "PoweredOff",
    "Snapshot",
    "SwitchEvent",
    "SyscallEvent",
    "Timeline",
    "diff",
    "run_program",
]

_HOME = {
    "Machine": "orrery.machine.machine",
    "SyscallEvent": "orrery.machine.hooks",
    "FaultEvent": "orrery.machine.hooks",
    "SwitchEvent": "orrery.machine.hooks",
    "KernelPanic": "kernel.kernel",
    "Nursery": "orrery.pool.machine_pool",
    "run_program": "orrery.pool.machine_pool",
    "Parting": "orrery.timetravel.divergence",
    "Snapshot": "orrery.timetravel.travel",
    "Timeline": "orrery.timetravel.timeline",
    "diff": "orrery.timetravel.difference",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'orrery' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "orrery.errors")), name)
