"""Images that nobody should trust: each is refused with its name and a reason, or a kernel can live with it.

A good image, with a bit of everything in it, is damaged in one to three places, by fields or by bytes.  What
the checker lets pass is mounted, and everything in it is opened, read, written, linked, emptied and removed:
no call may do more than fail, and no panic or other exception may come of it.  The disk that is left passes
again.
"""

import random
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, attempt

from kernel.abi import disk, fcntl
from kernel.abi.disk import BSIZE, DINODE_SIZE, DIRENT_SIZE
from kernel.abi.fcntl import O_CREATE, O_NOFOLLOW, O_RDWR, O_TRUNC
from kernel.abi.param import ROOTDEV
from kernel.xv6 import sysfile
from toolchain import mkfs
from toolchain.fsimage import BadImage, FsImage, Inode, check

SIZE, NINODES = 700, 64
SEEDS = 80
SHORTS = ("type", "major", "minor", "nlink")
INODE_FIELDS = (*((name, "<h", 2 * i) for i, name in enumerate(SHORTS)), ("size", "<I", 8))


@cache
def good_image(layout: str) -> bytes:
    """A disk that a kernel has used: files of all lengths, links, directories, a device, an orphan."""
    files = {"big": b"b" * 300 * BSIZE if layout == "lab" else b"b" * 200 * BSIZE, "small": b"s" * 3000}
    drive = CutDrive(mkfs.build(files, size=SIZE, ninodes=NINODES, layout=layout))

    def program(k: Any, p: FakeProc) -> None:
        for name in (b"d", b"d/e", b"d/e/f"):
            sysfile.sys_mkdir(k, p, name)
        sysfile.sys_mknod(k, p, b"console", 1, 0)
        sysfile.sys_link(k, p, b"small", b"d/linked")
        sysfile.sys_symlink(k, p, b"/d/e/f", b"link")
        for i in range(20):
            fd = sysfile.sys_open(k, p, b"d/e/file%d" % i, O_CREATE | O_RDWR)
            sysfile.sys_write(k, p, fd, 0, i * 700)
            sysfile.sys_close(k, p, fd)
        sysfile.sys_open(k, p, b"orphan", O_CREATE | O_RDWR)
        sysfile.sys_write(k, p, 0, 0, 5000)
        sysfile.sys_unlink(k, p, b"orphan")

    FakeKernel(drive).mount().call(program)
    check(drive.image)
    return drive.image


