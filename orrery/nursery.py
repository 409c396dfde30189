"""A nursery: booted machines, forked for each who wants one, in milliseconds.

For programs that need many machines: the pytest plugin, graders, `run_program`.  The machines live in
processes of their own (hatchery.py), which are started at the first use, so the caller may have threads:

    with Nursery() as nursery, nursery.machine(programs=["primes.c"]) as machine:
        print(machine.sh("primes 20"))

A forked machine is used as an orrery.Machine is, and makes the same run.
"""

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, Self

from orrery.errors import BadInput
from orrery.forked import ForkedMachine, lost
from orrery.recipe import Recipe, check_contents, image_stamp, source_stamp
from orrery.traced import unfollowed
from orrery.wire import Hangup, Wire
from toolchain.paths import ROOT

PARENTS_MAX: Final = 8
"""Booted machines that are kept ready, 30 MiB each; the one that was asked for longest ago goes first."""

LOG_BYTES_MAX: Final = 1 << 14  # of what the processes printed that is shown at a time
END_S_MAX: Final = 5  # wall time that the hatchery gets to end by itself
PROGRAM_S_MAX: Final = 60.0  # virtual time for a program that is run without another limit
TREE: Final = ("emu", "kernel", "orrery", "toolchain", "user")


class Ended(NamedTuple):
    """A program that has ended: its exit status, 0 to 255, and what it printed."""

    status: int
    output: str


class Nursery:
    """Makes forked machines. `root` is the top of the source tree that they are made of, by default this one.

    Close one after use, or use it in a `with` statement; forked machines outlive it.  It is for one thread.
    Raises BadInput for a `root` that is no source tree.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self._root: Final = Path(ROOT if root is None else root).resolve()
        missing = [name for name in TREE if not (self._root / name).is_dir()]
        if missing:
            raise BadInput(
                f"{root}: not a source tree of Orrery: it has no {', '.join(missing)}; name the top of one"
            )
        self._hatchery: _Hatchery | None = None
        self._parents: Final[dict[Recipe, Wire]] = {}  # last is the one that was asked for last

    def machine(
        self,
        drive: str | os.PathLike[str] | bytes | None = None,
        seed: int = 0,
        mem_mib: int = 128,
        engine: str = "fast",
        *,
        lab: int | None = None,
        usyscall: bool = False,
        layout: str | None = None,
        programs: Iterable[str | os.PathLike[str]] = (),
        files: Mapping[str, str | bytes] | None = None,
        max_time_s: float | None = None,
    ) -> ForkedMachine:
        """A machine that has booted, with Machine's parameters; nothing of what it writes is kept.

        `programs` are sources of programs and `files` names with contents, to be on its disk; they need the
        default drive.  After `max_time_s` of virtual time every call that runs it raises ExpectTimeout.
        Raises what Machine raises, CompileError, and CannotBoot for a kernel that does not come up.
        """
        __tracebackhide__ = True
        image = drive if isinstance(drive, bytes) or drive is None else str(Path(drive).resolve())
        paths = [str(Path(path).resolve()) for path in programs]
        recipe = Recipe(
            engine,
            mem_mib,
            seed,
            image,
            image_stamp(image) if isinstance(image, str) else "",
            tuple((path, source_stamp(path)) for path in paths),
            tuple((name, _bytes(content)) for name, content in (files or {}).items()),
            lab=lab,
            usyscall=usyscall,
            layout=layout,
        )
        check_contents(recipe)
        return self._fork(recipe, max_time_s)

    def run_program(
        self,
        path: str | os.PathLike[str],
        args: Sequence[str] = (),
        *,
        stdin: str | bytes = b"",
        max_time_s: float | None = PROGRAM_S_MAX,
    ) -> Ended:
        """Run a source or an ELF file as `orrery run` does; its exit status and what it printed.

        Raises BadInput, CompileError, Deadlock, KernelPanic, and ExpectTimeout after `max_time_s` of virtual
        time.
        """
        from orrery import program as programs

        program = programs.load(os.fspath(path), args, lambda warning: None)
        with self._fork(Recipe(for_program=True), max_time_s) as machine:
            status, output = machine.call("program", program.argv, program.elf, _bytes(stdin))
        return Ended(status, output.decode(errors="replace"))

    def take_log(self) -> str:
        """What the processes have printed since the last time, as by print() in a kernel: the end of it."""
        return self._hatchery.take_log() if self._hatchery is not None else ""

    def close(self) -> None:
        """Let the booted machines go. Closing twice is harmless."""
        for wire in self._parents.values():
            wire.close()
        self._parents.clear()
        if self._hatchery is not None:
            self._hatchery.close()
            self._hatchery = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(self, recipe: Recipe, limit_s: float | None) -> ForkedMachine:
        __tracebackhide__ = True
        parent = self._parent(recipe)
        wire, far = Wire.pair()
        with far:
            parent.send(limit_s, far)
        assert self._hatchery is not None, "a parent has a hatchery"
        return ForkedMachine(wire, self._hatchery.take_log)

    def _parent(self, recipe: Recipe) -> Wire:
        """The wire of the parent for `recipe`, which may still be booting."""
        parent = self._parents.pop(recipe, None)
        if parent is None or parent.hung_up:
            if self._hatchery is None or self._hatchery.ended:
                self.close()
                self._hatchery = _Hatchery(self._root)
            parent = self._hatchery.parent(recipe)
        self._parents[recipe] = parent
        if len(self._parents) > PARENTS_MAX:
            oldest = next(iter(self._parents))
            self._parents.pop(oldest).close()
        return parent


class _Hatchery:
    """The process that forks parents, its wire and the log to which all its offspring print."""

    def __init__(self, root: Path) -> None:
        self._wire, far = Wire.pair()
        self._log: Final = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process runs)
        self._log_taken = 0  # bytes
        path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        with far, unfollowed():
            self._process: Final = subprocess.Popen(
                # -P: the tree is what PYTHONPATH says, not what lies in the current directory
                [sys.executable, "-P", "-u", "-m", "orrery.hatchery", str(far.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=[far.fileno()],
            )

    @property
    def ended(self) -> bool:
        return self._wire.hung_up

    def parent(self, recipe: Recipe) -> Wire:
        """The wire of a new parent."""
        wire, far = Wire.pair()
        with far:
            try:
                self._wire.send(tuple(recipe), far)
            except Hangup:
                raise lost("the hatchery, which forks machines, has ended", self.take_log()) from None
        return wire

    def take_log(self) -> str:
        if self._log.closed:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        start = max(self._log_taken, size - LOG_BYTES_MAX)
        self._log_taken = size
        return os.pread(self._log.fileno(), size - start, start).decode(errors="replace")

    def close(self) -> None:
        self._wire.close()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def run_program(
    path: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    stdin: str | bytes = b"",
    max_time_s: float | None = PROGRAM_S_MAX,
) -> Ended:
    """As Nursery.run_program, on a machine from a nursery that this process keeps to its end."""
    return _of_process(os.getpid()).run_program(path, args, stdin=stdin, max_time_s=max_time_s)


@cache
def _of_process(pid: int) -> Nursery:
    """The nursery of process `pid`, the caller: a fork of it must not use the same wires."""
    nursery = Nursery()
    atexit.register(nursery.close)
    return nursery


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
