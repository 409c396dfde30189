"""A process that debugpy traces: what it must be helped with, and kept from.

Without debugpy nothing of this does anything.

*Kernel threads.*  It is helped to see those that wait, by thread_trace.py.

*Processes that fork.*  debugpy likes to follow into processes that are started, and has threads there.  Those
of timelines and pools fork, which a process with threads cannot; so it is not shown them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from orrery.machine import thread_trace

TRACER: Final = "pydevd"  # the modules of debugpy, where it is in this process
STARTER: Final = "_pydev_bundle.pydev_monkey"


def follow_threads() -> None:
    """Trace kernel threads from now on, in the calling thread of the host. Twice is as good as once."""
    if TRACER in sys.modules:
        thread_trace.follow()


@contextmanager
def unfollowed() -> Iterator[None]:
    """A `with` statement in which a process may be started that will fork."""
    skip = getattr(sys.modules.get(STARTER), "skip_subprocess_arg_patch", nullcontext)
    with skip():
        yield
