"""A machine for tests of the debugger: one program of the test's own, which init runs."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from orrery_cli import INCLUDES

from kernel.abi import elf
from orrery import Machine
from orrery.debugger.target import Target
from toolchain import cc, fsimage, image

PID = 2  # of the program: init is 1


class Debugged:
    """A machine that is about to run `source`, and its target."""

    def __init__(self, source: str) -> None:
        self.symbols = symbols(source)
        self.machine = Machine(**options(source))
        self.target = Target(self.machine)


def options(source: str, mem_mib: int = 128) -> dict[str, Any]:
    """Of a machine that is to run `source`."""
    return {
        "drive": image.rebuilt(image.default_image(), {"prog": cc.strip(compiled(source))}),
        "init_argv": (b"/init", b"prog"),
        "modules": {b"/init": init()},
        "mem_mib": mem_mib,
    }


def symbols(source: str) -> dict[str, int]:
    """The addresses of what the program declares."""
    program = compiled(source)
    header = elf.Header.unpack(program)
    assert header is not None, "the compiler makes ELF files"
    return elf.symbols(program, header)


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


def kernel_symbols() -> dict[str, int]:
    """The addresses of the kernel's assembly."""
    content = image.kernel_elf()
    header = elf.Header.unpack(content)
    assert header is not None, "the kernel is an ELF file"
    return elf.symbols(content, header)
