"""Objects: what the compiler makes of each job, kept in the cache under all that it may have been made from.

Called by cc.py.  What a source may read is found first (reach.py) and is part of the key (store.py), so
nothing is compiled twice and nothing stale is used; what cannot be known (a date, a file that the assembler
reads) is compiled each time.  The compiler sees links in a scratch directory (view.py), so no path of the
host gets into an object, and two machines make the same bytes.
"""

from toolchain import gnuc, progress, store, zig
from toolchain.diagnostics import CompileError, failure
from toolchain.includes import Include
from toolchain.names import shown
from toolchain.paths import scratch
from toolchain.reach import Directory, explore
from toolchain.sources import Job, read
from toolchain.view import SOURCE, View, told

WORKERS = 2
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
    "-gdwarf-4",  # 5 has addresses that cannot be moved out of the way, see link.py
    "-Wall",
    "-Wno-main",  # xv6 programs have void main
    "-Wno-infinite-recursion",  # and usertests recurses until it is killed
    "-fdebug-compilation-dir=.",
    "-fno-ident",
    "-ferror-limit=0",
)


def compile_all(jobs: list[Job], include: Include) -> list[Job]:
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


def explore_job(job: Job, include: Include) -> None:
    """Find what the job may read."""
    source, *others = (Directory(one.path, one.name) for one in job.seen)
    text = job.content + b"\n" + job.flags.text()
    job.reach = explore(text, source, others, include.text, job.flags.forced)
    _check_confined(job)
    for path, why in job.reach.refused:
        raise CompileError(f"{shown(path)}: {why}; {shown(job.given)} may include it, so name another file")


def _check_confined(job: Job) -> None:
    """Raise CompileError where the job reads, or may read, what it is to know nothing of."""
    if job.within is None:
        return
    for path in job.reach.files:
        if path.exists() and not path.resolve().is_relative_to(job.within):
            name = shown(path)
            raise CompileError(f"{shown(job.given)}: error: cannot open file '{name}': Permission denied")


def _key(job: Job, include: Include) -> str | None:
    """Under which the job's object is kept; None where it must be made each time."""
    if not job.reach.certain:
        return None
    searched: list[str] = [part for one in job.seen for part in (one.name, one.recorded)]
    flags = (*COMPILE_FLAGS, *job.flags.words, *job.flags.forced)
    content, needed = _adapted(job)
    flags += needed
    parts: tuple[str | bytes, ...] = (include.digest, job.shown, content, *searched, *job.reach.parts())
    return store.digest("object", zig.identity(), str(len(flags)), *flags, *parts)


def _cached(job: Job, include: Include) -> bool:
    """Fill in the job's result and warnings from the cache if it holds them."""
    explore_job(job, include)
    key = _key(job, include)
    kept = None if key is None else store.get("object", key)
    if kept is None:
        return False
    size = int.from_bytes(kept[:4], "little")
    job.warnings = kept[4 : 4 + size].decode(errors="surrogateescape")
    job.result = kept[4 + size :]
    return True


def _failure(job: Job, include: Include) -> list[tuple[str, str]]:
    """Compile one source, into the cache if it may be kept; what was said if that failed."""
    for _ in range(TRIES):
        before = _key(job, include)
        try:
            compile_one(job, include)
        except CompileError as error:
            return [(shown(job.given), error.details)]
        job.content = read(job.path)
        explore_job(job, include)
        if _key(job, include) == before:
            break
    else:
        return []  # edited all the time: good for now, and not to be kept
    if before is not None:
        said = job.warnings.encode(errors="surrogateescape")
        store.put("object", before, len(said).to_bytes(4, "little") + said + job.result)
    return []


def _adapted(job: Job) -> tuple[bytes, tuple[str, ...]]:
    """The source as the compiler is to see it, and flags that go with that."""
    return gnuc.adapted(job.content) if job.path.suffix == ".c" else (job.content, ())


def compile_one(job: Job, include: Include, mode: str = "-c") -> None:
    """Compile one source; raises CompileError."""
    from toolchain import limited

    with scratch() as directory:
        view = View(directory, [*job.seen, *include.seen])
        new = directory / "out"
        content, needed = _adapted(job)
        command = ["clang", *COMPILE_FLAGS, *job.flags.words, mode, f"{view.path(SOURCE)}/{job.path.name}"]
        command += ["-o", str(new), *view.maps(), *needed]
        if content != job.content:
            command += view.instead(job.path.name, content)
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
                (zig.zig_path().parent, job.within, *(one.path for one in include.seen)), directory
            )
        status, said = zig.run(command, confined=confined)
        said = view.tell(said, job.path.name)
        if status:
            raise CompileError("", told(said, [*job.seen, *include.seen]))
        job.warnings = said
        job.result = new.read_bytes()
        if mode == "-E":
            text = view.tell(job.result.decode(errors="surrogateescape"), job.path.name)
            job.result = told(text, [*job.seen, *include.seen]).encode(errors="surrogateescape")
