"""The server: waits for a gdb on a TCP port while a machine runs, and serves one at a time.

Made by session.py, which lets it run the machine in its place.  All is done in the machine's own thread: when
a slice is over, and while the machine is idle, the server looks at its sockets, and where gdb wants something
it asks the machine to stop.

    nobody there   the machine runs; a client that comes makes it stop
    stopped        packets are carried out; keys for the console are kept
    running        at gdb's wish; 0x03 stops it

A client that goes, whether it says so or not, leaves the machine running as if it had never been there.
"""

import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Protocol

from emu.events import NEVER
from emu.hart import USER
from orrery.debugger.moment import Moment
from orrery.debugger.stops import KERNEL, Stopped
from orrery.errors import BadInput
from orrery.gdb.lines import Request
from orrery.gdb.packet import INTERRUPT, Item, Kind, Parser, encode
from orrery.gdb.programs import Programs
from orrery.gdb.stub import Stub
from orrery.gdb.traveller import Traveller
from orrery.machine import Front, Machine
from orrery.signals import Signals

LOOPBACK: Final = "127.0.0.1"
STDIN: Final = 0
RECEIVE_BYTES: Final = 1 << 16
SEND_S_MAX: Final = 10  # a client that takes nothing for so long has gone
QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux; holds for a while only
BAD_PACKET: Final = b"E16"
LOOKING: Final = (b"m", b"x", b"g", b"p", b"H", b"T", b"q")  # packets that may come while the machine runs
GOING: Final = (b"vCont;", b"c", b"s", b"C", b"S")  # packets that let the machine go on


class Console(Front, Protocol):
    """Who sits at the machine's console; `status` is set when they have switched it off."""

    status: int | None


