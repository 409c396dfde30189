"""The dialogue of a Python script with a machine: boot, expect, sh.

The front end that a Machine has unless the command line gives it another.  Each call lets the machine run
until what it asked for has come; between calls the machine stands still and keeps what it showed.
"""

import codecs
import re
from collections.abc import Callable
from typing import Final

from emu.clock import TICKS_PER_S
from emu.events import NEVER
from emu.loop import Stop
from kernel.proc import Process
from orrery.errors import Deadlock, ExpectTimeout, PoweredOff
from orrery.machine.machine import Machine
from orrery.machine.output import CommandOutput

WINDOW: Final = 4096  # characters before new output that a match may begin in
TAIL: Final = 200  # characters of the console that a message shows


class Dialogue:
    """Talks to the guest on `machine`'s console."""

    def __init__(self, machine: Machine) -> None:
        self._machine: Final = machine
        self._decoder: Final = codecs.getincrementaldecoder("utf-8")("replace")
        self._unseen: list[str] = []  # output from the last match of expect on
        self._window = ""  # the end of it
        self._pattern: re.Pattern[str] | None = None
        self._matched = False
        self._command: CommandOutput | None = None
        self._for_prompt = False  # stop when the shell waits

    # --- what a script asks ---

    def boot(self) -> None:
        """See Machine.boot."""
        if not self._machine.has_shell:
            self._run_to_prompt(None, "the shell's first prompt")

    def expect(self, regex: str, timeout_s: float | None) -> re.Match[str]:
        """See Machine.expect."""
        pattern = re.compile(regex)
        seen = "".join(self._unseen)
        found = pattern.search(seen)
        if found is None:
            self._pattern, self._matched = pattern, False
            try:
                self._run(lambda: self._matched, timeout_s, f"{regex!r} on the console")
            finally:
                self._pattern = None
            seen = "".join(self._unseen)
            found = pattern.search(seen)
            assert found is not None, "what matched in the window matches in the whole"
        self._unseen = [seen[found.end() :]]
        self._window = self._unseen[0][-WINDOW:]
        return found

    def sh(self, command: str, timeout_s: float | None) -> str:
        """See Machine.sh."""
        self.boot()
        if not self._machine.at_prompt:
            self._run_to_prompt(timeout_s, "the shell's prompt, before a command could be typed")
        shown: list[bytes] = []
        self._command = CommandOutput(self._machine, shown.append, booted=True)
        try:
            for line in command.splitlines() or [""]:
                self._machine.type(line + "\n")
                self._run_to_prompt(timeout_s, f"the end of {line!r}")
        finally:
            self._command = None
        return b"".join(shown).decode(errors="replace")

    # --- as a front end ---

    def output(self, pid: int | None, data: bytes) -> None:
        text = self._decoder.decode(data)
        self._unseen.append(text)
        if self._command is not None:
            self._command.output(pid, data)
        self._window = self._window[-WINDOW:] + text
        if self._pattern is not None and self._pattern.search(self._window):
            self._matched = True
            self._machine.ask_stop()

    def waits(self, p: Process) -> None:
        if not self._machine.at_prompt:
            return
        if self._command is not None:
            self._command.prompted()
        if self._for_prompt:
            self._machine.ask_stop()

    def idle(self, until_ticks: int) -> bool:
        return False

    def slice(self) -> None:
        pass

    # --- running ---

    def _run_to_prompt(self, timeout_s: float | None, goal: str) -> None:
        """Run until the shell begins to wait for a line."""
        self._for_prompt = True
        try:
            self._run(lambda: self._machine.at_prompt, timeout_s, goal)
        finally:
            self._for_prompt = False

    def _run(self, reached: Callable[[], bool], timeout_s: float | None, goal: str) -> None:
        """Run until `reached()`, which is looked at whenever the machine stops; `goal` says what it is."""
        machine = self._machine
        limit = NEVER if timeout_s is None else machine.board.clock.now + int(timeout_s * TICKS_PER_S)
        while True:
            stop = machine.run(limit)
            if reached():
                return
            if machine.board.exit_code is not None:
                raise PoweredOff(machine.board.exit_code & 0xFF)
            if stop is Stop.ASLEEP and timeout_s is None:
                raise Deadlock(f"waiting for {goal}: {machine.kernel.procs.sleepers_report()}")
            if stop is not Stop.ASKED:
                over = f"{timeout_s} s of virtual time are over"
                end = "all wait for ever" if stop is Stop.ASLEEP else over
                raise ExpectTimeout(f"waiting for {goal}: {end}; the console shows {self._tail()!r}")

    def _tail(self) -> str:
        return "".join(self._unseen)[-TAIL:]
