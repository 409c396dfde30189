"""The test finisher: the one register by which guest software ends or restarts the machine.

     31             16 15              0
    +-----------------+-----------------+
    | exit code       | 0x3333 fail     |   0x5555: pass, exit code 0; 0x7777: reset
    +-----------------+-----------------+

The machine hands in what ending and restarting mean; the callbacks must only note the wish, since they run
inside a bus access.
"""

from collections.abc import Callable
from typing import Final

from emu.dev.device import Device

PASS: Final = 0x5555
FAIL: Final = 0x3333
RESET: Final = 0x7777


class Finisher(Device):
    """Calls `finish(exit_code)`, 0 to 65535, or `reset()`; other values do nothing. Reads as 0."""

    def __init__(self, finish: Callable[[int], None], reset: Callable[[], None]) -> None:
        self._finish: Final = finish
        self._reset: Final = reset

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        if offset != 0:
            return
        command = value & 0xFFFF
        if command == PASS:
            self._finish(0)
        elif command == FAIL:
            self._finish(value >> 16 & 0xFFFF)
        elif command == RESET:
            self._reset()
