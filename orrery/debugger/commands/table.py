"""The table of commands, and carrying one out: a line goes in, text comes out.

    name, and gdb's short forms     what stands behind it     what it does

A name may be shortened as long as it is the only one that begins so; the short forms go before that.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from orrery.debugger import python_code
from orrery.debugger.commands import (
    breakpoints,
    data,
    execution,
    inferiors,
    machine,
    output,
    reverse,
    run,
    stack,
    symbols,
)
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.errors import CannotGoOn
from orrery.inspect.monitor import COMMANDS as CONSOLE
from orrery.timetravel.events import KINDS
from orrery.timetravel.input_log import ReplayDiverged
from orrery.timetravel.time_commands import TIME_COMMANDS, WRITE
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
    "breakpoints": (breakpoints.table, "where to stop"),
    "registers": (data.registers, "registers; * marks those that the last command changed"),
    "all-registers": (data.all_registers, "floating-point and control registers too"),
    "functions": (symbols.functions, "[REGEX]: of the program, or of the kernel's Python"),
    "variables": (symbols.variables, "[REGEX]: its variables"),
    "types": (symbols.types, "[REGEX]: its types"),
    "scope": (symbols.scope, "LOCATION: the variables there"),
    "address": (symbols.address, "SYMBOL: where it is"),
    "watchpoints": (breakpoints.watchpoints, "those of them that watch memory"),
    "threads": (inferiors.processes, "all processes"),
    "locals": (data.locals_, "the variables of the selected frame"),
    "args": (data.args, "its arguments"),
    "frame": (symbols.frame, "where it is, and its registers"),
    "processes": (inferiors.processes, "all processes"),
    "inferiors": (inferiors.processes, "the same"),
    "line": (stack.line, "where the code of a line is"),
    "symbol": (stack.symbol, "what is at an address"),
    "source": (stack.source, "the program's sources"),
    "display": (data.displayed, "what is shown at each stop"),
    "checkpoints": (reverse.checkpoints, "the moments to which you gave a number"),
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
    Command(
        ("break", "b"), "[LOCATION] [if EXPR]",
        "stop at a function, a line, *ADDRESS", breakpoints.break_,
    ),
    Command(("tbreak", "tb"), "[LOCATION]", "the same, once", breakpoints.tbreak),
    Command(("watch",), "EXPR [if EXPR]", "stop behind what changes it, or an address", breakpoints.watch),
    Command(("rwatch",), "EXPR", "stop behind what reads it", breakpoints.rwatch),
    Command(("awatch",), "EXPR", "stop behind what reads or writes it", breakpoints.awatch),
    Command(
        ("catch",), "EVENT",
        "stop at fork, exec, exit, fault, syscall [NAME], free ...", breakpoints.catch,
    ),
    Command(("delete", "d"), "[N]...", "delete break-, watch- and catchpoints", breakpoints.delete),
    Command(("enable",), "[N]...", "stop at them again", breakpoints.enable),
    Command(("disable",), "[N]...", "keep them, but do not stop", breakpoints.disable),
    Command(("ignore",), "N COUNT", "pass by so many times", breakpoints.ignore),
    Command(("clear",), "[LOCATION]", "delete the breakpoints there", breakpoints.clear),
    Command(("condition",), "N [EXPR]", "stop only where this is true", breakpoints.condition),
    Command(("continue", "c"), "[N]", "go on, to the Nth stop", execution.continue_, True),
    Command(
        ("step", "s"), "[N]",
        "to another line, in functions and in the kernel too", execution.step, True,
    ),
    Command(("next", "n"), "[N]", "to another line, over calls", execution.next_, True),
    Command(("stepi", "si"), "[N]", "one instruction, trap or gate", execution.stepi, True),
    Command(("nexti", "ni"), "[N]", "the same, over calls and traps", execution.nexti, True),
    Command(("finish", "fin"), "", "until the selected function has returned", execution.finish, True),
    Command(("until", "u"), "[LOCATION]", "to a line further down, or to a location", execution.until, True),
    Command(("advance",), "LOCATION", "to a location", execution.advance),
    Command(("run", "r"), "", "the same run from its beginning, to a stop", run.run),
    Command(("start",), "", "the same run from its beginning, to main", run.start),
    Command(("kill", "k"), "", "end the process that you look at", run.kill),
    Command(("reverse-continue", "rc"), "", "go back, to a stop", reverse.continue_, True),
    Command(("reverse-step", "rs"), "[N]", "back to another line", reverse.step, True),
    Command(("reverse-next", "rn"), "[N]", "back to another line, over calls", reverse.next_, True),
    Command(("reverse-stepi", "rsi"), "[N]", "back by an instruction, trap or gate", reverse.stepi, True),
    Command(("reverse-finish",), "", "back to where the function was called", reverse.finish),
    Command(("when",), "", "the time of this moment", reverse.when),
    Command(("goto",), "TIME", "back or forward to a time: ticks, 1.5s, 20ms, start, end", reverse.goto),
    Command(("checkpoint",), "", "give this moment a number", reverse.checkpoint),
    Command(("restart",), "N", "to a checkpoint", reverse.restart),
    Command(("backtrace", "bt", "where"), "[full] [N]", "the calls that wait", stack.backtrace),
    Command(("frame", "f"), "[N]", "look at one of them", stack.frame),
    Command(("up",), "[N]", "at the caller", stack.up, True),
    Command(("down",), "[N]", "at the one that is called", stack.down, True),
    Command(("file",), "[PROGRAM]", "use its symbols where no program runs", inferiors.file),
    Command(("directory", "dir"), "[PATH]", "look for sources there too", inferiors.directory),
    Command(
        ("inferior", "thread"), "[PID]", "look at another process, or at the kernel: 0", inferiors.inferior
    ),
    Command(("print", "p", "inspect"), "[/F] EXPR", "a value; with = it is changed", data.print_),
    Command(("output",), "[/F] EXPR", "a value, bare", data.output),
    Command(("call",), "EXPR", "as print; functions cannot be called", data.call),
    Command(("set",), "[var] EXPR", "change a variable, a register or a setting", data.set_),
    Command(("show",), "[SETTING]", "what `set SETTING VALUE` has set", data.show),
    Command(("whatis",), "EXPR", "its type", data.whatis),
    Command(("ptype",), "EXPR", "its type, with the members", data.ptype),
    Command(("x",), "[/NFU] ADDRESS", "N things in memory, of format F and unit U", data.examine, True),
    Command(("display",), "[/F] EXPR", "show it at each stop", data.display),
    Command(("undisplay",), "[N]...", "and no longer", data.undisplay),
    Command(("list", "l"), "[LOCATION | FROM,TO]", "source", stack.list_, True),
    Command(("disassemble",), "[FUNCTION | ADDRESS]", "its instructions", stack.disassemble),
    Command(("info", "i"), "[SUBJECT]", "all else; without a subject: what there is", info),
    Command(("echo",), "TEXT", "say it", output.echo),
    Command(("printf",), '"FORMAT", EXPR...', "say values", output.printf),
    Command(("type",), "TEXT", "type a line on the console", machine.type_),
    Command(
        ("monitor", "mon"), "COMMAND",
        "of the console monitor; goto, next EVENT, last EVENT", machine.monitor,
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
                said += self._line(one) if one != execution.SILENT else ""
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
        found = self._find(word)
        if len(found) != 1:
            return f'Undefined command: "{word}".  Try "help".\n' if not found else _ambiguous(word, found)
        (command,) = found
        if command is QUIT:
            self.quitting = True
        if command is HELP:
            return self._help(rest)
        if command is SCRIPT:
            self._script = breakpoints.script(self._debugger, rest)
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


def _ambiguous(word: str, found: list[Command]) -> str:
    return f'Ambiguous command "{word}": {", ".join(sorted(one.names[0] for one in found))}.\n'
