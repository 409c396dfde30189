"""The command line: `orrery boot | run | gdb | debug | record | replay | cc | mkfs | lsfs | doctor`.

Every expected error ends in `main`, as one line on stderr and exit status 2.  What a command needs is
imported when it runs, so that boot's prompt comes quickly.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from orrery import __version__
from orrery.errors import BadInput

if TYPE_CHECKING:
    from orrery.machine import Machine
    from orrery.session import Options

Command: TypeAlias = Callable[[argparse.Namespace], int]

BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
CHUNK: Final = 1 << 16  # bytes of a file written at a time
ZEROES: Final = bytes(CHUNK)
RECORDED: Final = ("boot", "run")  # the commands that run a machine
TO_STDERR: Final = "-"  # the value of --strace without a file

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
MKFS_OPTIONS: Final = {"--layout": True, "--size": True}


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line (default: this process's); returns the exit status."""
    _open_standard_files()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(
            _normalised(arguments), argparse.Namespace(words=arguments, record=None)
        )
        command: Command = options.function
        return command(options)
    except _Usage as error:
        say(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            raise
        say(f"orrery: {_one_line(error)}")
    return BAD_INPUT


def say(line: str) -> None:
    """Print a line on stderr; if nobody reads it, that is no reason to fail."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)


def warn(message: str) -> None:
    """A line about something that the run can do without."""
    say(f"orrery: warning: {message}")


# --- errors ---


class _Usage(Exception):
    """The command line cannot be understood; the text is for the person, whole."""


class _Parser(argparse.ArgumentParser):
    """Errors are one line, and come out of main as all others do."""

    def error(self, message: str) -> NoReturn:
        raise _Usage(f"orrery: {message}; `{self.prog} --help` tells what there is")


def _expected_errors() -> tuple[type[Exception], ...]:
    """What is the user's to mend. The modules are loaded where one of their errors was raised."""
    from emu.drive import DriveError
    from toolchain.cc import CompileError
    from toolchain.mkfs import ImageError

    return (BadInput, DriveError, ImageError, CompileError, OSError)


def _one_line(error: Exception) -> str:
    """The error with its remedy, on one line."""
    from toolchain.cc import CompileError

    if isinstance(error, CompileError):
        more = error.details.count("error:") - 1
        others = f" ({more} more)" if more > 0 else ""
        text = str(error)
        return text if not others and ";" in text else f"{text}{others}; correct the source and try again"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check its name and permissions"
    return " ".join(str(error).split("\n"))


def _open_standard_files() -> None:
    """Give stdin, stdout and stderr something to stand for, or the next file opened would be one of them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is fd


# --- the parser ---


def _normalised(arguments: list[str]) -> list[str]:
    """The arguments in a form that argparse takes.

    --strace takes its file only after `=`.  In `run FILE args...`, and in gdb's, the machine's long options
    may come behind FILE too; everything else there, and all behind `--`, is for the program.  Those of mkfs
    may stand between its files.
    """
    if arguments[:1] == ["record"]:
        return _before_command(arguments)
    if not arguments or arguments[0] not in (*RECORDED, "gdb", "debug", "mkfs"):
        return arguments
    if arguments[0] == "mkfs":
        ours, files = _split(arguments[1:], MKFS_OPTIONS)
        return ["mkfs", *ours, *files]
    ours, program = _split(arguments[1:], MACHINE_OPTIONS) if arguments[0] != "boot" else (arguments[1:], [])
    ours = [f"--strace={TO_STDERR}" if word == "--strace" else word for word in ours]
    return [arguments[0], *ours, *(["--", *program] if program else [])]


def _before_command(arguments: list[str]) -> list[str]:
    """`record` with its own options, and behind -- the recorded command, which is run or boot if not said."""
    own = 1
    while own < len(arguments) and arguments[own].startswith(("-o", "-h", "--help")):
        own += 2 if arguments[own] == "-o" else 1
    command = arguments[own:]
    if command and command[0].startswith("-"):
        command.insert(0, "boot")
    elif command and command[0] not in RECORDED and os.path.isfile(command[0]):
        command.insert(0, "run")
    return [*arguments[:own], "--", *command]


def _split(words: list[str], options: Mapping[str, bool]) -> tuple[list[str], list[str]]:
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


def _parser() -> argparse.ArgumentParser:
    about = "A RISC-V computer in Python: a board, a kernel, a shell."
    parser = _Parser(prog="orrery", description=about, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"orrery {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, function: Command, text: str) -> argparse.ArgumentParser:
        about = f"{text[0].upper()}{text[1:]}."
        added = commands.add_parser(name, help=text, description=about, allow_abbrev=False)
        added.set_defaults(function=function)
        return added

    boot = command("boot", _boot, "boot to a shell")
    boot.add_argument(
        "-c", action="append", default=[], metavar="LINE", help="type LINE, print its output, switch off"
    )
    boot.add_argument(
        "--watch", action="store_true", help="boot anew, and type the last lines again, when a source changes"
    )
    boot.add_argument("--watched", type=int, help=argparse.SUPPRESS)  # the socket to orrery/watch.py
    _add_machine_options(boot)
    run = command("run", _run, "run a C or assembly source, or an ELF file, as a user program")
    _add_machine_options(run)
    run.add_argument("--for-gdb", metavar="WHOSE", help=argparse.SUPPRESS)  # from orrery/gdb/client.py
    run.add_argument("program", metavar="FILE", help="the program")
    run.add_argument("args", metavar="ARG", nargs="*", help="its arguments; none behind -- is an option")
    gdb = command("gdb", _gdb, "run a program and start a gdb on it, stopped in main")
    _add_machine_options(gdb)
    gdb.add_argument("program", metavar="FILE", help="the program; a source is compiled without optimization")
    gdb.add_argument("args", metavar="ARG", nargs="*", help="its arguments, as for run")
    debug = command("debug", _debug, "debug a program, a boot or a recorded run with the built-in debugger")
    _add_hardware_options(debug)
    debug.add_argument(
        "-c", action="append", default=[], metavar="LINE", help="without FILE: type LINE for the shell"
    )
    debug.add_argument(
        "program",
        metavar="FILE",
        nargs="?",
        help="a program, or a source, which is compiled without optimization, or a recording; "
        "without it a machine boots to a shell",
    )
    debug.add_argument("args", metavar="ARG", nargs="*", help="its arguments; none behind -- is an option")
    record = command("record", _record, "record a run, so that it can be made again")
    record.add_argument("-o", dest="out", metavar="RUN.ORR", required=True, help="the recording to write")
    record.add_argument(
        "command", metavar="COMMAND", nargs="*", help="boot or run, and what follows it; else it is guessed"
    )
    replay = command("replay", _replay, "make a recorded run again, the same to the instruction")
    replay.add_argument("recording", metavar="RUN.ORR", help="the recording")
    replay.add_argument("--drive", metavar="IMG", help="where the image is now with which the run began")
    replay.add_argument("--engine", choices=("fast", "public"), help="what runs the instructions, as for run")
    replay.add_argument(
        "--gdb", nargs="?", const=GDB_PORT, metavar="[HOST:]PORT", help="wait for a gdb there (default: 1234)"
    )
    cc = command("cc", _cc, "compile and link a user program")
    cc.add_argument("-o", dest="out", metavar="OUT", required=True, help="the ELF file to write")
    cc.add_argument("sources", metavar="SRC", nargs="+", help="C or assembly sources")
    cc.add_argument("-v", "--verbose", action="store_true", help="print all that the compiler says")
    cc.add_argument("-O0", dest="optimize", action="store_false", help="do not optimize: for a debugger")
    mkfs = command("mkfs", _mkfs, "make a disk image; a leading _ of a file's name is dropped")
    mkfs.add_argument("image", metavar="IMG", help="the image to write")
    mkfs.add_argument("files", metavar="FILE", nargs="*", help="what goes into its root directory")
    _add_layout(mkfs, "stock", "how its inodes number blocks; lab: for files up to 64 MiB")
    size_help = "its size, in blocks of 1024 bytes (default: 8192; lab: 200000)"
    mkfs.add_argument("--size", type=int, metavar="N", help=size_help)
    lsfs = command("lsfs", _lsfs, "list an image: inode, type, links, size, path")
    lsfs.add_argument("image", metavar="IMG", help="the image to read")
    _add_layout(lsfs, None, LAYOUT_HELP)
    command("doctor", _doctor, "say what is missing here, and how to mend it")
    return parser


LAYOUT_HELP: Final = "how the disk's inodes number blocks, where the image does not say it"


def _add_layout(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    parser.add_argument("--layout", choices=("stock", "lab"), default=default, help=text)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    """The options that boot and run share; MACHINE_OPTIONS lists the long ones."""
    add = parser.add_argument
    add("--snapshot", action="store_true", help="keep nothing of what is written to the drive")
    add("--strace", metavar="[=FILE]", help="print every system call to stderr, or to FILE")
    add("--digest", action="store_true", help="print a digest of the machine and its time at the end")
    add("--max-time", metavar="S", help="limit of virtual time, in seconds")
    add("--timeout", metavar="S", help="limit of wall time, in seconds")
    _add_hardware_options(parser)
    add("-s", dest="gdb", action="store_const", const=GDB_PORT, help="serve a gdb on port 1234")
    add("-S", dest="gdb_wait", action="store_true", help="start only when a gdb has come and says so")
    add("--gdb", metavar="[HOST:]PORT", help="serve a gdb there (default host: this computer alone)")


def _add_hardware_options(parser: argparse.ArgumentParser) -> None:
    """Those of them that say what machine it is."""
    add = parser.add_argument
    add("--drive", metavar="IMG", help="the disk, which keeps what is written (default: a fresh one)")
    add("--seed", type=int, default=0, metavar="N", help="seed of all that is left to chance")
    add("-m", "--mem", type=int, default=128, metavar="MIB", help="memory (default: %(default)s)")
    add("--engine", choices=("fast", "public"), default="fast", help="what runs the instructions")
    add("--lab", type=int, metavar="YEAR", help="have the system calls of the course's labs of YEAR")
    add("--usyscall", action="store_true", help="map the page at USYSCALL that the page-table lab asks for")
    _add_layout(parser, None, LAYOUT_HELP)


# --- commands that run a machine ---


def _boot(options: argparse.Namespace) -> int:
    if options.watch:
        return _watch(options)
    from orrery.machine import Machine

    settings = _session_options(options, commands=_command_lines(options.c))
    with _machine(options, Machine) as machine:
        if options.watched is not None:
            from orrery import watched

            return watched.play(machine, settings, options.watched, say)
        return _play(machine, settings, options)


def _watch(options: argparse.Namespace) -> int:
    from orrery.watch import Watch

    if _is_served(options):
        raise BadInput("--watch: each change is another machine, and a gdb stays with one; leave one out")
    if not options.c and not os.isatty(0):
        raise BadInput("--watch: nobody is at a terminal to type; give a line with -c")
    words = [word for word in options.words if word != "--watch"]
    return Watch(words, say, again=not options.c).run()


def _run(options: argparse.Namespace) -> int:
    from functools import partial

    from orrery import program as programs
    from orrery.machine import Machine
    from toolchain import fsimage, image

    settings = _session_options(options, program=True)
    program = programs.load(
        options.program, options.args, lambda text: say(text.rstrip("\n")), optimize=options.for_gdb is None
    )
    init = fsimage.FsImage(image.default_image()).read("/init")
    make = partial(
        Machine,
        init_argv=(b"/init", *program.argv),
        modules={b"/init": init, program.name: program.elf},
    )
    with _machine(options, make) as machine:
        return _play(machine, settings, options, make.keywords)


def _record(options: argparse.Namespace) -> int:
    command, *rest = options.command or ["boot"]
    if command not in RECORDED:
        raise BadInput(
            f"record: {command!r} is no run and no file; give {' or '.join(RECORDED)} and the rest"
        )
    words = [command, *rest]
    run = _parser().parse_args(_normalised(words), argparse.Namespace(words=words, record=options.out))
    if command == "boot" and run.watch:
        raise BadInput("record: --watch makes many runs; record one of them")
    if _is_served(run):
        raise BadInput("record: a gdb may change the run, which is not recorded; leave -s, -S and --gdb out")
    function: Command = run.function
    return function(run)


def _replay(options: argparse.Namespace) -> int:
    from orrery import replay
    from orrery.debugger import recording

    recorded = recording.load(options.recording)
    if options.engine is not None:
        recorded.machine["engine"] = options.engine
    return replay.play(recorded, options.drive, say, _gdb_address(options))


def _gdb(options: argparse.Namespace) -> int:
    from orrery.gdb import client

    return client.run(options.words[1:], options.program)


def _machine(options: argparse.Namespace, make: "Callable[..., Machine]") -> "Machine":
    if options.snapshot and options.drive is None:
        raise BadInput("--snapshot: there is no drive to protect; name one with --drive")
    return make(**_keywords(options), warn=warn)


def _debug(options: argparse.Namespace) -> int:
    from pathlib import Path

    from orrery import program as programs
    from orrery.debugger import launch

    options.snapshot, options.record = options.drive is not None, None  # the drive is left as it is
    path = options.program
    if path is None:
        return launch.boot(_command_lines(options.c), _keywords(options))
    if options.c:
        raise BadInput(f"-c: types a line for a shell, and {path} runs without one; leave out -c or {path}")
    if launch.is_recording(path):
        return _debug_recording(options)
    program = programs.load(path, options.args, lambda text: say(text.rstrip("\n")), optimize=False)
    return launch.program(program, Path(path).resolve().parent, _keywords(options))


def _debug_recording(options: argparse.Namespace) -> int:
    from orrery.debugger import launch

    given = [word for word in options.words[1:] if word.startswith("-") and not word.startswith("--drive")]
    if given or options.args:
        raise BadInput(
            f"{(given or options.args)[0]}: {options.program} says what machine it is, and what runs there; "
            "only --drive can be given with a recording"
        )
    return launch.recorded(options.program, options.drive)


def _command_lines(texts: Sequence[str]) -> tuple[bytes, ...]:
    """The lines of all -c."""
    lines = [line for text in texts for line in os.fsencode(text).split(b"\n")]
    if texts and lines[-1] == b"" and len(lines) > 1:
        lines.pop()  # the text ended in a newline
    return tuple(lines)


def _keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Machine's, as far as options say them. Who records or debugs leaves the drive as it is."""
    from kernel.abi.syscalls import LAB_YEAR

    return {
        "drive": options.drive,
        "seed": options.seed,
        "mem_mib": options.mem,
        "engine": options.engine,
        "snapshot": options.snapshot or options.record is not None or _is_served(options),
        "lab": LAB_YEAR if options.lab is None else options.lab,
        "usyscall": options.usyscall,
        "layout": options.layout,
    }


def _play(
    machine: "Machine",
    settings: "Options",
    options: argparse.Namespace,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """A session, recorded if asked for; `more` are Machine's keyword arguments beside the options."""
    if options.record is not None:
        from orrery import record

        return record.play(machine, settings, say, options.record, {**_keywords(options), **more})
    from dataclasses import replace

    from orrery.session import Session

    if settings.gdb is not None:
        settings = replace(settings, made_by={**_keywords(options), **more})
    return Session(machine, settings, say).play()


def _is_served(options: argparse.Namespace) -> bool:
    """Whether there is to be a gdb server."""
    return getattr(options, "gdb", None) is not None or getattr(options, "gdb_wait", False)


def _session_options(
    options: argparse.Namespace, commands: tuple[bytes, ...] = (), *, program: bool = False
) -> "Options":
    """The options of a run, with the file for strace opened."""
    from orrery.session import Options

    timeout_s = _seconds("--timeout", options.timeout)
    return Options(
        commands=commands,
        program=program,
        max_ticks=_virtual_ticks(options.max_time),
        timeout_s=None if timeout_s is None else float(timeout_s),
        digest=options.digest,
        strace_fd=_strace_fd(options.strace),
        gdb=_gdb_address(options),
        gdb_wait=options.gdb_wait,
        gdb_owner=getattr(options, "for_gdb", None),
    )


def _gdb_address(options: argparse.Namespace) -> tuple[str, int] | None:
    """Where a gdb server is asked for."""
    text = options.gdb or (GDB_PORT if getattr(options, "gdb_wait", False) else None)
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > PORT_MAX:
        raise BadInput(f"--gdb {text}: no port; give a number up to {PORT_MAX}, as in --gdb {GDB_PORT}")
    return host.strip("[]") or LOOPBACK, int(port)


GDB_PORT: Final = "1234"
PORT_MAX: Final = 65535
LOOPBACK: Final = "127.0.0.1"


def _strace_fd(name: str | None) -> int | None:
    if name is None:
        return None
    if name == TO_STDERR:
        return 2
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise BadInput(f"--strace={name}: {error.strerror}; name a file that can be written") from error


def _virtual_ticks(text: str | None) -> int | None:
    from emu.clock import TICKS_PER_S

    seconds = _seconds("--max-time", text)
    return None if seconds is None else int(seconds * TICKS_PER_S)


def _seconds(option: str, text: str | None) -> "Decimal | None":
    """A positive decimal number of seconds, or None where the option was not given."""
    if text is None:
        return None
    from decimal import Decimal, InvalidOperation

    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = Decimal("nan")
    if seconds.is_nan() or not 0 < seconds < SECONDS_MAX:
        raise BadInput(f"{option} {text}: no time; give a number of seconds, as in {option} 2.5")
    return seconds


SECONDS_MAX: Final = 10**8  # three years: the timers of host and guest both hold it


# --- commands about files ---


def _cc(options: argparse.Namespace) -> int:
    from pathlib import Path

    from toolchain import cc

    try:
        program = cc.compile_user(
            options.sources, optimize=options.optimize, warn=lambda text: say(text.rstrip("\n"))
        )
    except cc.CompileError as error:
        if options.verbose:
            say(error.details.rstrip("\n"))
        raise
    _write_file(Path(options.out), program, mode=0o755)
    return 0


def _mkfs(options: argparse.Namespace) -> int:
    from pathlib import Path

    from toolchain import mkfs

    files = mkfs.collect([Path(name) for name in options.files])
    content = mkfs.build(files, options.size, layout=options.layout)
    target = Path(options.image)
    if target.exists():
        _refuse_used(target)
    _write_file(target, content, mode=0o644)
    return 0


def _refuse_used(target: "Path") -> None:
    """Raise DriveError where a machine has the image `target` open."""
    from emu.drive import SECTOR_SIZE, FileDrive

    if target.stat().st_size and target.stat().st_size % SECTOR_SIZE == 0:
        FileDrive(target).close()


def _write_file(target: "Path", content: bytes | bytearray, mode: int) -> None:
    """Write a file so that it has the old content or the new, and an error leaves the old.

    Chunks of zeroes become holes of the file, if the host can have such.
    """
    import tempfile

    if target.is_dir():
        raise BadInput(f"{target}: is a directory; name a file")
    if target.exists() and not target.is_file():
        target.write_bytes(content)  # a device or a pipe
        return
    try:
        fd, new = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}; write it elsewhere") from error
    try:
        with os.fdopen(fd, "wb") as file:
            for start in range(0, len(content), CHUNK):
                chunk = memoryview(content)[start : start + CHUNK]
                if chunk != ZEROES[: len(chunk)]:
                    file.seek(start)
                    file.write(chunk)
            file.truncate(len(content))
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(new, mode & ~umask)
        os.replace(new, target)
    except OSError as error:
        os.unlink(new)
        raise BadInput(f"{target}: cannot be written: {error.strerror}; write it elsewhere") from error


def _lsfs(options: argparse.Namespace) -> int:
    from emu.drive import DriveError
    from toolchain import fsimage

    try:
        with open(options.image, "rb") as file:
            content = file.read()
    except OSError as error:
        raise DriveError(f"{options.image}: {error.strerror}; check the name of the image") from error
    fs = fsimage.check(content, options.image, options.layout)
    try:
        for entry in fs.walk():
            print(entry)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from orrery import doctor

    return doctor.main()


if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path
