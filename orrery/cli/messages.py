"""Lines on stderr for a person, from any command."""

import os
import sys


def say(line: str) -> None:
    """Print a line on stderr, or several; if nobody reads it, that is no reason to fail."""
    from toolchain.names import shown_lines

    try:
        print(shown_lines(line), file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)


def warn(message: str) -> None:
    """A line about something that the run can do without."""
    say(f"orrery: warning: {message}")
