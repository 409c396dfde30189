"""The command line: `orrery COMMAND ...`, from its words to an exit status.

What a command does is in commands.py.  Every expected error ends in `main`, as one line on stderr and exit
status 2.
"""

import io
import os
import sys
from collections.abc import Sequence

from orrery.cli.arguments import parse
from orrery.cli.commands import COMMANDS, run_command
from orrery.cli.messages import say
from orrery.console import shutdown
from orrery.console.exit_status import BAD_INPUT, INTERRUPTED
from orrery.errors import BadInput


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command line (default: this process's); returns the exit status."""
    _open_standard_files()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with shutdown.in_order(arguments, own=argv is None):
            return run_command(parse(arguments, COMMANDS))
    except KeyboardInterrupt:
        return INTERRUPTED
    except shutdown.CommandEnded as ended:
        return ended.status
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            raise
        for line in _lines(error):
            say(f"orrery: {line}")
    return BAD_INPUT


# --- errors ---


def _expected_errors() -> tuple[type[Exception], ...]:
    """What is the user's to mend. The modules are loaded where one of their errors was raised."""
    from emu.dev.drive import DriveError
    from toolchain.diagnostics import CompileError
    from toolchain.mkfs import ImageError

    return (BadInput, DriveError, ImageError, CompileError, OSError)


def _lines(error: Exception) -> list[str]:
    """The error with its remedy: a line, or of a program that does not compile each error."""
    from toolchain.diagnostics import CompileError
    from toolchain.names import shown

    if isinstance(error, CompileError):
        errors = error.errors()
        if len(errors) > 1:
            return [*errors, f"{len(errors)} errors; correct the source and try again"]
        text = str(error)
        return [text if ";" in text else f"{text}; correct the source and try again"]
    if isinstance(error, OSError) and error.filename is not None:
        return [f"{shown(error.filename)}: {error.strerror}; check its name and permissions"]
    return [shown(str(error))]


def _open_standard_files() -> None:
    """Give stdin, stdout and stderr something to stand for, or the next file opened would be one of them.

    And let what they cannot show be shown as an escape, where the locale knows no more than ASCII; bytes that
    stdin has and the locale does not know are read as those of a file's name are.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is fd
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and (
            stream.errors == "strict" or (stream.errors == "surrogateescape" and stream.encoding != "utf-8")
        ):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper) and sys.stdin.errors == "strict":
        sys.stdin.reconfigure(errors="surrogateescape")
