"""The gdb stub: carries out packets on a machine that stands still, and returns the answers.

There is no I/O here: connection.py hands over payloads and sends the answers.  Packets that resume the
machine are in runner.py, those on registers and memory in access.py, and the q packets in queries.py.  An
unknown packet gets the empty answer (`$#00`), as the protocol demands; a malformed one, or one that asks for
what does not exist, an error.  No packet raises.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orrery.errors import CannotGoOn
from orrery.gdb.access import Access
from orrery.gdb.breakpoints import KINDS as TYPES
from orrery.gdb.breakpoints import RemoteBreakpoints
from orrery.gdb.errors import EINVAL, ESRCH, Refused, unhex
from orrery.gdb.inferiors import ALL, Inferiors
from orrery.gdb.monitor_commands import MonitorCommands
from orrery.gdb.packet import OK, TEXT_BYTES_MAX, UNKNOWN
from orrery.gdb.queries import Queries
from orrery.gdb.runner import Runner
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.timeline_session import TimelineSession

if TYPE_CHECKING:
    from orrery.timetravel.place import Place


class Stub:
    """One client's view of `session`.

    `tell` sends a packet before the answer.  `detached` is set when the client wants no more, `killed` when
    it wants the machine switched off.
    """

    def __init__(self, session: TimelineSession, symbols: SymbolFiles, tell: Callable[[bytes], None]) -> None:
        self._session: Final = session
        self._symbols: Final = symbols
        self._tell: Final = tell
        self._inferiors: Final = Inferiors(session)
        self._breakpoints: Final = RemoteBreakpoints(self._set_places)
        self.runner: Final = Runner(session, self._inferiors, self._breakpoints, symbols, self._print)
        self.commands: Final = MonitorCommands(session, self.runner)
        self._queries: Final = Queries(self._inferiors, symbols, self.runner)
        access = Access(session, self._inferiors, symbols, self.runner)
        self._stepping: int | None = None  # of Hc; None: the current process
        self.no_ack = False
        self.detached = False
        self.killed = False
        self._commands: Final[dict[bytes, Callable[[bytes], bytes]]] = {
            b"!": lambda rest: OK, b"?": lambda rest: self.runner.stop_replies.why(), b"D": self._detach,
            b"g": access.read_general, b"G": access.write_general,
            b"p": access.read_one, b"P": access.write_one,
            b"m": access.read_memory, b"M": access.write_hex, b"X": access.write_binary,
            b"H": self._choose, b"T": self._alive, b"k": self._switch_off,
            b"Z": self._insert, b"z": self._remove,
            b"c": lambda rest: self.runner.cont(), b"s": self._step,
            b"C": lambda rest: self.runner.cont(), b"S": self._step,
            b"b": self._back, b"q": self._query, b"Q": self._set, b"v": self._verbose,
        }  # fmt: skip

    def handle(self, payload: bytes) -> bytes | None:
        """The answer to a packet, None where there is to be none."""
        command = self._commands.get(payload[:1])
        if command is None:
            return UNKNOWN
        try:
            answer = command(payload[1:])
        except Refused as error:
            return str(error).encode()
        except LookupError:  # a process that has gone
            return str(Refused(ESRCH)).encode()
        return None if self.killed else answer

    def leave(self) -> None:
        """The client has gone: the machine is as if it had never been there."""
        self._breakpoints.clear()
        self._session.catch(())

    def _set_places(self, places: "list[Place]") -> None:
        self._session.set_places(self.runner.stop_replies.calls.with_traps(places))

    def _print(self, text: str) -> None:
        """Show a user `text` in gdb."""
        data = text.encode()
        for at in range(0, len(data), TEXT_BYTES_MAX):
            self._tell(b"O" + data[at : at + TEXT_BYTES_MAX].hex().encode())

    # --- which process ---

    def _choose(self, rest: bytes) -> bytes:
        operation, thread = rest[:1], rest[1:]
        if operation not in (b"c", b"g"):
            raise Refused(EINVAL)
        pid = self._inferiors.pid(thread)
        is_any = pid == ALL or thread in (b"0", b"p0.0")
        if not is_any and not self._inferiors.has(pid) and pid not in self._inferiors.known:
            raise Refused(ESRCH)
        if operation == b"c":
            self._stepping = None if is_any else pid
        elif not is_any:
            self._inferiors.chosen = pid  # packets without a process mean the one reported last
        return OK

    @property
    def _stepping_pid(self) -> int:
        """The process to step, for a packet that names none."""
        return self._inferiors.current() if self._stepping is None else self._stepping

    def _alive(self, rest: bytes) -> bytes:
        if not self._inferiors.has(self._inferiors.pid(rest)):
            raise Refused(ESRCH)
        return OK

    # --- breakpoints ---

    def _insert(self, rest: bytes) -> bytes:
        if rest[:1] not in TYPES:
            return UNKNOWN
        self._breakpoints.insert(self._inferiors.subject(), rest)
        if self._breakpoints.in_program(self._inferiors.subject()):
            self.runner.stop_replies.awaits(self._inferiors.subject())
        return OK

    def _remove(self, rest: bytes) -> bytes:
        if rest[:1] not in TYPES:
            return UNKNOWN
        self._breakpoints.remove(self._inferiors.subject(), rest)
        return OK

    # --- going on, and the end ---

    def _step(self, rest: bytes) -> bytes:
        return self.runner.step(self._stepping_pid)

    def _back(self, rest: bytes) -> bytes:
        if rest not in (b"s", b"c"):
            return UNKNOWN
        pid = self._inferiors.current() if self.runner.moved else self._stepping_pid
        try:
            if rest == b"c":
                return self.runner.back(self._session.reverse_resume)
            return self.runner.back(lambda: self._session.reverse_step(pid), pid)
        except CannotGoOn as error:
            self._print(f"{error}\n")
            raise Refused(EINVAL) from error

    def _detach(self, rest: bytes) -> bytes:
        if rest[:1] != b";":
            self.detached = True
            return OK
        pid = self._inferiors.inferior(rest[1:])
        if pid not in self._inferiors.known:
            raise Refused(ESRCH)
        self._breakpoints.forget(pid)
        self._inferiors.detached.add(pid)
        self.detached = self._inferiors.known <= self._inferiors.detached
        return OK

    def _switch_off(self, rest: bytes) -> bytes:
        self.killed = True
        return UNKNOWN

    # --- packets with names ---

    def _verbose(self, rest: bytes) -> bytes:
        name, separator, more = rest.partition(b";")
        if rest == b"Cont?":
            return b"vCont;c;C;s;S;t;r"
        if name == b"Cont" and separator:
            return self.runner.vcont(more)
        if name == b"Attach":
            return self._attach(self._inferiors.inferior(more))
        if name == b"Kill":
            pid = self._inferiors.inferior(more)
            if not self._session.kill(pid):
                raise Refused(ESRCH)
            self._breakpoints.forget(pid)
            self._inferiors.detached.add(pid)
            return OK
        if rest.startswith(b"File:"):
            operation, _, arguments = rest[len(b"File:") :].partition(b":")
            return self._symbols.files.answer(operation, arguments.split(b",") if arguments else [])
        return UNKNOWN

    def _attach(self, pid: int) -> bytes:
        if not self._inferiors.has(pid):
            raise Refused(ESRCH)
        self._inferiors.detached.discard(pid)
        return self.runner.stop_replies.stopped_in(pid)

    def _set(self, rest: bytes) -> bytes:
        if rest == b"StartNoAckMode":
            self.no_ack = True
            return OK
        if rest in (b"NonStop:0", b"NonStop:1"):
            return OK if rest.endswith(b"0") else str(Refused(EINVAL)).encode()
        return UNKNOWN

    def _query(self, rest: bytes) -> bytes:
        if rest.startswith(b"Rcmd,"):
            return self._command(unhex(rest[len(b"Rcmd,") :]).decode(errors="replace"))
        return self._queries.answer(rest)

    def _command(self, line: str) -> bytes:
        """A command of the monitor."""
        self._print(self.commands.execute(line))
        self.killed |= self.commands.quits
        return OK
