"""The commands that select what is debugged: info processes, inferior, file, directory.

Each takes the debugger and the rest of the command line, and returns text; it raises Unavailable.  None of
them changes the machine.
"""

import os
from pathlib import Path

from orrery.debugger.commands import stack
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.timetravel.stops import KERNEL
from toolchain.names import shown


def processes(debugger: Debugger, argument: str) -> str:
    """info processes"""
    lines = ["  Num  Name             State     Parent"]
    for one in debugger.target.processes():
        mark = "*" if one.pid == debugger.pid else " "
        running = ", runs" if one.current else ""
        lines.append(
            f"{mark} {one.pid:<4} {shown(one.name):<16} {one.state + running:<14} {one.parent}".rstrip()
        )
    return "\n".join(lines) + "\n"


def inferior(debugger: Debugger, argument: str) -> str:
    """inferior [PID]: look at another process; 0 is the kernel."""
    if not argument:
        return f"[Current process is {debugger.pid}]\n"
    try:
        pid = int(argument)
        debugger.target.registers(pid)
    except (ValueError, LookupError):
        raise Unavailable(f"No process {argument}; `info processes` lists them.") from None
    debugger.select_process(pid)
    where = stack.frame(debugger, "") if debugger.frames else ""
    return f"[Switching to {f'process {pid}' if pid != KERNEL else 'the kernel'}]\n{where}"


def file(debugger: Debugger, argument: str) -> str:
    """file PROGRAM: use its symbols where no program runs."""
    debugger.file = debugger.programs.named(argument) if argument else None
    if argument and debugger.file is None:
        raise Unavailable(f'No program "{argument}".')
    return f"Reading symbols from {argument}...\n" if argument else "No symbol file now.\n"


def directory(debugger: Debugger, argument: str) -> str:
    """directory PATH: where sources are."""
    if argument:
        path = Path(os.path.expanduser(argument))
        if not os.path.isdir(path):
            raise Unavailable(f"{argument}: is no directory.")
        debugger.sources.add(path)
    return f"Source directories searched: {':'.join(map(str, debugger.sources.directories))}\n"
