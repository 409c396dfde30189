"""The monitor's prompt at a terminal.

Made by terminal.py when the person types C-a c; it has the terminal until the person goes back to the guest.
Lines are edited as in a shell; besides there are

    C-a c, ^D on an empty line    go back to the guest        C-a x    end the run
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from prompt_toolkit.application import get_app
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent

from orrery.console.line_editor import COLOUR, make_session
from orrery.console.signals import Signals
from orrery.inspect.monitor import COMMANDS, Monitor
from orrery.inspect.tables import look_of
from orrery.machine.machine import Machine
from orrery.machine.output import Write

PROMPT: Final = "(orrery) "
HISTORY: Final = "monitor_history"  # in the cache
STDOUT: Final = 1


class Called(Exception):
    """Somebody else wants the machine: a signal came, or a gdb."""


class Prompt:
    """Commands for a monitor of `machine`, typed at the terminal; `write` reaches it, `signals` end it.

    `closed`: the person has gone back to the guest, or ended the run (`quitting`).
    """

    def __init__(self, machine: Machine, write: Write, signals: Signals) -> None:
        self._monitor: Final = Monitor(machine)
        self._write: Final = write
        self._signals: Final = signals
        self._session: Final = make_session(_names, HISTORY, self._bindings())
        self._text = ""  # what was typed when somebody else wanted the machine
        self.closed = True

    @property
    def quitting(self) -> bool:
        """Whether the run is to end."""
        return self._monitor.quitting

    def talk(self, keys: bytes) -> bytes:
        """Carry out commands, the first of which begins with `keys`; returns what was typed behind the last.

        If the prompt is not closed then, somebody else wants the machine.
        """
        store_typeahead(self._session.input, _presses(keys))
        self._write(b"\n")
        self.closed = False
        try:
            while not self.closed:
                line = self._ask()
                self._monitor.look = look_of(STDOUT)
                self._write(self._monitor.execute(line).encode(errors="backslashreplace"))
                self.closed = self.quitting
        except EOFError:
            self.closed = True
        except Called:
            return b""
        return b"".join(map(_bytes, get_typeahead(self._session.input)))

    def _ask(self) -> str:
        """A line; raises EOFError when the person leaves, and Called."""
        before, self._text = self._text, ""
        with ExitStack() as stack:
            return self._session.prompt(
                [(COLOUR, PROMPT)], default=before, handle_sigint=False, pre_run=lambda: self._begin(stack)
            )

    def _begin(self, stack: ExitStack) -> None:
        """Let signals, and what else a Signals waits for, end the asking."""
        loop, app = asyncio.get_running_loop(), get_app()

        def call() -> None:
            if app.is_running and not app.is_done:
                self._text = app.current_buffer.text
                app.exit(exception=Called)

        def call_from_handler() -> None:
            loop.call_soon_threadsafe(call)

        stack.enter_context(self._signals.lent(call_from_handler))
        for fd in self._signals.visitors:
            loop.add_reader(fd, call)
        if self._signals.came:
            loop.call_soon(call)

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("c-c")
        def _drop(event: KeyPressEvent) -> None:
            event.app.current_buffer.reset()

        @keys.add("c-a", "c")
        @keys.add("c-a", "C")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit(exception=EOFError)

        @keys.add("c-a", "x")
        @keys.add("c-a", "X")
        def _quit(event: KeyPressEvent) -> None:
            self._monitor.execute("quit")
            event.app.exit(exception=EOFError)

        return keys


def _names(text: str) -> Iterator[str]:
    """The commands that begin with the first word of a line."""
    if " " not in text:
        yield from (f"{command.name} " for command in COMMANDS if command.name.startswith(text))


def _presses(keys: bytes) -> list[KeyPress]:
    """Bytes of a terminal as prompt_toolkit takes them."""
    presses: list[KeyPress] = []
    parser = Vt100Parser(presses.append)
    parser.feed_and_flush(keys.decode("utf-8", "surrogateescape"))
    return presses


def _bytes(press: KeyPress) -> bytes:
    return press.data.encode("utf-8", "surrogateescape")
