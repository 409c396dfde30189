"""Driver of the PLIC: which devices may interrupt, and which one did.

Source: RISC-V PLIC specification 1.0, chapters 3 to 9; contexts as on QEMU's virt board (two a hart, M
then S).
"""

from typing import TYPE_CHECKING, Final

from kernel.abi.memlayout import PLIC, UART0_IRQ, VIRTIO0_IRQ

if TYPE_CHECKING:
    from kernel.kernel import Kernel

S_CONTEXT: Final = 1  # of hart 0
ENABLE: Final = PLIC + 0x2000 + 0x80 * S_CONTEXT
THRESHOLD: Final = PLIC + 0x20_0000 + 0x1000 * S_CONTEXT
CLAIM: Final = THRESHOLD + 4


class PlicDriver:
    """The PLIC as hart 0 sees it in S-mode."""

    def __init__(self, k: "Kernel") -> None:
        self._bus = k.bus

    def init(self) -> None:
        """Let the UART and the disk interrupt."""
        for irq in (UART0_IRQ, VIRTIO0_IRQ):
            self._bus.store(PLIC + 4 * irq, 4, 1)
        self._bus.store(ENABLE, 4, 1 << UART0_IRQ | 1 << VIRTIO0_IRQ)
        self._bus.store(THRESHOLD, 4, 0)

    def claim(self) -> int:
        """The device that interrupts, and 0 where none does (any more)."""
        return self._bus.load(CLAIM, 4)

    def complete(self, irq: int) -> None:
        """That device has been served."""
        self._bus.store(CLAIM, 4, irq)
