"""C and assembly to RISC-V ELF, with the clang and lld that come in the ziglang wheel.

Called by orrery/ (run, cc, and the kernel's own assembly) and by image.py: this file is what they see, and
puts the steps together.  A source becomes a job (sources.py), is compiled with the tree's headers
(includes.py, objects.py) by the compiler (zig.py), and objects are linked (link.py); hostlib.py makes the one
kind of library that is for this machine.  There is one set of flags, to which a person may add (flags.py).  A
result is stored under the hash of everything it was made from, so nothing is built twice and nothing stale is
used.  No host path gets into an ELF, so two machines build the same bytes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kernel.abi.param import USERSTACK
from toolchain.diagnostics import CompileError
from toolchain.flags import Flags
from toolchain.hostlib import host_library
from toolchain.includes import CURRENT, Include, include_path, source_of
from toolchain.link import LINK_FLAGS, USER_LD, USER_LINK_FLAGS, link
from toolchain.names import shown
from toolchain.objects import COMPILE_FLAGS, compile_all, compile_one, explore_job
from toolchain.paths import tree_file, write_atomic
from toolchain.sources import SUFFIXES, Job, inputs, job_of, jobs_of, tell_warnings
from toolchain.stack import with_stack
from toolchain.strip import strip
from toolchain.zig import zig_path, zig_version

__all__ = [
    "CompileError",
    "compile_user",
    "host_library",
    "source_of",
    "strip",
    "zig_path",
    "zig_version",
]

USER_LIB = tree_file("user/lib")


@dataclass(frozen=True, slots=True)
class Built:
    """A program, and the files of the user that it may have been made from."""

    elf: bytes
    inputs: tuple[Path, ...]


def compile_user(
    sources: Sequence[Path | str],
    out: Path | None = None,
    *,
    debug: bool = True,
    optimize: bool = True,
    warn: Callable[[str], None] | None = None,
    flags: Flags | None = None,
    within: Path | None = None,
) -> bytes:
    """Compile `sources` and link them with the C library: an ELF at address 0, text R-X, data RW.

    `debug=False` leaves out DWARF and symbols; without `optimize` each variable of `sources` has its place in
    memory, and each line its own code, for a debugger.  `warn` gets the compiler's warnings, if any.
    `out` is written too when given.  With `within`, the directory of somebody who is graded, nothing that
    lies elsewhere can get into the program or into a message.  Raises CompileError.
    """
    built = build_user(sources, optimize=optimize, warn=warn, flags=flags, within=within)
    elf = built.elf if debug else strip(built.elf)
    if out is not None:
        if out.exists() and any(path.exists() and out.samefile(path) for path in built.inputs):
            raise CompileError(f"{shown(out)}: the program is made from it; name another file")
        write_atomic(out, elf)
        out.chmod(0o755)
    return elf


def build_user(
    sources: Sequence[Path | str],
    *,
    optimize: bool = True,
    warn: Callable[[str], None] | None = None,
    flags: Flags | None = None,
    within: Path | None = None,
) -> Built:
    """As compile_user, with what the program was made from; objects among the sources are linked too."""
    if not sources:
        raise CompileError("nothing to compile: name at least one C or assembly source")
    include = include_path()
    program = jobs_of(sources, optimize, flags, within=within)
    compile_all([job for job in program if not job.result], include)
    library = _library(include)
    tell_warnings(program, warn)
    elf = with_stack(link(program, library, USER_LD, USER_LINK_FLAGS), USERSTACK)
    return Built(elf, inputs(program))


def compile_objects(
    sources: Sequence[Path | str],
    *,
    optimize: bool = True,
    warn: Callable[[str], None] | None = None,
    flags: Flags | None = None,
    mode: str = "-c",
) -> list[Built]:
    """What cc makes with -c, -S or -E of each source."""
    include = include_path()
    jobs = jobs_of(sources, optimize, flags, objects=False)
    if mode == "-c":
        compile_all(jobs, include)
    else:
        for job in jobs:
            explore_job(job, include)
            compile_one(job, include, mode)
    tell_warnings(jobs, warn)
    return [Built(job.result, inputs([job])) for job in jobs]


def user_flags(flags: Flags | None = None) -> list[str]:
    """The flags with which programs are compiled, with the include path as it lies on this computer.

    An editor keeps them, so the generated headers are named by a link that will lead to those of then.
    """
    include = include_path()
    paths = {one.name: str(one.path) for one in include.seen}
    paths["generated"] = str(Path(paths["generated"]).with_name(CURRENT))
    own = [word for path in (flags or Flags()).quoted for word in ("-I", os.path.abspath(path))]
    tree = [_placed(word, paths) for word in include.options]
    return [*COMPILE_FLAGS, *(flags or Flags()).words, *own, *tree]


def candidates(sources: Sequence[Path | str], flags: Flags | None = None) -> list[Path]:
    """The files of the user that may decide what `sources` become, those too that are not there yet."""
    include = include_path()
    found: list[Path] = []
    for source in sources:
        with suppress(CompileError):  # of those that are not there there is no more to say
            [job] = jobs_of([source], True, flags or Flags())
            if not job.result:
                explore_job(job, include)
            found += [job.path, *job.reach.looked]
    return found


def _placed(option: str, paths: Mapping[str, str]) -> str:
    """A word of Include.options with the directory itself in place of its name in the view."""
    top, _, rest = option.partition("/")
    return f"{paths[top]}/{rest}".rstrip("/") if top in paths else option


def prepare(sources: Sequence[Path]) -> None:
    """Compile many programs' sources at once, so that each compile_user() after it only links."""
    include = include_path()
    _library(include)
    compile_all([job_of(source) for source in sources], include)


def assemble_kernel(asm_dir: Path) -> bytes:
    """Assemble `asm_dir`/*.S and link them with `asm_dir`/kernel.ld: the kernel's ELF, with DWARF and CFI."""
    sources = sorted(asm_dir.glob("*.S"))
    if not sources:
        raise CompileError(f"{asm_dir}: no .S file there; the source tree is incomplete")
    return link_freestanding(sources, asm_dir / "kernel.ld")


def link_freestanding(sources: Sequence[Path], script: Path) -> bytes:
    """Compile `sources` and link them under `script` with nothing added: an ELF with DWARF and CFI."""
    objects = compile_all([job_of(source) for source in sources], include_path())
    return link(objects, [], script, LINK_FLAGS)


def _library(include: Include) -> list[Job]:
    """The C library's objects: user/lib and the system-call stubs."""
    sources = sorted(path for path in USER_LIB.rglob("*") if path.suffix in SUFFIXES)
    stubs = include.seen[0].path / "usys.S"
    return compile_all([job_of(source) for source in [*sources, stubs]], include)
