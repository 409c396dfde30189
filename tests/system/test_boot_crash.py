"""SIGKILL in mid-write: the machine stops at the n-th write of its drive, and boots again from what is there.

What commands that had ended wrote is on the disk whole, whatever the one that was running left; the image
is sound, and a second crash while the log is replayed does no harm.
"""

from random import Random

import pytest
from boot import System
from shell_model import ROOT, File, Session, Tree

from emu.dev.drive import SECTOR_SIZE, RamDrive
from kernel.abi import disk
from toolchain import fsimage, mkfs
from toolchain.image import default_image

COMMANDS = 60
SAMPLES = 12


class PowerCut(Exception):
    """The host process is gone."""


class CutDrive(RamDrive):
    """A drive that dies in its n-th write, of which some sectors get through."""

    def __init__(self, image: bytes, writes_left: int | None, sectors_kept: int = 0) -> None:
        super().__init__(image)
        self.writes = 0
        self.commits: list[tuple[int, int]] = []  # blocks that a header names, and which write it was
        self._header_sector = fsimage.FsImage(image).superblock.logstart * disk.BSIZE // SECTOR_SIZE
        self._left = writes_left
        self._kept = sectors_kept

    def write(self, sector: int, data: bytes) -> None:
        if self._left is not None and self.writes >= self._left:
            super().write(sector, data[: self._kept * SECTOR_SIZE])
            raise PowerCut
        if sector == self._header_sector:
            self.commits.append((disk.LOG_N.unpack_from(data)[0], self.writes))
        self.writes += 1
        super().write(sector, data)


def flat(tree: Tree, path: str = ROOT) -> dict[str, bytes | None]:
    """Path to content, None for a directory."""
    found: dict[str, bytes | None] = {}
    for name, what in tree.items():
        found[f"{path}/{name}"] = what.data if isinstance(what, File) else None
        if not isinstance(what, File):
            found |= flat(what, f"{path}/{name}")
    return found


def run_until_cut(drive: CutDrive, seed: int) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
    """A session on `drive` to its end or the power cut: the files before and after its last command."""
    session = Session(Random(seed))
    before: dict[str, bytes | None] = {}
    with System(drive=drive) as system:
        try:
            system.boot()
            system.sh(f"mkdir {ROOT}; cd {ROOT}")
            for line in session.lines(COMMANDS):
                if line.pid_file or line.text.startswith("forever"):
                    continue
                system.sh(line.text)
                before = flat(session.top)
        except PowerCut:
            pass
    return before, flat(session.top)


def check_after(image: bytes, before: dict[str, bytes | None], after: dict[str, bytes | None]) -> None:
    """What the last command did not touch is there; the image is sound."""
    fsimage.check(image)
    fs = fsimage.FsImage(image)
    found = {entry.path: entry for entry in fs.walk()}
    for path, content in before.items():
        if path in after and after[path] == content:
            assert path in found, f"{path} is gone"
            if content is not None:
                assert fs.read(path) == content
    for path in found:
        if path.startswith(f"{ROOT}/"):
            assert path in before or path in after, f"{path} was removed, and is back"


def boot_again(image: bytes, writes_left: int | None = None) -> bytes:
    """Boot, look around, write something; the image afterwards, or where the power was cut again."""
    drive = CutDrive(image, writes_left)
    with System(drive=drive) as system:
        try:
            system.boot()
            assert "README" in system.sh("ls /")
            assert system.audit() == []
            assert system.sh("echo again > /again; cat /again; rm /again") == "again\n"
        except PowerCut:
            assert writes_left is not None
        return system.image


def log_count(image: bytes) -> int:
    """How many blocks the log's header names: not 0 in the middle of an installation."""
    start = fsimage.FsImage(image).superblock.logstart * disk.BSIZE
    return int(disk.LOG_N.unpack_from(image, start)[0])


@pytest.mark.parametrize("seed", range(2))
def test_crash_at_a_sample_of_writes(seed: int) -> None:
    base, rng = default_image(), Random(seed)
    whole = CutDrive(base, None)
    run_until_cut(whole, seed)
    assert whole.writes > 100
    replayed = 0
    for n in sorted(rng.sample(range(whole.writes), SAMPLES)):
        drive = CutDrive(base, n, sectors_kept=rng.randrange(3))
        before, after = run_until_cut(drive, seed)
        image = drive.read(0, drive.capacity)
        check_after(image, before, after)
        replayed += log_count(image) > 0
        rebooted = boot_again(image)
        assert log_count(rebooted) == 0
        check_after(rebooted, before, after)
    assert replayed, "some crash came between a commit and the end of its installation"


def test_crash_while_the_log_is_replayed() -> None:
    """Cut at each write of the recovery, and the next boot finishes it."""
    base = default_image()
    whole = CutDrive(base, None)
    run_until_cut(whole, 7)
    most, at = max(whole.commits)
    assert most >= 4, "there is a commit of several blocks"
    drive = CutDrive(base, at + 1)
    before, after = run_until_cut(drive, 7)
    image = drive.read(0, drive.capacity)
    assert log_count(image) == most
    for writes_left in range(log_count(image) + 1):
        again = boot_again(image, writes_left)
        check_after(again, before, after)
        check_after(boot_again(again), before, after)


def used_blocks(image: bytes) -> int:
    fs = fsimage.FsImage(image)
    return sum(map(fs.in_use, range(fs.superblock.size)))


def test_crash_while_a_large_file_goes_in_several_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there as a whole until its name goes; whatever blocks it has left then, the next boot frees."""
    monkeypatch.setattr("kernel.fs.xv6fs.content.BPB", 4)  # as if on a disk 2,000 times as large
    files = {
        name: fsimage.FsImage(default_image()).read(f"/{name}")
        for name in ("init", "sh", "echo", "cat", "ls", "rm", "README")
    }
    big = b"".join(b"%015d\n" % i for i in range(900 * disk.BSIZE // 16))
    base = bytes(mkfs.build({**files, "big": big}, size=2500, ninodes=64, layout="lab"))
    without = used_blocks(bytes(mkfs.build(files, size=2500, ninodes=64, layout="lab")))

    def remove(drive: CutDrive) -> bool:
        with System(drive=drive) as system:
            try:
                system.boot()
                return system.sh("rm big") == ""
            except PowerCut:
                return False

    whole = CutDrive(base, None)
    assert remove(whole) and used_blocks(whole.read(0, whole.capacity)) == without
    assert len([count for count, _ in whole.commits if count]) > 5, "it takes several operations"
    left = []
    for n in range(0, whole.writes, 4):
        drive = CutDrive(base, n, sectors_kept=n % 3)
        assert not remove(drive)
        image = boot_again(drive.read(0, drive.capacity))
        fsimage.check(image)
        names = [entry.path for entry in fsimage.FsImage(image).walk()]
        left.append("/big" in names)
        if left[-1]:
            assert fsimage.FsImage(image).read("/big") == big
        else:
            assert used_blocks(image) == without
    assert left == sorted(left, reverse=True) and True in left and left.count(False) > 5


def test_an_image_of_the_smallest_size_boots() -> None:
    """Few blocks, few inodes: what mkfs makes, the kernel mounts."""
    files = {
        name: fsimage.FsImage(default_image()).read(f"/{name}") for name in ("init", "sh", "echo", "README")
    }
    with System(drive=RamDrive(bytes(mkfs.build(files, size=200, ninodes=16)))) as system:
        system.boot()
        assert system.sh("echo small") == "small\n"
        fsimage.check(system.image)
