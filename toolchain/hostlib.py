"""Shared libraries for this machine, such as the fast engine's hooks, made from one C file, and the headers
beside it, by zig's driver.

Called by orrery/machine/engines.py at each start, so it knows none of what compiles programs, and by tests.
A library lies in the cache twice: as an entry with a checksum, and as the file that a loader wants, which is
made again from the entry where it differs.  zig keeps more in a cache of its own, which may be damaged; so a
build that failed is tried once more without.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from toolchain import store, zig
from toolchain.diagnostics import failure
from toolchain.names import shown
from toolchain.paths import cache_dir, holds, scratch, write_atomic

INCLUDED = re.compile(rb'^\s*#\s*include\s*"([^"\n]+)"', re.MULTILINE)
# baseline: a cache in a shared home is used by machines of several kinds
HOST_FLAGS = ("-shared", "-fPIC", "-O2", "-mcpu=baseline", "-fno-sanitize=undefined")


def host_library(source: Path, flags: Sequence[str] = ()) -> Path:
    """A shared library for this machine; returns its path in the cache.

    It is made from one C file and the headers that this includes in quotes, from its own directory.
    """
    arguments = (*HOST_FLAGS, *flags)
    host = (zig.identity(), os.uname().sysname, os.uname().machine)
    key = store.digest("host", *host, *arguments, source.name, *_contents(source))
    result = cache_dir() / "host" / f"{key}.so"
    known = store.get("host", key)  # a loader wants a file, so there are two
    if known is None or not holds(result, known):
        if known is None:
            known = _host_library(source, arguments)
            store.put("host", key, known)
        write_atomic(result, known)
    return result


def _contents(source: Path) -> list[bytes]:
    """What a library is made from: its source and each header, in the order of inclusion."""
    contents: dict[Path, bytes] = {}
    wanted = [source]
    while wanted:
        path = wanted.pop()
        if path not in contents and path.is_file():
            contents[path] = path.read_bytes()
            wanted += [source.parent / name.decode() for name in reversed(INCLUDED.findall(contents[path]))]
    return list(contents.values())


def _host_library(source: Path, arguments: Sequence[str]) -> bytes:
    """Build it; if that fails, once more without what zig has in its own cache, which may be damaged."""
    with scratch() as directory:
        new, own = directory / "library.so", directory / "zig"
        command = ["cc", *arguments, "-o", str(new), str(source)]
        status, _ = zig.run(
            command, {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(own)}
        )
        if status:
            again = {"ZIG_GLOBAL_CACHE_DIR": str(own), "ZIG_LOCAL_CACHE_DIR": str(own)}
            status, said = zig.run(command, again)
            if status:
                raise failure([(shown(source), said)])
        return new.read_bytes()
