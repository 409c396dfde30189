"""The sessions of a page: each block behind `<!-- session: PROGRAM -->`, made again from the commands in it.

docs/debugger.md has some with the debugger, docs/gdb.md with a stock gdb.  Only the shape of a block is
compared, since addresses vary.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from blocks import DOCS, ROOT, shape

Make: TypeAlias = Callable[[str, str], str]  # of a program and the block, the block anew

BLOCK: Final = re.compile(
    r"(?P<mark>^<!-- session: (?P<program>\S+) -->\n```text\n)(?P<body>(?:.*\n)*?)(?=^```$)", re.MULTILINE
)
ORRERY: Final = Path(sys.executable).with_name("orrery")
GDB: Final = Path(sys.executable).with_name("gdb")
GDB_COLUMNS: Final = 118
DEBUGGER_PROMPT, GDB_PROMPT = "(orrery) ", "(gdb) "
DEBUGGER_COMMAND: Final = re.compile(r"^(?:\(orrery\) |>)(.+)$", re.MULTILINE)
GDB_COMMAND: Final = re.compile(r"^\(gdb\) (.+)$", re.MULTILINE)
READING: Final = re.compile(
    r"(?:Reading |\[New |process \d+ is executing new program|\[Switching to thread .*\)\]$)"
)
WALL_S_MAX: Final = 240  # on a busy computer; what takes longer hangs


def debugger_session(program: str, block: str) -> str:
    """What `orrery debug` says to the commands, from the first on."""
    done = subprocess.run(
        [ORRERY, "debug", program],
        input="".join(f"{command}\n" for command in DEBUGGER_COMMAND.findall(block)),
        capture_output=True,
        text=True,
        timeout=WALL_S_MAX,
        cwd=ROOT,
        check=True,
    )
    assert not done.stderr, done.stderr
    return _tidy(done.stdout[done.stdout.index(DEBUGGER_PROMPT) :].removesuffix(f"{DEBUGGER_PROMPT}\n"))


def gdb_session(program: str, block: str) -> str:
    """What the gdb of the requirements says; other ones use other words. Not that it reads symbols."""
    commands = GDB_COMMAND.findall(block)
    done = subprocess.run(
        [ORRERY, "gdb", program],
        input="".join(f"{command}\n" for command in commands),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WALL_S_MAX,
        cwd=ROOT,
        env={**os.environ, "GDB": str(GDB), "COLUMNS": str(GDB_COLUMNS), "LC_ALL": "C", "HOME": os.devnull},
        check=True,
    )
    begin, *answers = done.stdout.split(GDB_PROMPT)
    said = begin + "".join(f"{GDB_PROMPT}{c}\n{answer}" for c, answer in zip(commands, answers, strict=False))
    return _tidy("".join(line for line in said.splitlines(keepends=True) if not READING.match(line)))


def _tidy(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.expandtabs().splitlines())


PAGES: Final[dict[Path, Make]] = {DOCS / "debugger.md": debugger_session, DOCS / "gdb.md": gdb_session}


def shapes(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Of each session of a page: its shape as it stands there, and anew."""
    for found in BLOCK.finditer(page.read_text()):
        yield (
            shape(found["body"].splitlines()),
            shape(PAGES[page](found["program"], found["body"]).splitlines()),
        )


def renewed_sessions(page: Path) -> str:
    """The text of a page with every session made anew."""
    make = PAGES[page]
    return BLOCK.sub(lambda found: found["mark"] + make(found["program"], found["body"]), page.read_text())
