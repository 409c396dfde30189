"""Drives: what a machine's disk is made from, checked before any guest sees it.

Called by Machine.  An image that a kernel could not trust is refused here, by name, and is not changed.
"""

import os
from typing import TypeAlias

from emu.drive import Drive, FileDrive, OverlayDrive, RamDrive
from toolchain import image

DriveSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Drive | None"
"""A path (kept), an image in memory or None for a fresh default image (not kept), or a ready Drive."""


def open_drive(source: DriveSource, *, snapshot: bool = False) -> Drive:
    """The drive for `source`, its image checked; with `snapshot` nothing is written to the source.

    Raises DriveError or BadImage, each with one line.
    """
    if source is None:
        return RamDrive(image.default_image())  # as the image maker made it: no need to check
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        return _checked(OverlayDrive(path) if snapshot else FileDrive(path), path)
    if isinstance(source, bytes | bytearray | memoryview):
        return _checked(RamDrive(source), "the image in memory")
    return source


def _checked(drive: Drive, name: str) -> Drive:
    from toolchain import fsimage

    try:
        fsimage.check(drive.read(0, drive.capacity), name)
    except fsimage.BadImage:
        drive.close()
        raise
    return drive