class Damage:
    """Changes to a copy of an image, chosen by a seed; `said` tells which."""

    def __init__(self, image: bytes, seed: int) -> None:
        self.data = bytearray(image)
        self.said: list[str] = []
        self._fs = FsImage(image)
        self._sb = self._fs.superblock
        self._random = random.Random(seed)
        often = (self._inode, self._address, self._table, self._entry)
        seldom = (self._map, self._super, self._log, self._bytes)
        for _ in range(self._random.randint(1, 3)):
            self._random.choices(often + seldom, (5, 5, 4, 5, 3, 1, 1, 3))[0]()

    def _store(self, what: str, at: int, form: str, value: int) -> None:
        size = struct.calcsize(form)
        struct.pack_into(form.upper(), self.data, at, value & (1 << 8 * size) - 1)
        self.said.append(f"{what} = {value}")

    def _number(self, count: int) -> int:
        """A number that may stand for one of `count` things: most often one of them, or just about."""
        chance = self._random
        near = (0, 1, count - 1, count, count + 1, 0x7FFF, 0x8000, 0xFFFF, 1 << 31, (1 << 32) - 1)
        return chance.choice((chance.randrange(count), chance.randrange(count), chance.choice(near)))

    def _block(self) -> int:
        """A number of a block: one of another file, of a region, beyond the disk."""
        chance = self._random
        used = [block for inode in self._fs.inodes() for block in self._fs.all_blocks(inode) if block]
        return chance.choice((self._number(self._sb.size), chance.choice(used), 0))

    def _any_inode(self) -> Inode:
        return self._random.choice(list(self._fs.inodes()))

    def _inode_at(self, number: int) -> int:
        return self._sb.inodestart * BSIZE + number * DINODE_SIZE

    def _inode(self) -> None:
        number = self._random.choice((self._any_inode().number, self._random.randrange(NINODES)))
        name, form, at = self._random.choice(INODE_FIELDS)
        value = self._random.choice((self._number(7), self._number(BSIZE), self._number(1 << 20)))
        self._store(f"inode {number} {name}", self._inode_at(number) + at, form, value)

    def _address(self) -> None:
        number, slot = self._any_inode().number, self._random.randrange(disk.NADDRS)
        at = self._inode_at(number) + 12 + 4 * slot
        self._store(f"inode {number} address {slot}", at, "<I", self._block())

    def _table(self) -> None:
        direct = self._fs.layout.direct
        tables = [head for inode in self._fs.inodes() for head in inode.addresses[direct:] if head]
        table, place = self._random.choice(tables), self._random.choice((0, 1, 2, 100, 254, 255))
        self._store(f"table {table} place {place}", table * BSIZE + 4 * place, "<I", self._block())

    def _entry(self) -> None:
        chance = self._random
        directory = chance.choice([inode for inode in self._fs.inodes() if inode.type == fcntl.T_DIR])
        slot = chance.randrange(min(BSIZE, directory.size) // DIRENT_SIZE)
        at = directory.addresses[0] * BSIZE + slot * DIRENT_SIZE
        if chance.random() < 0.6:
            self._store(f"entry {slot} of {directory.number}", at, "<H", self._number(NINODES))
        else:
            name = chance.choice((b"", b".", b"..", b"a/b", b"/", b"x" * 14, b"\xff\n", b"small", b"e"))
            self.data[at + 2 : at + DIRENT_SIZE] = name.ljust(14, b"\0")
            self.said.append(f"entry {slot} of {directory.number} is called {name!r}")

    def _map(self) -> None:
        at = self._sb.bmapstart * BSIZE + self._random.randrange(SIZE // 8)
        self._store(f"map byte {at}", at, "<B", self._random.choice((0, 0xFF, self._random.randrange(256))))

    def _super(self) -> None:
        field = self._random.randrange(9)
        self._store(f"super block {field}", BSIZE + 4 * field, "<I", self._number(SIZE))

    def _log(self) -> None:
        at = self._sb.logstart * BSIZE
        count = self._random.choice((1, 2, 30, 31, -1, 1 << 30))
        self._store("log count", at, "<i", count)
        for i in range(1, 4):
            self._store(f"log block {i}", at + 4 * i, "<I", self._number(SIZE))

    def _bytes(self) -> None:
        at = self._random.randrange(BSIZE, len(self.data))
        self.data[at : at + 4] = self._random.randbytes(4)
        self.said.append(f"4 bytes at {at}")


def use_all(k: Any, p: FakeProc) -> None:
    """Everything that programs can do, to everything that there is, and then its end."""
    fs = FsImage(k.drive.read(0, k.drive.capacity), layout=k.fs.layout.name)
    paths = [entry.path.encode("utf-8", "surrogateescape") for entry in fs.walk()]
    call: Callable[..., int] = lambda handler, *args: attempt(handler, k, p, *args)  # noqa: E731
    for path in paths:
        for mode in (0, O_NOFOLLOW, O_RDWR, O_CREATE):
            fd = call(sysfile.sys_open, path, mode)
            if fd >= 0:
                assert p.files.ofile[fd].stat().dev == ROOTDEV  # type: ignore[union-attr]
                if not hasattr(p.files.ofile[fd], "_driver"):
                    call(sysfile.sys_read, fd, 0, 3000)
                    call(sysfile.sys_write, fd, 0, 3000)
                call(sysfile.sys_close, fd)
        call(sysfile.sys_mkdir, path + b"/new")
        call(sysfile.sys_symlink, b"/" + path, path + b"/ln")
        call(sysfile.sys_link, path, path + b"2")
        call(sysfile.sys_chdir, path)
        call(sysfile.sys_open, b"..", 0)
        call(sysfile.sys_close, 0)
    call(sysfile.sys_chdir, b"/")
    for path in paths:
        fd = call(sysfile.sys_open, path, O_RDWR | (O_TRUNC if len(path) % 2 else 0))
        for end in (b"/new", b"/ln", b"2", b""):
            call(sysfile.sys_unlink, path + end)
        if fd >= 0:
            call(sysfile.sys_close, fd)
    for path in reversed(paths):
        call(sysfile.sys_unlink, path)


def try_image(image: bytes, layout: str | None) -> bool:
    """Whether the image passes; if so, a kernel must be able to live with it."""
    try:
        check(image, "hostile.img", layout)
    except BadImage as error:
        said = str(error)
        assert said.startswith("hostile.img: ") and "\n" not in said and "; " in said
        return False
    drive = CutDrive(image)
    k = FakeKernel(drive, layout=layout).mount()
    k.call(use_all)
    assert not k.log.outstanding
    assert all(not ip.ref for ip in k.inodes.inodes.values() if ip.inum != 1), "no reference was lost"
    check(drive.image, "hostile.img", layout)
    return True


@pytest.mark.parametrize("layout", ["stock", "lab"])
def test_the_good_image_passes(layout: str) -> None:
    assert try_image(good_image(layout), None)


@pytest.mark.parametrize("part", range(2))
def test_damaged_images_are_refused_or_harmless(part: int) -> None:
    passed = 0
    for seed in range(part, SEEDS, 2):
        damage = Damage(good_image("lab" if seed % 3 == 0 else "stock"), seed)
        try:
            passed += try_image(bytes(damage.data), None)
        except Exception as error:
            error.add_note(f"seed {seed}: {'; '.join(damage.said)}")
            raise
    assert 0.1 < passed / (SEEDS / 2) < 0.7, "both ways are tried"


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
def test_many_damaged_images_are_refused_or_harmless(part: int) -> None:
    for seed in range(10_000 + part, 26_000, 8):
        damage = Damage(good_image("lab" if seed % 3 == 0 else "stock"), seed)
        try:
            try_image(bytes(damage.data), random.Random(seed).choice((None, None, None, "lab", "stock")))
        except Exception as error:
            error.add_note(f"seed {seed}: {'; '.join(damage.said)}")
            raise
