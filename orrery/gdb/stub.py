"""The stub: carries out gdb's packets on a machine that stands still, and gives the answers.

No socket is known here: server.py hands over payloads and sends what comes back.  The packets that let the
machine go on are in runner.py.  A packet that is not known is answered by nothing (`$#00`), which tells gdb
so; one that is wrong, or asks for what there is not, by an error.  No packet raises.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orrery.debugger.target import KERNEL
from orrery.errors import CannotGoOn
from orrery.gdb.breakpoints import KINDS as TYPES
from orrery.gdb.breakpoints import Breakpoints
from orrery.gdb.errors import EFAULT, EINVAL, ESRCH, Refused, number, unhex
from orrery.gdb.features import GENERAL_COUNT, NUMBERS, target_xml, words
from orrery.gdb.inferiors import ALL, Inferiors
from orrery.gdb.orders import Orders
from orrery.gdb.packet import PACKET_BYTES_MAX
from orrery.gdb.programs import Programs
from orrery.gdb.runner import Runner
from orrery.gdb.traveller import Traveller

if TYPE_CHECKING:
    from orrery.debugger.place import Place

WORD_BYTES: Final = 8
MEMORY_BYTES_MAX: Final = PACKET_BYTES_MAX // 2 - 16  # two digits a byte
TEXT_BYTES_MAX: Final = MEMORY_BYTES_MAX // 2
OK: Final = b"OK"
UNKNOWN: Final = b""


class Stub:
    """One client's view of `traveller`.

    `tell` sends a packet before the answer.  `detached` is set when the client wants no more, `killed` when
    it wants the machine switched off.
    """

    def __init__(self, traveller: Traveller, programs: Programs, tell: Callable[[bytes], None]) -> None:
        self._traveller: Final = traveller
        self._programs: Final = programs
        self._tell: Final = tell
        self._inferiors: Final = Inferiors(traveller)
        self._breakpoints: Final = Breakpoints(self._set_places)
        self.runner: Final = Runner(traveller, self._inferiors, self._breakpoints, programs, self._print)
        self.orders: Final = Orders(traveller, self.runner)
        self._stepping: int | None = None  # of Hc; None: whoever is current
        self.no_ack = False
        self.detached = False
        self.killed = False
        self._commands: Final[dict[bytes, Callable[[bytes], bytes]]] = {
            b"!": lambda rest: OK, b"?": lambda rest: self.runner.why(), b"D": self._detach,
            b"g": self._read_general, b"G": self._write_general, b"p": self._read_one, b"P": self._write_one,
            b"m": self._read_memory, b"M": self._write_hex, b"X": self._write_binary,
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
        self._traveller.catch(())

    def _set_places(self, places: "list[Place]") -> None:
        self._traveller.set_places(self.runner.calls.with_traps(places))

    def _print(self, text: str) -> None:
        """Show a person `text` in gdb."""
        data = text.encode()
        for at in range(0, len(data), TEXT_BYTES_MAX):
            self._tell(b"O" + data[at : at + TEXT_BYTES_MAX].hex().encode())

    # --- which process ---

    @property
    def _pid(self) -> int:
        chosen = self._inferiors.chosen
        return self._inferiors.current() if chosen is None else chosen

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
            self._inferiors.chosen = pid  # whoever names none means the one that it was told of last
        return OK

    @property
    def _stepping_pid(self) -> int:
        """Who is to make the step of a packet that names nobody."""
        return self._inferiors.current() if self._stepping is None else self._stepping

    def _alive(self, rest: bytes) -> bytes:
        if not self._inferiors.has(self._inferiors.pid(rest)):
            raise Refused(ESRCH)
        return OK

    # --- registers ---

    def _registers(self) -> list[int]:
        """Those of the chosen process; of one that has ended, and that gdb still shows, zeroes."""
        pid = self._pid
        if not self._inferiors.has(pid) and pid in self._inferiors.known:
            return [0] * len(NUMBERS)
        values = self._traveller.registers(pid)
        if pid == self.runner.crashed != KERNEL:
            values = self._programs.user_registers(pid, values)
        if pid == KERNEL and self._inferiors.current() != KERNEL:
            values = self._programs.scheduler_registers(values)
        return [values[number] for number in NUMBERS]

    def _read_general(self, rest: bytes) -> bytes:
        if self._pid == self._inferiors.current() and not self.runner.follows:
            self.runner.seen()
        return words(self._registers()[:GENERAL_COUNT])

    def _write_general(self, rest: bytes) -> bytes:
        data = unhex(rest)
        if len(data) % WORD_BYTES or len(data) > len(NUMBERS) * WORD_BYTES:
            raise Refused(EINVAL)
        before = self._registers()
        for index, at in enumerate(range(0, len(data), WORD_BYTES)):
            value = int.from_bytes(data[at : at + WORD_BYTES], "little")
            if value != before[index]:
                self._write(index, value)
        return OK

    def _read_one(self, rest: bytes) -> bytes:
        index = number(rest)
        if index >= len(NUMBERS):
            raise Refused(EINVAL)
        return words([self._registers()[index]])

    def _write_one(self, rest: bytes) -> bytes:
        index, _, value = rest.partition(b"=")
        data = unhex(value)
        if len(data) != WORD_BYTES or number(index) >= len(NUMBERS):
            raise Refused(EINVAL)
        self._write(number(index), int.from_bytes(data, "little"))
        return OK

    def _write(self, index: int, value: int) -> None:
        if not self._traveller.set_register(self._pid, NUMBERS[index], value):
            raise Refused(EINVAL)

    # --- memory ---

    def _read_memory(self, rest: bytes) -> bytes:
        va, n = _range(rest)
        # Before it can step, gdb wants to read the stack of who is not there any more.
        if self.runner.moved and not self._inferiors.has(self._pid):
            return bytes(min(n, MEMORY_BYTES_MAX)).hex().encode()
        data = self._traveller.read(self._pid, va, min(n, MEMORY_BYTES_MAX))
        if n and not data:
            raise Refused(EFAULT)
        return data.hex().encode()

    def _write_hex(self, rest: bytes) -> bytes:
        where, _, text = rest.partition(b":")
        return self._store(where, unhex(text))

    def _write_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._store(where, data)

    def _store(self, where: bytes, data: bytes) -> bytes:
        va, n = _range(where)
        if n != len(data):
            raise Refused(EINVAL)
        if n and not self._traveller.write(self._pid, va, data):
            raise Refused(EFAULT)
        return OK

    def _insert(self, rest: bytes) -> bytes:
        if rest[:1] not in TYPES:
            return UNKNOWN
        self._breakpoints.insert(self._pid, rest)
        if self._breakpoints.in_program(self._pid):
            self.runner.awaits(self._pid)
        return OK

    def _remove(self, rest: bytes) -> bytes:
        if rest[:1] not in TYPES:
            return UNKNOWN
        self._breakpoints.remove(self._pid, rest)
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
                return self.runner.back(self._traveller.reverse_resume)
            return self.runner.back(lambda: self._traveller.reverse_step(pid), pid)
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
            if not self._traveller.kill(pid):
                raise Refused(ESRCH)
            self._breakpoints.forget(pid)
            self._inferiors.detached.add(pid)
            return OK
        if rest.startswith(b"File:"):
            operation, _, arguments = rest[len(b"File:") :].partition(b":")
            return self._programs.files.answer(operation, arguments.split(b",") if arguments else [])
        return UNKNOWN

    def _attach(self, pid: int) -> bytes:
        if not self._inferiors.has(pid):
            raise Refused(ESRCH)
        self._inferiors.detached.discard(pid)
        return self.runner.stopped_in(pid)

    def _set(self, rest: bytes) -> bytes:
        if rest == b"StartNoAckMode":
            self.no_ack = True
            return OK
        if rest in (b"NonStop:0", b"NonStop:1"):
            return OK if rest.endswith(b"0") else str(Refused(EINVAL)).encode()
        return UNKNOWN

    def _query(self, rest: bytes) -> bytes:
        name, _, more = rest.partition(b":")
        if name == b"Supported":
            return self._supported(more.split(b";"))
        if name == b"Xfer":
            return self._transfer(more)
        if name.startswith(b"Rcmd,"):
            return self._order(unhex(name[len(b"Rcmd,") :]).decode(errors="replace"))
        if name.startswith(b"ThreadExtraInfo,"):
            pid = self._inferiors.pid(name.partition(b",")[2])
            return f"{self._inferiors.name(pid)}, {self._inferiors.state(pid)}".encode().hex().encode()
        answers: dict[bytes, Callable[[], bytes]] = {
            b"C": lambda: b"QC" + self._inferiors.thread(self._pid).encode(),
            b"Attached": lambda: b"1",
            b"fThreadInfo": lambda: (
                b"m" + ",".join(map(self._inferiors.thread, self._inferiors.listed())).encode()
            ),
            b"sThreadInfo": lambda: b"l",
            b"Symbol": lambda: OK,
            b"Orrery.Moved": self._follow,
        }
        return answers[name]() if name in answers else UNKNOWN

    def _order(self, line: str) -> bytes:
        """A command of the monitor."""
        self._print(self.orders.execute(line))
        self.killed |= self.orders.quits
        return OK

    def _follow(self) -> bytes:
        """Whether gdb has to look again. Who asks this makes it do so."""
        self.runner.follows = True
        return b"1" if self.runner.moved else b"0"

    def _supported(self, offered: list[bytes]) -> bytes:
        self._inferiors.multi = b"multiprocess+" in offered
        self.runner.tells_exec = b"exec-events+" in offered and self._inferiors.multi
        self.runner.tells_kind = b"swbreak+" in offered
        ours = [
            b"PacketSize=%x" % PACKET_BYTES_MAX, b"QStartNoAckMode+", b"vContSupported+",
            b"qXfer:features:read+", b"qXfer:threads:read+", b"qXfer:exec-file:read+",
            b"qXfer:libraries:read+", b"ReverseStep+", b"ReverseContinue+",
        ]  # fmt: skip
        ours += [
            feature
            for feature in (b"multiprocess+", b"exec-events+", b"swbreak+", b"hwbreak+")
            if feature in offered
        ]
        return b";".join(ours)

    def _transfer(self, rest: bytes) -> bytes:
        parts = rest.split(b":")
        if len(parts) != 4 or parts[1] != b"read":
            return UNKNOWN
        thing, _, annex, where = parts
        offset, n = _range(where)
        if thing == b"features" and annex == b"target.xml":
            data = target_xml()
        elif thing == b"threads" and not annex:
            self.runner.shown()
            data = self._inferiors.threads_xml()
        elif thing == b"libraries" and not annex:
            data = self._programs.libraries_xml()
        elif thing == b"exec-file":
            pid = self._inferiors.inferior(annex) if annex else self._pid
            path = self.runner.paths[pid] = self._programs.path(pid)
            data = path.encode()
        else:
            raise Refused(EINVAL)
        part = data[offset : offset + min(n, TEXT_BYTES_MAX)]
        return (b"m" if offset + len(part) < len(data) else b"l") + part


def _range(text: bytes) -> tuple[int, int]:
    """address,length"""
    first, comma, second = text.partition(b",")
    if not comma:
        raise Refused(EINVAL)
    return number(first), number(second)
