"""The file system as programs see it: random operations against a model, and the limits one by one."""

from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, Panic, attempt, namei
from file_model import Model, Op, audit, ops, perform, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi.disk import BPB, BSIZE, DINODE_SIZE, DIRENT_SIZE, MAXFILE, SUPERBLOCK
from kernel.abi.fcntl import O_CREATE, O_RDWR, O_TRUNC, T_DIR, T_FILE
from kernel.abi.param import NINODE
from kernel.fs.xv6fs.dir import dirlookup
from kernel.xv6 import sysfile
from toolchain.fsimage import FsImage, check
from toolchain.mkfs import build


def machine(
    size: int = 400, ninodes: int = 64, nbuf: int = 64, **files: bytes
) -> tuple[FakeKernel, CutDrive]:
    """A mounted kernel on a fresh image, and its disk."""
    drive = CutDrive(build(files, size=size, ninodes=ninodes))
    return FakeKernel(drive, nbuf).mount(), drive


def shell(function: Any, **kwargs: Any) -> tuple[Any, bytes]:
    """Run function(k, p) on a fresh machine: what it returns, and the disk it leaves."""
    k, drive = machine(**kwargs)
    result = k.call(function)
    return result, drive.image


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(ops, max_size=40))
def test_any_operations_agree_with_the_model(operations: list[Op]) -> None:
    k, drive = machine(size=2000)
    model = Model()

    def program(k: FakeKernel, p: FakeProc) -> None:
        for op in operations:
            assert perform(k, p, op) == model.apply(op), op

    k.call(program)
    assert tree_of(drive.image) == model.tree()
    audit(drive.image)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.lists(ops, max_size=10), min_size=2, max_size=4))
def test_processes_at_once_in_a_small_cache_leave_a_sound_disk(programs: list[list[Op]]) -> None:
    k, drive = machine(size=2000, nbuf=40)

    def program(k: FakeKernel, p: FakeProc, operations: list[Op]) -> None:
        for op in operations:
            perform(k, p, op)

    for operations in programs:
        k.spawn(program, operations).files.cwd = k.inodes.get(k.fs, 1)
    k.run()
    audit(drive.image)


def write_all(k: Any, p: FakeProc, name: bytes, data: bytes) -> int:
    """Write data in one call to a new or emptied file."""
    fd = sysfile.sys_open(k, p, name, O_CREATE | O_TRUNC | O_RDWR)
    p.memory[: len(data)] = data
    n = attempt(sysfile.sys_write, k, p, fd, 0, len(data))
    sysfile.sys_close(k, p, fd)
    return n


def fill_disk(k: Any, p: FakeProc) -> int:
    """Write until there is no room; gives the number of files made, the last of them cut short."""
    count = 0
    while write_all(k, p, b"f%d" % count, b"x" * 50 * BSIZE) == 50 * BSIZE:
        count += 1
    return count + 1


def test_a_full_disk_fails_the_write_and_can_be_emptied_and_filled_again() -> None:
    def program(k: Any, p: FakeProc) -> tuple[int, int]:
        made = []
        for _ in range(2):
            made.append(fill_disk(k, p))
            assert attempt(sysfile.sys_mkdir, k, p, b"no-room") == -1
            for i in range(made[-1]):
                assert sysfile.sys_unlink(k, p, b"f%d" % i) == 0
        return made[0], made[1]

    (first, second), image = shell(program)
    assert first == second > 3
    assert set(tree_of(image)) == {()}
    audit(image)


def test_a_write_that_meets_the_end_of_the_disk_keeps_what_fitted() -> None:
    def program(k: Any, p: FakeProc) -> int:
        return fill_disk(k, p)

    count, image = shell(program)
    sizes = [len(data) for path, data in sorted(tree_of(image).items()) if data is not None]
    assert len(sizes) == count
    assert 0 < sum(sizes) - (count - 1) * 50 * BSIZE < 50 * BSIZE
    audit(image)


def test_all_inodes_in_use_fails_creation_and_they_can_be_freed() -> None:
    def program(k: Any, p: FakeProc) -> tuple[int, int]:
        made = []
        for _ in range(2):
            names = []
            while attempt(sysfile.sys_mknod, k, p, name := b"n%d" % len(names), 1, 0) == 0:
                names.append(name)
            made.append(len(names))
            for name in names:
                sysfile.sys_unlink(k, p, name)
        return made[0], made[1]

    (first, second), image = shell(program, ninodes=40)
    assert first == second == 38  # 0 is no inode, 1 the root
    audit(image)


