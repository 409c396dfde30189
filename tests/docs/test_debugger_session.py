"""docs/debugger.md shows what the debugger says: each block behind `<!-- session: PROGRAM -->` is made again.

Only its shape is compared, since addresses vary.  To renew the blocks in place:
.venv/bin/python tests/docs/test_debugger_session.py
"""

import re
import subprocess
import sys
from pathlib import Path

from blocks import DOCS, ROOT, missing_lines, shape

DOCUMENT = DOCS / "debugger.md"
BLOCK = re.compile(
    r"(?P<mark>^<!-- session: (?P<program>\S+) -->\n```text\n)(?P<body>(?:.*\n)*?)(?=^```$)", re.MULTILINE
)
COMMAND = re.compile(r"^(?:\(orrery\) |>)(.+)$", re.MULTILINE)
ORRERY = Path(sys.executable).with_name("orrery")
WALL_S_MAX = 60


def made_again(program: str, body: str) -> str:
    """The session with the commands of `body`, from the first on."""
    done = subprocess.run(
        [ORRERY, "debug", program],
        input="".join(f"{command}\n" for command in COMMAND.findall(body)),
        capture_output=True,
        text=True,
        timeout=WALL_S_MAX,
        cwd=ROOT,
        check=True,
    )
    assert not done.stderr, done.stderr
    said = done.stdout[done.stdout.index("(orrery)") :].removesuffix("(orrery) \n")
    return "".join(f"{line.rstrip()}\n" for line in said.expandtabs().splitlines())


def test_the_document_shows_what_the_debugger_says() -> None:
    blocks = list(BLOCK.finditer(DOCUMENT.read_text()))
    assert len(blocks) == 7
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
