"""A booted machine that stands ready to be forked: one with a limit of its own and a memory of its console.

Made by fork_server.py.  It is the same machine as any other: what it adds only looks, and a fork that stays
within its limit makes the same run, to the digest, as a machine that booted for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from emu.clock import TICKS_PER_S
from emu.dev.drive import RamDrive
from emu.events import NEVER
from emu.loop import Stop
from kernel.abi import disk
from kernel.kernel import KernelPanic
from kernel.proc import Process
from orrery.console.script import Lines, Script
from orrery.errors import Deadlock, ExpectTimeout
from orrery.inspect.crash_reports import Crashes
from orrery.machine.config import check_layout
from orrery.machine.drives import Opened, open_drive
from orrery.machine.hooks import Watcher
from orrery.machine.machine import Machine
from orrery.machine.output import ProgramOutput
from orrery.machine.program import INIT, init_program
from orrery.pool.recipe import NOBODY, Recipe
from toolchain import cc, image
from toolchain.stack import flags_for

BOOT_S_MAX: Final = 20
"""Virtual seconds for the way to the prompt; ours takes some milliseconds."""

CONSOLE_BYTES_MAX: Final = 1 << 16  # of the console's output that are kept for the next report
CUT: Final = b"[...]\n"  # stands for what was not kept
TAIL: Final = 200  # characters of the console that a message shows
FILE_BYTES_MAX: Final = disk.MAXFILE * disk.BSIZE


class BootedMachine(Machine):
    """A Machine by `recipe`, to be forked. It stops for good when virtual time comes to `limit_ticks`."""

    def __init__(self, recipe: Recipe, warnings: list[str]) -> None:
        programs = _compiled(recipe, warnings)
        drive, year = _drive(recipe, programs)
        lab = year if recipe.config.lab is None else recipe.config.lab
        config = replace(recipe.config, drive=drive, lab=lab)
        if recipe.for_program:
            config = replace(config, init_argv=(INIT, NOBODY), modules={INIT: init_program()})
        super().__init__(config, warnings.append)
        self.limit_ticks = NEVER
        self.panic: KernelPanic | None = None  # the machine cannot run after it
        self._limit_s = 0.0
        self._console: Final = bytearray()  # what was shown and not taken yet
        self.crashes: Final[list[str]] = []  # which processes were killed and where, not taken yet
        if programs:
            Crashes(self, self.crashes.append)

    def warm_up(self, *, for_program: bool) -> None:
        """Boot: to the shell's prompt, or to where process 1 is about to begin."""
        self.limit(BOOT_S_MAX)
        if for_program:
            self.hub.add(_FirstSwitch(self))
            self.run()
        else:
            self.boot()

    def limit(self, seconds: float | None) -> None:
        """Let at most so much virtual time pass from now on; then running raises ExpectTimeout."""
        self._limit_s = seconds or 0.0
        self.limit_ticks = NEVER if seconds is None else self.board.clock.now + int(seconds * TICKS_PER_S)

    def run(self, limit_ticks: int = NEVER) -> Stop:
        stop = super().run(min(limit_ticks, self.limit_ticks))
        if stop is Stop.LIMIT and self.board.clock.now >= self.limit_ticks:
            shown = self._console[-TAIL:].decode(errors="replace")
            raise ExpectTimeout(
                f"the limit of {self._limit_s:g} s of virtual time is over; the console shows {shown!r}"
            )
        return stop

    def take_console(self) -> bytes:
        """What the console has shown since the last time, or the end of it."""
        taken = bytes(self._console)
        self._console.clear()
        return taken

    def run_program(self, argv: Sequence[bytes], elf: bytes, stdin: bytes) -> tuple[int, bytes]:
        """Run one program, as `orrery run` does: its exit status and what it printed.

        Needs a recipe for a program. Raises ExpectTimeout or Deadlock.
        """
        self.kernel.init_argv = (INIT, *argv)
        self.kernel.modules[argv[0]] = elf
        shown: list[bytes] = []
        printed = ProgramOutput(self, shown.append, echo=False)
        self.front = script = Script(self, [], _Text(stdin), printed)
        stop = self.run()
        printed.finish()
        status = self.board.exit_code if script.status is None else script.status
        if status is None:
            assert stop is Stop.ASLEEP, "a machine that nobody asked to stop is asleep"
            raise Deadlock(self.kernel.procs.sleepers_report())
        return status & 0xFF, b"".join(shown)

    def _on_output(self, pid: int | None, data: bytes) -> None:
        super()._on_output(pid, data)
        self._console.extend(data)
        if len(self._console) > 2 * CONSOLE_BYTES_MAX:
            self._console[:-CONSOLE_BYTES_MAX] = CUT


def _compiled(recipe: Recipe, warnings: list[str]) -> dict[str, bytes]:
    """The recipe's programs by name; with DWARF, for reports, where a file can be so large."""
    within = None if recipe.submission is None else Path(recipe.submission)
    flags = flags_for(recipe.config.lab, recipe.config.ustack)
    programs = {
        Path(path).stem: cc.compile_user([path], warn=warnings.append, flags=flags, within=within)
        for path, _ in recipe.programs
    }
    return {name: elf if len(elf) <= FILE_BYTES_MAX else cc.strip(elf) for name, elf in programs.items()}


def _drive(recipe: Recipe, programs: Mapping[str, bytes]) -> Opened:
    """A drive in memory: forks write to copies of their own, and the file that it came from is let go."""
    config = recipe.config
    check_layout(config.layout)
    if config.drive is not None:
        drive, year = open_drive(config.drive, snapshot=True, layout=config.layout)
        content = drive.read(0, drive.capacity)
        drive.close()
        return Opened(RamDrive(content), year)
    if not programs and not recipe.files:
        return open_drive(None, layout=config.layout)
    files = {**programs, **dict(recipe.files)}
    fresh = image.rebuilt(image.default_image(), files, config.layout or disk.STOCK.name)
    return Opened(RamDrive(fresh, own=True), None)


class _FirstSwitch(Watcher):
    """Stops `machine` once, when the scheduler has chosen its first process."""

    def __init__(self, machine: Machine) -> None:
        self._machine: Final = machine
        self._seen = False

    def switch(self, p: Process) -> None:
        if not self._seen:
            self._seen = True
            self._machine.ask_stop()


class _Text(Lines):
    """Lines that are all there."""

    def __init__(self, text: bytes) -> None:
        self._buffer = bytearray(text)
        self._ended = True
