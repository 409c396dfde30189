"""What every open file offers: a place in it, readiness, requests; and buffers of the kernel's own."""

from collections.abc import Callable
from errno import EINVAL, EIO, ENOTTY, ESPIPE
from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel.abi.disk import BSIZE
from kernel.abi.fcntl import (
    O_RDWR,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    SEEK_CUR,
    SEEK_END,
    SEEK_SET,
    T_DEVICE,
)
from kernel.abi.param import CONSOLE, MAXOPBLOCKS, PIPESIZE
from kernel.abi.tty import TTY_ASK, TTY_MODE
from kernel.errors import BadAddress, SyscallError
from kernel.fs.buffer import KernelBuffer
from kernel.fs.file import DeviceFile
from kernel.fs.pipe import Pipe
from kernel.xv6 import sysfile
from toolchain.mkfs import build

WRITE_STEP = (MAXOPBLOCKS - 1 - 1 - 2) // 2 * BSIZE  # bytes that xv6 writes in one operation


def run(function: Callable[[Any, FakeProc], None]) -> None:
    FakeKernel(CutDrive(build({"f": b"0123456789"}, size=400, ninodes=64))).mount().call(function)


def error_of(call: Callable[..., object], *args: object) -> int:
    with pytest.raises(SyscallError) as error:
        call(*args)
    return error.value.code


def opened(k: Any, p: FakeProc, path: bytes = b"f") -> Any:
    return p.files.file(sysfile.sys_open(k, p, path, O_RDWR))


def read(f: Any, n: int) -> bytes:
    buf = KernelBuffer(bytes(n))
    return bytes(buf.data[: f.read(buf)])


@pytest.mark.parametrize(
    ("offset", "whence", "to"), [(3, SEEK_SET, 3), (-1, SEEK_CUR, 1), (2, SEEK_CUR, 4), (-4, SEEK_END, 6)]
)
def test_the_next_read_begins_where_seek_says(offset: int, whence: int, to: int) -> None:
    def program(k: Any, p: FakeProc) -> None:
        f = opened(k, p)
        assert read(f, 2) == b"01"
        assert f.seek(offset, whence) == to and read(f, 3) == b"0123456789"[to : to + 3]

    run(program)


def test_places_that_there_are_not() -> None:
    def program(k: Any, p: FakeProc) -> None:
        f = opened(k, p)
        assert [error_of(f.seek, -1, SEEK_SET), error_of(f.seek, 0, 3)] == [EINVAL, EINVAL]
        assert f.seek(20, SEEK_SET) == 20 and read(f, 5) == b""
        assert error_of(Pipe(k.waits).reader.seek, 0, SEEK_SET) == ESPIPE
        sysfile.sys_mknod(k, p, b"tty", CONSOLE, 0)
        assert error_of(opened(k, p, b"tty").seek, 0, SEEK_SET) == ESPIPE

    run(program)


def test_the_kernel_reads_and_writes_files_by_buffers_of_its_own() -> None:
    def program(k: Any, p: FakeProc) -> None:
        f = opened(k, p)
        assert f.write(KernelBuffer(b"abc")) == 3
        f.seek(0, SEEK_SET)
        assert read(f, 100) == b"abc3456789"

    run(program)


def test_what_would_not_wait() -> None:
    def program(k: Any, p: FakeProc) -> None:
        assert opened(k, p).poll() == POLLIN | POLLOUT
        pipe = Pipe(k.waits)
        assert (pipe.reader.poll(), pipe.writer.poll()) == (0, POLLOUT)
        pipe.write(KernelBuffer(b"x" * PIPESIZE))
        assert (pipe.reader.poll(), pipe.writer.poll()) == (POLLIN, 0)
        pipe.reader.ref = pipe.writer.ref = 0
        assert (pipe.reader.poll(), pipe.writer.poll()) == (POLLIN | POLLHUP, POLLERR)
        sysfile.sys_mknod(k, p, b"tty", CONSOLE, 0)
        tty = opened(k, p, b"tty")
        assert tty.poll() == POLLOUT
        k.type(b"line\n")
        assert tty.poll() == POLLIN | POLLOUT and read(tty, 100) == b"line\n"

    run(program)


