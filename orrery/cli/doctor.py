"""doctor: what this computer lacks for Orrery, and how to mend it.

Called by `orrery doctor`.  Each check prints one line; the exit status is 0 when all is well, else 1.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

PYTHON_MIN: Final = (3, 11)
MEND_PACKAGES: Final = (
    "run `make boot` in the source tree, or `pip install --require-hashes -r requirements.lock`"
)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: what was looked at, what was found, and the remedy if that is bad.

    Without something `optional` all works but what is named.
    """

    what: str
    found: str
    remedy: str = ""
    optional: bool = False

    def __str__(self) -> str:
        mark = "ok" if not self.remedy else "note" if self.optional else "bad"
        line = f"{mark:<3} {self.what}: {self.found}"
        return f"{line}; {self.remedy}" if self.remedy else line


def main(show: Callable[[str], object] = print) -> int:
    """Make all checks and show them; the exit status."""
    findings = list(check_all())
    for finding in findings:
        show(str(finding))
    bad = sum(1 for finding in findings if finding.remedy and not finding.optional)
    show(f"{bad} to mend" if bad else "all is well")
    return 1 if bad else 0


def check_all() -> Iterator[Finding]:
    """Every finding, in the order in which things are needed."""
    yield _python()
    yield _platform()
    yield from _packages()
    yield _cache()
    yield _compiler()
    yield _engine()
    yield _gdb()


def _python() -> Finding:
    found = platform.python_version()
    wanted = ".".join(map(str, PYTHON_MIN))
    old = sys.version_info < PYTHON_MIN
    return Finding("python", found, f"install Python {wanted} or newer" if old else "")


def _platform() -> Finding:
    found = f"{platform.system()} {platform.machine()}"
    good = platform.system() in ("Linux", "Darwin") and sys.byteorder == "little"
    return Finding("platform", found, "" if good else "use Linux or macOS on a little-endian computer")


def _packages() -> Iterator[Finding]:
    """The packages that are needed at run time, in the versions that this tree was tested with."""
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        needed = requires("orrery") or []
    except PackageNotFoundError:
        yield Finding("package orrery", "not installed", MEND_PACKAGES)
        return
    for requirement in needed:
        if ";" in requirement:  # an extra's: for developing
            continue
        name, _, wanted = requirement.partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(f"package {name}", "missing", MEND_PACKAGES)
            continue
        wrong = bool(wanted) and found != wanted
        yield Finding(f"package {name}", found, f"{wanted} is wanted: {MEND_PACKAGES}" if wrong else "")


def _cache() -> Finding:
    from toolchain.paths import cache_dir

    try:
        return Finding("cache", str(cache_dir()))
    except OSError as error:
        return Finding("cache", str(error), "set XDG_CACHE_HOME to a directory of your own")


def _compiler() -> Finding:
    """Compile something, and not only look for the compiler."""
    from toolchain import cc, image

    try:
        image.kernel_elf()
        return Finding("compiler", cc.zig_version())
    except (cc.CompileError, OSError) as error:
        return Finding("compiler", str(error), MEND_PACKAGES)


def _engine() -> Finding:
    try:
        from orrery.machine.engines import why_not_fast

        reason = why_not_fast()
    except ImportError as error:
        return Finding("fast engine", str(error), MEND_PACKAGES)
    remedy = f"the public one is used, which is slower; for the fast one {MEND_PACKAGES}"
    return Finding("fast engine", reason or "available", remedy if reason else "")


def _gdb() -> Finding:
    """`orrery gdb` alone needs it."""
    from orrery.gdb import client

    gdb = next(client.found(), None)
    if gdb is not None:
        return Finding("gdb", gdb)
    chosen = os.environ.get("GDB")
    found = f"{chosen}, as GDB says, is none that knows RISC-V" if chosen else "none that knows RISC-V"
    remedy = f"for `orrery gdb` {client.REMEDY}; `orrery debug` does without"
    return Finding("gdb", found, "unset GDB, or name another" if chosen else remedy, optional=True)
