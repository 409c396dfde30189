"""The include path of programs: the generated headers, user/include, and the compiler's own headers.

Called by cc.py, which hands it to objects.py for each source.  The generated headers (headers.py) are written
beside the cache before anything is compiled; the directory is named after what they hold, so it never
changes, and a link leads to those of now.  The digest stands for every header there, in the key of each
object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import headers, store, zig
from toolchain.paths import cache_dir, fallback_dir, holds, link_atomic, tree_file, write_atomic
from toolchain.view import Seen

USER_INCLUDE = tree_file("user/include")
CURRENT = "current"  # a link to the generated headers of now


@dataclass(frozen=True, slots=True)
class Include:
    """The tree's include path: directories in search order, a digest of every header there, and their
    text.
    """

    seen: tuple[Seen, ...]
    options: tuple[str, ...]  # -I and the like, of names in the view
    digest: str
    text: bytes


def include_path() -> Include:
    """Write the generated headers where they are not yet, and digest them with user/include's."""
    generated = headers.generate()
    key = store.digest(*(text for item in sorted(generated.items()) for text in item))
    top = _generated(generated, key)
    static = sorted(path for path in USER_INCLUDE.rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in static]
    names = [str(path.relative_to(USER_INCLUDE)) for path in static]
    compiler = zig.zig_path().parent / "lib" / "include"  # stdarg.h, stdint.h and the like
    seen = (
        Seen("generated", top, "include/", "include/"),
        Seen("tree", USER_INCLUDE, "user/include/", f"{USER_INCLUDE}/"),
        Seen("compiler", compiler, "include/", f"{compiler}/"),
    )
    # The short forms of the names, as in #include "user.h"
    directories = [f"{base}/{part}" for part in ("", "kernel", "user") for base in ("generated", "tree")]
    directories.sort(key=lambda one: not one.endswith("/"))
    options = [word for one in directories for word in ("-I", one.rstrip("/"))]
    return Include(
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
                if not holds(top / name, text.encode()):
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
    return include_path().seen[0].path / name if directory == "include" else tree_file(shown)
