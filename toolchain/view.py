"""The view that the compiler has of the files: directories under plain names, in a scratch directory.

Called by objects.py for each run of the compiler.  A source may lie in a directory of any name; options split
at `=` and `,`, and what the compiler lists is escaped in its own ways.  So it is shown a symbolic link to
each directory, and what it says or writes is told in the user's names.  No path of the host gets into an
object.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.names import shown
from toolchain.paths import in_tree

SOURCE = "source"  # the directory of the source
PLACEHOLDER = "\0"  # stands for the scratch directory in what is kept


@dataclass(frozen=True, slots=True)
class Seen:
    """A directory: its name in the view, what it is, and how objects (`recorded`) and messages call it."""

    name: str
    path: Path
    recorded: str
    told: str


class View:
    """`seen` in directory `root`."""

    def __init__(self, root: Path, seen: Sequence[Seen]) -> None:
        self.root = root
        self._seen = seen
        for one in seen:
            (root / one.name).symlink_to(
                os.path.abspath(one.path) if not one.path.is_absolute() else one.path
            )

    def path(self, name: str) -> str:
        """A directory, as the compiler is to be given it."""
        return str(self.root / name)

    def instead(self, source: str, text: bytes) -> list[str]:
        """The options by which the compiler finds this text in the file of the source."""
        shadow, overlay = self.root / "adapted", self.root / "overlay"
        shadow.write_bytes(text)
        file = {
            "type": "file",
            "name": f"{self.path(SOURCE)}/{source}",
            "external-contents": str(shadow),
            "use-external-name": False,
        }
        overlay.write_text(json.dumps({"version": 0, "roots": [file]}))
        return ["-ivfsoverlay", str(overlay)]

    def maps(self) -> list[str]:
        """The options that let objects say what was recorded. The last one that matches wins."""
        pairs = [
            pair
            for one in self._seen
            for pair in ((one.name, one.recorded.rstrip("/") or "."), (f"{one.name}/", one.recorded))
        ]  # the assembler maps the directory alone
        return [f"-ffile-prefix-map={self.root}/{name}={recorded}" for name, recorded in pairs]

    def tell(self, said: str, source: str) -> str:
        """What the compiler said, without the scratch directory's name; `source` is that of the file it
        read.
        """
        said = said.replace(f"{self.path(SOURCE)}/{source}", f"{self.path(SOURCE)}/{shown(source)}")
        return said.replace(str(self.root), PLACEHOLDER)


def told(text: str, seen: Sequence[Seen]) -> str:
    """What tell() gave, in the user's names."""
    for one in seen:
        text = text.replace(f"{PLACEHOLDER}/{one.name}/", shown(one.told))
    return text.replace(f"{PLACEHOLDER}/", "")


def recorded_directory(directory: Path) -> str:
    """How objects call a source's directory: as from the tree's root, or not at all."""
    real = str(directory.resolve())
    name = in_tree(real)
    return "" if name == real else f"{name}/"
