"""What the options of a command line say: how a machine is made, and how the session with it goes.

Called by commands.py, with what arguments.py has parsed.  A value that makes no sense is a BadInput.
Imports are in the functions, as in commands.py.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from kernel.abi.tty import TTY_COLUMNS_MAX
from orrery.cli.arguments import GDB_PORT, RECORDED, TO_STDERR
from orrery.errors import BadInput
from orrery.machine.checks import option_seconds
from orrery.machine.config import MachineConfig

if TYPE_CHECKING:
    from orrery.cli.outfile import Name
    from orrery.cli.session import Options
    from orrery.gdb.owner import GdbOwner

STDIN: Final = 0
COLUMNS_DEFAULT: Final = 80  # of a terminal that does not say
PORT_MAX: Final = 65535
LOOPBACK: Final = "127.0.0.1"


def command_lines(texts: Sequence[str]) -> tuple[bytes, ...]:
    """The lines of all -c."""
    lines = [line for text in texts for line in os.fsencode(text).split(b"\n")]
    if texts and lines[-1] == b"" and len(lines) > 1:
        lines.pop()  # the text ended in a newline
    return tuple(lines)


def machine_config(options: argparse.Namespace) -> MachineConfig:
    """The machine that the options ask for. Recording and debugging leave the drive as it is."""
    return MachineConfig(
        drive=options.drive,
        seed=options.seed,
        mem_mib=options.mem,
        engine=options.engine,
        snapshot=options.snapshot or options.record is not None or is_served(options),
        lab=options.lab,
        usyscall=options.usyscall,
        ustack=options.ustack,
        layout=options.layout,
        columns=_columns(options),
    )


def _columns(options: argparse.Namespace) -> int:
    """The columns of the terminal that is to be the machine's console; 0 where there is none.

    Lines of -c come from no terminal, nor does what a person types for a program under a debugger.
    """
    by_debugger = options.words[0] not in RECORDED or getattr(options, "for_gdb", None)
    if by_debugger or getattr(options, "c", None) or not os.isatty(STDIN):
        return 0
    try:
        columns = os.get_terminal_size(STDIN).columns
    except OSError:
        columns = 0
    return min(columns, TTY_COLUMNS_MAX) or COLUMNS_DEFAULT


def is_served(options: argparse.Namespace) -> bool:
    """Whether there is to be a gdb server."""
    return getattr(options, "gdb", None) is not None or getattr(options, "gdb_wait", False)


def session_options(
    options: argparse.Namespace, commands: tuple[bytes, ...] = (), *, program: bool = False
) -> "Options":
    """The options of a run, but for strace's file."""
    from orrery.cli.session import Options

    timeout_s = option_seconds("--timeout", options.timeout)
    return Options(
        commands=commands,
        program=program,
        max_ticks=_virtual_ticks(options.max_time),
        timeout_s=None if timeout_s is None else float(timeout_s),
        digest=options.digest,
        gdb=gdb_address(options),
        gdb_wait=options.gdb_wait,
        gdb_owner=_gdb_owner(options),
    )


def _gdb_owner(options: argparse.Namespace) -> "GdbOwner | None":
    """Who is at the gdb that has started this command, if one has."""
    from orrery.gdb.owner import GdbOwner

    owner = getattr(options, "for_gdb", None)
    return None if owner is None else GdbOwner(owner)


def gdb_address(options: argparse.Namespace) -> tuple[str, int] | None:
    """Where a gdb server is asked for."""
    text = options.gdb or (GDB_PORT if getattr(options, "gdb_wait", False) else None)
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > PORT_MAX:
        raise BadInput(f"--gdb {text}: no port; give a number up to {PORT_MAX}, as in --gdb {GDB_PORT}")
    return host.strip("[]") or LOOPBACK, int(port)


def trace_fd(options: argparse.Namespace) -> int | None:
    """Where strace's lines go, if anywhere: a file is begun anew, so all else has been checked."""
    from orrery.cli import outfile

    name: str | None = options.strace
    if name is None:
        return None
    return 2 if name == TO_STDERR else outfile.open_stream("--strace", name)


def check_outputs(options: argparse.Namespace, inputs: "Iterable[Name | None]") -> None:
    """Raise BadInput where a run would write what it reads: its program's files or its drive."""
    from orrery.cli import outfile

    trace = None if options.strace == TO_STDERR else options.strace
    outfile.check({"-o": options.record, "--strace": trace}, [*inputs, options.drive])


def _virtual_ticks(text: str | None) -> int | None:
    from emu.clock import TICKS_PER_S

    seconds = option_seconds("--max-time", text)
    return None if seconds is None else int(seconds * TICKS_PER_S)
