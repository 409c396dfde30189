"""The arguments of the command line: which commands and options there are, and what a person may leave out.

Called by command_line.py, which carries the commands out.  What cannot be understood is a BadInput, of one
line, as all that is wrong.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from orrery.cli.words import MACHINE_OPTIONS, RECORDED, TO_STDERR, arrange
from orrery.errors import BadInput
from orrery.version import VERSION

__all__ = ["MACHINE_OPTIONS", "RECORDED", "TO_STDERR", "Command", "parse"]

Command: TypeAlias = Callable[[argparse.Namespace], int]

GDB_PORT: Final = "1234"
KEPT, LEFT = "keeps what is written", "is left as it is"  # a disk
LAYOUT_HELP: Final = "how the disk's inodes number blocks, where the image does not say it"


def parse(words: list[str], commands: Mapping[str, Command], record: str | None = None) -> argparse.Namespace:
    """The options that `words` say, and as `function` the one of `commands` that they are for.

    The options have `words` themselves too, and the file into which the run is recorded.
    """
    known = argparse.Namespace(words=words, record=record)
    arranged, more = arrange(words)
    options, unknown = make_parser(commands).parse_known_args(arranged, known)
    if unknown:
        raise BadInput(
            f"unrecognized arguments: {' '.join(unknown)}; `{options.prog} --help` tells what there is"
        )
    for name, value in more.items():
        setattr(options, name, value)
    return options


# --- commands ---


class _Once(argparse.Action):
    """Takes a value, as argparse's own action does, but not another one for what has one already."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        value = self.const if self.nargs == 0 else values
        given: dict[str, Any] = vars(namespace).setdefault("given", {})
        if option_string is not None and given.setdefault(self.dest, value) != value:
            raise argparse.ArgumentError(
                self, f"given twice, as {given[self.dest]} and as {value}, and there is one; leave one out"
            )
        setattr(namespace, self.dest, value)


class _OnceConst(_Once):
    """The same for an option that stands for a value."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: Any, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, const=const, **more)


class _Parser(argparse.ArgumentParser):
    """Errors are one line, and come out of main as all others do."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **{**more, "allow_abbrev": False})
        for name in (None, "store"):
            self.register("action", name, _Once)
        self.register("action", "store_const", _OnceConst)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; `{self.prog} --help` tells what there is")


def make_parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The grammar of the whole command line."""
    about = "A RISC-V computer in Python: a board, a kernel, a shell."
    parser = _Parser(prog="orrery", description=about)
    parser.add_argument("--version", action="version", version=f"orrery {VERSION}")
    known = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (text, add_arguments) in GRAMMAR.items():
        about = f"{text[0].upper()}{text[1:]}."
        command = known.add_parser(name, help=text, description=about)
        command.set_defaults(function=commands[name], prog=command.prog)
        add_arguments(command)
    return parser


def _boot(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-c", action="append", default=[], metavar="LINE", help="type LINE, print its output, switch off")
    _add_watch(parser, "boot anew, and type the last lines again, when a source changes")
    text = "a disk that keeps your files; made, with all programs, if it is not there"
    add("--keep", metavar="IMG", help=text)
    add_machine_options(parser)


def _add_watch(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--watch", action="store_true", help=text)
    parser.add_argument("--watched", type=int, help=argparse.SUPPRESS)  # the socket to orrery/cli/watch.py


def _run(parser: argparse.ArgumentParser) -> None:
    _add_watch(parser, "run it anew when one of its sources, a header or Orrery changes")
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
    add("-o", dest="out", metavar="OUT", help="the file to write")
    add("sources", metavar="SRC", nargs="*", help="C or assembly sources, and objects (.o)")
    add("-c", dest="mode", action="store_const", const="-c", help="make an object of each source")
    add("-S", dest="mode", action="store_const", const="-S", help="make assembly of each source")
    add("-E", dest="mode", action="store_const", const="-E", help="only preprocess; to stdout without -o")
    add("-v", "--verbose", action="store_true", help="print all that the compiler says")
    text = "print what an editor needs to know: the flags, as compile_flags.txt or c_cpp_properties.json"
    add("--print-flags", nargs="?", choices=("clangd", "vscode"), const="clangd", help=text)
    _add_flags(parser)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    """The compiler's, for --help: words.py has taken them out."""
    text = "the compiler's flags, as for any cc: -I, -include, -O, -g, -W, -f, -std=, -D, -U"
    parser.add_argument("-D", dest="compiler_flag", metavar="NAME[=VALUE]", help=text)


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


