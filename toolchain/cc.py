"""C and assembly to RISC-V ELF, with the clang and lld that come in the ziglang wheel.

Called by orrery/ (run, cc, and the kernel's own assembly) and by image.py.  There is one set of flags.
A result is stored under the hash of everything it was made from (sources, headers, flags, compiler
version), so nothing is built twice and nothing stale is used; no host path gets into an ELF, so two
machines build the same bytes.  Function and data sections plus --gc-sections keep programs small.
What only a real build needs (processes, threads, scratch files) is imported there: a start that finds
everything in the cache pays for none of it.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from toolchain import headers
from toolchain.paths import ROOT, cache_dir, find_zig, write_atomic

WORKERS = 2
SUFFIXES = (".c", ".S", ".s")
USER_LIB = ROOT / "user" / "lib"
USER_INCLUDE = ROOT / "user" / "include"
USER_LD = ROOT / "toolchain" / "user.ld"

TARGET_FLAGS = ("--target=riscv64-unknown-elf", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany")
COMPILE_FLAGS = (
    *TARGET_FLAGS,
    "-std=gnu17",
    "-ffreestanding",
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
)
LINK_FLAGS = ("-m", "elf64lriscv", "-z", "max-page-size=4096", "--build-id=none")
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


class CompileError(Exception):
    """A source did not compile or link; str() is one line, `details` all that the compiler said."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details or message


@dataclass(frozen=True, slots=True)
class _Include:
    """The include path: directories in search order, and a digest of every header in them."""

    directories: tuple[Path, ...]
    digest: str
    prefix_maps: tuple[str, ...]


@dataclass(slots=True)
class _Job:
    """One source to compile: as the user named it, its absolute path, the name its DWARF shows, flags."""

    given: str
    path: Path
    shown: str
    content: bytes
    flags: tuple[str, ...] = ()
    key: str = ""
    warnings: str = ""
    object: Path = field(default_factory=Path)


def compile_user(
    sources: Sequence[Path | str],
    out: Path | None = None,
    *,
    debug: bool = True,
    optimize: bool = True,
    warn: Callable[[str], None] | None = None,
) -> bytes:
    """Compile `sources` and link them with the C library: an ELF at address 0, text R-X, data RW.

    `debug=False` leaves out DWARF and symbols; without `optimize` each variable of `sources` has its place in
    memory, and each line its own code, for a debugger.  `warn` gets the compiler's warnings, if any.
    `out` is written too when given.  Raises CompileError.
    """
    if not sources:
        raise CompileError("nothing to compile: name at least one C or assembly source")
    include = _include_path()
    program = _compile_all([_job(Path(source), optimize) for source in sources], include)
    library = _library(include)
    if warn is not None:
        for job in program:
            if job.warnings:
                warn(job.warnings)
    if len(program) > 1:
        _refuse_duplicates(program)
    elf = _link(program, library, USER_LD, USER_LINK_FLAGS)
    if not debug:
        elf = strip(elf)
    if out is not None:
        out.write_bytes(elf)
        out.chmod(0o755)
    return elf


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
    key = _digest(
        "host", zig_version(), os.uname().sysname, os.uname().machine, *arguments, job.shown, job.content
    )
    result = cache_dir() / "host" / f"{key}.so"
    if not result.exists():
        with _scratch(result.parent) as scratch:
            new = scratch / "library.so"
            _run(["cc", *arguments, "-o", str(new), str(job.path)], [job])
            os.replace(new, result)
    return result


