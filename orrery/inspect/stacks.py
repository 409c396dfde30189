"""Where a process is: its user registers, its backtrace in C, and its kernel thread's stack in Python.

Used by the monitor, by the report of a panic and, for the programs of processes, by the debuggers: on a
machine that stands still, in which it changes nothing.  Names and lines come from the process's ELF file
where that can be found; then unwinding follows DWARF, which is right at every instruction, and otherwise the
chain of frame pointers that all programs of ours keep:

    s0 ->  +--------------+  the caller's sp
      -8   | return addr. |
     -16   | caller's s0  |
           | ...          |
"""

import os
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Final, NamedTuple

from emu.cpu import engine as e
from emu.cpu.hart import USER
from emu.dev.drive import SECTOR_SIZE
from kernel.abi.elf import PROGRAM_SIZE, Header, segments
from kernel.abi.memlayout import PGSHIFT, TRAMPOLINE, TRAPFRAME
from kernel.proc import NAME_MAX, Process, process_name
from kernel.thread import TF_EPC, TF_KERNEL_SP, TF_RA, TF_SP
from orrery.inspect.code_unit import Function
from orrery.inspect.dwarf import RA, S0, DebugInfo, SourceLine
from orrery.machine.decode import POINTER, Decoder
from toolchain.paths import in_tree

if TYPE_CHECKING:
    from orrery.machine.machine import Machine

SP: Final = 2
TF_S0: Final = 12
FRAMES_MAX: Final = 64
DISK_BYTES_MAX: Final = 1 << 28  # of a disk that is searched for programs
ECALL: Final = (0x73).to_bytes(4, "little")


class Registers(NamedTuple):
    """What finding a caller takes."""

    pc: int
    ra: int
    sp: int
    s0: int


class UserFrame(NamedTuple):
    """A call that has not returned: where it is, in which function, and on which lines (innermost first)."""

    pc: int
    function: Function | None
    places: tuple[SourceLine, ...]


def user_registers(machine: "Machine", p: Process) -> Registers:
    """Those of `p` in user mode: in the hart while it runs there, in its trapframe while it does not.

    On the way in, uservec saves them, then loads the kernel's sp; pc is in sepc until usertrap has it.
    """
    kernel, regs = machine.kernel, machine.board.hart.regs
    saved = Registers(p.thread.tf[TF_EPC], p.thread.tf[TF_RA], p.thread.tf[TF_SP], p.thread.tf[TF_S0])
    if kernel.sched.process is not p:
        return saved
    live = Registers(regs[e.PC], regs[RA], regs[SP], regs[S0])
    if regs[e.PRIV] == USER:
        return live
    uservec = TRAMPOLINE + kernel.image.uservec - kernel.image.trampoline
    userret = TRAMPOLINE + kernel.image.userret - kernel.image.trampoline
    if not (uservec <= live.pc < userret or live.pc == kernel.image.usertrap):
        return saved
    registers = saved if live.sp == p.thread.tf[TF_KERNEL_SP] else live
    return registers._replace(pc=regs[e.SEPC])


class Programs:
    """The ELF files of a machine's processes, found by name and held against what is in memory."""

    def __init__(self, machine: "Machine") -> None:
        self._machine: Final = machine
        self._decoder: Final = Decoder(machine.kernel)
        self._known: Final[dict[bytes, DebugInfo]] = {}  # by the file's content

    def find(self, p: Process) -> DebugInfo | None:
        """What is known of the program that `p` runs, or None; it has lines."""
        return next((info for _, info in self._loaded(p) if info.has_lines), None)

    def file(self, p: Process) -> bytes:
        """The ELF file that `p` runs, one with lines if there is one; nothing where none is found."""
        without_lines = b""
        for elf, info in self._loaded(p):
            if info.has_lines:
                return elf
            without_lines = without_lines or elf
        return without_lines

    def named(self, name: str) -> bytes:
        """The ELF file that exec would take for this name; one with lines if there is one of that code."""
        there = b""
        for program in self._candidates(name):
            there = there or program
            info = self._info(program)
            if info is not None and info.has_lines and _has_code(there, info):
                return program
        return there

    def _loaded(self, p: Process) -> Iterator[tuple[bytes, DebugInfo]]:
        """The ELF files whose code `p` has in memory."""
        for elf in self._candidates(p.name):
            info = self._info(elf)
            if info is not None and self._is_loaded(p, info):
                yield elf, info

    def _candidates(self, name: str) -> Iterator[bytes]:
        """ELF files that a process of this name may run: of modules, on the disk, of the default image."""
        for path, elf in self._machine.kernel.modules.items():
            if _matches(path, name):
                yield elf
        yield from self._on_disk(name)
        yield from _built(name)

    def _on_disk(self, name: str) -> Iterator[bytes]:
        from toolchain.fsimage import BadImage, FsImage

        drive = self._machine.board.drive
        if drive is None or drive.capacity * SECTOR_SIZE > DISK_BYTES_MAX:
            return
        try:
            image = FsImage(drive.read(0, drive.capacity), layout=self._machine.config.layout)
            for entry in image.walk():
                if _matches(os.fsencode(entry.path), name):
                    yield image.read(entry.path)
        except BadImage:
            return  # the guest may be in the middle of a change

    def _info(self, elf: bytes) -> DebugInfo | None:
        if elf not in self._known:
            try:
                self._known[elf] = DebugInfo(elf)
            except ValueError:
                return None
        return self._known[elf]

    def _is_loaded(self, p: Process, info: DebugInfo) -> bool:
        """Whether the code of the file is what `p` has in memory."""
        code = info.code
        return bool(code) and all(self._decoder.peek(p, va, len(data)) == data for va, data in code)


