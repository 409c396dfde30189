"""The marked blocks of a chapter, and how they are compared with what the machine says today.

<!-- output: trap-entry -->                     the fenced block below is what book_*.py makes
<!-- output: sh-pages, numbers vary -->         the same, but only its shape is compared
<!-- source: kernel/asm/swtch.S -->             its lines stand in that file, in this order
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CHAPTERS = sorted(DOCS.glob("0[1-7]-*.md"))
OUTPUT = re.compile(
    r"(?P<mark><!-- output: (?P<name>[\w-]+)(?P<vary>, numbers vary)? -->\n```\w*\n)"
    r"(?P<body>.*?)(?P<end>^```$)",
    re.MULTILINE | re.DOTALL,
)
SOURCE = re.compile(r"<!-- source: (?P<file>\S+) -->\n```\w*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
ELLIPSIS = "..."


class OutputBlock(NamedTuple):
    """A block of output; `exact`: to the letter, and not only in its shape."""

    name: str
    exact: bool
    lines: list[str]


def output_blocks(text: str) -> Iterator[OutputBlock]:
    for found in OUTPUT.finditer(text):
        yield OutputBlock(found["name"], not found["vary"], found["body"].splitlines())


def shape(lines: list[str]) -> list[str]:
    """Lines without their numbers and the width of their columns; lines that are then alike count once."""
    bare = [" ".join(NUMBER.sub("N", line).split()) for line in lines]
    return [line for line, _ in groupby(bare)]


def renewed(text: str, make: Callable[[str], list[str]]) -> str:
    """The text with every output block made anew by make(name)."""

    def renew(found: re.Match[str]) -> str:
        body = "".join(f"{line}\n" for line in make(found["name"]))
        return found["mark"] + body + found["end"]

    return OUTPUT.sub(renew, text)


def missing_lines(text: str) -> list[str]:
    """Lines of source blocks that are not in their file, or not in that order."""
    missing = []
    for found in SOURCE.finditer(text):
        have = iter([" ".join(line.split()) for line in (ROOT / found["file"]).read_text().splitlines()])
        for line in found["body"].splitlines():
            wanted = " ".join(line.split())
            if wanted and wanted != ELLIPSIS and wanted not in have:
                missing.append(f"{found['file']}: {line}")
                break
    return missing


def scripts(text: str) -> list[str]:
    """The Python scripts of a chapter, which a reader can run as they are."""
    return [found["body"] for found in PYTHON.finditer(SOURCE.sub("", text))]
