"""The interpreter of command lines: a line goes in, text comes out.

Used by console.py, with the commands of table.py.  Whatever a command raises becomes text here; no error of
a command ends the session.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from orrery.command import Command, candidates
from orrery.debugger import python_code
from orrery.debugger.commands import breakpoints, execution
from orrery.debugger.commands.table import ALL, HELP, INFO, QUIT, SCRIPT, Function
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.errors import CannotGoOn
from orrery.inspect.monitor import COMMANDS as CONSOLE
from orrery.machine.events import KINDS
from orrery.timetravel.input_log import ReplayDiverged
from orrery.timetravel.time_commands import TIME_COMMANDS, WRITE
from toolchain import image

END: Final = "end"
STRICT: Final = "ORRERY_STRICT" in os.environ  # of the tests: a fault is not one line, but raised
BREAKS: Final = ("break", "b", "tbreak", "tb", "list", "l")  # what takes a location


class Interpreter:
    """Carries out lines for `debugger`. `quitting` is set by quit.

    Output of breakpoint commands goes to `on_text` at once, as these may never end.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger: Final = debugger
        self._last = ""
        self._script: list[str] | None = None  # of a breakpoint, being typed
        self.quitting = False
        self.on_text: Callable[[str], object] | None = None

    @property
    def is_collecting(self) -> bool:
        """Whether the next line is one of a breakpoint's commands."""
        return self._script is not None

    def execute(self, line: str) -> str:
        """The output of a line, and of the commands of a breakpoint at which it stops.

        An empty line repeats the last where that makes sense.
        """
        debugger = self._debugger
        debugger.reached = None
        said = self._line(line)
        while (reached := debugger.reached) is not None and reached.commands:
            debugger.reached = None
            here = debugger.target.moment
            for one in reached.commands:
                if self.on_text is not None:  # before it runs the machine, whose output is shown meanwhile
                    self.on_text(said)
                    said = ""
                said += self._line(one) if one != execution.SILENT else ""
                if debugger.reached is not None or debugger.target.moment != here:
                    break  # the machine has gone on
        return said + self.warnings()

    def warnings(self) -> str:
        """The defects of debug information that were found since the last call."""
        return "".join(f"warning: {one}\n" for one in self._debugger.programs.troubles())

    def _line(self, line: str) -> str:
        if self._script is not None:
            if line.strip() == END:
                self._script = None
            elif line.strip():
                self._script.append(line.strip())
            return ""
        line = line.strip() or self._last
        self._last = ""
        word, _, rest = line.partition(" ")
        if "/" in word:  # x/4i, p/x
            word, _, letters = word.partition("/")
            rest = f"/{letters} {rest}"
        if not word or word.startswith("#"):
            return ""
        try:
            return self._execute(word, rest.strip(), line)
        except (Unavailable, CannotGoOn, ReplayDiverged) as error:
            return f"{error}\n"
        except RecursionError:
            return "This is nested too deeply.\n"
        except OSError as error:
            return f"{error.filename or word}: {error.strerror or error}.\n"
        except (LookupError, ValueError) as error:
            return f"{error.args[0] if error.args else error}\n"
        except Exception as error:
            if STRICT:
                raise
            return f"{word}: a fault of the debugger itself: {type(error).__name__}: {error}\n"

    def _execute(self, word: str, rest: str, line: str) -> str:
        found = candidates(ALL, word)
        if len(found) != 1:
            return f'Undefined command: "{word}".  Try "help".\n' if not found else _ambiguous(word, found)
        (command,) = found
        if command is QUIT:
            self.quitting = True
            return ""
        if command is HELP:
            return self._help(rest)
        if command is SCRIPT:
            self._script = breakpoints.script(self._debugger, rest)
            return ""
        if command.repeats:
            goes_on = command.name in ("list", "x")  # from where it ended
            self._last = command.name if goes_on else line
        return command.run(self._debugger, rest)

    def _help(self, word: str) -> str:
        lines = []
        for one in candidates(ALL, word) if word else ALL:
            short = f" ({', '.join(one.short_forms)})" if one.short_forms else ""
            lines.append(f"{f'{one.name}{short} {one.arguments}'.rstrip():<40} {one.about}\n")
        return "".join(lines) or f'Undefined command: "{word}".\n'

    def completions(self, line: str) -> Iterator[str]:
        """What the last word of the line may become: a command, a subject of info, a function or variable."""
        words = line.split(" ")
        last = words[-1]
        if len(words) == 1:
            yield from (one.name for one in ALL if one.name.startswith(last))
        elif words[0] in ("info", "i") and len(words) == 2:
            yield from (one.name for one in INFO if one.name.startswith(last))
        elif words[0] in ("monitor", "mon") and len(words) == 2:
            names = [*(one.name for one in TIME_COMMANDS), *(one.name for one in CONSOLE)]
            yield from (name for name in names if name.startswith(last))
        elif words[:-1] in (["catch"], ["monitor", "next"], ["monitor", "last"]):
            yield from (kind for kind in (*KINDS, WRITE) if kind.startswith(last))
        elif words[0] in BREAKS and last:
            functions = (one.name for one in python_code.functions())
            known = (*self._debugger.names(), *functions, *(f"{name}:" for name in image.programs()))
            yield from dict.fromkeys(name for name in known if name.startswith(last))
        elif last:
            yield from (name for name in self._debugger.names() if name.startswith(last))


def _ambiguous(word: str, found: Sequence[Command[Function]]) -> str:
    return f'Ambiguous command "{word}": {", ".join(sorted(one.name for one in found))}.\n'
