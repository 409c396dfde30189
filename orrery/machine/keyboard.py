"""The keyboard: keys on their way into the guest's serial port.

A Machine has one; scripts, back-ends and pipes type on it.  The UART's FIFO holds 16 bytes and the
guest's line buffer 128, and what does not fit would be lost, so keys wait here and go in as the guest
makes room, by events in virtual time: the same keys at the same time make the same run.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from emu.board import Board
from emu.clock import TICKS_PER_US
from emu.dev.uart import FIFO_SIZE
from emu.events import Event
from kernel.kernel import Kernel

KEYS_TICKS: Final = 100 * TICKS_PER_US  # from one FIFO full of keys to the next: a very fast typist


class Keyboard:
    """Types into the console of `kernel` on `board`."""

    def __init__(self, board: Board, kernel: Kernel) -> None:
        self._board: Final = board
        self._kernel: Final = kernel
        self._keys: Final[deque[int]] = deque()
        self._next: Event | None = None
        self.on_type: Final[list[Callable[[bytes], None]]] = []  # called before keys are typed

    @property
    def pending(self) -> bool:
        """Whether keys were typed that the guest's console has not got yet."""
        return bool(self._keys) or self._board.uart.room < FIFO_SIZE

    @property
    def waiting(self) -> int:
        """How many keys were typed that there is no room for in the UART yet."""
        return len(self._keys)

    def type(self, keys: bytes) -> None:
        """Type `keys`, behind those that still wait."""
        for tell in self.on_type:
            tell(keys)
        self._keys.extend(keys)
        self.pump()

    def pump(self) -> bool:
        """Put in what there is room for; say whether that was anything."""
        if self._next is not None:
            return False  # its turn comes by itself
        count = min(self._room(), len(self._keys))
        for _ in range(count):
            self._board.uart.receive(self._keys.popleft())
        if self._keys and self._board.uart.room < FIFO_SIZE:
            self._later(KEYS_TICKS)
        return count > 0

    def resume(self) -> None:
        """The guest waits for keys, so there is room: go on at the next occasion."""
        if self._keys and self._next is None:
            self._later(0)

    def _later(self, ticks: int) -> None:
        self._next = self._board.events.at(self._board.clock.now + ticks, self._on_time)

    def _on_time(self) -> None:
        self._next = None
        self.pump()

    def _room(self) -> int:
        """How many keys can go in so that none is lost on the way; none before there is a process."""
        if next(iter(self._kernel.procs), None) is None:
            return 0
        free = self._board.uart.room
        return max(0, min(free, self._kernel.console.room - (FIFO_SIZE - free)))
