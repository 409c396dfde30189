"""C and assembly to RISC-V ELF, with the clang and lld that come in the ziglang wheel.

Called by orrery/ (run, cc, and the kernel's own assembly) and by image.py.  There is one set of flags, to
which a person may add (flags.py).  A result is stored under the hash of everything it was made from: sources,
headers and where others would be found first (reach.py), flags, compiler.  So nothing is built twice and
nothing stale is used; what cannot be known (a date, a file that the assembler reads) is built each time.  No
host path gets into an ELF, so two machines build the same bytes.  Function and data sections plus
--gc-sections keep programs small. What only a real build needs (processes, threads, scratch files) is
imported there: a start that finds everything in the cache pays for none of it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import flags as userflags
from toolchain import headers, hostfile, progress, store
from toolchain.diagnostics import CompileError, failure
from toolchain.flags import Flags
from toolchain.names import shown
from toolchain.paths import ROOT, cache_dir, fallback_dir, find_zig, link_atomic, scratch, write_atomic
from toolchain.reach import Directory, Reach, explore
from toolchain.strip import strip
from toolchain.view import SOURCE, Seen, View, recorded_directory, told

if TYPE_CHECKING:
    from toolchain import limited

__all__ = ["CompileError", "compile_user", "strip"]

WORKERS = 2
SUFFIXES = (".c", ".S", ".s")
OBJECT = ".o"
USER_LIB = ROOT / "user" / "lib"
USER_INCLUDE = ROOT / "user" / "include"
USER_LD = ROOT / "toolchain" / "user.ld"
CURRENT = "current"  # a link to the generated headers of now
TRIES = 3  # to compile a source that is being edited

TARGET_FLAGS = ("--target=riscv64-unknown-elf", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany")
COMPILE_FLAGS = (
    *TARGET_FLAGS,
    "--no-default-config",
    "-std=gnu17",
    "-ffreestanding",  # no function is taken for one of C's because of its name
    # Address 0 is mapped, a loop may wait for what another process does, memory is read as what it was not
    # written as, and numbers wrap: a compiler that assumes the contrary removes code that means something
    # here.
    "-fno-delete-null-pointer-checks",
    "-fno-finite-loops",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-common",
    "-fno-stack-protector",
    "-fno-omit-frame-pointer",  # a backtrace follows s0
    "-fno-optimize-sibling-calls",  # and shows every caller
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
    "-O1",
    "-gdwarf-4",  # 5 has addresses that cannot be moved out of the way, see below
    "-Wall",
    "-Wno-main",  # xv6 programs have void main
    "-Wno-infinite-recursion",  # and usertests recurses until it is killed
    "-fdebug-compilation-dir=.",
    "-fno-ident",
    "-ferror-limit=0",
)
LINK_FLAGS = ("-m", "elf64lriscv", "-z", "max-page-size=4096", "--build-id=none", "--error-limit=0")
# A program may define a name that the library has; the first definition, its own, is taken.
# What DWARF says of functions that were left out is moved to where no program is, and not to 0, where one is.
USER_LINK_FLAGS = (
    *LINK_FLAGS,
    "--gc-sections",
    "--allow-multiple-definition",
    "-z",
    "dead-reloc-in-nonalloc=.debug_*=0xfffffffffffff000",
)
# baseline: a cache in a shared home is used by machines of several kinds
HOST_FLAGS = ("-shared", "-fPIC", "-O2", "-mcpu=baseline", "-fno-sanitize=undefined")
# All that the compiler sees of the environment: nothing there adds to a key, so nothing there may decide a
# result. (SOURCE_DATE_EPOCH decides only what is not kept, and CPATH and its like are made into options.)
ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH")
ELF_RELOCATABLE = b"\x7fELF\x02\x01"
EM_RISCV, ET_REL = 243, 1


@dataclass(frozen=True, slots=True)
class Built:
    """A program, and the files of the user that it may have been made from."""

    elf: bytes
    inputs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Include:
    """The tree's include path: directories in search order, a digest of every header there, and their
    text.
    """

    seen: tuple[Seen, ...]
    options: tuple[str, ...]  # -I and the like, of names in the view
    digest: str
    text: bytes


@dataclass(slots=True)
class _Job:
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
    include = _include_path()
    program = _jobs(sources, optimize, flags, within=within)
    _compile_all([job for job in program if not job.result], include)
    library = _library(include)
    _warn(program, warn)
    elf = _link(program, library, USER_LD, USER_LINK_FLAGS)
    return Built(elf, _inputs(program))


def compile_objects(
    sources: Sequence[Path | str],
    *,
    optimize: bool = True,
    warn: Callable[[str], None] | None = None,
    flags: Flags | None = None,
    mode: str = "-c",
) -> list[Built]:
    """What cc makes with -c, -S or -E of each source."""
    include = _include_path()
    jobs = _jobs(sources, optimize, flags, objects=False)
    if mode == "-c":
        _compile_all(jobs, include)
    else:
        for job in jobs:
            _explore(job, include)
            _compile(job, include, mode)
    _warn(jobs, warn)
    return [Built(job.result, _inputs([job])) for job in jobs]


def user_flags(flags: Flags | None = None) -> list[str]:
    """The flags with which programs are compiled, with the include path as it lies on this computer.

    An editor keeps them, so the generated headers are named by a link that will lead to those of then.
    """
    include = _include_path()
    paths = {one.name: str(one.path) for one in include.seen}
    paths["generated"] = str(Path(paths["generated"]).with_name(CURRENT))
    own = [word for path in (flags or Flags()).quoted for word in ("-I", os.path.abspath(path))]
    tree = [_placed(word, paths) for word in include.options]
    return [*COMPILE_FLAGS, *(flags or Flags()).words, *own, *tree]


def candidates(sources: Sequence[Path | str], flags: Flags | None = None) -> list[Path]:
    """The files of the user that may decide what `sources` become, those too that are not there yet."""
    include = _include_path()
    found: list[Path] = []
    for source in sources:
        with suppress(CompileError):  # of those that are not there there is no more to say
            [job] = _jobs([source], True, flags or Flags())
            if not job.result:
                _explore(job, include)
            found += [job.path, *job.reach.looked]
    return found


def _placed(option: str, paths: Mapping[str, str]) -> str:
    """A word of _Include.options with the directory itself in place of its name in the view."""
    top, _, rest = option.partition("/")
    return f"{paths[top]}/{rest}".rstrip("/") if top in paths else option


def prepare(sources: Sequence[Path]) -> None:
    """Compile many programs' sources at once, so that each compile_user() after it only links."""
    include = _include_path()
    _library(include)
    _compile_all([_job(source) for source in sources], include)


