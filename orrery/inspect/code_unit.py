"""A compilation unit of DWARF: its entries, its lines, and which functions are its own.

Used by dwarf.py, which has the units of a file.  What makes no sense raises BadDebugInfo.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

from orrery.inspect.entries import Entry, EntryTree, read
from orrery.inspect.linetable import LineTable, Row

SUBPROGRAM: Final = "DW_TAG_subprogram"


class Function(NamedTuple):
    """The function `name` in [low, high)."""

    low: int
    high: int
    name: str


class CodeUnit:
    """One compilation unit: its entries and its lines."""

    def __init__(self, dwarf: Any, tree: EntryTree) -> None:
        self._dwarf: Final = dwarf
        self.tree: Final = tree
        self.lines: Final = LineTable(dwarf, tree.cu)

    @property
    def is_assembly(self) -> bool:
        return not self._subprograms

    @cached_property
    def _subprograms(self) -> dict[tuple[int, int], Entry]:
        """Those of functions, by each range of addresses that they have."""
        found: dict[tuple[int, int], Entry] = {}
        for one in self.tree.top.children:
            for span in self.ranges(one) if one.tag == SUBPROGRAM else ():
                found.setdefault(span, one)
        return found

    def subprogram(self, function: Function) -> Entry | None:
        """The entry of `function`, if it is in this unit."""
        return self._subprograms.get((function.low, function.high))

    def has_assembly(self, function: Function) -> bool:
        """Whether this is a unit of assembly that has lines of the function."""
        return self.is_assembly and bool(self.lines.rows(function.low, function.high, beyond=True))

    def row(self, function: Function, pc: int) -> Row | None:
        """The row of the line table for `pc`."""
        return self.lines.row(function.low, function.high, pc, beyond=self.is_assembly)

    def rows_within(self, function: Function) -> list[Row]:
        """The rows of a function."""
        return self.lines.within(function.low, function.high, beyond=self.is_assembly)

    def ranges(self, entry: Entry) -> list[tuple[int, int]]:
        """The [low, high) that an entry covers."""
        if "DW_AT_ranges" in entry:
            return list(self._listed_ranges(entry.number("DW_AT_ranges")))
        if "DW_AT_low_pc" not in entry or "DW_AT_high_pc" not in entry:
            return []  # a declaration, or inlined everywhere
        low, high = entry.number("DW_AT_low_pc"), entry.number("DW_AT_high_pc")
        return [(low, high if entry.attributes["DW_AT_high_pc"].form == "DW_FORM_addr" else low + high)]

    def _listed_ranges(self, offset: int) -> Iterator[tuple[int, int]]:
        base = self.tree.top.number("DW_AT_low_pc")
        for entry in read("ranges", lambda: self._ranges_at(offset)):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                start = 0 if entry.is_absolute else base
                yield start + entry.begin_offset, start + entry.end_offset

    def _ranges_at(self, offset: int) -> list[Any]:
        found: list[Any] = self._dwarf.range_lists().get_range_list_at_offset(offset, self.tree.cu)
        return found
