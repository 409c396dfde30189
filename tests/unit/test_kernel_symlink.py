"""Symbolic links: any tree of them against a model, the limit, and which calls follow."""

from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, attempt, namei
from file_model import audit
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi.disk import STAT
from kernel.abi.fcntl import O_CREATE, O_NOFOLLOW, O_RDONLY, O_RDWR, O_WRONLY, T_DIR, T_FILE, T_SYMLINK
from kernel.abi.param import MAXPATH, SYMLINKS_MAX
from kernel.xv6 import sysfile
from toolchain.fsimage import FsImage
from toolchain.mkfs import build

Model = dict[str, "Model | str | None"]  # a directory; what a link holds; None: a file


def machine() -> tuple[FakeKernel, CutDrive]:
    drive = CutDrive(build({}, size=400, ninodes=64))
    return FakeKernel(drive).mount(), drive


def look(k: Any, p: FakeProc, path: str, mode: int = O_RDONLY) -> tuple[int, bytes]:
    """Type and content of what open() finds; (0, b"") for nothing."""
    fd = attempt(sysfile.sys_open, k, p, path.encode(), mode)
    if fd < 0:
        return 0, b""
    sysfile.sys_fstat(k, p, fd, 0)
    kind = STAT.unpack(p.memory[: STAT.size])[2]
    n = sysfile.sys_read(k, p, fd, 0, 1000)
    sysfile.sys_close(k, p, fd)
    return kind, bytes(p.memory[:n])


# --- against a model ---


def resolve(model: Model, path: str, follow: bool) -> "Model | str | bool | None":
    """What a path means, False for nothing: one name after the other, with all ways back remembered."""
    rest = [name for name in path.split("/") if name]
    trail: list[Model] = [model]
    found: Model | str | None = model
    links = 0
    while rest:
        name = rest.pop(0)
        if not isinstance(found, dict):
            return False
        if name == "..":
            trail = trail[:-1] or trail
            found = trail[-1]
            continue
        if name not in found:
            return False
        below = found[name]
        if isinstance(below, str) and (rest or follow):
            links += 1
            if links > SYMLINKS_MAX:
                return False
            if below.startswith("/"):
                trail, found = [model], model
            rest = [part for part in below.split("/") if part] + rest
            continue
        found = below
        if isinstance(found, dict):
            trail = [*trail, found]
    return found


names = st.sampled_from(["a", "b", "c", ".."])
relative = st.lists(names, min_size=1, max_size=3).map("/".join)
targets = st.one_of(relative, relative.map("/{}".format))
entries = st.one_of(
    st.tuples(st.just("mkdir"), relative, st.none()),
    st.tuples(st.just("create"), relative, st.none()),
    st.tuples(st.just("symlink"), relative, targets),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(entries, max_size=12), st.lists(targets, min_size=1, max_size=12))
def test_any_tree_of_links_leads_where_it_should(made: list[tuple[str, str, str]], asked: list[str]) -> None:
    k, drive = machine()
    model: Model = {}

    def program(k: Any, p: FakeProc) -> None:
        for what, path, target in made:
            parent, _, name = path.rpartition("/")
            where = resolve(model, parent, follow=True)
            fits = isinstance(where, dict) and name != ".." and name not in where
            if what == "mkdir":
                result = attempt(sysfile.sys_mkdir, k, p, path.encode())
            elif what == "symlink":
                result = attempt(sysfile.sys_symlink, k, p, target.encode(), path.encode())
            elif resolve(model, path, follow=True) is False:
                fd = attempt(sysfile.sys_open, k, p, path.encode(), O_CREATE | O_RDWR)
                result = min(fd, 0)
                if fd >= 0:
                    sysfile.sys_close(k, p, fd)
            else:
                continue
            assert result == (0 if fits else -1)
            if fits:
                assert isinstance(where, dict)
                where[name] = {} if what == "mkdir" else target
        for path in asked:
            for mode in (O_RDONLY, O_NOFOLLOW):
                expected = resolve(model, path, follow=mode != O_NOFOLLOW)
                kind, content = look(k, p, path, mode)
                if expected is False:
                    assert kind == 0
                elif isinstance(expected, str):
                    assert (kind, content) == (T_SYMLINK, expected.encode())
                else:
                    assert kind == (T_FILE if expected is None else T_DIR)

    k.call(program)
    audit(drive.image)


# --- one by one ---