def assemble_kernel(asm_dir: Path) -> bytes:
    """Assemble `asm_dir`/*.S and link them with `asm_dir`/kernel.ld: the kernel's ELF, with DWARF and CFI."""
    sources = sorted(asm_dir.glob("*.S"))
    if not sources:
        raise CompileError(f"{asm_dir}: no .S file there; the source tree is incomplete")
    return link_freestanding(sources, asm_dir / "kernel.ld")


def link_freestanding(sources: Sequence[Path], script: Path) -> bytes:
    """Compile `sources` and link them under `script` with nothing added: an ELF with DWARF and CFI."""
    objects = _compile_all([_job(source) for source in sources], _include_path())
    return _link(objects, [], script, LINK_FLAGS)


def host_library(source: Path, flags: Sequence[str] = ()) -> Path:
    """A shared library for this machine, made from one C file; returns its path in the cache."""
    job = _job(source)
    arguments = (*HOST_FLAGS, *flags)
    key = store.digest(
        "host", _compiler(), os.uname().sysname, os.uname().machine, *arguments, job.shown, job.content
    )
    result = cache_dir() / "host" / f"{key}.so"
    known = store.get("host", key)  # a loader wants a file, so there are two
    if known is None or not _holds(result, known):
        if known is None:
            known = _host_library(job, arguments)
            store.put("host", key, known)
        write_atomic(result, known)
    return result


def _host_library(job: _Job, arguments: Sequence[str]) -> bytes:
    """Build it; if that fails, once more without what zig has in its own cache, which may be damaged."""
    with scratch() as directory:
        new, own = directory / "library.so", directory / "zig"
        command = ["cc", *arguments, "-o", str(new), str(job.path)]
        status, _ = _run(
            command, {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(own)}
        )
        if status:
            again = {"ZIG_GLOBAL_CACHE_DIR": str(own), "ZIG_LOCAL_CACHE_DIR": str(own)}
            status, said = _run(command, again)
            if status:
                raise failure([(shown(job.given), said)])
        return new.read_bytes()


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def zig_path() -> Path:
    """The zig executable of the installed wheel; raises CompileError with the remedy when there is none."""
    zig = find_zig()
    if zig is not None:
        return zig
    raise CompileError(
        "the C compiler is missing: it comes in the Python package ziglang; "
        "install it with `pip install --require-hashes -r requirements.lock`"
    )


