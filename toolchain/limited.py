"""The compiler as a process, with limits: a source may include what has no end, /dev/zero or a pipe.

Called by cc.py.  A compiler that has reached a limit has failed, and says so as it says what else it finds.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

COMPILE_S_MAX: Final = 60  # of wall time and of CPU time, for one source
COMPILE_BYTES_MAX: Final = 1 << 31  # of address space
FAILED: Final = 1


def run(command: Sequence[str], environment: Mapping[str, str], seconds: float | None) -> tuple[int, bytes]:
    """Run the compiler, for `seconds` at the most; its exit status and what it said."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment
    ) as process:
        if seconds is not None:
            _limit(process.pid)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return FAILED, b"error: not done after %d s: does it include what has no end?\n" % (seconds or 0)
        except BaseException:  # a signal ends us: it is not to live on
            process.kill()
            raise
    return process.returncode, err or out


def _limit(pid: int) -> None:
    """Limit what a process that has just been started may take, where the host can do that."""
    import resource

    if hasattr(resource, "prlimit"):
        with suppress(ProcessLookupError):  # it has ended
            resource.prlimit(pid, resource.RLIMIT_AS, (COMPILE_BYTES_MAX, COMPILE_BYTES_MAX))
            resource.prlimit(pid, resource.RLIMIT_CPU, (COMPILE_S_MAX, COMPILE_S_MAX))
