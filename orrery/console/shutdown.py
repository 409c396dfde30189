"""How a command ends that is told to: by an exception that unwinds it, and if that does not help, by force.

Called by command_line.py around every command.  A signal becomes CommandEnded, so that files are removed and
children are ended by the `with` and `finally` that they were made in.  Who waits, or runs a machine, asks
first (signals.py).  Beside a command that runs a machine in its own process there is a guardian
(guardian.py).
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from orrery.console import guardian
from orrery.console.exit_status import BY_SIGNAL

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)  # SIGINT is Python's KeyboardInterrupt
GUARDED: Final = ("boot", "run", "record", "replay")  # they run a machine, and so the kernel's Python


class CommandEnded(BaseException):
    """The command is to end, with this exit status, wherever it is; nobody but command_line.py catches it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.status = status


@contextmanager
def in_order(words: Sequence[str], *, own: bool) -> Iterator[None]:
    """A `with` statement for the command `words`; it is all that its process does if that is its `own`."""
    if not own:
        yield
        return
    for number in SIGNALS:
        signal.signal(number, _raise)
    # A debugger in this process has threads, and follows every fork.
    guards = words[:1] and words[0] in GUARDED and "pydevd" not in sys.modules
    guard = guardian.start() if guards else None
    try:
        yield
    finally:
        if guard is not None:
            guard.dismiss()


def _raise(number: int, frame: FrameType | None) -> None:
    raise CommandEnded(BY_SIGNAL + number)
