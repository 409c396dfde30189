"""A machine: the board with the kernel on it, its drive, its keyboard and whoever sits at its console.

The one object that the command line drives; what scripts have adds travel in time (timetravel/rewindable.py).
It owns no terminal, file descriptor or thread of the host but its drive's file; what happens at its console
is the business of a front end (front.py): a script's dialogue by default, a terminal or a pipe on the command
line.  Everything that goes in is stamped in virtual time, so machines of one configuration with the same
input do the same.

What a power cycle makes anew (board, kernel, keyboard, hub, shell) is made in `_power_on`; the configuration,
the hooks and an own front end outlive it.
"""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from emu.board import Board
from emu.board_map import virt
from emu.events import NEVER
from emu.loop import Stop
from kernel.abi.memlayout import PGMASK
from kernel.abi.syscalls import LAB_YEAR
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.xv6.personality import Xv6
from orrery.errors import BadInput
from orrery.machine import checks, debugpy_support, event_wait, registers
from orrery.machine.config import MachineConfig
from orrery.machine.drives import open_drive
from orrery.machine.engines import engine_maker
from orrery.machine.front import Front
from orrery.machine.hooks import Hook, HookCaller, Hub
from orrery.machine.keyboard import Keyboard
from orrery.machine.shell import Shell
from toolchain import image

if TYPE_CHECKING:
    import re
    from random import Random

    from orrery.machine.dialogue import Dialogue
    from orrery.machine.events import Happening


