"""Layouts of inodes: files with tables of tables, as mkfs and the kernel make them, and how they go."""

from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, PowerCut, namei
from file_model import Model, Op, audit, ops, perform, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi.disk import BSIZE, LAB, LAYOUTS, NADDRS, NINDIRECT, STOCK, SUPERBLOCK, SuperBlock
from kernel.abi.fcntl import O_CREATE, O_RDWR, O_TRUNC
from kernel.fs.file import WRITE_MAX
from kernel.xv6 import sysfile
from toolchain import fsimage
from toolchain.fsimage import BadImage, FsImage
from toolchain.mkfs import ImageError, build

BIG = (11 + 256 + 600) * BSIZE + 77  # three tables below the table of tables, the last used in part


def pattern(size: int) -> bytes:
    """Bytes of which no two blocks are the same."""
    return b"".join(b"%07d " % i for i in range(size // 8 + 1))[:size]


def machine(image: bytes | bytearray, layout: str | None = None) -> tuple[FakeKernel, CutDrive]:
    drive = CutDrive(image)
    return FakeKernel(drive, layout=layout).mount(), drive


def write_file(k: FakeKernel, p: FakeProc, name: bytes, data: bytes) -> None:
    fd = sysfile.sys_open(k, p, name, O_CREATE | O_TRUNC | O_RDWR)  # type: ignore[arg-type]
    for start in range(0, len(data), WRITE_MAX):
        piece = data[start : start + WRITE_MAX]
        p.memory[: len(piece)] = piece
        assert sysfile.sys_write(k, p, fd, 0, len(piece)) == len(piece)  # type: ignore[arg-type]
    sysfile.sys_close(k, p, fd)  # type: ignore[arg-type]


# --- where a block's number is ---


@pytest.mark.parametrize("layout", LAYOUTS.values())
def test_every_block_has_its_own_place(layout: fsimage.disk.Layout) -> None:
    places = [tuple(layout.path(index)) for index in range(layout.blocks_max)]
    assert len(set(places)) == layout.blocks_max == {"stock": 268, "lab": 65803}[layout.name]
    assert places == sorted(places) and places[0] == (0,)
    assert places[-1] == (NADDRS - 1, *[NINDIRECT - 1] * (NADDRS - layout.direct))
    for slot in range(NADDRS):
        assert places[layout.first(slot)] == (slot, *[0] * max(0, slot - layout.direct + 1))


# --- images ---


@pytest.mark.parametrize("size", [0, 11 * BSIZE, 12 * BSIZE, 267 * BSIZE, 268 * BSIZE, BIG])
def test_a_file_of_any_size_is_in_the_image(size: int) -> None:
    image = build({"f": pattern(size), "g": b"g"}, size=1500, layout="lab")
    fs = fsimage.check(image)
    assert fs.layout is LAB and fs.read("/f") == pattern(size)
    k, _ = machine(image)
    blocks = -(-size // BSIZE)
    ip = k.call(lambda k, p: namei(k, b"f"))
    assert k.call(lambda k, p: ip.locked().__enter__() and ip.read(0, size + 1)) == pattern(size)
    assert k.call(lambda k, p: k.fs.content.blocknos(ip, 0, blocks)) == fs.data_blocks(fs.inode(2))


def test_the_mark_is_a_word_that_stock_leaves_zero_and_an_argument_stands_for_it() -> None:
    image = build({"f": pattern(BIG)}, size=1500, layout="lab")
    at = SUPERBLOCK.size - 4 + BSIZE
    assert SuperBlock._fields.index("layout") == 8 and any(image[at : at + 4])
    assert not any(build({})[BSIZE + 32 : 2 * BSIZE])
    image[at : at + 4] = bytes(4)
    assert fsimage.check(image, layout="lab").read("/f") == pattern(BIG)
    with pytest.raises(BadImage):
        fsimage.check(image)
    k, _ = machine(image, "lab")
    assert k.fs.layout is LAB
    assert machine(image)[0].fs.layout is STOCK


def test_a_file_too_large_for_the_layout_is_refused() -> None:
    with pytest.raises(ImageError, match="at most 274432"):
        build({"f": bytes(268 * BSIZE + 1)})
    build({"f": bytes(268 * BSIZE + 1)}, layout="lab", size=500)


def test_a_block_used_twice_is_found_in_the_tables_too() -> None:
    image = build({"f": pattern(BIG)}, size=1500, layout="lab")
    fs = FsImage(image)
    top = fs.inode(2).addresses[12]
    image[top * BSIZE + 4 : top * BSIZE + 8] = image[top * BSIZE : top * BSIZE + 4]
    with pytest.raises(BadImage, match="is also used by inode 2"):
        fsimage.check(image)
    image[top * BSIZE + 4 : top * BSIZE + 8] = (1 << 20).to_bytes(4, "little")
    with pytest.raises(BadImage, match="out of range"):
        fsimage.check(image)


# --- the kernel ---


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(ops, max_size=40))
def test_any_operations_agree_with_the_model(operations: list[Op]) -> None:
    k, drive = machine(build({}, size=2000, ninodes=64, layout="lab"))
    model = Model()

    def program(k: FakeKernel, p: FakeProc) -> None:
        for op in operations:
            assert perform(k, p, op) == model.apply(op), op

    k.call(program)
    assert tree_of(drive.image) == model.tree()
    audit(drive.image)


def test_a_large_file_is_written_read_and_removed() -> None:
    k, drive = machine(build({}, size=2000, ninodes=64, layout="lab"))
    free = FsImage(drive.image)
    k.call(write_file, b"f", pattern(BIG))
    assert FsImage(drive.image).read("/f") == pattern(BIG)
    audit(drive.image)
    k.call(write_file, b"f", pattern(100))
    audit(drive.image)
    k.call(lambda k, p: sysfile.sys_unlink(k, p, b"f"))
    audit(drive.image)
    after = FsImage(drive.image)
    assert [after.in_use(b) for b in range(2000)] == [free.in_use(b) for b in range(2000)]


# --- more than one operation can free ---

FEW_BLOCKS = 4  # as if a block of the map had this many bits: a file needs more of them than an operation has


def test_a_file_whose_blocks_are_all_over_the_disk_goes_in_several_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kernel.fs.xv6fs.content.BPB", FEW_BLOCKS)
    image = build({"f": pattern(BIG), "g": pattern(BIG)}, size=2500, ninodes=64, layout="lab")
    empty = FsImage(build({}, size=2500, ninodes=64, layout="lab"))
    k, drive = machine(image)
    sizes: list[int] = []

    def program(k: FakeKernel, p: FakeProc) -> None:
        fd = sysfile.sys_open(k, p, b"f", O_RDWR)  # type: ignore[arg-type]
        sysfile.sys_unlink(k, p, b"f")  # type: ignore[arg-type]
        itrunc = k.fs.itrunc

        def noted(ip: object) -> bool:
            sizes.append(ip.size)  # type: ignore[attr-defined]
            return itrunc(ip)  # type: ignore[arg-type]

        k.fs.itrunc = noted  # type: ignore[assignment,method-assign]
        sysfile.sys_close(k, p, fd)  # type: ignore[arg-type]
        sysfile.sys_open(k, p, b"g", O_RDWR | O_TRUNC)  # type: ignore[arg-type]

    k.call(program)
    assert len(sizes) > 10 and sizes.count(BIG) == 2, "both went piece by piece"
    audit(drive.image)
    fs = FsImage(drive.image)
    assert {path: data for path, data in tree_of(drive.image).items() if path} == {("g",): b""}
    assert sum(map(fs.in_use, range(2500))) == sum(map(empty.in_use, range(2500)))


@pytest.mark.parametrize("how", ["unlink", "truncate"])
def test_power_may_fail_at_any_block_of_cutting_off_a_large_file(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.fs.xv6fs.content.BPB", 16)
    size = (11 + 256 + 300) * BSIZE
    image = build({"f": pattern(size), "h": b"h"}, size=1000, ninodes=64, layout="lab")
    empty = FsImage(build({"h": b"h"}, size=1000, ninodes=64, layout="lab"))

    def program(k: FakeKernel, p: FakeProc) -> None:
        if how == "unlink":
            sysfile.sys_unlink(k, p, b"f")  # type: ignore[arg-type]
        else:
            sysfile.sys_open(k, p, b"f", O_RDWR | O_TRUNC)  # type: ignore[arg-type]

    sizes = set()
    cut = 0
    while True:
        drive = CutDrive(image)
        k = FakeKernel(drive).mount()
        drive.blocks_left = cut
        try:
            k.call(program)
        except PowerCut:
            pass
        else:
            break
        audit(drive.image, orphans_allowed=True)
        again = CutDrive(drive.image)
        FakeKernel(again).mount()
        audit(again.image)
        tree = tree_of(again.image)
        left = tree.get(("f",))
        assert left is None or left == pattern(size)[: len(left)]
        assert tree[("h",)] == b"h"
        sizes.add(None if left is None else len(left))
        if left is None:
            fs = FsImage(again.image)
            assert sum(map(fs.in_use, range(1000))) == sum(map(empty.in_use, range(1000)))
        cut += 1
    assert cut > 10 and size in sizes
    assert None in sizes if how == "unlink" else len(sizes) > 2


# --- the log has room ---


@pytest.mark.parametrize("layout", ["stock", "lab"])
@pytest.mark.parametrize("processes", [1, 3, 5])
def test_operations_fit_the_log_where_every_free_block_is_in_another_block_of_the_map(
    layout: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = 32  # as if a block of the map had so many
    for module in ("kernel.fs.xv6fs.content", "kernel.fs.xv6fs.blockmap", "toolchain.mkfs.disk"):
        monkeypatch.setattr(f"{module}.BPB", bits)
    size = 600 * bits
    image = build({}, size=size, ninodes=64, layout=layout)
    sb = SuperBlock._make(SUPERBLOCK.unpack_from(image, BSIZE))
    in_use = size - sb.nblocks + 1  # with the block of the root directory
    for i in range(size // bits):
        used = max(0, min(bits, in_use - i * bits))
        free = 1 << bits - 1 if used < bits else 0
        row = ((1 << bits) - 1 & ~free).to_bytes(bits // 8, "little")
        at = (sb.bmapstart + i) * BSIZE
        image[at : at + BSIZE] = row.ljust(BSIZE, b"\0")

    def program(k: Any, p: FakeProc, own: bytes) -> int:
        done = 0
        assert sysfile.sys_mkdir(k, p, own) == 0 and sysfile.sys_chdir(k, p, own) == 0
        for turn in range(3):
            sysfile.sys_mkdir(k, p, b"d")
            fd = sysfile.sys_open(k, p, b"f", O_CREATE | O_RDWR)
            sysfile.sys_write(k, p, fd, 0, 5 + turn)
            for _ in range(2):
                done += sysfile.sys_write(k, p, fd, 0, WRITE_MAX)
            sysfile.sys_symlink(k, p, b"f", b"d/l")
            sysfile.sys_link(k, p, b"f", b"g")
            for name in (b"f", b"g", b"d/l", b"d"):
                assert sysfile.sys_unlink(k, p, name) == 0
            sysfile.sys_close(k, p, fd)
        return done

    k = FakeKernel(CutDrive(image)).mount()
    running = [k.spawn(program, b"%d" % i, cwd=k.inodes.get(k.fs, 1)) for i in range(processes)]
    k.run()
    assert [p.result for p in running] == [6 * WRITE_MAX] * processes
