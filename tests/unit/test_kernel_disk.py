"""The disk driver against the emulated device: batches, a full queue, errors, a device that is not there."""

from random import Random
from typing import Any

import pytest
from fake_kernel import CutDrive, Deadlock, FakeKernel, FakeProc, Panic
from unordered_disk import LastFirst, UnorderedBlk

from emu.dev import virtio
from emu.dev.virtio import Reg
from emu.events import NEVER
from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import VIRTIO0, VIRTIO_STRIDE
from kernel.block.device import BLOCKS_PER_REQUEST_MAX, READ, WRITE
from kernel.dev import virtio_blk as virtio_disk
from kernel.dev.virtio_blk import QUEUE_SIZE, VirtioDisk

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


def test_who_goes_behind_those_that_wait_hands_over_what_it_has_submitted() -> None:
    """Each takes room when its turn comes, and waits again for a little more, for which there would be room.

    Else the queue fills up with requests of which the device knows nothing. The answers come at one
    interrupt, so that those who wait have their turns one after the other.
    """
    k = FakeKernel(CutDrive(IMAGE))
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]

    def all_answers_at_once() -> None:
        if k.events.next_ticks == NEVER:
            raise Deadlock
        while k.events.next_ticks != NEVER:
            k.clock.advance_to(k.events.next_ticks)
            k.events.run_due(k.clock.now)
        k._serve_irqs()

    def program(k: Any, p: FakeProc, *sizes: int) -> None:
        requests = [k.disk.submit(READ, 0, pas[:size]) for size in sizes]
        k.disk.kick()
        k.disk.wait(*requests)

    k._wait_for_event = all_answers_at_once  # type: ignore[method-assign]
    large = BLOCKS_PER_REQUEST_MAX
    for sizes in ([large] * 4, [large, 1], [large, 1], [large, 1], [large]):
        k.spawn(program, *sizes)
    k.run()
    assert len(k.disk._free) == QUEUE_SIZE


def test_nobody_overtakes_those_that_wait_for_room() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]
    served: list[int] = []

    def program(k: Any, p: FakeProc, size: int) -> None:
        request = k.disk.submit(READ, 0, pas[:size])
        served.append(size)
        k.disk.kick()
        k.disk.wait(request)

    sizes = [BLOCKS_PER_REQUEST_MAX, BLOCKS_PER_REQUEST_MAX - 1] * 3 + [1]
    for size in sizes:
        k.spawn(program, size)
    k.run()
    assert served == sizes


# --- a device that answers in any order ---

CHANCES = pytest.mark.parametrize("chance", [LastFirst(), *(Random(seed) for seed in range(4))])


@CHANCES
def test_a_request_is_done_when_its_own_answer_has_come(chance: Random) -> None:
    """Each process reads, changes and writes a run of blocks of its own, and finds in it what is its own."""
    drive = CutDrive(IMAGE)
    k = FakeKernel(drive, chance=chance)
    room = k.ram.base + 512 * BSIZE

    def program(k: Any, p: FakeProc, first: int, count: int) -> None:
        pas = [room + (first + i) * BSIZE for i in range(count)]
        for turn in range(3):
            assert k.disk.transfer(READ, first, pas)
            for i, pa in enumerate(pas):
                assert bytes(k.ram.view(pa, 2)) == (first + i + 1000 * turn).to_bytes(2, "little")
                k.ram.view(pa, 2)[:] = (first + i + 1000 * (turn + 1)).to_bytes(2, "little")
            assert k.disk.transfer(WRITE, first, pas)
            for pa in pas:
                k.ram.view(pa, BSIZE)[:] = bytes(BSIZE)

    counts = [1, 7, 2, BLOCKS_PER_REQUEST_MAX, 1, 12, 3, 30, 1, 9, 20, 5, 4, 28]  # 181 descriptors: two waves
    for number, count in enumerate(counts):
        k.spawn(program, sum(counts[:number]), count)
    k.run()
    for blockno in range(sum(counts)):
        assert drive.image[blockno * BSIZE :][:2] == (blockno + 3000).to_bytes(2, "little")
    assert isinstance(k.device, UnorderedBlk) and k.device.overtaken > 10
    assert sorted(k.disk._free) == list(range(QUEUE_SIZE)) and not k.disk.requests


@CHANCES
def test_an_error_is_told_to_who_asked(chance: Random) -> None:
    """Of reads in one batch, in whichever order they end, those from beyond the disk fail and no others."""
    k = FakeKernel(CutDrive(IMAGE), chance=chance)
    blocknos = [3, BLOCKS, 5, BLOCKS + 7, 200, 9, BLOCKS - 1, BLOCKS + 1]
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(len(blocknos))]

    def program(k: Any, p: FakeProc) -> None:
        requests = [k.disk.submit(READ, at, [pa]) for at, pa in zip(blocknos, pas, strict=True)]
        k.disk.kick()
        for request, pa in zip(requests, pas, strict=True):
            k.disk.wait(request)
            assert request.failed == (request.blockno >= BLOCKS)
            assert request.failed or bytes(k.ram.view(pa, 2)) == request.blockno.to_bytes(2, "little")

    k.call(program)
    assert isinstance(k.device, UnorderedBlk) and k.device.overtaken


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
    disk = VirtioDisk(k, k.ram, k.bus, k.ram.base + 64 * BSIZE, VIRTIO0 + VIRTIO_STRIDE)
    k.bus.attach(VIRTIO0 + VIRTIO_STRIDE, VIRTIO_STRIDE, _Nothing())
    with pytest.raises(Panic, match="no virtio 2 block device"):
        disk.init()


