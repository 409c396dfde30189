"""Completion of the command line in a shell: `orrery completion bash`, made by shtab from the arguments.

Called by commands.py.  What the shell is told is the parser of arguments.py itself, so no command or
option can be missing from it.
"""

import argparse
from typing import Final

import shtab

FILES: Final = frozenset(("IMG", "FILE", "SRC", "OUT", "HOST", "RUN.ORR", "ARG", "[=FILE]"))
"""The metavars of arguments that name files."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """What a shell is to source."""
    _mark_files(parser)
    return shtab.complete(parser, shell)


def _mark_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.metavar in FILES:
            vars(action)["complete"] = shtab.FILE  # where shtab looks for it
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark_files(command)