@lru_cache(maxsize=1)
def zig_version() -> str:
    """The installed version of ziglang, as its package directory names it; part of every cache key."""
    site = zig_path().parent.parent
    for info in sorted(site.glob("ziglang-*.dist-info")):
        return info.name.removesuffix(".dist-info")
    raise CompileError("ziglang is damaged: its dist-info is missing; remove .venv and run `make boot`")


@lru_cache(maxsize=1)
def _compiler() -> str:
    """What compiler it is, and how it is used, for keys."""
    ours = [Path(__file__).with_name(name).read_bytes() for name in ("cc.py", "view.py")]
    return store.digest(zig_version(), str(zig_path().stat().st_size), *ours)


# --- the include path ---


def _include_path() -> _Include:
    """Write the generated headers where they are not yet, and digest them with user/include's."""
    generated = headers.generate()
    key = store.digest(*(text for item in sorted(generated.items()) for text in item))
    top = _generated(generated, key)
    static = sorted(path for path in USER_INCLUDE.rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in static]
    names = [str(path.relative_to(USER_INCLUDE)) for path in static]
    compiler = zig_path().parent / "lib" / "include"  # stdarg.h, stdint.h and the like
    seen = (
        Seen("generated", top, "include/", "include/"),
        Seen("tree", USER_INCLUDE, "user/include/", f"{USER_INCLUDE}/"),
        Seen("compiler", compiler, "include/", f"{compiler}/"),
    )
    # The short forms of the names, as in #include "user.h"
    directories = [f"{base}/{part}" for part in ("", "kernel", "user") for base in ("generated", "tree")]
    directories.sort(key=lambda one: not one.endswith("/"))
    options = [word for one in directories for word in ("-I", one.rstrip("/"))]
    return _Include(
        seen=seen,
        options=(*options, "-isystem", "compiler"),
        digest=store.digest(key, *(part for pair in zip(names, contents, strict=True) for part in pair)),
        text=b"\n".join([*(text.encode() for text in generated.values()), *contents]),
    )


def _generated(generated: Mapping[str, str], key: str) -> Path:
    """The directory with the generated headers, all of them as they are to be."""
    error: OSError | None = None
    for base in dict.fromkeys((cache_dir(), fallback_dir())):
        top = base / "include" / key
        try:
            for name, text in generated.items():
                # One file after another, each atomically: a builder that was killed leaves none half written.
                if not _holds(top / name, text.encode()):
                    write_atomic(top / name, text.encode())
            link_atomic(top.with_name(CURRENT), key)
            return top
        except OSError as failed:
            error = error or failed
    assert error is not None, "a directory was tried"
    raise error


def source_of(shown: str) -> Path:
    """The file in the tree, or a generated one, that DWARF calls `shown`."""
    directory, _, name = shown.partition("/")
    return _include_path().seen[0].path / name if directory == "include" else ROOT / shown


# --- sources ---


def _jobs(
    sources: Sequence[Path | str],
    optimize: bool,
    flags: Flags | None,
    *,
    objects: bool = True,
    within: Path | None = None,
) -> list[_Job]:
    """The jobs of a user's program; an object is one that is done."""
    flags = flags or Flags()
    top = None if within is None else within.resolve()
    jobs = []
    for one in map(Path, sources):
        if top is not None and not one.resolve().is_relative_to(top):
            raise CompileError(f"{shown(one)}: leads out of {shown(top)}; hand in the file itself")
        job = _object(one) if objects and one.suffix == OBJECT else _job(one, optimize, flags)
        job.within = top
        jobs.append(job)
    return jobs


def _job(source: Path, optimize: bool = True, flags: Flags | None = None) -> _Job:
    """Read a source; raises CompileError for what cannot be one."""
    if source.suffix not in SUFFIXES:
        raise CompileError(
            f"{shown(source)}: not a C or assembly source: its name must end in {', '.join(SUFFIXES)}"
        )
    content = _read(source)
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
    return _Job(
        given, path, in_dwarf, content, Flags(words, added.quoted, added.system, added.forced), tuple(seen)
    )


def _recorded(source: Path) -> str:
    """How objects call the directory of a source, with a slash, if at all."""
    inside = recorded_directory(source.parent)
    return inside if inside or source.name != "usys.S" else "include/"


