"""The call stack of a process: its frames, innermost first.

Each frame has all registers as far as they are known, because variables of a caller may be in registers that
its callees have saved.  In the kernel's part of a trap the first frame is one of the kernel's assembly, or
stands for a gate; the program's frames follow, whose registers are on their way to the trapframe or in it.
An inline call has a frame of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from emu.cpu.hart import USER
from kernel.abi.memlayout import TRAMPOLINE, TRAPFRAME
from kernel.thread import TF_EPC, TF_KERNEL_SP, TF_RA
from orrery.inspect.code_unit import Function
from orrery.inspect.dwarf import RA, S0, DebugInfo, SourceLine
from orrery.timetravel.program_symbols import ProgramSymbols
from orrery.timetravel.registers import NAMES, PC, PRIV
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.timeline import Timeline

SP: Final = 2
FRAMES_MAX: Final = 1000
WORD: Final = 8
CALLEE_SAVED: Final = (S0, 9, *range(18, 28))
SEPC: Final = NAMES.index("sepc")


@dataclass(frozen=True)
class Frame:
    """A call: where it is, in which function of which program, on which line.

    `at` is `pc`, or in a caller an address within the call.  `registers` has x0 to x31, None for what is not
    known.  `depth` counts the inlined calls within the function, this one's first, and `within` are these,
    outermost first.  `python` has the names and values of a frame of the kernel's Python, which has nothing
    else.
    """

    pc: int
    at: int
    registers: tuple[int | None, ...]
    function: Function | None = None
    info: DebugInfo | None = None
    place: SourceLine | None = None
    depth: int = 0
    within: tuple[int, ...] = ()
    kernel: bool = False
    python: tuple[tuple[str, str], ...] | None = None

    @property
    def name(self) -> str:
        """Of the function."""
        if self.place is not None:
            return self.place.function
        return self.function.name if self.function is not None else "??"

    @property
    def sp(self) -> int:
        """The stack pointer."""
        return self.registers[SP] or 0


def frames(target: Timeline, programs: ProgramSymbols, pid: int) -> Iterator[Frame]:
    """Those of process `pid`; of the kernel alone for KERNEL."""
    live = target.registers(pid)
    in_kernel = live[PRIV] != USER
    if in_kernel:
        yield _kernel_frame(programs, live)
    if pid == KERNEL:
        return
    pc, registers = (_user_registers(target, programs, pid, live)) if in_kernel else (live[PC], live[:PC])
    info = programs.find(pid)
    known: list[int | None] | None = list(registers)
    depth = 0
    while known is not None and depth < FRAMES_MAX:
        at = pc - (1 if depth else 0)
        yield from _program_frames(info, pc, at, known)
        known, pc = _caller(target, pid, info, known, at, innermost=depth == 0)
        depth += 1


def _kernel_frame(programs: ProgramSymbols, live: list[int]) -> Frame:
    """The kernel's assembly: one frame, as its caller is Python."""
    at = programs.kernel_address(live[PC])
    function = programs.kernel.function(at)
    place = next(iter(programs.kernel.places(at)), None)
    return Frame(live[PC], at, tuple(live[:PC]), function, programs.kernel, place, kernel=True)


def _program_frames(info: DebugInfo | None, pc: int, at: int, known: list[int | None]) -> Iterator[Frame]:
    function = info.function(at) if info is not None else None
    places = info.places(at) if info is not None else ()
    calls = tuple(one.offset for one in info.inlined_calls(at)[::-1]) if len(places) > 1 and info else ()
    for level, place in enumerate(places):
        depth = len(places) - 1 - level
        yield Frame(pc, at, tuple(known), function, info, place, depth, calls[:depth])
    if not places:
        yield Frame(pc, at, tuple(known), function, info)


def _user_registers(
    target: Timeline, programs: ProgramSymbols, pid: int, live: list[int]
) -> tuple[int, list[int]]:
    """pc and x0 to x31 of the program of a process that the hart works for in the kernel.

    uservec saves them, then loads the kernel's sp; until the gate, pc is in sepc alone.
    """
    trapframe = target.read(pid, TRAPFRAME, WORD * (TF_RA + PC))
    words = [int.from_bytes(trapframe[i : i + WORD], "little") for i in range(0, len(trapframe), WORD)]
    if len(words) < TF_RA + PC - 1:
        return live[PC], live[:PC]
    saved = [0, *words[TF_RA : TF_RA + PC - 1]]
    offset = TRAMPOLINE - programs.symbols["trampoline"]
    uservec, userret = (offset + programs.symbols[name] for name in ("uservec", "userret"))
    if not (uservec <= live[PC] < userret or live[PC] == programs.symbols["usertrap"]):
        return words[TF_EPC], saved
    return live[SEPC], saved if live[SP] == words[TF_KERNEL_SP] else live[:PC]


def _caller(
    target: Timeline, pid: int, info: DebugInfo | None, known: list[int | None], at: int, *, innermost: bool
) -> tuple[list[int | None] | None, int]:
    """Registers and pc of the caller; None where the stack ends."""

    def word(va: int) -> int | None:
        data = target.read(pid, va, WORD) if va >= 0 else b""
        return int.from_bytes(data, "little") if len(data) == WORD else None

    rule = info.frame_rule(at) if info is not None else None
    sp, s0 = known[SP], known[S0]
    if sp is None or (rule is not None and rule.outermost):
        return None, 0
    caller = [value if i in (*CALLEE_SAVED, 3, 4) else None for i, value in enumerate(known)]
    if rule is not None:
        base = known[rule.base]
        if base is None:
            return None, 0
        cfa = base + rule.offset
        for register, offset in rule.saved.items():
            if register < PC:
                caller[register] = word(cfa + offset)
        ra = caller[RA] if RA in rule.saved else known[RA] if innermost else None
    elif innermost and info is not None and info.functions:
        ra, cfa = known[RA], sp  # a system call's stub has no frame of its own
    elif s0 is not None:
        cfa, ra = s0, word(s0 - WORD)
        caller[S0] = word(s0 - 2 * WORD)
    else:
        return None, 0
    if not ra or not sp <= cfa < TRAPFRAME:  # the stack grows down
        return None, 0
    caller[SP] = cfa
    return caller, ra
