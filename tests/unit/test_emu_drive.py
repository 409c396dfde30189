"""Drives: what is kept where, who may have a file, and one clear line for each thing that is wrong."""

import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dev.drive import SECTOR_SIZE, Drive, DriveError, FileDrive, OverlayDrive, RamDrive

SECTORS = 8
IMAGE = bytes(range(256)) * (SECTORS * SECTOR_SIZE // 256)
NEW = b"n" * SECTOR_SIZE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    image = tmp_path / "fs.img"
    image.write_bytes(IMAGE)
    return image


MAKERS: dict[str, Callable[[Path], Drive]] = {
    "ram": lambda path: RamDrive(path.read_bytes()),
    "ram from a bytearray": lambda path: RamDrive(bytearray(path.read_bytes())),
    "file": FileDrive,
    "overlay on a file": OverlayDrive,
    "overlay on bytes": lambda path: OverlayDrive(path.read_bytes()),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_behaves_as_a_disk(make: Callable[[Path], Drive], path: Path) -> None:
    drive = make(path)
    assert drive.capacity == SECTORS
    assert drive.read(1, 2) == IMAGE[512:1536]
    drive.write(1, NEW)
    drive.write(6, NEW + NEW)
    drive.flush()
    expected = IMAGE[:512] + NEW + IMAGE[1024:3072] + NEW + NEW
    assert drive.read(0, SECTORS) == expected
    assert drive.read(1, 1) == NEW
    assert drive.read(2, 3) == IMAGE[1024:2560]
    assert drive.read(8, 0) == b""
    digest = hashlib.sha256()
    drive.sha256_update(digest)
    assert digest.digest() == hashlib.sha256(expected).digest()
    for call in (lambda: drive.read(7, 2), lambda: drive.read(-1, 1), lambda: drive.write(8, NEW)):
        with pytest.raises(AssertionError, match="not all on a disk"):
            call()
    with pytest.raises(AssertionError, match="whole sectors"):
        drive.write(0, b"short")
    drive.close()
    drive.close()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_only_a_file_drive_changes_the_file(make: Callable[[Path], Drive], path: Path) -> None:
    drive = make(path)
    drive.write(3, NEW)
    kept = path.read_bytes()[3 * 512 : 4 * 512] == NEW
    assert kept == isinstance(drive, FileDrive)
    drive.close()


def test_ram_drive_leaves_the_image_it_was_given() -> None:
    image = bytearray(IMAGE)
    RamDrive(image).write(0, NEW)
    assert image == IMAGE


def test_a_killed_emulator_loses_nothing_that_was_written(path: Path) -> None:
    child = os.fork()
    if child == 0:
        FileDrive(path).write(2, NEW)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    drive = FileDrive(path)  # and the lock went with it
    assert drive.read(2, 1) == NEW
    drive.close()


def lowest_free_descriptor() -> int:
    free = os.dup(0)
    os.close(free)
    return free


def test_a_refused_drive_leaves_nothing_open(path: Path) -> None:
    writer = FileDrive(path)
    before = lowest_free_descriptor()
    with pytest.raises(DriveError, match="in use"):
        OverlayDrive(path)
    assert lowest_free_descriptor() == before
    writer.close()


def test_one_writer_or_many_readers(path: Path) -> None:
    readers = [OverlayDrive(path), OverlayDrive(path)]
    with pytest.raises(DriveError, match=r"fs\.img: is in use"):
        FileDrive(path)
    for reader in readers:
        reader.close()
    writer = FileDrive(path)
    for maker in (FileDrive, OverlayDrive):
        with pytest.raises(DriveError, match=r"fs\.img: is in use"):
            maker(path)
    writer.close()
    FileDrive(path).close()


def test_a_forked_copy_keeps_the_lock(path: Path) -> None:
    drive = FileDrive(path)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    drive.close()
    with pytest.raises(DriveError, match="in use"):
        FileDrive(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    FileDrive(path).close()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("maker", [FileDrive, OverlayDrive])
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (Path.unlink, "no such file"),
        (make_directory, "is a directory"),
        (make_fifo, "is no regular file"),
        (lambda path: path.write_bytes(b""), "has 0 bytes"),
        (lambda path: path.write_bytes(IMAGE[:-1]), "has 4095 bytes"),
    ],
)
def test_what_is_no_disk_is_told_in_one_line(
    maker: Callable[[Path], Drive], spoil: Callable[[Path], object], says: str, path: Path
) -> None:
    spoil(path)
    with pytest.raises(DriveError, match=says) as error:
        maker(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    if path.is_file():
        os.truncate(path, 512)
        FileDrive(path).close()  # a refused file is not left locked


def test_a_file_that_may_not_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def open_as_a_user(name: str, flags: int) -> int:  # root may write everything, so refuse in its place
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied", name)
        return real_open(name, flags)

    monkeypatch.setattr(os, "open", open_as_a_user)
    with pytest.raises(DriveError, match="Permission denied; make it writable, or run it as a snapshot"):
        FileDrive(path)
    OverlayDrive(path).close()


def test_a_host_that_fails_is_a_drive_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = FileDrive(path)
    os.truncate(path, 1024)
    with pytest.raises(DriveError, match="has become shorter"):
        drive.read(0, 8)

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "fsync", full)
    for call in (lambda: drive.write(0, NEW), drive.flush):
        with pytest.raises(DriveError, match="No space left on device"):
            call()  # type: ignore[no-untyped-call]
    drive.close()


def test_short_writes_are_carried_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real_pwrite(fd, data[:100], at))
    drive = FileDrive(path)
    drive.write(1, NEW + NEW)
    assert path.read_bytes() == IMAGE[:512] + NEW + NEW + IMAGE[1536:]
    drive.close()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, SECTORS - 1), st.integers(0, 4), st.integers(0, 255)), max_size=20))