def test_more_inodes_than_the_table_holds_can_be_used_one_after_the_other() -> None:
    def program(k: Any, p: FakeProc) -> None:
        for i in range(NINODE + 10):
            write_all(k, p, b"f%d" % i, b"%d" % i)

    _, image = shell(program, size=1000, ninodes=NINODE + 20)
    assert tree_of(image)[("f3",)] == b"3" and len(tree_of(image)) == NINODE + 11
    audit(image)


def test_a_table_full_of_inodes_in_use_fails_the_call() -> None:
    def program(k: Any, p: FakeProc) -> tuple[int, int]:
        held = []
        for i in range(NINODE - 1):  # the root is in use too
            write_all(k, p, b"f%d" % i, b"")
            held.append(namei(k, b"f%d" % i))
        failed = attempt(sysfile.sys_open, k, p, b"one-more", O_CREATE)
        with k.log:
            held.pop().put()
        return failed, attempt(sysfile.sys_mknod, k, p, b"one-more", 1, 0)

    result, image = shell(program, size=1000, ninodes=NINODE + 20)
    assert result == (-1, 0)
    audit(image)


def test_the_largest_file_can_be_written_and_read_and_not_one_byte_more() -> None:
    def program(k: Any, p: FakeProc) -> int:
        fd = sysfile.sys_open(k, p, b"big", O_CREATE | O_RDWR)
        for i in range(MAXFILE):
            p.memory[:4] = i.to_bytes(4, "little")
            assert sysfile.sys_write(k, p, fd, 0, BSIZE) == BSIZE
        assert attempt(sysfile.sys_write, k, p, fd, 0, 1) == -1
        return fd

    _, image = shell(program, size=600)
    data = tree_of(image)[("big",)]
    assert data is not None and len(data) == MAXFILE * BSIZE
    assert [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), BSIZE)] == list(
        range(MAXFILE)
    )


def test_an_unlinked_open_file_lives_until_its_last_close() -> None:
    def program(k: Any, p: FakeProc) -> bytes:
        write_all(k, p, b"ghost", b"boo")
        fd = sysfile.sys_open(k, p, b"ghost", O_RDWR)
        sysfile.sys_unlink(k, p, b"ghost")
        write_all(k, p, b"ghost", b"another")
        n = sysfile.sys_read(k, p, fd, 0, 100)
        seen = bytes(p.memory[:n])
        sysfile.sys_close(k, p, fd)
        return seen

    seen, image = shell(program)
    assert seen == b"boo"
    assert tree_of(image)[("ghost",)] == b"another"
    audit(image)


def test_a_file_that_was_open_without_a_name_when_the_machine_stopped_is_freed_at_mount() -> None:
    def program(k: Any, p: FakeProc) -> None:
        write_all(k, p, b"ghost", b"x" * 20 * BSIZE)
        sysfile.sys_open(k, p, b"ghost", O_RDWR)
        sysfile.sys_unlink(k, p, b"ghost")

    _, image = shell(program)
    audit(image, orphans_allowed=True)
    with pytest.raises(AssertionError, match="no name"):
        audit(image)
    drive = CutDrive(image)
    k = FakeKernel(drive).mount()
    assert k.sent == b"ireclaim: orphaned inode 2\n"
    audit(drive.image)


def test_a_removed_current_directory_is_a_dead_end_but_harmless() -> None:
    def program(k: Any, p: FakeProc) -> list[int]:
        sysfile.sys_mkdir(k, p, b"a")
        sysfile.sys_mkdir(k, p, b"a/b")
        sysfile.sys_chdir(k, p, b"a/b")
        results = [
            attempt(sysfile.sys_unlink, k, p, b"/a/b"),
            attempt(sysfile.sys_mkdir, k, p, b"c"),
            attempt(sysfile.sys_open, k, p, b"f", O_CREATE),
            attempt(sysfile.sys_mkdir, k, p, b"../d"),  # the parent is still there
            attempt(sysfile.sys_unlink, k, p, b"/a/d"),
            attempt(sysfile.sys_unlink, k, p, b"/a"),
            attempt(sysfile.sys_open, k, p, b"..", 0),  # and now it is not
            attempt(sysfile.sys_mkdir, k, p, b"/e"),  # takes the parent's inode
            attempt(sysfile.sys_open, k, p, b".", 0),
        ]
        sysfile.sys_close(k, p, results[-1])
        sysfile.sys_chdir(k, p, b"/")
        return results

    results, image = shell(program)
    assert results == [0, -1, -1, 0, 0, 0, -1, 0, 0]
    assert set(tree_of(image)) == {(), ("e",)}
    audit(image)


