"""The C compiler: the zig executable of the ziglang wheel, which is clang, lld and a driver for this machine.

Called by objects.py and link.py for each run of clang and lld, by hostlib.py, by includes.py for the
compiler's own headers, and by all that make a key of the cache.  It is run under limits (limited.py) with an
environment that is an allow-list, so that nothing decides a result that is not in its key.  What only a real
run needs is imported there: a start that finds everything in the cache pays for none of it.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import store
from toolchain.diagnostics import CompileError
from toolchain.paths import find_zig

if TYPE_CHECKING:
    from toolchain import limited

# All that the compiler sees of the environment: nothing there adds to a key, so nothing there may decide a
# result. (SOURCE_DATE_EPOCH decides only what is not kept, and CPATH and its like are made into options.)
ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH")
# The files that say how the compiler is used: they are in every key.
_USE = ("cc.py", "hostlib.py", "includes.py", "link.py", "objects.py", "sources.py", "view.py", "zig.py")


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
def identity() -> str:
    """What compiler it is, and how it is used, for keys."""
    ours = [Path(__file__).with_name(name).read_bytes() for name in _USE]
    return store.digest(zig_version(), str(zig_path().stat().st_size), *ours)


def run(
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