class Transport:
    """A device that says what `registers` say, and in STATUS what was stored but for what it `refuses`."""

    takes_8_bytes = False

    def __init__(self, refuses: int = 0, **registers: int) -> None:
        self.registers = {
            Reg.MAGIC: virtio.MAGIC,
            Reg.VERSION: 2,
            Reg.DEVICE_ID: 2,
            Reg.QUEUE_NUM_MAX: QUEUE_SIZE,
        }
        self.registers |= {getattr(Reg, name): value for name, value in registers.items()}
        self.refuses = refuses
        self.stores: list[tuple[int, int]] = []

    def load(self, offset: int, size: int) -> int:
        return self.registers.get(offset, 0)

    def store(self, offset: int, size: int, value: int) -> None:
        self.stores.append((offset, value))
        if offset == Reg.STATUS:
            self.registers[offset] = value & ~self.refuses


def bring_up(transport: Transport) -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    k.bus.attach(VIRTIO0 + VIRTIO_STRIDE, VIRTIO_STRIDE, transport)
    VirtioDisk(k, k.ram, k.bus, k.ram.base + 64 * BSIZE, VIRTIO0 + VIRTIO_STRIDE).init()


def test_a_device_is_reset_and_told_what_the_driver_knows() -> None:
    bring_up(device := Transport())
    assert [value for offset, value in device.stores if offset == Reg.STATUS] == [0, 1, 3, 11, 15]
    features = [value for offset, value in device.stores if offset == Reg.DRIVER_FEATURES]
    assert features == [0, virtio.F_VERSION_1 >> 32]
    assert device.stores[-2:] == [(Reg.QUEUE_READY, 1), (Reg.STATUS, 15)], "the queue is there by then"


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (Transport(MAGIC=0), "no virtio 2 block device"),
        (Transport(VERSION=1), "no virtio 2 block device"),
        (Transport(DEVICE_ID=1), "no virtio 2 block device"),
        (Transport(virtio.STATUS_FEATURES_OK), "refuses our features"),
        (Transport(QUEUE_READY=1), "in use already"),
        (Transport(QUEUE_NUM_MAX=QUEUE_SIZE - 1), "shorter than"),
    ],
)
def test_a_device_that_cannot_be_driven_is_a_panic(device: Transport, why: str) -> None:
    with pytest.raises(Panic, match=why):
        bring_up(device)


def test_whatever_was_in_the_rings_before_is_no_request() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    at = k.ram.base + 512 * BSIZE
    k.ram.view(at, virtio_disk.REGION_SIZE)[:] = b"\xa5" * virtio_disk.REGION_SIZE
    VirtioDisk(k, k.ram, k.bus, at)
    assert bytes(k.ram.view(at, virtio_disk.REGION_SIZE)) == bytes(virtio_disk.REGION_SIZE)


def test_an_interrupt_is_acknowledged_and_a_status_that_never_came_is_an_error() -> None:
    def program(k: Any, p: FakeProc) -> None:
        pa = k.ram.base + 512 * BSIZE
        assert k.disk.transfer(READ, 3, [pa])
        assert k.device.state.interrupt_status == 0
        request = k.disk.submit(READ, 3, [pa])  # in the descriptors of the one before
        (head,) = k.disk.requests
        k.disk._finish(head)
        assert request.done and request.failed

    FakeKernel(CutDrive(IMAGE)).call(program)


def test_at_one_interrupt_all_are_served_that_are_done_and_all_wake_for_whom_there_is_room() -> None:
    k = FakeKernel(CutDrive(IMAGE))
    pas = [k.ram.base + (512 + i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]
    times: dict[int, int] = {}

    def all_answers_at_once() -> None:
        while k.events.next_ticks != NEVER:
            k.clock.advance_to(k.events.next_ticks)
            k.events.run_due(k.clock.now)
        k._irqs.clear()
        k.disk.intr()

    def program(k: Any, p: FakeProc, count: int) -> None:
        requests = [k.disk.submit(READ, 0, pas) for _ in range(count)]
        times[p.pid] = k.clock.now
        k.disk.kick()
        k.disk.wait(*requests)

    k._wait_for_event = all_answers_at_once  # type: ignore[method-assign]
    first, *others = [k.spawn(program, count).pid for count in (3, 1, 1, 1)]
    k.run()
    assert len({times[pid] for pid in others}) == 1 and times[first] < times[others[0]]


class _Nothing:
    """An address where all registers read 0."""

    takes_8_bytes = False

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        pass
