"""Location expressions as a user types them, and the addresses that they stand for in one program.

    push            behind the prologue of a function; where it was inlined, each place
    list.c:12       line 12, or the next one that has code; 12 alone: of the current file
    list.c:push     the function of this file
    *0x1234         an address, by any expression

A file's name may be quoted, as "my list.c":12 or "my list.c:12"; it need not be where it has no blanks.
"""

import re
from collections.abc import Iterator
from typing import Final

from orrery.debugger.errors import Unavailable
from orrery.inspect.code_unit import Function
from orrery.inspect.dwarf import INLINED, DebugInfo, Line

ASSEMBLY: Final = (".S", ".s")  # has no prologues
FILE_LINE: Final = re.compile(r"(?:(?P<file>[^:]+):)?(?P<line>\d+)$")
FILE_FUNCTION: Final = re.compile(r"(?P<file>[^:]+\.\w+):(?P<function>[^\W\d]\w*)$")
QUOTED: Final = re.compile(r"""(["'])(?P<name>.*?)\1\s*(?::\s*(?P<rest>.*))?$""")
APART: Final = re.compile(r"(?P<file>[^:]*\S)\s*:\s*(?P<rest>[^:]*)$")


def plain(text: str) -> str:
    """A location without quotes, and without blanks around its colon."""
    text = text.strip()
    if (quoted := QUOTED.match(text)) is not None:
        return quoted["name"] if quoted["rest"] is None else f"{quoted['name']}:{quoted['rest'].strip()}"
    apart = APART.match(text) if not text.startswith("*") else None
    return f"{apart['file']}:{apart['rest'].strip()}" if apart is not None else text


class Linespecs:
    """In the program `info`."""

    def __init__(self, info: DebugInfo) -> None:
        self._info: Final = info
        self._lines: dict[str, list[Line]] | None = None  # by the last part of the file's name

    def named(self, name: str) -> list[int]:
        """Where a function begins its work; nowhere if there is none of this name."""
        found = [self.body(one) for one in self._info.functions if one.name == name]
        return found or list(self._inlined(name))

    def in_file(self, file: str, name: str) -> list[int]:
        """The same of a function that is in this file."""
        found = []
        for address in self.named(name):
            places = (one for one in self._info.places(address) if one.function == name)
            found += [address] if any(_is_file(one.file, file) for one in places) else []
        return found

    def function(self, name: str) -> Function | None:
        """The function with this name."""
        return next((one for one in self._info.functions if one.name == name), None)

    def body(self, function: Function) -> int:
        """The address behind the function's prologue, where its arguments can be seen."""
        lines = self._info.lines(function)
        behind = next((one.address for one in lines if one.body), None)
        if behind is not None:
            return behind
        if not lines or lines[0].file.endswith(ASSEMBLY):
            return function.low
        return next((one.address for one in lines[1:] if one.line != lines[0].line), function.low)

    def at_line(self, file: str, line: int) -> tuple[int, list[int]]:
        """The line at or behind `line` that has code, and where, once in each call; raises Unavailable."""
        rows = [row for row in self._by_file().get(_last(file), ()) if _is_file(row.file, file) and row.stmt]
        line_found = min((row.line for row in rows if row.line >= line), default=0) if line else 0
        if not line_found:
            raise Unavailable(
                f'No compiled code for line {line} in file "{file}".'
                if rows
                else f"No source file named {file}."
            )
        addresses: dict[tuple[Function | None, int], int] = {}
        for row in rows:
            if row.line == line_found:
                function = self._info.function(row.address)
                calls = self._info.inlined_calls(row.address)
                call = (function, calls[0].offset if calls else 0)
                if call not in addresses:
                    is_first = function is not None and row.address == function.low
                    addresses[call] = self.body(function) if is_first and function else row.address
        return line_found, list(addresses.values())

    def span(self, file: str, line: int) -> tuple[int, int] | None:
        """The first addresses [begin, end) of a line's code."""
        rows = sorted(self._by_file().get(_last(file), ()), key=lambda row: row.address)
        for i, row in enumerate(rows):
            if row.line == line and _is_file(row.file, file):
                end = next((one.address for one in rows[i:] if one.address > row.address), row.address)
                return row.address, end
        return None

    def has_source(self, file: str) -> bool:
        """Whether the program has code of this file."""
        return any(_is_file(row.file, file) for row in self._by_file().get(_last(file), ()))

    @property
    def files(self) -> list[str]:
        """The sources that the program has code of."""
        return sorted({row.file for rows in self._by_file().values() for row in rows})

    def _by_file(self) -> dict[str, list[Line]]:
        if self._lines is None:
            self._lines = {}
            for function in self._info.functions:
                for row in self._info.lines(function):
                    self._lines.setdefault(_last(row.file), []).append(row)
        return self._lines

    def _inlined(self, name: str) -> Iterator[int]:
        for top in self._info.tops:
            for entry in top.within():
                if entry.tag == INLINED and self._info.known(lambda one=entry: one.name, "") == name:  # type: ignore[misc]
                    low = self._info.low(entry)
                    if low is not None:
                        yield low


def _is_file(known: str, file: str) -> bool:
    """Whether a user may mean a file by this much of its name."""
    return f"/{known}".endswith(f"/{file}")


def _last(file: str) -> str:
    return file.rsplit("/", 1)[-1]
