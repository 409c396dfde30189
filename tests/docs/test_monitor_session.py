"""docs/monitor.md shows what the monitor says: each block that begins with `(orrery) COMMAND` is made again.

Only its shape is compared, since numbers vary.  `.venv/bin/python tests/docs/refresh.py` makes it anew.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from blocks import DOCS, shape

from emu.clock import TICKS_PER_S
from kernel.abi.memlayout import PGSHIFT
from orrery import Machine
from orrery.inspect import pages
from orrery.inspect.monitor import COMMANDS, Monitor, find
from toolchain import cc

HOLDER = DOCS.parent / "tests" / "system" / "programs" / "holder.c"
DOCUMENT = DOCS / "monitor.md"
BLOCK = re.compile(r"(?<=^```text\n)\(orrery\) (?P<command>.*)\n(?:.*\n)*?(?=^```$)", re.MULTILINE)
DUMPED = re.compile(r"^0x\w{10}  (\w\w .*)$", re.MULTILINE)  # code, which changes with every edit
A_TEXT_FRAME = re.compile(r"(?<=frame )0x\w+")  # stands for the number of the first of the shell's text


@contextmanager
def monitor() -> Iterator[Monitor]:
    """Of the machine that the document tells of."""
    with Machine(modules={b"holder": cc.compile_user([HOLDER], debug=False)}) as machine:
        machine.boot().sh("sleep 1000 | wc &")
        machine.sh("holder &")
        machine.run(machine.board.clock.now + TICKS_PER_S)
        yield Monitor(machine)


def made_again(monitor: Monitor, command: str) -> str:
    kernel = monitor.kernel
    shell = kernel.procs.find(2)
    assert shell is not None
    pa = pages.find(kernel.ram, shell.space.root, 0) or 0
    command = A_TEXT_FRAME.sub(hex(pa >> PGSHIFT), command)
    return f"(orrery) {command}\n{monitor.execute(command)}"


def comparable(block: str) -> list[str]:
    return shape(DUMPED.sub("dumped", block).splitlines())


def test_the_document_shows_what_the_monitor_says() -> None:
    blocks = [(found["command"], found[0]) for found in BLOCK.finditer(DOCUMENT.read_text())]
    with monitor() as at_rest:
        for command, block in blocks:
            assert comparable(block) == comparable(made_again(at_rest, command))
    shown = {find(command.split()[0]).name for command, _ in blocks}
    assert shown == {c.name for c in COMMANDS} - {"regs", "quit"}


def renewed_page() -> str:
    """The text of the document with every block made anew."""
    with monitor() as at_rest:
        return BLOCK.sub(lambda found: made_again(at_rest, found["command"]), DOCUMENT.read_text())
