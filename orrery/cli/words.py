"""The words of a command line, before argparse has them: which are options, which are the program's own.

Called by arguments.py.  argparse would take an option wherever it stands; but what stands behind the
program of `run`, `gdb` and `debug` is for the program, whatever it looks like, and so is a recorded
command for itself.  The compiler's flags are no options either: they have their values as cc has them.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

RECORDED: Final = ("boot", "run")  # the commands that run a machine
WITH_PROGRAM: Final = ("run", "gdb", "debug")
TO_STDERR: Final = "-"  # the value of --strace without a file
SHORT_WITH_VALUE: Final = ("-m", "-c")
FILE_COMMANDS: Final = {"cc": ("-o",), "mkfs": ("--layout", "--size"), "lsfs": ("--layout",)}
"""Those whose options may stand between their files: which options have values."""

# Long options that boot and run share: whether each takes a value in a word of its own.
MACHINE_OPTIONS: Final = {
    "--drive": True,
    "--snapshot": False,
    "--strace": False,
    "--digest": False,
    "--seed": True,
    "--mem": True,
    "--max-time": True,
    "--timeout": True,
    "--engine": True,
    "--lab": True,
    "--usyscall": False,
    "--ustack": True,
    "--layout": True,
    "--gdb": True,
}


def arrange(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The words that argparse is to have, and what the others mean, by the names of options.

    --strace takes its file only after `=`.
    """
    command = words[0] if words else ""
    if command == "record":
        own, recorded = _recorded(words)
        return own, {"command": recorded}
    if command in FILE_COMMANDS:
        ours, found = (
            _without_flags(words[1:], FILE_COMMANDS[command]) if command == "cc" else (words[1:], [])
        )
        return [command, *_options_first(ours, FILE_COMMANDS[command])], {"flags": found}
    if command not in (*RECORDED, *WITH_PROGRAM):
        return list(words), {}
    ours, program = (list(words[1:]), []) if command == "boot" else split(words[1:])
    ours, found = (ours, []) if command == "boot" else _without_flags(ours)
    ours = [f"--strace={TO_STDERR}" if word == "--strace" else word for word in ours]
    sources, args = _sources(program)
    more = {} if command == "boot" else {"sources": sources, "args": args, "flags": found}
    return [command, *ours, *(["--", *sources[:1]] if sources else [])], more


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options in front of FILE, and FILE with all that follows it."""
    for at, word, _ in _options(words):
        if word == "--":
            return list(words[:at]), list(words[at + 1 :])
        if not word.startswith("-"):
            return list(words[:at]), list(words[at:])
    return list(words), []


def _options(
    words: Sequence[str], with_value: Sequence[str] = SHORT_WITH_VALUE
) -> Iterator[tuple[int, str, bool]]:
    """Each word with its place, but for those that are values; whether the next one is its value."""
    from toolchain import flags

    at = 0
    while at < len(words):
        word = words[at]
        valued = MACHINE_OPTIONS.get(word, False) or word in with_value or flags.takes_next(word)
        yield at, word, valued
        at += 2 if valued else 1


def _sources(program: Sequence[str]) -> tuple[list[str], list[str]]:
    """FILE and, where it is a source, those right behind it; and the program's arguments.

    `--` ends the sources, so that an argument may be called as one.
    """
    from toolchain import flags

    if not program:
        return [], []
    end = 1
    if program[0].endswith(flags.LINKED):
        while end < len(program) and program[end].endswith(flags.LINKED) and not program[end].startswith("-"):
            end += 1
    rest = list(program[end:])
    return list(program[:end]), rest[1:] if rest[:1] == ["--"] else rest


def without(words: Sequence[str], option: str) -> list[str]:
    """A command line without one of its options, which has no value."""
    rest: list[str] = [words[0]]
    for at, word, valued in _options(words[1:]):
        if word == "--" or not word.startswith("-"):
            return [*rest, *words[at + 1 :]]
        if word != option:
            rest += words[at + 1 : at + 3] if valued else [word]
    return rest


def _options_first(words: Sequence[str], with_value: Sequence[str]) -> list[str]:
    """The words with the options in front of the files, all of which argparse wants in one place."""
    options: list[str] = []
    files: list[str] = []
    for at, word, valued in _options(words, with_value):
        if word == "--":
            return [*options, "--", *files, *words[at + 1 :]]
        if word.startswith("-") and word != "-":
            options += words[at : at + 2] if valued else [word]
        else:
            files.append(word)
    return [*options, *files]


def _without_flags(
    words: Sequence[str], with_value: Sequence[str] = SHORT_WITH_VALUE
) -> tuple[list[str], list[str]]:
    """The words that are no flags for the compiler, and the flags, each in one word with its value."""
    from toolchain import flags

    ours: list[str] = []
    found: list[str] = []
    for at, word, valued in _options(words, with_value):
        both = list(words[at : at + 2]) if valued else [word]
        if word == "--":
            return [*ours, *words[at:]], found
        if flags.is_flag(word):
            found.append("".join(both))
        else:
            ours += both
    return ours, found


def _recorded(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """`record` with its own options, and the recorded command, which is run or boot if not said."""
    own = 1
    while own < len(words) and words[own].startswith(("-o", "-h", "--help")):
        own += 2 if words[own] == "-o" else 1
    command = list(words[own:])
    if command[:1] == ["--"]:
        del command[0]
    if command and command[0].startswith("-"):
        command.insert(0, "boot")
    elif command and command[0] not in RECORDED and os.path.isfile(command[0]):
        command.insert(0, "run")
    return list(words[:own]), command
