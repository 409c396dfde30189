"""Clients of the gdb server that do what no gdb does: packets by hand, wrong ones, and none at all."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from debugged import symbols
from gdbs import PROGRAM, SPIN, WALL_S_MAX, Client, Served, source
from orrery_cli import orrery


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.port) as it:
        yield it


def test_wrong_requests_are_answered_by_errors_and_harm_nothing(served: Served, client: Client) -> None:
    assert client.ask("?").startswith("T05")
    for wrong in (
        "m", "m0", "mzz,4", "m0,", "mffffffffffffffff0,1", "m7000000000,8",
        "M0,4:00", "M7000000000,1:00", "X0,5:ab",
        "p99", "pzz", "p", "P0", "P99=0000000000000000", "P1=00", "Gxy", "G00",
        "Z0,", "Z0,0,0", "Z2,0,ffffff", "Z0,zz,4", "z0,1",
        "Hgp77.77", "Hgp1.2", "Hx0", "Hg", "Tp77.77", "T", "D;77", "D;",
        "vCont;", "vCont;x", "vCont;r1:p2.2", "vKill;77", "vKill;1", "vAttach;77",
        "qXfer:features:read:none.xml:0,10", "qXfer:exec-file:read:77:0,10", "qXfer:threads:read::0",
        "qRcmd,6", "QNonStop:1", "vFile:open:zz,0,0",
    ):  # fmt: skip
        assert re.fullmatch(r"E[0-9a-f]{2}", client.ask(wrong)), wrong
    for unknown in (
        "",
        "j",
        "vMustReplyEmpty",
        "qNothing",
        "QNothing",
        "Z9,0,4",
        "bx",
        "vFile:unlink:00",
        "\x01",
    ):
        assert client.ask(unknown) == "", unknown
    assert client.ask("m80000000,4") != "" and client.ask("vFile:pread:5,10,0") == "F-1,9"
    assert client.ask("qRcmd," + b"nonsense".hex()).startswith("O")
    assert client.answer() == "OK" and client.ask("D") == "OK"
    assert served.end()[:2] == (7, "hello 7\n")


def test_damaged_packets_are_asked_for_again(served: Served, client: Client) -> None:
    client.acks.clear()
    client.socket.sendall(b"$g#00")
    assert client.next_ack().value == "-"
    client.socket.sendall(b"$" + b"x" * 300_000 + b"#00")
    assert client.next_ack().value == "-"
    assert client.ask("QStartNoAckMode") == "OK"
    client.socket.sendall(b"$g#00")
    assert client.answer() == "E16"
    assert client.ask("qC").startswith("QC")


def test_one_client_at_a_time_and_one_that_vanishes_leaves_the_machine_running(served: Served) -> None:
    with Client(served.port) as first:
        assert first.ask("?").startswith("T05")
        second = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        first.ask("qC")
        assert second.recv(10) == b"", "the second is sent away"
        assert first.ask("Z0,0,4") == "OK"
        first.socket.sendall(b"$vCont;c#")  # and it is gone, in the middle of a packet
    assert served.end()[:2] == (7, "hello 7\n")


def test_interrupting_a_program_that_computes_and_one_that_vanishes_meanwhile(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "spin", SPIN)) as served:
        for _ in range(2):
            with Client(served.port) as client:
                client.ask("?")
                client.send("vCont;c")
                time.sleep(0.3)
                client.socket.sendall(b"\x03")
                assert client.answer().startswith("T02")
                counts = [client.ask("p20") for _ in range(2)]
                assert counts[0] == counts[1], "it stands still"
                client.send("vCont;c")
        assert served.process.poll() is None


def test_a_gdb_that_knows_of_one_process_only(served: Served) -> None:
    with Client(served.port, features="swbreak+") as client:
        assert client.ask("?").startswith("T05thread:3b9aca00;")
        assert client.ask("Z1,80000124,4") == "OK" and client.ask("c").startswith("T05hwbreak:;thread:")
        assert client.ask("p20") == (0x80000124).to_bytes(8, "little").hex()
        assert client.ask("s").startswith("T05thread:")


def test_as_many_steps_back_as_forward_while_others_run_and_end(served: Served) -> None:
    wait = symbols(PROGRAM)["wait"]

    def state() -> tuple[str, ...]:
        return client.ask("g"), *(client.ask(f"p{csr:x}") for csr in range(0x41, 0x4B))

    with Client(served.port, features="") as client:
        client.ask("?")
        client.ask(f"Z0,{wait:x},2")
        while "thread:2;" not in client.ask("c"):
            assert client.ask("p20") == wait.to_bytes(8, "little").hex(), "what init has there"
        states = []
        while client.ask("p20") != (wait + 6).to_bytes(8, "little").hex():
            states.append(state())
            client.ask("s")
        for before in reversed(states):
            client.ask("bs")
            assert state() == before


def test_both_ends_of_a_recording_are_told(tmp_path: Path) -> None:
    recording = tmp_path / "run.orr"
    orrery("record", "-o", recording, "boot", stdin="echo hi\n")
    with Served("replay", recording, wait=False) as served, Client(served.port, features="") as client:
        client.ask("?")
        for _ in range(2):
            assert client.ask("c").startswith("O") and "replaylog:end;" in client.answer()
            assert "replaylog:begin;" in client.ask("bc")
        assert client.ask("c").startswith("O") and "replaylog:end;" in client.answer()
        assert client.ask("s") == "W00", "there is nothing behind it"
        assert "the same run" in served.end()[2]


def test_killing_ends_the_machine(served: Served) -> None:
    with Client(served.port) as client:
        client.send("k")
        assert served.end()[:2] == (0, "")


@pytest.mark.parametrize("lines", [(), ("-c", "echo hi")])
def test_a_shell_that_gets_no_more_input_ends_before_the_client_s_eyes(lines: tuple[str, ...]) -> None:
    with Served("boot", *lines) as served, Client(served.port, features="") as client:
        served.no_more_input()
        client.ask("?")
        client.send("c")
        said = bytes.fromhex(client.answer()[1:]).decode()
        assert "switched off, with status 0" in said and client.answer().startswith("T05")
        end = client.ask("p20")
        assert client.ask("bs").startswith("T05") and client.ask("p20") != end
        assert client.ask("s").startswith("T05") and client.ask("p20") == end
        client.send("s")
        assert client.answer().startswith("O") and client.answer().startswith("T05")
        assert client.ask("c") == "W00"
        assert served.process.wait(WALL_S_MAX) == 0


def test_a_signal_to_the_machine_ends_it_for_the_client_too(tmp_path: Path) -> None:
    with (
        Served("run", source(tmp_path, "spin", SPIN)) as served,
        Client(served.port, features="") as client,
    ):
        client.ask("?")
        client.send("c")
        time.sleep(0.3)
        served.process.terminate()
        assert client.answer().startswith("W") and served.end()[0] == 128 + signal.SIGTERM


def test_a_stop_tells_the_registers_that_gdb_asks_for_and_a_range_is_one_request(served: Served) -> None:
    with Client(served.port) as client:
        first = re.search(r"thread:([^;]+);", client.ask("?"))
        assert first, "the first stop names its thread"
        begin = client.ask("p20")
        for request in ("s", "r80000000,80000010", "s"):
            told = dict(
                re.findall(r";([0-9a-f]+):([0-9a-f]{16})(?=;)", client.ask(f"vCont;{request}:{first[1]}"))
            )
            general = client.ask("g")
            assert told == {f"{n:x}": general[16 * n : 16 * n + 16] for n in (1, 2, 8, 32)}
            assert told["20"] != begin, "it went on"
            pc = int.from_bytes(bytes.fromhex(told["20"]), "little")
            assert request == "s" or not 0x80000000 <= pc < 0x80000010, "the range was left"
            begin = told["20"]


def test_registers_and_memory_are_written(served: Served) -> None:
    with Client(served.port) as client:
        assert client.ask("P5=1122334455667788") == "OK"
        assert (
            client.ask("p5") == "1122334455667788" and client.ask("g")[5 * 16 : 6 * 16] == "1122334455667788"
        )
        assert client.ask("M80100000,3:616263") == "OK" and client.ask(b"X80100003,3:}#\x03") == "OK"
        assert client.ask("m80100000,6") == b"abc}#\x03".hex()


@pytest.mark.parametrize("port", ["no", "70000", "127.0.0.1:x", "-1"])
def test_what_is_no_port_is_refused(program: Path, port: str) -> None:
    done = orrery("run", f"--gdb={port}", program)
    assert (done.status, len(done.lines)) == (2, 1) and "--gdb" in done.err


def test_a_port_that_is_taken_and_one_that_is_open_to_others(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = orrery("run", "--gdb", str(port), program)
    assert done.status == 2 and f"127.0.0.1:{port}" in done.err and len(done.lines) == 1
    done = orrery("run", "--gdb", "0.0.0.0:0", program)
    assert done.status == 7 and "obeys whoever can reach this computer" in done.err


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.2", "[::1]"])
def test_loopback_addresses(program: Path, host: str) -> None:
    plain = host.strip("[]") or "127.0.0.1"
    try:
        socket.create_server((plain, 0), family=socket.AF_INET6 if ":" in plain else socket.AF_INET).close()
    except OSError as error:
        pytest.skip(f"this computer has no {plain}: {error}")
    with Served("run", program, at=f"{host}:0") as served, Client(served.port, host=plain) as client:
        assert client.ask("?").startswith("T05") and client.ask("D") == "OK"
        assert served.end()[0] == 7 and not [line for line in served.errors if "warning" in line]


def test_an_address_that_is_not_this_computers(program: Path) -> None:
    done = orrery("run", "--gdb=192.0.2.1:0", program)
    assert (done.status, len(done.lines)) == (2, 1) and "192.0.2.1:0" in done.err and "--gdb" in done.err
    for name in ("a..b", f"{'a' * 64}.b", "\udcff"):
        done = orrery("run", f"--gdb={name}:1", program)
        assert (done.status, len(done.lines)) == (2, 1) and "no name of a host" in done.err, done.err


@pytest.mark.parametrize("killed", [False, True])
def test_the_port_is_free_at_once_behind_an_end_and_a_crash(program: Path, killed: bool) -> None:
    with Served("run", program) as served, Client(served.port) as client:
        client.ask("?")
        if killed:
            served.process.kill()
        else:
            with suppress(ConnectionError):  # the end of the process may overtake the packet that tells of it
                client.send("vCont;c")
                while not client.answer().startswith("W"):
                    client.send("vCont;c")
        assert served.process.wait(WALL_S_MAX) in (7, -9)
        with Served("run", program, at=str(served.port)) as again, Client(again.port) as other:
            assert again.port == served.port and other.ask("?").startswith("T05")
