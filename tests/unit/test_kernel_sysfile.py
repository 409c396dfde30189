"""The file calls, one rule of xv6 at a time: what each returns, and what it leaves behind."""

import struct
from random import Random
from typing import Any

import pytest
from fake_kernel import MEMORY_SIZE, CutDrive, FakeKernel, FakeProc, Panic, attempt, namei
from file_model import audit

from kernel.abi.disk import BSIZE, MAXFILE, STAT
from kernel.abi.fcntl import O_CREATE, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, T_DEVICE, T_DIR, T_FILE
from kernel.abi.param import CONSOLE, NDEV, NFILE, NOFILE
from kernel.abi.tty import TTY_ASK
from kernel.errors import SyscallError
from kernel.fs.file import WRITE_MAX
from kernel.fs.xv6fs.filesystem import NLINK_MAX, FileSystem
from kernel.xv6 import sysfile
from toolchain.mkfs import build


class Program:
    """System calls as a program makes them, from inside a process: an error is -1."""

    def __init__(self, k: FakeKernel, p: FakeProc) -> None:
        self.k: Any = k
        self.p = p

    def __getattr__(self, name: str) -> Any:
        handler = getattr(sysfile, f"sys_{name}")
        return lambda *args: attempt(handler, self.k, self.p, *args)

    def put(self, data: bytes) -> int:
        """Place data in memory; gives its address."""
        self.p.memory[: len(data)] = data
        return 0

    def make(self, path: bytes, data: bytes = b"") -> None:
        """Make or overwrite a file."""
        fd = self.open(path, O_CREATE | O_TRUNC | O_RDWR)
        assert self.write(fd, self.put(data), len(data)) == len(data)
        self.close(fd)

    def content(self, path: bytes) -> bytes:
        """All of a file."""
        fd = self.open(path, O_RDONLY)
        n = self.read(fd, 0, MEMORY_SIZE)
        self.close(fd)
        return bytes(self.p.memory[:n])

    def stat(self, path: bytes) -> tuple[int, ...]:
        """(dev, ino, type, nlink, size)."""
        fd = self.open(path, O_RDONLY)
        assert self.fstat(fd, 0) == 0
        self.close(fd)
        return STAT.unpack_from(self.p.memory)


def run(program: Any, *more: Any) -> tuple[FakeKernel, bytes]:
    """Run each program(Program) as a process in the root directory; afterwards the disk is sound."""
    drive = CutDrive(build({"README": b"read me\n"}, size=600, ninodes=64))
    k = FakeKernel(drive).mount()
    for function in (program, *more):
        process = k.spawn(lambda k, p, function=function: function(Program(k, p)))
        process.files.cwd = k.inodes.get(k.fs, 1)
    k.run()
    return k, drive.image


# --- open ---


def test_open_gives_the_lowest_free_descriptor() -> None:
    def program(u: Program) -> None:
        assert [u.open(b"README", 0) for _ in range(3)] == [0, 1, 2]
        u.close(1)
        assert u.open(b"README", 0) == 1
        u.close(0)
        assert u.dup(1) == 0

    run(program)


@pytest.mark.parametrize(
    ("mode", "can_read", "can_write"),
    [
        (O_RDONLY, True, False),
        (O_WRONLY, False, True),
        (O_RDWR, True, True),
        (O_WRONLY | O_RDWR, False, True),
    ],
)
def test_the_mode_says_what_can_be_done(mode: int, can_read: bool, can_write: bool) -> None:
    def program(u: Program) -> None:
        fd = u.open(b"README", mode)
        assert (u.read(fd, 0, 1) == 1) == can_read
        assert (u.write(fd, 0, 1) == 1) == can_write

    run(program)


def test_a_directory_can_only_be_opened_for_reading() -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        assert [u.open(b"d", mode) for mode in (O_WRONLY, O_RDWR, O_TRUNC, O_CREATE, O_CREATE | O_RDWR)] == [
            -1
        ] * 5
        fd = u.open(b"d", O_RDONLY)
        assert u.read(fd, 0, 100) == 32
        assert u.write(fd, 0, 1) == -1

    run(program)


