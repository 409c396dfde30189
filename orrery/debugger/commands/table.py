"""The table of the debugger's commands, and of the subjects of `info`.

A name may be shortened as long as it is the only one that begins so; the short forms go before that.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from orrery.command import Command, candidates
from orrery.debugger.commands import (
    breakpoints,
    data,
    execution,
    inferiors,
    machine,
    output,
    reverse,
    run,
    source,
    stack,
    symbols,
    watchpoints,
)
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable

Function: TypeAlias = Callable[[Debugger, str], str]
"""Carries out a command with what stands behind its name; gives text, raises Unavailable."""


INFO: Final[tuple[Command[Function], ...]] = (
    Command("breakpoints b", "", "where to stop", breakpoints.table),
    Command("registers r", "", "registers; * marks those that the last command changed", data.registers),
    Command("all-registers", "", "floating-point and control registers too", data.all_registers),
    Command("functions", "", "[REGEX]: of the program, or of the kernel's Python", symbols.functions),
    Command("variables", "", "[REGEX]: its variables", symbols.variables),
    Command("types", "", "[REGEX]: its types", symbols.types),
    Command("scope s", "", "LOCATION: the variables there", symbols.scope),
    Command("address", "", "SYMBOL: where it is", symbols.address),
    Command("watchpoints", "", "those of them that watch memory", breakpoints.watchpoints),
    Command("threads", "", "all processes", inferiors.processes),
    Command("locals", "", "the variables of the selected frame", data.locals_),
    Command("args", "", "its arguments", data.args),
    Command("frame", "", "where it is, and its registers", symbols.frame),
    Command("processes", "", "all processes", inferiors.processes),
    Command("inferiors", "", "the same", inferiors.processes),
    Command("line", "", "where the code of a line is", source.line),
    Command("symbol", "", "what is at an address", source.symbol),
    Command("source", "", "the program's sources", source.source),
    Command("display", "", "what is shown at each stop", data.displayed),
    Command("checkpoints", "", "the moments to which you gave a number", reverse.checkpoints),
)


def info(debugger: Debugger, argument: str) -> str:
    """info SUBJECT"""
    word, _, rest = argument.partition(" ")
    found = candidates(INFO, word) if word else []
    if not found:
        return "".join(f"info {one.name:<14} {one.about}\n" for one in INFO)
    if len({one.run for one in found}) > 1:
        raise Unavailable(f'Ambiguous info command "{word}": {", ".join(one.name for one in found)}.')
    return found[0].run(debugger, rest.strip())


COMMANDS: Final[tuple[Command[Function], ...]] = (
    Command(
        "break b", "[LOCATION] [if EXPR]",
        "stop at a function, a line, *ADDRESS", breakpoints.break_,
    ),
    Command("tbreak tb", "[LOCATION]", "the same, once", breakpoints.tbreak),
    Command("watch", "EXPR [if EXPR]", "stop behind what changes it, or an address", watchpoints.watch),
    Command("rwatch", "EXPR", "stop behind what reads it", watchpoints.rwatch),
    Command("awatch", "EXPR", "stop behind what reads or writes it", watchpoints.awatch),
    Command(
        "catch", "EVENT",
        "stop at fork, exec, exit, fault, syscall [NAME], free ...", breakpoints.catch,
    ),
    Command("delete d", "[N]...", "delete break-, watch- and catchpoints", breakpoints.delete),
    Command("enable", "[N]...", "stop at them again", breakpoints.enable),
    Command("disable", "[N]...", "keep them, but do not stop", breakpoints.disable),
    Command("ignore", "N COUNT", "pass by so many times", breakpoints.ignore),
    Command("clear", "[LOCATION]", "delete the breakpoints there", breakpoints.clear),
    Command("condition", "N [EXPR]", "stop only where this is true", breakpoints.condition),
    Command("continue c", "[N]", "go on, to the Nth stop", execution.continue_, True),
    Command(
        "step s", "[N]",
        "to another line, in functions and in the kernel too", execution.step, True,
    ),
    Command("next n", "[N]", "to another line, over calls", execution.next_, True),
    Command("stepi si", "[N]", "one instruction, trap or gate", execution.stepi, True),
    Command("nexti ni", "[N]", "the same, over calls and traps", execution.nexti, True),
    Command("finish fin", "", "until the selected function has returned", execution.finish, True),
    Command("until u", "[LOCATION]", "to a line further down, or to a location", execution.until, True),
    Command("advance", "LOCATION", "to a location", execution.advance),
    Command("run r", "", "the same run from its beginning, to a stop", run.run),
    Command("start", "", "the same run from its beginning, to main", run.start),
    Command("kill k", "", "end the process that you look at", run.kill),
    Command("reverse-continue rc", "", "go back, to a stop", reverse.continue_, True),
    Command("reverse-step rs", "[N]", "back to another line", reverse.step, True),
    Command("reverse-next rn", "[N]", "back to another line, over calls", reverse.next_, True),
    Command("reverse-stepi rsi", "[N]", "back by an instruction, trap or gate", reverse.stepi, True),
    Command("reverse-finish", "", "back to where the function was called", reverse.finish),
    Command("when", "", "the time of this moment", reverse.when),
    Command("goto", "TIME", "back or forward to a time: ticks, 1.5s, 20ms, start, end", reverse.goto),
    Command("checkpoint", "", "give this moment a number", reverse.checkpoint),
    Command("restart", "N", "to a checkpoint", reverse.restart),
    Command("backtrace bt where", "[full] [N]", "the calls that wait", stack.backtrace),
    Command("frame f", "[N]", "look at one of them", stack.frame),
    Command("up", "[N]", "at the caller", stack.up, True),
    Command("down", "[N]", "at the one that is called", stack.down, True),
    Command("file", "[PROGRAM]", "use its symbols where no program runs", inferiors.file),
    Command("directory dir", "[PATH]", "look for sources there too", inferiors.directory),
    Command(
        "inferior thread", "[PID]", "look at another process, or at the kernel: 0", inferiors.inferior
    ),
    Command("print p inspect", "[/F] EXPR", "a value; with = it is changed", data.print_),
    Command("output", "[/F] EXPR", "a value, bare", data.output),
    Command("call", "EXPR", "as print; functions cannot be called", data.call),
    Command("set", "[var] EXPR", "change a variable, a register or a setting", data.set_),
    Command("show", "[SETTING]", "what `set SETTING VALUE` has set", data.show),
    Command("whatis", "EXPR", "its type", data.whatis),
    Command("ptype", "EXPR", "its type, with the members", data.ptype),
    Command("x", "[/NFU] ADDRESS", "N things in memory, of format F and unit U", data.examine, True),
    Command("display", "[/F] EXPR", "show it at each stop", data.display),
    Command("undisplay", "[N]...", "and no longer", data.undisplay),
    Command("list l", "[LOCATION | FROM,TO]", "source", source.list_, True),
    Command("disassemble", "[FUNCTION | ADDRESS]", "its instructions", source.disassemble),
    Command("info i", "[SUBJECT]", "all else; without a subject: what there is", info),
    Command("echo", "TEXT", "say it", output.echo),
    Command("printf", '"FORMAT", EXPR...', "say values", output.printf),
    Command("type", "TEXT", "type a line on the console", machine.type_),
    Command(
        "monitor mon", "COMMAND",
        "of the console monitor; goto, next EVENT, last EVENT", machine.monitor,
    ),
)  # fmt: skip


def _by_interpreter(debugger: Debugger, argument: str) -> str:
    """What these do, the interpreter does itself."""
    raise AssertionError("a command of the interpreter")


HELP: Final[Command[Function]] = Command(
    "help h", "[COMMAND]", "this list, or one line of it", _by_interpreter
)
QUIT: Final[Command[Function]] = Command("quit q exit", "", "leave", _by_interpreter)
SCRIPT: Final[Command[Function]] = Command(
    "commands", "[N]", "lines up to `end`: what to do at a breakpoint", _by_interpreter
)
ALL: Final[tuple[Command[Function], ...]] = (*COMMANDS, SCRIPT, HELP, QUIT)
