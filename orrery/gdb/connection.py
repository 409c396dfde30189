"""A connection: one gdb client, its socket, and what it has sent that is not carried out yet.

Made by server.py for one client at a time, and used in the machine's own thread.  Bytes become packets
(packet.py), the stub answers them, and the answers go back, with the acknowledgements that gdb wants at
first.  It blocks only where gdb takes nothing, for a limited time, and where a program wants a line.  A
client that has gone is no error: `alive` is false then, and the server drops the connection.
"""

import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

from orrery.gdb.packet import INTERRUPT, Item, Kind, Parser, encode
from orrery.gdb.stub import Stub
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.terminal_lines import Request
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.stops import Stopped

RECEIVE_BYTES: Final = 1 << 16
SEND_S_MAX: Final = 10  # a client that takes nothing for so long has gone
QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux; holds for a while only
BAD_PACKET: Final = b"E16"
LOOKING: Final = (b"m", b"x", b"g", b"p", b"H", b"T", b"q")  # packets that may come while the machine runs
LOOKS: Final = 200  # some 0.1 ms: a client's next packet comes sooner than a process is woken for it
GOING: Final = (b"vCont;", b"c", b"s", b"C", b"S")  # packets that let the machine go on


class Connection:
    """Of a client at `sock`, which debugs `session` until `limit` ticks.

    `look` sees to all sockets, and says whether the machine is to stop.
    """

    def __init__(
        self,
        sock: socket.socket,
        session: TimelineSession,
        symbols: SymbolFiles,
        look: Callable[[], bool],
        limit: int | None,
    ) -> None:
        sock.setblocking(True)  # a timeout of Python's would cost a system call more at each packet
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_S_MAX, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket: Final = sock
        self._session: Final = session
        self._parser: Final = Parser()
        self._items: Final[deque[Item]] = deque()
        self._stub: Final = Stub(session, symbols, self._tell)
        self._stub.runner.on_look = look
        self._stub.runner.limit = session.limit = limit
        self._last = b""  # what was sent last, in case it did not arrive
        self._acks = True
        self._running = False
        self._given_up = False  # the client waits no more for the answer to what is being carried out
        self.alive = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def ends_with(self, ended: Callable[[], bool]) -> None:
        """From now on report the end of the run, when `ended` says so."""
        self._stub.runner.stop_replies.has_ended = ended

    @property
    def steering(self) -> bool:
        """Whether a command of the monitor moves the machine."""
        return self._stub.commands.steering

    @property
    def over(self) -> Stopped | None:
        """The stop after which the machine does not go on."""
        return self._stub.runner.stop_replies.over

    @property
    def killed(self) -> bool:
        """Whether the client wants the machine switched off."""
        return self._stub.killed

    def close(self) -> None:
        """Leave the machine as it was."""
        self._session.come_back()
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

    def looks_often(self) -> bool:
        """Take what comes in at once, if something does; whether it did."""
        for _ in range(LOOKS):
            self.look()
            if self._items or not self.alive:
                return True
        return False

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
        while self.alive and not request.is_over and not self._stub.runner.stop_replies.has_ended():
            if not self._items:
                pause()
                if self.look():  # ^C came; gdb takes back what it is asked for, too
                    self._session.ask_stop()
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
            self._session.ask_stop()
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