def _has_code(program: bytes, info: DebugInfo) -> bool:
    """Whether an ELF file loads the code of `info`."""
    header = Header.unpack(program)
    if header is None or header.phoff + header.phnum * PROGRAM_SIZE > len(program):
        return False
    loaded = segments(program, header)
    return all(
        any(
            program[one.offset + va - one.vaddr :].startswith(data)
            for one in loaded
            if one.vaddr <= va and va + len(data) <= one.vaddr + one.filesz
        )
        for va, data in info.code
    )


def _matches(path: bytes, name: str) -> bool:
    return process_name(path) == name


def _built(name: str) -> Iterator[bytes]:
    """The program of this name in user/, with its DWARF, which the default image goes without."""
    from toolchain import cc, image

    for known, sources in image.programs().items():
        if known[:NAME_MAX] == name:
            try:
                yield cc.compile_user(sources)
            except (cc.CompileError, OSError):
                return  # no compiler, or a source that is being edited: the address has to do


# --- the user's stack ---


def user_frames(machine: "Machine", p: Process, programs: Programs) -> Iterator[UserFrame]:
    """The calls of `p` in its program, the innermost first, FRAMES_MAX at the most."""
    info = programs.find(p)
    registers: Registers | None = user_registers(machine, p)
    decoder = Decoder(machine.kernel)
    for depth in range(FRAMES_MAX):
        if registers is None:
            return
        # A return address may be the first one behind its function; the call is in the function.
        at = registers.pc - (1 if depth else 0)
        yield _frame(info, registers.pc, at)
        registers = _caller(decoder, p, info, registers, at, innermost=depth == 0)


def _frame(info: DebugInfo | None, pc: int, at: int) -> UserFrame:
    if info is None:
        return UserFrame(pc, None, ())
    function = info.function(at)
    return UserFrame(pc, function, info.places(at))


def _caller(
    decoder: Decoder, p: Process, info: DebugInfo | None, regs: Registers, at: int, *, innermost: bool
) -> Registers | None:
    """The registers of who called, or None where the stack ends."""
    rule = info.frame_rule(at) if info is not None else None
    if rule is not None and rule.outermost:
        return None
    if rule is not None and rule.base in (SP, S0):
        sp = (regs.sp if rule.base == SP else regs.s0) + rule.offset
        ra = _word(decoder, p, sp + rule.saved[RA]) if RA in rule.saved else regs.ra if innermost else None
        s0 = _word(decoder, p, sp + rule.saved[S0]) if S0 in rule.saved else regs.s0
    elif innermost and (info is not None or decoder.peek(p, regs.pc - len(ECALL), len(ECALL)) == ECALL):
        ra, sp, s0 = regs.ra, regs.sp, regs.s0  # a system call's stub has no frame of its own
    else:
        sp = regs.s0
        ra, s0 = _word(decoder, p, sp - POINTER), _word(decoder, p, sp - 2 * POINTER)
    if not ra or s0 is None or not regs.sp <= sp < TRAPFRAME:  # the stack grows down
        return None
    return Registers(ra, ra, sp, s0)


def _word(decoder: Decoder, p: Process, va: int) -> int | None:
    data = decoder.peek(p, va, POINTER)
    return int.from_bytes(data, "little") if len(data) == POINTER else None


def user_lines(frames: Iterable[UserFrame]) -> list[str]:
    """A numbered line for each call, inlined ones too."""
    lines: list[str] = []
    for depth, frame in enumerate(frames, 1):
        offset = f"+{frame.pc - frame.function.low:#x}" if frame.function is not None else ""
        for place in frame.places:
            what = f"{place.function} (inlined)" if place.inlined else f"{place.function}{offset}"
            lines.append(f"#{len(lines):<2} {frame.pc:#012x} {what} at {place.where}")
        if not frame.places:
            name = f" {frame.function.name}{offset}" if frame.function is not None else ""
            lines.append(f"#{len(lines):<2} {frame.pc:#012x}{name}")
        if depth == FRAMES_MAX:
            lines.append("... and more")
    return lines


def c_place(frames: Iterable[UserFrame]) -> SourceLine | None:
    """The innermost line that a person wrote in C: not that of a system call's stub."""
    places = (place for frame in frames for place in frame.places)
    return next((place for place in places if place.file.endswith((".c", ".h")) and place.line), None)


# --- the kernel's stack ---


def kernel_lines(machine: "Machine", p: Process | None) -> list[str]:
    """A line for each Python function that the kernel thread of `p` is in, the innermost first.

    None stands for the scheduler's thread.
    """
    sched = machine.kernel.sched
    stacks = {stack.va >> PGSHIFT for stack in machine.kernel.procs.stacks}
    if p is not None:
        thread = p.thread.greenlet
    else:
        thread = next((thread for page, thread in sched.threads.items() if page not in stacks), None)
    frame: FrameType | None = thread.gr_frame if thread is not None else None
    lines: list[str] = []
    while frame is not None:
        code = frame.f_code
        lines.append(f"#{len(lines):<2} {in_tree(code.co_filename)}:{frame.f_lineno} {code.co_qualname}")
        frame = frame.f_back
    return lines
