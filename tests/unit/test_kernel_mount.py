"""Mounting: a second file system in the tree of names, which is entered, left, refused and given back."""

from collections.abc import Callable
from errno import EBUSY, EROFS, EXDEV
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, namei
from file_model import audit

from kernel.abi.fcntl import O_CREATE, O_RDONLY, O_RDWR, T_DIR, T_FILE
from kernel.errors import SyscallError
from kernel.fs.vfs import FileSystem, Inode, References
from kernel.wait import Threads
from kernel.xv6 import sysfile
from toolchain.mkfs import build

Tree = dict[bytes, "Tree | bytes"]


class MemoryFileSystem(FileSystem):
    """A tree in memory that nobody can change; inodes are numbered as they are come to."""

    def __init__(self, dev: int, inodes: Any, tree: Tree) -> None:
        super().__init__(dev)
        self._inodes = inodes
        self._nodes: list[tuple[Tree | bytes, int]] = [(b"", 0), (tree, 1)]  # with the parent's number

    def new_inode(self, inum: int, threads: Threads, table: References) -> Inode:
        ip = Inode(self, inum, threads, table)
        node = self._nodes[inum][0]
        ip.type, ip.nlink, ip.valid = (T_DIR if isinstance(node, dict) else T_FILE), 1, True
        ip.size = len(node)
        return ip

    def lookup(self, dp: Inode, name: bytes) -> Inode | None:
        node, parent = self._nodes[dp.inum]
        if not isinstance(node, dict):
            raise SyscallError(20, "no directory")
        if name in (b".", b".."):
            return self._inodes.get(self, dp.inum if name == b"." else parent)  # type: ignore[no-any-return]
        if name not in node:
            return None
        entry = (node[name], dp.inum)
        if entry not in self._nodes:
            self._nodes.append(entry)
        return self._inodes.get(self, self._nodes.index(entry))  # type: ignore[no-any-return]

    def read(self, ip: Inode, off: int, n: int) -> bytes:
        node = self._nodes[ip.inum][0]
        assert isinstance(node, bytes), "only files are read here"
        return node[off : off + n]


TREE: Tree = {b"f": b"in memory", b"d": {b"g": b"deeper", b"e": {}}}


def run(function: Callable[[Any, FakeProc, MemoryFileSystem], None]) -> FakeKernel:
    """Run function(k, p, fs) with a MemoryFileSystem mounted at /m of a disk; then all adds up."""
    drive = CutDrive(build({"README": b"on the disk"}, size=400, ninodes=64))
    k = FakeKernel(drive).mount()
    fs = MemoryFileSystem(2, k.inodes, TREE)

    def program(k: Any, p: FakeProc) -> None:
        sysfile.sys_mkdir(k, p, b"m")
        sysfile.sys_mkdir(k, p, b"m/hidden")
        at = namei(k, b"m")
        k.mounts.mount(fs, at)
        at.put()
        function(k, p, fs)

    k.call(program)
    audit(drive.image)
    return k


def content(k: Any, p: FakeProc, path: bytes) -> bytes:
    fd = sysfile.sys_open(k, p, path, O_RDONLY)
    n = sysfile.sys_read(k, p, fd, 0, 1000)
    sysfile.sys_close(k, p, fd)
    return bytes(p.memory[:n])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"m/f", b"in memory"),
        (b"/m/d/g", b"deeper"),
        (b"m/d/../f", b"in memory"),
        (b"m/./d/e/../../../README", b"on the disk"),
        (b"m/../README", b"on the disk"),
        (b"/../m/../../README", b"on the disk"),
    ],
)
def test_paths_lead_into_a_mounted_file_system_and_out_of_it(path: bytes, expected: bytes) -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        assert content(k, p, path) == expected

    run(program)


def test_a_process_can_live_there_and_stat_tells_the_device() -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        sysfile.sys_chdir(k, p, b"m/d")
        assert content(k, p, b"g") == b"deeper" and content(k, p, b"../../README") == b"on the disk"
        fd = sysfile.sys_open(k, p, b"g", O_RDONLY)
        assert p.files.ofile[fd].stat() == (2, p.files.ofile[fd].ip.inum, T_FILE, 1, 6, 0, 0)  # type: ignore
        sysfile.sys_close(k, p, fd)
        sysfile.sys_symlink(k, p, b"m/d/g", b"/link")
        assert content(k, p, b"/link") == b"deeper"
        sysfile.sys_chdir(k, p, b"..")
        assert content(k, p, b"f") == b"in memory"
        sysfile.sys_chdir(k, p, b"..")
        assert content(k, p, b"README") == b"on the disk"

    run(program)


def test_what_is_below_the_directory_is_hidden_until_it_is_unmounted() -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        with pytest.raises(SyscallError, match="ENOENT"):
            sysfile.sys_chdir(k, p, b"m/hidden")
        k.mounts.unmount(fs)
        sysfile.sys_chdir(k, p, b"m/hidden")
        sysfile.sys_chdir(k, p, b"/")
        with pytest.raises(SyscallError, match="ENOENT"):
            content(k, p, b"m/f")

    k = run(program)
    assert {ip.dev for ip in k.inodes.inodes.values()} == {1}


def test_the_page_cache_has_frames_of_its_files_too() -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        free, ip = k.frames.free_frames, namei(k, b"m/f")
        with ip.borrowed():
            frame = k.pages.frame(ip, 0)
            assert bytes(k.ram.view(frame, 12)) == b"in memory\0\0\0"
        k.mounts.unmount(fs)
        assert k.frames.free_frames == free

    run(program)


def error_of(call: Callable[..., object], *args: object) -> int:
    with pytest.raises(SyscallError) as error:
        call(*args)
    return error.value.code


def test_what_is_refused() -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        assert error_of(sysfile.sys_unlink, k, p, b"m") == EBUSY
        assert error_of(sysfile.sys_link, k, p, b"README", b"m/x") == EROFS
        assert error_of(sysfile.sys_link, k, p, b"m/f", b"x") == EXDEV
        assert error_of(sysfile.sys_open, k, p, b"m/new", O_CREATE | O_RDWR) == EROFS
        assert error_of(sysfile.sys_mkdir, k, p, b"m/d/new") == EROFS
        assert error_of(sysfile.sys_unlink, k, p, b"m/f") == EROFS
        fd = sysfile.sys_open(k, p, b"m/f", O_RDWR)
        assert error_of(sysfile.sys_write, k, p, fd, 0, 3) == EROFS
        root, inside = k.mounts.root(), namei(k, b"m")
        other = MemoryFileSystem(3, k.inodes, {})
        assert error_of(k.mounts.mount, other, root) == EBUSY
        assert error_of(k.mounts.mount, other, inside) == EBUSY, "something is mounted there"
        root.put()
        inside.put()
        assert error_of(k.mounts.unmount, fs) == EBUSY, "a file of it is open"
        sysfile.sys_close(k, p, fd)
        k.mounts.unmount(fs)

    run(program)


def test_a_mount_by_name_makes_the_directory_once() -> None:
    def program(k: Any, p: FakeProc, fs: MemoryFileSystem) -> None:
        for _ in range(2):
            other = MemoryFileSystem(3, k.inodes, {b"x": b"by name"})
            k.mounts.mount_at(other, b"n")
            assert content(k, p, b"/n/x") == b"by name"
            k.mounts.unmount(other)
        with pytest.raises(SyscallError, match="ENOTDIR"):
            k.mounts.mount_at(MemoryFileSystem(3, k.inodes, {}), b"README")

    run(program)
