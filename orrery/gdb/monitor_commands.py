"""The orders of a person to the server: what is typed behind gdb's `monitor`.

    type TEXT       catch [EVENT]...       quit       help

Called by stub.py while the machine stands still; each answers in a text that gdb prints.  The helm's orders
(timetravel/time_commands.py) move the machine, of which gdb does not learn by itself: so it is told how to
look again, unless it follows on its own.  All other lines are the console monitor's.
"""

from collections.abc import Callable
from typing import Final

from orrery.gdb.runner import Runner
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.time_commands import TimeCommand, TimeCommands, help_text

QUIT: Final = "quit"  # may be shortened
END_OF_INPUT: Final = b"\x04"
OWN: Final = (
    TimeCommand(
        "catch", "[EVENT]...", "let continue and reverse-continue stop at these; without any: at none"
    ),
    TimeCommand("type", "TEXT", "type a line on the console; ^D: the end of input"),
    TimeCommand(QUIT, "", "switch the machine off, and go"),
)
HINT: Final = (
    "gdb does not know yet: `stepi` makes it look, without a step; `maintenance flush register-cache` too\n"
)


class MonitorCommands:
    """To a server that has `traveller`, by the client of `runner`.

    `steering` is set while one moves the machine, `quits` by the one that switches it off.
    """

    def __init__(self, session: TimelineSession, runner: Runner) -> None:
        self._session: Final = session
        self._runner: Final = runner
        self.steering = False
        self.quits = False
        self._commands: Final[dict[str, Callable[[str], str | None]]] = {
            "type": self._type, "catch": self._catch, "quit": self._quit, "help": self._help, "?": self._help,
        }  # fmt: skip

    def execute(self, line: str) -> str:
        """Carry out `line`; the answer."""
        name = next(iter(line.split()), "")
        text = line.strip()[len(name) + 1 :]  # where spaces mean something
        if name and QUIT.startswith(name):
            name = QUIT
        said = self._commands[name](text) if name in self._commands else None
        if said is None:
            said = self._steer(line)
        return self._session.monitor(line) if said is None else said

    def _type(self, text: str) -> str:
        done = self._session.type(END_OF_INPUT if text == "^D" else text.encode() + b"\n")
        return "" if done else "nobody can type in the past: continue to the present first\n"

    def _catch(self, text: str) -> str:
        return self._runner.catch(text.split())

    def _quit(self, text: str) -> str:
        self.quits = True
        return ""

    def _help(self, text: str) -> str | None:
        """Of all orders; about a single one the monitor knows more."""
        return None if text else help_text(self._session.monitor("help"), OWN)

    def _steer(self, line: str) -> str | None:
        """What an order says that moves the machine; None where `line` is none."""
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
