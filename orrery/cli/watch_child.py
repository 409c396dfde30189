"""The machine under `orrery boot --watch` and `run --watch`: one run, in a process of its own.

Run by watch.py as `python -m orrery.cli.watch_child FD boot ...`, FD being its end of the socket (watch.py
has the protocol).  First everything is loaded and built, and what is wrong with a source is said in one line;
so nothing of the sources is imported above.  Then it is `orrery boot`, with lines to type again.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orrery.cli import command_line
from orrery.cli.messages import say
from orrery.cli.watch import ROOT, WATCHED, file_line
from orrery.console import shutdown
from orrery.console.exit_status import BY_SIGNAL
from orrery.errors import BadInput

if TYPE_CHECKING:
    from orrery.cli.session import Options
    from orrery.machine.machine import Machine

BROKEN: Final = 1


def main() -> int:
    """As the command says; the exit status."""
    fd, command, *words = sys.argv[1:]
    try:
        with shutdown.in_order([command], own=True):
            _load()
            return command_line.main([command, f"--watched={fd}", *words])
    except shutdown.CommandEnded as ended:
        return ended.status
    except Exception as error:  # any: the sources are being edited
        say(f"orrery: {trouble(error)}")
        _teller(int(fd))(b"broken")
        return BROKEN


def _load() -> None:
    """Import and build all that a boot takes."""
    import orrery.machine.machine  # noqa: F401  (the emulator and the kernel with it)
    from toolchain import image

    image.kernel_elf()
    image.default_image()


@contextmanager
def making(fd: int, paths: Iterable[Path]) -> Iterator[None]:
    """A `with` statement in which the program is made from the files `paths`.

    The parent at the other end of `fd` is told of them before, and if they cannot be used.
    """
    from toolchain.diagnostics import CompileError

    tell = _teller(fd)
    for path in dict.fromkeys(map(str, paths)):
        tell(file_line(path))
    try:
        yield
    except (BadInput, CompileError):
        tell(b"broken")
        raise


def trouble(error: Exception) -> str:
    """What is wrong with the sources, and where: one line, or of C each error."""
    cc = sys.modules.get("toolchain.cc")
    if cc is not None and isinstance(error, cc.CompileError):
        return "\norrery: ".join(error.errors()).replace(f"{ROOT}{os.sep}", "")
    if isinstance(error, SyntaxError) and error.filename is not None:
        file, line, what = error.filename, error.lineno, error.msg
    else:
        entries = traceback.extract_tb(error.__traceback__)
        ours = [entry for entry in entries if _in_tree(entry.filename).startswith(WATCHED)]
        entry = (ours or entries)[-1]
        file, line, what = entry.filename, entry.lineno, str(error)
    return f"{_in_tree(file)}:{line}: {type(error).__name__}: {' '.join(what.split())}"


def _in_tree(file: str) -> str:
    return file.removeprefix(f"{ROOT}{os.sep}")


def play(machine: "Machine", options: "Options", fd: int, say: Callable[[str], None]) -> int:
    """One session of `machine`, as commands.py's, in touch with the parent through socket `fd`."""
    from orrery.cli.session import Session
    from orrery.cli.shell_lines import GivenLines

    tell = _teller(fd)
    with open(fd, "rb", closefd=False) as parent:
        again = tuple(line.removesuffix(b"\n") for line in parent)
    machine.hub.add(GivenLines(machine, lambda line: tell(b"> " + line)))
    status = Session(machine, replace(options, again=again), say).play()
    tell(b"left" if _left(machine, options, status) else b"over")
    return status


def _left(machine: "Machine", options: "Options", status: int) -> bool:
    """Whether the person has ended the run, at the terminal or by closing what the output went to."""
    if machine.board.exit_code is not None:
        return False
    return status == (0 if not options.commands else BY_SIGNAL + signal.SIGPIPE)


def _teller(fd: int) -> Callable[[bytes], None]:
    """A function that sends the parent a message; without a parent this is an ordinary boot."""

    def tell(message: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            os.write(fd, message + b"\n")

    return tell


if __name__ == "__main__":
    sys.exit(main())
