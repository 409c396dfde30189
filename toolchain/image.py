"""The two things a machine boots from, as the source tree makes them: the kernel's ELF and the default image.

Called by orrery/ at every start, so the way to a result that exists is short: the time stamps of all
inputs are compared with those of the last build, and only where one differs is anything hashed or
compiled.  Results are kept by content; a listing of time stamps points to one.  What only a build needs
is imported there, so that a start does not pay for it.
"""

import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from toolchain import paths, store

_USER = paths.tree_file("user")
_COMMON = (_USER, paths.tree_file("kernel/abi"), paths.tree_file("toolchain"))
_ASM = paths.tree_file("kernel/asm")
_DISK = paths.tree_file("user/disk")
_SIZE = struct.Struct("<Q")
_KEY = re.compile("[0-9a-f]{64}")
_KEPT = 8  # results of each kind that stay in the cache
_PARTS = ("object", "elf", "include")  # what cc.py keeps of the way there
_AGE_S_MAX = 30 * 24 * 3600  # seconds that such a part stays


def default_image(layout: str | None = None) -> bytes | bytearray:
    """The image of a boot without --drive: the programs of user/bin and user/tests, and
    the files of user/disk as they are.

    In another layout than stock's it is made anew each time: it is large, and empty for the most part.
    """
    image = _full(_built("image", _COMMON, _make_image))
    return image if layout in (None, "stock") else rebuilt(image, {}, layout)


def _full(trimmed: bytes) -> bytearray:
    """An image from what is kept of it: its size, and its bytes up to the last that is not 0."""
    image = bytearray(_SIZE.unpack_from(trimmed)[0])
    image[: len(trimmed) - _SIZE.size] = memoryview(trimmed)[_SIZE.size :]
    return image


def rebuilt(image: bytes | bytearray, more: Mapping[str, bytes], layout: str = "stock") -> bytearray:
    """An image with the files of the root directory of `image` and `more`, which come instead of those."""
    from toolchain import mkfs

    return mkfs.build({**_files(image), **more}, layout=layout)


