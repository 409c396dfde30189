"""How far a build has come, for a person who waits: one line at the foot of a terminal, which is wiped again.

Called where the first start makes what later ones find in the cache.  Nothing is shown unless stderr is a
terminal.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WIPE = "\r\x1b[K"


@contextmanager
def line() -> Iterator[Callable[[str], None]]:
    """A `with` statement with a function that shows a text in the line, in place of the one before."""
    stream = sys.stderr
    seen = stream is not None and not stream.closed and stream.isatty()

    def show(text: str) -> None:
        if seen:
            stream.write(f"{WIPE}orrery: {text}")
            stream.flush()

    try:
        yield show
    finally:
        if seen:
            stream.write(WIPE)
            stream.flush()