def test_ram_and_overlay_agree_with_a_bytearray(writes: list[tuple[int, int, int]]) -> None:
    model = bytearray(IMAGE)
    drives = [RamDrive(IMAGE), OverlayDrive(IMAGE)]
    for sector, count, fill in writes:
        count = min(count, SECTORS - sector)
        model[sector * 512 : (sector + count) * 512] = bytes([fill]) * (count * 512)
        for drive in drives:
            drive.write(sector, bytes([fill]) * (count * 512))
            assert drive.read(sector, count) == model[sector * 512 : (sector + count) * 512]
    for drive in drives:
        assert drive.read(0, SECTORS) == model


def test_a_file_that_was_replaced_meanwhile_is_no_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened, then replaced by `orrery put`, then locked: what is written to it would be lost."""
    newer = path.with_name("newer")
    newer.write_bytes(path.read_bytes())
    flock = fcntl.flock

    def replace_first(fd: int, how: int) -> None:
        os.replace(newer, path)
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", replace_first)
    with pytest.raises(DriveError, match="has just been replaced"):
        FileDrive(path)
    monkeypatch.undo()
    FileDrive(path).close()


def test_a_file_is_read_whole_where_the_host_gives_it_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux does with more than 2 GiB; the end of a file that was cut is still seen."""
    content = bytes(range(256)) * 8
    (tmp_path / "img").write_bytes(content)
    pread = os.pread
    monkeypatch.setattr("emu.dev.drive.os.pread", lambda fd, size, at: pread(fd, min(size, 700), at))
    for kind in (FileDrive, OverlayDrive):
        drive = kind(tmp_path / "img")
        assert drive.read(0, 4) == content and drive.read(1, 3) == content[512:]
        os.truncate(tmp_path / "img", 1024)
        with pytest.raises(DriveError, match="has become shorter"):
            drive.read(0, 4)
        drive.close()
        (tmp_path / "img").write_bytes(content)
