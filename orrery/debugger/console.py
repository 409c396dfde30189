"""The command loop of `orrery debug`: reads commands and prints their answers.

On a terminal, lines can be edited and completed, there is a history, and C-c stops a running machine.  A
line typed while a program waits for input goes to the program.  Without a terminal, commands come from stdin
and are echoed with their answers.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Final

from orrery.console.exit_status import BY_SIGNAL
from orrery.debugger.commands import run
from orrery.debugger.commands.interpreter import Interpreter
from orrery.debugger.debugger import Debugger
from orrery.errors import BadInput
from orrery.timetravel.time_commands import time_text
from toolchain.hostfile import LINE_BYTES_MAX
from toolchain.names import bytes_shown

PROMPT: Final = "(orrery) "
MORE: Final = ">"  # a line of a breakpoint's commands
END_OF_FILE: Final = b"\x04"
KEYS_MAX: Final = 4096  # of a line of a terminal
TELL_S: Final = 1.0  # between two words about where a search is
CLEAR: Final = "\r\x1b[K"  # the line of the terminal
LOOK_S: Final = 0.1  # between two looks whether C-c was typed
HISTORY: Final = "debug_history"  # in the cache


def talk(debugger: Debugger) -> int:
    """Debug with the user at stdin, from the program's main or the machine's first instruction on.

    The exit status.
    """
    console = DebuggerConsole(debugger, sys.stdout.write)
    try:
        console.run(_typed(console.commands) if os.isatty(0) else _piped(console.commands))
    except BrokenPipeError:  # as a program that wrote to a reader that has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BY_SIGNAL + signal.SIGPIPE
    return 0


class DebuggerConsole:
    """Carries out lines for `debugger`, and writes what they say."""

    def __init__(self, debugger: Debugger, write: Callable[[str], object]) -> None:
        self._debugger: Final = debugger
        self._write: Final = write
        self.commands: Final = Interpreter(debugger)
        self.commands.on_text = self._say
        self._told_s = 0.0  # when it was told where a search is
        self._is_told = False  # that stands on the terminal

    def run(self, lines: Iterable[str]) -> None:
        """Go to the beginning, then carry out `lines` to the end, or to quit."""
        timeline = self._debugger.target
        before = signal.signal(signal.SIGINT, self._interrupt)
        timeline.on_slice = self._look_up
        if os.isatty(0):
            self._debugger.stepper.ask_keys = self._ask_keys
            self._debugger.on_search = self._tell_search
        try:
            begin = run.at_power_on if self._debugger.programs.first is None else run.to_main
            self._say(begin(self._debugger) + self.commands.warnings())
            for line in lines:
                self._debugger.stepper.asked = False
                self._told_s = time.monotonic()
                self._say(self.commands.execute(line))
                if self.commands.quitting:
                    break
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """C-c asks for a stop; a second one, before that has come, ends the session."""
        if self._debugger.stepper.asked:
            raise KeyboardInterrupt
        self._debugger.stepper.asked = True

    def _look_up(self) -> None:
        """Called while the machine runs: print its output, and look for C-c."""
        self._debugger.stepper.look_up()
        self._show()

    def _show(self) -> None:
        if printed := self._debugger.take_output():
            self._say(printed.decode(errors="replace"))

    def _ask_keys(self) -> bytes:
        """A line that the user types for the program that waits for one; nothing after C-c."""
        self._show()
        while not self._debugger.stepper.asked:
            if select.select([0], [], [], LOOK_S)[0]:
                keys = os.read(0, KEYS_MAX)
                self._debugger.echo = keys
                return keys or END_OF_FILE
        return b""

    def _tell_search(self) -> None:
        """Report the progress of a long search backwards."""
        now = time.monotonic()
        if now - self._told_s > TELL_S:
            self._told_s, self._is_told = now, True
            self._write(f"{CLEAR}[looking back, at {time_text(self._debugger.target.sought)}; C-c ends it]")
            sys.stdout.flush()

    def _say(self, text: str) -> None:
        text = bytes_shown(text)
        self._write(f"{CLEAR}{text}" if self._is_told else text)
        self._is_told = False
        sys.stdout.flush()


def _piped(commands: Interpreter) -> Iterator[str]:
    """Lines of stdin, shown behind the prompt; an empty one repeats nothing. Raises BadInput."""
    while line := sys.stdin.readline(LINE_BYTES_MAX):
        if len(line) == LINE_BYTES_MAX:
            raise BadInput(f"stdin: a line of {LINE_BYTES_MAX} characters is no command; give a script")
        sys.stdout.write(f"{MORE if commands.is_collecting else PROMPT}{bytes_shown(line.rstrip())}\n")
        if line.strip():
            yield line
    sys.stdout.write(f"{PROMPT}\n")


def _typed(commands: Interpreter) -> Iterator[str]:
    """Lines typed at a terminal."""
    from orrery.console.line_editor import COLOUR, make_session

    session = make_session(commands.completions, HISTORY)
    while True:
        try:
            yield session.prompt([(COLOUR, MORE if commands.is_collecting else PROMPT)])
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
