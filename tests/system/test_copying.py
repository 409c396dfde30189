"""`orrery get` and `put`, `mkfs --default` and `boot --keep`: files to and from disks, in this process."""

import io
import os
import random
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from orrery_cli import Done
from test_cli_errors import refused

from emu.dev.drive import FileDrive
from kernel.abi import disk, fcntl
from orrery import Machine
from orrery.cli import command_line
from toolchain import fsedit, fsimage, fspath, mkfs
from toolchain.fsimage import FsImage

Run = Callable[..., Done]
TREE = {"a": b"one\n", "empty": b"", "d/b": b"x" * 70_000, "d/deep/er/c": b"\0\xff" * 700}


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Carries out a command line in this process."""

    def carry_out(*words: str | Path) -> Done:
        status = command_line.main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        return Done(status, out.decode("latin-1"), err.decode())

    return carry_out


@pytest.fixture(params=["stock", "lab"])
def img(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small disk of that layout, with a file on it."""
    path = tmp_path / "fs.img"
    path.write_bytes(mkfs.build({"old": b"old\n"}, 2000, 64, request.param))
    return path


def write_tree(folder: Path) -> Path:
    for name, content in TREE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def used(path: Path) -> int:
    fs = FsImage(path.read_bytes())
    return sum(fs.in_use(block) for block in range(fs.superblock.size))


# --- there and back ---


def test_a_file_goes_in_and_comes_out(run: Run, img: Path, tmp_path: Path) -> None:
    source, back = tmp_path / "some file", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 700)
    assert run("put", img, source) == Done(0, "", "")
    assert run("get", img, "some file", back) == Done(0, "", "")
    assert back.read_bytes() == source.read_bytes()
    assert run("get", img, "/old", "-").out == "old\n"
    assert run("put", img, source, "old").status == 0, "as cp: what was there is replaced"
    assert run("get", img, "old", "-").out == source.read_bytes().decode("latin-1")
    assert run("put", img, source, "/there").status == 0 and run("get", img, "//there", back).status == 0


def test_a_folder_goes_in_and_comes_out(run: Run, img: Path, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "src")
    os.symlink("../a", source / "d" / "link")
    assert run("put", "-r", img, source) == Done(0, "", "")
    fsimage.check(img.read_bytes())
    assert run("get", "-r", img, "src", tmp_path / "back").status == 0
    assert read_tree(tmp_path / "back") == read_tree(source)
    assert os.readlink(tmp_path / "back/d/link") == "../a"
    assert run("get", img, "src/d/link", "-").out == "one\n", "a link that is named is followed"
    (tmp_path / "into").mkdir()
    assert run("get", img, "-r", "src", tmp_path / "into").status == 0
    assert read_tree(tmp_path / "into/src") == read_tree(source)
    before = used(img)
    assert run("put", "-r", img, f"{source}/d", "/src").status == 2, "a link is never replaced"
    (source / "d/link").unlink()
    assert run("put", "-r", img, f"{source}/d/", "/src").status == 0, "as cp -r: merged with what is there"
    assert used(img) == before
    assert run("put", "-r", img, f"{source}/.", "/new/").status == 0
    assert run("get", img, "/new/d/b", "-").out == "x" * 70_000


def test_the_kernel_reads_what_was_put_and_we_what_it_wrote(run: Run, tmp_path: Path) -> None:
    img = tmp_path / "keep.img"
    source = write_tree(tmp_path / "src")
    assert run("mkfs", "--default", img, source / "a") == Done(0, "", "")
    assert run("put", "-r", img, source).status == 0
    with Machine(str(img)) as machine:
        assert machine.sh("cat a src/a; wc src/d/b; hexdump src/d/deep/er/c").startswith(
            "one\none\n0 1 70000"
        )
        assert machine.sh("mkdir src/mine; echo two > src/mine/f; rm src/d/b; cp src/a src/b") == ""
    assert run("get", img, "src/mine/f", "-").out == "two\n"
    assert run("get", "-r", img, "/src", tmp_path / "back").status == 0
    expected = {**TREE, "b": b"one\n", "mine/f": b"two\n"}
    del expected["d/b"]
    assert read_tree(tmp_path / "back") == expected


