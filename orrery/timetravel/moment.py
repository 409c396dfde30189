"""Moments: exact names of the points of a run at which a debugger can stand.

Ticks alone do not name one: taking an interrupt takes no time, and neither does waking up from wfi.  Moments
that share a tick differ in whether the hart waits, in its privilege or in its pc:

    ticks 400   pc 0x1234  user          before the interrupt is taken
    ticks 400   pc uservec supervisor    behind it
"""

from typing import NamedTuple, Self

from emu.clock import PS_PER_TICK
from emu.cpu import engine as e
from emu.cpu.hart import Hart


class Moment(NamedTuple):
    """Unique within a run. Events that are due at `ticks` have happened."""

    ticks: int
    waiting: bool
    priv: int
    pc: int

    @classmethod
    def of(cls, hart: Hart) -> Self:
        """That at which `hart` stands."""
        regs = hart.regs
        return cls(hart.clock.now, hart.waiting, regs[e.PRIV], regs[e.PC])

    @property
    def time_ps(self) -> int:
        """Picoseconds since power-on."""
        return self.ticks * PS_PER_TICK
