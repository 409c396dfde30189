"""Places: addresses at which a process is to stop, and the spots that they become in the engine.

A process's memory is two address spaces: its own page table's, and in the kernel's part of a trap the
kernel's.  So a place of a process is a spot in both, and in the kernel's it counts only while the kernel
works for that process.  The engine knows an address space by its satp, which exec changes, and which a later
process may get again: so spots are bound anew whenever that may have happened (stops.py, at each gate).
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from emu.cpu import engine as e
from emu.cpu.engine import Spot
from kernel.proc import Process

KINDS: Final = {"x": e.FETCHES, "r": e.LOADS, "w": e.STORES}
ALL: Final = 0  # as the pid of a place: it is one in every address space


class Place(NamedTuple):
    """Stop process `pid`, or any (ALL), at [va, va + size).

    With `program` only processes of that name, in their programs.

    `kinds` has "x" to stop before an instruction at `va` runs, "r" and "w" to stop behind one that reads or
    writes there.
    """

    pid: int
    va: int
    size: int = 1
    kinds: str = "x"
    program: str = ""

    @property
    def bits(self) -> int:
        """`kinds` as the engine has them."""
        return sum(bit for kind, bit in KINDS.items() if kind in self.kinds)

    def meets(self, pid: int, va: int, size: int, bits: int, program: str = "") -> bool:
        """Whether an access by process `pid`, which runs `program`, is one to this place."""
        there = self.va < va + size and va < self.va + self.size and self.program in ("", program)
        return there and self.pid in (ALL, pid) and bits & self.bits != 0


def spots(places: Iterable[Place], processes: dict[int, Process], kernel_satp: int) -> tuple[Spot, ...]:
    """The places as spots, by pid of `processes`; those of a process that is not there are left out."""
    found = dict.fromkeys(spot for place in places for spot in _spots(place, processes, kernel_satp))
    return tuple(found)


def _spots(place: Place, processes: dict[int, Process], kernel_satp: int) -> Iterator[Spot]:
    low, high = place.va, place.va + max(place.size, 1)
    if place.program:
        for p in processes.values():
            if p.name == place.program and place.pid in (ALL, p.pid):
                yield Spot(low, high, place.bits, p.space.satp)
    elif place.pid == ALL:
        yield Spot(low, high, place.bits)
    elif place.pid in processes:
        yield Spot(low, high, place.bits, processes[place.pid].space.satp)
        yield Spot(low, high, place.bits, kernel_satp)
