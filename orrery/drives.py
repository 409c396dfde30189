"""Drives: what a machine's disk is made from, checked before any guest sees it.

Called by Machine.  An image that a kernel could not trust is refused here, by name, and is not changed.
"""

import os
from typing import TYPE_CHECKING, TypeAlias

from emu.drive import Drive, DriveError, FileDrive, OverlayDrive, RamDrive
from kernel.abi.disk import LAYOUTS
from orrery.errors import BadInput
from toolchain import hostfile, image

if TYPE_CHECKING:
    from toolchain import fsimage

DriveSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Drive | None"
"""A path (kept), an image in memory or None for a fresh default image (not kept), or a ready Drive."""


def open_drive(
    source: DriveSource, *, snapshot: bool = False, first: str | None = None, layout: str | None = None
) -> Drive:
    """The drive for `source`, its image checked; with `snapshot` nothing is written to the source.

    `first` is the path of the program that the kernel will run from it, `layout` that of its inodes where
    the image does not say it, or what a fresh one is to have.
    Raises BadInput or BadImage, each with one line.
    """
    if source is None:
        return RamDrive(image.default_image(layout), own=True)  # as the image maker made it: not checked
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
    return source


def check_layout(layout: str | None) -> None:
    """Raise BadInput for a layout that there is not."""
    if layout not in (None, *LAYOUTS):
        raise BadInput(f"layout {layout!r}: unknown; there are {' and '.join(LAYOUTS)}")


def _checked(
    drive: Drive, content: "fsimage.Buffer", name: str, first: str | None, layout: str | None
) -> Drive:
    """`drive`, of which this is the content."""
    from toolchain import fsimage

    try:
        fs = fsimage.check(content, name, layout)
        if first is not None and all(entry.path != first for entry in fs.walk()):
            raise BadInput(f"{name}: has no {first}, which starts a machine; `orrery run` brings its own")
    except (fsimage.BadImage, BadInput):
        drive.close()
        raise
    return drive
