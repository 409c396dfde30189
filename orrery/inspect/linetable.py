"""Line tables: which line of which source the code at an address comes from, of one compilation unit.

Read for dwarf.py from a file that nobody vouches for, by pyelftools.  What makes no sense is BadDebugInfo.
"""

import os
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Any, Final, NamedTuple

from orrery.inspect.entries import BadDebugInfo, read

FILES_FORMAT_VERSION: Final = 5  # from here on the header says how files are written
WIDE: Final = b"\xff" * 4  # so begins a table whose lengths have 8 bytes, and not 4
SIZES_BYTES: Final = 2  # of an address and of a segment; before them is the version, behind them a length
NUMBERS_BYTES: Final = 6  # then these, of which the last says how many operations there are
EMPTY_FORMS: Final = ("DW_FORM_flag_present", "DW_FORM_implicit_const")


class Row(NamedTuple):
    """From `address` on, the code is that of a line; `body`: here a prologue has ended.

    `stmt`: a statement begins here, and it is not some part of it.
    """

    address: int
    file: int
    line: int
    body: bool
    stmt: bool


class Sequence(NamedTuple):
    """A run of ascending addresses [low, high)."""

    low: int
    high: int
    rows: list[Row]


class LineTable:
    """That of the unit `cu` of `dwarf`, both pyelftools'."""

    def __init__(self, dwarf: Any, cu: Any) -> None:
        self._dwarf: Final = dwarf
        self._cu: Final = cu
        self._sequences: list[Sequence] | BadDebugInfo | None = None

    def rows(self, low: int, high: int, *, beyond: bool) -> list[Row]:
        """The part of the table for a function: a sequence of its own, or within a larger one.

        `beyond`: it may reach to behind the last line, as a symbol of assembly does to its section's end.
        """
        spans = [one for one in self.sequences if one.low <= low < one.high and (high <= one.high or beyond)]
        return min(spans, key=lambda one: one.high - one.low).rows if spans else []

    def row(self, low: int, high: int, pc: int, *, beyond: bool) -> Row | None:
        """The row of such a function for `pc`."""
        rows = self.rows(low, high, beyond=beyond)
        at = bisect_right(rows, pc, key=lambda one: one.address) - 1
        return rows[at] if at >= 0 else None

    def within(self, low: int, high: int, *, beyond: bool) -> list[Row]:
        """The rows of such a function that begin in it."""
        rows = self.rows(low, high, beyond=beyond)
        first = bisect_left(rows, low, key=lambda one: one.address)
        return rows[first : bisect_left(rows, high, key=lambda one: one.address)]

    @property
    def sequences(self) -> list[Sequence]:
        """All of it; raises BadDebugInfo."""
        if self._sequences is None:
            try:
                self._sequences = self._decoded()
            except BadDebugInfo as error:
                self._sequences = error
        if isinstance(self._sequences, BadDebugInfo):
            raise self._sequences
        return self._sequences

    def _decoded(self) -> list[Sequence]:
        found: list[Sequence] = []
        rows: list[Row] = []
        program = self._program
        for entry in read("the line table", program.get_entries) if program is not None else ():
            state = entry.state
            if state is None:
                continue
            if not state.end_sequence:
                row = Row(state.address, state.file, state.line, state.prologue_end, bool(state.is_stmt))
                rows.append(row)
            elif rows:
                rows.sort(key=lambda one: one.address)
                found.append(Sequence(rows[0].address, state.address, rows))
                rows = []
        return found

    @cached_property
    def _program(self) -> Any:
        _check_header(self._dwarf, self._cu)
        return read("the line table", lambda: self._dwarf.line_program_for_CU(self._cu))

    def file(self, number: int) -> str:
        """The path of the file with this number; directory 0 is the compiler's own. "?" if there is none."""
        header = self._program.header
        first = 0 if header.version >= FILES_FORMAT_VERSION else 1
        if not first <= number < len(header.file_entry) + first:
            return "?"
        return read(
            "the files of the line table", lambda: _path(header, header.file_entry[number - first], first)
        )


def _path(header: Any, entry: Any, first: int) -> str:
    directory = header.include_directory[entry.dir_index - first] if entry.dir_index else b""
    return os.path.normpath(os.fsdecode(os.path.join(directory, entry.name)))


def _check_header(dwarf: Any, cu: Any) -> None:
    """That the lists of folders and files in the header are no longer than the section.

    Each says how many there are and how one is written; where that is by nothing at all, pyelftools would
    make as many as a number of 64 bits says.  Raises BadDebugInfo.
    """
    attribute = cu.get_top_DIE().attributes.get("DW_AT_stmt_list")
    section = dwarf.debug_line_sec
    if attribute is None or section is None or not isinstance(attribute.value, int):
        return
    read("the header of the line table", lambda: _walk_header(section.stream, attribute.value, cu.structs))


def _walk_header(stream: Any, at: int, structs: Any) -> None:
    stream.seek(at)
    length_bytes = 8 if stream.read(len(WIDE)) == WIDE else 4
    stream.seek(at + (len(WIDE) + 8 if length_bytes == 8 else 4))
    if int.from_bytes(stream.read(2), "little") < FILES_FORMAT_VERSION:
        return
    stream.seek(SIZES_BYTES + length_bytes, os.SEEK_CUR)
    operations = stream.read(NUMBERS_BYTES)[NUMBERS_BYTES - 1]
    stream.seek(max(operations - 1, 0), os.SEEK_CUR)  # each that is numbered from 1 on has a length
    size = len(stream.getbuffer())
    for _ in range(2):
        forms = _forms(stream, structs)
        count = structs.the_Dwarf_uleb128.parse_stream(stream)
        if count > size or (count and all(form in EMPTY_FORMS for form in forms)):
            raise BadDebugInfo(f"{count} files that take no byte")
        for _ in range(count):
            for form in forms:
                structs.Dwarf_dw_form[form].parse_stream(stream)


def _forms(stream: Any, structs: Any) -> list[str]:
    """How a folder or file is written."""
    from elftools.dwarf.enums import DW_FORM_raw2name

    number = structs.the_Dwarf_uleb128.parse_stream
    pairs = [(number(stream), number(stream)) for _ in range(stream.read(1)[0])]
    return [DW_FORM_raw2name[form] for _, form in pairs]
