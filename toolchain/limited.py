"""The compiler as a process, with limits: a source may include what has no end, /dev/zero or a pipe.

Called by zig.py.  A compiler that has reached a limit has failed, and says so as it says what else it finds.
A source of somebody who is graded is compiled *confined*, too: the compiler can open nothing but its own
headers and what the caller names, so no `#include`, `.incbin` or symbolic link gets a file of the host into a
program or a message (landlock.py; elsewhere it is what objects.py finds in the source that keeps it from
that).
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

COMPILE_S_MAX: Final = 60  # of wall time and of CPU time, for one source
CONFINED_S_MAX: Final = 10  # of CPU time; a program of a course takes a tenth of a second
COMPILE_BYTES_MAX: Final = 1 << 31  # of address space
FILE_BYTES_MAX: Final = 1 << 28  # of each file that it writes
SAID_BYTES_MAX: Final = 1 << 16  # of what it says that are kept, from the beginning and from the end
FAILED: Final = 1
LIMITS: Final = {
    -signal.SIGXCPU: b"error: not done after %d s of CPU time: does it include what has no end?\n",
    -signal.SIGXFSZ: b"error: the result is larger than %d bytes\n",
}


class Confined(NamedTuple):
    """What the compiler can open: these to read, and all in its scratch directory."""

    reads: tuple[Path, ...]
    scratch: Path


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    seconds: float | None,
    confined: Confined | None = None,
) -> tuple[int, bytes]:
    """Run the compiler, for `seconds` at the most; its exit status and what it said."""
    cpu_s = COMPILE_S_MAX if confined is None else CONFINED_S_MAX
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        files = (nothing, out, err)
        if confined is None:
            process = _start(command, environment, files)
        else:
            process = _start_confined(command, environment, files, confined)
        with process:
            if seconds is not None:
                _limit(process.pid, cpu_s)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return FAILED, b"error: not done after %d s: does it include what has no end?\n" % (
                    seconds or 0
                )
            except BaseException:  # a signal ends us: it is not to live on
                process.kill()
                raise
        said = _beginning_and_end(err) or _beginning_and_end(out)
    if process.returncode in LIMITS:
        said += LIMITS[process.returncode] % (
            cpu_s if process.returncode == -signal.SIGXCPU else FILE_BYTES_MAX
        )
    return process.returncode, said


def _start(
    command: Sequence[str],
    environment: Mapping[str, str],
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    nothing, out, err = files
    return subprocess.Popen(command, stdin=nothing, stdout=out, stderr=err, env=environment, cwd=cwd)


def _start_confined(
    command: Sequence[str],
    environment: Mapping[str, str],
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
    confined: Confined,
) -> subprocess.Popen[bytes]:
    """Start it from a thread that has given up the rest: Landlock is of a thread, and of what that starts."""
    from concurrent.futures import ThreadPoolExecutor

    from toolchain import landlock

    environment = {**environment, "TMPDIR": str(confined.scratch)}
    with ThreadPoolExecutor(1) as pool:
        pool.submit(landlock.restrict, confined.reads, [confined.scratch]).result()
        return pool.submit(_start, command, environment, files, confined.scratch).result()


def _beginning_and_end(said: IO[bytes]) -> bytes:
    size = said.seek(0, os.SEEK_END)
    said.seek(0)
    if size <= 2 * SAID_BYTES_MAX:
        return said.read()
    beginning = said.read(SAID_BYTES_MAX)
    said.seek(-SAID_BYTES_MAX, os.SEEK_END)
    return beginning + b"\n[... %d bytes ...]\n" % (size - 2 * SAID_BYTES_MAX) + said.read()


def _limit(pid: int, cpu_s: int) -> None:
    """Limit what a process that has just been started may take, where the host can do that."""
    import resource

    if hasattr(resource, "prlimit"):
        limits = {
            resource.RLIMIT_AS: COMPILE_BYTES_MAX,
            resource.RLIMIT_CPU: cpu_s,
            resource.RLIMIT_FSIZE: FILE_BYTES_MAX,
            resource.RLIMIT_CORE: 0,
        }
        for kind, most in limits.items():
            with suppress(ProcessLookupError):  # it has ended
                _, hard = resource.prlimit(pid, kind)
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.prlimit(pid, kind, (most, hard))