def test_stdin_and_stdout(run: Run, img: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped\xff")))
    assert run("put", img, "-", "/p").status == 0
    assert run("get", img, "p", "-").out == "piped\xff"
    refused(run("put", img, "-"), "needs a name")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    refused(run("put", img, "-", "/"), "is a directory")
    refused(run("get", "-r", img, "/", "-"), "stdout")
    source = write_tree(tmp_path / "src")
    monkeypatch.chdir(tmp_path)
    assert run("put", img, source / "a").status == 0 and run("get", img, "a").status == 0
    assert (tmp_path / "a").read_bytes() == b"one\n", "without HOST it is written here"


def test_random_changes_agree_with_a_model(img: Path) -> None:
    """Files come, grow, shrink and are replaced until the disk is full and beyond; the books balance."""
    rng = random.Random(5)
    editor = fsedit.Editor(img.read_bytes(), "image", FsImage(img.read_bytes()).layout.name)
    folders = {(): 1}
    model: dict[tuple[bytes, ...], bytes] = {(b"old",): b"old\n"}
    full = 0
    for _ in range(300):
        where = rng.choice(list(folders))
        name = bytes(rng.choices(b"abcdefgh", k=1))
        if len(folders) < 8 and rng.random() < 0.1 and (*where, name) not in model:
            folders[(*where, name)] = editor.make_directory(folders[where], name)
        elif (*where, name) not in folders:
            content = rng.randbytes(
                rng.choice((0, 1, 1023, 1024, 5000, 12 * 1024, 13 * 1024 + 1, 99_999, 200_000))
            )
            trial = fsedit.Editor(editor.data, "image")
            try:
                trial.put_file(folders[where], name, content)
            except mkfs.ImageError as error:
                full += 1
                assert "no space left" in str(error) or "no inode left" in str(error)
            else:
                editor = trial
                model[(*where, name)] = content
    assert full > 5
    fs = fsimage.check(editor.data)
    for path, content in model.items():
        assert fs.content(fspath.resolve(fs, b"/".join(path))) == content
    assert sum(entry.type == fcntl.T_FILE for entry in fs.walk()) == len(model)
    owned = sum(
        len(list(filter(None, fs.all_blocks(inode))))
        for inode in map(fs.inode, range(1, fs.superblock.ninodes))
        if inode.type
    )
    data_start = max(end for _, _, end in fs.regions())
    assert sum(fs.in_use(block) for block in range(fs.superblock.size)) == data_start + owned


# --- what is refused leaves all as it was ---


def test_what_does_not_fit_changes_nothing(run: Run, img: Path, tmp_path: Path) -> None:
    before = img.read_bytes()
    big = write_tree(tmp_path / "big")
    for i in range(30):
        (big / f"f{i}").write_bytes(b"y" * 100_000)
    refused(run("put", "-r", img, big), str(img), "no space left")
    many = tmp_path / "many"
    many.mkdir()
    for i in range(64):
        (many / f"f{i}").touch()
    refused(run("put", "-r", img, many), "no inode left")
    (tmp_path / "fifteen_letters").touch()
    refused(run("put", img, tmp_path / "fifteen_letters"), "name of 15 bytes")
    refused(run("put", img, big / "a", "x/y/z"), "x/y")
    refused(run("put", img, big / "a", "old/z"), "old")
    refused(run("put", img, big / "a", "new/"), "new/")
    refused(run("put", img, big), "-r")
    refused(run("put", img, tmp_path / "nofile"), "nofile", "no such file")
    refused(run("put", img, "/dev/zero"), "/dev/zero", "no regular file")
    refused(run("put", "-r", img, big, "old"), "old")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(70 << 20)
    refused(run("put", img, tmp_path / "large"), "at most")
    assert img.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_cannot_be_got(run: Run, img: Path, tmp_path: Path) -> None:
    refused(run("get", img, "/nofile", tmp_path / "x"), "/nofile", "no such file or directory")
    refused(run("get", img, "old/", tmp_path / "x"), "not a directory")
    refused(run("get", img, "old/x", tmp_path / "x"), "old/x")
    refused(run("get", img, "/", tmp_path / "x"), "-r")
    refused(run("get", img, "old", tmp_path / "nodir" / "x"), "nodir")
    refused(run("get", img, "old", f"{tmp_path}/nodir/"), "no such folder")
    refused(run("get", tmp_path / "no.img", "old", "-"), "no.img")
    refused(run("get", tmp_path, "old", "-"), "directory")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "f").touch()
    refused(run("get", "-r", img, "/", tmp_path / "full"), "not empty")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["f"]
    (tmp_path / "full" / "f").unlink()
    assert run("get", "-r", img, "/", tmp_path / "full").status == 0, "into an empty folder all fits"
    assert (tmp_path / "full" / "old").read_bytes() == b"old\n"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_no_output_is_an_input(run: Run, img: Path, tmp_path: Path) -> None:
    before = img.read_bytes()
    (tmp_path / "dir").mkdir()
    os.link(img, tmp_path / "dir" / "again")
    os.symlink(img, tmp_path / "link")
    for other in (img, tmp_path / "dir" / "again", tmp_path / "link"):
        refused(run("put", img, other, "/x"), "the image itself")
        refused(run("get", img, "old", other), "the image itself")
    refused(run("put", "-r", img, tmp_path / "dir"), "the image itself")
    assert img.read_bytes() == before