def test_create_opens_what_is_there_and_truncates_only_when_asked() -> None:
    def program(u: Program) -> None:
        u.make(b"f", b"content")
        u.close(u.open(b"f", O_CREATE | O_RDWR))
        assert u.content(b"f") == b"content"
        u.close(u.open(b"f", O_TRUNC | O_RDONLY))
        assert u.content(b"f") == b""

    run(program)


@pytest.mark.parametrize("path", [b"", b"/", b".", b"none/f", b"README/f", b"./README/../f"])
def test_paths_that_cannot_be_created(path: bytes) -> None:
    def program(u: Program) -> None:
        assert u.open(path, O_CREATE | O_RDWR) == -1

    _, image = run(program)
    audit(image)


@pytest.mark.parametrize("path", [b"/README", b"//README", b"./README", b"/./../README//", b"d/../README"])
def test_paths_that_all_name_one_file(path: bytes) -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        assert u.content(path) == b"read me\n"

    run(program)


def test_the_limits_on_open_files() -> None:
    def program(u: Program) -> None:
        for fd in range(NOFILE):
            assert u.open(b"README", 0) == fd
        assert u.open(b"README", 0) == u.dup(0) == -1
        assert u.open(b"made-though", O_CREATE) == -1  # as in xv6 the file is there
        u.close(3)
        u.k.files.reserve(NFILE - u.k.files.open_count)
        assert u.open(b"README", 0) == -1
        assert u.dup(0) == 3
        u.close(3)
        u.k.files.open_count = NOFILE - 1
        assert u.open(b"made-though", 0) == 3

    k, image = run(program)
    audit(image)
    assert sum(ip.ref for ip in k.inodes.inodes.values()) == NOFILE + 2  # all by descriptors and two cwds


# --- read, write, close, dup, fstat ---


@pytest.mark.parametrize("fd", [-1, 1, NOFILE, NOFILE + 1, 1 << 30, -(1 << 31)])
def test_a_descriptor_that_is_not_open_is_an_error(fd: int) -> None:
    def program(u: Program) -> None:
        u.open(b"README", 0)
        assert [u.read(fd, 0, 1), u.write(fd, 0, 1), u.close(fd), u.dup(fd), u.fstat(fd, 0)] == [-1] * 5

    run(program)


def test_lengths_that_are_not_positive() -> None:
    def program(u: Program) -> None:
        fd = u.open(b"README", O_RDWR)
        assert u.write(fd, 0, 0) == u.read(fd, 0, 0) == 0
        assert u.write(fd, 0, -1) == u.write(fd, 0, -(1 << 31)) == -1
        assert u.read(fd, 0, -1) == 8  # a huge unsigned length
        assert u.read(fd, 0, -1) == 0  # and now the sum wraps
        assert u.read(fd, 0, (1 << 31) - 1) == 0

    run(program)


def test_a_write_longer_than_a_transaction_arrives_whole() -> None:
    data = bytes(i * i & 0xFF for i in range(20 * BSIZE + 17))

    def program(u: Program) -> None:
        u.make(b"f", data)
        assert u.content(b"f") == data

    run(program)


def test_a_write_from_a_bad_address_keeps_the_bytes_before_it() -> None:
    def program(u: Program) -> None:
        fd = u.open(b"f", O_CREATE | O_RDWR)
        assert u.write(fd, MEMORY_SIZE, 10) == u.write(fd, MEMORY_SIZE - 10, 20) == -1
        assert u.stat(b"f")[4] == 0
        assert u.write(fd, MEMORY_SIZE - WRITE_MAX - BSIZE, WRITE_MAX + 2 * BSIZE) == -1
        assert u.stat(b"f")[4] == WRITE_MAX + BSIZE
        assert u.write(fd, 1 << 63, 10) == -1
        u.make(b"g", b"A")
        fd = u.open(b"g", O_RDWR)
        u.p.memory[-1] = ord("X")
        assert u.write(fd, MEMORY_SIZE - 1, 2) == -1
        assert u.content(b"g") == b"X"

    run(program)


