"""A pool: booted machines, forked for each who wants one, in milliseconds.

For programs that need many machines: the pytest plugin, graders, `run_program`.  The machines live in
processes of their own (fork_server.py), which are started at the first use, so the caller may have threads:

    with MachinePool() as pool, pool.machine(programs=["primes.c"]) as machine:
        print(machine.sh("primes 20"))

A forked machine is used as an orrery.Machine is, and makes the same run.
"""

import atexit
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Self

from orrery.errors import BadInput
from orrery.machine import checks
from orrery.machine.config import MachineConfig
from orrery.pool.channel import Channel
from orrery.pool.forked_machine import ForkedMachine
from orrery.pool.recipe import Recipe, check_contents, image_stamp, source_stamp
from orrery.pool.server_process import ServerProcess
from toolchain.paths import ROOT

PARENTS_MAX: Final = 8
"""Booted machines that are kept ready, 30 MiB each; the one that was asked for longest ago goes first."""

PATIENCE_S: Final = 120.0
PATIENCE_OF_S: Final = 20.0  # more, for each second of virtual time that there may be
PATIENCE_S_MAX: Final = 600.0
"""Wall time that a machine of a tree that is not this one gets for an answer."""

SOURCE_BYTES_MAX: Final = 16 << 20
PROGRAM_S_MAX: Final = 60.0  # virtual time for a program that is run without another limit
TREE: Final = ("emu", "kernel", "orrery", "toolchain", "user")


class Ended(NamedTuple):
    """A program that has ended: its exit status, 0 to 255, and what it printed."""

    status: int
    output: str


class MachinePool:
    """Makes forked machines. `root` is the top of the source tree that they are made of, by default this one.

    Close one after use, or use it in a `with` statement; forked machines outlive it.  It is for one thread.
    A tree that is not this one is taken for a student's: its processes are in a sandbox (sandbox.py), and end
    with the pool.  Raises BadInput for a `root` that is no source tree.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self._root: Final = Path(ROOT if root is None else checks.path("root", root)).resolve()
        self._foreign: Final = self._root != ROOT
        self._readable: tuple[str, ...] = ()  # what the sandbox may read of what machines are made of
        missing = [name for name in TREE if not (self._root / name).is_dir()]
        if missing:
            raise BadInput(
                f"{root}: not a source tree of Orrery: it has no {', '.join(missing)}; name the top of one"
            )
        self._server: ServerProcess | None = None
        self._parents: Final[dict[Recipe, Channel]] = {}  # last is the one that was asked for last

    def machine(
        self,
        drive: str | os.PathLike[str] | bytes | None = None,
        seed: int = 0,
        mem_mib: int = 128,
        engine: str = "fast",
        *,
        lab: int | None = None,
        usyscall: bool = False,
        ustack: int | None = None,
        layout: str | None = None,
        programs: Iterable[str | os.PathLike[str]] = (),
        files: Mapping[str, str | bytes] | None = None,
        max_time_s: float | None = None,
        submission: str | os.PathLike[str] | None = None,
    ) -> ForkedMachine:
        """A machine that has booted, with Machine's parameters; nothing of what it writes is kept.

        `programs` are sources of programs and `files` names with contents, to be on its disk; they need the
        default drive.  After `max_time_s` of virtual time every call that runs it raises ExpectTimeout.
        With `submission`, a directory, the programs must be in it, and can include nothing from elsewhere.
        Raises what Machine raises, CompileError, and CannotBoot for a kernel that does not come up.
        """
        __tracebackhide__ = True
        limit_s = checks.seconds("max_time_s", max_time_s)
        checks.whole("mem_mib", mem_mib)
        if lab is not None:
            checks.whole("lab", lab)
        image = _drive(drive)
        within = _submission(submission)
        paths = [_source(path, within) for path in checks.paths("programs", programs)]
        config = MachineConfig(
            image,
            engine=checks.text("engine", engine),
            mem_mib=mem_mib,
            seed=checks.whole("seed", seed),
            lab=lab,
            usyscall=checks.flag("usyscall", usyscall),
            ustack=checks.maybe_whole("ustack", ustack),
            layout=checks.maybe_text("layout", layout),
        )
        recipe = Recipe(
            config,
            image_stamp(image) if isinstance(image, str) else "",
            tuple((path, source_stamp(path)) for path in paths),
            tuple(checks.contents("files", files).items()),
            submission=within,
        )
        check_contents(recipe)
        return self._fork(recipe, limit_s)

    def run_program(
        self,
        path: str | os.PathLike[str],
        args: Sequence[str] = (),
        *,
        stdin: str | bytes = b"",
        max_time_s: float | None = PROGRAM_S_MAX,
        submission: str | os.PathLike[str] | None = None,
    ) -> Ended:
        """Run a source or an ELF file as `orrery run` does; its exit status and what it printed.

        With `submission`, a directory, it must be in it, and can include nothing from elsewhere.
        Raises BadInput, CompileError, Deadlock, KernelPanic, and ExpectTimeout after `max_time_s` of virtual
        time.
        """
        from orrery.machine import program as programs

        limit_s, given = checks.seconds("max_time_s", max_time_s), checks.content("stdin", stdin)
        words, within = checks.texts("args", args), _submission(submission)
        source = checks.path("path", path)
        if within is not None:
            source = _source(source, within)
        program = programs.load(
            source, words, lambda warning: None, within=None if within is None else Path(within)
        )
        with self._fork(Recipe(for_program=True), limit_s) as machine:
            status, output = machine.call("program", program.argv, program.elf, given)
        return Ended(status, output.decode(errors="replace"))

    def take_log(self) -> str:
        """What the processes have printed since the last time, as by print() in a kernel: the end of it."""
        return self._server.take_log() if self._server is not None else ""

    def close(self) -> None:
        """Let the booted machines go. Closing twice is harmless."""
        for channel in self._parents.values():
            channel.close()
        self._parents.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(self, recipe: Recipe, limit_s: float | None) -> ForkedMachine:
        __tracebackhide__ = True
        patience_s = self._patience_s(limit_s)
        parent = self._parent(recipe)
        channel, far = Channel.pair(patience_s)
        with far:
            parent.send(limit_s, far)
        assert self._server is not None, "a parent has a fork server"
        return ForkedMachine(channel, self._server.take_log, patience_s)

    def _patience_s(self, limit_s: float | None) -> float | None:
        """Wall time for an answer. This tree's own watchdog is trusted; that of another one may be gone."""
        if not self._foreign:
            return None
        if limit_s is None:
            return PATIENCE_S_MAX
        return min(PATIENCE_S + PATIENCE_OF_S * limit_s, PATIENCE_S_MAX)

    def _parent(self, recipe: Recipe) -> Channel:
        """The channel of the parent for `recipe`, which may still be booting."""
        if self._foreign and not set(recipe.read_from) <= set(self._readable):
            self.close()  # a sandbox only gets smaller: a new one
            self._readable = tuple(sorted({*self._readable, *recipe.read_from}))
        parent = self._parents.pop(recipe, None)
        if parent is None or parent.hung_up:
            if self._server is None or self._server.ended:
                self.close()
                self._server = ServerProcess(self._root, self._readable if self._foreign else None)
            parent = self._server.parent(recipe)
        self._parents[recipe] = parent
        if len(self._parents) > PARENTS_MAX:
            oldest = next(iter(self._parents))
            self._parents.pop(oldest).close()
        return parent


