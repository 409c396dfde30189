"""Where the toolchain reads and writes: the source tree, the cache, and how a cache entry appears.

Called by every module of toolchain/ and by those of orrery/ that need a file of ours; nothing else in the
project may guess where one lies.  In a source tree, and so in an editable install, all files are below one
directory.  A wheel installs our packages beside those of others, and what else lies at the top of the tree
(user/, labs/, README.md, ...) in toolchain/share, where setup.py puts it.  A cache entry is written under a
temporary name and renamed, so a reader sees all of it or none, and two builders may race.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("emu", "kernel", "orrery", "toolchain")
ROOT = Path(__file__).resolve().parent.parent  # has our packages
SHARE = ROOT / "toolchain" / "share"
TOP = SHARE if SHARE.is_dir() else ROOT  # has the rest of the tree
KERNEL_SOURCES = f"{ROOT / 'kernel'}{os.sep}"  # what the file names of the kernel's code begin with
_PLAIN = re.compile(r"[\w/.+-]+", re.ASCII)  # a path that a compiler's option can hold, whatever it splits at


def tree_file(name: str) -> Path:
    """The file or directory of ours with this name in the source tree, as in "user/lib" or "kernel/asm"."""
    return (ROOT if name.partition("/")[0] in PACKAGES else TOP) / name


def in_tree(filename: str) -> str:
    """The name of a file of ours as from the source tree's root; any other as it is."""
    if filename.startswith(f"{TOP}{os.sep}"):
        return filename[len(str(TOP)) + 1 :]
    name = filename.removeprefix(f"{ROOT}{os.sep}")
    return name if name.partition(os.sep)[0] in PACKAGES else filename


def cache_dir() -> Path:
    """The cache: $XDG_CACHE_HOME/orrery, else ~/.cache/orrery, else a private directory in the temp dir."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    preferred = Path(base) / "orrery"
    if preferred.is_absolute() and _usable(preferred):
        return preferred
    fallback = fallback_dir()
    if not _usable(fallback):
        raise OSError(
            f"no directory for build results: neither {preferred} nor {fallback} can be written; "
            "set XDG_CACHE_HOME to one that can"
        )
    return fallback


def fallback_dir() -> Path:
    """What stands in for the cache where that cannot be written."""
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"orrery-{os.getuid()}"


def _usable(directory: Path) -> bool:
    """Whether `directory` exists or can be made, is ours, and can be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Results are linked into programs: a directory that somebody else made is not to be trusted.
        return directory.stat().st_uid == os.getuid() and os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def write_atomic(path: Path, data: bytes) -> None:
    """Make `path` hold `data`: readers see the old content or the new, never a part."""
    from tempfile import mkstemp

    path.parent.mkdir(parents=True, exist_ok=True)
    fd, new = mkstemp(dir=path.parent, prefix=".new-")
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def link_atomic(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target`, if it is not."""
    with suppress(OSError):
        if os.readlink(path) == target:
            return
    new = path.with_name(f".new-{os.getpid()}-{path.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    os.replace(new, path)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory of one's own, gone afterwards; its name is plain, wherever the user's files are."""
    from tempfile import TemporaryDirectory

    wanted = os.environ.get("TMPDIR") or "/tmp"
    for parent in (wanted, "/tmp", "/var/tmp", wanted):
        if _PLAIN.fullmatch(parent) and os.access(parent, os.W_OK | os.X_OK):
            break
    with TemporaryDirectory(dir=parent, prefix="orrery-") as name:
        yield Path(name)


def find_zig() -> Path | None:
    """The executable of the installed ziglang wheel, or None; the wheel itself is not imported."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        return None
    zig = Path(spec.origin).parent / "zig"
    return zig if zig.exists() else None


def holds(path: Path, content: bytes) -> bool:
    """Whether there is a file with just this content."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False