class XvFile:
    """What the C kernel's filewrite and writei do, a piece of memory at a time, with memory up to `good`."""

    def __init__(self, data: bytes, off: int) -> None:
        self.data, self.off = bytearray(data), off

    def write(self, memory: bytes, va: int, n: int) -> int:
        i = 0
        while i < n:
            step = min(n - i, 3 * BSIZE)
            moved = self._writei(memory, va + i, step)
            self.off += max(moved, 0)
            if moved != step:
                return -1
            i += step
        return n

    def _writei(self, memory: bytes, va: int, n: int) -> int:
        if self.off + n > MAXFILE * BSIZE:
            return -1
        done = 0
        while done < n:
            at = self.off + done
            piece = min(n - done, BSIZE - at % BSIZE)
            data = memory[va + done : va + done + piece]
            if len(data) < piece:  # in the block, but the file ends before it if it did
                data = data[: max(0, len(self.data) - at)]
                self.data[at : at + len(data)] = data
                break
            self.data[at : at + piece] = data
            done += piece
        return done


NUMBERS = [0, 1, 5, BSIZE - 1, BSIZE, BSIZE + 1, 3 * BSIZE - 3, 3 * BSIZE, 3 * BSIZE + 7, WRITE_MAX + 99]


def test_writes_that_fail_leave_what_the_c_kernels_leave() -> None:
    rng = Random(1)
    old = bytes(i * 3 & 0xFF for i in range(2 * WRITE_MAX))

    def program(u: Program) -> None:
        memory = bytes(i * 5 + 1 & 0xFF for i in range(MEMORY_SIZE))
        for _ in range(60):
            size, off, good, n = (rng.choice(NUMBERS) + rng.randrange(2) for _ in range(4))
            off = min(off, size)
            expected = XvFile(old[:size], off)
            u.make(b"f", old[:size])
            fd = u.open(b"f", O_RDWR)
            assert u.read(fd, 0, off) == off
            u.p.memory[:] = memory
            result = u.write(fd, MEMORY_SIZE - good, n)
            assert result == expected.write(memory, MEMORY_SIZE - good, n), (size, off, good, n)
            assert u.p.files.ofile[fd].off == expected.off, (size, off, good, n)
            u.close(fd)
            assert u.content(b"f") == expected.data, (size, off, good, n)

    run(program)