def strip(elf: bytes) -> bytes:
    """`elf` with only what is loaded: the header, the PT_LOAD entries and their bytes, tightly packed."""
    phoff, phentsize, phnum = struct.unpack_from("<Q14xHH", elf, 32)
    entries = [_PHDR.unpack_from(elf, phoff + i * phentsize) for i in range(phnum)]
    loads = [e for e in entries if e[0] == _PT_LOAD and e[6] > 0]
    header = bytearray(elf[:64])
    struct.pack_into("<QQ", header, 32, 64, 0)  # e_phoff, e_shoff
    struct.pack_into("<HHHHH", header, 54, _PHDR.size, len(loads), 0, 0, 0)
    body = bytearray()
    table = bytearray()
    start = -(-(64 + len(loads) * _PHDR.size) // _PACKING) * _PACKING
    for kind, flags, offset, vaddr, paddr, filesz, memsz, _align in loads:
        table += _PHDR.pack(kind, flags, start + len(body), vaddr, paddr, filesz, memsz, _PACKING)
        body += elf[offset : offset + filesz]
        body += bytes(-len(body) % _PACKING)
    return bytes((header + table).ljust(start, b"\0") + body)


# Elf64_Phdr: type, flags, offset, vaddr, paddr, filesz, memsz, align
_PHDR = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_PACKING = 16  # bytes to which strip() aligns a segment in the file


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


def _digest(*parts: str | bytes) -> str:
    """A key for `parts`: each is preceded by its length, so no two lists run into one another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A directory below `parent`, gone afterwards; a result is moved out of it by one rename."""
    from tempfile import TemporaryDirectory

    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix=".new-") as name:
        yield Path(name)


def _include_path() -> _Include:
    """Write the generated headers where they are not yet, and digest them with user/include's."""
    generated = headers.generate()
    key = _digest(*(text for item in sorted(generated.items()) for text in item))
    top = cache_dir() / "include" / key
    for name, text in generated.items():
        # One file after another, each atomically: a builder that was killed leaves none half written.
        if not (top / name).exists():
            write_atomic(top / name, text.encode())
    static = sorted(path for path in USER_INCLUDE.rglob("*") if path.is_file())
    contents = [part for path in static for part in (str(path.relative_to(USER_INCLUDE)), path.read_bytes())]
    directories = [top, USER_INCLUDE]
    # The short forms of the names, as in #include "user.h"
    directories += [base / part for base in (top, USER_INCLUDE) for part in ("kernel", "user")]
    compiler = zig_path().parent / "lib" / "include"  # stdarg.h, stdint.h and the like
    return _Include(
        directories=(*directories, compiler),
        digest=_digest(key, *contents),
        prefix_maps=(f"{compiler}=include", f"{top}=include", f"{ROOT}/="),
    )


def source_of(shown: str) -> Path:
    """The file in the tree, or a generated one, that DWARF calls `shown`."""
    directory, _, name = shown.partition("/")
    return _include_path().directories[0] / name if directory == "include" else ROOT / shown


def _job(source: Path, optimize: bool = True) -> _Job:
    """Read a source; raises CompileError for what cannot be one."""
    if source.suffix not in SUFFIXES:
        raise CompileError(
            f"{source}: not a C or assembly source: its name must end in {', '.join(SUFFIXES)}"
        )
    try:
        content = source.read_bytes()
    except OSError as error:
        raise CompileError(f"{source}: {error.strerror or error}; check the name of the source") from error
    path = source.resolve()
    shown = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else source.name
    return _Job(str(source), path, shown, content, () if optimize else ("-O0",))


def _library(include: _Include) -> list[_Job]:
    """The C library's objects: user/lib and the system-call stubs."""
    sources = sorted(path for path in USER_LIB.rglob("*") if path.suffix in SUFFIXES)
    stubs = include.directories[0] / "usys.S"
    return _compile_all([_job(source) for source in [*sources, stubs]], include)


def _compile_all(jobs: list[_Job], include: _Include) -> list[_Job]:
    """Make every job's object exist, two at a time; the first failure in source order is raised."""
    missing = [job for job in jobs if not _cached(job, include)]
    if len(missing) == 1:
        _compile(missing[0], include)
    elif missing:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(_compile, job, include) for job in missing]:
                done.result()
    return jobs