def _object(source: Path) -> _Job:
    """An object file that is to be linked."""
    content = _read(source)
    kind, machine = content[16:18], content[18:20]
    if not content.startswith(ELF_RELOCATABLE) or (kind, machine) != (
        b"\x01\0",
        EM_RISCV.to_bytes(2, "little"),
    ):
        raise CompileError(f"{shown(source)}: not an object file for RISC-V; compile it with `orrery cc -c`")
    return _Job(str(source), Path.cwd() / source, source.name, content, result=content)


def _read(source: Path) -> bytes:
    try:
        return hostfile.read(source, hostfile.SOURCE_BYTES_MAX)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CompileError(f"{shown(source)}: {why or error}; check the name of the source") from error


def _inputs(jobs: Sequence[_Job]) -> tuple[Path, ...]:
    return tuple(path for job in jobs for path in (job.path, *job.reach.files))


def _warn(jobs: Sequence[_Job], warn: Callable[[str], None] | None) -> None:
    for job in jobs:
        if warn is not None and job.warnings:
            warn(told(job.warnings, job.seen))


def _library(include: _Include) -> list[_Job]:
    """The C library's objects: user/lib and the system-call stubs."""
    sources = sorted(path for path in USER_LIB.rglob("*") if path.suffix in SUFFIXES)
    stubs = include.seen[0].path / "usys.S"
    return _compile_all([_job(source) for source in [*sources, stubs]], include)


# --- compiling ---


def _compile_all(jobs: list[_Job], include: _Include) -> list[_Job]:
    """Give every job its object, two at a time; what is wrong is told of all, in their order."""
    missing = [job for job in jobs if not _cached(job, include)]
    failed: list[tuple[str, str]] = []
    if len(missing) == 1:
        failed += _failure(missing[0], include)
    elif missing:
        from concurrent.futures import ThreadPoolExecutor

        with progress.line() as show, ThreadPoolExecutor(WORKERS) as pool:
            running = [pool.submit(_failure, job, include) for job in missing]
            for number, (job, done) in enumerate(zip(missing, running, strict=True), 1):
                show(f"compiling, this once: {number} of {len(missing)}, {shown(job.path.name)}")
                failed += done.result()
    if failed:
        raise failure(failed)
    return jobs


def _explore(job: _Job, include: _Include) -> None:
    """Find what the job may read."""
    source, *others = (Directory(one.path, one.name) for one in job.seen)
    text = job.content + b"\n" + job.flags.text()
    job.reach = explore(text, source, others, include.text, job.flags.forced)
    _check_confined(job)
    for path, why in job.reach.refused:
        raise CompileError(f"{shown(path)}: {why}; {shown(job.given)} may include it, so name another file")


def _check_confined(job: _Job) -> None:
    """Raise CompileError where the job reads, or may read, what it is to know nothing of."""
    if job.within is None:
        return
    for path in job.reach.files:
        if path.exists() and not path.resolve().is_relative_to(job.within):
            name = shown(path)
            raise CompileError(f"{shown(job.given)}: error: cannot open file '{name}': Permission denied")


def _key(job: _Job, include: _Include) -> str | None:
    """Under which the job's object is kept; None where it must be made each time."""
    if not job.reach.certain:
        return None
    searched: list[str] = [part for one in job.seen for part in (one.name, one.recorded)]
    flags = (*COMPILE_FLAGS, *job.flags.words, *job.flags.forced)
    parts: tuple[str | bytes, ...] = (include.digest, job.shown, job.content, *searched, *job.reach.parts())
    return store.digest("object", _compiler(), str(len(flags)), *flags, *parts)


def _cached(job: _Job, include: _Include) -> bool:
    """Fill in the job's result and warnings from the cache if it holds them."""
    _explore(job, include)
    key = _key(job, include)
    kept = None if key is None else store.get("object", key)
    if kept is None:
        return False
    size = int.from_bytes(kept[:4], "little")
    job.warnings = kept[4 : 4 + size].decode(errors="surrogateescape")
    job.result = kept[4 + size :]
    return True


def _failure(job: _Job, include: _Include) -> list[tuple[str, str]]:
    """Compile one source, into the cache if it may be kept; what was said if that failed."""
    for _ in range(TRIES):
        before = _key(job, include)
        try:
            _compile(job, include)
        except CompileError as error:
            return [(shown(job.given), error.details)]
        job.content = _read(job.path)
        _explore(job, include)
        if _key(job, include) == before:
            break
    else:
        return []  # edited all the time: good for now, and not to be kept
    if before is not None:
        said = job.warnings.encode(errors="surrogateescape")
        store.put("object", before, len(said).to_bytes(4, "little") + said + job.result)
    return []


