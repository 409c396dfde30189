"""A process that debugpy traces: what it must be helped with, and kept from.

Without debugpy nothing of this does anything.

*Kernel threads.*  The tracer has each function that is entered decide whether its lines are to be traced, and
tells those that run at the moment when a breakpoint is set.  A kernel thread that waits then is a greenlet,
whose functions it does not see; so their lines are traced whenever a greenlet goes on.  (Where debugpy uses
sys.monitoring, from Python 3.12 on, there is no trace function, and no need for this.)

*Processes that fork.*  debugpy likes to follow into processes that are started, and has threads there.  Those
of timelines and pools fork, which a process with threads cannot; so it is not shown them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, Final

import greenlet

from toolchain.paths import KERNEL_SOURCES

TRACER: Final = "pydevd"  # the modules of debugpy, where it is in this process
STARTER: Final = "_pydev_bundle.pydev_monkey"


def follow_threads() -> None:
    """Trace kernel threads from now on, in the calling thread of the host. Twice is as good as once."""
    if TRACER in sys.modules:
        greenlet.settrace(_switched)


def _switched(event: str, pair: tuple[Any, Any]) -> None:
    """Called in the greenlet that goes on."""
    trace: Any = sys.gettrace()
    frame: FrameType | None = sys._getframe().f_back  # a new greenlet has none
    while trace is not None and frame is not None:
        if frame.f_code.co_filename.startswith(KERNEL_SOURCES):
            frame.f_trace = trace
        frame = frame.f_back


@contextmanager
def unfollowed() -> Iterator[None]:
    """A `with` statement in which a process may be started that will fork."""
    skip = getattr(sys.modules.get(STARTER), "skip_subprocess_arg_patch", nullcontext)
    with skip():
        yield
