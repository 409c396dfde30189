"""The programs of processes as files for gdb, and where the kernel's code is.

A process's program is found by its name and compared with memory (inspect/stacks.py), so that gdb has the
symbols of what really runs.  The kernel's assembly is reported as two shared libraries of every process:
that makes a stock gdb load them by itself, and unwind through a trap.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from emu.cpu.hart import USER
from kernel.abi import elf
from kernel.abi.memlayout import TRAPFRAME
from kernel.sched import Scheduler
from kernel.thread import TF_EPC, TF_RA, TF_WORDS
from kernel.trap import Trap
from orrery.gdb.errors import ENOENT, Refused
from orrery.gdb.remote_files import RemoteFiles
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.registers import NAMES, PC, PRIV
from orrery.timetravel.target import KERNEL
from toolchain.names import shown

KERNEL_FILE: Final = "kernel.elf"
TRAMPOLINE_FILE: Final = "trampoline.elf"
CONTEXT: Final = ("x1", "x2", "x8", "x9", *(f"x{i}" for i in range(18, 28)))
"""What swtch saves, in this order."""

WORD_BYTES: Final = 8


class SymbolFiles:
    """Of the session's processes. `kernel` and `trampoline` are ELF files of the kernel's code."""

    def __init__(self, session: TimelineSession, kernel: bytes, trampoline: bytes) -> None:
        self._session: Final = session
        self.files: Final = RemoteFiles()
        header = elf.Header.unpack(kernel)
        assert header is not None, "the kernel is an ELF file"
        self._context = elf.symbols(kernel, header)["cpu_context"]
        self._libraries: Final = [
            (self.files.add(name, content), _base(content))
            for name, content in ((KERNEL_FILE, kernel), (TRAMPOLINE_FILE, trampoline))
        ]

    @classmethod
    def of(cls, session: TimelineSession) -> Self:
        """Those of `session`, with the kernel's code as the source tree has it."""
        from toolchain import image

        functions: dict[str, Callable[..., object]] = {
            "main": Scheduler._main, "usertrap": Trap._usertrap, "kerneltrap": Trap.kerneltrap,
            "forkret": Scheduler._begin, "resumed": Scheduler.call,
        }  # fmt: skip
        gates = {name: _place(function) for name, function in functions.items()}
        kernel = image.kernel_elf_with_lines(gates)
        # A program is to have the name `main` for itself.
        return cls(session, kernel.replace(b"\0main\0", b"\0boot\0"), image.trampoline_elf())

    def path(self, pid: int) -> str:
        """The file that a process executes; raises Refused where it is not known."""
        if pid == KERNEL:
            return f"/{KERNEL_FILE}"
        name = next((one.name for one in self._session.processes() if one.pid == pid), "")
        program = self._session.program(pid) if name else b""
        if not program:
            raise Refused(ENOENT)
        return self.files.add(shown(name), program)

    def libraries_xml(self) -> bytes:
        """The kernel's code as libraries, for qXfer:libraries:read: each is where it was linked to be.

        That is told by segment.  Were it told by section, gdb would have all of them begin at 0, and gdb 18
        takes one that begins where another does for the same.
        """
        lines = ["<library-list>"]
        for path, base in self._libraries:
            lines.append(f'<library name="{path}"><segment address="{base:#x}"/></library>')
        return "\n".join((*lines, "</library-list>\n")).encode()

    def scheduler_registers(self, live: list[int]) -> list[int]:
        """The registers of the scheduler's thread while a process has the hart, from its saved context."""
        data = self._session.read(KERNEL, self._context, len(CONTEXT) * WORD_BYTES)
        values = list(live)
        values[:PC] = [0] * PC
        for index, name in enumerate(CONTEXT):
            at = index * WORD_BYTES
            values[NAMES.index(name)] = int.from_bytes(data[at : at + WORD_BYTES], "little")
        values[PC] = values[1]
        return values

    def user_registers(self, pid: int, live: list[int]) -> list[int]:
        """The registers of a process in user mode, from its trapframe."""
        data = self._session.read(pid, TRAPFRAME, TF_WORDS * WORD_BYTES)
        words = [
            int.from_bytes(data[at : at + WORD_BYTES], "little") for at in range(0, len(data), WORD_BYTES)
        ]
        values = list(live)
        values[1:PC] = words[TF_RA : TF_RA + PC - 1]
        values[PC] = words[TF_EPC]
        values[PRIV] = USER
        return values


def _place(function: Callable[..., object]) -> tuple[str, Path, int]:
    """Name, file and line at which a function of Python begins."""
    code = function.__code__
    return code.co_qualname, Path(code.co_filename), code.co_firstlineno


def _base(program: bytes) -> int:
    """The address at which the first segment of an ELF file begins."""
    header = elf.Header.unpack(program)
    assert header is not None, "the kernel's code is an ELF file"
    return next(segment.vaddr for segment in elf.segments(program, header))
