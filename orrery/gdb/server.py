"""The gdb server: listens on a TCP port while a machine runs, and serves one client at a time.

Made by cli/session.py, which lets it run the machine in its place.  All is done in the machine's own thread:
behind each slice, and while the machine is idle, the server looks at its sockets, and where gdb wants
something it asks the machine to stop.

    no client   the machine runs; a client that connects makes it stop
    stopped     packets are carried out; keys for the console are kept
    running     resumed by gdb; 0x03 stops it

A client that disconnects, in whatever way, leaves the machine running as if it had never been there.
connection.py is between the server and the stub; front.py has the machine look here.
"""

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from emu.cpu.hart import USER
from emu.events import NEVER
from orrery.console.signals import Signals
from orrery.errors import BadInput
from orrery.gdb.connection import Connection
from orrery.gdb.front import ServedFront
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine.front import EndingFront
from orrery.machine.machine import Machine
from orrery.timetravel.moment import Moment
from orrery.timetravel.stops import KERNEL, StopKind, Stopped
from toolchain.names import shown

LOOPBACK: Final = "127.0.0.1"
STDIN: Final = 0


class Server:
    """Listens on `address` for a gdb to debug `machine` with, in `session`; raises BadInput.

    `wait`: the machine is not to start before one has come.  `owned`: it goes no further than to the first
    instruction of its program, and ends when the first client has gone.  `say` prints a line for a user.
    Where all wait for ever and a gdb is there, the machine waits for that too, unless it `replays`: it is at
    its end.
    """

    def __init__(
        self,
        machine: Machine,
        session: TimelineSession,
        address: tuple[str, int],
        say: Callable[[str], None],
        *,
        wait: bool,
        owned: bool = False,
        replays: bool = False,
    ) -> None:
        self._listening: Final = _listening(*address)
        self._listening.setblocking(False)
        bound, self.port = self._listening.getsockname()[:2]
        if not ip_address(bound).is_loopback:
            where = f"{bound}:{self.port}"
            say(f"orrery: warning: the gdb server on {where} obeys whoever can reach this computer")
        self._machine: Final = machine
        self._session: Final = session
        session.on_slice = self.look
        self._symbols: Final = SymbolFiles.of(session)
        self._say: Final = say
        self._wait = wait
        self._owned: Final = owned
        self._replays: Final = replays
        self._client: Connection | None = None
        self._limit: int | None = None
        self._ready: Final = os.open(os.devnull, os.O_RDONLY)  # a file that can always be read

    def close(self) -> None:
        """Let the client, the past and the port go."""
        self._let_go()
        self._session.close()
        self._listening.close()
        os.close(self._ready)

    # --- running the machine ---

    def run(
        self,
        limit: int,
        console: EndingFront,
        signals: Signals,
        ended: Callable[[], bool],
        finished: Callable[[], int | None] = lambda: None,
    ) -> Stopped:
        """Run the machine to its end, to virtual time `limit`, or until `ended`; why it stands still.

        `finished`: as of TimelineSession.  A client that is there may look at such an end, and go back from
        it.
        """
        self._console, self._signals, self._has_ended = console, signals, ended
        self._session.finished = finished
        self._limit = None if limit == NEVER else limit
        self._machine.front = ServedFront(self, console)
        signals.visitors.add(self._listening.fileno())
        self._session.begin()
        if self._owned:
            self._enter_program()
        self._say(f"orrery: {'waiting for' if self._wait else 'ready for'} gdb: target remote :{self.port}")
        while not ended():
            if self._client is not None:
                over = self._serve(self._client)
                if over is not None:
                    return over
            elif self._wait:
                self.pause()
                self._accept()
            elif finished() is not None:
                break
            else:
                stopped = self._session.resume(self._limit)
                if stopped.why != StopKind.INTERRUPT:
                    return stopped
        return Stopped(StopKind.INTERRUPT, Moment.of(self._machine.board.hart), KERNEL)

    def _enter_program(self) -> None:
        """Run to the first instruction of the first program that a process executes."""
        self._session.catch(("exec",))
        stopped = self._session.resume(self._limit)
        self._session.catch(())
        while stopped.why in (StopKind.EVENT, StopKind.STEP) and stopped.moment.priv != USER:
            stopped = self._session.step(1, stopped.pid)

    def pause_for_copy(self) -> None:
        """Let the machine stand still for a moment where its past wants to have a copy of it."""
        self._session.pause()

    def read_line(self) -> bytes | None:
        """A line that the user types at gdb's terminal; None if there was none, and the loop is to look."""
        if self.is_steering:  # gdb waits for an answer, and not for a stop
            return None
        line = None if self._client is None else self._client.read_line(self.pause)
        if line is None:
            self._session.ask_stop()
        return line

    def miss_line(self) -> bytes | None:
        """None, as no client can be asked for a line: gdb is stopped, and may type one."""
        self._say("orrery: the program waits for a line; `monitor type TEXT` types one")
        self._session.ask_stop()
        return None

    @property
    def is_patient(self) -> bool:
        """Whether to wait for a client where nothing else can happen."""
        client = self._client
        if client is None:
            return False
        return not self._replays and self._session.finished() is None

    def look(self) -> bool:
        """See to the sockets while the machine runs; whether it is to stop."""
        wanted = self._client is not None and self._client.look()
        if self._accept() or wanted or self._has_ended():
            self._session.ask_stop()
            return True
        return False

    @property
    def is_steering(self) -> bool:
        """Whether a command of the monitor moves the machine: it is not to wait for the console."""
        return self._client is not None and self._client.steering

    def has_input(self, until_ticks: int) -> bool:
        """As Front.idle, but with no more than what the console has at once, unless time is to pass there."""
        if os.isatty(STDIN) and self._machine.board.events.next_ticks != NEVER:
            return self._console.idle(until_ticks)
        self._signals.visitors.add(self._ready)  # so that nobody waits
        try:
            return self._console.idle(until_ticks) and self._machine.keyboard.pending
        finally:
            self._signals.visitors.discard(self._ready)

    def pause(self) -> None:
        """Wait until something comes: from a client, from the console's terminal, or a signal."""
        at_terminal = os.isatty(STDIN)
        self._signals.wait(STDIN if at_terminal else self._listening.fileno(), None)
        if at_terminal:
            self._console.slice()

    def _serve(self, client: Connection) -> Stopped | None:
        """Carry out packets until the client has gone or the run has ended; the stop that ended it."""
        while client.alive and client.over is None and not self._has_ended():
            if not client.work():
                if not client.looks_often():
                    self.pause()
                    client.look()
                if not client.has_work:
                    self._accept()
        if client.killed or self._owned:
            self._console.status = 0
        over = client.over
        self._let_go()
        return over

    def _accept(self) -> bool:
        """Take a client that has come, or send it away; whether there is a new one."""
        if self._client is not None and not self._client.alive:
            return False  # the next one's turn comes when that is cleared away
        try:
            sock, _ = self._listening.accept()
        except OSError:  # nobody, or one that has gone again
            return False
        if self._client is not None:
            sock.close()
            return False
        self._wait = False
        self._client = Connection(sock, self._session, self._symbols, self.look, self._limit)
        self._client.ends_with(self._has_ended)
        self._signals.visitors.add(sock.fileno())
        return True

    def _let_go(self) -> None:
        if self._client is not None:
            self._signals.visitors.discard(self._client.fileno())
            self._client.close()
            self._client = None


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises BadInput."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=1)
    except (OSError, UnicodeError) as error:  # a name that cannot be one is not looked for
        raise BadInput(
            f"no gdb server on {shown(host)}:{port}: {_reason(error)}; give another port or host with --gdb"
        ) from error


def _reason(error: OSError | UnicodeError) -> str:
    """Why there is no socket, in words: Python adds the address to those of the host."""
    if isinstance(error, UnicodeError):
        return "that is no name of a host"
    if error.errno is None or isinstance(error, socket.gaierror):  # which has numbers of its own
        return error.strerror or str(error)
    return os.strerror(error.errno)
