"""The debugger's state: the target, the breakpoints, and the selected process and frame.

Commands work on this; it knows nothing of their syntax.  It is also the scope in which expressions are
evaluated: the names, registers and memory of the selected frame.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from emu.cpu import engine as e
from orrery.debugger import gates, inline_calls
from orrery.debugger.breakpoints import Breakpoint, Breakpoints
from orrery.debugger.c.ctypes import DOUBLE, ULONG, VOID, CType, pointer_to
from orrery.debugger.c.expressions import evaluate
from orrery.debugger.c.format import shown
from orrery.debugger.c.values import Value
from orrery.debugger.dwarf.variables import Variables
from orrery.debugger.errors import Unavailable
from orrery.debugger.frame_text import locals_of
from orrery.debugger.frames import Frame, frames
from orrery.debugger.linespec import Linespecs
from orrery.debugger.resolver import settle
from orrery.debugger.settings import Settings
from orrery.debugger.source import Sources
from orrery.debugger.stepper import Stepper
from orrery.debugger.trace_cursor import TraceCursor
from orrery.inspect.dwarf import DebugInfo
from orrery.timetravel.moment import Moment
from orrery.timetravel.program_symbols import ProgramSymbols
from orrery.timetravel.registers import NAMES
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.timeline import Timeline

ABI_NAMES: Final = {name: number for name, number in e.NAMES.items() if number < 32}
ALIASES: Final = {"fp": 8}
POINTERS: Final = (2, 3, 4)  # sp, gp, tp
NOTHING: Final = Value.made(VOID, b"")
BEHIND: Final = re.compile(r"\$(\d*)$")  # $$ and $$2: one, two before the last


Activation: TypeAlias = tuple[str, bool, int]


class Debugger:
    """Over `target`; `own` are its programs by name, `directories` where their sources are."""

    def __init__(self, target: Timeline, own: Mapping[str, bytes], directories: Sequence[Path] = ()) -> None:
        self.target: Final = target
        self.settings: Final = Settings()
        self.programs: Final = ProgramSymbols(target, own)
        self.sources: Final = Sources(directories)
        self.breakpoints: Final = Breakpoints(
            target, self.programs.find, self._holds, lambda one, pid: settle(self, one, pid)
        )
        self.stepper: Final = Stepper(target, self.programs, self.breakpoints)
        self.stepper.into_python = lambda stopped: gates.entered_at_stop(self, stopped)
        self.pid = target.current
        self.main_pid = KERNEL  # of the program that was given, once it has come to main
        self.trace_cursor: TraceCursor | None = None
        self.history: Final[list[Value]] = []  # $1, $2, ...
        self.convenience: Final[dict[str, Value]] = {}  # $name
        self.file: DebugInfo | None = None  # a program whose symbols the user wants where none runs
        self.changed: frozenset[int] = frozenset()  # the registers that the last move has changed
        self.displays: Final[dict[int, Callable[[], str]]] = {}  # what is shown at each stop, by number
        self.displayed: Final[dict[int, str]] = {}  # what the user wrote for that
        self.moments: Final[list[Moment]] = []  # checkpoints that the user asked for
        self.listed = ("", 0)  # file and last line of the last list
        self.listed_first = 1  # its first line
        self.examined = ("x", 4)  # format and unit of the last x
        self.next_address = 0  # what it would show next
        self.echo = b""  # of keys that were typed at the terminal
        self.on_search: Callable[[], None] = lambda: None  # called now and then while it looks back
        self.reached: Breakpoint | None = None  # by the last command
        self.unsaid, self.held = b"", b""  # of the console: not shown yet; of the trace, shown at its end
        self.hidden = 0  # inlined calls that begin here and that the user has not gone into
        self.ended = False  # the machine will not run again
        self._registers: list[int] = []
        self._frames: list[Frame] | None = None
        self._selected = 0
        self._variables: Final[dict[DebugInfo, Variables]] = {}
        self._locations: Final[dict[DebugInfo, Linespecs]] = {}

    # --- where the user looks ---

    def moved(self, pid: int) -> None:
        """The machine has moved, forwards or back; select process `pid`, if it is one."""
        self.pid = pid
        before, self._registers = self._registers, self.target.registers(pid)
        pairs = zip(before, self._registers, strict=False)
        self.changed = frozenset(i for i, (old, new) in enumerate(pairs) if old != new)
        self._frames, self._selected, self.listed = None, 0, ("", 0)
        self.hidden = inline_calls.hidden_at(self)

    def select_process(self, pid: int) -> None:
        """Look at another process."""
        self.trace_cursor = None
        self.moved(pid)

    @property
    def frames(self) -> list[Frame]:
        """The calls of the process that have not returned, innermost first."""
        if self.trace_cursor is not None:
            return self.trace_cursor.frames()
        if self._frames is None:
            self._frames = list(frames(self.target, self.programs, self.pid))
        return self._frames[self.hidden :]

    @property
    def level(self) -> int:
        """The number of the selected frame."""
        return min(self._selected, len(self.frames) - 1)

    @level.setter
    def level(self, level: int) -> None:
        if not 0 <= level < len(self.frames):
            raise Unavailable(f"No frame at level {level}.")
        self._selected = level

    @property
    def frame(self) -> Frame:
        """The selected frame; raises Unavailable."""
        if not self.frames:
            raise Unavailable("No stack.")
        return self.frames[self.level]

    @property
    def activation(self) -> Activation | None:
        """What tells the innermost call from others: its function; in the kernel's Python its number too."""
        if self.trace_cursor is not None:
            return self.trace_cursor.line.function, True, self.trace_cursor.line.frame
        if not self.frames:
            return None
        return self.frames[0].name, self.frames[0].kernel, 0

    def take_output(self) -> bytes:
        """What the console has shown; without the echo of what the user's own terminal has echoed."""
        shown = self.target.take_output()
        pairs = enumerate(zip(shown, self.echo, strict=False))
        echoed = next((i for i, (a, b) in pairs if a != b), min(len(shown), len(self.echo)))
        self.echo = self.echo[echoed:] if echoed == len(shown) else b""
        return shown[echoed:]

    def cursor_moved(self) -> None:
        """The trace cursor has moved."""
        self._selected, self.listed = 0, ("", 0)

    # --- code ---

    @property
    def info(self) -> DebugInfo | None:
        """The program that the user looks at: the frame's, the process's, or the one that was given."""
        program = next((one.info for one in self.frames[self.level :] if one.info is not None), None)
        if program is None or program is self.programs.kernel:
            program = self.programs.find(self.pid) or self.file or self.programs.first
        return program

    def locations(self, info: DebugInfo) -> Linespecs:
        """Those of a program."""
        if info not in self._locations:
            self._locations[info] = Linespecs(info)
        return self._locations[info]

    @property
    def current_file(self) -> str:
        """The source of the selected frame, or of main."""
        place = self.frame.place if self.frames else None
        return place.file if place is not None else self.program_file

    @property
    def program_file(self) -> str:
        """The source of the program that is selected, or whose frame is the nearest; or of main."""
        info = self.info
        return self.source_of(info) if info is not None else ""

    def source_of(self, info: DebugInfo) -> str:
        """That source of a program which its innermost frame is in, or that of its main."""
        place = next((one.place for one in self.frames[self.level :] if one.place and one.info is info), None)
        if place is not None:
            return place.file
        main = self.locations(info).function("main")
        rows = info.lines(main) if main is not None else []
        return rows[0].file if rows else ""

    def name_at(self, address: int) -> str:
        """` <function+offset>` for an address in code, or of a variable; else nothing."""
        info = self.info
        function = info.function(address) if info is not None else None
        if function is None and (
            kernel := self.programs.kernel.function(self.programs.kernel_address(address))
        ):
            function, address = kernel, self.programs.kernel_address(address)
        if function is not None:
            offset = address - function.low
            return f" <{function.name}{f'+{offset}' if offset else ''}>"
        for name, (low, size) in info.objects.items() if info is not None else ():
            if low <= address < low + size:
                return f" <{name}{f'+{address - low}' if address > low else ''}>"
        return ""

    def is_function(self, name: str) -> bool:
        """Whether the program has a function of this name."""
        return self.info is not None and any(one.name == name for one in self.info.functions)

    def names(self) -> list[str]:
        """Functions and variables of the program that the user looks at."""
        info = self.info
        if info is None:
            return []
        known = {one.name for one in info.functions} | set(info.objects)
        if self.frames:
            known |= {name for name, _ in locals_of(self, self.frame)}
        return sorted(known)

    # --- the scope of expressions ---

    def variables(self, info: DebugInfo) -> Variables:
        """Those of a program."""
        if info not in self._variables:
            self._variables[info] = Variables(info)
        return self._variables[info]

    def read(self, address: int, n: int) -> bytes:
        """Memory of the selected process, as far as it is mapped."""
        return self.target.read(self.pid, address, n)

    def variable(self, name: str) -> Value:
        """As Scope."""
        info = self.info
        frame = next((one for one in self.frames[self.level :] if one.info is info), None)
        die = self.variables(info).find(frame, name) if info is not None else None
        if info is not None and die is not None:
            return self.variables(info).value(die, frame, self.read)
        constant = self.variables(info).types.constant(name) if info is not None else None
        if constant is not None:
            return Value.of(*constant)
        if name in self.programs.symbols:
            return Value.of(pointer_to(VOID), self.programs.user_address(self.programs.symbols[name]))
        raise Unavailable(f'No symbol "{name}" in current context.')

    def is_outside(self, name: str) -> bool:
        """Whether the kernel's assembly has this name."""
        return name in self.programs.symbols

    def variable_of(self, within: str, name: str) -> Value:
        """As Scope: of the innermost call of a function, or a static one of it; of a file; outside of all."""
        level = next((i for i, one in enumerate(self.frames) if one.name == within), None)
        if level is not None:
            before, self._selected = self._selected, level
            try:
                return self.variable(name)
            finally:
                self._selected = before
        info = self.info
        known = self.variables(info) if info is not None else None
        entry = None
        if known is not None:
            entry = known.static_in(within, name) or known.outside(name, within)
        if known is None or entry is None:
            if self.is_function(within):
                raise Unavailable(f'No frame is currently executing in block "{within}".')
            where = "specified context" if within else "current context"
            raise Unavailable(f'No symbol "{name}" in {where}.')
        return known.value(entry, None, self.read)

    def register(self, name: str) -> Value:
        """As Scope; with $1, $2 ... of the history, and $ for the last."""
        if not name and not self.history:
            return NOTHING
        if not name or name.isdigit():
            index = int(name) if name else len(self.history)
            if not 0 < index <= len(self.history):
                raise Unavailable(f"History has not yet reached ${name}.")
            return self.history[index - 1]
        if name == "pc":
            return Value.of(pointer_to(VOID), self.frame.pc)
        if found := BEHIND.match(name):
            index = len(self.history) - int(found[1] or 1)
            if index < 1:
                return NOTHING
            return self.history[index - 1]
        number = ABI_NAMES.get(name, ALIASES.get(name))
        if number is not None and self.frame.registers:
            held = self.frame.registers[number]
            if held is None:
                raise Unavailable(f"${name} is not known in this frame")
            type_ = pointer_to(VOID) if number in POINTERS else ULONG
            return Value.made(type_, held.to_bytes(8, "little"), register=number)
        if number is None and name in self.convenience:
            return replace(self.convenience[name], variable=name)
        floating = e.NAMES.get(name, 0) - e.F
        if floating in range(32):
            index = NAMES.index(f"f{floating}")
            return Value.made(DOUBLE, self._raw(index), register=index)
        if number is None and name not in NAMES:
            return replace(NOTHING, variable=name)
        index = NAMES.index(name) if number is None else number
        return Value.made(ULONG, self._raw(index), register=index)

    def is_register(self, name: str) -> bool:
        """Whether a register is called so."""
        return name in (*ABI_NAMES, *ALIASES, *NAMES) or e.NAMES.get(name, 0) - e.F in range(32)

    def _raw(self, index: int) -> bytes:
        return self.target.registers(self.pid)[index].to_bytes(8, "little")

    def type(self, name: str) -> CType | None:
        """As Scope."""
        info = self.info
        return self.variables(info).types.named(name) if info is not None else None

    def load(self, type_: CType, address: int) -> Value:
        """As Scope."""
        return Value.at(type_, address, self.read)

    def keep(self, name: str, value: Value) -> None:
        """As Scope."""
        self.convenience[name] = value

    def store(self, target: Value, data: bytes) -> None:
        """As Scope: this changes the machine."""
        if target.address is not None:
            done = self.target.write(self.pid, target.address, data)
        else:
            if self.level or target.register is None:
                raise Unavailable("registers can be set in the innermost frame only")
            number = int.from_bytes(data, "little", signed=target.type.signed) & (1 << 64) - 1
            done = self.target.set_register(self.pid, target.register, number)
        if not done:
            raise Unavailable("the machine does not take this: nothing is there, or it cannot be changed")
        self._frames = None

    def show(self, value: Value, letter: str = "") -> str:
        """A value as text."""
        return shown(value, self.read, self.name_at, letter)

    def _holds(self, condition: str, pid: int) -> bool:
        """Whether a condition holds; one that cannot be evaluated does, so that the user sees the stop."""
        self.moved(pid)
        try:
            return bool(evaluate(condition, self).number)
        except Unavailable:
            return True
