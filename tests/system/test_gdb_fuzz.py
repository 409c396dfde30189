"""Packets that are well-formed and make no sense, many of them, to a stub on a machine that runs.

Nothing is raised, each gets an answer, and the run is what it would have been.  Those that write are left out
for that; they have a run of their own.
"""

import random
import re
from collections.abc import Iterator

import pytest
from gdbs import source

from orrery.gdb.stub import Stub
from orrery.gdb.symbol_files import SymbolFiles
from orrery.gdb.timeline_session import TimelineSession
from orrery.machine.config import MachineConfig
from orrery.machine.machine import Machine
from orrery.timetravel.target import Target
from toolchain import cc, fsimage, image

PROGRAM = """
volatile int sum;
int main(void)
{
    char c;
    int fds[2];
    pipe(fds);
    if (fork() == 0)
        for (;;)
            if (read(fds[0], &c, 1) != 1 || c == 'q')
                exit(c);
    for (int i = 0; i < 300; i++) {
        sum += i;
        write(fds[1], i == 299 ? "q" : "x", 1);
    }
    wait(0);
    return sum & 0x7f;
}
"""
ROUNDS = 2500
READING = tuple(text.encode() for text in (
    "?", "g", "p0", "p20", "p41", "m0,10", "m80000000,40", "m3fffffe000,80", "T2", "Tp2.2", "qC", "!",
    "Hg0", "Hgp2.2", "Hgp1.-1", "Hc-1", "Hcp0.0", "Z0,0,4", "Z1,80000124,2", "Z2,1000,4", "Z3,1000,8",
    "Z4,3f00,40", "z0,0,4", "z1,80000124,2", "z2,1000,4", "z3,1000,8", "z4,3f00,40", "s", "c", "S05", "C02",
    "qSupported:multiprocess+;swbreak+;exec-events+", "qfThreadInfo", "qsThreadInfo", "qAttached:2",
    "qThreadExtraInfo,p2.2", "qXfer:features:read:target.xml:0,ffff", "qXfer:threads:read::0,fff",
    "qXfer:libraries:read::10,100", "qXfer:exec-file:read:2:0,100", "qRcmd,7073", "qRcmd,", "qSymbol::",
    "vCont?", "vCont;s:p2.2", "vCont;s", "vCont;r0,1000:p2.2;c:p-1.-1", "vCont;c", "vCont;t:p2.2",
    "vCont;c:p3.3", "vFile:open:2f70726f67,0,0", "vFile:pread:0,100,0", "vFile:fstat:0", "vFile:close:0",
    "vFile:setfs:0", "vAttach;2", "D;3", "QNonStop:0", "vMustReplyEmpty",
))  # fmt: skip
WRITING = tuple(text.encode() for text in (
    "M1000,4:01020304", "X1000,4:abcd", "P5=1122334455667788", "P20=0000000000000000", "G" + "00" * 520,
    "vKill;3", "qRcmd," + b"type q".hex(),
))  # fmt: skip
GOING = re.compile(rb"[csCS]|vCont;")
CHANGES = re.compile(rb"[MXPGkDb]|vKill|qRcmd,.")
"""What a mutation must not become: it changes the run, or ends it, or goes back, which takes long."""

SLICE_TICKS = 40_000  # that the machine goes on now and then


class Fuzzed:
    """A machine with PROGRAM and a stub."""

    def __init__(self, program: bytes) -> None:
        init = fsimage.FsImage(image.default_image()).read("/init")
        modules = {b"/init": init, b"prog": program}
        self.machine = Machine(MachineConfig(mem_mib=16, init_argv=(b"/init", b"prog"), modules=modules))
        self.target = TimelineSession(self.machine, Target(self.machine))
        self.target.catch(("exec",))
        assert self.target.resume().why == "event"
        self.target.catch(())
        self.told: list[bytes] = []
        self.stub = Stub(self.target, SymbolFiles.of(self.target), self.told.append)
        self.stub.runner.on_look = lambda: True  # whoever waits for long interrupts

    def send(self, payload: bytes) -> None:
        """Send a packet; what lets the machine go on is interrupted soon."""
        if GOING.match(payload):
            self.target.ask_stop()
        answer = self.stub.handle(payload)
        assert answer is None or len(answer) < 0x1_0000
        assert answer is not None or self.stub.killed

    def end(self) -> str:
        """The digest of the machine at its end."""
        self.target.come_back()
        self.stub.leave()
        while self.machine.board.exit_code is None:
            assert self.target.resume().why in ("interrupt", "exit", "event")
        digest = self.machine.digest()
        self.close()
        return digest

    def close(self) -> None:
        self.target.close()
        self.machine.close()


def mutated(chance: random.Random, payload: bytes, other: bytes) -> bytes:
    """A packet that is nearly `payload`."""
    at, to = chance.randrange(len(payload) + 1), chance.randrange(len(payload) + 1)
    piece = chance.choice(
        (b"", b"0", b"f" * 17, b"-", b",", b";", b":", b"p-1.-1", b"\0", b"}", b"\xff", other)
    )
    return payload[: min(at, to)] + piece + payload[chance.choice((at, to, max(at, to))) :]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return cc.compile_user([source(tmp_path_factory.mktemp("fuzz"), "prog", PROGRAM)])


def packets(chance: random.Random, known: tuple[bytes, ...]) -> Iterator[bytes]:
    """ROUNDS packets, half of them as they are."""
    for _ in range(ROUNDS):
        payload = chance.choice(known)
        if chance.random() < 0.5:
            payload = mutated(chance, payload, chance.choice(known))
            if CHANGES.match(payload):
                continue
        yield payload


@pytest.mark.parametrize("seed", range(3))
def test_no_packet_raises_and_those_that_only_look_change_nothing(program: bytes, seed: int) -> None:
    alone = Fuzzed(program).end()
    chance = random.Random(seed)
    fuzzed = Fuzzed(program)
    ran = 0
    for payload in packets(chance, READING):
        fuzzed.send(payload)
        if chance.random() < 0.02 and fuzzed.machine.board.exit_code is None:
            fuzzed.target.resume(fuzzed.machine.board.clock.now + SLICE_TICKS)
            ran += 1
    assert ran > 20 and fuzzed.told, "the machine went on, and persons were told something"
    assert fuzzed.end() == alone


def test_packets_that_write_do_not_raise_either(program: bytes) -> None:
    chance = random.Random(7)
    fuzzed = Fuzzed(program)
    for at, payload in enumerate(packets(chance, (*READING, *WRITING))):
        fuzzed.send(payload)
        if at % 50 == 0 and fuzzed.machine.board.exit_code is None:
            fuzzed.target.resume(fuzzed.machine.board.clock.now + SLICE_TICKS)
    fuzzed.stub.leave()
    fuzzed.close()
