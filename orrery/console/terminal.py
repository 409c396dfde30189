"""A terminal as the machine's console, with a person at it.

A front end of Machine for the command line.  Keys go in at once, the console is shown as it is, and while
the guest has nothing to do, wall time passes as virtual time does.  The terminal is in raw mode meanwhile,
so that the guest gets every key; C-a is the way to the machine itself, as in QEMU.
"""

import os
import re
import select
import sys
import termios
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final, Self

from emu.clock import PS_PER_TICK, TICKS_PER_S
from emu.events import NEVER
from kernel.proc import Process
from orrery.console.signals import Signals
from orrery.machine.machine import Machine
from orrery.machine.output import Filter, Write

if TYPE_CHECKING:
    from orrery.console.breakpoint import BreakpointPdb
    from orrery.console.prompt import Prompt

READ_MAX: Final = 4096  # keys read at a time
WAIT_S_MIN: Final = 0.001  # less than this is not waited for
PS_PER_S: Final = 10**12

KEYS_MAX: Final = 1 << 20  # that wait for the guest to take them
INTERRUPT_S: Final = 1.0  # between two C-c that belong together

CTRL_A, CTRL_C = 0x01, 0x03
QUIT: Final = re.compile(rb"(?:[^\x01]|\x01[^xX])*\x01[xX]", re.DOTALL)  # keys with C-a x among them
BELL: Final = b"\a"
BUSY: Final = b"\n[nobody waits for keys; C-c again, or C-a x, ends the machine]\n"
HELP: Final = b"""
C-a h    print this help
C-a c    open the monitor, or close it
C-a x    switch the machine off
C-a C-a  send C-a (C-a a, too)
"""