@pytest.mark.parametrize("last", [0, 1, 3 * BSIZE - 1])
def test_a_write_past_the_largest_file_stops_at_the_step_that_does_not_fit(last: int) -> None:
    def program(u: Program) -> None:
        fd = u.open(b"f", O_CREATE | O_RDWR)
        for _ in range(MAXFILE // 4 - 2):
            assert u.write(fd, 0, 4 * BSIZE) == 4 * BSIZE
        assert u.write(fd, 0, last) == last
        expected = XvFile(bytes((MAXFILE - 8) * BSIZE + last), (MAXFILE - 8) * BSIZE + last)
        assert u.write(fd, 0, 12 * BSIZE) == expected.write(bytes(12 * BSIZE), 0, 12 * BSIZE) == -1
        assert u.stat(b"f")[4] == len(expected.data) == expected.off

    run(program)


def test_a_read_to_a_bad_address_fails_and_leaves_the_offset() -> None:
    def program(u: Program) -> None:
        fd = u.open(b"README", O_RDONLY)
        assert u.read(fd, MEMORY_SIZE - 3, 8) == u.read(fd, 1 << 40, 8) == -1
        assert u.read(fd, 0, 100) == 8
        assert u.read(fd, MEMORY_SIZE, 100) == 0  # at the end nothing is stored

    run(program)


def test_a_write_beyond_the_largest_file_fails_and_keeps_whole_transactions() -> None:
    def program(u: Program) -> None:
        fd = u.open(b"f", O_CREATE | O_RDWR)
        for _ in range(MAXFILE // 4):
            assert u.write(fd, 0, 4 * BSIZE) == 4 * BSIZE
        assert u.write(fd, 0, 1) == -1
        assert u.stat(b"f")[4] == MAXFILE * BSIZE

    run(program)


def test_descriptors_made_by_dup_share_the_offset_and_others_do_not() -> None:
    def program(u: Program) -> None:
        a = u.open(b"README", 0)
        b = u.open(b"README", 0)
        c = u.dup(a)
        assert u.read(a, 0, 5) == 5 and u.read(c, 0, 10) == 3 and u.read(b, 0, 10) == 8
        u.close(a)
        assert u.read(c, 0, 10) == 0

    run(program)


def test_fstat_of_every_kind() -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        u.mknod(b"dev", 7, 8)
        u.link(b"README", b"d/again")
        assert u.stat(b"README") == (1, 2, T_FILE, 2, 8)
        assert u.stat(b"d") == (1, 3, T_DIR, 1, 48)
        assert u.stat(b"dev") == (1, 4, T_DEVICE, 1, 0)
        assert u.stat(b"/")[3] == 2
        assert u.pipe(0) == 0
        assert u.fstat(0, 0) == -1
        fd = u.open(b"README", 0)
        assert u.fstat(fd, MEMORY_SIZE - STAT.size + 1) == -1

    run(program)


# --- devices ---


def test_a_device_is_reached_by_its_major_number() -> None:
    def program(u: Program) -> None:
        assert u.mknod(b"console", CONSOLE, 0) == 0
        fd = u.open(b"console", O_RDWR)
        assert u.write(fd, u.put(b"hello"), 5) == 5
        assert u.open(b"console", O_CREATE | O_TRUNC | O_RDWR) == fd + 1

    k, _ = run(program)
    assert k.sent == b"hello"


def test_device_numbers_that_nobody_has() -> None:
    def program(u: Program) -> None:
        for name, major in ((b"a", -1), (b"b", NDEV), (b"c", 0x10001), (b"d", NDEV - 1), (b"e", 0x7FFF)):
            assert u.mknod(name, major, 0) == 0
        assert [u.open(name, O_RDWR) for name in (b"a", b"b", b"e")] == [-1, -1, -1]
        wrapped = u.open(b"c", O_RDWR)  # a C short: 1, the console
        assert u.write(wrapped, 0, 1) == 1
        nobody = u.open(b"d", O_RDWR)
        assert u.read(nobody, 0, 1) == u.write(nobody, 0, 1) == -1

    _, image = run(program)
    audit(image)


# --- names ---


def test_link_and_unlink_count_names() -> None:
    def program(u: Program) -> None:
        assert u.link(b"README", b"two") == u.link(b"two", b"three") == 0
        assert u.stat(b"three")[1:4] == (2, T_FILE, 3)
        assert u.link(b"README", b"two") == -1
        assert u.unlink(b"README") == u.unlink(b"three") == 0
        assert u.stat(b"two")[3] == 1
        assert u.content(b"two") == b"read me\n"

    _, image = run(program)
    audit(image)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"none", b"x"),
        (b"d", b"x"),
        (b".", b"x"),
        (b"README", b"d"),
        (b"README", b"none/x"),
        (b"README", b""),
    ],
)
def test_links_that_cannot_be_made_leave_the_count_alone(old: bytes, new: bytes) -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        assert u.link(old, new) == -1
        assert u.stat(b"README")[3] == 1

    k, image = run(program)
    audit(image)
    assert [ip.ref for ip in k.inodes.inodes.values() if ip.inum > 1 and ip.ref] == []


def test_a_link_count_does_not_overflow() -> None:
    def program(u: Program) -> None:
        ip = namei(u.k, b"README")
        with ip.locked():
            ip.nlink = 32767
        assert u.link(b"README", b"x") == -1
        ip.nlink = 1

    run(program)


@pytest.mark.parametrize("path", [b".", b"..", b"d/.", b"d/..", b"/", b"", b"none", b"README/x", b"d"])
def test_what_cannot_be_unlinked(path: bytes) -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        u.make(b"d/f")
        assert u.unlink(path) == -1
        assert u.content(b"d/f") == b""

    _, image = run(program)
    audit(image)


def test_directories_count_the_ones_in_them() -> None:
    def program(u: Program) -> None:
        assert u.mkdir(b"d") == u.mkdir(b"d/e") == u.mkdir(b"d/f") == 0
        assert u.stat(b"d")[3] == 3
        assert u.mkdir(b"d") == u.mkdir(b"README") == u.mkdir(b"/") == u.mkdir(b"") == u.mkdir(b"d/.") == -1
        assert u.unlink(b"d/e") == 0
        assert u.stat(b"d")[3] == 2

    _, image = run(program)
    audit(image)


