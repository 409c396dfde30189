"""Machines for tests of the debuggers, which run one program of the test's own; and the built-in debugger."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from orrery_cli import INCLUDES

from kernel.abi import elf
from orrery import Machine
from orrery.debugger.commands.interpreter import Interpreter
from orrery.debugger.commands.run import to_main
from orrery.debugger.debugger import Debugger
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline
from toolchain import cc, fsimage, image

PID = 2  # of the program: init is 1


class Debugged:
    """A machine that is about to run `source`, and its target."""

    def __init__(self, source: str) -> None:
        self.symbols = symbols(source)
        self.machine = Machine(**options(source))
        self.target = Target(self.machine)


class Session:
    """The built-in debugger on `timeline`; `programs` are what it is given, by name."""

    def __init__(self, timeline: Timeline, programs: Mapping[str, bytes], *folders: Path) -> None:
        self.timeline = timeline
        self.debugger = Debugger(timeline, programs, folders)
        self.commands = Interpreter(self.debugger)

    def say(self, *lines: str) -> str:
        """What the last of these commands says."""
        return [self.commands.execute(one) for one in lines][-1]


class ProgramSession(Session):
    """On the program of a file, stopped in main; `greeting` is what it says then."""

    def __init__(self, source: Path) -> None:
        elf = cc.compile_user([source], optimize=False)
        modules = {b"/init": init(), b"prog": elf}
        timeline = Timeline(mem_mib=16, init_argv=(b"/init", b"prog"), modules=modules)
        super().__init__(timeline, {"prog": elf}, source.parent)
        self.greeting = to_main(self.debugger)


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