class Terminal:
    """The terminal `fd`, in raw mode during the `with` statement; `write` and `shown` go to the person.

    The lines `again` are typed at the shell's prompt before the person types, one at a time.
    C-c ends a machine that is there `for_program`.  Elsewhere it is a key; twice within a second it ends a
    machine in which nobody waits for keys.
    `status` is set, to 0, when the person switched the machine off.
    """

    def __init__(
        self,
        machine: Machine,
        fd: int,
        shown: Filter,
        write: Write,
        signals: Signals,
        again: Sequence[bytes] = (),
        *,
        for_program: bool = False,
    ) -> None:
        self._machine: Final = machine
        self._fd: Final = fd
        self._shown: Final = shown
        self._write: Final = write
        self._signals: Final = signals
        self._again: Final = deque(again)
        self._for_program: Final = for_program
        self._typed = b""  # keys that were read while the machine did not come back
        self._interrupted_s = -INTERRUPT_S  # when C-c was typed that nobody waited for
        self._escaped = False  # the key before was C-a
        self._prompt: Prompt | None = None  # the monitor's
        self._monitor_is_open = False  # the person is there, or was when somebody else wanted the machine
        self._unfinished = b""  # the console's last line, which has no newline yet
        self._breakpoint: BreakpointPdb | None = None  # one for all, as it knows what was set in it
        self.status: int | None = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        raw = termios.tcgetattr(self._fd)
        # Output is left as it is: the terminal still makes a new line of a newline.
        raw[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP)
        raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        self._raw = raw
        self._signals.at_last.append(self._restore)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        self._before_hook = sys.breakpointhook
        # Another debugger that asked for breakpoint() gets it: debugpy, or one that is named there.
        if self._before_hook is sys.__breakpointhook__ and not os.environ.get("PYTHONBREAKPOINT"):
            sys.breakpointhook = self._stop_python
        return self

    def __exit__(self, *_: object) -> None:
        sys.breakpointhook = self._before_hook
        self._signals.at_last.remove(self._restore)
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def _restore(self) -> None:
        """Set the terminal as it was, without waiting for anything."""
        termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    @contextmanager
    def cooked(self) -> Iterator[None]:
        """A `with` statement in which the terminal is as it was, for somebody else who reads lines."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        try:
            with self._signals.away():
                yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._raw)

    def _stop_python(self) -> None:
        """Somebody's code has called breakpoint()."""
        from orrery.console.breakpoint import BreakpointPdb

        if self._breakpoint is None:
            self._breakpoint = BreakpointPdb(self.cooked, self._switch_off)
        self._breakpoint.stop_in(sys._getframe(1))

    # --- as a front end ---

    def output(self, pid: int | None, data: bytes) -> None:
        self._shown.output(pid, data)
        self._unfinished = (self._unfinished + data).rpartition(b"\n")[2][-READ_MAX:]

    def waits(self, p: Process) -> None:
        pass

    def slice(self) -> None:
        self._type_again()
        if self._typed or self._signals.wait(self._fd, 0):
            self._read()

    def peek(self, frame: FrameType | None) -> None:
        """As Console.peek: keep the keys for the guest, unless they are those that end the machine."""
        while select.select([self._fd], [], [], 0)[0]:
            keys = self._keys()
            if not keys:
                break
            self._typed += keys
        if QUIT.match(bytes((CTRL_A,)) * self._escaped + self._typed):
            self._switch_off()
            self._signals.halt(frame)
        elif self._typed.count(CTRL_C) >= (1 if self._for_program else 2):
            self._signals.interrupt()
            self._signals.halt(frame)

    def idle(self, until_ticks: int) -> bool:
        """Let wall time pass up to `until_ticks`, or to a key, and virtual time with it."""
        if self._type_again():
            return True
        if self._typed:
            self._read()
            return True
        machine, clock = self._machine, self._machine.board.clock
        if machine.board.events.next_ticks == NEVER and not machine.kernel.console.readers:
            return False  # no key could wake anybody
        seconds = None if until_ticks == NEVER else (until_ticks - clock.now) * PS_PER_TICK / PS_PER_S
        if seconds is not None and seconds < WAIT_S_MIN:
            clock.advance_to(until_ticks)
            return True
        began = time.monotonic()
        key = self._signals.wait(self._fd, seconds)
        passed = int((time.monotonic() - began) * TICKS_PER_S)
        early = key or self._signals.came or self._signals.visited or seconds is None
        clock.advance_to(min(clock.now + passed, until_ticks) if early else until_ticks)
        if key:
            self._read()
        return True

    # --- keys ---

    def _type_again(self) -> bool:
        """Type the next line of before when the shell waits for one; whether there was one to type."""
        if not self._again or not self._machine.at_prompt:
            return False
        self._machine.type(self._again.popleft() + b"\n")
        return True

    def _read(self) -> None:
        """Take the keys that are there. While the monitor is open it has them all, and time stands still."""
        data = self._typed or self._keys()
        self._typed = b""
        if not data:
            self._switch_off()
        keys = bytearray()
        while data:
            if self._monitor_is_open:  # it had been left for somebody else
                data = self._talk(data)
                continue
            keys += self._meaning(data[0])
            data = data[1:]
            if self._monitor_is_open:
                self._type(keys)
                data = self._talk(data)
        self._type(keys)

    def _type(self, keys: bytearray) -> None:
        if self._machine.keyboard.waiting > KEYS_MAX:
            self._write(BELL)  # as the host's own terminals do when their buffer is full
        elif keys:
            self._machine.type(bytes(keys))
        keys.clear()

    def _keys(self) -> bytes:
        """What was typed; nothing where the terminal has gone."""
        try:
            return os.read(self._fd, READ_MAX)
        except OSError:
            return b""

    def _meaning(self, key: int) -> bytes:
        """What the guest gets for `key`; carries out the commands that follow C-a."""
        if not self._escaped:
            self._escaped = key == CTRL_A
            if key == CTRL_C:
                self._interrupt()
            return b"" if self._escaped else bytes((key,))
        self._escaped = False
        if key in b"xX":
            self._switch_off()
        elif key in b"cC":
            self._monitor_is_open = True
        elif key in b"hH?":
            self._write(HELP)
        return bytes((CTRL_A,)) if key in b"\x01aA" else b""

    def _interrupt(self) -> None:
        """C-c: the end of a run that is for one program, or of a machine that takes no keys."""
        before, self._interrupted_s = self._interrupted_s, time.monotonic()
        if self._for_program:
            self._signals.interrupt()
        elif self._machine.kernel.console.readers:
            self._interrupted_s = -INTERRUPT_S
        elif self._interrupted_s - before < INTERRUPT_S:
            self._signals.interrupt()
        else:
            self._write(BUSY)

    def _talk(self, keys: bytes) -> bytes:
        """Let the person talk with the monitor, which gets `keys` first; returns those for the guest."""
        if self._prompt is None:
            from orrery.console.prompt import Prompt

            self._prompt = Prompt(self._machine, self._write, self._signals)
        rest = self._prompt.talk(keys)
        self._monitor_is_open = not self._prompt.closed
        if self._prompt.quitting:
            self._switch_off()
            return b""
        if self._prompt.closed:
            self._write(self._unfinished)  # the guest's line goes on where it was
        return rest

    def _switch_off(self) -> None:
        self.status = 0
        self._machine.ask_stop()
