"""Images: what mkfs writes, the reader finds; what is damaged, the checker names."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi import disk, fcntl, param
from toolchain import fsimage, image, mkfs, paths

NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=14
)
# Sizes around the ends of the direct and the indirect blocks, and any between
SIZES = st.one_of(
    st.sampled_from([0, 1, 1023, 1024, 1025, 12 * 1024, 12 * 1024 + 1, 268 * 1024]),
    st.integers(0, 30 * 1024),
)


def _content(size: int, salt: int) -> bytes:
    """`size` bytes that differ from block to block, so that a misplaced block shows."""
    return b"".join(struct.pack("<II", salt, i) for i in range(-(-size // 8)))[:size]


@given(st.dictionaries(NAMES.filter(lambda name: name not in (".", "..")), SIZES, max_size=8))
@settings(max_examples=40, deadline=None)
def test_round_trip(sizes: dict[str, int]) -> None:
    files = {name: _content(size, salt) for salt, (name, size) in enumerate(sizes.items())}
    data = mkfs.build(files, size=2500, ninodes=32)
    assert len(data) == 2500 * 1024
    fsimage.check(data)
    fs = fsimage.FsImage(data)
    assert {name: fs.read("/" + name) for name in files} == files
    root, *entries = fs.walk()
    assert (root.ino, root.type, root.path) == (1, fcntl.T_DIR, "/")
    assert [(e.type, e.nlink, e.size, e.path) for e in entries] == [
        (fcntl.T_FILE, 1, len(content), "/" + name) for name, content in files.items()
    ]


def test_map_marks_exactly_what_is_used() -> None:
    data = mkfs.build({"a": bytes(20 * 1024)}, size=2000, ninodes=200)
    fs = fsimage.FsImage(data)
    owned = {b for n in (1, 2) for b in (*fs.data_blocks(fs.inode(n)), fs.inode(n).addresses[12]) if b}
    meta = range(fs.superblock.size - fs.superblock.nblocks)
    assert {block for block in range(2000) if fs.in_use(block)} == owned | set(meta)


def test_layout_is_stock() -> None:
    """The regions of an image of stock size lie as xv6's own mkfs lays them out."""
    sb = fsimage.FsImage(mkfs.build({}, size=2000, ninodes=200)).superblock
    assert (sb.nlog, sb.logstart, sb.inodestart, sb.bmapstart) == (31, 2, 33, 46)
    assert sb.nblocks == 2000 - 47


def test_many_files_need_several_directory_blocks() -> None:
    files = {f"f{i}": b"" for i in range(200)}
    fs = fsimage.FsImage(mkfs.build(files))
    assert [entry.path for entry in fs.walk()][1:] == [f"/f{i}" for i in range(200)]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"fifteen_letters": b""}, {}, "fifteen_letters: name of 15 bytes"),
        ({"a/b": b""}, {}, "not a file name"),
        ({"": b""}, {}, "not a file name"),
        ({"..": b""}, {}, "not a file name"),
        ({"big": bytes(268 * 1024 + 1)}, {}, "big: 274433 bytes"),
        ({"a": bytes(100_000)}, {"size": 120}, "a: does not fit"),
        ({"a": b"", "b": b""}, {"ninodes": 3}, "more than 1 files"),
        ({}, {"size": 40}, "40 blocks: too small"),
        ({}, {"ninodes": 70000}, "70000 inodes"),
    ],
)
def test_what_cannot_be_made(files: dict[str, bytes], options: dict[str, int], message: str) -> None:
    with pytest.raises(mkfs.ImageError, match=message):
        mkfs.build(files, **options)


def test_collect_names_files_as_xv6_does(tmp_path: Path) -> None:
    for name in ("_cat", "README", "cat"):
        (tmp_path / name).write_text(name)
    assert mkfs.collect([tmp_path / "_cat", tmp_path / "README"]) == {"cat": b"_cat", "README": b"README"}
    with pytest.raises(mkfs.ImageError, match="a second file named 'cat'"):
        mkfs.collect([tmp_path / "_cat", tmp_path / "cat"])
    with pytest.raises(mkfs.ImageError, match="missing: No such file"):
        mkfs.collect([tmp_path / "missing"])