def test_an_image_in_use_is_refused(run: Run, img: Path, tmp_path: Path) -> None:
    held = FileDrive(img)
    write_tree(tmp_path)
    refused(run("put", img, tmp_path / "a"), "in use")
    refused(run("get", img, "old", "-"), "in use")
    held.close()
    assert run("put", img, tmp_path / "a").status == 0


def test_the_image_keeps_its_mode_and_its_links(run: Run, img: Path, tmp_path: Path) -> None:
    write_tree(tmp_path)
    os.chmod(img, 0o606)
    os.symlink(img, tmp_path / "link")
    assert run("put", tmp_path / "link", tmp_path / "a").status == 0
    assert (tmp_path / "link").is_symlink() and stat.S_IMODE(img.stat().st_mode) == 0o606
    assert run("get", img, "a", "-").out == "one\n"


def test_a_damaged_image_is_refused_and_leads_nowhere(run: Run, tmp_path: Path) -> None:
    img = tmp_path / "fs.img"
    good = mkfs.build({"f": b"x", "g": b"y"}, 200, 64)
    at = good.index(disk.DIRENT.pack(2, b"f"))
    hostile = bytearray(good)
    hostile[at : at + disk.DIRENT_SIZE] = disk.DIRENT.pack(2, b"../../out")
    img.write_bytes(hostile)
    refused(run("get", "-r", img, "/", tmp_path / "x"), "../../out")
    twice = bytearray(good)
    twice[at : at + disk.DIRENT_SIZE] = disk.DIRENT.pack(2, b"g")
    img.write_bytes(twice)
    refused(run("get", "-r", img, "/", tmp_path / "x"), "twice")
    broken = bytearray(good)
    struct.pack_into("<I", broken, disk.BSIZE, 1)
    img.write_bytes(broken)
    for words in (["get", img, "f", "-"], ["put", img, __file__]):
        refused(run(*words), "super block")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fs.img"]
    assert img.read_bytes() == broken


# --- disks to keep ---


def test_a_disk_is_made_once_and_keeps_what_is_written(run: Run, tmp_path: Path) -> None:
    img = tmp_path / "mine.img"
    assert run("boot", "--keep", img, "-c", "echo one > f; cat f").out == "one\n"
    assert FsImage(img.read_bytes()).superblock.size == mkfs.KEPT_SIZE
    assert run("boot", "--keep", img, "-c", "cat f; echo two >> f; cat f").out == "one\none\ntwo\n"
    assert run("get", img, "f", "-").out == "one\ntwo\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["boot", "--drive", "other.img"], "other.img"),
        (["boot", "--snapshot"], "--snapshot"),
        (["boot", "-s"], "gdb"),
        (["record", "-o", "run.orr", "boot"], "recorded"),
    ],
)
def test_keeping_excludes_what_keeps_nothing(run: Run, tmp_path: Path, words: list[str], said: str) -> None:
    refused(run(*words, "--keep", tmp_path / "mine.img"), "--keep", said)
    assert list(tmp_path.iterdir()) == []


def test_a_default_disk_has_the_size_and_layout_that_were_asked_for(run: Run, tmp_path: Path) -> None:
    img = tmp_path / "lab.img"
    (tmp_path / "cat").write_bytes(b"not the cat")
    assert run("mkfs", "--default", "--layout", "lab", "--size", "3000", img, tmp_path / "cat").status == 0
    fs = fsimage.check(img.read_bytes())
    assert (fs.layout.name, fs.superblock.size) == ("lab", 3000)
    assert fs.read("/cat") == b"not the cat" and fs.read("/sh")[:4] == b"\x7fELF"
    refused(run("mkfs", "--default", "--size", "100", img), "100 blocks")
