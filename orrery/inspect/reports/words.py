"""Words that the monitor's reports share: times, numbers of things, names of what is where."""

from collections.abc import Mapping
from typing import Final

from emu.board import Board
from emu.clock import PS_PER_TICK
from emu.cpu.csr import MTIME_TICKS
from emu.events import Event

PS_PER_S: Final = 10**12
MTIME_PS: Final = MTIME_TICKS * PS_PER_TICK
PRIVILEGES: Final = {0: "user", 1: "supervisor", 3: "machine"}
PHRASES: Final = {"finisher": "the test finisher", "virtio": "virtio"}  # others are "the" and their name
EVENT_MAKERS: Final = {
    "SupervisorTimer": "the timer (stimecmp)",
    "Clint": "the CLINT's timer",
    "VirtioBlk": "the disk",
    "Keyboard": "the keyboard",
}


def seconds(time_ps: int) -> str:
    """A time exactly, in seconds."""
    whole, rest = divmod(time_ps, PS_PER_S)
    return f"{whole}.{f'{rest:012}'.rstrip('0') or '0'} s"


def in_seconds(ticks: int) -> str:
    """So many clock ticks, in seconds."""
    return seconds(ticks * PS_PER_TICK)


def counted(n: int, noun: str) -> str:
    """`n` of something."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def bits(value: int, names: Mapping[int, str]) -> str:
    """The names of the bits that are set."""
    return ", ".join(name for bit, name in names.items() if value & bit) or "none"


def source(board: Board, number: int) -> str:
    """The device at an input of the PLIC."""
    return next((node.name for node, _ in board.devices if number and node.irq == number), "?")


def maker(event: Event) -> str:
    """Whose event it is."""
    owner = getattr(event.fn, "__self__", None)
    name = type(owner).__name__ if owner is not None else event.fn.__qualname__.partition(".")[0]
    return EVENT_MAKERS.get(name, name)


def devices(board: Board, pa: int, size: int) -> str:
    """The devices that have addresses in [pa, pa+size), each kind once."""
    nodes = (node for node, _ in board.devices if node.base < pa + size and pa < node.base + node.size)
    kinds = dict.fromkeys(node.name.partition(" ")[0] for node in nodes)
    return ", ".join(PHRASES.get(kind, f"the {kind}") for kind in kinds)


def not_ram(board: Board, pa: int) -> str:
    """What is at an address outside RAM."""
    device = devices(board, pa, 1)
    return f"a register of {device}; to read it might change it" if device else "no RAM there"