def test_so_many_links_are_followed_and_no_more() -> None:
    def program(k: Any, p: FakeProc) -> list[int]:
        sysfile.sys_mkdir(k, p, b"0")
        for i in range(1, SYMLINKS_MAX + 2):
            sysfile.sys_symlink(k, p, b"%d" % (i - 1), b"%d" % i)
        sysfile.sys_symlink(k, p, b"self", b"self")
        return [look(k, p, name)[0] for name in (str(SYMLINKS_MAX), str(SYMLINKS_MAX + 1), "self", "self/x")]

    assert machine()[0].call(program) == [T_DIR, 0, 0, 0]


def test_a_link_is_read_only_and_goes_by_its_own_name() -> None:
    k, drive = machine()

    def program(k: Any, p: FakeProc) -> None:
        sysfile.sys_close(k, p, sysfile.sys_open(k, p, b"f", O_CREATE))
        assert sysfile.sys_symlink(k, p, b"f", b"l") == 0
        for mode in (O_WRONLY, O_RDWR):
            assert attempt(sysfile.sys_open, k, p, b"l", mode | O_NOFOLLOW) == -1
        assert sysfile.sys_link(k, p, b"l", b"m") == 0
        assert look(k, p, "m", O_NOFOLLOW) == (T_SYMLINK, b"f")
        fd = sysfile.sys_open(k, p, b"m", O_RDWR | O_CREATE)  # the file it leads to
        p.memory[:3] = b"abc"
        assert sysfile.sys_write(k, p, fd, 0, 3) == 3
        assert look(k, p, "f") == look(k, p, "l") == (T_FILE, b"abc")
        assert sysfile.sys_unlink(k, p, b"l") == 0
        assert look(k, p, "f") == (T_FILE, b"abc") and look(k, p, "l") == (0, b"")
        assert attempt(sysfile.sys_symlink, k, p, b"x", b"f") == -1
        assert attempt(sysfile.sys_symlink, k, p, b"", b"empty") == -1
        assert attempt(sysfile.sys_symlink, k, p, b"x", b"no/where") == -1
        assert sysfile.sys_symlink(k, p, b"dangling", b"d") == 0
        assert attempt(sysfile.sys_open, k, p, b"d", O_CREATE | O_RDWR) == -1
        assert attempt(sysfile.sys_mkdir, k, p, b"d") == attempt(sysfile.sys_mknod, k, p, b"d", 1, 1) == -1

    k.call(program)
    audit(drive.image)
    assert [str(entry) for entry in FsImage(drive.image).walk() if entry.type == T_SYMLINK] == [
        "4 4 1 8 /d",
        "3 4 1 1 /m",
    ]


def test_a_target_as_long_as_a_path_and_chdir_through_a_link() -> None:
    def program(k: Any, p: FakeProc) -> None:
        deep = b"/".join([b"d"] * (MAXPATH // 2))[: MAXPATH - 1]
        for i in range(10):
            sysfile.sys_mkdir(k, p, b"/".join([b"d"] * (i + 1)))
        sysfile.sys_symlink(k, p, deep, b"l")
        assert look(k, p, "l", O_NOFOLLOW) == (T_SYMLINK, deep)
        assert attempt(sysfile.sys_chdir, k, p, b"l") == -1
        sysfile.sys_symlink(k, p, b"d/d", b"s")
        assert sysfile.sys_chdir(k, p, b"s") == 0
        assert p.files.cwd is k.inodes.inodes[1, namei(k, b"/d/d").inum]
        assert look(k, p, "../../l", O_NOFOLLOW)[0] == T_SYMLINK

    machine()[0].call(program)


def test_no_reference_is_lost() -> None:
    def program(k: Any, p: FakeProc) -> None:
        before = k.inodes.inodes[1, 1].ref
        sysfile.sys_mkdir(k, p, b"d")
        for target, path in ((b"l", b"l"), (b"../d", b"d/up"), (b"/d", b"abs"), (b"no", b"no")):
            assert attempt(sysfile.sys_symlink, k, p, target, path) == 0
        for path in ("l", "l/x", "d/up/up/up", "abs/up", "no", "no/x", "abs/l"):
            for mode in (O_RDONLY, O_NOFOLLOW, O_CREATE | O_RDWR, O_RDWR):
                look(k, p, path, mode)
        assert {inum: ip.ref for inum, ip in k.inodes.inodes.items() if ip.ref} == {(1, 1): before}

    machine()[0].call(program)
