"""Where things are: physical addresses of the board's devices, virtual addresses of the kernel's.

Physical addresses are those of QEMU's `virt` machine; virtual ones are xv6's.

    user address space                      kernel address space
    0x3fffffffff +-------------+ MAXVA      +-------------+
                 | trampoline  | R-X        | trampoline  | R-X
    0x3ffffff000 +-------------+            +-------------+
                 | trapframe   | RW-        | guard       |
    0x3fffffe000 +-------------+            +-------------+
                 | mappings    |            | kstack 0    | RW-
                 | (unmapped)  |            | guard ...   |
            size +-------------+            +-------------+ PHYSTOP
                 | heap        | RW-U       | free frames | RW-
                 | stack       | RW-U       | kernel data | RW-
                 | guard       |            | kernel text | R-X
                 | data        | RW-U       +-------------+ 0x80000000
                 | text        | R-XU       | devices     | RW-
               0 +-------------+            +-------------+
"""

from typing import Final

TEST_FINISHER: Final = 0x0010_0000
CLINT: Final = 0x0200_0000
CLINT_SIZE: Final = 0x1_0000
PLIC: Final = 0x0C00_0000
PLIC_SIZE: Final = 0x400_0000
UART0: Final = 0x1000_0000
UART0_IRQ: Final = 10
VIRTIO0: Final = 0x1000_1000
VIRTIO0_IRQ: Final = 1
VIRTIO_COUNT: Final = 8  # transports, 0x1000 apart, interrupts VIRTIO0_IRQ + n
VIRTIO_STRIDE: Final = 0x1000

KERNBASE: Final = 0x8000_0000

PGSIZE: Final = 4096
PGSHIFT: Final = 12
PGMASK: Final = PGSIZE - 1
SUPERPGSHIFT: Final = 21
SUPERPGSIZE: Final = 1 << SUPERPGSHIFT
SUPERPGMASK: Final = SUPERPGSIZE - 1

DEVICES: Final = (  # (address, bytes) of what the kernel maps
    (TEST_FINISHER, PGSIZE), (CLINT, CLINT_SIZE), (PLIC, PLIC_SIZE), (UART0, PGSIZE), (VIRTIO0, PGSIZE),
)  # fmt: skip

MAXVA: Final = 1 << 38  # one bit less than Sv39 has, so that no address needs sign extension
TRAMPOLINE: Final = MAXVA - PGSIZE
TRAPFRAME: Final = TRAMPOLINE - PGSIZE
USYSCALL: Final = TRAPFRAME - PGSIZE


def kstack(slot: int) -> int:
    """Lowest virtual address of the kernel stack of process slot `slot`; a guard page lies below it."""
    return TRAMPOLINE - (slot + 1) * 2 * PGSIZE
