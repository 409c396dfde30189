"""Kernel threads under debugpy: a breakpoint is hit too in a function that was waiting when it was set.

Called by machine.py where debugpy's tracer is in the process; without it nothing of this is loaded.  The
tracer has each function that is entered decide whether its lines are to be traced, and tells those that run
at the moment when a breakpoint is set.  A kernel thread that waits then is a greenlet whose functions it does
not see.  So their lines are traced whenever a greenlet goes on.  (Where debugpy uses sys.monitoring, from
Python 3.12 on, there is no trace function, and no need for this.)
"""

import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final

import greenlet

from toolchain.paths import ROOT

KERNEL: Final = str(Path(ROOT) / "kernel") + "/"


def follow_threads() -> None:
    """Do so from now on, in the calling thread of the host. Twice is as good as once."""
    greenlet.settrace(_switched)


def _switched(event: str, pair: tuple[Any, Any]) -> None:
    """Called in the greenlet that goes on."""
    trace: Any = sys.gettrace()
    frame: FrameType | None = sys._getframe().f_back  # a new greenlet has none
    while trace is not None and frame is not None:
        if frame.f_code.co_filename.startswith(KERNEL):
            frame.f_trace = trace
        frame = frame.f_back