def test_a_name_counts_by_its_first_14_bytes_and_never_matches_across_entries() -> None:
    def program(k: Any, p: FakeProc) -> list[int]:
        write_all(k, p, b"abcdefghijklmnopq", b"1")
        write_all(k, p, b"bc", b"2")
        return [
            attempt(sysfile.sys_open, k, p, name, 0)
            for name in (b"abcdefghijklmn", b"abcdefghijklmnXX", b"abcdefghijklm", b"c", b"b", b"bcd")
        ]

    fds, image = shell(program)
    assert fds == [0, 1, -1, -1, -1, -1]
    assert set(tree_of(image)) == {(), ("abcdefghijklmn",), ("bc",)}


def test_names_of_removed_entries_are_not_found_and_their_places_are_used_again() -> None:
    def program(k: Any, p: FakeProc) -> tuple[int, int, int]:
        for i in range(70):
            write_all(k, p, b"%d" % i, b"")
        size = k.inodes.get(k.fs, 1).size
        for i in range(0, 70, 2):
            sysfile.sys_unlink(k, p, b"%d" % i)
        for i in range(100, 135):
            write_all(k, p, b"%d" % i, b"")
        return size, k.inodes.get(k.fs, 1).size, attempt(sysfile.sys_open, k, p, b"2", 0)

    (before, after, fd), image = shell(program, ninodes=100)
    assert before == after == (2 + 70) * DIRENT_SIZE
    assert fd == -1
    assert len(tree_of(image)) == 71
    audit(image)


def image_with_holes() -> bytes:
    """A disk with a file f of 20 blocks of x, of which the second and all from the 13th on are missing."""
    image = build({"f": b"x" * 20 * BSIZE}, size=400, ninodes=64)
    inodes = FsImage(bytes(image)).superblock.inodestart * BSIZE
    for place in (1, 12):  # the second direct block, and the indirect one
        at = inodes + 2 * DINODE_SIZE + 12 + 4 * place
        image[at : at + 4] = bytes(4)
    return bytes(image)


def test_a_hole_left_by_another_image_maker_reads_as_zeros() -> None:
    k = FakeKernel(CutDrive(image_with_holes())).mount()

    def program(k: Any, p: FakeProc) -> bytes:
        fd = sysfile.sys_open(k, p, b"f", 0)
        n = sysfile.sys_read(k, p, fd, 0, 20 * BSIZE)
        return bytes(p.memory[:n])

    data = k.call(program)
    x, zero = b"x" * BSIZE, bytes(BSIZE)
    assert data == x + zero + 10 * x + 8 * zero


def test_a_free_entry_that_still_has_a_name_is_not_found() -> None:
    image = build({"f": b"x", "g": b"y"}, size=400, ninodes=64)
    root_block = FsImage(bytes(image)).inode(1).addresses[0]
    at = root_block * BSIZE + 2 * DIRENT_SIZE
    assert image[at : at + 3] == b"\2\0f"
    image[at] = 0
    k = FakeKernel(CutDrive(image)).mount()

    def program(k: Any, p: FakeProc) -> list[int]:
        return [attempt(sysfile.sys_open, k, p, name, 0) for name in (b"f", b"g")]

    assert k.call(program) == [-1, 0]


def test_a_write_into_a_hole_fills_it_for_good() -> None:
    drive = CutDrive(image_with_holes())
    k = FakeKernel(drive).mount()

    def program(k: Any, p: FakeProc) -> None:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        sysfile.sys_read(k, p, fd, 0, BSIZE)
        p.memory[:4] = b"full"
        assert sysfile.sys_write(k, p, fd, 0, 4) == 4

    k.call(program)
    data = tree_of(drive.image)[("f",)]
    assert data is not None and data[BSIZE - 1 : BSIZE + 5] == b"xfull\0" and len(data) == 20 * BSIZE


