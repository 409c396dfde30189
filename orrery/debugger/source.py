"""Source text of the files that DWARF and Python's code objects name.

A file is looked for beside the debugged program's source, then in the source tree and among the files that
the toolchain generates.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from toolchain import cc, hostfile


class Sources:
    """Files under `directories`, then in the tree."""

    def __init__(self, directories: Sequence[Path] = ()) -> None:
        self._directories: Final = list(directories)
        self._files: Final[dict[str, list[str]]] = {}

    def add(self, directory: Path) -> None:
        """Look there first from now on."""
        self._directories.insert(0, directory)
        self._files.clear()

    @property
    def directories(self) -> list[Path]:
        """Where files are looked for, before the source tree."""
        return list(self._directories)

    def lines(self, file: str) -> list[str]:
        """The lines of a file; none where it cannot be found."""
        if file not in self._files:
            self._files[file] = self._read(file)
        return self._files[file]

    def line(self, file: str, number: int) -> str:
        """One line with its number, as it is shown where the machine has stopped; or where it would be."""
        lines = self.lines(file)
        if 1 <= number <= len(lines):
            return f"{number}\t{lines[number - 1]}"
        return f"{number}\tin {file}"

    def extract(self, file: str, first: int, last: int, current: int = 0) -> list[str]:
        """Lines `first` to `last`, with numbers, the `current` one marked."""
        lines = self.lines(file)
        numbers = range(max(first, 1), min(last, len(lines)) + 1)
        return [f"{n}{'>' if n == current else ''}\t{lines[n - 1]}" for n in numbers]

    def _read(self, file: str) -> list[str]:
        names = (file, Path(file).name)
        own = (directory / name for directory in self._directories for name in names)
        for path in (*own, cc.source_of(file)):
            try:
                text = hostfile.read(path, hostfile.SOURCE_BYTES_MAX).decode(errors="replace")
                return text.splitlines()
            except OSError:
                continue
        return []
