"""The debug information of the programs that processes run.

The machine's process finds the ELF file of a process, or of a name, and compares it with memory
(inspect/stacks.py).  Here the files are kept as DebugInfo, one for each content, so that two processes of a
program share it.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, TRAMPOLINE
from kernel.proc import process_name
from orrery.inspect.dwarf import DebugInfo
from orrery.timetravel.stops import KERNEL
from orrery.timetravel.target import name_of
from orrery.timetravel.timeline import Timeline
from toolchain import image
from toolchain.names import shown


class ProgramSymbols:
    """Of the processes of `target`; `own` are ELF files that the debugger was given, by name."""

    def __init__(self, target: Timeline, own: Mapping[str, bytes]) -> None:
        self._target: Final = target
        self._infos: Final[dict[bytes, DebugInfo]] = {}  # by the file's content
        self._known: Final[dict[str, list[DebugInfo]]] = {}  # by name: those that it has been
        self._told: Final[list[DebugInfo]] = []  # those of whose trouble was told
        self._without: Final[set[tuple[int, str]]] = set()  # processes of whose program there is no file
        for name, program in own.items():
            self._keep(_kept(name), program)
        self.first: Final = next((infos[0] for infos in self._known.values()), None)

    def find(self, pid: int) -> DebugInfo | None:
        """The program that process `pid` runs; None if it is not known, or for no process."""
        name = self.name(pid)
        if pid == KERNEL or not name:
            return None
        known = (info for info in self._known.get(name, ()) if self._is_loaded(pid, info))
        found = next(known, None)
        if found is None and (pid, name) not in self._without:
            found = self._keep(name, self._target.program(pid))
            if found is None:
                self._without.add((pid, name))
        return found

    def name(self, pid: int) -> str:
        """Of the program that process `pid` runs; empty for no process."""
        return name_of(self._target.processes(), pid)

    def named(self, name: str) -> DebugInfo | None:
        """The program of this name, which need not run; None where there is none."""
        name = _kept(name)
        known = self._known.get(name)
        return known[0] if known else self._keep(name, self._target.program_named(name))

    def of(self, info: DebugInfo) -> str:
        """The name of a program."""
        return next((name for name, infos in self._known.items() if info in infos), "")

    @property
    def known(self) -> dict[str, DebugInfo]:
        """Those that have been met, the newest of each name."""
        return {name: infos[-1] for name, infos in self._known.items()}

    def troubles(self) -> Iterator[str]:
        """Of each program once: what of its file makes no sense."""
        for name, infos in self._known.items():
            for info in infos:
                if info.trouble and info not in self._told:
                    self._told.append(info)
                    yield f"{shown(name)}: its debug information makes no sense in part: {info.trouble}"

    def _keep(self, name: str, program: bytes) -> DebugInfo | None:
        if not program:
            return None
        if program not in self._infos:
            try:
                self._infos[program] = DebugInfo(program)
            except ValueError:
                return None
        info, infos = self._infos[program], self._known.setdefault(name, [])
        if info not in infos:
            infos.append(info)
        return info

    @cached_property
    def kernel(self) -> DebugInfo:
        """The kernel's assembly."""
        return DebugInfo(image.kernel_elf())

    def kernel_address(self, pc: int) -> int:
        """Where the kernel's ELF file has what the hart runs at `pc`: the trampoline is mapped twice."""
        if TRAMPOLINE <= pc < TRAMPOLINE + PGSIZE:
            return pc - TRAMPOLINE + self.symbol("trampoline")
        return pc

    def user_address(self, address: int) -> int:
        """Where the hart runs what the kernel's ELF file has at `address`."""
        offset = address - self.symbols["trampoline"]
        return TRAMPOLINE + offset if 0 <= offset < PGSIZE else address

    def symbol(self, name: str) -> int:
        """Address of a function of the kernel's assembly, or of a gate."""
        return self.symbols[name]

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Those of the kernel's assembly and of its gates."""
        kernel = image.kernel_elf()
        header = elf.Header.unpack(kernel)
        assert header is not None, "the kernel's image is an ELF file"
        return elf.symbols(kernel, header)

    @cached_property
    def gates(self) -> range:
        """Where the gates are."""
        return range(self.symbols["gates"], self.symbols["gates_end"])

    def _is_loaded(self, pid: int, info: DebugInfo) -> bool:
        """Whether the code of the file is what the process has, as far as that is in memory."""
        code = info.code or (info.executable if info is self.first else [])
        for va, data in code:
            there = self._target.read(pid, va, len(data))
            if not there or not data.startswith(there):
                return False
        return bool(code)


def _kept(name: str) -> str:
    """A program's name as far as its process keeps it: so many bytes of it, not characters."""
    return process_name(name.encode("utf-8", "surrogateescape"))
