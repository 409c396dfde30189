"""Disks in the lab's layout: made by mkfs, listed, booted and written; and those that bear no mark."""

from pathlib import Path

import pytest
from orrery_cli import default_files, orrery

from kernel.abi.disk import BSIZE, SUPERBLOCK

LARGE = 400 * BSIZE  # more than stock's layout holds
MARK_AT = BSIZE + SUPERBLOCK.size - 4


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image in the lab's layout with a file that needs it."""
    for name in ("init", "sh", "ls", "cat", "wc", "cp", "rm"):
        (tmp_path / name).write_bytes(default_files()[name])
    (tmp_path / "large").write_bytes(b"0123456789abcde\n" * (LARGE // 16))
    files = sorted(path for path in tmp_path.iterdir())
    path = tmp_path / "fs.img"
    assert orrery("mkfs", path, "--layout", "lab", "--size", "2000", *files).err == ""
    return path


def test_an_image_of_the_lab_is_listed_booted_and_written(image: Path) -> None:
    assert image.stat().st_size == 2000 * BSIZE
    assert f" {LARGE} /large\n" in orrery("lsfs", image).out
    done = orrery("boot", "--drive", image, "-c", "cat large large > larger; wc larger; rm large; ls larger")
    assert done.out.split()[:3] == ["51200", "51200", str(2 * LARGE)] and done.status == 0
    assert f" {2 * LARGE} /larger\n" in orrery("lsfs", image).out


def test_where_the_mark_is_missing_an_option_says_it(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[MARK_AT : MARK_AT + 4] = bytes(4)
    image.write_bytes(content)
    for words in (("lsfs", image), ("boot", "--drive", image, "-c", "ls")):
        done = orrery(*words)
        assert done.status == 2 and f"size {LARGE} is more than a file's 268 blocks; give" in done.err
    assert f" {LARGE} /large\n" in orrery("lsfs", "--layout", "lab", image).out
    done = orrery("boot", "--layout", "lab", "--drive", image, "-c", "wc large")
    assert done.out.split()[2] == str(LARGE)


@pytest.mark.parametrize("words", [("lsfs",), ("boot", "-c", "ls", "--drive")])
def test_an_option_that_contradicts_the_mark_is_refused(image: Path, words: tuple[str, ...]) -> None:
    done = orrery(words[0], "--layout", "stock", *words[1:], image)
    assert done.status == 2 and len(done.lines) == 1
    assert "was made with --layout lab" in done.err and "leave out --layout stock" in done.err


def test_the_wrong_layout_for_an_image_without_a_mark_is_said_to_be_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "fs.img"
    (tmp_path / "f").write_bytes(b"\xff" * 20 * BSIZE)
    orrery("mkfs", path, tmp_path / "f")
    done = orrery("lsfs", "--layout", "lab", path)
    assert done.status == 2 and len(done.lines) == 1 and "leave out --layout lab" in done.err


def test_the_default_size_holds_the_largest_file_and_is_mostly_holes(tmp_path: Path) -> None:
    path = tmp_path / "fs.img"
    orrery("mkfs", path, "--layout", "lab")
    assert path.stat().st_size == 200_000 * BSIZE
    assert path.stat().st_blocks * 512 < 1 << 20


def test_a_fresh_disk_has_the_layout_that_is_asked_for() -> None:
    copies = f"cat {'usertests ' * 4}> f"
    size = 4 * len(default_files()["usertests"])
    assert size > 268 * BSIZE
    assert orrery("boot", "--layout", "lab", "-c", copies, "-c", "ls f").out.split()[3] == str(size)
    assert orrery("boot", "-c", copies).out == "cat: write error\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("mkfs", "IMG", "--layout", "big"), "--layout"),
        (("mkfs", "IMG", "--size", "many"), "--size"),
        (("mkfs", "IMG", "--size", "10"), "too small"),
        (("mkfs", "IMG", "--size", "99999999999"), "too many"),
        (("mkfs", "IMG", "--size", "-1"), "too small"),
        (("boot", "--layout", "big"), "--layout"),
        (("run", "--layout"), "--layout"),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = orrery(*[str(tmp_path / word) if word == "IMG" else word for word in words])
    assert done.status == 2 and len(done.lines) == 1 and says in done.err
    assert not (tmp_path / "IMG").exists()
