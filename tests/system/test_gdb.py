"""A stock gdb on a machine: its own words, run as a script; and clients that do what no gdb does."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gdbs import WALL_S_MAX, Client, Served, in_order, source
from orrery_cli import orrery

PROGRAM = """
volatile int sum;
char text[64];
__attribute__((noinline)) int add(int n) { sum += n; return sum; }
int main(void) {
    int fds[2];
    for (int i = 1; i < 4; i++) add(i);
    pipe(fds);
    if (fork() == 0) { add(100); exit(3); }
    wait(0);
    write(fds[1], "hello", 5);
    read(fds[0], text, 5);
    printf("%s %d\\n", text, add(1));
    return sum;
}
"""
CRASH = """
__attribute__((noinline)) int poke(int *p) { return *p = 1; }
int main(void) { return poke((int *)0x50000000); }
"""
WAITING = """
int main(void) {
    char c = 0;
    while (c != 'q') if (read(0, &c, 1) != 1) return 9;
    return 5;
}
"""
FAMILY = """
__attribute__((noinline)) int mine(int i) { return i + 5; }
int main(void)
{
    int sum = 0, status;
    for (int i = 0; i < 2; i++)
        if (fork() == 0)
            exit(mine(i));
    while (wait(&status) > 0)
        sum += status;
    return sum - 4;
}
"""
SPIN = "volatile long count; int main(void) { for (;;) count++; }"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source(tmp_path_factory.mktemp("gdb"), "prog", PROGRAM)


@pytest.fixture
def served(program: Path) -> Iterator[Served]:
    """A machine that waits for a gdb before its first instruction."""
    with Served("run", program) as it:
        yield it


def test_from_a_user_function_through_a_trap_and_back(served: Served) -> None:
    said = served.gdb(
        "break add", "continue", "bt", "info inferiors",
        "delete", "break pipe", "continue", "x/3i $pc", "stepi", "stepi", "bt",
        "tbreak usertrap", "continue", "bt", "stepi", "bt",
        "tbreak *$sepc", "continue", "x/i $pc", "p $a0", "detach",
    )  # fmt: skip
    in_order(said, [
        r'"prog" hit Breakpoint 1, add \(n=n@entry=1\) at .*prog\.c:\d+$',
        r"^#0  add .*prog\.c", r"^#1 .*in main .*prog\.c",
        r"process 2 .*target:/prog", r"process 1 .*target:/init",
        r'"prog" hit Breakpoint 2, pipe \(\)', r"ecall",
        r"^uservec \(\) at .*trampoline\.S",
        r"^#0  uservec", r"^#1 .*in pipe \(\)", r"^#2 .*in main .*prog\.c",
        r"usertrap \(\) at .*kernel/trap\.py:\d+$", r"def _usertrap",
        r"^#0  usertrap", r"^#1 .*in pipe \(\)", r"^#2 .*in main",
        r"^userret \(\) at .*trampoline\.S", r"^#0  userret", r"^#1 .*in pipe \(\)", r"^#2 .*in main",
        r"hit Temporary breakpoint 4.*pipe \(\)", r"<pipe\+6>:\s+ret", r"= 0$",
    ])  # fmt: skip
    assert served.end()[:2] == (7, "hello 7\n")


def test_each_step_is_one_instruction_all_the_way_round_a_system_call(served: Served) -> None:
    said = served.gdb("break pipe", "continue", "stepi", *["stepi"] * 95, "p/x $pc")
    names = re.findall(r"^(?:0x[0-9a-f]+ in )?(\w+) \(", said[said.index("hit Breakpoint") :], re.MULTILINE)
    assert names[:4] == ["uservec", "usertrap", "userret", "pipe"]


def test_a_stop_before_any_disk_is_mounted(served: Served) -> None:
    said = served.gdb("tbreak kerneltrap", "continue", "bt", "stepi", "detach")
    in_order(said, [
        r"breakpoint 1.*, kerneltrap \(\)", r"^#0  kerneltrap", r"^#1 .* in kernelvec", r"^kernelvec \(\)",
    ])  # fmt: skip
    assert served.end()[:2] == (7, "hello 7\n")


def test_stepping_over_a_system_call(served: Served) -> None:
    said = served.gdb("break pipe", "continue", "nexti", "nexti", "x/i $pc", "info threads")
    in_order(said, [r"hit Breakpoint 1, pipe", r"<pipe\+6>:\s+ret"])
    assert "uservec" not in said


def test_watching_what_the_program_and_the_kernel_write(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "watch sum", "continue", "continue",
        "delete", "watch text", "continue", "p text", "delete", "continue",
    )  # fmt: skip
    in_order(said, [
        r"hit Temporary breakpoint 1.*main", r"Hardware watchpoint 2: sum",
        r"Old value = 0\nNew value = 1", r"Old value = 1\nNew value = 3",
        r"written by the kernel behind gate usertrap, read of process 2 \(prog\)",
        r"hit Hardware watchpoint 3: text", r'"hello', r"\[Inferior \d+ \(process 2\) exited with code 07\]",
    ])  # fmt: skip


def test_back_to_the_last_write_and_on_to_the_present(served: Served) -> None:
    said = served.gdb(
        "tbreak read", "continue", "p sum", "watch sum", "reverse-continue", "x/i $pc", "bt",
        "reverse-continue", "p sum",
        "continue", "p sum", "delete", "reverse-stepi", "stepi", "set var sum = 9", "info inferiors",
        "tbreak usertrap", "reverse-continue", "bt", "tbreak printf", "continue", "p sum",
    )  # fmt: skip
    in_order(said, [
        r"hit Temporary breakpoint 1[.\d]*, read", r"\$1 = 6",
        r"Old value = 6\nNew value = 3", r"=> .*\tsw\t", r"^#0 .* in add \(n=n@entry=3\)", r"^#1 .*in main",
        r"Old value = 3\nNew value = 1", r"\$2 = 1",
        r"Old value = 1\nNew value = 3", r"\$3 = 3", r"Cannot access memory|Could not", r"target:/prog",
        r"hit Temporary breakpoint 3.*usertrap", r"^#0  usertrap", r"^#1 .*exec|^#1 ",
        r"hit Temporary breakpoint 4.*printf", r"= 7",
    ])  # fmt: skip
    assert served.end()[:2] == (7, "hello 7\n"), "the machine itself went on from where it was"


def test_back_from_the_end_of_the_machine(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "continue", "inferior 1", "continue",
        "monitor catch end", "reverse-continue", "reverse-stepi", "info inferiors", "bt", "p sum",
    )  # fmt: skip
    in_order(said, [
        r"process 2\) exited with code 07", r"switched off, with status 7",
        r"^end: process 2 \(prog\) ends with status 7", r"^usertrap \(\)",
        r"\* \d+ +process 2 .*target:/prog", r"^#0  usertrap", r"^#1 .*exit", r"\$1 = 7",
    ])  # fmt: skip


def test_a_replay_is_looked_at_back_and_forth(tmp_path: Path) -> None:
    recording = tmp_path / "run.orr"
    recorded = orrery("record", "-o", recording, "run", source(tmp_path, "prog", PROGRAM))
    with Served("replay", recording, wait=False) as served:
        said = served.gdb(
            "tbreak printf", "continue", "watch sum", "reverse-continue", "bt", "delete", "stepi", "p sum",
            "continue", "inferior 1", "continue", "reverse-stepi", "continue", "continue",
        )  # fmt: skip
        status, out, err = served.end()
    in_order(
        said, [r"printf", r"Old value = 7\nNew value = 6", r"^#0 .*in add", r"= 7", r"recording ends|off"]
    )
    assert (status, out) == (7, recorded.out) and "the same run" in err


def test_a_breakpoint_in_cat_hits_in_cat_alone() -> None:
    with Served("boot", "-c", "wc README", "-c", "cat README", "-c", "echo done") as served:
        said = served.gdb("break copy", "continue", "info inferiors", "continue")
    in_order(said, [r'"cat" hit Breakpoint 1[.\d]*, copy', r"\* \d+ .*target:/cat"])
    assert '"wc" hit' not in said and "exited" not in said[: said.index("hit Breakpoint")]


def test_the_run_is_the_same_with_a_gdb(program: Path) -> None:
    alone = orrery("run", "--digest", program)
    with Served("run", "--digest", program) as served:
        served.gdb(
            "break add", "watch sum", "continue", "stepi", "nexti", "info inferiors", "continue", "finish"
        )
        status, out, err = served.end()
    assert (status, out) == (alone.status, alone.out)
    assert [line for line in err.splitlines() if line.startswith("digest")] == alone.lines[:1]


def test_a_crash_is_looked_at_before_the_process_is_gone(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "crash", CRASH)) as served:
        said = served.gdb("tbreak main", "continue", "continue", "bt", "p p", "continue")
    in_order(said, [
        r"received signal SIGSEGV", r"poke \(p=p@entry=0x50000000\)|poke \(p=0x50000000\)", r"^#1 .*in main",
        r"= \(int \*\) 0x50000000", r"terminated with signal SIGSEGV",
    ])  # fmt: skip


def test_attaching_while_all_wait_and_again_after_detaching(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "waiting", WAITING), wait=False) as served:
        time.sleep(0.5)
        for _ in range(2):
            said = served.gdb("info inferiors", "thread apply all bt 3", "monitor ps", "detach")
            in_order(
                said, [r"target:/kernel.elf", r"target:/init", r"target:/waiting", r"in main", r"^#0  idle"]
            )
            assert re.search(r"2 +1 +sleep .* waiting", said), said
        assert served.end(b"q")[0] == 5


def test_the_gdb_command(program: Path) -> None:
    done = orrery("gdb", program, stdin="bt\ninfo inferiors\ntbreak write\ncontinue\nprint 6*7\n")
    assert done.out.startswith("#0  main () at "), "it says where the program is, and nothing else"
    in_order(done.out, [
        r"^\d+\t +for \(", r"^\(gdb\) #0  main", r"^\* .*target:/prog",
        r"hit Temporary breakpoint 1.*write", r"^\d+\t +li a7, 16", r"= 42",
    ])  # fmt: skip
    assert "hello" not in done.out, "the machine ends with its gdb"
    assert orrery("gdb", program.with_name("none.c")).status == 2


def test_a_breakpoint_is_the_childrens_too(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "family", FAMILY)) as served:
        said = served.gdb(
            "tbreak main", "continue", "next", "break mine", "next", "next", "continue", "bt", "info threads",
            "detach inferior 4", "inferior 2", "continue", "delete", "continue", "inferior 2", "continue",
        )  # fmt: skip
    in_order(said, [
        r"hit Temporary breakpoint 1", r"process 3 is executing new program: /family",
        r"process 4 is executing new program", r"hit Breakpoint 2[.\d]*, mine \(i=.*0\)",
        r"^#0  mine \(i=.*0\)", r"^#1 .* in main", r"2\.1.*\(sleep\)",
        r"process 3\) detached", r"hit Breakpoint 2[.\d]*, mine \(i=.*1\)",
        r"process 4\) exited with code 06", r"process 2\) exited with code 07",
    ])  # fmt: skip
    assert "new program" not in said[said.index("detached") :], "what has ended does not begin again"


# --- clients by hand ---


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
