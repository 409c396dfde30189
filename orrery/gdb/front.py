"""The front end of a machine with a gdb server: the console's own, which also looks at the server's
sockets.

Made by server.py when it begins to run the machine, and called by the machine while that runs: behind each
slice, and where it is idle.  It must not run the machine, and carries out no packet: where gdb wants
something, the server asks the machine to stop.
"""

from typing import TYPE_CHECKING, Final

from emu.events import NEVER
from orrery.machine.front import EndingFront

if TYPE_CHECKING:
    from orrery.gdb.server import Server


class ServedFront:
    """The machine's front end under `server`, with `console` to show and to wait."""

    def __init__(self, server: "Server", console: EndingFront) -> None:
        self._server: Final = server
        self._console: Final = console
        self.output: Final = console.output
        self.waits: Final = console.waits

    def idle(self, until_ticks: int) -> bool:
        if self._server.is_steering:
            return self._server.look() or self._server.has_input(until_ticks)
        if self._server.look() or self._console.idle(until_ticks):
            self._server.look()
            return True
        if until_ticks == NEVER and self._server.is_patient:
            self._server.pause()  # gdb may have an idea
            return True
        return False

    def slice(self) -> None:
        self._console.slice()
        self._server.look()
        self._server.pause_for_copy()
