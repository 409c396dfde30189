"""A recipe: everything that decides what a machine is when it has booted.

Two machines of one recipe are the same machine, so one is booted and the other forked from it:
machine_pool.py writes recipes and compares them, fork_server.py boots by them.  The parts are plain values,
and a file is named together with a stamp that changes when it does.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from orrery.errors import BadInput
from orrery.machine.config import MachineConfig
from toolchain import hostfile, store
from toolchain.reach import Directory, explore

INCLUDED: Final = (".h", ".inc", ".c", ".S", ".s")
INCLUDED_MAX: Final = 1000  # files
NOBODY: Final = b"-"  # stands for the program that a fork is told to run


class Recipe(NamedTuple):
    """The configuration of a machine, and what goes on its disk.

    Its drive is an image, the path of one, or None for the default one; where it says no `lab`, the drive's
    programs do, and where it says no `ustack`, each program gets what it asks for.  `programs` are the paths
    of C or assembly sources, each compiled into a program named as its stem, and `files` are names with
    contents; both are put on the default image, before what has the same name there.  `for_program`: booted
    not to a shell but to where process 1 begins, to run one program.
    """

    config: MachineConfig = MachineConfig()
    drive_stamp: str = ""
    programs: tuple[tuple[str, str], ...] = ()  # path, stamp
    files: tuple[tuple[str, bytes], ...] = ()
    for_program: bool = False
    submission: str | None = None  # the directory that the programs do not reach out of

    def packed(self) -> tuple[Any, ...]:
        """As plain values, for the way to another process."""
        return (self.config.options(), *self[1:])

    @classmethod
    def unpacked(cls, packed: Sequence[Any]) -> Self:
        """The recipe that was packed."""
        options, *rest = packed
        return cls(MachineConfig(**options), *rest)

    @property
    def read_from(self) -> tuple[str, ...]:
        """The paths that making the machine reads, for a sandbox.

        Sources that are no submission may lie beside hidden tests, so of their directories it is only what a
        compiler may want.
        """
        drive = [self.config.drive] if isinstance(self.config.drive, str) else []
        if self.submission is not None:
            return (self.submission, *drive)
        directories = {str(Path(path).parent) for path, _ in self.programs}
        beside = [str(path) for directory in sorted(directories) for path in _for_compiler(Path(directory))]
        return (*(path for path, _ in self.programs), *beside, *drive)


def _for_compiler(directory: Path) -> list[Path]:
    """Headers and sources in `directory` and the directories in it."""
    found = (path for pattern in ("*", "*/*") for path in directory.glob(pattern))
    return sorted(path for path in found if path.suffix in INCLUDED)[:INCLUDED_MAX]


def image_stamp(path: str) -> str:
    """A stamp of the image file at `path`; of none, if there is none: whoever opens it will say so."""
    try:
        stat = os.stat(path)
    except OSError:
        return ""
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size}"


def source_stamp(path: str) -> str:
    """A stamp of the source at `path` with the headers that it may include, there or not.

    By content, as two versions may be of one tick of a file's clock.
    """
    text = _content(Path(path))
    if text is None:
        return ""
    reach = explore(text, Directory(Path(path).parent, "source"), [])
    data = () if reach.certain else tuple(_content(one) or b"" for one in reach.files)  # the assembler's
    return store.digest(text, *reach.parts(), *data)


def _content(path: Path) -> bytes | None:
    try:
        return hostfile.read(path, hostfile.SOURCE_BYTES_MAX)
    except OSError:
        return None


def check_contents(recipe: Recipe) -> None:
    """Raise BadInput for what cannot be put together."""
    if recipe.config.drive is not None and (recipe.programs or recipe.files):
        raise BadInput(
            "a drive and programs or files for it: they go on the default image only; put them on the drive "
            "with `orrery mkfs`"
        )
    names = [Path(path).stem for path, _ in recipe.programs] + [name for name, _ in recipe.files]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two programs or files named {name!r}: an image has one directory; rename one")
