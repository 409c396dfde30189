"""The q packets: queries about the server, the threads and the files, rather than about a process.

Called by stub.py while the machine stands still.  With the first of them, qSupported, gdb and the server
announce their features; what gdb does not offer is not used.  Long answers (qXfer) are read in parts.
Nothing here changes the machine.
"""

from collections.abc import Callable
from typing import Final

from orrery.gdb.errors import EINVAL, Refused, extent
from orrery.gdb.inferiors import Inferiors
from orrery.gdb.packet import OK, PACKET_BYTES_MAX, TEXT_BYTES_MAX, UNKNOWN
from orrery.gdb.runner import Runner
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.target_description import target_xml


class Queries:
    """Of the client that `inferiors` and `runner` are of."""

    def __init__(self, inferiors: Inferiors, symbols: SymbolFiles, runner: Runner) -> None:
        self._inferiors: Final = inferiors
        self._symbols: Final = symbols
        self._runner: Final = runner

    def answer(self, rest: bytes) -> bytes:
        """The answer to a packet q, without its letter; raises Refused."""
        name, _, more = rest.partition(b":")
        if name == b"Supported":
            return self._supported(more.split(b";"))
        if name == b"Xfer":
            return self._transfer(more)
        if name.startswith(b"ThreadExtraInfo,"):
            pid = self._inferiors.pid(name.partition(b",")[2])
            return f"{self._inferiors.name(pid)}, {self._inferiors.state(pid)}".encode().hex().encode()
        answers: dict[bytes, Callable[[], bytes]] = {
            b"C": lambda: b"QC" + self._inferiors.thread(self._inferiors.subject()).encode(),
            b"Attached": lambda: b"1",
            b"fThreadInfo": lambda: (
                b"m" + ",".join(map(self._inferiors.thread, self._inferiors.listed())).encode()
            ),
            b"sThreadInfo": lambda: b"l",
            b"Symbol": lambda: OK,
            b"Orrery.Moved": self._follow,
        }
        return answers[name]() if name in answers else UNKNOWN

    def _follow(self) -> bytes:
        """Whether gdb has to look again. Who asks this makes it do so."""
        self._runner.follows = True
        return b"1" if self._runner.moved else b"0"

    def _supported(self, offered: list[bytes]) -> bytes:
        self._inferiors.multi = b"multiprocess+" in offered
        self._runner.stop_replies.tells_exec = b"exec-events+" in offered and self._inferiors.multi
        self._runner.stop_replies.tells_kind = b"swbreak+" in offered
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
        offset, n = extent(where)
        if thing == b"features" and annex == b"target.xml":
            data = target_xml()
        elif thing == b"threads" and not annex:
            self._runner.stop_replies.shown()
            data = self._inferiors.threads_xml()
        elif thing == b"libraries" and not annex:
            data = self._symbols.libraries_xml()
        elif thing == b"exec-file":
            pid = self._inferiors.inferior(annex) if annex else self._inferiors.subject()
            path = self._runner.stop_replies.paths[pid] = self._symbols.path(pid)
            data = path.encode()
        else:
            raise Refused(EINVAL)
        part = data[offset : offset + min(n, TEXT_BYTES_MAX)]
        return (b"m" if offset + len(part) < len(data) else b"l") + part
