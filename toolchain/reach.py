"""Reach: all that a compilation may read, found before it is made, so that its result can be kept under all
that.

Called by objects.py.  From a source on, every name that is mentioned (mentions.py) is looked for in every
directory where the compiler might look, and what is found is read in turn.  What is not there counts too: a
header that comes into being later may shadow another.  The headers of the tree are digested as a whole and
not looked at here, but for what they include themselves, which a directory of the user's may have as well.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolchain import hostfile
from toolchain.mentions import mentions

PLACES_MAX = 20_000  # where names are looked for; past that a result is not kept
ABSENT = ""


@dataclass(slots=True)
class Reach:
    """`found` are the digests of the files, or ABSENT, by their names as the compiler sees them; without
    `certain` there may be more.  `looked` is where was looked, `files` are those that are there, and
    those that the assembler may read; `refused` are what the compiler must not open, as a pipe, and why.
    """

    found: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    looked: list[Path] = field(default_factory=list)
    certain: bool = True
    refused: list[tuple[Path, str]] = field(default_factory=list)

    def parts(self) -> list[str]:
        """For a key."""
        return [part for item in sorted(self.found.items()) for part in item]


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory, under the name `seen` that the compiler has for it."""

    path: Path
    seen: str


def explore(
    text: bytes,
    beside: Directory,
    searched: Sequence[Directory],
    shared: bytes = b"",
    forced: Sequence[str] = (),
) -> Reach:
    """What a source of this `text` in the directory `beside` may read.

    `searched` are the user's directories of headers.  `shared` is the text of the tree's headers, which look
    there too.  `forced` are files that are included before the source.
    """
    reach = Reach()
    pending: list[tuple[Directory, bytes]] = [(beside, text)]
    here = Directory(Path.cwd(), "cwd")
    for name in forced:
        for directory in (here, beside, *searched):
            _look(reach, directory, os.fsencode(name), pending)
    if searched and shared:
        said = mentions(shared)
        for name_ in sorted(said.quoted | said.angled):
            for directory in searched:
                _look(reach, directory, name_, pending)
    while pending:
        directory, text = pending.pop()
        said = mentions(text)
        reach.certain = reach.certain and said.certain
        for name_ in sorted(said.quoted | said.angled):
            for place in (directory, *searched) if name_ in said.quoted else searched:
                _look(reach, place, name_, pending)
        for name_ in said.data:
            reach.files += [one.path / os.fsdecode(name_) for one in (here, beside, *searched)]
    return reach


def _look(reach: Reach, directory: Directory, name: bytes, pending: list[tuple[Directory, bytes]]) -> None:
    """Look for `name` in `directory`; a file that is met for the first time is to be explored."""
    text = os.fsdecode(name)
    seen = text if text.startswith("/") else f"{directory.seen}/{text}"
    if seen in reach.found:
        return
    if len(reach.found) >= PLACES_MAX:
        reach.certain = False
        return
    path = directory.path / text
    reach.looked.append(path)
    content = _read(path)
    if content is None:
        reach.found[seen] = ABSENT
        return
    reach.files.append(path)
    if isinstance(content, OSError):
        reach.found[seen], reach.certain = "none that can be read", False
        reach.refused.append((path, content.strerror or str(content)))
        return
    reach.found[seen] = hashlib.sha256(content).hexdigest()
    pending.append((Directory(path.parent, seen.rpartition("/")[0]), content))


def _read(path: Path) -> bytes | OSError | None:
    """The content of a file; None where there is none, an error where it cannot be known."""
    try:
        return hostfile.read(path, hostfile.SOURCE_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    except OSError as error:
        return error
