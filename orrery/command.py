"""A command that a person types: its name, what help says of it, and the function that carries it out.

The type of every table of commands: the debugger's (debugger/commands/table.py), those that move a machine
through time (timetravel/time_commands.py), gdb's `monitor` (gdb/monitor_commands.py) and the console's
(inspect/monitor.py).  How a line is read, and what a function is given, is up to who has the table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

RunT = TypeVar("RunT")


class BadCommand(Exception):
    """The line cannot be carried out; the text says why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Command(Generic[RunT]):
    """`names` are its name and then its short forms, with a blank between them."""

    names: str
    arguments: str
    about: str
    run: RunT
    repeats: bool = False  # an empty line does it again

    @property
    def name(self) -> str:
        """The one that help shows."""
        return self.names.split()[0]

    @property
    def short_forms(self) -> list[str]:
        """Its other names."""
        return self.names.split()[1:]

    @property
    def usage(self) -> str:
        """What to type, as help shows it."""
        return f"{self.name} {self.arguments}".rstrip()

    @property
    def counts(self) -> range:
        """How many arguments it takes."""
        words = self.arguments.split()
        required = sum(not word.endswith("]") for word in words)
        return range(required, len(words) + 1)


def named(commands: Iterable[Command[RunT]], word: str) -> Command[RunT] | None:
    """The command of which `word` is a name, in full."""
    return next((one for one in commands if word in one.names.split()), None)


def candidates(commands: Iterable[Command[RunT]], word: str) -> list[Command[RunT]]:
    """The commands that `word` may mean: the one that it names, or all whose name begins so."""
    commands = list(commands)
    exact = named(commands, word)
    return [exact] if exact is not None else [one for one in commands if one.name.startswith(word)]


def number(word: str, what: str) -> int:
    """A number, not negative, as C writes it; raises BadCommand."""
    try:
        value = int(word, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise BadCommand(f"{word}: give {what}, in decimal or as 0x...")
    return value