def _cached(job: _Job, include: _Include) -> bool:
    """Fill in `job.object` and `job.warnings` from the cache if it holds them.

    The key covers the source and the include path.  Other files that the source included (a header
    beside it) are listed with their digests in the record next to the object.
    """
    flags = *COMPILE_FLAGS, *job.flags
    job.key = _digest("object", zig_version(), *flags, include.digest, job.shown, job.content)
    job.object = cache_dir() / "object" / f"{job.key}.o"
    try:
        record = json.loads(job.object.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return False
    if not all(_file_digest(job.path.parent / name) == digest for name, digest in record["included"].items()):
        return False
    # Two programs may share a source by content and still include different headers of one name.
    job.key = _digest(job.key, json.dumps(record["included"], sort_keys=True))
    job.warnings = record["warnings"].replace(_PLACEHOLDER, job.given)
    return job.object.exists()


_PLACEHOLDER = "\0"  # stands for the source's name in recorded warnings


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _compile(job: _Job, include: _Include) -> None:
    """Compile one source into the cache."""
    with _scratch(job.object.parent) as scratch:
        new, depends = scratch / "out.o", scratch / "out.d"
        command = ["clang", *COMPILE_FLAGS, *job.flags, "-c", str(job.path), "-o", str(new)]
        command += ["-MMD", "-MF", str(depends)]
        for directory in include.directories:
            command += ["-isystem" if directory is include.directories[-1] else "-I", str(directory)]
        # The last map that matches wins.
        maps = [f"{job.path.parent}/=", *include.prefix_maps]
        command += [f"-ffile-prefix-map={one}" for one in maps]
        said = _run(command, [job]).replace(job.given, _PLACEHOLDER)
        record = {"included": _private_includes(job, depends.read_text(), include), "warnings": said}
        os.replace(new, job.object)
    write_atomic(job.object.with_suffix(".json"), json.dumps(record).encode())
    assert _cached(job, include), "an object that was just compiled must be found in the cache"


def _private_includes(job: _Job, rule: str, include: _Include) -> dict[str, str]:
    """Of a depfile's `rule`, the headers outside the include path, with their digests."""
    words = rule.replace("\\\n", " ").replace("\\ ", "\0").split()[1:]
    found = {}
    for word in words:
        path = Path(word.replace("\0", " ")).resolve()
        if path != job.path and not any(path.is_relative_to(one) for one in include.directories):
            found[os.path.relpath(path, job.path.parent)] = _file_digest(path)
    return found


def _refuse_duplicates(program: list[_Job]) -> None:
    """Link the program's own objects once by themselves: a name defined twice is an error here.

    The real link takes the first definition, so that a program may have a function that the C library
    has too; between the program's own sources that would hide a mistake.
    """
    _run(
        ["ld.lld", "-m", "elf64lriscv", "-r", "-o", os.devnull, *(str(job.object) for job in program)],
        program,
    )


def _link(program: list[_Job], library: list[_Job], script: Path, flags: Sequence[str]) -> bytes:
    """Link objects under `script`; the library's objects are taken as from an archive, where needed."""
    key = _digest(
        "elf", zig_version(), *flags, script.read_bytes(), *(job.key for job in [*program, *library])
    )
    result = cache_dir() / "elf" / key
    try:
        return result.read_bytes()
    except FileNotFoundError:
        pass
    with _scratch(result.parent) as scratch:
        new = scratch / "out.elf"
        command = ["ld.lld", *flags, "-T", str(script), "-o", str(new), *(str(job.object) for job in program)]
        command += ["--start-lib", *(str(job.object) for job in library), "--end-lib"]
        _run(command, program)
        os.replace(new, result)
    return result.read_bytes()


def _run(arguments: list[str], jobs: Sequence[_Job]) -> str:
    """Run zig with `arguments`; returns what it said on stderr, with the sources named as the user did."""
    import subprocess

    cache = cache_dir() / "zig"
    environment = os.environ | {
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [str(zig_path()), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment,
        check=False,
    )
    said = (done.stderr or done.stdout).decode(errors="replace")
    for job in jobs:
        said = said.replace(str(job.path), job.given).replace(str(job.object), job.given)
    if done.returncode != 0:
        raise CompileError(_first_error(said.splitlines(), jobs), said)
    return said


def _first_error(lines: Iterable[str], jobs: Sequence[_Job]) -> str:
    """The one line that says most of a failed run: the first error, and where, if the linker says so."""
    prefix = f"{jobs[0].given}: " if len(jobs) == 1 else ""
    message = ""
    for line in lines:
        if not message and "error:" in line:
            message = line.strip().removeprefix("ld.lld: ")
        elif message.startswith("error:") and line.startswith(">>>"):
            return f"{prefix}{message} ({line.removeprefix('>>>').strip()})"
    if message.startswith("error:"):
        return prefix + message
    return message or f"{prefix}error: the compiler failed and gave no reason"
