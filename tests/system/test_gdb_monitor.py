"""Through gdb: `monitor goto`, `next EVENT`, `last EVENT` move the machine, and gdb finds its way."""

import re
import time
from pathlib import Path

import pexpect
import pytest
from gdbs import SPIN, WALL_S_MAX, Client, Served, gdb_path, in_order, source
from orrery_cli import ORRERY, orrery

from orrery.gdb.client import FOLLOW
from orrery.machine import events

BEGINS_S = 1.0  # what was sent before has begun
AT = r"^at [\d.]+ s, tick \d+: "
HINT = "gdb does not know yet"


class Monitored(Client):
    """A client that gives commands to the monitor."""

    def say(self, command: str) -> str:
        """What is printed for it."""
        self.command(command)
        said = ""
        while (answer := self.answer()) != "OK":
            assert answer.startswith("O"), answer
            said += bytes.fromhex(answer[1:]).decode()
        return said

    def command(self, command: str) -> None:
        """Send it, and wait for nothing."""
        self.send(f"qRcmd,{command.encode().hex()}")


# --- gdb itself ---


@pytest.mark.parametrize("which", [0, 1])
def test_a_step_takes_gdb_to_where_the_machine_was_moved(served: Served, which: int) -> None:
    """Also where it had to step over a breakpoint, and from a process that was not there yet."""
    said = served.gdb(
        "tbreak main", "continue", "break add", "continue",
        "monitor next fork", "stepi", "bt", "monitor next fault", "stepi", "bt",
        "monitor last exec", "stepi", "p $pc == $sepc || $priv == 1", "continue", "bt",
        "monitor goto start", "stepi", "info registers priv",
        "stepi", "continue", "p n", "info inferiors", "detach",
        path=gdb_path(which),
    )  # fmt: skip
    in_order(said, [
        r'hit Breakpoint 2, add \(n=n@entry=1\)',
        r"^fork: process 2 \(prog\) has a child, process 3\n" + AT + r"process 2 \(prog\) in the kernel, pc ",
        r"its program is at 0x\w+ fork\+0x6 at include/usys\.S", HINT,
        r'"prog" stopped', r"^#0  userret", r"^#1 .* in fork", r"^#2 .* in main",
        r"^fault: exception 15 at 0x\w+ in process 3 \(prog\): its page is mapped now\n" + AT + "process 3",
        r'"prog" stopped', r"Thread 3\.3", r"^#0  userret", r"^#1 .* in add",
        r"^exec: process 2 runs prog", r'"prog" stopped', r"Thread 2\.2", r"\$1 = 1",
        r'hit Breakpoint 2.*add \(n=n@entry=1\)', r"^#1 .* in main",
        r"^at 0\.0 s, tick 0: machine mode, pc 0x80000000  _entry", r'"kernel" stopped', r"^priv +0x3",
        r"_entry", r'"prog" hit Breakpoint 2.*add \(n=n@entry=1\)', r"\$2 = 1", r"\* 2 +process 2 ",
    ])  # fmt: skip
    assert "internal-error" not in said and "Remote" not in said
    assert served.end()[:2] == (7, "hello 7\n"), "the machine itself went on from where it was"


@pytest.mark.parametrize("which", [0, 1])
def test_with_the_hook_nothing_needs_to_be_typed(served: Served, which: int) -> None:
    said = served.gdb(
        f"source {FOLLOW}", "monitor when", "tbreak main", "continue", "break add", "continue",
        "monitor next fork", "monitor ps", "bt", "monitor last syscall pipe", "bt", "continue",
        "p n", "monitor checkpoint", "monitor goto end", "monitor restart 1", "p n", "monitor checkpoints",
        path=gdb_path(which),
    )  # fmt: skip
    in_order(said, [
        r"^0\.000000000 s, tick 0$", r"hit Breakpoint 2", r"^fork: ", r'"prog" stopped', r"^#1 .* in fork",
        r"^syscall pipe: process 2 \(prog\) calls pipe", r'"prog" stopped', r"^#1 .* in pipe",
        r"add \(n=n@entry=100\)", r"\$1 = 100", r"^checkpoint 1 at", r"stopped", r"stopped", r"\$2 = 100",
        r"^1 +0\.\d+ s, tick \d+, pc 0x",
    ])  # fmt: skip
    assert HINT not in said


