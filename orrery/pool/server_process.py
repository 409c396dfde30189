"""The fork server's process, as the pool sees it: started with what it may have, asked for parents, ended.

Of the installed tree it is a process like others.  Of a student's tree it runs what the student wrote, so it
is started in a sandbox: it has a directory of its own, which is its home, its place for scratch files and its
cache, and reads the interpreter, the tree, the caller's cache and what the machines are made of.  Of the
caller's environment it gets what names no secrets.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from orrery.machine.debugpy_support import unfollowed
from orrery.pool.channel import Channel, Hangup
from orrery.pool.forked_machine import lost
from orrery.pool.recipe import Recipe
from orrery.pool.worker import command_line, environment_of
from toolchain import landlock
from toolchain.paths import ROOT, cache_dir

LOG_BYTES_MAX: Final = 1 << 14  # of what the processes printed that is shown at a time
END_S_MAX: Final = 5  # wall time that the fork server gets to end by itself
MEMORY_MAX: Final = 12 << 30  # bytes of address space of a student's process: two engines with 4 GiB of RAM
PR_SET_DUMPABLE: Final = 4
SEND_S_MAX: Final = 60  # for a student's process to take a request
PASSED_ON: Final = ("LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "PYTHONHASHSEED", "TZ")
SYSTEM: Final = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib",
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/dev/urandom", "/dev/zero",
)  # fmt: skip


class ServerProcess:
    """The process that forks parents, its channel and the log to which all its offspring print.

    `readable` is None for the installed tree, else what a sandbox may read beside the tree at `root`.
    """

    def __init__(self, root: Path, readable: Sequence[str] | None) -> None:
        foreign = readable is not None
        self._send_s: Final = SEND_S_MAX if foreign else None
        self._channel, far = Channel.pair(self._send_s)
        self._log: Final = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process runs)
        self._log_taken = 0  # bytes
        self._own: Final = Path(tempfile.mkdtemp(prefix="orrery-")).resolve() if foreign else None
        command = command_line("orrery.pool.fork_server", far, "-u")
        if self._own is not None:
            if not landlock.version():
                _refuse_tracers()
            command = [*_sandbox(root, readable or (), self._own), *command]
        with far, unfollowed():
            self._process: Final = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                cwd=self._own,
                env=_environment(root, self._own),
                pass_fds=[far.fileno()],
            )

    @property
    def ended(self) -> bool:
        return self._channel.hung_up

    def parent(self, recipe: Recipe) -> Channel:
        """The channel of a new parent."""
        channel, far = Channel.pair(self._send_s)
        with far:
            try:
                self._channel.send(recipe.packed(), far)
            except Hangup:
                raise lost("the fork server, which forks machines, has ended", self.take_log()) from None
        return channel

    def take_log(self) -> str:
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        start = max(self._log_taken, size - LOG_BYTES_MAX)
        self._log_taken = size
        return os.pread(self._log.fileno(), max(0, size - start), start).decode(errors="replace")

    def close(self) -> None:
        self._channel.close()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()  # in a sandbox all below it ends, too
            self._process.wait()
        self._log.close()
        if self._own is not None:
            with suppress(RecursionError):  # directories without end, where they were not in memory
                shutil.rmtree(self._own, ignore_errors=True)


def _refuse_tracers() -> None:
    """Let no process of the same user trace this one, or write to its memory. Landlock does that better."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0))


def _environment(root: Path, own: Path | None) -> dict[str, str]:
    if own is None:
        return environment_of(root)
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **passed_on,
        "HOME": str(own),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(root),
        "TMPDIR": str(own / "tmp"),
        "XDG_CACHE_HOME": str(own / "cache"),
    }


def _sandbox(root: Path, readable: Iterable[str], own: Path) -> list[str]:
    """The command line of sandbox.py, up to the command that it starts."""
    cache = str(cache_dir())
    reads = [*_interpreter(), *SYSTEM, str(root), cache, *readable]
    policy = {"reads": reads, "own": str(own), "cache": cache, "memory": MEMORY_MAX}
    return [sys.executable, "-I", "-S", str(ROOT / "orrery" / "pool" / "sandbox.py"), json.dumps(policy)]


def _interpreter() -> Iterator[str]:
    """Where Python and the packages are."""
    for scheme in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield sysconfig.get_path(scheme)
    for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix):
        yield from (str(Path(prefix, part)) for part in ("pyvenv.cfg", "bin", "lib", "lib64"))
    yield str(Path(sys.executable).parent)
    yield str(Path(sys.executable).resolve().parent)
