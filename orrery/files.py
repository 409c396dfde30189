"""The commands about files: programs that are compiled, and disk images that are made and listed.

Called by cli.py.  A file that is written has its old content or the new; what cannot be is a BadInput or its
like.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from emu.drive import SECTOR_SIZE, DriveError, FileDrive
from orrery.errors import BadInput
from orrery.options import is_served
from toolchain import cc, fsimage, hostfile, image, mkfs

CHUNK: Final = 1 << 16  # bytes of a file written at a time
ZEROES: Final = bytes(CHUNK)


def compile_sources(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """cc: compile and link a program."""
    try:
        program = cc.compile_user(
            options.sources, optimize=options.optimize, warn=lambda text: say(text.rstrip("\n"))
        )
    except cc.CompileError as error:
        if options.verbose:
            say(error.details.rstrip("\n"))
        raise
    write_file(Path(options.out), program, mode=0o755)
    return 0


def make_image(options: argparse.Namespace) -> int:
    """mkfs: make a disk image."""
    files = mkfs.collect([Path(name) for name in options.files])
    if options.default:
        content = image.larger(files, options.size, options.layout)
    else:
        content = mkfs.build(files, options.size, layout=options.layout)
    target = Path(options.image)
    if target.exists():
        _refuse_used(target)
    write_file(target, content, mode=0o644)
    return 0


def keep_image(options: argparse.Namespace) -> None:
    """boot --keep: have `--drive` name the image, which is made if it is not there."""
    name: str = options.keep
    why = None
    if options.drive is not None:
        why = f"--drive {options.drive} is another disk"
    elif options.snapshot:
        why = "--snapshot keeps nothing"
    elif options.record is not None:
        why = "a run that is recorded leaves its disk as it was"
    elif is_served(options):
        why = "a gdb may go back in time, which leaves the disk as it was"
    if why is not None:
        raise BadInput(f"--keep {name}: {why}; leave one of them out")
    if not os.path.lexists(name):
        write_file(Path(name), image.larger({}, None, options.layout or "stock"), mode=0o644)
    options.drive = name


def _refuse_used(target: Path) -> None:
    """Raise DriveError where a machine has the image `target` open."""
    if target.stat().st_size and target.stat().st_size % SECTOR_SIZE == 0:
        FileDrive(target).close()


def write_file(target: Path, content: bytes | bytearray, mode: int, *, masked: bool = True) -> None:
    """Write a file so that it has the old content or the new, and an error leaves the old.

    It gets `mode`, without what the umask forbids if `masked`.  Chunks of zeroes become holes of the file, if
    the host can have such.
    """
    if target.is_dir():
        raise BadInput(f"{target}: is a directory; name a file")
    if target.exists() and not target.is_file():
        target.write_bytes(content)  # a device or a pipe
        return
    try:
        fd, new = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}; write it elsewhere") from error
    try:
        with os.fdopen(fd, "wb") as file:
            for start in range(0, len(content), CHUNK):
                chunk = memoryview(content)[start : start + CHUNK]
                if chunk != ZEROES[: len(chunk)]:
                    file.seek(start)
                    file.write(chunk)
            file.truncate(len(content))
            file.flush()
            os.fsync(file.fileno())  # before it takes the old one's place, which a crash would leave empty
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(new, mode & ~umask if masked else mode)
        os.replace(new, target)
    except OSError as error:
        os.unlink(new)
        raise BadInput(f"{target}: cannot be written: {error.strerror}; write it elsewhere") from error


def list_image(options: argparse.Namespace) -> int:
    """lsfs: print what is in a disk image."""
    try:
        with hostfile.mapped(options.image, hostfile.IMAGE_BYTES_MAX) as content:
            fs = fsimage.check(content, options.image, options.layout)
    except OSError as error:
        raise DriveError(f"{options.image}: {error.strerror}; check the name of the image") from error
    try:
        for entry in fs.walk():
            print(entry)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
