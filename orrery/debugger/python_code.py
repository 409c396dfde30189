"""Locations in the kernel's Python: functions by name, and the lines that have code.

The sources are compiled, not imported, so what is read here is what a machine's process runs.

    CopyOnWrite.copy       a method; copy alone is every function of that name; cow.copy, that file's
    uvmcopy                xv6's name, where ours has nothing in common with it
    cow.py:copy            the function in that file
    mm/pagetable.py:251    a line, or the next one that has code; pagetable.py:251 is enough
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple

from toolchain.paths import KERNEL_SOURCES, in_tree

PY_LINE: Final = re.compile(r"(?P<file>[^:\s]+\.py):(?P<line>\d+)$")
XV6: Final = {
    "uvmcopy": "CopyOnWrite.copy", "uvmalloc": "VirtualMemory.grow", "mappages": "VirtualMemory.map_range",
    "uvmunmap": "VirtualMemory.unmap", "uvmfree": "VirtualMemory.free_user",
}  # fmt: skip


class PythonFunction(NamedTuple):
    """A function of the kernel, where its body begins, its lines that have code, and that of its `def`."""

    name: str
    file: str
    body: int
    lines: tuple[int, ...]
    first: int


@cache
def functions() -> tuple[PythonFunction, ...]:
    """All of them, methods and inner ones too, by file and line."""
    return tuple(one for path in sorted(Path(KERNEL_SOURCES).rglob("*.py")) for one in _in_file(path))


def named(name: str) -> list[PythonFunction]:
    """Those that a user may mean."""
    name = XV6.get(name, name)
    file, _, rest = name.rpartition(":")
    if file:
        return [one for one in named(rest) if f"/{one.file}".endswith(f"/{file}")]
    found = [one for one in functions() if one.name == name or one.name.endswith(f".{name}")]
    module, _, rest = name.partition(".")
    return found or [
        one
        for one in functions()
        if Path(one.file).stem == module and rest and (one.name == rest or one.name.endswith(f".{rest}"))
    ]


def at_line(file: str, line: int) -> PythonFunction | None:
    """The function with this line, or with the next one that has code; its body is that line."""
    candidates = [
        (min(later), one)
        for one in functions()
        if f"/{one.file}".endswith(f"/{file}") and (later := [at for at in one.lines if at >= line])
    ]
    if not candidates:
        return None
    nearest = min(at for at, _ in candidates)
    # Of functions within each other the innermost has fewest lines.
    function = min((one for at, one in candidates if at == nearest), key=lambda one: len(one.lines))
    return function._replace(body=nearest)


def _in_file(path: Path) -> Iterator[PythonFunction]:
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    for one in _codes(code):
        lines = tuple(sorted({line for _, _, line in one.co_lines() if line}))
        body = [line for line in lines if line > one.co_firstlineno] or list(lines)
        if body:
            yield PythonFunction(
                one.co_qualname, in_tree(one.co_filename), _first(one, body), tuple(body), one.co_firstlineno
            )


def _first(code: CodeType, body: list[int]) -> int:
    """The line that runs first: the one of a decorated function is not its lowest."""
    return next((line for _, _, line in code.co_lines() if line in body), body[0])


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The functions in a piece of code; a class body and a comprehension are none."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if one.co_flags & 0x2 and not one.co_name.startswith("<"):  # CO_NEWLOCALS
                yield one
            yield from _codes(one)