def test_a_directory_of_two_blocks_with_one_entry_left_is_not_empty() -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        for i in range(63):  # the last is the first entry of the second block
            assert u.link(b"README", b"d/%d" % i) == 0
        for i in range(62):
            assert u.unlink(b"d/%d" % i) == 0
        assert u.unlink(b"d") == -1
        assert u.unlink(b"d/62") == u.unlink(b"d") == 0

    _, image = run(program)
    audit(image)


def test_chdir_moves_where_paths_start() -> None:
    def program(u: Program) -> None:
        u.mkdir(b"d")
        assert u.chdir(b"README") == u.chdir(b"none") == -1
        assert u.chdir(b"d") == 0
        u.make(b"f", b"in d")
        assert u.content(b"/d/f") == b"in d" and u.content(b"../README") == b"read me\n"
        assert u.chdir(b"") == 0
        assert u.chdir(b"..") == 0
        assert u.content(b"d/f") == b"in d"

    k, _ = run(program)
    assert [ip.inum for ip in k.inodes.inodes.values() if ip.ref] == [1]


# --- several processes ---


def test_processes_that_create_and_unlink_the_same_names_do_not_disturb_each_other() -> None:
    def program(u: Program) -> None:
        for i in range(30):
            name = b"f%d" % (i % 4)
            fd = u.open(name, O_CREATE | O_RDWR)
            assert fd == 0
            assert u.write(fd, u.put(b"x" * 600), 600) == 600
            u.close(fd)
            u.unlink(name)
            u.mkdir(b"d%d" % (i % 2))
            u.unlink(b"d%d" % (i % 2))

    _, image = run(program, program, program, program)
    audit(image)


def test_writers_that_share_an_open_file_do_not_overwrite_each_other() -> None:
    def parent(u: Program) -> None:
        fd = u.open(b"shared", O_CREATE | O_RDWR)
        f = u.p.files.ofile[fd]

        def child(k: FakeKernel, p: FakeProc) -> None:
            p.files.ofile[0] = u.k.files.dup(f)
            p.memory[:10] = bytes([p.pid]) * 10
            for _ in range(50):
                assert sysfile.sys_write(u.k, p, 0, 0, 10) == 10  # type: ignore[arg-type]

        for _ in range(2):
            u.k.spawn(child, cwd=u.p.files.cwd)

    def check(u: Program) -> None:
        u.k.sleep(check)
        data = u.content(b"shared")
        assert len(data) == 1000
        writers = [set(data[i : i + 10]) for i in range(0, 1000, 10)]
        assert all(len(who) == 1 for who in writers)
        assert len(set.union(*writers)) == 2

    drive = CutDrive(build({}, size=600, ninodes=64))
    k = FakeKernel(drive).mount()
    for function in (parent, check):
        k.spawn(lambda k, p, function=function: function(Program(k, p))).files.cwd = k.inodes.get(k.fs, 1)
    k.run_until_idle()
    k.wakeup(check)
    k.run()


def test_a_pipe_is_closed_when_its_last_descriptor_is() -> None:
    def program(u: Program) -> None:
        u.pipe(0)
        reader, writer = struct.unpack_from("<ii", u.p.memory)
        copy = u.dup(writer)
        u.close(writer)
        assert u.write(copy, 0, 3) == 3
        u.close(copy)
        assert u.read(reader, 0, 10) == 3
        assert u.read(reader, 0, 10) == 0

    k, _ = run(program)
    assert k.files.open_count == 1


def test_a_pipe_whose_descriptors_cannot_be_told_leaves_none() -> None:
    def program(c: Program) -> None:
        before = list(c.p.files.ofile), c.k.files.open_count
        assert c.pipe(MEMORY_SIZE - 4) == -1
        assert (list(c.p.files.ofile), c.k.files.open_count) == before
        fd = c.open(b"README", O_RDONLY)
        while c.dup(fd) < NOFILE - 2:
            pass
        full = list(c.p.files.ofile), c.k.files.open_count
        assert c.pipe(0) == -1, "there is one descriptor"
        assert (list(c.p.files.ofile), c.k.files.open_count) == full

    run(program)


