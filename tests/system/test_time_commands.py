"""Time commands in the built-in debugger: going to times and to events, forwards and backwards."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from debugged import ProgramSession, Session
from orrery_cli import INCLUDES, ORRERY

from orrery.gdb.monitor_commands import OWN
from orrery.inspect.monitor import DEBUGGERS
from orrery.timetravel.time_commands import TIME_COMMANDS

PROGRAM = """
char page[4096] __attribute__((aligned(4096))) = {1};
int main(void) {
    int fds[2];
    page[0] = 2;
    pipe(fds);
    write(fds[1], "hello", 5);
    if (fork() == 0) exit(3);
    wait(0);
    read(fds[0], page + 8, 5);
    page[0] = 2;
    return 0;
}
"""
LARGE = """
int main(void) {
    char *p = sbrk(4 << 20);
    for (int i = 0; i < 4 << 20; i += 4096) p[i] = 1;
    if (fork() == 0) exit(0);
    wait(0);
    sbrk(-(4 << 20));
    return 0;
}
"""
AT = r"at 0\.\d+ s, tick \d+: process 2 \(prog\) in user mode, pc 0x\w+  main\+0x\w+ at prog\.c:\d+\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("time") / "prog.c"
    path.write_text(INCLUDES + PROGRAM)
    return path


@pytest.fixture
def session(source: Path) -> Iterator[Session]:
    made = ProgramSession(source)
    yield made
    made.timeline.close()


def page_of(session: Session) -> str:
    found = re.search(r"0x\w+", session.say("p &page"))
    assert found is not None
    return found[0]


def test_who_writes_a_page_the_program_and_the_kernel(session: Session) -> None:
    page = page_of(session)
    first = session.say(f"monitor next write 2 {page}")
    assert re.search(rf"{page} is written by the instruction at 0x\w+\n{AT}", first)
    moment = session.timeline.moment
    kernel = session.say(f"monitor next write 2 {page}")
    assert f"{int(page, 16) + 8:#x}" not in kernel and "read of process 2 (prog)" in kernel
    assert re.search(
        r"kernel/[\w/]+\.py:\d+ in [\w.]+, the kernel behind gate usertrap, read of process 2", kernel
    )
    same = session.say(f"monitor next write 2 {page} 1")
    assert re.search(AT, same), "what is stored is what was there"
    assert "none ahead" in session.say(f"monitor next write 2 {page} 1")
    assert re.search(AT, session.say(f"monitor last write 2 {page} 1"))
    assert "the kernel behind gate" in session.say(f"monitor last write 2 {page}")
    assert re.search(AT, session.say(f"monitor last write 2 {page}"))
    assert session.say("monitor next write 2 " + page) == first and session.timeline.moment == moment


def test_a_process_that_has_ended_can_be_asked_for_backwards(session: Session) -> None:
    session.say("monitor goto end", "monitor next crash")
    assert "no such process" in session.say("monitor next write 3 0x3fffffe000")
    assert session.say("monitor last write 2 0x3fffffe000").startswith("write 2 0x3fffffe000: 0x3fffffe0")
    assert "none behind" in session.say("monitor last write 77 0")


def test_a_frame_is_free_where_it_is_told_to_be(session: Session) -> None:
    session.say("monitor next fork")
    trapframe = re.search(r"(0x\w+)-\w+ +1  rw--- \S+  trapframe", session.say("monitor pt 3"))
    assert trapframe is not None
    frame = f"{int(trapframe[1], 16) >> 12:#x}"
    assert "process 3 (prog), as its trapframe" in session.say(f"monitor frame {frame}")
    for name in (frame, trapframe[1]):
        said = session.say(f"monitor next free {name}")
        assert f"frame {trapframe[1]} is free, given back by process 2 (prog)\nat " in said
        assert session.say(f"monitor frame {frame}").endswith("; it is free\n")
        session.say("rsi")
        assert "as its trapframe" in session.say(f"monitor frame {frame}")
    before = session.timeline.moment
    assert f"frame {trapframe[1]} is free" in session.say(f"monitor last free {frame}"), "it had another use"
    assert session.timeline.moment < before


def test_a_frame_in_a_superpage_is_free_with_it(tmp_path: Path) -> None:
    (tmp_path / "prog.c").write_text(INCLUDES + LARGE)
    session = ProgramSession(tmp_path / "prog.c")
    with session.timeline:
        session.say("monitor next fork")
        found = re.search(r"(0x\w+)-\w+ +512  r--u- \S+  a superpage", session.say("monitor pt 2"))
        assert found is not None
        first, inside = int(found[1], 16), int(found[1], 16) + 0x77000
        assert "counts 2 owners" in session.say(f"monitor frame {inside:#x}")
        said = session.say(f"monitor next free {inside >> 12:#x}")
        assert f"frame {inside:#x} is free, given back by process 2 (prog)\n" in said and "sbrk" in said
        assert session.say(f"monitor frame {inside:#x}").endswith("; it is free\n")
        session.say("rsi")
        assert session.say(f"monitor frame {inside:#x}").startswith(
            f"frame {first:#x}, a superpage, counts 1 "
        )
        assert "none behind" in session.say(f"monitor last free {inside:#x}")


def test_catchpoints_for_frames_and_for_writes(session: Session) -> None:
    page = page_of(session)
    assert session.say("catch free") == "Catchpoint 1 (free)\n"
    first = session.say("c")
    assert "Catchpoint 1 (frame 0x" in first and "given back by" in first
    assert session.say("d", f"catch write 2 {page}") == f"Catchpoint 2 (write 2 {page})\n"
    session.say("monitor goto start", "monitor next exec")
    stops = [session.say("c") for _ in range(3)]
    assert all("Catchpoint 2 (a write at 0x" in stop for stop in stops)
    assert "by kernel/" in stops[1] and "by kernel/" in session.say("rc", "rc")
    assert "write catchpoint" in session.say("info breakpoints")
    for line in (
        "catch write",
        "catch write 2",
        "catch write 0 0",
        "catch free x",
        "catch free 5",
        "catch free fork",
    ):
        assert session.say(line).count("\n") == 1


def test_times_and_checkpoints(session: Session) -> None:
    begin = session.say("monitor where")
    assert session.say("monitor checkpoint").startswith("checkpoint 1 at 0.")
    assert session.say("goto start").startswith("_entry at kernel/asm/entry.S")
    assert session.say("when") == session.say("monitor when") == "0.000000000 s, tick 0\n"
    assert session.say("monitor next lunch").startswith("no such event: lunch; there are fork, exec")
    assert session.say("monitor restart 1").startswith(begin)
    assert session.say("info checkpoints") == session.say("monitor checkpoints")
    assert "there is no more: the machine is switched off" in session.say("monitor goto 7s")
    end = session.timeline.moment
    session.say("restart 1")
    assert session.say("goto end") and session.timeline.moment == end == session.timeline.newest


def test_what_may_be_typed_is_offered(session: Session) -> None:
    completions = session.commands.completions
    assert list(completions("monitor go")) == ["goto"] and "sched" in completions("monitor ")
    assert list(completions("monitor last f")) == list(completions("catch f")) == ["fork", "fault", "free"]
    shown = session.say("monitor help")
    assert {line.split()[0] for line in shown.splitlines()} > {"goto", "next", "last", "sched", "frames", "x"}


def test_the_console_monitor_knows_which_commands_need_a_past() -> None:
    known = {one.name for one in (*TIME_COMMANDS, *OWN)}
    assert known - {"type", "quit"} == DEBUGGERS, "these two need no past"


def test_a_poke_begins_another_future(session: Session) -> None:
    session.say("monitor next exit", "monitor checkpoint", "monitor last fork")
    assert session.say("monitor poke 0x80fff000 0102") == "2 bytes stored at 0x80fff000\n"
    assert session.say("monitor xp 0x80fff000 2").split("  ")[1] == "01 02"
    assert (
        session.say("monitor last exec", "monitor next fork", "monitor xp 0x80fff000 2").split("  ")[1]
        == "01 02"
    )
    assert session.say("monitor restart 1").startswith("at ")
    assert "nothing was stored" in session.say("monitor poke 0x90000000 00")


def test_control_c_ends_a_search(tmp_path: Path) -> None:
    (tmp_path / "spin.c").write_text("volatile long n; int main(void) { for (;;) n++; }")
    env = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(ORRERY, ["debug", str(tmp_path / "spin.c")], timeout=60, encoding="utf-8", env=env)
    for command in ("monitor next fault", "monitor last crash"):
        child.expect_exact("(orrery)")
        child.expect_exact("\x1b[?25h")  # the prompt is there
        child.send(f"{command}\r")
        child.expect_exact("\x1b[?2004l")  # it runs
        time.sleep(0.3)
        child.sendintr()
        child.expect(r"interrupted, before one was found|none behind")
        child.expect(r"at [\d.]+ s, tick \d+: ")
    child.close()
