"""The programs of processes, as a debugger knows them: by name, held against what is in memory.

A target may be in another process, so all that is asked of it is `processes` and `read`.  Candidates for a
name are the programs that the debugger was given and those of user/, compiled with DWARF when first wanted.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from kernel.abi import elf
from kernel.abi.memlayout import PGSIZE, TRAMPOLINE
from orrery.debugger.stops import KERNEL
from orrery.debugger.timeline import Timeline
from orrery.dwarf import DebugInfo
from toolchain import cc, image

NAME_MAX: Final = 15  # bytes of a program's name that a process keeps


class Programs:
    """Of the processes of `target`; `own` are ELF files by name that nobody else has."""

    def __init__(self, target: Timeline, own: Mapping[str, bytes]) -> None:
        self._target: Final = target
        self._own: Final = own
        self._infos: Final[dict[str, list[DebugInfo]]] = {}  # by name: those that it may be

    def find(self, pid: int) -> DebugInfo | None:
        """The program that process `pid` runs; None if it is not known, or for no process."""
        name = next((one.name for one in self._target.processes() if one.pid == pid), "")
        if pid == KERNEL or not name:
            return None
        return next((info for info in self._known(name) if self._is_loaded(pid, info)), None)

    @property
    def first(self) -> DebugInfo | None:
        """The program that the debugger was given."""
        return next((info for name in self._own for info in self._known(name)), None)

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

    def _known(self, name: str) -> list[DebugInfo]:
        if name not in self._infos:
            self._infos[name] = [DebugInfo(one) for one in self._candidates(name)]
        return self._infos[name]

    def _candidates(self, name: str) -> Iterator[bytes]:
        yield from (one for known, one in self._own.items() if known[:NAME_MAX] == name)
        for known, sources in image.programs().items():
            if known[:NAME_MAX] == name:
                try:
                    yield cc.compile_user(sources)
                except (cc.CompileError, OSError):
                    return  # a source that is being edited: addresses have to do

    def _is_loaded(self, pid: int, info: DebugInfo) -> bool:
        """Whether the code of the file is what the process has, as far as that is in memory."""
        for va, data in info.code:
            there = self._target.read(pid, va, len(data))
            if not there or not data.startswith(there):
                return False
        return bool(info.code)
