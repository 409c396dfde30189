"""Pipes: random transfers against a model, and how they end."""

from typing import Any

from fake_kernel import MEMORY_SIZE, CutDrive, FakeKernel, FakeProc, attempt, memory
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi.disk import BSIZE
from kernel.abi.param import NFILE, NOFILE, PIPESIZE
from kernel.fs.pipe import Pipe, PipeEnd
from kernel.xv6 import sysfile

KILLED = object()


def kernel() -> FakeKernel:
    """A kernel whose disk is never read."""
    return FakeKernel(CutDrive(bytes(BSIZE)))


def open_ends(k: FakeKernel) -> tuple[PipeEnd, PipeEnd]:
    """A pipe's read end and write end."""
    any_k: Any = k
    pipe = Pipe(any_k)
    any_k.files.reserve(2)
    return pipe.reader, pipe.writer


chunks = st.lists(st.integers(0, 3 * PIPESIZE), max_size=8)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(chunks, st.lists(st.integers(1, 2 * PIPESIZE), min_size=1, max_size=5), st.booleans())
def test_what_goes_in_comes_out_in_order(writes: list[int], reads: list[int], reader_first: bool) -> None:
    k = kernel()
    reader, writer = open_ends(k)
    received = bytearray()

    def write(k: Any, p: FakeProc) -> None:
        sent = 0
        for n in writes:
            p.memory[:n] = bytes((sent + i) * 7 & 0xFF for i in range(n))
            assert writer.write(memory(k, p, 0, n)) == n
            sent += n
        k.files.close(writer)

    def read(k: Any, p: FakeProc) -> None:
        turn = 0
        while n := reader.read(memory(k, p, 0, reads[turn % len(reads)])):
            assert n <= min(PIPESIZE, reads[turn % len(reads)])
            received.extend(p.memory[:n])
            turn += 1

    for function in (read, write) if reader_first else (write, read):
        k.spawn(function)
    k.run()
    assert received == bytes(i * 7 & 0xFF for i in range(sum(writes)))


def test_two_writers_do_not_mix_what_fits() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def write(k: Any, p: FakeProc) -> None:
        p.memory[:64] = bytes([p.pid]) * 64
        for _ in range(20):
            assert writer.write(memory(k, p, 0, 64)) == 64

    def read(k: Any, p: FakeProc) -> None:
        for _ in range(40):
            assert reader.read(memory(k, p, 0, 64)) == 64
            assert len(set(p.memory[:64])) == 1

    for function in (write, write, read):
        k.spawn(function)
    k.run()


def test_a_reader_of_an_empty_pipe_without_writers_gets_0() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def program(k: Any, p: FakeProc) -> tuple[int, int]:
        writer.write(memory(k, p, 0, 5))
        k.files.close(writer)
        return reader.read(memory(k, p, 0, 100)), reader.read(memory(k, p, 0, 100))

    process = k.spawn(program)
    k.run()
    assert process.result == (5, 0)


def test_a_writer_without_readers_fails_at_once_or_when_the_last_one_goes() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def write(k: Any, p: FakeProc) -> tuple[int, int, int]:
        return (
            attempt(writer.write, memory(k, p, 0, PIPESIZE + 1)),
            attempt(writer.write, memory(k, p, 0, 1)),
            attempt(writer.write, memory(k, p, 0, 0)),
        )

    writing = k.spawn(write)
    k.spawn(lambda k, p: k.files.close(reader))
    k.run()
    assert writing.result == (-1, -1, 0)


def test_the_killed_stop_waiting() -> None:
    k = kernel()
    empty_reader, _empty_writer = open_ends(k)
    _full_reader, full_writer = open_ends(k)
    reading = k.spawn(lambda k, p: attempt(empty_reader.read, memory(k, p, 0, 1)))
    writing = k.spawn(lambda k, p: attempt(full_writer.write, memory(k, p, 0, PIPESIZE + 1)))
    k.run_until_idle()
    assert reading.result is writing.result is None
    k.kill(reading)
    k.kill(writing)
    k.run()
    assert (reading.result, writing.result) == (-1, -1)


def test_the_wrong_end_and_negative_lengths() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def program(k: Any, p: FakeProc) -> list[int]:
        p.files.ofile[:2] = [reader, writer]
        return [
            attempt(sysfile.sys_write, k, p, 0, 0, 1),
            attempt(sysfile.sys_read, k, p, 1, 0, 1),
            attempt(writer.write, memory(k, p, 0, -1)),
            attempt(writer.write, memory(k, p, 0, 3)),
            attempt(reader.read, memory(k, p, 0, -1)),
            attempt(reader.read, memory(k, p, 0, 0)),
            attempt(reader.read, memory(k, p, 0, 10)),
        ]

    process = k.spawn(program)
    k.run()
    assert process.result == [-1, -1, 0, 3, 0, 0, 3]


