"""The mode of the terminal at stdin, kept as it was while others have it."""

import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STDIN: Final = 0


@contextmanager
def restored_terminal() -> Iterator[None]:
    """The terminal is the same afterwards, even if a child was killed."""
    before = termios.tcgetattr(STDIN) if os.isatty(STDIN) else None
    try:
        yield
    finally:
        if before is not None:
            termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextmanager
def keys_at_once() -> Iterator[bool]:
    """Get keys without Enter, and show none; False where there is no terminal."""
    with restored_terminal():
        if os.isatty(STDIN):
            mode = termios.tcgetattr(STDIN)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(STDIN, termios.TCSADRAIN, mode)
        yield os.isatty(STDIN)