def test_gdb_has_the_program_that_runs_at_that_moment(served: Served) -> None:
    """Before its exec, process 2 is another init."""
    said = served.gdb(
        f"source {FOLLOW}", "tbreak main", "continue", "watch sum", "monitor goto start", "monitor next fork",
        "monitor next switch", "info inferiors", "monitor next exec", "info inferiors", "continue",
    )  # fmt: skip
    in_order(said, [
        r"^fork: process 1", r"^switch: .* process 2 \(init\)", r"\* \d +process 2 .*target:/init",
        r"^exec: process 2 runs prog", r"\* \d +process 2 .*target:/prog",
        r"hit Hardware watchpoint 2: sum", r"Old value = 0\nNew value = 1",
    ])  # fmt: skip


def test_a_look_without_a_step(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "monitor next syscall pipe", "maintenance flush register-cache", "bt",
        "set $before = $pc", "stepi", "p $pc - $before", "monitor last syscall pipe", "reverse-stepi", "bt",
    )  # fmt: skip
    in_order(
        said, [r"calls pipe", r"^#0  userret", r"^#1 .* in pipe", r"\$1 = 4", r"calls \w+", r"^#0 .*usertrap"]
    )


def test_a_replay_is_moved_too(program: Path, tmp_path: Path) -> None:
    recording = tmp_path / "run.orr"
    recorded = orrery("record", "-o", recording, "run", program)
    with Served("replay", recording, wait=False) as served:
        said = served.gdb(
            f"source {FOLLOW}", "monitor next exec", "monitor next exit", "bt",
            "monitor last fork", "monitor goto end", "monitor last exit", "monitor next lunch",
            "monitor goto start", "detach",
        )  # fmt: skip
        status, out, err = served.end()
    in_order(said, [
        r"^exec: process 2 runs prog", r"^exit: process 3 \(prog\) calls exit",
        r"^fork: process 2 \(prog\) has a child", r"there is no more|^at ", r"^exit: process 2 ",
        r"no such event", r"^at 0\.0 s",
    ])  # fmt: skip
    assert (status, out) == (7, recorded.out) and "the same run" in err


def test_gdb_stops_at_events_both_ways(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "monitor catch fork syscall read free", "continue", "continue",
        "monitor catch syscall pipe", "reverse-continue", "bt",
        "monitor catch switch", "continue", "reverse-continue", "reverse-continue", "monitor catch nothing",
    )  # fmt: skip
    in_order(said, [
        r"^stops at: fork, free, syscall:read", r"^fork: process 2", r"SIGTRAP", r"^free:0x\w+: frame ",
        r"^stops at: syscall:pipe", r"^syscall:pipe: process 2 \(prog\) calls pipe", r"^#1 .* in pipe",
        r"^switch: ", r"^switch: ", r"no such event: nothing",
    ])  # fmt: skip


def test_orrery_gdb_loads_the_hook(program: Path) -> None:
    child = pexpect.spawn(ORRERY, ["gdb", str(program)], timeout=WALL_S_MAX, encoding="utf-8")
    for command, shown in (
        ("set style enabled off", "off"),
        ("monitor next fork", '"prog" stopped'),
        ("bt", "in fork"),
        ("monitor when", " s, tick "),
    ):
        child.expect_exact("(gdb) ")
        child.sendline(command)
        child.expect_exact(shown)
    child.expect_exact("(gdb) ")
    child.sendline("quit")
    child.close(force=True)


def test_gdb_is_not_asked_for_a_line_while_the_monitor_moves_the_machine(tmp_path: Path) -> None:
    reader = source(tmp_path, "reader", "int main(void) { char c; read(0, &c, 1); return fork(); }")
    child = pexpect.spawn(ORRERY, ["gdb", str(reader)], timeout=WALL_S_MAX, encoding="utf-8")
    for command, shown in (
        ("set style enabled off", "off"),
        ("monitor next fork", "fork: none ahead: all processes wait"),
        ("monitor type x", "x"),
        ("monitor next fork", r"fork: process 2 \(reader\) has a child, process 3\s+at "),
        ("monitor last syscall read", r"process 2 \(reader\) calls read"),
    ):
        child.expect_exact("(gdb) ")
        child.sendline(command)
        child.expect(shown)
        assert HINT not in str(child.before)
    child.expect_exact("(gdb) ")
    child.close(force=True)


