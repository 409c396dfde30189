"""docs/gdb.md shows what a stock gdb says: each block behind `<!-- session: PROGRAM -->` is made again.

Only its shape is compared, since addresses vary; and with the gdb of the requirements, since others use other
words.  To renew the blocks in place:  .venv/bin/python tests/docs/test_gdb_page.py
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import DOCS, ROOT, missing_lines, shape

DOCUMENT = DOCS / "gdb.md"
BLOCK = re.compile(
    r"(?P<mark>^<!-- session: (?P<program>\S+) -->\n```text\n)(?P<body>(?:.*\n)*?)(?=^```$)", re.MULTILINE
)
PROMPT = "(gdb) "
COMMAND = re.compile(r"^\(gdb\) (.+)$", re.MULTILINE)
READING = re.compile(
    r"(?:Reading |\[New |process \d+ is executing new program|\[Switching to thread .*\)\]$)"
)
ORRERY = Path(sys.executable).with_name("orrery")
GDB = Path(sys.executable).with_name("gdb")
COLUMNS = 118
WALL_S_MAX = 60


def made_again(program: str, body: str) -> str:
    """The session with the commands of `body`, without what gdb says while it reads symbols."""
    commands = COMMAND.findall(body)
    done = subprocess.run(
        [ORRERY, "gdb", program],
        input="".join(f"{command}\n" for command in commands),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WALL_S_MAX,
        cwd=ROOT,
        env={**os.environ, "GDB": str(GDB), "COLUMNS": str(COLUMNS), "LC_ALL": "C", "HOME": os.devnull},
        check=True,
    )
    begin, *answers = done.stdout.split(PROMPT)
    said = begin + "".join(f"{PROMPT}{c}\n{answer}" for c, answer in zip(commands, answers, strict=False))
    lines = [line.rstrip() for line in said.expandtabs().splitlines() if not READING.match(line)]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.skipif(
    not GDB.exists(), reason="gdb-for-pwndbg is not installed; it is in the requirements for tests"
)
def test_the_document_shows_what_gdb_says() -> None:
    blocks = list(BLOCK.finditer(DOCUMENT.read_text()))
    assert len(blocks) == 4
    for block in blocks:
        made = made_again(block["program"], block["body"])
        assert shape(block["body"].splitlines()) == shape(made.splitlines())


def test_its_sources_are_in_the_tree() -> None:
    assert not missing_lines(DOCUMENT.read_text())


def main() -> None:
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(
        BLOCK.sub(lambda found: found["mark"] + made_again(found["program"], found["body"]), text)
    )


if __name__ == "__main__":
    main()
