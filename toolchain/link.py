"""The link: objects and a linker script become an ELF, kept in the cache under both.

Called by cc.py, for a program with the C library's objects and for the kernel's assembly with none.  A
program gets those of the library's objects that it uses, as from an archive, and its own definition of a name
comes before the library's; a name that the program itself defines twice is an error.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain import store, zig
from toolchain.diagnostics import CompileError, failure
from toolchain.names import shown
from toolchain.paths import scratch, tree_file
from toolchain.sources import OBJECT, Job

USER_LD = tree_file("toolchain/user.ld")
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


def link(program: list[Job], library: list[Job], script: Path, flags: Sequence[str]) -> bytes:
    """Link objects under `script`; the library's objects are taken as from an archive, where needed."""
    try:
        layout = script.read_bytes()
    except OSError as error:
        raise CompileError(f"{script}: {error.strerror}; the source tree is incomplete") from error
    objects = [job.result for job in [*program, *library]]
    key = store.digest("elf", zig.identity(), *flags, layout, str(len(program)), *objects)
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


def _succeed(arguments: list[str], name: str, names: Mapping[str, str] | None = None) -> None:
    """Run zig; raises CompileError, with `names` in place of paths, where it fails."""
    status, said = zig.run(arguments)
    if status:
        for path, given in (names or {}).items():
            said = said.replace(path, given)
        alone = len(names or {}) < 2
        raise failure([(name if alone else "", said)])
