"""The table of commands, and carrying one out: a line goes in, text comes out.

    name, and gdb's short forms     what stands behind it     what it does

A name may be shortened as long as it is the only one that begins so; the short forms go before that.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from orrery.debugger import (
    beginning,
    browsing,
    choosing,
    listing,
    looking,
    moving,
    pycode,
    reversing,
    saying,
    speaking,
    stopping,
)
from orrery.debugger.debugger import Debugger
from orrery.debugger.events import KINDS
from orrery.debugger.helm import ORDERS, WRITE
from orrery.debugger.tape import Astray
from orrery.debugger.unavailable import Unavailable
from orrery.errors import CannotGoOn
from orrery.inspect.monitor import COMMANDS as CONSOLE
from toolchain import image

Function = Callable[[Debugger, str], str]


class Command(NamedTuple):
    """`repeats`: an empty line does it again."""

    names: tuple[str, ...]
    arguments: str
    help: str
    function: Function
    repeats: bool = False


INFO: Final[dict[str, tuple[Function, str]]] = {
    "breakpoints": (stopping.table, "where to stop"),
    "registers": (looking.registers, "registers; * marks those that the last command changed"),
    "all-registers": (looking.all_registers, "floating-point and control registers too"),
    "functions": (listing.functions, "[REGEX]: of the program, or of the kernel's Python"),
    "variables": (listing.variables, "[REGEX]: its variables"),
    "types": (listing.types, "[REGEX]: its types"),
    "scope": (listing.scope, "LOCATION: the variables there"),
    "address": (listing.address, "SYMBOL: where it is"),
    "watchpoints": (stopping.watchpoints, "those of them that watch memory"),
    "threads": (choosing.processes, "all processes"),
    "locals": (looking.locals_, "the variables of the selected frame"),
    "args": (looking.args, "its arguments"),
    "frame": (listing.frame, "where it is, and its registers"),
    "processes": (choosing.processes, "all processes"),
    "inferiors": (choosing.processes, "the same"),
    "line": (browsing.line, "where the code of a line is"),
    "symbol": (browsing.symbol, "what is at an address"),
    "source": (browsing.source, "the program's sources"),
    "display": (looking.displayed, "what is shown at each stop"),
    "checkpoints": (reversing.checkpoints, "the moments to which you gave a number"),
}


def info(debugger: Debugger, argument: str) -> str:
    """info SUBJECT"""
    word, _, rest = argument.partition(" ")
    found = [name for name in INFO if name.startswith(word)] if word else []
    if word == "b":
        found = ["breakpoints"]
    if not found:
        return "".join(f"info {name:<14} {text}\n" for name, (_, text) in INFO.items())
    if len({INFO[name][0] for name in found}) > 1 and word not in INFO and word not in ("r", "s"):
        raise Unavailable(f'Ambiguous info command "{word}": {", ".join(found)}.')
    return INFO[word if word in INFO else found[0]][0](debugger, rest.strip())


COMMANDS: Final = (
    Command(("break", "b"), "[LOCATION] [if EXPR]", "stop at a function, a line, *ADDRESS", stopping.break_),
    Command(("tbreak", "tb"), "[LOCATION]", "the same, once", stopping.tbreak),
    Command(("watch",), "EXPR [if EXPR]", "stop behind what changes it, or an address", stopping.watch),
    Command(("rwatch",), "EXPR", "stop behind what reads it", stopping.rwatch),
    Command(("awatch",), "EXPR", "stop behind what reads or writes it", stopping.awatch),
    Command(("catch",), "EVENT", "stop at fork, exec, exit, fault, syscall [NAME], free ...", stopping.catch),
    Command(("delete", "d"), "[N]...", "delete break-, watch- and catchpoints", stopping.delete),
    Command(("enable",), "[N]...", "stop at them again", stopping.enable),
    Command(("disable",), "[N]...", "keep them, but do not stop", stopping.disable),
    Command(("ignore",), "N COUNT", "pass by so many times", stopping.ignore),
    Command(("clear",), "[LOCATION]", "delete the breakpoints there", stopping.clear),
    Command(("condition",), "N [EXPR]", "stop only where this is true", stopping.condition),
    Command(("continue", "c"), "[N]", "go on, to the Nth stop", moving.continue_, True),
    Command(("step", "s"), "[N]", "to another line, in functions and in the kernel too", moving.step, True),
    Command(("next", "n"), "[N]", "to another line, over calls", moving.next_, True),
    Command(("stepi", "si"), "[N]", "one instruction, trap or gate", moving.stepi, True),
    Command(("nexti", "ni"), "[N]", "the same, over calls and traps", moving.nexti, True),
    Command(("finish", "fin"), "", "until the selected function has returned", moving.finish, True),
    Command(("until", "u"), "[LOCATION]", "to a line further down, or to a location", moving.until, True),
    Command(("advance",), "LOCATION", "to a location", moving.advance),
    Command(("run", "r"), "", "the same run from its beginning, to a stop", beginning.run),
    Command(("start",), "", "the same run from its beginning, to main", beginning.start),
    Command(("kill", "k"), "", "end the process that you look at", beginning.kill),
    Command(("reverse-continue", "rc"), "", "go back, to a stop", reversing.continue_, True),
    Command(("reverse-step", "rs"), "[N]", "back to another line", reversing.step, True),
    Command(("reverse-next", "rn"), "[N]", "back to another line, over calls", reversing.next_, True),
    Command(("reverse-stepi", "rsi"), "[N]", "back by an instruction, trap or gate", reversing.stepi, True),
    Command(("reverse-finish",), "", "back to where the function was called", reversing.finish),
    Command(("when",), "", "the time of this moment", reversing.when),
    Command(("goto",), "TIME", "back or forward to a time: ticks, 1.5s, 20ms, start, end", reversing.goto),
    Command(("checkpoint",), "", "give this moment a number", reversing.checkpoint),
    Command(("restart",), "N", "to a checkpoint", reversing.restart),
    Command(("backtrace", "bt", "where"), "[full] [N]", "the calls that wait", browsing.backtrace),
    Command(("frame", "f"), "[N]", "look at one of them", browsing.frame),
    Command(("up",), "[N]", "at the caller", browsing.up, True),
    Command(("down",), "[N]", "at the one that is called", browsing.down, True),
    Command(("file",), "[PROGRAM]", "use its symbols where no program runs", choosing.file),
    Command(("directory", "dir"), "[PATH]", "look for sources there too", choosing.directory),
    Command(
        ("inferior", "thread"), "[PID]", "look at another process, or at the kernel: 0", choosing.inferior
    ),
    Command(("print", "p", "inspect"), "[/F] EXPR", "a value; with = it is changed", looking.print_),
    Command(("output",), "[/F] EXPR", "a value, bare", looking.output),
    Command(("call",), "EXPR", "as print; functions cannot be called", looking.call),
    Command(("set",), "[var] EXPR", "change a variable, a register or a setting", looking.set_),
    Command(("show",), "[SETTING]", "what `set SETTING VALUE` has set", looking.show),
    Command(("whatis",), "EXPR", "its type", looking.whatis),
    Command(("ptype",), "EXPR", "its type, with the members", looking.ptype),
    Command(("x",), "[/NFU] ADDRESS", "N things in memory, of format F and unit U", looking.examine, True),
    Command(("display",), "[/F] EXPR", "show it at each stop", looking.display),
    Command(("undisplay",), "[N]...", "and no longer", looking.undisplay),
    Command(("list", "l"), "[LOCATION | FROM,TO]", "source", browsing.list_, True),
    Command(("disassemble",), "[FUNCTION | ADDRESS]", "its instructions", browsing.disassemble),
    Command(("info", "i"), "[SUBJECT]", "all else; without a subject: what there is", info),
    Command(("echo",), "TEXT", "say it", saying.echo),
    Command(("printf",), '"FORMAT", EXPR...', "say values", saying.printf),
    Command(("type",), "TEXT", "type a line on the console", speaking.type_),
    Command(
        ("monitor", "mon"), "COMMAND",
        "of the console monitor; goto, next EVENT, last EVENT", speaking.monitor,
    ),
)  # fmt: skip
HELP: Final = Command(
    ("help", "h"), "[COMMAND]", "this list, or one line of it", lambda debugger, argument: ""
)
QUIT: Final = Command(("quit", "q", "exit"), "", "leave", lambda debugger, argument: "")
SCRIPT: Final = Command(
    ("commands",), "[N]", "lines up to `end`: what to do at a breakpoint", lambda debugger, argument: ""
)
ALL: Final = (*COMMANDS, SCRIPT, HELP, QUIT)
END: Final = "end"
STRICT: Final = "ORRERY_STRICT" in os.environ  # of the tests: a fault is not one line, but raised
BREAKS: Final = ("break", "b", "tbreak", "tb", "list", "l")  # what takes a location


class Commands:
    """Carries out lines for `debugger`. `quitting` is set by quit.

    What the commands of breakpoints say goes to `on_text` at once, as they may go on for ever.
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
        """What a line makes, and the commands of a breakpoint to which it leads.

        An empty line repeats the last where that makes sense.
        """
        debugger = self._debugger
        debugger.reached = None
        said = self._line(line)
        while (reached := debugger.reached) is not None and reached.commands:
            debugger.reached = None
            if self.on_text is not None:
                self.on_text(said)
                said = ""
            here = debugger.target.moment
            for one in reached.commands:
                said += self._line(one) if one != moving.SILENT else ""
                if debugger.reached is not None or debugger.target.moment != here:
                    break  # the machine has gone on
        return said + self.warnings()

    def warnings(self) -> str:
        """What of the debug information has been found to make no sense since the last time."""
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
        except (Unavailable, CannotGoOn, Astray) as error:
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
        found = self._find(word)
        if len(found) != 1:
            return f'Undefined command: "{word}".  Try "help".\n' if not found else _ambiguous(word, found)
        (command,) = found
        if command is QUIT:
            self.quitting = True
        if command is HELP:
            return self._help(rest)
        if command is SCRIPT:
            self._script = stopping.script(self._debugger, rest)
            return ""
        if command.repeats:
            goes_on = command.names[0] in ("list", "x")  # from where it ended
            self._last = command.names[0] if goes_on else line
        return command.function(self._debugger, rest)

    def _find(self, word: str) -> list[Command]:
        """The commands that the word may mean."""
        exact = [one for one in ALL if word in one.names]
        return exact or [one for one in ALL if one.names[0].startswith(word)]

    def _help(self, word: str) -> str:
        lines = []
        for one in self._find(word) if word else ALL:
            short = f" ({', '.join(one.names[1:])})" if len(one.names) > 1 else ""
            lines.append(f"{f'{one.names[0]}{short} {one.arguments}'.rstrip():<40} {one.help}\n")
        return "".join(lines) or f'Undefined command: "{word}".\n'

    def completions(self, line: str) -> Iterator[str]:
        """What the last word of the line may become: a command, a subject of info, a function or variable."""
        words = line.split(" ")
        last = words[-1]
        if len(words) == 1:
            yield from (one.names[0] for one in ALL if one.names[0].startswith(last))
        elif words[0] in ("info", "i") and len(words) == 2:
            yield from (name for name in INFO if name.startswith(last))
        elif words[0] in ("monitor", "mon") and len(words) == 2:
            names = [*(one.name for one in ORDERS), *(one.name for one in CONSOLE)]
            yield from (name for name in names if name.startswith(last))
        elif words[:-1] in (["catch"], ["monitor", "next"], ["monitor", "last"]):
            yield from (kind for kind in (*KINDS, WRITE) if kind.startswith(last))
        elif words[0] in BREAKS and last:
            functions = (one.name for one in pycode.functions())
            known = (*self._debugger.names(), *functions, *(f"{name}:" for name in image.programs()))
            yield from dict.fromkeys(name for name in known if name.startswith(last))
        elif last:
            yield from (name for name in self._debugger.names() if name.startswith(last))


def _ambiguous(word: str, found: list[Command]) -> str:
    return f'Ambiguous command "{word}": {", ".join(sorted(one.names[0] for one in found))}.\n'
