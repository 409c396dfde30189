"""What an ELF file tells of its code: the function at an address, the C line, and the way to the caller.

Used by stacks.py, and by the built-in debugger, which reads types and variables too.  Functions come from the
symbol table, which has those of assembly sources too; lines, inlined calls and unwinding from DWARF (versions
2 to 5), read when first asked for (objectfile.py, entries.py, linetable.py).

The linker drops functions that nobody uses, but not what DWARF says of them: it moves that to address 0,
where programs of ours have a function of their own.  So an entry counts only if it agrees with the symbol
table on where the function begins and ends.

Nobody vouches for such a file.  What of it makes no sense is not known, as if it were not there, and
`trouble` tells of the first thing of that kind: nothing here raises for it.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from orrery.inspect.code_unit import CodeUnit, Function
from orrery.inspect.entries import BadDebugInfo, Entry, EntryTree, read
from orrery.inspect.objectfile import ObjectFile, Symbol
from toolchain.names import shown

STT_CODE: Final = ("STT_FUNC", "STT_NOTYPE")
INLINED: Final = "DW_TAG_inlined_subroutine"
BLOCK: Final = "DW_TAG_lexical_block"
REGISTERS: Final = 32
MASK64: Final = (1 << 64) - 1
RA: Final = 1  # DWARF's numbers of registers are those of the hart
S0: Final = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SourceLine:
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
        return f"{shown(self.file)}:{self.line}" if self.line else shown(self.file)


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


class DebugInfo:
    """What the ELF file `elf` tells; nothing where it has no symbols or no DWARF.

    Raises ValueError if it is no ELF file.
    """

    def __init__(self, elf: bytes) -> None:
        self._file: Final = ObjectFile(elf)
        self.trouble = ""  # what of it makes no sense, if something was found

    def known(self, question: Callable[[], _T], otherwise: _T) -> _T:
        """What `question` gives, which asks this file; or something else where that makes no sense."""
        try:
            return question()
        except BadDebugInfo as error:
            self.trouble = self.trouble or f"{error}"
            return otherwise

    @cached_property
    def has_lines(self) -> bool:
        """Whether lines of sources are known at all."""
        return self.known(lambda: self._file.has(".debug_line") and self._file.has(".debug_info"), False)

    @cached_property
    def code(self) -> list[tuple[int, bytes]]:
        """(address, content) of all code, to tell the program from another one of its name."""
        nothing: list[tuple[int, bytes]] = []
        return self.known(lambda: self._file.code_of_sections, nothing)

    @cached_property
    def executable(self) -> list[tuple[int, bytes]]:
        """The same of all that is loaded to be run, for a file that has no sections to tell code by."""
        nothing: list[tuple[int, bytes]] = []
        return self.known(lambda: self._file.executable, nothing)

    def function(self, pc: int) -> Function | None:
        """The function that has the instruction at `pc`."""
        at = bisect_right(self.functions, pc, key=lambda one: one.low) - 1
        found = self.functions[at] if at >= 0 else None
        return found if found is not None and pc < found.high else None

    def places(self, pc: int) -> tuple[SourceLine, ...]:
        """The line of the instruction at `pc`; before it, innermost first, the calls inlined there.

        So the last is in `function(pc)`. Empty where no line is known.
        """
        return self.known(lambda: self._places(pc), ())

    def _places(self, pc: int) -> tuple[SourceLine, ...]:
        function = self.function(pc)
        unit = self._unit(function) if function is not None else None
        row = unit.row(function, pc) if function is not None and unit is not None else None
        if function is None or unit is None or row is None:
            return ()
        places = []
        file, line = row.file, row.line
        for call in self.inlined_calls(pc):
            places.append(SourceLine(call.name or "?", unit.lines.file(file), line, inlined=True))
            file, line = call.number("DW_AT_call_file"), call.number("DW_AT_call_line")
        return (*places, SourceLine(function.name, unit.lines.file(file), line))

    # --- for who asks for more than lines (orrery/debugger) ---

    @cached_property
    def functions(self) -> list[Function]:
        """All functions, by address."""
        return self.known(self._functions, [])

    def lines(self, function: Function) -> list[Line]:
        """Where the code of lines begins in `function`, by address."""
        if function not in self._lines:
            self._lines[function] = self.known(lambda: self._lines_of(function), [])
        return self._lines[function]

    @cached_property
    def _lines(self) -> dict[Function, list[Line]]:
        return {}

    def _lines_of(self, function: Function) -> list[Line]:
        unit = self._unit(function)
        if unit is None:
            return []
        found: list[Line] = []
        for row in unit.rows_within(function):
            if row.line:
                line = Line(row.address, unit.lines.file(row.file), row.line, row.body, row.stmt)
                goes_on = (
                    found and not line.stmt and (line.file, line.line) == (found[-1].file, found[-1].line)
                )
                found += [line] if not goes_on else []
        return found

    def entry(self, function: Function) -> Entry | None:
        """The DWARF entry of `function`."""
        unit = self._unit(function)
        return self.known(lambda: unit.subprogram(function), None) if unit is not None else None

    def scopes(self, pc: int) -> list[Entry]:
        """The entries that have the code at `pc`, outermost first: its function, inlined calls and blocks."""
        function = self.function(pc)
        top = self.entry(function) if function is not None else None
        return self.known(lambda: self._scopes(top, pc), []) if top is not None else []

    def _scopes(self, top: Entry, pc: int) -> list[Entry]:
        found = [top]
        while True:
            inner = (one for one in found[-1].children if one.tag in (INLINED, BLOCK))
            scope = next((one for one in inner if self.covers(one, pc)), None)
            if scope is None:
                return found
            found.append(scope)

    def inlined_calls(self, pc: int) -> list[Entry]:
        """The inlined calls that `pc` is in, innermost first."""
        return [one for one in self.scopes(pc) if one.tag == INLINED][::-1]

    def covers(self, entry: Entry, pc: int) -> bool:
        """Whether the code of an entry is at `pc`."""
        return any(low <= pc < high for low, high in self._ranges(entry))

    def low(self, entry: Entry) -> int | None:
        """The first address of the code of an entry; None if it has none."""
        return min((low for low, _ in self._ranges(entry)), default=None)

    def _ranges(self, entry: Entry) -> list[tuple[int, int]]:
        unit = self._by_offset[entry.of.offset]
        return self.known(lambda: unit.ranges(entry), [])

    @property
    def dwarf(self) -> Any:
        """All of it, as pyelftools has it; raises BadDebugInfo."""
        return self._file.dwarf

    @cached_property
    def tops(self) -> list[Entry]:
        """The entries of the compilation units."""
        tops = (self.known(lambda unit=unit: unit.tree.top, None) for unit in self._units)  # type: ignore[misc]
        return [one for one in tops if one is not None]

    @cached_property
    def objects(self) -> dict[str, tuple[int, int]]:
        """Address and size of each variable that has a symbol."""
        nothing: list[Symbol] = []
        symbols = self.known(lambda: self._file.symbols, nothing)
        return {one.name: (one.value, one.size) for one in symbols if one.kind == "STT_OBJECT"}

    def frame_rule(self, pc: int) -> FrameRule | None:
        """How the function at `pc` is left from there, or None where the compiler did not say."""
        return self.known(lambda: self._frame_rule(pc), None)

    def _frame_rule(self, pc: int) -> FrameRule | None:
        for entry in self._frame_entries:
            low = entry["initial_location"]
            if not low <= pc < low + entry["address_range"]:
                continue
            table = read("the way to the caller", lambda entry=entry: entry.get_decoded().table)  # type: ignore[misc]
            rows = [row for row in table if row["pc"] <= pc]
            if not rows:
                return None
            cfa = rows[-1].get("cfa")
            if cfa is None or cfa.reg is None:
                return None  # a DWARF expression; no compiler uses one for C
            if cfa.reg >= REGISTERS:
                raise BadDebugInfo(f"the caller's stack pointer at {pc:#x} is in register {cfa.reg}")
            rules = {register: rule for register, rule in rows[-1].items() if isinstance(register, int)}
            saved = {
                register: rule.arg
                for register, rule in rules.items()
                if rule.type == "OFFSET" and register < REGISTERS
            }
            return FrameRule(cfa.reg, cfa.offset, saved, RA in rules and rules[RA].type == "UNDEFINED")
        return None

    # --- what is in the file ---

    def _functions(self) -> list[Function]:
        """By address. A symbol without a size, of assembly, reaches to the next one."""
        ends = {index: one["sh_addr"] + one["sh_size"] for index, one in self._file.code}
        symbols = sorted(
            (one.value, one.name, one.size, ends[one.section])
            for one in self._file.symbols
            if one.kind in STT_CODE and one.section in ends and _is_function(one.name)
        )
        functions = []
        for i, (low, name, size, end) in enumerate(symbols):
            following = symbols[i + 1][0] if i + 1 < len(symbols) else end
            functions.append(Function(low, low + size if size else min(following, end), name))
        return functions

    @cached_property
    def _units(self) -> list[CodeUnit]:
        found: list[CodeUnit] = []
        if self.has_lines:
            self.known(lambda: self._read_units(found), None)
        return found

    def _read_units(self, found: list[CodeUnit]) -> None:
        """The units, as far as they make sense."""
        units = self.dwarf.iter_CUs()
        while (cu := read("the units", lambda: next(units, None))) is not None:
            found.append(CodeUnit(self.dwarf, EntryTree(cu, self._tree)))

    def _tree(self, offset: int) -> EntryTree | None:
        return next((unit.tree for unit in self._units if unit.tree.offset <= offset < unit.tree.end), None)

    @cached_property
    def _by_offset(self) -> dict[int, CodeUnit]:
        return {unit.tree.offset: unit for unit in self._units}

    @cached_property
    def _frame_entries(self) -> list[Any]:
        """Frame descriptions, of .debug_frame or .eh_frame; those that the linker dropped are empty."""
        return self.known(self._read_frame_entries, [])

    def _read_frame_entries(self) -> list[Any]:
        if self._file.has(".debug_frame"):
            entries = read(".debug_frame", self.dwarf.CFI_entries)
        elif self._file.has(".eh_frame"):
            entries = read(".eh_frame", self.dwarf.EH_CFI_entries)
        else:
            return []
        return [entry for entry in entries if "initial_location" in getattr(entry, "header", {})]

    def _unit(self, function: Function) -> CodeUnit | None:
        """The compilation unit with `function`: one of C says so, one of assembly has a line for it."""
        if function not in self._unit_of:
            units = (unit for unit in self._units if self.known(lambda u=unit: u.subprogram(function), None))  # type: ignore[misc]
            assembly = (
                unit
                for unit in self._units
                if self.known(lambda u=unit: u.has_assembly(function), False)  # type: ignore[misc]
            )
            self._unit_of[function] = next(units, None) or next(assembly, None)
        return self._unit_of[function]

    @cached_property
    def _unit_of(self) -> dict[Function, CodeUnit | None]:
        return {}


def _is_function(name: str) -> bool:
    """Whether a symbol names code and not a place in it: `$x` and `.L...` are the tools' own."""
    return bool(name) and not name.startswith(("$", ".L"))
