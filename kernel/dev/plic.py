"""Driver of the PLIC: which devices may interrupt, and which one did.

Called by registry.py.  The registers are drawn in emu/dev/plic.py; a hart has two contexts, M then S.
"""

from collections.abc import Sequence
from typing import Final

from emu.bus import Bus
from emu.dev import plic
from kernel.abi.memlayout import PLIC

S_CONTEXT: Final = 1  # of hart 0
ENABLE: Final = PLIC + plic.ENABLE + plic.ENABLE_STRIDE * S_CONTEXT
THRESHOLD: Final = PLIC + plic.CONTEXT + plic.CONTEXT_STRIDE * S_CONTEXT
CLAIM: Final = THRESHOLD + 4


class PlicDriver:
    """The PLIC as hart 0 sees it in S-mode."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus

    def init(self, irqs: Sequence[int]) -> None:
        """Let these devices interrupt."""
        for irq in irqs:
            self._bus.store(PLIC + 4 * irq, 4, 1)  # its priority
        self._bus.store(ENABLE, 4, sum(1 << irq for irq in irqs))
        self._bus.store(THRESHOLD, 4, 0)

    def claim(self) -> int:
        """The device that interrupts, and 0 where none does (any more)."""
        return self._bus.load(CLAIM, 4)

    def complete(self, irq: int) -> None:
        """That device has been served."""
        self._bus.store(CLAIM, 4, irq)