def test_requests_are_for_the_driver() -> None:
    def program(k: Any, p: FakeProc) -> None:
        assert error_of(opened(k, p).ioctl, TTY_MODE, TTY_ASK) == ENOTTY
        sysfile.sys_mknod(k, p, b"tty", CONSOLE, 0)
        tty = opened(k, p, b"tty")
        assert error_of(tty.ioctl, TTY_MODE, TTY_ASK) == ENOTTY, "no terminal"
        k.console._columns = 80
        assert tty.ioctl(TTY_MODE, TTY_ASK) == 80
        assert error_of(tty.ioctl, 99, 0) == ENOTTY
        sysfile.sys_mknod(k, p, b"none", CONSOLE + 1, 0)
        nobody = opened(k, p, b"none")
        assert isinstance(nobody, DeviceFile) and nobody.ip.type == T_DEVICE
        assert error_of(nobody.read, KernelBuffer(b"x")) == EIO

    run(program)


@given(st.binary(max_size=40), st.lists(st.integers(0, 15)))
def test_a_kernel_buffer_gives_its_bytes_in_order_and_takes_as_many(data: bytes, steps: list[int]) -> None:
    source, target = KernelBuffer(data), KernelBuffer(bytes(len(data)))
    for n in steps:
        taken = source.take(n)
        source.give_back(len(taken) // 2)
        assert target.put(taken[: len(taken) - len(taken) // 2]) == len(taken) - len(taken) // 2
        assert source.done == target.done and source.remaining == target.remaining
    target.put(b"".join(source.pieces()))
    assert bytes(target.data) == data and not target.remaining and source.bad is target.bad is None


class FailingBuffer(KernelBuffer):
    """One whose bytes from the `good`th on are at a bad address."""

    def __init__(self, data: bytes, good: int) -> None:
        super().__init__(data)
        self._good = good

    def take(self, n: int) -> bytes:
        taken = super().take(min(n, self._good - self.done))
        if len(taken) < n:
            self.bad = BadAddress(self._good)
        return taken


def written_by_xv6(content: bytes, start: int, data: bytes, good: int) -> tuple[bytes, int]:
    """What xv6's filewrite leaves of a file of which `content` was there: its bytes, and where f->off is."""
    file, off, size, done = bytearray(content).ljust(start + len(data), b"\0"), start, len(content), 0
    while done < len(data):
        step, moved = min(len(data) - done, WRITE_STEP), 0
        while moved < step:
            piece = min(step - moved, BSIZE - off % BSIZE)
            copied = min(piece, max(0, good - done - moved))
            file[off : off + copied] = data[done + moved : done + moved + copied]
            if copied < piece:
                break
            moved, off = moved + piece, off + piece
        size, done = max(size, off), done + moved
        if moved < step:
            break
    return bytes(file[:size]), off


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 40_000), st.integers(0, 40_000))
@example(3000, 100, 16394, 20000)  # behind 16 blocks that do not begin where a block does
@example(0, 0, 16384, 20000)
@example(100, 100, 1, 20000)
def test_a_write_from_a_bad_address_leaves_what_xv6_leaves(size: int, start: int, good: int, n: int) -> None:
    start, good = min(start, size), min(good, n - 1)
    if n == 0 or good < 0:
        return
    content, data = bytes(i % 251 for i in range(size)), bytes(1 + i % 255 for i in range(n))

    def program(k: Any, p: FakeProc) -> None:
        f = opened(k, p)
        f.write(KernelBuffer(content))
        f.seek(start, SEEK_SET)
        with pytest.raises(BadAddress):
            f.write(FailingBuffer(data, good))
        off = f.off
        f.seek(0, SEEK_SET)
        assert (read(f, 100_000), off) == written_by_xv6(content, start, data, good)

    FakeKernel(CutDrive(build({"f": b""}, size=400, ninodes=64))).mount().call(program)
