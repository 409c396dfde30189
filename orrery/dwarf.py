"""What an ELF file tells of its code: the function at an address, the C line, and the way to the caller.

Used by stacks.py, and by the built-in debugger, which reads types and variables too.  Functions come from the
symbol table, which has those of assembly sources too; lines, inlined calls and unwinding from DWARF (versions
2 to 5), read by pyelftools when first asked for.

The linker drops functions that nobody uses, but not what DWARF says of them: it moves that to address 0,
where programs of ours have a function of their own.  So an entry counts only if it agrees with the symbol
table on where the function begins and ends.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Final, NamedTuple

SHF_EXECINSTR: Final = 4
STT_CODE: Final = ("STT_FUNC", "STT_NOTYPE")
INLINED: Final = "DW_TAG_inlined_subroutine"
SUBPROGRAM: Final = "DW_TAG_subprogram"
DECLARED_BY: Final = ("DW_AT_abstract_origin", "DW_AT_specification")
RA: Final = 1  # DWARF's numbers of registers are those of the hart
S0: Final = 8


class Function(NamedTuple):
    """The function `name` in [low, high)."""

    low: int
    high: int
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a source: `file` as the compiler was told, relative to the source tree for what is in it.

    `inlined`: the code is in the caller's; `line` is 0 where it is not known.
    """

    function: str
    file: str
    line: int
    inlined: bool = False

    @property
    def where(self) -> str:
        """The file with its line, as the compiler's messages have them."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class FrameRule:
    """How to get from a function to its caller: the caller's sp is register `base` + `offset`.

    `saved` gives for ra, s0 and others where they are kept, in bytes from the caller's sp; one that is not in
    there is still in its register.  `outermost`: there is no caller.
    """

    base: int
    offset: int
    saved: dict[int, int]
    outermost: bool = False


class Line(NamedTuple):
    """From `address` on, the code is that of a line of `file`; `body`: behind the function's prologue.

    `stmt`: a statement begins here, and it is not some part of it.
    """

    address: int
    file: str
    line: int
    body: bool
    stmt: bool


class _Row(NamedTuple):
    """From `address` on, the code is that of a line; `body`: here a prologue has ended; `stmt` as in Line."""

    address: int
    file: int
    line: int
    body: bool
    stmt: bool


class DebugInfo:
    """What the ELF file `elf` tells; nothing where it has no symbols or no DWARF.

    Raises ValueError if it is no ELF file.
    """

    def __init__(self, elf: bytes) -> None:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile

        try:
            self._elf: Final = ELFFile(BytesIO(elf))
        except ELFError as error:
            raise ValueError(f"not an ELF file: {error}") from error

    @property
    def has_lines(self) -> bool:
        """Whether lines of sources are known at all."""
        return self._elf.get_section_by_name(".debug_line") is not None

    @property
    def code(self) -> list[tuple[int, bytes]]:
        """(address, content) of all code, to tell the program from another one of its name."""
        return [(section["sh_addr"], section.data()) for _, section in self._code_sections]

    def function(self, pc: int) -> Function | None:
        """The function that has the instruction at `pc`."""
        at = bisect_right(self._functions, pc, key=lambda one: one.low) - 1
        found = self._functions[at] if at >= 0 else None
        return found if found is not None and pc < found.high else None

    def places(self, pc: int) -> tuple[Place, ...]:
        """The line of the instruction at `pc`; before it, innermost first, the calls inlined there.

        So the last is in `function(pc)`. Empty where no line is known.
        """
        function = self.function(pc)
        unit = self._unit(function) if function is not None else None
        if function is None or unit is None:
            return ()
        row = unit.row(function, pc)
        if row is None:
            return ()
        places = []
        file, line = row.file, row.line
        for call in unit.inlined_calls(function, pc):
            places.append(Place(_name(call), unit.file(file), line, inlined=True))
            file, line = call.attributes["DW_AT_call_file"].value, call.attributes["DW_AT_call_line"].value
        return (*places, Place(function.name, unit.file(file), line))

    # --- for who asks for more than lines (orrery/debugger) ---

    @property
    def functions(self) -> list[Function]:
        """All functions, by address."""
        return self._functions

    def lines(self, function: Function) -> list[Line]:
        """Where the code of lines begins in `function`, by address."""
        unit = self._unit(function)
        if unit is None:
            return []
        found: list[Line] = []
        for row in unit.rows(function):
            if function.low <= row.address < function.high and row.line:
                line = Line(row.address, unit.file(row.file), row.line, row.body, row.stmt)
                goes_on = (
                    found and not line.stmt and (line.file, line.line) == (found[-1].file, found[-1].line)
                )
                found += [line] if not goes_on else []
        return found

    def entry(self, function: Function) -> Any | None:
        """The DWARF entry of `function`."""
        unit = self._unit(function)
        return unit.subprogram(function) if unit is not None else None

    def covers(self, die: Any, pc: int) -> bool:
        """Whether the code of the entry `die` is at `pc`."""
        return any(low <= pc < high for low, high in self._ranges(die))

    def low(self, die: Any) -> int | None:
        """The first address of the code of the entry `die`; None if it has none."""
        return min((low for low, _ in self._ranges(die)), default=None)

    def _ranges(self, die: Any) -> list[tuple[int, int]]:
        unit = next(unit for unit in self._units if unit.offset == die.cu.cu_offset)
        return unit.ranges(die)

    @property
    def dwarf(self) -> Any:
        """All of it, as pyelftools has it."""
        return self._dwarf

    @cached_property
    def tops(self) -> list[Any]:
        """The entries of the compilation units."""
        return [unit.top for unit in self._units]

    @cached_property
    def objects(self) -> dict[str, tuple[int, int]]:
        """Address and size of each variable that has a symbol."""
        table: Any = self._elf.get_section_by_name(".symtab")
        symbols = table.iter_symbols() if table is not None else ()
        found = (one for one in symbols if one["st_info"]["type"] == "STT_OBJECT")
        return {one.name: (one["st_value"], one["st_size"]) for one in found}

    def frame_rule(self, pc: int) -> FrameRule | None:
        """How the function at `pc` is left from there, or None where the compiler did not say."""
        for entry in self._frame_entries:
            low = entry["initial_location"]
            if not low <= pc < low + entry["address_range"]:
                continue
            rows = [row for row in entry.get_decoded().table if row["pc"] <= pc]
            if not rows:
                return None
            cfa = rows[-1]["cfa"]
            if cfa.reg is None:
                return None  # a DWARF expression; no compiler uses one for C
            rules = {register: rule for register, rule in rows[-1].items() if isinstance(register, int)}
            saved = {register: rule.arg for register, rule in rules.items() if rule.type == "OFFSET"}
            return FrameRule(cfa.reg, cfa.offset, saved, RA in rules and rules[RA].type == "UNDEFINED")
        return None

    # --- what is in the file ---

    @property
    def _code_sections(self) -> list[tuple[int, Any]]:
        sections = enumerate(self._elf.iter_sections())
        return [(index, section) for index, section in sections if section["sh_flags"] & SHF_EXECINSTR]

    @cached_property
    def _functions(self) -> list[Function]:
        """By address. A symbol without a size, of assembly, reaches to the next one."""
        table: Any = self._elf.get_section_by_name(".symtab")
        if table is None:
            return []
        ends = {index: s["sh_addr"] + s["sh_size"] for index, s in self._code_sections}
        symbols = sorted(
            (s["st_value"], s.name, s["st_size"], ends[s["st_shndx"]])
            for s in table.iter_symbols()
            if s["st_info"]["type"] in STT_CODE and s["st_shndx"] in ends and _is_function(s.name)
        )
        functions = []
        for i, (low, name, size, end) in enumerate(symbols):
            following = symbols[i + 1][0] if i + 1 < len(symbols) else end
            functions.append(Function(low, low + size if size else min(following, end), name))
        return functions

    @cached_property
    def _dwarf(self) -> Any:
        return self._elf.get_dwarf_info(relocate_dwarf_sections=False)

    @cached_property
    def _units(self) -> "list[_Unit]":
        return [_Unit(self._dwarf, unit) for unit in self._dwarf.iter_CUs()] if self.has_lines else []

    @cached_property
    def _frame_entries(self) -> list[Any]:
        """Frame descriptions, of .debug_frame or .eh_frame; those that the linker dropped are empty."""
        if self._elf.get_section_by_name(".debug_frame") is not None:
            entries = self._dwarf.CFI_entries()
        elif self._elf.get_section_by_name(".eh_frame") is not None:
            entries = self._dwarf.EH_CFI_entries()
        else:
            return []
        return [entry for entry in entries if "initial_location" in getattr(entry, "header", {})]

    def _unit(self, function: Function) -> "_Unit | None":
        """The compilation unit with `function`: one of C says so, one of assembly has a line for it."""
        for unit in self._units:
            if unit.subprogram(function) is not None:
                return unit
        return next((unit for unit in self._units if unit.is_assembly and unit.rows(function)), None)


class _Unit:
    """One compilation unit."""

    def __init__(self, dwarf: Any, unit: Any) -> None:
        self._dwarf: Final = dwarf
        self._unit: Final = unit

    @property
    def top(self) -> Any:
        """Its entry."""
        return self._unit.get_top_DIE()

    @property
    def offset(self) -> int:
        """Its place in .debug_info, by which entries name it."""
        offset: int = self._unit.cu_offset
        return offset

    @cached_property
    def is_assembly(self) -> bool:
        return not self._subprograms

    @cached_property
    def _subprograms(self) -> list[Any]:
        return [die for die in self._unit.get_top_DIE().iter_children() if die.tag == SUBPROGRAM]

    def subprogram(self, function: Function) -> Any | None:
        """The entry of `function`, if it is in this unit."""
        for die in self._subprograms:
            if (function.low, function.high) in self.ranges(die):
                return die
        return None

    def inlined_calls(self, function: Function, pc: int) -> list[Any]:
        """The inlined calls in `function` that `pc` is in, innermost first."""
        calls = []
        scope = self.subprogram(function)
        while scope is not None:
            inner = (die for die in scope.iter_children() if die.tag in (INLINED, "DW_TAG_lexical_block"))
            covers = (die for die in inner if any(low <= pc < high for low, high in self.ranges(die)))
            scope = next(covers, None)
            if scope is not None and scope.tag == INLINED:
                calls.append(scope)
        return calls[::-1]

    def row(self, function: Function, pc: int) -> _Row | None:
        """The row of the line table for `pc`."""
        rows = self.rows(function)
        at = bisect_right(rows, pc, key=lambda one: one.address) - 1
        return rows[at] if at >= 0 else None

    def rows(self, function: Function) -> list[_Row]:
        """The part of the line table for `function`: a sequence of its own, or within a larger one."""
        spans = [
            span
            for span in self._sequences
            if span[0] <= function.low < span[1] and (function.high <= span[1] or self.is_assembly)
        ]  # a symbol of assembly reaches to the section's end, which may lie behind the last line
        if not spans:
            return []
        return min(spans, key=lambda span: span[1] - span[0])[2]

    @cached_property
    def _program(self) -> Any:
        return self._dwarf.line_program_for_CU(self._unit)

    @cached_property
    def _sequences(self) -> list[tuple[int, int, list[_Row]]]:
        """(low, high, rows) of each run of ascending addresses in the line table."""
        sequences = []
        rows: list[_Row] = []
        for entry in self._program.get_entries() if self._program is not None else ():
            state = entry.state
            if state is None:
                continue
            if not state.end_sequence:
                rows.append(_Row(state.address, state.file, state.line, state.prologue_end, state.is_stmt))
            elif rows:
                sequences.append((rows[0].address, state.address, rows))
                rows = []
        return sequences

    def file(self, number: int) -> str:
        """The path of the file with this number in the line table; directory 0 is the compiler's own."""
        header = self._program.header
        first = 0 if header.version >= 5 else 1
        if not first <= number < len(header.file_entry) + first:
            return "?"
        entry = header.file_entry[number - first]
        directory = b""
        if entry.dir_index:
            directory = header.include_directory[entry.dir_index - first]
        return os.path.normpath(os.fsdecode(os.path.join(directory, entry.name)))

    def ranges(self, die: Any) -> list[tuple[int, int]]:
        """The [low, high) that the entry `die` covers."""
        attributes = die.attributes
        if "DW_AT_ranges" in attributes:
            return list(self._listed_ranges(attributes["DW_AT_ranges"].value))
        if "DW_AT_low_pc" not in attributes or "DW_AT_high_pc" not in attributes:
            return []  # a declaration, or inlined everywhere
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        return [(low, high.value if high.form == "DW_FORM_addr" else low + high.value)]

    def _listed_ranges(self, offset: int) -> Iterator[tuple[int, int]]:
        top = self._unit.get_top_DIE().attributes
        base = top["DW_AT_low_pc"].value if "DW_AT_low_pc" in top else 0
        for entry in self._dwarf.range_lists().get_range_list_at_offset(offset, self._unit):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                start = 0 if entry.is_absolute else base
                yield start + entry.begin_offset, start + entry.end_offset


def _is_function(name: str) -> bool:
    """Whether a symbol names code and not a place in it: `$x` and `.L...` are the tools' own."""
    return bool(name) and not name.startswith(("$", ".L"))


def _name(die: Any) -> str:
    """The name of an inlined call's function, which stands where it was declared or first defined."""
    while "DW_AT_name" not in die.attributes:
        references = [name for name in DECLARED_BY if name in die.attributes]
        if not references:
            return "?"
        die = die.get_DIE_from_attribute(references[0])
    return os.fsdecode(die.attributes["DW_AT_name"].value)
