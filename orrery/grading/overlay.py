"""A submission laid over a tree: what the students were given, with the files that one handed in.

Called by grade.py for `orrery grade --tree`.  A student hands in a whole tree, or the files that were
changed, in their folders.  They are others' files: only regular ones are copied, no more than a tree can
sensibly have, and nothing is followed out of the submission.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from toolchain.hostfile import SOURCE_BYTES_MAX
from toolchain.names import shown

TREE: Final = ("emu", "kernel", "orrery", "toolchain", "user")
FILES_MAX: Final = 5000
BYTES_MAX: Final = 1 << 26
LEFT_OUT: Final = ("__pycache__",)  # beside what begins with a dot


class CannotLay(Exception):
    """The submission cannot be laid over a tree; str() says why."""


def lay(tree: Path, submission: Path, target: Path) -> None:
    """Make `target` a copy of `tree` with the files of `submission` in it. Raises CannotLay, OSError."""
    ignored = shutil.ignore_patterns(*LEFT_OUT, ".*")
    shutil.copytree(tree, target, ignore=ignored, symlinks=True)
    files = total = 0
    for name in _files(submission):
        if name.parts[0] not in TREE:
            continue
        content = _read(submission / name, name)
        files, total = files + 1, total + len(content)
        if files > FILES_MAX or total > BYTES_MAX:
            raise CannotLay(f"has more than {FILES_MAX} files or {BYTES_MAX >> 20} MiB")
        path = target / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            what = "a file is where the tree has a folder, or the reverse"
            raise CannotLay(f"{shown(name)}: {what}") from error
    if not files:
        raise CannotLay(f"has no file in {', '.join(TREE)}: files are handed in in their folders")


def _files(submission: Path) -> Iterator[Path]:
    """The names of all files below `submission`, in order; nothing is followed."""
    for folder, folders, files in os.walk(submission):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        for name in folders:
            if Path(folder, name).is_symlink():
                raise CannotLay(f"{shown(Path(folder, name).relative_to(submission))} is a symbolic link")
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name).relative_to(submission)


def _read(path: Path, name: Path) -> bytes:
    """The content of a regular file that is no link. Raises CannotLay."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise CannotLay(f"{shown(name)} is a link or a device, and not a file")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        content = file.read(SOURCE_BYTES_MAX + 1)
    if len(content) > SOURCE_BYTES_MAX:
        raise CannotLay(f"{shown(name)} has more than {SOURCE_BYTES_MAX >> 20} MiB")
    return content