# --- packets ---


def test_help_lists_all(served: Served) -> None:
    with Monitored(served.port) as client:
        said = client.say("help")
        for name in (
            "goto TIME", "next EVENT", "last EVENT", "when", "checkpoint", "checkpoints", "restart N", "poke",
            "catch [EVENT]", "quit", "ps", "frames", "sched", "log", "devices", "vmas PID", "x ",
        ):  # fmt: skip
            assert f"\n{name}" in f"\n{said}", name


MISTAKES = """
goto; goto yesterday; goto -1; goto 1.5; goto 1h; goto 1e9; goto 1%s; goto 1 2; next; last; next lunch
last fork exec; next syscall lunch; next free 0x99999999; last free -1; next write; next write 2
next write 2 x; next write 99 0; next write -1 0; last write 2 0 0; last write 2 0x4000000000 8
next write 0 0; last write 2 0 100000; restart; restart 0; restart 7; restart x; restart 1 2; when now
checkpoint 1; checkpoints 1; poke; poke 1; poke 0x80000000 0; poke 0x10000000 00; poke x 00
poke 0x80000000 zz; catch lunch; frames x; sched 1; log 1
""" % ("0" * 40)


def test_mistakes_get_one_line_wherever_the_machine_is(served: Served) -> None:
    with Monitored(served.port) as client:
        for move in ("when", "next exec", "last exec", "goto end", "next lunch"):
            client.say(move)
            before = client.say("where")
            for line in filter(None, re.split(r"; |\n", MISTAKES)):
                said = client.say(line)
                assert said.count("\n") == 1 and len(said) > 8 and "Traceback" not in said, (line, said)
            assert client.say("where") == before


def test_before_the_first_instruction_and_behind_the_last(served: Served) -> None:
    with Monitored(served.port) as client:
        assert client.say("last fork").startswith(
            "fork: none behind this: the machine is where it was switched on\n"
        )
        assert client.say("goto start").startswith("at 0.0 s, tick 0: machine mode, pc 0x80000000  _entry")
        assert client.say("next lunch").startswith("no such event: lunch; there are fork, ")
        said = client.say("next crash")
        assert said.startswith("crash: none ahead: the machine is switched off, with status 7\nat 0.0")
        assert client.say("next fork").startswith("fork: none ahead: the machine is switched off")
        assert client.say("goto 9s").startswith(
            "there is no more: the machine is switched off, with status 7\nat "
        )
        end = client.say("where")
        assert client.say("goto 1ms").startswith("at 0.00")
        assert client.say("goto end").startswith(end)


def test_there_and_back_is_the_same_state(served: Served) -> None:
    looks = ("where", "regs", "ps", "sched", "log", "devices", "frames", "irq", "x 0x80000000 4096", "time")
    with Monitored(served.port) as client:
        states = []
        for line in ("next exec", "next exec", "next fork", "next switch", "next exit", "next free"):
            client.say(line)
            client.say("checkpoint")
            states.append([client.say(look) for look in looks])
        client.say("goto end")
        for i in (3, 0, 5, 1, 4, 2):
            client.say(f"restart {i + 1}")
            assert [client.say(look) for look in looks] == states[i]


def test_memory_is_changed_in_the_present_alone(served: Served) -> None:
    with Monitored(served.port) as client:
        client.say("next exec")
        assert client.say("poke 0x87000000 c0ffee") == "3 bytes stored at 0x87000000\n"
        assert client.say("physical 0x87000000 4").split("  ")[1] == "c0 ff ee 00"
        client.say("last syscall open")
        assert "nothing was stored" in client.say("poke 0x87000000 00")
        assert client.say("xp 0x87000000 4").split("  ")[1] == "00 00 00 00"
        client.say("goto end")
        assert client.say("x 0x87000000 4").split("  ")[1] == "c0 ff ee 00"


