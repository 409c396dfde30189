"""A machine: the board with the kernel on it, its drive, its keyboard and whoever sits at its console.

The one object that scripts and the command line drive.  It owns no terminal, file descriptor or thread of
the host but its drive's file; what happens at its console is the business of a front end (`Front`): a
script's dialogue by default, a terminal or a pipe on the command line.  Everything that goes in is
stamped in virtual time, so a machine with the same drive, the same size and the same input does the same.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from emu.board import Board
from emu.board_map import virt
from emu.cpu import engine as e
from emu.events import NEVER
from emu.loop import Stop
from kernel.abi.param import USTACK_MAX
from kernel.abi.ps import RUNNABLE, UNUSED, ZOMBIE
from kernel.abi.syscalls import LAB_YEAR, LAB_YEARS
from kernel.abi.tty import TTY_COLUMNS_MAX
from kernel.kernel import Kernel
from kernel.proc import INIT_PID, Proc
from orrery.errors import BadInput
from orrery.machine import checks, debugpy_support
from orrery.machine.drives import DriveSource, check_layout, open_drive
from orrery.machine.engines import KINDS, engine_maker
from orrery.machine.hooks import Hook, HookCaller, Hub
from orrery.machine.keyboard import Keyboard
from orrery.timetravel import travel
from orrery.timetravel.travel import Past, Snapshot
from toolchain import image

if TYPE_CHECKING:
    import re
    from random import Random

    from orrery.machine.dialogue import Dialogue
    from orrery.timetravel.events import Happening
    from orrery.timetravel.timeline import Timeline

# What S-mode sees of M-mode's registers: the fields of sstatus, and the interrupts that are delegated (None).
S_VIEWS: Final = {"sstatus": (e.MSTATUS, 0x8000_0003_000D_E762), "sie": (e.MIE, None), "sip": (e.MIP, None)}
MEM_MIB_MIN: Final = 8
MEM_MIB_MAX: Final = 4096


class Front(Protocol):
    """Who sits at a machine's console. Called by the machine while it runs; must not run it."""

    def output(self, pid: int | None, data: bytes) -> None:
        """The console shows `data`, written by process `pid` (ECHO: echo of keys, None: the kernel)."""

    def waits(self, p: Proc) -> None:
        """`p` begins to wait for a line from the console."""

    def idle(self, until_ticks: int) -> bool:
        """The hart waits, and nothing happens before `until_ticks`; say whether something was done.

        False where all waits for ever means that this will not change.
        """

    def slice(self) -> None:
        """Some time has passed in which the hart ran."""


