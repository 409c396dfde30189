"""The configuration of a machine: all that decides, with what is typed, what its run will be.

Made once: from the arguments of a script, a command line (cli/options.py), a recording, or the machine pool.
From there it is handed on whole, to Machine and to the processes that make one.  It is a plain value, so that
a machine can be made again by it.

The kernel is imported where values are looked at: the machine pool's fork server has configurations before it
loads a kernel, which may be one that does not load.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from orrery.errors import BadInput
from orrery.machine import checks

if TYPE_CHECKING:
    from emu.dev.drive import Drive

DriveSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Drive | None"
"""A path (kept), an image in memory or None for a fresh default image (not kept), or a ready Drive."""

ENGINES: Final = ("fast", "public")
MEM_MIB_MIN: Final = 8
MEM_MIB_MAX: Final = 4096
INIT_ARGV: Final = (b"/init",)


@dataclass(frozen=True)
class MachineConfig:
    """What a machine is made by; RewindableMachine tells what each option means to a script.

    `init_argv` are the path and the arguments of the first program; `modules` are programs that exec finds
    before those of the drive, by their paths.
    """

    drive: DriveSource = None
    seed: int = 0
    mem_mib: int = 128
    engine: str = "fast"
    snapshot: bool = False
    lab: int | None = None
    usyscall: bool = False
    ustack: int | None = None
    layout: str | None = None
    columns: int = 0
    init_argv: Sequence[bytes] = INIT_ARGV
    modules: Mapping[bytes, bytes] | None = None

    def check(self) -> None:
        """Raise BadInput, as one line, for what no machine can be made by."""
        from kernel.abi.param import USTACK_MAX
        from kernel.abi.syscalls import LAB_YEARS
        from kernel.abi.tty import TTY_COLUMNS_MAX

        self._check_types()
        if not MEM_MIB_MIN <= self.mem_mib <= MEM_MIB_MAX:
            raise BadInput(
                f"{self.mem_mib} MiB of memory: no machine has that; give from {MEM_MIB_MIN} to {MEM_MIB_MAX}"
            )
        if self.engine not in ENGINES:
            raise BadInput(f"engine {self.engine!r}: unknown; there are {' and '.join(ENGINES)}")
        if self.lab is not None and self.lab not in LAB_YEARS:
            raise BadInput(f"lab {self.lab}: no such year; give from {LAB_YEARS[0]} to {LAB_YEARS[-1]}")
        if not 0 <= self.columns <= TTY_COLUMNS_MAX:
            raise BadInput(f"{self.columns} columns: no terminal has that; give from 0 to {TTY_COLUMNS_MAX}")
        if self.ustack is not None and not 1 <= self.ustack <= USTACK_MAX:
            raise BadInput(f"ustack {self.ustack}: no stack has that many pages; give from 1 to {USTACK_MAX}")
        check_layout(self.layout)

    def options(self) -> dict[str, Any]:
        """As the keyword arguments of a machine, in plain values, for a file or another process."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        if isinstance(self.drive, os.PathLike):
            options["drive"] = os.fspath(self.drive)
        elif isinstance(self.drive, bytearray | memoryview):
            options["drive"] = bytes(self.drive)
        return {**options, "init_argv": tuple(self.init_argv), "modules": dict(self.modules or {})}

    def check_repeatable(self) -> None:
        """Raise BadInput unless the drive can be had again as at power-on."""
        drive = self.drive
        if isinstance(drive, str | os.PathLike) and not self.snapshot:
            raise BadInput(f"{os.fspath(drive)}: keeps what is written; make the machine with snapshot=True")
        if not isinstance(drive, str | os.PathLike | bytes | bytearray | memoryview | None):
            raise BadInput("a drive that was made elsewhere cannot be had again; give its path, or its bytes")

    def _check_types(self) -> None:
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise checks.WrongType(f"seed {self.seed!r}: give a whole number")
        checks.whole("mem_mib", self.mem_mib)
        checks.maybe_whole("lab", self.lab)
        checks.maybe_whole("ustack", self.ustack)
        checks.text("engine", self.engine)
        checks.maybe_text("layout", self.layout)
        checks.flag("usyscall", self.usyscall)
        checks.flag("snapshot", self.snapshot)
        drive: object = self.drive
        if not isinstance(drive, bytes | bytearray | memoryview | None) and not hasattr(drive, "capacity"):
            checks.path("drive", drive)
        argv: object = self.init_argv
        if isinstance(argv, str | bytes) or not isinstance(argv, Sequence) or not argv:
            raise checks.wrong_type(
                "init_argv", argv, "a list of bytes, the path of a program and its arguments"
            )
        for i, word in enumerate(argv):
            checks.data(f"init_argv[{i}]", word)
        modules: object = self.modules
        if modules is not None and not isinstance(modules, Mapping):
            raise checks.wrong_type("modules", modules, "a mapping of paths to programs, all bytes")
        for key, value in (modules or {}).items():
            checks.data("a name in modules", key)
            checks.data(f"modules[{key!r}]", value)


def check_layout(layout: str | None) -> None:
    """Raise BadInput for a layout that there is not."""
    from kernel.abi.disk import LAYOUTS

    if layout not in (None, *LAYOUTS):
        raise BadInput(f"layout {layout!r}: unknown; there are {' and '.join(LAYOUTS)}")