def test_an_interrupt_ends_a_search(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "spin", SPIN)) as served, Monitored(served.port) as client:
        client.say("next exec")
        client.command("next fault")  # there is none, for ever
        time.sleep(BEGINS_S)
        client.socket.sendall(b"\x03")
        said = ""
        while (answer := client.answer()) != "OK":
            said += bytes.fromhex(answer[1:]).decode()
        assert said.startswith("fault: interrupted, before one was found\nat ")
        here = client.say("where")
        assert here.splitlines()[0] in said
        assert client.say("last exec").startswith("exec: process 2 runs spin")
        client.say("goto end")
        assert client.say("where") == here


def test_a_client_that_waits_no_longer_gets_no_answer(tmp_path: Path) -> None:
    """gdb's ^C sends nothing: it goes back to its prompt, and the next packet is all that the server sees."""
    with Served("run", source(tmp_path, "spin", SPIN)) as served, Monitored(served.port) as client:
        client.command("next fault")
        time.sleep(BEGINS_S)
        assert client.ask("qC").startswith("QC")
        here = client.say("where")
        assert here.startswith("at ") and client.say("where") == here
        assert client.say("next syscall lunch").startswith("no such event")


def test_every_kind_of_event_is_found_both_ways(served: Served) -> None:
    with Monitored(served.port) as client:
        for kind in (*events.KINDS, "syscall write"):
            client.say("goto start")
            ahead = [client.say(f"next {kind}") for _ in range(4)]
            found = [said for said in ahead if "none ahead" not in said]
            assert found or kind == "crash"
            if len(found) < 4:  # the machine is at its end now, behind the last of them
                found.append("")
            for said in reversed(found[:-1]):
                assert client.say(f"last {kind}") == said
            if not found[:-1]:
                assert "none behind" in client.say(f"last {kind}")


# --- who waits for whom ---


def test_a_machine_that_waits_for_keys_is_not_waited_for() -> None:
    """Its console is an open pipe in which nothing is yet."""
    with Served("boot") as served, Monitored(served.port) as client:
        assert client.say("next syscall read").startswith("syscall read: process 2 (sh) calls read\n")
        nothing = "all processes wait, and nothing will happen by itself\nat "
        assert client.say("next fork").startswith(f"fork: none ahead: {nothing}")
        assert client.say("goto 7s").startswith(f"there is no more: {nothing}")
        client.say("type echo one")
        assert client.say("next exec").startswith("exec: process 3 runs echo\n")
        assert client.say("next fork").startswith("fork: none ahead: ")
        assert served.process.stdin is not None
        served.process.stdin.write(b"echo two\n")
        served.process.stdin.flush()
        assert client.say("next exec").startswith("exec: process 4 runs echo\n")
        assert client.say("last exec").startswith("exec: process 3 runs echo\n")


def test_control_c_in_gdb_leaves_a_machine_that_can_be_used(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "spin", SPIN)) as served:
        words = [
            "-nx",
            "-q",
            "-ex",
            "set pagination off",
            "-ex",
            "set confirm off",
            "-ex",
            "set style enabled off",
        ]
        child = pexpect.spawn(gdb_path(0), words, timeout=WALL_S_MAX, encoding="utf-8")
        for command in (f"target remote :{served.port}", "monitor next exec", "stepi"):
            child.expect_exact("(gdb) ")
            child.sendline(command)
        child.expect_exact("stopped")
        child.expect_exact("(gdb) ")
        child.sendline("monitor next fault")
        time.sleep(BEGINS_S)
        child.sendintr()
        child.expect_exact("Quit")
        for command, shown in (
            ("monitor where", r"at [\d.]+ s, tick \d+: process 2 \(spin\) in user mode"),
            ("stepi", '"spin" stopped'),
            ("monitor last exec", "exec: process 2 runs spin"),
            ("stepi", "stopped"),
            ("tbreak main", "reakpoint"),
            ("continue", r"hit Temporary breakpoint .*main \("),
        ):
            child.expect_exact("(gdb) ")
            child.sendline(command)
            child.expect(shown)
        child.close(force=True)
