"""A machine for tests of the debugger: one program of the test's own, which init runs."""

import tempfile
from functools import cache
from pathlib import Path

from orrery_cli import INCLUDES

from kernel.abi import elf
from orrery import Machine
from orrery.debugger.target import Target
from toolchain import cc, fsimage, image

PID = 2  # of the program: init is 1


class Debugged:
    """A machine that is about to run `source`, and its target."""

    def __init__(self, source: str, engine: str = "fast") -> None:
        program = compiled(source)
        header = elf.Header.unpack(program)
        assert header is not None, "the compiler makes ELF files"
        self.symbols = elf.symbols(program, header)
        self.machine = Machine(
            drive=image.rebuilt(image.default_image(), {"prog": cc.strip(program)}),
            engine=engine,
            init_argv=(b"/init", b"prog"),
            modules={b"/init": init()},
        )
        self.target = Target(self.machine)


@cache
def compiled(source: str) -> bytes:
    """The program with its symbols."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "prog.c"
        path.write_text(INCLUDES + source)
        return cc.compile_user([path])


@cache
def init() -> bytes:
    """The init that runs a program."""
    return fsimage.FsImage(image.default_image()).read("/init")
