"""Where the board has its devices: physical addresses and interrupt numbers of QEMU's `virt` machine.

The board is wired by this table. kernel/abi/memlayout.py says the same for the software's side (emu may not
import it), and a test holds the two together.
"""

from typing import Final

FINISHER: Final = 0x0010_0000
FINISHER_SIZE: Final = 0x1000

CLINT: Final = 0x0200_0000
CLINT_SIZE: Final = 0x1_0000

PLIC: Final = 0x0C00_0000
PLIC_SIZE: Final = 0x400_0000

UART0: Final = 0x1000_0000
UART0_SIZE: Final = 0x1000
UART0_IRQ: Final = 10

VIRTIO0: Final = 0x1000_1000  # transport n is at VIRTIO0 + n * VIRTIO_STRIDE, interrupt VIRTIO0_IRQ + n
VIRTIO_STRIDE: Final = 0x1000
VIRTIO0_IRQ: Final = 1
VIRTIO_COUNT: Final = 8