def run_program(
    path: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    stdin: str | bytes = b"",
    max_time_s: float | None = PROGRAM_S_MAX,
    submission: str | os.PathLike[str] | None = None,
) -> Ended:
    """As MachinePool.run_program, on a machine from a pool that this process keeps to its end."""
    pool = _of_process(os.getpid())
    return pool.run_program(path, args, stdin=stdin, max_time_s=max_time_s, submission=submission)


@cache
def _of_process(pid: int) -> MachinePool:
    """The pool of process `pid`, the caller: a fork of it must not use the same channels."""
    pool = MachinePool()
    atexit.register(pool.close)
    return pool


def _drive(drive: object) -> str | bytes | None:
    """The image, or where it is."""
    if drive is None or isinstance(drive, bytes | bytearray | memoryview):
        return None if drive is None else bytes(drive)
    return str(Path(checks.path("drive", drive)).resolve())


def _submission(directory: object) -> str | None:
    if directory is None:
        return None
    path = checks.path("submission", directory)
    if not os.path.isdir(path):
        raise BadInput(f"{path}: no such directory; give that of the sources")
    return str(Path(path).resolve())


def _source(path: str, within: str | None) -> str:
    """The absolute path of a source: a file of a fitting size that does not lead out of `within`.

    What is not there is told by the compiler, as what is wrong with it.
    """
    found = Path(path).resolve()
    if within is not None and not found.is_relative_to(within):
        raise BadInput(f"{path}: leads out of {within}; hand in the file itself")
    try:
        status = found.stat()
    except OSError:
        return str(Path(path).absolute())
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{path}: not a file; name a source")
    if status.st_size > SOURCE_BYTES_MAX:
        raise BadInput(f"{path}: {status.st_size} bytes; a source has at most {SOURCE_BYTES_MAX}")
    return str(found)
