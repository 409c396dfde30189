"""Launching: what `orrery debug` debugs, as a timeline: a program, a whole boot, or a recorded run.

Called by commands.py.  A drive is never changed: a timeline writes to an overlay, for it has more than
one future.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kernel.proc import process_name
from orrery.cli import replay
from orrery.debugger.console import talk
from orrery.debugger.debugger import Debugger
from orrery.errors import BadInput
from orrery.machine.config import MachineConfig
from orrery.machine.program import INIT, Program, config_for
from orrery.timetravel import recording
from orrery.timetravel.timeline import Timeline
from toolchain import hostfile
from toolchain.names import shown

RECORDING: Final = b'{"recording"'  # with this such a file begins


def program(program: Program, directory: Path, config: MachineConfig) -> int:
    """Debug `program`, whose sources are in `directory`, on a machine by `config`; the exit status."""
    with Timeline(**config_for(config, program).options()) as timeline:
        return talk(Debugger(timeline, {process_name(program.name): program.elf}, [directory]))


def boot(lines: Sequence[bytes], config: MachineConfig) -> int:
    """Debug a machine that boots to a shell; `lines` are typed one by one when all wait."""
    with Timeline(**config.options()) as timeline:
        debugger = Debugger(timeline, {}, [Path()])
        debugger.stepper.lines.extend(lines)
        return talk(debugger)


def recorded(path: str, drive: str | None) -> int:
    """Debug the run in a recording; raises BadInput."""
    run = recording.load(path)
    if run.doubt:
        raise BadInput(f"{shown(path)}: {run.doubt}; record it anew")
    replay.machine_for(run, drive).close()  # it is made with this disk, or refused
    config = replace(run.machine, drive=drive or run.machine.drive)
    own = {process_name(name): elf for name, elf in (config.modules or {}).items() if name != INIT}
    with Timeline(changes=replay.tape_of(run), **config.options()) as timeline:
        return talk(Debugger(timeline, own, [Path(path).resolve().parent, Path()]))


def is_recording(path: str) -> bool:
    """Whether the file is one."""
    try:
        with open(hostfile.opened(path, hostfile.RECORDING_BYTES_MAX), "rb") as file:
            return file.read(len(RECORDING)) == RECORDING
    except OSError:
        return False
