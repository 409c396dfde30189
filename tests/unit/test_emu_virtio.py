"""virtio-mmio: registers, negotiation, queues, reset, and a device that only counts notifications."""

import pytest
from virtio_driver import AVAILABLE, DATA, DESCRIPTORS, QUEUE_SIZE, USED, WRITE, Rings, bring_up

from emu.dev.virtio import F_VERSION_1, VirtioMmio
from emu.dev.virtqueue import VirtQueue
from emu.ram import Ram

NEEDS_RESET = 0x40


class Counter(VirtioMmio):
    """A device with two queues that gives each chain back at once."""

    device_id = 42
    queue_count = 2
    features = F_VERSION_1 | 1 << 9 | 1 << 3

    def __init__(self, ram: Ram) -> None:
        self.level = False
        self.raised = 0
        self.stopped = 0
        super().__init__(ram, self.set_level)

    def set_level(self, level: bool) -> None:
        self.level = level
        self.raised += level

    def config(self) -> bytes:
        return bytes(range(1, 11))

    def serve(self, index: int, queue: VirtQueue) -> None:
        assert index == 0
        while (chain := queue.pop()) is not None:
            if queue.push(chain, 5):
                self.interrupt_used()

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def device() -> Counter:
    return Counter(Ram(0x1_0000))


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0x000, 0x74726976),
        (0x004, 2),
        (0x008, 42),
        (0x00C, 0x554D4551),
        (0x034, 1024),
        (0x044, 0),
        (0x060, 0),
        (0x070, 0),
        (0x0FC, 0),
        (0x0B0, 0xFFFFFFFF),
        (0x014, 0),
        (0x080, 0),
        (0x0FE, 0),
        (0xFFC, 0),
    ],
)
def test_registers_after_reset(device: Counter, offset: int, value: int) -> None:
    assert device.load(offset, 4) == value


def test_an_empty_slot_says_so() -> None:
    slot = VirtioMmio(Ram(4096), lambda level: None)
    assert [slot.load(offset, 4) for offset in (0, 4, 8, 0x34, 0x100)] == [0x74726976, 2, 0, 0, 0]
    bring_up(slot)
    slot.store(0x50, 4, 0)
    assert slot.load(0x70, 4) == 15


def test_config_space_takes_any_size_and_ends(device: Counter) -> None:
    assert device.load(0x100, 1) == 1
    assert device.load(0x102, 2) == 0x0403
    assert device.load(0x104, 4) == 0x08070605
    assert device.load(0x108, 4) == 0x0A09
    assert device.load(0x10C, 4) == 0
    device.store(0x100, 4, 0xFFFFFFFF)
    assert device.load(0x100, 4) == 0x04030201


def test_offered_features_by_halves(device: Counter) -> None:
    assert device.load(0x10, 4) == 1 << 9 | 1 << 3
    device.store(0x14, 4, 1)
    assert device.load(0x10, 4) == 1
    for beyond in (2, 0xFFFFFFFF):
        device.store(0x14, 4, beyond)
        assert device.load(0x10, 4) == 0


@pytest.mark.parametrize(
    ("low", "high", "agreed"),
    [(0, 0, True), (1 << 9, 0, True), (1 << 9 | 1 << 3, 1, True), (1 << 4, 0, False), (0, 2, False)],
)
def test_only_offered_features_are_agreed(device: Counter, low: int, high: int, agreed: bool) -> None:
    for status in (1, 3):
        device.store(0x70, 4, status)
    for half, bits in ((0, low), (1, high), (2, 0xFFFFFFFF)):
        device.store(0x24, 4, half)
        device.store(0x20, 4, bits)
    device.store(0x70, 4, 11)
    assert device.load(0x70, 4) == (11 if agreed else 3)
    if not agreed:  # the driver may try again with less
        for half in (0, 1):
            device.store(0x24, 4, half)
            device.store(0x20, 4, 0)
        device.store(0x70, 4, 11)
        assert device.load(0x70, 4) == 11


def test_requests_interrupt_until_acknowledged(device: Counter) -> None:
    rings = Rings(device.ram)
    bring_up(device)
    assert device.load(0x44, 4) == 1
    rings.chain(0, [(DATA, 8, WRITE)])
    rings.offer(0)
    device.store(0x50, 4, 0)
    assert rings.used() == [(0, 5)]
    assert (device.level, device.load(0x60, 4)) == (True, 1)
    rings.offer(0)
    device.store(0x50, 4, 0)
    assert device.raised == 2, "a new request raises the line again, acknowledged or not"
    device.store(0x64, 4, 2)
    assert device.level
    device.store(0x64, 4, 1)
    assert (device.level, device.load(0x60, 4)) == (False, 0)


