"""The commands behind gdb's `monitor` that are the server's own.

    type TEXT       catch [EVENT]...       quit       help

Called by stub.py while the machine stands still; each answers with text that gdb prints.  Time commands
(timetravel/time_commands.py) move the machine, of which gdb does not learn by itself: so the user is told
how to make it look again, unless it follows on its own.  All other lines are the console monitor's.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from orrery.command import Command, named
from orrery.gdb.runner import Runner
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.time_commands import TimeCommands, help_text

QUIT: Final = "quit"  # may be shortened
END_OF_INPUT: Final = b"\x04"
HINT: Final = (
    "gdb does not know yet: `stepi` makes it look, without a step; `maintenance flush register-cache` too\n"
)


MonitorCommand: TypeAlias = Callable[["MonitorCommands", str], str | None]
"""Carries out a command with the text behind its name; None leaves it to the console monitor."""


class MonitorCommands:
    """Of the client of `runner`.

    `steering` is set while one moves the machine, `quits` by the one that switches it off.
    """

    def __init__(self, session: TimelineSession, runner: Runner) -> None:
        self._session: Final = session
        self._runner: Final = runner
        self.steering = False
        self.quits = False

    def execute(self, line: str) -> str:
        """Carry out `line`; the answer."""
        name = next(iter(line.split()), "")
        text = line.strip()[len(name) + 1 :]  # where spaces mean something
        if name and QUIT.startswith(name):
            name = QUIT
        command = named((*OWN, HELP), name)
        said = command.run(self, text) if command is not None else None
        if said is None:
            said = self._steer(line)
        return self._session.monitor(line) if said is None else said

    def type(self, text: str) -> str:
        done = self._session.type(END_OF_INPUT if text == "^D" else text.encode() + b"\n")
        return "" if done else "nobody can type in the past: continue to the present first\n"

    def catch(self, text: str) -> str:
        return self._runner.catch(text.split())

    def quit(self, text: str) -> str:
        self.quits = True
        return ""

    def help(self, text: str) -> str | None:
        """All commands; about a single one the console monitor knows more."""
        return None if text else help_text(self._session.monitor("help"), OWN)

    def _steer(self, line: str) -> str | None:
        """The answer of a time command; None where `line` is none."""
        commands = TimeCommands(self._session, self._session.moments)
        self.steering = True
        try:
            said = commands.execute(line)
        finally:
            self.steering = False
        if commands.moved is None:
            return said
        self._runner.move()
        return f"{said}{'' if self._runner.follows else HINT}"


OWN: Final[tuple[Command[MonitorCommand], ...]] = (
    Command(
        "catch", "[EVENT]...", "let continue and reverse-continue stop at these; without any: at none",
        MonitorCommands.catch,
    ),
    Command("type", "TEXT", "type a line on the console; ^D: the end of input", MonitorCommands.type),
    Command(QUIT, "", "switch the machine off, and go", MonitorCommands.quit),
)  # fmt: skip
HELP: Final[Command[MonitorCommand]] = Command("help ?", "[COMMAND]", "this list", MonitorCommands.help)
