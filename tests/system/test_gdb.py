"""A stock gdb on a machine: its own words, run as a script."""

import re
import time
from pathlib import Path

import pytest
from gdbs import PROGRAM, Served, in_order, source
from orrery_cli import orrery

from kernel.abi import elf
from toolchain import cc, image

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

FORKS = """
__attribute__((noinline)) int last(int i) { return i + 1; }
int main(void)
{
    int status;
    for (int i = 0; i < 40; i++) {
        if (fork() == 0) {
            if (fork() == 0) exit(i < 39 ? 1 : last(i));
            wait(&status);
            exit(status);
        }
        wait(&status);
    }
    return status;
}
"""


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
        "continue", "p sum", "delete", "info threads", "reverse-stepi", "info symbol $pc",
        "stepi", "set var sum = 9", "info inferiors",
        "tbreak usertrap", "reverse-continue", "bt", "tbreak printf", "continue", "p sum",
    )  # fmt: skip
    in_order(said, [
        r"hit Temporary breakpoint 1[.\d]*, read", r"\$1 = 6",
        r"Old value = 6\nNew value = 3", r"=> .*\tsw\t", r"^#0 .* in add \(n=n@entry=3\)", r"^#1 .*in main",
        r"Old value = 3\nNew value = 1", r"\$2 = 1",
        r"Old value = 1\nNew value = 3", r"\$3 = 3", r"^add \+ \d+ in section",
        r"Cannot access memory|Could not", r"target:/prog",
        r"hit Temporary breakpoint 3.*usertrap", r"^#0  usertrap", r"^#1 .* in exec \(\)",
        r"^#2 .* in run \(", r"hit Temporary breakpoint 4.*printf", r"= 7",
    ])  # fmt: skip
    assert served.end()[:2] == (7, "hello 7\n"), "the machine itself went on from where it was"


def test_children_without_a_stop_are_passed_over_in_silence(tmp_path: Path) -> None:
    with Served("run", source(tmp_path, "forks", FORKS)) as served:
        said = served.gdb("tbreak main", "continue", "break last", "continue", "bt", "detach")
        assert served.end()[0] == 40
    in_order(said, [r"hit Breakpoint 2[.\d]*, last \(i=.*39\)", r"^#1 .* in main"])
    assert said.count("[New inferior") <= 5, "only who is there at a stop"


def test_a_breakpoint_is_none_in_what_the_process_executed_before(served: Served) -> None:
    init = cc.compile_user(image.programs()["init"])
    header = elf.Header.unpack(init)
    assert header is not None
    called = elf.symbols(init, header)["exec"]  # by the process, when it still executed init
    said = served.gdb("tbreak main", "continue", f"break *{called}", "reverse-continue", "continue")
    in_order(said, [
        r"Reached end of recorded history|No more reverse", r"^_entry \(\)",
        r"\[Inferior \d \(process 2\) exited with code 07",
    ])  # fmt: skip


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


@pytest.mark.parametrize(
    ("commands", "status", "why"),
    [
        (("set var sum = 50", "continue"), 57, "gdb has changed the run"),
        (("monitor quit",), 0, "switched the machine off"),
    ],
)
def test_a_replay_that_becomes_another_run(
    tmp_path: Path, commands: tuple[str, ...], status: int, why: str
) -> None:
    recording = tmp_path / "run.orr"
    orrery("record", "-o", recording, "run", source(tmp_path, "prog", PROGRAM))
    with Served("replay", recording, wait=False) as served:
        served.gdb("tbreak main", "continue", *commands)
        done = served.end()
    assert done[0] == status and why in done[2] and "the same run" not in done[2]


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
