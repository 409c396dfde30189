"""The disk driver against the emulated device: batches, a full queue, errors, a device that is not there."""

from typing import Any

import pytest
from fake_kernel import CutDrive, FakeKernel, FakeProc, Panic

from kernel import virtio_disk
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import VIRTIO0, VIRTIO_STRIDE
from kernel.virtio_disk import BLOCKS_PER_REQUEST_MAX, QUEUE_SIZE, READ, WRITE, VirtioDisk

BLOCKS = 256
IMAGE = b"".join(i.to_bytes(2, "little") * (BSIZE // 2) for i in range(BLOCKS))


def test_a_batch_goes_out_at_one_kick_and_each_request_comes_back() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(60)]

    def program(k: Any, p: FakeProc) -> None:
        requests = [k.disk.submit(READ, 3 * i, [pas[i]]) for i in range(40)]
        assert not any(request.done for request in requests)
        k.disk.kick()
        for request in requests:
            k.disk.wait(request)

    k.call(program)
    for i in range(40):
        assert bytes(k.ram.view(pas[i], 2)) == (3 * i).to_bytes(2, "little")


def test_more_than_the_queue_holds_waits_for_room() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pa = k.ram.base + 512 * BSIZE

    def program(k: Any, p: FakeProc) -> None:
        requests = []
        for i in range(2 * QUEUE_SIZE):
            requests.append(k.disk.submit(READ, i % BLOCKS, [pa]))
        k.disk.kick()
        for request in requests:
            k.disk.wait(request)

    k.call(program)
    assert bytes(k.ram.view(pa, 2)) == ((2 * QUEUE_SIZE - 1) % BLOCKS).to_bytes(2, "little")


def test_several_that_wait_for_room_all_get_it() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]

    def program(k: Any, p: FakeProc, size: int) -> None:
        requests = [k.disk.submit(READ, 0, pas[:size]) for _ in range(2 * QUEUE_SIZE // size)]
        k.disk.kick()
        for request in requests:
            k.disk.wait(request)

    for size in (1, BLOCKS_PER_REQUEST_MAX, 2, BLOCKS_PER_REQUEST_MAX - 1):
        k.spawn(program, size)
    k.run()
    assert len(k.disk._free) == QUEUE_SIZE


def test_the_ring_indexes_wrap_around() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pa = k.ram.base + 512 * BSIZE
    queue = k.device._queues[0].queue
    assert queue is not None
    near_end = 0xFFF0  # both sides count from here, instead of 65,520 requests that bring them here
    k.disk._submitted = k.disk._completed = near_end
    queue._available_index = queue._used_index = near_end
    k.ram.u32[(virtio_disk.AVAIL_AT) >> 2] = k.ram.u32[virtio_disk.USED_AT >> 2] = near_end << 16

    def program(k: Any, p: FakeProc) -> None:
        for i in range(40):
            k.disk.transfer(READ, i, [pa])
            assert bytes(k.ram.view(pa, 2)) == i.to_bytes(2, "little")

    k.call(program)
    assert k.disk._completed == near_end + 40 & 0xFFFF


def test_a_request_of_many_blocks_moves_them_in_order() -> None:
    drive = CutDrive(IMAGE)
    k = FakeKernel(drive)
    pas = [k.ram.base + (700 - 2 * i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]

    def program(k: Any, p: FakeProc) -> None:
        k.disk.transfer(READ, 10, pas)
        k.disk.transfer(WRITE, 100, pas)

    k.call(program)
    moved = IMAGE[10 * BSIZE : (10 + BLOCKS_PER_REQUEST_MAX) * BSIZE]
    assert b"".join(bytes(k.ram.view(pa, BSIZE)) for pa in pas) == moved
    assert drive.image[100 * BSIZE : (100 + BLOCKS_PER_REQUEST_MAX) * BSIZE] == moved


def test_runs_of_neighbours_go_in_one_request_as_long_as_the_disk_takes() -> None:
    drive = CutDrive(IMAGE)
    k = FakeKernel(drive)
    blocknos = [7, 8, 20, *range(100, 136), 9, 9]

    def program(k: Any, p: FakeProc) -> None:
        blocks = [(blockno, k.ram.base + (512 + i) * BSIZE) for i, blockno in enumerate(blocknos)]
        requests = k.disk.submit_runs(READ, blocks)
        runs = [(request.blockno, len(request.pas)) for request in requests]
        assert runs == [(7, 2), (20, 1), (100, BLOCKS_PER_REQUEST_MAX), (132, 4), (9, 1), (9, 1)]
        k.disk.wait(*requests)
        assert k.disk.submit_runs(READ, []) == []

    k.call(program)
    for i, blockno in enumerate(blocknos):
        assert bytes(k.ram.view(k.ram.base + (512 + i) * BSIZE, 2)) == blockno.to_bytes(2, "little")


def test_a_write_that_fails_is_a_panic_that_names_the_block() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    with pytest.raises(Panic, match=f"from {BLOCKS} on failed with status 1"):
        k.call(lambda k, p: k.disk.transfer(WRITE, BLOCKS, [k.ram.base + 512 * BSIZE]))


def test_a_read_that_fails_is_told() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    results: list[bool] = []
    k.call(lambda k, p: results.append(k.disk.transfer(READ, BLOCKS, [k.ram.base + 512 * BSIZE])))
    assert results == [False]


def test_a_device_that_breaks_down_is_a_panic() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    k.device.need_reset("for the test")
    with pytest.raises(Panic, match="broken down"):
        k._serve_irqs()


def test_no_device_at_the_address_is_a_panic() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    disk = VirtioDisk(k, k.ram.base + 64 * BSIZE, VIRTIO0 + VIRTIO_STRIDE)
    k.bus.attach(VIRTIO0 + VIRTIO_STRIDE, VIRTIO_STRIDE, _Nothing())
    with pytest.raises(Panic, match="no virtio 2 block device"):
        disk.init()


class _Nothing:
    """An address where all registers read 0."""

    takes_8_bytes = False

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        pass
