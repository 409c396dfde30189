"""Drives: what an image is refused for before a machine has it, whichever way it comes in."""

from pathlib import Path

import pytest

from emu.dev.drive import DriveError, OverlayDrive, RamDrive
from kernel.abi import disk, fcntl
from orrery.errors import BadInput
from orrery.machine.drives import open_drive
from toolchain import image, mkfs
from toolchain.fsimage import BadImage, FsImage

ELF = FsImage(image.default_image()).read("/init")


def made(**files: bytes) -> bytearray:
    return mkfs.build(files, size=300, ninodes=40)


def with_type(content: bytearray, number: int, kind: int) -> bytes:
    at = FsImage(bytes(content)).superblock.inodestart * disk.BSIZE + number * disk.DINODE_SIZE
    content[at] = kind
    return bytes(content)


def broken() -> bytes:
    """A number behind the size of /init, in inode 2: that of the super block."""
    content = made(init=b"\x7fELF")
    at = FsImage(bytes(content)).superblock.inodestart * disk.BSIZE + 2 * disk.DINODE_SIZE
    content[at + 12 + 4 * 5] = 1
    return bytes(content)


def test_every_way_in_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "bad.img"
    path.write_bytes(broken())
    ways = {
        str(path): (path, str(path)),
        "the image in memory": (broken(), bytearray(broken()), memoryview(broken())),
        "the drive": (RamDrive(broken()), OverlayDrive(broken())),
    }
    for name, sources in ways.items():
        for source in sources:
            for snapshot in (False, True):
                with pytest.raises(BadImage) as caught:
                    open_drive(source, snapshot=snapshot, first="/init")
                assert str(caught.value).startswith(f"{name}: inode 2: block 1 belongs to the boot")
    assert path.read_bytes() == broken()


def test_a_drive_that_cannot_be_read_is_left_to_the_kernel() -> None:
    class Failing(RamDrive):
        def read(self, sector: int, count: int) -> bytes:
            raise DriveError("it is broken")

    drive = Failing(broken())
    assert open_drive(drive, first="/init").drive is drive


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(made()), "has no /init"),
        (bytes(made(init=b"echo hello\n")), "/init: not an ELF file"),
        (bytes(made(init=ELF[:100])), "/init: truncated"),
        (bytes(made(init=b"")), "/init: not an ELF file"),
        (with_type(made(init=b""), 2, fcntl.T_DEVICE), "/init, which starts a machine, is a device"),
    ],
)
def test_what_cannot_start_a_machine(content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_drive(content, first="/init")
    assert said in str(caught.value) and str(caught.value).startswith("the image in memory: ")
    assert "\n" not in str(caught.value)
    assert open_drive(content).drive.capacity == len(content) // 512, "orrery run brings its own"


def test_what_can() -> None:
    for content in (bytes(made(init=ELF)), with_type(made(init=b"/bin"), 2, fcntl.T_SYMLINK)):
        assert open_drive(content, first="/init").drive.capacity == 600
