"""The command line: `orrery COMMAND ...`; `main` is what the script `orrery` calls."""

from orrery.cli.command_line import main

__all__ = ["main"]