class Machine:
    """An Orrery with `mem_mib` MiB of RAM, switched on by `boot`.

    `drive` is the path of an image (which keeps what the guest writes), an image as bytes, a Drive, or
    None for a fresh default image.  `seed` is for what is left to chance: nothing yet; faults that are
    injected, and networks, will draw from `random`.  `engine` is "fast" or "public".  `lab` is the year of
    the course whose kernel it is to be like; None: that of the drive's programs.  With `usyscall` each
    process has the labs' page at USYSCALL, and with `ustack` a stack of so many pages.
    `layout`, "stock" or "lab", is that of the drive's inodes where the image does not say it.
    `columns` tells the guest that a terminal of that width is at its console; 0: there is none.
    Machines are independent of each other.  Close one after use, or use it in a `with` statement.
    Raises BadInput, DriveError or ImageError for what cannot be used, with one line.
    """

    def __init__(
        self,
        drive: DriveSource = None,
        seed: int = 0,
        mem_mib: int = 128,
        engine: str = "fast",
        *,
        snapshot: bool = False,
        lab: int | None = None,
        usyscall: bool = False,
        ustack: int | None = None,
        layout: str | None = None,
        columns: int = 0,
        init_argv: Sequence[bytes] = (b"/init",),
        modules: Mapping[bytes, bytes] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.made_by: Final[dict[str, Any]] = {
            "drive": drive, "seed": seed, "mem_mib": mem_mib, "engine": engine, "snapshot": snapshot,
            "lab": lab, "usyscall": usyscall, "ustack": ustack, "layout": layout,
            "columns": columns, "init_argv": init_argv, "modules": modules,
            "warn": warn,
        }  # fmt: skip
        checks.machine_arguments(self.made_by)
        if not MEM_MIB_MIN <= mem_mib <= MEM_MIB_MAX:
            raise BadInput(
                f"{mem_mib} MiB of memory: no machine has that; give from {MEM_MIB_MIN} to {MEM_MIB_MAX}"
            )
        if engine not in KINDS:
            raise BadInput(f"engine {engine!r}: unknown; there are {' and '.join(KINDS)}")
        if lab is not None and lab not in LAB_YEARS:
            raise BadInput(f"lab {lab}: no such year; give from {LAB_YEARS[0]} to {LAB_YEARS[-1]}")
        if not 0 <= columns <= TTY_COLUMNS_MAX:
            raise BadInput(f"{columns} columns: no terminal has that; give from 0 to {TTY_COLUMNS_MAX}")
        if ustack is not None and not 1 <= ustack <= USTACK_MAX:
            raise BadInput(f"ustack {ustack}: no stack has that many pages; give from 1 to {USTACK_MAX}")
        check_layout(layout)
        debugpy_support.follow_threads()
        self.seed: Final = seed
        self._shown = bytearray()  # what the UART sent since the console's digest was brought up to date
        self._console_digest: Final = hashlib.sha256()
        first = None if modules and init_argv[0] in modules else os.fsdecode(init_argv[0])
        opened = open_drive(drive, snapshot=snapshot, first=first, layout=layout)
        self._drive: Final = opened.drive
        if lab is None:
            lab = self.made_by["lab"] = opened.year or LAB_YEAR
        try:
            make_engine = engine_maker(engine, warn or _warn)
            self.board: Final = Board(mem_mib, make_engine, virt(self._drive, self._shown.append))
        except (OSError, MemoryError) as error:
            self._drive.close()
            raise BadInput(f"{mem_mib} MiB of memory: this computer cannot give it: {error}") from error
        self.kernel: Final = Kernel(
            self.board,
            image.kernel_elf(),
            init_argv=init_argv,
            modules=modules,
            lab=lab,
            usyscall=usyscall,
            ustack=ustack or 0,
            layout=layout,
            columns=columns,
        )
        self.keyboard: Final = Keyboard(self.board, self.kernel)
        self.past: Final = Past(self)  # what made_by and this say decides the run
        self.hub: Final = Hub(self.kernel, self.board.loop.ask_stop)
        self._for_shell: Final = len(init_argv) == 1
        self._shell: Proc | None = None
        self._shell_pid = 0
        self._stuck = False
        self._hooks: list[tuple[str, Hook]] = []
        self.closed = False
        self._running = False
        self._at_front = False  # the front end has the turn, and may wait for a person
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

    @property
    def status(self) -> int:
        """Exit status, 0 to 255, of the child that the shell reaped last; 0 if it has reaped none."""
        reaped = self._shell.reaped_status if self._shell is not None and self._shell_lives else None
        return (reaped or 0) & 0xFF

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
        regs = self.board.hart.regs
        checks.text("name", name)
        if name in S_VIEWS:
            register, mask = S_VIEWS[name]
            return regs[register] & (regs[e.MIDELEG] if mask is None else mask)
        if name not in e.NAMES:
            raise ValueError(f"no register {name!r}; there are {', '.join((*e.NAMES, *S_VIEWS))}")
        return regs[e.NAMES[name]]

    def on(self, kind: str, hook: Hook) -> None:
        """Call hook(event) at each 'syscall', 'fault' or 'switch'; hooks.py says what an event holds.

        A hook looks and does not touch, so the run stays the same. What it raises comes out of the call
        that lets the machine run.
        """
        self._hook_caller.add(checks.text("kind", kind), checks.hook("hook", hook))
        self._hooks.append((kind, hook))

    def call_hooks(self) -> None:
        """Call those that were given before the machine was made again."""
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

    @cached_property
    def random(self) -> "Random":
        """The machine's own chance, from `seed`."""
        from random import Random

        return Random(self.seed)

    # --- time ---

    def snapshot(self) -> Snapshot:
        """Now, to come back to. What it holds is what was done, and not what became of that."""
        return self.past.snapshot

    def goto(self, when: Snapshot | int) -> None:
        """Go to where a snapshot was taken, or to the first boundary at or behind a virtual time in ps.

        What was done to the machine at that very time is yet to come; a time that never comes is the end.

        The machine makes its run again from power-on, which takes as long as the run took; no hook is called
        for that.  Hooks stay; other watchers do not, nor does what expect has not seen.  The run stays the
        same until the machine runs by itself (run, sh, expect) or is changed: that begins another future.
        Raises BadInput where the drive keeps what is written.
        """
        self.past.goto(when)

    def fork(self) -> "Machine":
        """Another machine in the state of this one; what becomes of it is its own. Raises as goto."""
        return self.past.fork()

    def timeline(self) -> "Timeline":
        """The run of this machine on a Timeline, which goes back in milliseconds, standing here.

        What becomes of it there is its own.  Close it after use.  Raises as goto.
        """
        return self.past.timeline()

    def write(self, pa: int, data: bytes) -> None:
        """Store `data` in RAM at physical address `pa`, to see what becomes of it."""
        self.past.write(checks.whole("pa", pa), checks.data("data", data))

    def run_until(self, event: str, timeout_s: float | None = None) -> "Happening":
        """Run until an event of orrery/timetravel/events.py: fork, exec, exit, fault, crash, syscall:NAME ...

        What the console shows is waited for with expect; a Timeline stops at places of memory and code, too.

        The machine stops behind the gate in which it happened. Raises PoweredOff, Deadlock or ExpectTimeout.
        """
        timeout_s = checks.seconds("timeout_s", timeout_s, zero=True)
        return travel.run_until(self, checks.text("event", event), timeout_s)

    def make_again(self) -> None:
        """Be as at power-on, in place; hooks and an own front end stay."""
        front = None if self.front is self._dialogue else self.front
        hooks = self._hooks
        self.close()
        for name in ("_dialogue", "_hook_caller", "random"):
            self.__dict__.pop(name, None)
        Machine.__init__(self, **self.made_by)
        self._hooks = hooks
        if front is not None:
            self.front = front

    # --- running and end ---

    def run(self, limit_ticks: int = NEVER) -> Stop:
        """Run to virtual time `limit_ticks`, or until asked to stop, or until all waits for ever.

        A machine that the guest has switched off does not run, and counts as asked.
        """
        self.check_at_rest()
        if self.board.exit_code is not None:
            return Stop.ASKED
        self._stuck = False
        self.past.forget_future()
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
        return pid is not None and pid == self._shell_pid

    @property
    def has_shell(self) -> bool:
        """Whether a shell has been seen: the guest is up."""
        return self._shell_pid != 0

    @property
    def at_prompt(self) -> bool:
        """Whether the shell waits for a line, and none is on its way."""
        readers = self.kernel.console.readers  # one that was woken is in there until its next turn
        waiting = any(p.pid == self._shell_pid and p.state != RUNNABLE for p in readers)
        return waiting and not self.keyboard.pending

    @property
    def _shell_lives(self) -> bool:
        shell = self._shell
        return shell is not None and shell.pid == self._shell_pid and shell.state not in (UNUSED, ZOMBIE)

    def _adopt_shell(self, p: Proc) -> None:
        """Take `p` for the shell if there is none and init started it."""
        if self._for_shell and not self._shell_lives and p.parent is not None and p.parent.pid == INIT_PID:
            self._shell, self._shell_pid = p, p.pid

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

    def _on_read_wait(self, p: Proc) -> None:
        self._adopt_shell(p)
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


def _warn(message: str) -> None:
    import warnings

    warnings.warn(message, stacklevel=4)
