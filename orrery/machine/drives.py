"""Drives: what a machine's disk is made from, checked before any guest sees it.

Called by Machine.  An image that a kernel could not trust is refused here, by name, and is not changed.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

from emu.dev.drive import Drive, DriveError, FileDrive, OverlayDrive, RamDrive
from kernel.abi.fcntl import T_DIR, T_FILE, T_SYMLINK
from orrery.errors import BadInput
from orrery.machine import program
from orrery.machine.config import DriveSource
from orrery.machine.course_year import year_of
from toolchain import hostfile, image

if TYPE_CHECKING:
    from toolchain import fsimage


class Opened(NamedTuple):
    """A drive, and the course's year that its programs are of, where they show it (see course_year.py)."""

    drive: Drive
    year: int | None


def open_drive(
    source: DriveSource, *, snapshot: bool = False, first: str | None = None, layout: str | None = None
) -> Opened:
    """The drive for `source`, its image checked; with `snapshot` nothing is written to the source.

    `first` is the path of the program that the kernel will run from it, `layout` that of its inodes where
    the image does not say it, or what a fresh one is to have.
    A ready Drive is checked too, as far as it can be read: one that fails is for the kernel to cope with.
    Raises BadInput or BadImage, each with one line.
    """
    if source is None:
        fresh = image.default_image(layout)  # as the image maker made it: not checked
        return Opened(RamDrive(fresh, own=True), None)
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        try:
            drive = OverlayDrive(path) if snapshot else FileDrive(path)
        except DriveError as error:
            raise BadInput(str(error)) from error
        try:
            with hostfile.mapped(path, hostfile.IMAGE_BYTES_MAX) as content:
                return _checked(drive, content, path, first, layout)
        except OSError as error:
            drive.close()
            raise BadInput(f"{path}: {error.strerror}; name a disk image") from error
    if isinstance(source, bytes | bytearray | memoryview):
        return _checked(RamDrive(source), source, "the image in memory", first, layout)
    try:
        content = source.read(0, source.capacity)
    except DriveError:
        return Opened(source, None)
    return _checked(source, content, "the drive", first, layout)


def _checked(
    drive: Drive, content: "fsimage.Buffer", name: str, first: str | None, layout: str | None
) -> Opened:
    """`drive`, of which this is the content."""
    from toolchain import fsimage

    try:
        fs = fsimage.check(content, name, layout)
        if first is not None:
            _check_first(fs, name, first)
        return Opened(drive, year_of(fs))
    except (fsimage.BadImage, BadInput):
        drive.close()
        raise


def _check_first(fs: "fsimage.FsImage", name: str, first: str) -> None:
    """Raise BadInput unless the file `first` of an image is a program, or a link that may lead to one."""
    inode = next((fs.inode(entry.ino) for entry in fs.walk() if entry.path == first), None)
    if inode is None:
        raise BadInput(f"{name}: has no {first}, which starts a machine; `orrery run` brings its own")
    if inode.type == T_FILE:
        program.check(fs.content(inode), f"{name}: {first}")
    elif inode.type != T_SYMLINK:
        kind = "a directory" if inode.type == T_DIR else "a device"
        raise BadInput(f"{name}: {first}, which starts a machine, is {kind}; put a program there")
