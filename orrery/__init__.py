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
    from orrery.pool.machine_pool import MachinePool, run_program
    from orrery.pool.machine_pool import MachinePool as Nursery
    from orrery.timetravel.difference import diff
    from orrery.timetravel.divergence import Parting
    from orrery.timetravel.rewindable import RewindableMachine as Machine
    from orrery.timetravel.rewindable import Snapshot
    from orrery.timetravel.timeline import Timeline
    from orrery.version import VERSION as __version__

__all__ = [
    "BadInput",
    "CannotBoot",
    "CannotGoOn",
    "Deadlock",
    "ExpectTimeout",
    "FaultEvent",
    "KernelPanic",
    "Machine",
    "MachinePool",
    "MachineStopped",
    "Nursery",
    "Parting",
    "PoweredOff",
    "Snapshot",
    "SwitchEvent",
    "SyscallEvent",
    "Timeline",
    "__version__",
    "diff",
    "run_program",
]

_HOME = {  # by public name: the module, and the name there
    "Machine": ("orrery.timetravel.rewindable", "RewindableMachine"),
    "SyscallEvent": ("orrery.machine.hooks", "SyscallEvent"),
    "FaultEvent": ("orrery.machine.hooks", "FaultEvent"),
    "SwitchEvent": ("orrery.machine.hooks", "SwitchEvent"),
    "KernelPanic": ("kernel.kernel", "KernelPanic"),
    "MachinePool": ("orrery.pool.machine_pool", "MachinePool"),
    "Nursery": ("orrery.pool.machine_pool", "MachinePool"),  # its former name
    "run_program": ("orrery.pool.machine_pool", "run_program"),
    "Parting": ("orrery.timetravel.divergence", "Parting"),
    "Snapshot": ("orrery.timetravel.rewindable", "Snapshot"),
    "Timeline": ("orrery.timetravel.timeline", "Timeline"),
    "__version__": ("orrery.version", "VERSION"),
    "diff": ("orrery.timetravel.difference", "diff"),
}


def __getattr__(name: str) -> object:
    if name not in __all__ and name not in _HOME:
        raise AttributeError(f"module 'orrery' has no attribute {name!r}")
    module, there = _HOME.get(name, ("orrery.errors", name))
    return getattr(import_module(module), there)