@pytest.mark.parametrize("status", [0, 1, 3, 11])
def test_nothing_is_served_before_driver_ok(device: Counter, status: int) -> None:
    rings = Rings(device.ram)
    bring_up(device)
    device.store(0x70, 4, status)
    rings.chain(0, [(DATA, 8, WRITE)])
    rings.offer(0)
    device.store(0x50, 4, 0)
    assert rings.used() == []


@pytest.mark.parametrize("index", [1, 2, 0xFFFFFFFF])
def test_notifying_a_queue_that_is_not_there(device: Counter, index: int) -> None:
    bring_up(device)
    device.store(0x50, 4, index)
    assert device.load(0x70, 4) == 15


def test_queues_that_the_device_has_not(device: Counter) -> None:
    device.store(0x30, 4, 2)
    assert device.load(0x34, 4) == 0
    for offset in (0x38, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4, 0x44):
        device.store(offset, 4, 8)
    assert device.load(0x44, 4) == 0
    assert device.load(0x70, 4) == 0


def test_reset_forgets_everything(device: Counter) -> None:
    rings = Rings(device.ram)
    bring_up(device)
    rings.chain(0, [(DATA, 8, WRITE)])
    rings.offer(0)
    device.store(0x50, 4, 0)
    stopped = device.stopped
    device.store(0x70, 4, 0)
    assert [device.load(offset, 4) for offset in (0x44, 0x60, 0x70)] == [0, 0, 0]
    assert (device.level, device.stopped) == (False, stopped + 1)
    bring_up(device)
    assert device.load(0x44, 4) == 1
    device.store(0x50, 4, 0)
    assert rings.used() == [(0, 5)], "a queue starts from the front again"


def test_a_queue_can_be_taken_back(device: Counter) -> None:
    bring_up(device)
    device.store(0x30, 4, 0)
    device.store(0x38, 4, 7)  # has no effect while it is ready
    stopped = device.stopped
    device.store(0x44, 4, 0)
    assert (device.load(0x44, 4), device.stopped) == (0, stopped + 1)
    rings = Rings(device.ram)
    rings.chain(0, [(DATA, 8, WRITE)])
    rings.offer(0)
    device.store(0x50, 4, 0)
    assert rings.used() == []
    device.store(0x44, 4, 1)
    device.store(0x50, 4, 0)
    assert rings.used() == [(0, 5)]


def test_a_broken_rule_needs_a_reset(device: Counter) -> None:
    rings = Rings(device.ram)
    bring_up(device)
    rings.chain(0, [(0, 8, WRITE)])
    rings.offer(0)
    device.store(0x50, 4, 0)
    assert device.load(0x70, 4) == 15 | NEEDS_RESET
    assert (device.load(0x60, 4), device.level) == (2, True)
    assert "not all in RAM" in device.broken
    device.store(0x70, 4, 15)
    assert device.load(0x70, 4) == 15 | NEEDS_RESET, "only a reset helps"
    rings.chain(0, [(DATA, 8, WRITE)])
    device.store(0x50, 4, 0)
    assert rings.used() == []
    bring_up(device)
    assert (device.load(0x70, 4), device.broken) == (15, "")
    device.store(0x50, 4, 0)
    assert rings.used() == [(0, 5)]


@pytest.mark.parametrize("size", [0, 7, 2048, 0xFFFFFFFF])
def test_a_queue_of_a_bad_size_needs_a_reset(device: Counter, size: int) -> None:
    bring_up(device, size=size)
    assert device.load(0x44, 4) == 0
    assert device.load(0x70, 4) & NEEDS_RESET


def test_a_queue_without_a_size_needs_a_reset(device: Counter) -> None:
    for register, pa in ((0x80, DESCRIPTORS), (0x90, AVAILABLE), (0xA0, USED), (0x44, 1)):
        device.store(register, 4, pa)
    assert device.load(0x44, 4) == 0
    assert device.load(0x70, 4) & NEEDS_RESET


@pytest.mark.parametrize("size", [1, 2])
def test_narrow_register_accesses_do_nothing(device: Counter, size: int) -> None:
    device.store(0x70, size, 1)
    assert device.load(0x70, 4) == 0
    assert device.load(0x00, size) == 0


def test_the_addresses_of_the_tables_are_64_bits(device: Counter) -> None:
    device.store(0x38, 4, QUEUE_SIZE)
    for register, pa in ((0x80, DESCRIPTORS), (0x90, AVAILABLE), (0xA0, USED)):
        device.store(register, 4, pa)
    device.store(0x84, 4, 1)
    device.store(0x44, 4, 1)
    assert f"{1 << 32 | DESCRIPTORS:#x}" in device.broken