def larger(more: Mapping[str, bytes], size: int | None, layout: str) -> bytearray:
    """The default image with `more` on it and room for a person's own files; of `size` blocks, if given."""
    from toolchain import mkfs

    if size is None and layout == "stock":
        size = mkfs.KEPT_SIZE
    files = {**_files(default_image()), **more}
    inodes = min(mkfs.KEPT_NINODES, max(64, (size or mkfs.LAB_SIZE) // 8))  # a small disk has fewer
    return mkfs.build(files, size, inodes, layout)


def _files(image: bytes | bytearray) -> dict[str, bytes]:
    from toolchain import fsimage

    fs = fsimage.FsImage(image)
    return {entry.path[1:]: fs.read(entry.path) for entry in fs.walk() if entry.path != "/"}


def kernel_elf() -> bytes:
    """The kernel's assembly, linked: an ELF with DWARF and CFI."""
    return _built("kernel", [*_COMMON, _ASM], _make_kernel)


def kernel_elf_with_lines(gates: Mapping[str, tuple[str, Path, int]]) -> bytes:
    """The kernel's ELF for debuggers: the same code, but these gates are at functions and lines of Python."""
    from tempfile import TemporaryDirectory

    from toolchain import cc

    name = "gates.S"
    shown = f"./kernel/asm/{name}"
    lines = [f'#line 1 "{shown}"']
    for number, line in enumerate((_ASM / name).read_text().splitlines(), 1):
        words = line.split()
        if words[:1] == ["gate"] and words[1] in gates:
            function, path, at = gates[words[1]]
            file = paths.in_tree(str(path))
            lines += [f'#line {at} "{file}"', f"gate {words[1]}, {function}", f'#line {number + 1} "{shown}"']
        else:
            lines.append(line)
    with TemporaryDirectory(prefix="orrery-") as directory:
        (Path(directory) / name).write_text("\n".join(lines) + "\n")
        for header in _ASM.glob("*.h"):
            (Path(directory) / header.name).write_bytes(header.read_bytes())
        sources = sorted(_ASM.glob("*.S"))
        changed = [Path(directory) / name if source.name == name else source for source in sources]
        return cc.link_freestanding(changed, _ASM / "kernel.ld")


def trampoline_elf() -> bytes:
    """The trampoline at the address where it runs, for debuggers."""
    from toolchain import cc

    return cc.link_freestanding([_ASM / "trampoline.S"], _ASM / "trampoline.ld")


def programs() -> dict[str, list[Path]]:
    """Name and sources of every program in the default image: a file, or a directory with several."""
    found: dict[str, list[Path]] = {}
    for path in sorted([*(_USER / "bin").iterdir(), *(_USER / "tests").iterdir()], key=lambda one: one.stem):
        sources = sorted(path.iterdir()) if path.is_dir() else [path]
        sources = [source for source in sources if source.suffix in (".c", ".S")]
        if sources:
            assert path.stem not in found, f"user/ has two programs named {path.stem}"
            found[path.stem] = sources
    return found


def _make_image() -> bytes:
    from toolchain import cc, mkfs, progress

    sources = programs()
    cc.prepare([source for several in sources.values() for source in several])
    files: dict[str, bytes] = {}
    with progress.line() as show:
        for number, (name, several) in enumerate(sources.items(), 1):
            show(f"linking the disk's programs, this once: {number} of {len(sources)}, {name}")
            files[name] = cc.compile_user(several, debug=False)
    files |= {path.name: path.read_bytes() for path in sorted(_DISK.iterdir())}
    image = mkfs.build(files)
    return _SIZE.pack(len(image)) + image.rstrip(b"\0")


def _make_kernel() -> bytes:
    from toolchain import cc

    return cc.assemble_kernel(_ASM)


def _built(kind: str, inputs: Sequence[Path], make: Callable[[], bytes]) -> bytes:
    """The last result of `kind` if no input changed since, else a new one."""
    directory = paths.cache_dir() / kind
    stamps = "\n".join(_stamps(inputs))
    # One listing for each source tree; the path is turned into one file name.
    listing = directory / (str(paths.ROOT).replace(os.sep, "%") + ".stamps")
    try:
        key, _, seen = listing.read_text(errors="surrogateescape").partition("\n")
    except OSError:
        key = seen = ""
    known = store.get(kind, key) if seen == stamps and _KEY.fullmatch(key) else None
    if known is not None:
        return known
    result = make()
    key = store.digest(result)
    store.put(kind, key, result)
    with suppress(OSError):  # a cache that is full or read-only
        paths.write_atomic(listing, f"{key}\n{stamps}".encode(errors="surrogateescape"))
        _prune(directory)
    return result


def _stamps(inputs: Sequence[Path]) -> Iterator[str]:
    """A line for each input file, and the compiler: name, time of change, size."""
    compiler = paths.find_zig()
    for path in [*inputs, *([compiler] if compiler else [])]:
        if path.is_dir():
            yield from _directory_stamps(str(path))
        elif path.exists():
            yield _stamp(str(path), path.stat())


def _directory_stamps(directory: str) -> Iterator[str]:
    with os.scandir(directory) as scan:
        for entry in sorted(scan, key=lambda one: one.name):
            if entry.name.startswith((".", "__")):
                continue  # __pycache__ and editors' files; a package's __init__.py says nothing
            if entry.is_dir():
                yield from _directory_stamps(entry.path)
            else:
                yield _stamp(entry.path, entry.stat())


def _stamp(path: str, stat: os.stat_result) -> str:
    """A file's, which changes with its content: the time of change itself cannot be set back."""
    return f"{path} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {stat.st_size}"


def _prune(directory: Path) -> None:
    """Remove what the cache need not keep: all but the newest results, and parts that are a month old.

    A process that still wants something makes it again.
    """
    import shutil
    import time

    results = [path for path in directory.iterdir() if path.suffix != ".stamps" and path.name[0] != "."]
    surplus = sorted(results, key=_written_s)[:-_KEPT]
    oldest_s = time.time() - _AGE_S_MAX
    parts = [path for kind in _PARTS for path in (directory.parent / kind).glob("*")]
    outdated = [path for path in parts if _written_s(path) < oldest_s]
    for path in {*surplus, *outdated}:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _written_s(path: Path) -> float:
    """When `path` was written; for ever new where another builder has just removed it."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")