class Server:
    """Listens on `address` for a gdb to debug `machine` with, as `traveller`; raises BadInput.

    `wait`: the machine is not to start before one has come.  `owned`: it goes no further than to the first
    instruction of its program, and ends when the first client has gone.  `say` prints a line for a person.
    Where all wait for ever and a gdb is there, the machine waits for that too, unless it `replays`: it is at
    its end.
    """

    def __init__(
        self,
        machine: Machine,
        traveller: Traveller,
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
        self._traveller: Final = traveller
        traveller.on_slice = self.look
        self._programs: Final = Programs.of(traveller)
        self._say: Final = say
        self._wait = wait
        self._owned: Final = owned
        self._replays: Final = replays
        self._client: _Client | None = None
        self._limit: int | None = None
        self._ready: Final = os.open(os.devnull, os.O_RDONLY)  # a file that can always be read

    def close(self) -> None:
        """Let the client, the past and the port go."""
        self._let_go()
        self._traveller.close()
        self._listening.close()
        os.close(self._ready)

    # --- running the machine ---

    def run(
        self,
        limit: int,
        console: Console,
        signals: Signals,
        ended: Callable[[], bool],
        finished: Callable[[], int | None] = lambda: None,
    ) -> Stopped:
        """Run the machine to its end, to virtual time `limit`, or until `ended`; why it stands still.

        `finished`: as of Traveller.  A client that is there may look at such an end, and go back from it.
        """
        self._console, self._signals, self._has_ended = console, signals, ended
        self._traveller.finished = finished
        self._limit = None if limit == NEVER else limit
        self._machine.front = _Front(self, console)
        signals.visitors.add(self._listening.fileno())
        self._traveller.begin()
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
                stopped = self._traveller.resume(self._limit)
                if stopped.why != "interrupt":
                    return stopped
        return Stopped("interrupt", Moment.of(self._machine.board.hart), KERNEL)

    def _enter_program(self) -> None:
        """Run to the first instruction of the first program that a process executes."""
        self._traveller.catch(("exec",))
        stopped = self._traveller.resume(self._limit)
        self._traveller.catch(())
        while stopped.why in ("event", "step") and stopped.moment.priv != USER:
            stopped = self._traveller.step(1, stopped.pid)

    def pause_for_copy(self) -> None:
        """Let the machine stand still for a moment where its past wants to have a copy of it."""
        self._traveller.pause()

    def read_line(self) -> bytes | None:
        """A line that the person types at gdb's terminal; None if there was none, and the loop is to look."""
        if self.is_steering:  # gdb waits for an answer, and not for a stop
            return None
        line = None if self._client is None else self._client.read_line(self.pause)
        if line is None:
            self._traveller.ask_stop()
        return line

    def miss_line(self) -> bytes | None:
        """None, for there is nobody to ask for a line: gdb is stopped, and may type one."""
        self._say("orrery: the program waits for a line; `monitor type TEXT` types one")
        self._traveller.ask_stop()
        return None

    @property
    def is_patient(self) -> bool:
        """Whether to wait for a client where nothing else can happen."""
        client = self._client
        if client is None:
            return False
        return not self._replays and self._traveller.finished() is None

    def look(self) -> bool:
        """See to the sockets while the machine runs; whether it is to stop."""
        wanted = self._client is not None and self._client.look()
        if self._accept() or wanted or self._has_ended():
            self._traveller.ask_stop()
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

    def _serve(self, client: "_Client") -> Stopped | None:
        """Carry out packets until the client has gone or the run has ended; the stop that ended it."""
        while client.alive and client.over is None and not self._has_ended():
            if not client.work():
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
        self._client = _Client(sock, self._traveller, self._programs, self.look, self._limit)
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
    except OSError as error:
        # Python's own errors have a text, and no number that had one.
        raise BadInput(
            f"no gdb server on {host}:{port}: {error.strerror or error}; give another port or host with --gdb"
        ) from error


class _Client:
    """A gdb that is connected."""

    def __init__(
        self,
        sock: socket.socket,
        traveller: Traveller,
        programs: Programs,
        look: Callable[[], bool],
        limit: int | None,
    ) -> None:
        sock.setblocking(True)  # a timeout of Python's would cost a system call more at each packet
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_S_MAX, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket: Final = sock
        self._traveller: Final = traveller
        self._parser: Final = Parser()
        self._items: Final[deque[Item]] = deque()
        self._stub: Final = Stub(traveller, programs, self._tell)
        self._stub.runner.on_look = look
        self._stub.runner.limit = traveller.limit = limit
        self._last = b""  # what was sent last, in case it did not arrive
        self._acks = True
        self._running = False
        self._given_up = False  # the client waits no more for the answer to what is being carried out
        self.alive = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def ends_with(self, ended: Callable[[], bool]) -> None:
        """From now on tell the client of an end that `ended` tells of."""
        self._stub.runner.has_ended = ended

    @property
    def steering(self) -> bool:
        """Whether a command of the monitor moves the machine."""
        return self._stub.steering

    @property
    def over(self) -> Stopped | None:
        """The stop after which the machine does not go on."""
        return self._stub.runner.over

    @property
    def killed(self) -> bool:
        """Whether the client wants the machine switched off."""
        return self._stub.killed

    def close(self) -> None:
        """Leave the machine as it was."""
        self._traveller.come_back()
        self._stub.leave()
        self._socket.close()

    def look(self) -> bool:
        """Take what has come in; whether the machine, if it runs, is to stop for it."""
        stop = False
        is_full = True
        while self.alive and is_full:
            data = self._received()
            is_full = len(data) == RECEIVE_BYTES
            for item in self._parser.feed(data):
                if item.kind is Kind.INTERRUPT and self._running:
                    stop = True
                else:  # gdb's ^C ends its own waiting for the monitor, and sends nothing but its next packet
                    self._given_up |= self.steering and item.kind is Kind.PACKET
                    stop |= self._given_up
                    self._items.append(item)
        return stop or not self.alive

    def _received(self) -> bytes:
        """What has come in, which may be nothing."""
        try:
            data = self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.alive = bool(data)
        if (
            data and self._acks and QUICK_ACK is not None
        ):  # a client that sends + on its own has to wait for ours else
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        return data

    @property
    def has_work(self) -> bool:
        """Whether there is something to carry out."""
        return bool(self._items)

    def read_line(self, pause: Callable[[], None]) -> bytes | None:
        """Ask for a line while the machine runs; None where ^C came. `pause` waits for what comes in."""
        request = Request()
        self._send(request.packet)
        while self.alive and not request.is_over and not self._stub.runner.has_ended():
            if not self._items:
                pause()
                if self.look():  # ^C came; gdb takes back what it is asked for, too
                    self._traveller.ask_stop()
            elif self._items[0].kind is Kind.PACKET and not self._items[0].payload.startswith(LOOKING):
                self._acknowledge()
                answer = request.answer(self._items.popleft().payload)
                if answer is not None:
                    self._send(answer)
            else:
                self.work()
                self._running = True
        return request.line

    def work(self) -> bool:
        """Carry out one thing that has come in; whether there was one."""
        if not self._items:
            return False
        item = self._items.popleft()
        if item.kind is Kind.PACKET:
            self._carry_out(item.payload)
        elif item.kind is Kind.BAD:
            self._transmit(b"-" if self._acks else encode(BAD_PACKET))
        elif item.kind is Kind.NACK and self._acks:
            self._transmit(self._last)
        return True

    def _acknowledge(self) -> None:
        if self._acks:
            self._transmit(b"+")

    def _carry_out(self, payload: bytes) -> None:
        self._acknowledge()
        if payload.startswith(GOING) and INTERRUPT in self._items:
            self._items.remove(INTERRUPT)  # it came before the machine could go
            self._traveller.ask_stop()
        self._running = True
        answer = self._stub.handle(payload)
        self._running = False
        if answer is not None:
            self._tell(answer)
        self._given_up = False
        self._acks = not self._stub.no_ack
        if self._stub.detached or self._stub.killed:
            self.alive = False

    def _tell(self, payload: bytes) -> None:
        """Send a packet, if the client still waits for it."""
        if not self._given_up:
            self._send(payload)

    def _send(self, payload: bytes) -> None:
        self._last = encode(payload)
        self._transmit(self._last)

    def _transmit(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            self.alive = False


class _Front:
    """The machine's front end under `server`: the console's, with a look at the sockets now and then."""

    def __init__(self, server: Server, console: Console) -> None:
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
