"""breakpoint() while the terminal is the machine's: Python's own debugger, with the terminal as it was.

Called by terminal.py, which has the terminal in raw mode while the machine runs.  Somebody who puts
`breakpoint()` into the kernel gets pdb there, line editing and ^C included, and the machine goes on with a
raw terminal when they go on.  The kernel's threads are greenlets, in one thread of the host, so a step goes
on wherever Python does next, and breakpoints stop in a thread that waits already, too.
"""

import pdb
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Final

from orrery.machine import thread_trace


class BreakpointPdb(pdb.Pdb):
    """A pdb that asks its questions inside a `with cooked()`, and whose quit calls `switch_off`."""

    def __init__(
        self, cooked: Callable[[], AbstractContextManager[None]], switch_off: Callable[[], None]
    ) -> None:
        super().__init__(nosigint=True)
        self._cooked: Final = cooked
        self._switch_off: Final = switch_off

    def stop_in(self, frame: FrameType) -> None:
        """Stop at the next line of `frame`; a step that is under way counts no more."""
        sys.settrace(None)
        thread_trace.follow()
        self.set_trace(frame)

    def set_continue(self) -> None:
        super().set_continue()
        if sys.gettrace() is None:  # there are no breakpoints
            thread_trace.leave()

    def interaction(self, frame: FrameType | None, traceback: TracebackType | None) -> None:
        with self._cooked():
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                super().interaction(frame, traceback)
            finally:
                signal.signal(signal.SIGINT, before)

    def do_quit(self, arg: str) -> bool | None:
        """q(uit) | exit | ^D

        Switch the machine off.
        """
        self._switch_off()
        return self.do_continue(arg)

    do_q = do_exit = do_quit

    def do_EOF(self, arg: str) -> bool | None:
        self.message("")
        return self.do_quit(arg)
