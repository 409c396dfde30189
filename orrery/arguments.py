"""The arguments of the command line: which commands and options there are, and what a person may leave out.

Called by cli.py, which carries the commands out.  What cannot be understood is a BadInput, of one line, as
all that is wrong.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

from orrery import __version__
from orrery.errors import BadInput

Command: TypeAlias = Callable[[argparse.Namespace], int]

RECORDED: Final = ("boot", "run")  # the commands that run a machine
TO_STDERR: Final = "-"  # the value of --strace without a file
GDB_PORT: Final = "1234"
KEPT, LEFT = "keeps what is written", "is left as it is"  # a disk
LAYOUT_HELP: Final = "how the disk's inodes number blocks, where the image does not say it"

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
    "--layout": True,
    "--gdb": True,
}
MKFS_OPTIONS: Final = {"--layout": True, "--size": True, "--default": False}


def parse(words: list[str], commands: Mapping[str, Command], record: str | None = None) -> argparse.Namespace:
    """The options that `words` say, and as `function` the one of `commands` that they are for.

    The options have `words` themselves too, and the file into which the run is recorded.
    """
    known = argparse.Namespace(words=words, record=record)
    options, unknown = _parser(commands).parse_known_args(_normalised(words), known)
    if unknown:
        raise BadInput(
            f"unrecognized arguments: {' '.join(unknown)}; `{options.prog} --help` tells what there is"
        )
    return options


# --- words ---


def _normalised(words: list[str]) -> list[str]:
    """The words in a form that argparse takes.

    --strace takes its file only after `=`.  In `run FILE args...`, and in gdb's, the machine's long options
    may come behind FILE too; everything else there, and all behind `--`, is for the program.  Those of mkfs
    may stand between its files.
    """
    if words[:1] == ["record"]:
        return _before_command(words)
    if not words or words[0] not in (*RECORDED, "gdb", "debug", "mkfs"):
        return words
    if words[0] == "mkfs":
        ours, files = split(words[1:], MKFS_OPTIONS)
        return ["mkfs", *ours, *files]
    ours, program = split(words[1:], MACHINE_OPTIONS) if words[0] != "boot" else (words[1:], [])
    ours = [f"--strace={TO_STDERR}" if word == "--strace" else word for word in ours]
    return [words[0], *ours, *(["--", *program] if program else [])]


def _before_command(words: list[str]) -> list[str]:
    """`record` with its own options, and behind -- the recorded command, which is run or boot if not said."""
    own = 1
    while own < len(words) and words[own].startswith(("-o", "-h", "--help")):
        own += 2 if words[own] == "-o" else 1
    command = words[own:]
    if command and command[0].startswith("-"):
        command.insert(0, "boot")
    elif command and command[0] not in RECORDED and os.path.isfile(command[0]):
        command.insert(0, "run")
    return [*words[:own], "--", *command]


def split(words: Sequence[str], options: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """What is ours of the words behind `run` or `mkfs`, and FILE with what follows it."""
    ours: list[str] = []
    program: list[str] = []
    rest = iter(words)
    for word in rest:
        name = word.partition("=")[0]
        if word == "--":
            return ours, [*program, *rest]
        if name in options or (not program and word.startswith("-")):
            ours.append(word)
            if options.get(word, word in ("-m", "-c")):
                ours.extend(word for _, word in zip(range(1), rest))  # noqa: B905  (one word, if there is one)
        else:
            program.append(word)
    return ours, program


# --- commands ---


class _Parser(argparse.ArgumentParser):
    """Errors are one line, and come out of main as all others do."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; `{self.prog} --help` tells what there is")


def _parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    about = "A RISC-V computer in Python: a board, a kernel, a shell."
    parser = _Parser(prog="orrery", description=about, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"orrery {__version__}")
    known = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (text, add_arguments) in GRAMMAR.items():
        about = f"{text[0].upper()}{text[1:]}."
        command = known.add_parser(name, help=text, description=about, allow_abbrev=False)
        command.set_defaults(function=commands[name], prog=command.prog)
        add_arguments(command)
    return parser