def _compile(job: _Job, include: _Include, mode: str = "-c") -> None:
    """Compile one source; raises CompileError."""
    from toolchain import limited

    with scratch() as directory:
        view = View(directory, [*job.seen, *include.seen])
        new = directory / "out"
        command = ["clang", *COMPILE_FLAGS, *job.flags.words, mode, f"{view.path(SOURCE)}/{job.path.name}"]
        command += ["-o", str(new), *view.maps()]
        for name in job.flags.forced:
            command += ["-include", name]
        for kind, option in (("I", "-I"), ("include", ""), ("S", "-isystem")):
            if not option:
                command += [view.path(word) if "-" not in word else word for word in include.options]
                continue
            for one in job.seen[1:]:
                if one.name.startswith(kind):
                    command += [option, view.path(one.name)]
        confined = None
        if job.within is not None:
            confined = limited.Confined(
                (zig_path().parent, job.within, *(one.path for one in include.seen)), directory
            )
        status, said = _run(command, confined=confined)
        said = view.tell(said, job.path.name)
        if status:
            raise CompileError("", told(said, [*job.seen, *include.seen]))
        job.warnings = said
        job.result = new.read_bytes()
        if mode == "-E":
            text = view.tell(job.result.decode(errors="surrogateescape"), job.path.name)
            job.result = told(text, [*job.seen, *include.seen]).encode(errors="surrogateescape")


# --- linking ---


def _link(program: list[_Job], library: list[_Job], script: Path, flags: Sequence[str]) -> bytes:
    """Link objects under `script`; the library's objects are taken as from an archive, where needed."""
    try:
        layout = script.read_bytes()
    except OSError as error:
        raise CompileError(f"{script}: {error.strerror}; the source tree is incomplete") from error
    objects = [job.result for job in [*program, *library]]
    key = store.digest("elf", _compiler(), *flags, layout, str(len(program)), *objects)
    result = store.get("elf", key)
    if result is not None:
        return result
    with scratch() as directory:
        placed = [directory / f"{i}{OBJECT}" for i in range(len(objects))]
        for path, content in zip(placed, objects, strict=True):
            path.write_bytes(content)
        own, others = placed[: len(program)], placed[len(program) :]
        names = {str(path): shown(job.given) for path, job in zip(own, program, strict=True)}
        new, used = directory / "out.elf", directory / "script.ld"
        used.write_bytes(layout)
        if len(program) > 1 and library:
            _refuse_duplicates(own, names)
        command = ["ld.lld", *flags, "-T", str(used), "-o", str(new), *map(str, own)]
        _succeed([*command, "--start-lib", *map(str, others), "--end-lib"], shown(program[0].given), names)
        result = new.read_bytes()
    store.put("elf", key, result)
    return result


def _refuse_duplicates(objects: Sequence[Path], names: Mapping[str, str]) -> None:
    """Link the program's own objects once by themselves: a name defined twice is an error here.

    The real link takes the first definition, so that a program may have a function that the C library
    has too; between the program's own sources that would hide a mistake.
    """
    _succeed(["ld.lld", "-m", "elf64lriscv", "-r", "-o", os.devnull, *map(str, objects)], "", names)


# --- running ---


def _succeed(arguments: list[str], name: str, names: Mapping[str, str] | None = None) -> None:
    """Run zig; raises CompileError, with `names` in place of paths, where it fails."""
    status, said = _run(arguments)
    if status:
        for path, given in (names or {}).items():
            said = said.replace(path, given)
        alone = len(names or {}) < 2
        raise failure([(name if alone else "", said)])


def _run(
    arguments: list[str],
    caches: Mapping[str, str] | None = None,
    confined: "limited.Confined | None" = None,
) -> tuple[int, str]:
    """Run zig with `arguments`; its status, and what it said on stderr. Clang and lld use no cache of
    zig's.
    """
    from toolchain import limited

    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    status, said = limited.run(
        [str(zig_path()), *arguments],
        {**environment, **(caches or {}), "LC_ALL": "C"},
        limited.COMPILE_S_MAX if caches is None else None,  # zig itself may have much to build
        confined,
    )
    return status, said.decode(errors="surrogateescape")