def test_an_open_that_fails_takes_no_room() -> None:
    """Neither where descriptors have run out nor where the file cannot be emptied."""

    def program(c: Program) -> None:
        fd = c.open(b"README", O_RDONLY)
        itrunc = c.k.fs.itrunc

        def fails(ip: Any) -> bool:
            raise SyscallError(5, "the block cannot be read")

        c.k.fs.itrunc = fails
        assert c.open(b"README", O_RDWR | O_TRUNC) == -1
        assert c.p.files.ofile[fd + 1] is None and c.k.files.open_count == 1
        c.k.fs.itrunc = itrunc
        while c.dup(fd) >= 0:
            pass
        assert c.open(b"README", O_RDONLY) == -1 and c.k.files.open_count == 1

    run(program)


def test_only_the_console_has_a_terminal() -> None:
    def program(c: Program) -> None:
        c.k.console._columns = 80
        assert c.mknod(b"other", NDEV - 1, 0) == 0 and c.mknod(b"console", CONSOLE, 0) == 0
        results = [c.ttymode(c.open(path, O_RDWR), TTY_ASK) for path in (b"README", b"other", b"console")]
        assert results == [-1, -1, 80]
        assert c.ttymode(9, 0) == -1

    run(program)


def test_a_directory_has_no_more_subdirectories_than_links_can_count() -> None:
    def program(c: Program) -> None:
        def set_links(count: int) -> None:
            with c.p.files.cwd.locked() as ip:
                ip.nlink = count

        set_links(NLINK_MAX)
        assert c.mkdir(b"d") == -1 and c.open(b"f", O_CREATE) >= 0
        set_links(NLINK_MAX - 1)
        assert c.mkdir(b"d") == 0 and c.unlink(b"d") == 0
        set_links(1)

    run(program)


def test_what_was_written_before_a_bad_address_is_whole_blocks_or_whole_steps() -> None:
    """A step of a write that does not begin at a block ends within one, and what it wrote is in the file."""

    def program(c: Program) -> None:
        c.make(b"f", b"x" * 100)
        fd = c.open(b"f", O_RDWR)
        assert c.read(fd, 0, 200) == 100
        good = FileSystem.step + 50
        assert c.write(fd, MEMORY_SIZE - good, good + 100) == -1
        assert c.stat(b"f")[4] == 100 + FileSystem.step
        assert c.write(fd, 0, 1) == 1
        assert c.stat(b"f")[4] == 101 + FileSystem.step, "the offset is behind them"

    run(program)


def test_the_last_close_gives_the_room_back_before_it_waits_for_the_disk() -> None:
    def program(c: Program) -> None:
        fd = c.open(b"README", O_RDONLY)
        counts: list[int] = []
        f = c.p.files.ofile[fd]
        assert f is not None
        f.release = lambda: counts.append(c.k.files.open_count)  # type: ignore[method-assign]
        copy = c.dup(fd)
        c.close(fd)
        assert counts == []
        c.close(copy)
        assert counts == [0]
        with c.k.inodes.reaping():
            f.ip.put()  # type: ignore[attr-defined]

    run(program)


def test_the_links_of_a_directory_do_not_go_below_the_one_that_is_its_name() -> None:
    """Whatever an image of others says of them."""

    def program(c: Program) -> None:
        assert c.mkdir(b"d") == 0
        for before in (1, 2):
            with c.p.files.cwd.locked() as root:
                root.nlink = before
            assert c.unlink(b"d") == 0 and c.mkdir(b"e") == 0 and c.unlink(b"e") == 0
            assert c.stat(b".")[3] == 1
            c.mkdir(b"d")
        c.unlink(b"d")

    run(program)


def test_an_entry_that_names_what_has_no_links_is_a_panic() -> None:
    def program(c: Program) -> None:
        fd = c.open(b"README", O_RDONLY)
        with c.p.files.file(fd).ip.locked() as ip:
            ip.nlink = 0
        c.unlink(b"README")

    with pytest.raises(Panic, match="has no links"):
        run(program)