def _boot(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-c", action="append", default=[], metavar="LINE", help="type LINE, print its output, switch off")
    add(
        "--watch", action="store_true", help="boot anew, and type the last lines again, when a source changes"
    )
    add("--watched", type=int, help=argparse.SUPPRESS)  # the socket to orrery/watch.py
    text = "a disk that keeps your files; made, with all programs, if it is not there"
    add("--keep", metavar="IMG", help=text)
    add_machine_options(parser)


def _run(parser: argparse.ArgumentParser) -> None:
    add_machine_options(parser)
    parser.add_argument("--for-gdb", metavar="WHOSE", help=argparse.SUPPRESS)  # from orrery/gdb/client.py
    _add_program(parser, "a C or assembly source, or an ELF file")


def _gdb(parser: argparse.ArgumentParser) -> None:
    _add_session_options(parser)
    _add_hardware_options(parser, LEFT)
    _add_program(parser, "a source, which is compiled without optimization, or an ELF file")


def _debug(parser: argparse.ArgumentParser) -> None:
    text = "without FILE: type LINE for the shell"
    parser.add_argument("-c", action="append", default=[], metavar="LINE", help=text)
    _add_hardware_options(parser, LEFT)
    text = "a source, which is compiled without optimization, an ELF file or a recording (default: a shell)"
    _add_program(parser, text, nargs="?")


def _record(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="out", metavar="RUN.ORR", required=True, help="the recording to write")
    text = "boot or run, with what can follow it; or a program to run (default: boot)"
    parser.add_argument("command", metavar="COMMAND", nargs="*", default=[], help=text)


def _replay(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recording", metavar="RUN.ORR", help="the recording")
    add("--drive", metavar="IMG", help="where the image is now with which the run began")
    add("--engine", choices=("fast", "public"), help="what runs the instructions (default: what did then)")
    text = "wait for a gdb there (default: this computer alone, port 1234)"
    add("--gdb", nargs="?", const=GDB_PORT, metavar="[HOST:]PORT", help=text)


def _cc(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-o", dest="out", metavar="OUT", required=True, help="the ELF file to write")
    add("sources", metavar="SRC", nargs="+", help="C or assembly sources")
    add("-v", "--verbose", action="store_true", help="print all that the compiler says")
    add("-O0", dest="optimize", action="store_false", help="do not optimize: for a debugger")


def _mkfs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMG", help="the image to write")
    add("files", metavar="FILE", nargs="*", default=[], help="what goes into its root directory")
    add("--default", action="store_true", help="put all of the default disk's programs on it: it boots")
    _add_layout(parser, "stock", "how its inodes number blocks; lab: for files up to 64 MiB (default: stock)")
    sizes = "default: 8192, with --default 32768; lab: 200000"
    add("--size", type=int, metavar="N", help=f"its size, in blocks of 1024 bytes ({sizes})")


def _lsfs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMG", help="the image to read")
    _add_layout(parser, None, LAYOUT_HELP)


def _get(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMG", help="the image to read")
    add("path", metavar="PATH", help="the file in it")
    add("host", metavar="HOST", nargs="?", help="the file or folder to write; -: stdout (default: here)")
    _add_copying(parser)


def _put(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", metavar="IMG", help="the image to change")
    add("host", metavar="HOST", help="the file to copy; -: stdin")
    add("path", metavar="PATH", nargs="?", help="the file or directory in the image (default: /)")
    _add_copying(parser)


def _add_copying(parser: argparse.ArgumentParser) -> None:
    text = "copy a directory, with what is in it"
    parser.add_argument("-r", "--recursive", action="store_true", help=text)
    _add_layout(parser, None, LAYOUT_HELP)


def _doctor(parser: argparse.ArgumentParser) -> None:
    """It has none."""


GRAMMAR: Final[Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]]] = {
    "boot": ("boot to a shell", _boot),
    "run": ("run a C or assembly source, or an ELF file, as a user program", _run),
    "gdb": ("run a program and start a gdb on it, stopped in main", _gdb),
    "debug": ("debug a program, a boot or a recorded run with the built-in debugger", _debug),
    "record": ("record a run, so that it can be made again", _record),
    "replay": ("make a recorded run again, the same to the instruction", _replay),
    "cc": ("compile and link a user program", _cc),
    "mkfs": ("make a disk image; a leading _ of a file's name is dropped", _mkfs),
    "lsfs": ("list an image: inode, type, links, size, path", _lsfs),
    "get": ("copy a file out of an image", _get),
    "put": ("copy a file into an image", _put),
    "doctor": ("say what is missing here, and how to mend it", _doctor),
}
"""The commands, what each is for, and what adds its arguments."""


# --- options that commands share ---


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Those of boot and run; MACHINE_OPTIONS lists the long ones."""
    _add_session_options(parser)
    _add_hardware_options(parser, KEPT)
    add = parser.add_argument
    add("-s", dest="gdb", action="store_const", const=GDB_PORT, help="serve a gdb on port 1234")
    add("-S", dest="gdb_wait", action="store_true", help="serve a gdb, and start only when one says so")
    add("--gdb", metavar="[HOST:]PORT", help="serve a gdb there (default host: this computer alone)")


def _add_session_options(parser: argparse.ArgumentParser) -> None:
    """Those about one session with a machine."""
    add = parser.add_argument
    add("--snapshot", action="store_true", help="keep nothing of what is written to the drive")
    add("--strace", metavar="[=FILE]", help="print every system call to stderr, or to FILE")
    add("--digest", action="store_true", help="print a digest of the machine and its time at the end")
    add("--max-time", metavar="S", help="limit of virtual time, in seconds")
    add("--timeout", metavar="S", help="limit of wall time, in seconds")


def _add_hardware_options(parser: argparse.ArgumentParser, drive: str) -> None:
    """Those that say what machine it is; `drive`, what becomes of the disk."""
    add = parser.add_argument
    add("--drive", metavar="IMG", help=f"the disk, which {drive} (default: a fresh one)")
    add("--seed", type=int, default=0, metavar="N", help="seed of all that is left to chance (default: 0)")
    add("-m", "--mem", type=int, default=128, metavar="MIB", help="memory (default: %(default)s)")
    engine_help = "what runs the instructions (default: %(default)s)"
    add("--engine", choices=("fast", "public"), default="fast", help=engine_help)
    add("--lab", type=int, metavar="YEAR", help="have the system calls of the course's labs of YEAR")
    add("--usyscall", action="store_true", help="map the page at USYSCALL that the page-table lab asks for")
    _add_layout(parser, None, LAYOUT_HELP)


def _add_layout(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    parser.add_argument("--layout", choices=("stock", "lab"), default=default, help=text)


def _add_program(parser: argparse.ArgumentParser, text: str, nargs: str | None = None) -> None:
    """FILE and what follows it."""
    parser.add_argument("program", metavar="FILE", nargs=nargs, help=text)
    args_help = "its arguments; none behind -- is an option"
    parser.add_argument("args", metavar="ARG", nargs="*", default=[], help=args_help)