# ---- damage -------------------------------------------------------------------------------------


class Patient:
    """An image with a directory, a device and files, to be damaged by the tests below.

    Inodes: 1 /, 2 small, 3 large (has an indirect block), 4 d (a directory), 5 console, 6 d/e (one too).
    """

    def __init__(self) -> None:
        files = {
            "small": b"s" * 2000,
            "large": _content(20 * 1024, 7),
            "d": bytes(1024),
            "console": b"",
            "e": bytes(1024),
        }
        self.data = mkfs.build(files, size=300, ninodes=40)
        self.sb = fsimage.FsImage(self.data).superblock
        self.set(4, type=fcntl.T_DIR, size=48)
        self.set(5, type=fcntl.T_DEVICE, major=1)
        self.set(6, type=fcntl.T_DIR, size=32)
        self.directory(4, [(4, b"."), (1, b".."), (6, b"e")])
        self.directory(6, [(6, b"."), (4, b"..")])
        self.entry(1, 6, 0, b"")  # e is below d, not in the root

    def block(self, inode: int, index: int = 0) -> int:
        return self._fields(inode)[5 + index]

    def _fields(self, inode: int) -> list[int]:
        return list(disk.DINODE.unpack_from(self.data, self._offset(inode)))

    def _offset(self, inode: int) -> int:
        return self.sb.inodestart * 1024 + inode * 64

    def set(self, inode: int, address: tuple[int, int] | None = None, **changes: int) -> None:
        """Change fields of an inode by name; `address` is (index, block)."""
        fields = self._fields(inode)
        for name, value in changes.items():
            fields[["type", "major", "minor", "nlink", "size"].index(name)] = value
        if address:
            fields[5 + address[0]] = address[1]
        disk.DINODE.pack_into(self.data, self._offset(inode), *fields)

    def set_super(self, **changes: int) -> None:
        for name, value in changes.items():
            struct.pack_into("<I", self.data, 1024 + 4 * disk.SuperBlock._fields.index(name), value)

    def directory(self, inode: int, entries: list[tuple[int, bytes]]) -> None:
        for slot, (number, name) in enumerate(entries):
            self.entry(inode, slot, number, name)

    def entry(self, inode: int, slot: int, number: int, name: bytes) -> None:
        disk.DIRENT.pack_into(self.data, self.block(inode) * 1024 + slot * 16, number, name)

    def log(self, count: int, targets: list[int]) -> None:
        struct.pack_into(f"<i{len(targets)}I", self.data, self.sb.logstart * 1024, count, *targets)


def test_patient_is_healthy() -> None:
    patient = Patient()
    fsimage.check(patient.data)
    assert [str(entry) for entry in fsimage.FsImage(patient.data).walk()] == [
        "1 1 1 1024 /",
        "2 2 1 2000 /small",
        "3 2 1 20480 /large",
        "4 1 1 48 /d",
        "6 1 1 32 /d/e",
        "5 3 1 0 /console",
    ]


