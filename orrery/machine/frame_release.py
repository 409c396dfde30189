"""Reports page frames as they become free, by wrapping methods of the allocator.

Used by events.py while somebody waits for that.  The methods of this one object are wrapped by ones that do
the same and then look whether the frame has an owner left; the kernel, and the run, stay as they are.
"""

from collections.abc import Callable, Iterable
from typing import Final

from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.pagetable import pa_of

COVERED: Final = ("free", "free_all", "free_super")


class FrameReleases:
    """While it is `on`, `freed(pa, size)` is called for each page or superpage that becomes free."""

    def __init__(self, frames: FrameAllocator, freed: Callable[[int, int], None]) -> None:
        self._frames: Final = frames
        self._freed: Final = freed
        self._on = False

    @property
    def on(self) -> bool:
        """Whether it looks."""
        return self._on

    @on.setter
    def on(self, on: bool) -> None:
        if on and not self._on:
            for name in COVERED:
                setattr(self._frames, name, getattr(self, f"_{name}"))
        elif not on and self._on:
            for name in COVERED:
                delattr(self._frames, name)
        self._on = on

    def _free(self, pa: int) -> None:
        FrameAllocator.free(self._frames, pa)
        self._look(pa, PGSIZE)

    def _free_super(self, pa: int) -> None:
        FrameAllocator.free_super(self._frames, pa)
        self._look(pa, SUPERPGSIZE)

    def _free_all(self, ptes: Iterable[int]) -> None:
        ptes = [pte for pte in ptes if pte]
        FrameAllocator.free_all(self._frames, ptes)
        for pte in ptes:
            self._look(pa_of(pte), PGSIZE)

    def _look(self, pa: int, size: int) -> None:
        if not self._frames.owners(pa):
            self._freed(pa, size)