class Machine:
    """A machine by `config`, switched on by `boot`; `warn` gets a line where the fast engine cannot be had.

    Machines are independent of each other.  Close one after use, or use it in a `with` statement.
    Raises BadInput, DriveError or ImageError for what cannot be used, with one line.
    """

    def __init__(self, config: MachineConfig, warn: Callable[[str], None] | None = None) -> None:
        config.check()
        if warn is not None:
            checks.hook("warn", warn)
        debugpy_support.follow_threads()
        self.config = config
        self._warn: Final = warn or _warn
        self._hooks: Final[list[tuple[str, Hook]]] = []
        self._power_on()

    def _power_on(self) -> None:
        """Make all parts as they are at power-on; `config` has the year of the drive's programs then."""
        config = self.config
        self._shown = bytearray()  # what the UART sent since the console's digest was brought up to date
        self._console_digest = hashlib.sha256()
        own_init = config.modules and config.init_argv[0] in config.modules
        first = None if own_init else os.fsdecode(config.init_argv[0])
        opened = open_drive(config.drive, snapshot=config.snapshot, first=first, layout=config.layout)
        self._drive = opened.drive
        lab = config.lab if config.lab is not None else opened.year or LAB_YEAR
        self.config = replace(config, lab=lab)
        try:
            make_engine = engine_maker(config.engine, self._warn)
            self.board = Board(config.mem_mib, make_engine, virt(self._drive, self._shown.append))
        except (OSError, MemoryError) as error:
            self._drive.close()
            what = f"{config.mem_mib} MiB of memory"
            raise BadInput(f"{what}: this computer cannot give it: {error}") from error
        self.kernel = _kernel_of(self.config, self.board)
        self.keyboard = Keyboard(self.board, self.kernel)
        self.hub = Hub(self.kernel, self.board.loop.ask_stop)
        self._shell = Shell(self.kernel.console, expected=len(config.init_argv) == 1)
        self._stuck = False
        self.closed = False
        self._running = False
        self._at_front = False  # the front end has the turn, and may wait for a person
        for cached in ("_dialogue", "_hook_caller", "random"):
            self.__dict__.pop(cached, None)
        self.front: Front = self._dialogue
        self.board.loop.on_idle = self._on_idle
        self.board.loop.on_slice = self._on_slice
        self.kernel.console.on_output = self._on_output
        self.kernel.console.on_read_wait = self._on_read_wait

    # --- a conversation with the guest ---

    def boot(self) -> Self:
        """Switch on and run until the shell waits for its first line."""
        self._dialogue.boot()
        return self

    def type(self, text: str | bytes) -> None:
        """Type on the console; the keys go in as the machine runs (expect, sh)."""
        self.keyboard.type(checks.content("text", text))

    def expect(self, regex: str, timeout_s: float = 10.0) -> "re.Match[str]":
        """Run until what the console shows, from the last match on, matches; returns the match.

        `timeout_s` is in seconds of virtual time; ExpectTimeout after that, or when all waits for ever.
        """
        return self._dialogue.expect(
            checks.text("regex", regex), checks.seconds("timeout_s", timeout_s, zero=True)
        )

    def sh(self, cmd: str, timeout_s: float | None = None) -> str:
        """Type a line for the shell, run until it waits again; what was printed, without prompt and echo.

        `timeout_s` is in virtual seconds. Raises ExpectTimeout, Deadlock or PoweredOff.
        """
        timeout_s = checks.seconds("timeout_s", timeout_s, zero=True)
        return self._dialogue.sh(checks.text("cmd", cmd), timeout_s)

    def run_until(self, event: str, timeout_s: float | None = None) -> "Happening":
        """Run until an event of orrery/machine/events.py: fork, exec, exit, fault, crash, syscall:NAME ...

        What the console shows is waited for with expect; a Timeline stops at places of memory and code, too.

        The machine stops behind the gate in which it happened. Raises PoweredOff, Deadlock or ExpectTimeout.
        """
        timeout_s = checks.seconds("timeout_s", timeout_s, zero=True)
        return event_wait.run_until(self, checks.text("event", event), timeout_s)

    @property
    def status(self) -> int:
        """Exit status, 0 to 255, of the child that the shell reaped last; 0 if it has reaped none."""
        return self._shell.reaped_status

    # --- a look inside ---

    @property
    def time_ps(self) -> int:
        """Virtual time since power-on, in picoseconds."""
        return self.board.clock.time_ps

    def read(self, pa: int, n: int) -> bytes:
        """The `n` bytes of RAM at physical address `pa`."""
        ram = self.board.ram
        checks.whole("pa", pa)
        checks.whole("n", n)
        if not ram.holds(pa, n):
            raise ValueError(f"{n} bytes at {pa:#x}: RAM is from {ram.base:#x} to {ram.end:#x}")
        return bytes(ram.view(pa, n))

    def reg(self, name: str) -> int:
        """The hart's register of this name: x0-x31, f0-f31 (raw bits), ABI names, pc, priv, S and M CSRs."""
        return registers.named(self.board.hart.regs, checks.text("name", name))

    def on(self, kind: str, hook: Hook) -> None:
        """Call hook(event) at each 'syscall', 'fault' or 'switch'; hooks.py says what an event holds.

        A hook looks and does not touch, so the run stays the same. What it raises comes out of the call
        that lets the machine run.
        """
        self._hook_caller.add(checks.text("kind", kind), checks.hook("hook", hook))
        self._hooks.append((kind, hook))

    def attach_hooks(self) -> None:
        """Call the hooks that were given before a power cycle."""
        for kind, hook in self._hooks:
            self._hook_caller.add(kind, hook)

    def digest(self) -> str:
        """SHA-256, in hex, of console output, registers, time, RAM and disk: all that the machine is."""
        self._digest_shown()
        digest = self._console_digest.copy()
        self.board.digest_update(digest)
        return digest.hexdigest()

    def console_digest(self) -> str:
        """SHA-256, in hex, of console output alone."""
        self._digest_shown()
        return self._console_digest.hexdigest()

    @property
    def seed(self) -> int:
        """What it was given for its chance."""
        return self.config.seed

    @cached_property
    def random(self) -> "Random":
        """The machine's own chance, from `seed`."""
        from random import Random

        return Random(self.seed)

    # --- changing it ---

    def write(self, pa: int, data: bytes) -> None:
        """Store `data` in RAM at physical address `pa`, to see what becomes of it."""
        ram = self.board.ram
        checks.whole("pa", pa)
        data = checks.data("data", data)
        self.check_at_rest()
        if not ram.holds(pa, len(data)):
            raise ValueError(f"{len(data)} bytes at {pa:#x}: RAM is from {ram.base:#x} to {ram.end:#x}")
        ram.view(pa, len(data))[:] = data
        self.kernel.drop_code(pa & ~PGMASK, pa + len(data) + PGMASK & ~PGMASK)

    def power_cycle(self) -> None:
        """Be as at power-on, in place. An own front end stays; hooks wait for `attach_hooks`."""
        own_front = None if self.front is self._dialogue else self.front
        self.close()
        self._power_on()
        if own_front is not None:
            self.front = own_front

    # --- running and end ---

    def run(self, limit_ticks: int = NEVER) -> Stop:
        """Run to virtual time `limit_ticks`, or until asked to stop, or until all waits for ever.

        A machine that the guest has switched off does not run, and counts as asked.
        """
        self.check_at_rest()
        if self.board.exit_code is not None:
            return Stop.ASKED
        self._stuck = False
        self._running, self._at_front = True, False
        try:
            stop = self.board.loop.run(limit_ticks)
        finally:
            self._running = False
        self.hub.raise_error()
        return Stop.ASLEEP if self._stuck else stop

    @property
    def is_busy(self) -> bool:
        """Whether the machine runs, by itself: nobody at its console has the turn."""
        return self._running and not self._at_front

    def check_at_rest(self) -> None:
        """Raise ValueError if the machine was closed, or runs: this was called by a hook or its like."""
        if self.closed:
            raise ValueError("this machine was closed; make another one")
        if self._running:
            raise ValueError("this machine is running: a hook looks, and leaves the rest to who lets it run")

    def ask_stop(self) -> None:
        """Make run() return at the next occasion; front ends, hooks and signal handlers may call it."""
        self.board.loop.ask_stop()

    def close(self) -> None:
        """Switch off: end the kernel's threads and let go of the drive. Closing twice is harmless."""
        if self.closed:
            return
        self.closed = True
        try:
            self.kernel.sched.unwind()
        finally:
            self._drive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the shell ---

    def is_shell(self, pid: int | None) -> bool:
        """Whether process `pid` is the shell: the child of init that read from the console first."""
        return pid is not None and pid == self._shell.pid

    @property
    def has_shell(self) -> bool:
        """Whether a shell has been seen: the guest is up."""
        return self._shell.pid != 0

    @property
    def at_prompt(self) -> bool:
        """Whether the shell waits for a line, and none is on its way."""
        return self._shell.waits and not self.keyboard.pending

    # --- what the loop and the kernel tell ---

    def _on_idle(self, until_ticks: int) -> bool:
        if self.keyboard.pump():
            return True
        self._at_front = True
        came = self.front.idle(until_ticks)
        self._at_front = False
        if came:
            return True
        if self.board.events.next_ticks == NEVER:  # there may be a limit, but nothing will happen before it
            self._stuck = True
            self.ask_stop()
            return True
        return False

    def _on_slice(self) -> None:
        self._at_front = True
        self.front.slice()
        self._at_front = False

    def _on_output(self, pid: int | None, data: bytes) -> None:
        self._digest_shown()
        self.front.output(pid, data)

    def _on_read_wait(self, p: Process) -> None:
        self._shell.reads(p)
        self.keyboard.resume()
        self.front.waits(p)

    def _digest_shown(self) -> None:
        self._console_digest.update(self._shown)
        self._shown.clear()

    @cached_property
    def _hook_caller(self) -> HookCaller:
        caller = HookCaller(self.kernel)
        self.hub.add(caller)
        return caller

    @cached_property
    def _dialogue(self) -> "Dialogue":
        from orrery.machine.dialogue import Dialogue

        return Dialogue(self)


def _kernel_of(config: MachineConfig, board: Board) -> Kernel:
    elf = image.kernel_elf()
    return Kernel(
        board, elf, Xv6,
        init_argv=config.init_argv, modules=config.modules,
        lab=config.lab or LAB_YEAR,
        usyscall=config.usyscall,
        ustack=config.ustack or 0,
        layout=config.layout,
        columns=config.columns,
    )  # fmt: skip


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)
