"""The commands that address the machine itself: type, for its console, and monitor, for its monitor.

Each takes the debugger and the rest of the command line, and returns text.
"""

from orrery.debugger.commands import reverse
from orrery.debugger.debugger import Debugger
from orrery.timetravel.time_commands import help_text


def type_(debugger: Debugger, argument: str) -> str:
    """type TEXT: on the console."""
    debugger.target.type(f"{argument}\n".encode("utf-8", "surrogateescape"))
    return ""


def monitor(debugger: Debugger, argument: str) -> str:
    """monitor COMMAND: one that moves the machine, or one of the console monitor"""
    if argument in ("help", "?"):
        return help_text(debugger.target.monitor("help"))
    said = reverse.steered(debugger, argument)
    return debugger.target.monitor(argument) if said is None else said