def test_a_bad_address_ends_a_transfer_after_the_bytes_before_it() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def program(k: Any, p: FakeProc) -> list[int]:
        p.memory[:] = bytes(range(256)) * (MEMORY_SIZE // 256)
        results = [
            attempt(writer.write, memory(k, p, MEMORY_SIZE, 10)),
            attempt(writer.write, memory(k, p, MEMORY_SIZE - 4, 10)),
            attempt(writer.write, memory(k, p, 0, 10)),
            attempt(reader.read, memory(k, p, MEMORY_SIZE, 10)),
            attempt(reader.read, memory(k, p, MEMORY_SIZE - 6, 10)),
            attempt(reader.read, memory(k, p, 0, 10)),
        ]
        assert bytes(p.memory[-6:] + p.memory[:8]) == bytes([252, 253, 254, 255, 0, 1, *range(2, 10)])
        return results

    process = k.spawn(program)
    k.run()
    assert process.result == [0, 4, 10, -1, 6, 8]


def test_a_write_finds_a_bad_address_when_there_is_room_for_the_byte() -> None:
    k = kernel()
    reader, writer = open_ends(k)

    def write(k: Any, p: FakeProc) -> int:
        assert writer.write(memory(k, p, 0, PIPESIZE - 1)) == PIPESIZE - 1
        return attempt(writer.write, memory(k, p, MEMORY_SIZE - 1, 2))

    def close(k: Any, p: FakeProc) -> None:
        k.files.close(reader)

    writing = k.spawn(write)
    k.run_until_idle()
    assert writing.result is None, "it waits: the pipe is full"
    taking = k.spawn(lambda k, p: reader.read(memory(k, p, 0, 3)))
    k.run_until_idle()
    assert (taking.result, writing.result) == (3, 1)
    writing = k.spawn(lambda k, p: attempt(writer.write, memory(k, p, MEMORY_SIZE - 3, 4)))
    k.run_until_idle()
    k.spawn(close)
    k.run()
    assert writing.result == -1, "nobody will read what is in there"


def test_bytes_put_back_after_a_copy_that_slept_leave_no_room_and_lose_nothing() -> None:
    k = kernel()
    reader, writer = open_ends(k)
    slow = k.sleep_in_copyout(MEMORY_SIZE - 1)  # where then only one byte fits
    text = bytes(i * 7 & 0xFF for i in range(3 * PIPESIZE))

    def write(k: Any, p: FakeProc, data: bytes, last: bool) -> None:
        p.memory[: len(data)] = data
        assert writer.write(memory(k, p, 0, len(data))) == len(data)
        if last:
            k.files.close(writer)

    def read(k: Any, p: FakeProc) -> bytes:
        assert reader.read(memory(k, p, MEMORY_SIZE - 1, PIPESIZE)) == 1
        received = bytes(p.memory[-1:])
        k.sleep(slow)  # the writer has its turn
        while n := reader.read(memory(k, p, 0, 100)):
            received += bytes(p.memory[:n])
        return received

    k.spawn(write, text[:PIPESIZE], False)
    reading = k.spawn(read)
    k.run_until_idle()
    k.spawn(write, text[PIPESIZE:], True)  # fills up what the reader holds
    for size in (PIPESIZE, 2 * PIPESIZE - 1):
        k.run_until_idle()
        assert len(reader.pipe.data) == size
        k.wakeup(slow)
    k.run()
    assert reading.result == text


def test_the_call_gives_two_descriptors_or_none() -> None:
    k = kernel()

    def program(k: Any, p: FakeProc) -> None:
        assert sysfile.sys_pipe(k, p, 100) == 0
        assert bytes(p.memory[100:108]) == bytes([0, 0, 0, 0, 1, 0, 0, 0])
        assert attempt(sysfile.sys_pipe, k, p, MEMORY_SIZE - 4) == -1
        assert k.files.open_count == 2 and p.files.ofile[2] is None
        for _ in range(NOFILE - 3):
            sysfile.sys_dup(k, p, 0)
        assert attempt(sysfile.sys_pipe, k, p, 100) == -1  # one descriptor is left
        assert k.files.open_count == 2 and p.files.ofile[NOFILE - 1] is None
        for fd in range(NOFILE - 1):
            sysfile.sys_close(k, p, fd)
        k.files.reserve(NFILE - 1)
        assert attempt(sysfile.sys_pipe, k, p, 100) == -1  # one open file is left
        assert k.files.open_count == NFILE - 1 and p.files.ofile == [None] * NOFILE

    k.spawn(program)
    k.run()