def test_a_disk_with_two_blocks_of_map_uses_the_lowest_free_block_of_both() -> None:
    image = build({"f": b"x"}, size=BPB + 100, ninodes=64)
    first = FsImage(bytes(image)).superblock.bmapstart
    image[first * BSIZE : (first + 1) * BSIZE] = b"\xff" * BSIZE  # nothing is free in the first
    drive = CutDrive(image)
    k = FakeKernel(drive).mount()

    def program(k: Any, p: FakeProc) -> list[int]:
        taken = []
        for i in range(3):
            write_all(k, p, b"%d" % i, b"x")
            taken.append(namei(k, b"%d" % i).addrs[0])
            attempt(sysfile.sys_unlink, k, p, b"f")  # once: gives back its block, in the first
        write_all(k, p, b"big", b"x" * 60 * BSIZE)
        write_all(k, p, b"bigger", b"x" * 60 * BSIZE)
        return taken

    lowest = FsImage(bytes(image)).inode(2).addresses[0]
    assert k.call(program) == [BPB, lowest, BPB + 1]
    sizes = {path: len(data) for path, data in tree_of(drive.image).items() if data is not None}
    assert 0 < sizes[("bigger",)] < 60 * BSIZE  # no block behind the end is given out
    check(drive.image)


def test_exec_is_told_when_a_program_it_keeps_changes_goes_or_leaves_the_table() -> None:
    def program(k: Any, p: FakeProc) -> list[list[int]]:
        told = []

        def keep(name: bytes) -> None:
            with namei(k, name).borrowed() as ip:
                ip.text = "kept"

        def overwrite() -> None:
            fd = sysfile.sys_open(k, p, b"prog", O_RDWR)
            sysfile.sys_write(k, p, fd, 0, 1)
            sysfile.sys_close(k, p, fd)

        for change in (
            overwrite,
            lambda: write_all(k, p, b"prog", b"new"),
            lambda: sysfile.sys_unlink(k, p, b"prog"),
            lambda: [write_all(k, p, b"f%d" % i, b"") for i in range(NINODE)],
        ):
            write_all(k, p, b"prog", b"old")
            keep(b"prog")
            k.texts_dropped.clear()
            change()
            told.append(list(k.texts_dropped))
        return told

    k, _ = machine(size=1000, ninodes=NINODE + 20)
    told = k.call(program)
    assert [bool(inums) for inums in told] == [True, True, True, True]
    assert {inum for inums in told for inum in inums} == {2}


def test_a_bad_super_block_is_a_panic_that_names_it() -> None:
    image = build({}, size=400, ninodes=64)
    SUPERBLOCK.pack_into(image, BSIZE, 1, 400, 0, 64, 31, 2, 33, 50, 0)
    with pytest.raises(Panic, match="magic"):
        FakeKernel(CutDrive(image)).mount()


def test_dirlookup_tells_the_offset_and_takes_a_reference() -> None:
    def program(k: Any, p: FakeProc) -> tuple[int, int, int]:
        root = namei(k, b"/")
        with root.locked():
            found = dirlookup(k.inodes, root, b"two")
        assert found is not None
        ip, off = found
        with ip.locked():
            kinds = root.type, ip.type
        assert kinds == (T_DIR, T_FILE)
        return ip.inum, ip.ref, off

    k, _ = machine(one=b"1", two=b"2")
    assert k.call(program) == (3, 1, 48)


def test_a_table_that_the_disk_filled_up_behind_is_empty_on_disk_too() -> None:
    """Its block is taken and nothing entered in it: what stood there before must not be taken for numbers."""
    image = build({"f": b"x" * 12 * BSIZE}, size=400, ninodes=64)
    start = FsImage(bytes(image)).superblock.bmapstart * BSIZE
    image[start : start + 50] = b"\xff" * 49 + b"\x7f"  # the last block is free
    image[399 * BSIZE :] = b"\xff" * BSIZE
    drive = CutDrive(image)

    def program(k: Any, p: FakeProc) -> int:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)
        sysfile.sys_read(k, p, fd, 0, 12 * BSIZE)
        return attempt(sysfile.sys_write, k, p, fd, 0, 1)

    assert FakeKernel(drive).mount().call(program) == -1
    assert check(drive.image).inode(2).addresses[12] == 399
    assert drive.image[399 * BSIZE :] == bytes(BSIZE)
