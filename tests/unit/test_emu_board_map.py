"""The hardware's map and the software's are two files, and one map."""

from emu import board_map
from emu.ram import RAM_BASE
from kernel.abi import memlayout


def test_agrees_with_the_kernels_memory_layout() -> None:
    assert memlayout.KERNBASE == RAM_BASE
    assert memlayout.TEST_FINISHER == board_map.FINISHER
    for name in ("CLINT", "CLINT_SIZE", "PLIC", "PLIC_SIZE", "UART0", "UART0_IRQ"):
        assert getattr(memlayout, name) == getattr(board_map, name), name
    for name in ("VIRTIO0", "VIRTIO0_IRQ", "VIRTIO_COUNT", "VIRTIO_STRIDE"):
        assert getattr(memlayout, name) == getattr(board_map, name), name
