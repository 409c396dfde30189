"""Sources: each C or assembly file, or object, that a person names becomes a job for the compiler.

Called by cc.py.  A job has all that decides its object but the headers (objects.py finds those): the content,
the flags, and the directories where headers are searched, under the names that the compiler sees (view.py).
What cannot be a source, or lies outside the directory that a job is confined to, is refused here, by name.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolchain import flags as userflags
from toolchain import hostfile
from toolchain.diagnostics import CompileError
from toolchain.flags import Flags
from toolchain.names import shown
from toolchain.reach import Reach
from toolchain.view import SOURCE, Seen, recorded_directory, told

SUFFIXES = (".c", ".S", ".s")
OBJECT = ".o"
ELF_RELOCATABLE = b"\x7fELF\x02\x01"
EM_RISCV, ET_REL = 243, 1


@dataclass(slots=True)
class Job:
    """One source to compile: as the user named it, its path, the name its DWARF shows, what is added to the
    flags.

    `result` is the object, and `warnings` what the compiler said of it.
    """

    given: str
    path: Path
    shown: str
    content: bytes
    flags: Flags = field(default_factory=Flags)
    seen: tuple[Seen, ...] = ()
    within: Path | None = None  # the directory that it is confined to
    reach: Reach = field(default_factory=Reach)
    result: bytes = b""
    warnings: str = ""


def jobs_of(
    sources: Sequence[Path | str],
    optimize: bool,
    flags: Flags | None,
    *,
    objects: bool = True,
    within: Path | None = None,
) -> list[Job]:
    """The jobs of a user's program; an object is one that is done."""
    flags = flags or Flags()
    top = None if within is None else within.resolve()
    jobs = []
    for one in map(Path, sources):
        if top is not None and not one.resolve().is_relative_to(top):
            raise CompileError(f"{shown(one)}: leads out of {shown(top)}; hand in the file itself")
        job = _object(one) if objects and one.suffix == OBJECT else job_of(one, optimize, flags)
        job.within = top
        jobs.append(job)
    return jobs


def job_of(source: Path, optimize: bool = True, flags: Flags | None = None) -> Job:
    """Read a source; raises CompileError for what cannot be one."""
    if source.suffix not in SUFFIXES:
        raise CompileError(
            f"{shown(source)}: not a C or assembly source: its name must end in {', '.join(SUFFIXES)}"
        )
    content = read(source)
    path = Path.cwd() / source  # not what a link leads to: headers are beside the name, as for any cc
    in_dwarf = recorded_directory(path.parent) + source.name
    added = flags or Flags()
    words = (*(() if optimize else ("-O0",)), *added.words)
    given = str(source)
    seen = [Seen(SOURCE, path.parent, _recorded(path), given.removesuffix(source.name))]
    if flags is not None:
        first, second = userflags.from_environment(list(os.environ.items()))
        for kind, directories in (("I", (*added.quoted, *first)), ("S", (*added.system, *second))):
            for i, name in enumerate(directories):
                seen.append(Seen(f"{kind}{i}", Path.cwd() / name, f"{name}/", f"{name}/"))
    return Job(
        given, path, in_dwarf, content, Flags(words, added.quoted, added.system, added.forced), tuple(seen)
    )


def _recorded(source: Path) -> str:
    """How objects call the directory of a source, with a slash, if at all."""
    inside = recorded_directory(source.parent)
    return inside if inside or source.name != "usys.S" else "include/"


def _object(source: Path) -> Job:
    """An object file that is to be linked."""
    content = read(source)
    kind, machine = content[16:18], content[18:20]
    if not content.startswith(ELF_RELOCATABLE) or (kind, machine) != (
        b"\x01\0",
        EM_RISCV.to_bytes(2, "little"),
    ):
        raise CompileError(f"{shown(source)}: not an object file for RISC-V; compile it with `orrery cc -c`")
    return Job(str(source), Path.cwd() / source, source.name, content, result=content)


def read(source: Path) -> bytes:
    """The content of a source; raises CompileError where there is none that can be read."""
    try:
        return hostfile.read(source, hostfile.SOURCE_BYTES_MAX)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CompileError(f"{shown(source)}: {why or error}; check the name of the source") from error


def inputs(jobs: Sequence[Job]) -> tuple[Path, ...]:
    """The files of the user that the jobs may have been made from."""
    return tuple(path for job in jobs for path in (job.path, *job.reach.files))


def tell_warnings(jobs: Sequence[Job], warn: Callable[[str], None] | None) -> None:
    """Hand `warn` what the compiler said of each job that did not fail."""
    for job in jobs:
        if warn is not None and job.warnings:
            warn(told(job.warnings, job.seen))