def _grade(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("submissions", metavar="DIR", nargs="+", help="what a student has handed in")
    text = "the hidden test; can be repeated (default: test_*.py in the current directory)"
    add("--test", metavar="FILE", action="append", default=[], help=text)
    text = "where the results go, a folder for each DIR (default: %(default)s)"
    add("-o", dest="out", metavar="OUT", default="grades", help=text)
    text = "how many submissions are graded at a time (default: one for each CPU)"
    add("-j", dest="jobs", type=int, metavar="N", help=text)
    text = "limit of wall time for each submission, in seconds (default: %(default)s)"
    add("--timeout", metavar="S", default="300", help=text)
    add("--max-time", metavar="S", help="limit of virtual time for each test, where its marker does not say")
    add("--kernel", action="store_true", help="each DIR is a source tree, whose kernel is to be graded")
    text = "each DIR has files of a source tree: lay them over a copy of TREE, and grade its kernel"
    add("--tree", metavar="TREE", help=text)
    text = "with a kernel: where the sources are that tests name (default: beside the test)"
    add("--programs", metavar="DIR", help=text)


def _doctor(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell is to complete")


def _lab(parser: argparse.ArgumentParser) -> None:
    known = parser.add_subparsers(metavar="list | new", required=True, dest="what", parser_class=_Parser)
    known.add_parser("list", help="list the labs", allow_abbrev=False)
    new = known.add_parser("new", help="make the folder of a lab", allow_abbrev=False)
    new.add_argument("name", metavar="LAB", help="its name, as `orrery lab list` has it")
    new.add_argument("folder", metavar="DIR", nargs="?", help="the folder to make (default: the lab's name)")


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
    "lab": ("make a lab on the kernel: a tree for the students, hidden tests, a solution", _lab),
    "grade": ("run the tests of a lab on each submission of a class", _grade),
    "doctor": ("say what is missing here, and how to mend it", _doctor),
    "completion": ("print what makes a shell complete these commands: source it", _completion),
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
    text = "seed of what is left to chance: nothing yet (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=text)
    add("-m", "--mem", type=int, default=128, metavar="MIB", help="memory (default: %(default)s)")
    engine_help = "what runs the instructions (default: %(default)s)"
    add("--engine", choices=("fast", "public"), default="fast", help=engine_help)
    add("--lab", type=int, metavar="YEAR", help="have the system calls of the course's labs of YEAR")
    add("--usyscall", action="store_true", help="map the page at USYSCALL that the page-table lab asks for")
    add("--ustack", type=int, metavar="N", help="pages of each user stack (default: as the program asks)")
    _add_layout(parser, None, LAYOUT_HELP)


def _add_layout(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    parser.add_argument("--layout", choices=("stock", "lab"), default=default, help=text)


def _add_program(parser: argparse.ArgumentParser, text: str, nargs: str | None = None) -> None:
    """FILE and what follows it."""
    _add_flags(parser)
    parser.add_argument("program", metavar="FILE", nargs=nargs, help=text)
    sources_help = "more sources or objects (.o) of the program, right behind FILE; -- ends them"
    parser.add_argument("sources", metavar="SRC", nargs="*", default=[], help=sources_help)
    args_help = "its arguments: all that follows is for the program, options too"
    parser.add_argument("args", metavar="ARG", nargs="*", default=[], help=args_help)