DAMAGE: dict[str, tuple[Callable[[Patient], None], str]] = {
    "magic": (lambda p: p.set_super(magic=1), "not an xv6 file system"),
    "size": (lambda p: p.set_super(size=301), "holds 300: it is truncated"),
    "nblocks": (lambda p: p.set_super(nblocks=301), "301 data blocks"),
    "no inodes": (lambda p: p.set_super(ninodes=0), "0 inodes"),
    "inodes run over": (lambda p: p.set_super(ninodes=4000), "overlaps the inodes"),
    "log on super block": (lambda p: p.set_super(logstart=1), "log at block 1 overlaps the boot"),
    "log length": (lambda p: p.set_super(nlog=4000), "a log of 4000 blocks"),
    "inodes outside": (lambda p: p.set_super(inodestart=299), "inodes ends behind"),
    "map far outside": (lambda p: p.set_super(bmapstart=0xFFFFFFFF), "free map ends behind"),
    "log count": (lambda p: p.log(31, []), "counts 31 blocks"),
    "log count negative": (lambda p: p.log(-1, []), "counts -1 blocks"),
    "log target outside": (lambda p: p.log(1, [300]), "names block 300"),
    "log target in log": (lambda p: p.log(1, [p.sb.logstart + 3]), "which no transaction writes"),
    "block outside": (lambda p: p.set(2, address=(1, 300)), "inode 2: block 300 is out of range"),
    "block in inodes": (lambda p: p.set(2, address=(0, p.sb.inodestart)), "belongs to the inodes"),
    "indirect outside": (lambda p: p.set(3, address=(12, 1 << 31)), "inode 3: block 2147483648 is out"),
    "block in indirect": (
        lambda p: struct.pack_into("<I", p.data, p.block(3, 12) * 1024, 9999),
        "inode 3: block 9999 is out of range",
    ),
    "block twice": (lambda p: p.set(3, address=(0, p.block(2))), "is also used by inode 2"),
    "block twice in one": (lambda p: p.set(3, address=(0, p.block(3, 1))), "is also used by inode 3"),
    "block marked free": (
        lambda p: p.data.__setitem__(slice(p.sb.bmapstart * 1024, p.sb.bmapstart * 1024 + 38), bytes(38)),
        "is marked free",
    ),
    "type": (lambda p: p.set(2, type=9), "inode 2: no such type: 9"),
    "link count": (lambda p: p.set(2, nlink=-1), "inode 2: link count -1"),
    "file size": (lambda p: p.set(2, size=1 << 20), "inode 2: size 1048576"),
    "root is a file": (lambda p: p.set(1, type=fcntl.T_FILE), "root directory: inode 1 has type 2"),
    "root is free": (lambda p: p.set(1, type=0), "root directory: inode 1 has type 0"),
    "directory size": (lambda p: p.set(4, size=47), "directory /d: size 47"),
    "entry outside": (lambda p: p.entry(4, 2, 40, b"x"), "directory /d: entry 'x' names inode 40"),
    "entry to free inode": (lambda p: p.entry(4, 2, 30, b"x"), "names inode 30, which is free"),
    "cycle": (lambda p: p.entry(6, 2, 4, b"up") or p.set(6, size=48), "directory /d/e/up: a cycle"),
    "cycle to root": (lambda p: p.entry(4, 2, 1, b"up"), "directory /d/up: a cycle"),
    "two parents": (lambda p: p.entry(1, 6, 6, b"e"), "/e: is also /d/e"),
    "behind the size": (lambda p: p.set(2, address=(5, 300)), "inode 2: block 300 is out of range"),
    "another's behind the size": (
        lambda p: p.set(2, address=(5, p.block(3))),
        "is also used by inode",
    ),
    "table behind the size": (lambda p: p.set(2, address=(12, 7)), "inode 2: block 7 belongs to the log"),
    "number behind the size in a table": (
        lambda p: struct.pack_into("<I", p.data, p.block(3, 12) * 1024 + 1020, p.block(2)),
        "inode 3: block",
    ),
    "block of a device": (lambda p: p.set(5, address=(0, p.block(2))), "inode 5: block"),
    "block of an orphan": (lambda p: p.set(7, type=2, nlink=0, address=(0, 1)), "belongs to the boot"),
    "table twice": (lambda p: p.set(3, address=(11, p.block(3, 12))), "is also used by inode 3"),
    "map marked free": (
        lambda p: p.data.__setitem__(p.sb.bmapstart * 1024 + 4, 1),
        "free map: block 33, of the inodes, is marked free",
    ),
    "small log": (lambda p: p.set_super(nlog=10), "a log of 10 blocks: too few"),
    "log over inodes": (lambda p: p.set_super(nlog=35), "overlaps the log"),
    "log target super block": (lambda p: p.log(1, [1]), "names block 1, which no"),
    "log target twice": (lambda p: p.log(2, [200, 200]), "names a block twice"),
    "named without links": (lambda p: p.set(2, nlink=0), "inode 2: link count 0, but an entry names it"),
    "named too often": (lambda p: p.entry(4, 2, 2, b"x"), "inode 2: link count 1, but 2 entries name it"),
    "directory without links": (lambda p: p.set(4, nlink=0), "inode 4: link count 0"),
    "root without links": (lambda p: p.set(1, nlink=0), "inode 1: link count 0"),
    "empty name": (lambda p: p.entry(1, 2, 2, b""), "entry '' has no name"),
    "slash in a name": (lambda p: p.entry(1, 2, 2, b"a/b"), "entry 'a/b' has a / in its name"),
    "name twice": (lambda p: p.entry(1, 2, 2, b"large"), "entry 'large' is there twice"),
    "dot twice": (lambda p: p.entry(1, 2, 1, b"."), "entry '.' is there twice"),
    "no dot": (lambda p: p.entry(6, 0, 6, b"x"), "directory /d/e: has no '.' for entry 0"),
    "no dot dot": (lambda p: p.entry(6, 1, 0, b".."), "directory /d/e: has no '..' for entry 1"),
    "empty directory": (lambda p: p.set(6, size=0), "directory /d/e: has no '.' for entry 0"),
    "hole in a directory": (lambda p: p.set(6, size=2048), "directory /d/e: a block of it is missing"),
    "dot": (lambda p: p.entry(6, 0, 4, b"."), "directory /d/e: '.' is inode 4, not 6"),
    "dot dot": (lambda p: p.entry(6, 1, 1, b".."), "directory /d/e: '..' is inode 1, not 4"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_in_one_line(name: str) -> None:
    damage, message = DAMAGE[name]
    patient = Patient()
    damage(patient)
    before = bytes(patient.data)
    with pytest.raises(fsimage.BadImage) as caught:
        fsimage.check(patient.data, "fs.img")
    said = str(caught.value)
    assert message in said and said.startswith("fs.img: ") and "orrery mkfs" in said and "\n" not in said
    assert patient.data == before


@pytest.mark.parametrize("size", [0, 1, 1024, 2047, 2048, 100 * 1024])
def test_truncated_image(size: int) -> None:
    with pytest.raises(fsimage.BadImage):
        fsimage.check(bytes(Patient().data[:size]))


@given(st.lists(st.tuples(st.integers(1024, 300 * 1024 - 1), st.binary(min_size=1, max_size=8)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_damage_gives_a_finding_or_none(writes: list[tuple[int, bytes]]) -> None:
    """Never another exception, never a hang; and a sound image can be walked and read."""
    data = Patient().data
    for offset, content in writes:
        data[offset : offset + len(content)] = content
    try:
        fsimage.check(data)
    except fsimage.BadImage:
        return
    fs = fsimage.FsImage(data)
    for entry in fs.walk():
        fs.content(fs.inode(entry.ino))


def test_what_a_crash_leaves_is_accepted() -> None:
    patient = Patient()
    patient.set(7, type=fcntl.T_FILE, nlink=0, size=0)  # unlinked while it was open
    patient.data[patient.sb.bmapstart * 1024 + 37] |= 1 << 3  # allocated, and then the power went
    patient.set(2, address=(1, 0))  # a hole
    patient.data[patient.sb.bmapstart * 1024 + 36] |= 0xFF
    patient.set(2, address=(5, 290))  # a write that failed allocated it: it is behind the end of the file
    patient.set(3, nlink=3)  # too many
    patient.data += bytes(700)  # a tail
    fsimage.check(patient.data)
    assert fsimage.FsImage(patient.data).read("/small") == b"s" * 1024 + bytes(976)


def test_pending_log_is_replayed_in_a_copy() -> None:
    patient = Patient()
    target = patient.block(2)
    patient.data[(patient.sb.logstart + 1) * 1024 : (patient.sb.logstart + 2) * 1024] = b"n" * 1024
    patient.log(1, [target])
    before = bytes(patient.data)
    assert fsimage.FsImage(patient.data).read("/small") == b"n" * 1024 + b"s" * 976
    assert patient.data == before
    fsimage.check(patient.data)


def test_read_of_what_is_not_there() -> None:
    fs = fsimage.FsImage(Patient().data)
    for path in ("/nothing", "/small/x", "/d/nothing"):
        with pytest.raises(mkfs.ImageError, match="no file"):
            fs.read(path)
    assert fs.read("/d/e")[:16] == disk.DIRENT.pack(6, b".")


# ---- the default image --------------------------------------------------------------------------


def test_default_image_has_every_program() -> None:
    data = image.default_image()
    fsimage.check(data)
    found = {entry.path for entry in fsimage.FsImage(data).walk()}
    assert {"/" + name for name in image.programs()} | {"/"} <= found
    assert fsimage.FsImage(data).superblock.size >= param.FSSIZE


def test_second_build_reads_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = image.default_image()
    monkeypatch.setattr(image, "_make_image", lambda: pytest.fail("built again"))
    assert image.default_image() == first


def test_result_is_made_again_when_an_input_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sources = tmp_path / "sources"
    sources.mkdir()
    made = []

    def make() -> bytes:
        made.append(1)
        return b"".join(path.read_bytes() for path in sorted(sources.iterdir()))

    def built() -> bytes:
        return image._built("thing", [sources, tmp_path / "missing"], make)

    assert built() == built() == b"" and len(made) == 1
    (sources / "a").write_bytes(b"1")
    assert built() == built() == b"1" and len(made) == 2
    (sources / "a").write_bytes(b"22")
    assert built() == built() == b"22" and len(made) == 3
    for result in (paths.cache_dir() / "thing").iterdir():
        if result.suffix != ".stamps":
            result.unlink()
    assert built() == b"22" and len(made) == 4


def test_old_results_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source"
    for i in range(20):
        source.write_bytes(bytes(i))
        image._built("thing", [source], source.read_bytes)
    assert len(list((paths.cache_dir() / "thing").iterdir())) == image._KEPT + 1


def test_what_is_a_month_old_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    objects = paths.cache_dir() / "object"
    (objects / "left-behind").mkdir(parents=True)
    for name in ("old.o", "new.o"):
        (objects / name).write_bytes(b"")
    for name in ("old.o", "left-behind"):
        os.utime(objects / name, (1e9, 1e9))
    image._built("thing", [], lambda: b"")
    assert [path.name for path in objects.iterdir()] == ["new.o"]


def test_what_another_builder_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gone = tmp_path / "gone"
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([gone]))
    assert image._built("thing", [], lambda: b"built") == b"built"


def test_thousands_of_directories_in_each_other_are_checked_at_once() -> None:
    """A path of 4,000 directories is neither walked again for each, nor shown."""
    count = 4000
    files = {f"d{i}": bytes(1024) for i in range(count)}
    data = mkfs.build(files, size=9000, ninodes=count + 2)
    fs = fsimage.FsImage(data)
    inodes = [fs.inode(i + 2) for i in range(count)]
    start = fs.superblock.inodestart * 1024
    for inode, parent, child in zip(inodes, [1, *range(2, count + 1)], range(3, count + 3), strict=True):
        entries = ((inode.number, b"."), (parent, b".."), (child if child < count + 2 else 0, b"d"))
        for slot, entry in enumerate(entries):
            disk.DIRENT.pack_into(data, inode.addresses[0] * 1024 + slot * 16, *entry)
        struct.pack_into("<h", data, start + inode.number * 64, fcntl.T_DIR)
        struct.pack_into("<I", data, start + inode.number * 64 + 8, 48)
    struct.pack_into("<I", data, start + 64 + 8, 3 * 16)
    fsimage.check(data)
    struct.pack_into("<H", data, inodes[-1].addresses[0] * 1024 + 32, 9)
    with pytest.raises(fsimage.BadImage, match="a cycle: it is inode 9") as caught:
        fsimage.check(data)
    assert len(str(caught.value)) < 500


def test_documentation_is_not_on_the_disk() -> None:
    """What is written for readers can change and no digest does: a guest sees user/disk."""
    fs = fsimage.FsImage(image.default_image())
    extra = {entry.path[1:] for entry in fs.walk() if entry.path != "/"} - set(image.programs())
    assert extra == {"README"}
    assert fs.read("/README") == paths.tree_file("user/disk/README").read_bytes()
    inputs = {Path(line.split(" ")[0]) for line in image._stamps(image._COMMON)}
    assert paths.tree_file("README.md") not in inputs
