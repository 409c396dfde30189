"""`orrery gdb`: a program under a stock gdb, at a terminal and by a script."""

import os
from pathlib import Path

import pexpect
import pytest
from gdbs import SPIN, gdb_path, in_order, source
from orrery_cli import ORRERY, orrery

from orrery.errors import BadInput
from orrery.gdb import client

HELLO = """
int main(void) {
    char line[40];
    printf("who? ");
    gets(line, sizeof line);
    printf("hello %s", line);
    while (gets(line, sizeof line)[0]) printf("<%d>\\n", strlen(line));
    return 4;
}
"""


def test_the_gdb_command(program: Path) -> None:
    done = orrery("gdb", program, stdin="bt\ninfo inferiors\ntbreak write\ncontinue\nprint 6*7\n")
    assert done.out.startswith("#0  main () at "), "it says where the program is, and nothing else"
    in_order(done.out, [
        r"^\d+\t +for \(", r"^\(gdb\) #0  main", r"^\* .*target:/prog",
        r"hit Temporary breakpoint 1.*write", r"^\d+\t +li a7, 16", r"= 42",
    ])  # fmt: skip
    assert "hello" not in done.out, "the machine ends with its gdb"
    assert orrery("gdb", program.with_name("none.c")).status == 2


def test_lines_for_the_console_of_a_program_that_a_script_debugs(tmp_path: Path) -> None:
    said = orrery(
        "gdb", source(tmp_path, "hello", HELLO),
        stdin="monitor type Ada\nmonitor type two\nmonitor type ^D\ncontinue\n",
    ).out  # fmt: skip
    in_order(said, [r"Continuing", r"who\? hello Ada\n<4>\n.*exited with code 04"])


def test_a_script_that_has_typed_nothing_is_not_kept_waiting(tmp_path: Path) -> None:
    done = orrery(
        "gdb", source(tmp_path, "hello", HELLO),
        stdin="continue\nmonitor type Ada\nmonitor type ^D\ncontinue\n",
    )  # fmt: skip
    assert "`monitor type TEXT` types one" in done.err
    in_order(done.out, [r"received signal SIGINT", r"hello Ada\n.*exited with code 04"])


@pytest.mark.parametrize("which", [0, 1], ids=["first gdb", "second gdb"])
def test_a_person_types_to_the_program_where_gdb_is(tmp_path: Path, which: int) -> None:
    env = {**os.environ, "TERM": "dumb", "GDB": gdb_path(which)}
    words = ["gdb", str(source(tmp_path, "hello", HELLO))]
    child = pexpect.spawn(ORRERY, words, timeout=20, encoding="utf-8", env=env)
    for expected, typed in (
        ("(gdb)", "continue"), ("who? ", "Ada"), ("hello Ada", "\x03"), ("SIGINT", "tbreak printf"),
        ("Temporary breakpoint 1", "continue"), ("Continuing.", "two"), ("printf (", "finish"),
        ("<4>", "watch line"), ("Hardware watchpoint", "reverse-continue"), ("read of process 2", "delete"),
        ("y or n", "y"), ("(gdb)", "continue"),
    ):  # fmt: skip
        child.expect_exact(expected)
        if typed == "\x03":
            child.sendintr()
        else:
            child.sendline(typed)
    child.expect_exact("Continuing.")
    child.sendeof()
    child.expect_exact("exited with code 04")
    child.sendline("quit")
    child.expect_exact("y or n")
    child.sendline("y")
    child.expect(pexpect.EOF)


def test_control_c_stops_the_program_and_not_the_server(tmp_path: Path) -> None:
    words = ["gdb", str(source(tmp_path, "spin", SPIN))]
    env = {**os.environ, "TERM": "dumb", "GDB": gdb_path(0)}
    child = pexpect.spawn(ORRERY, words, timeout=20, encoding="utf-8", env=env)
    child.expect_exact("(gdb)")
    for _ in range(2):
        child.sendline("continue")
        child.expect_exact("Continuing.")
        child.sendintr()
        child.expect_exact("received signal SIGINT")
        child.expect_exact("(gdb)")
    child.close()


def test_a_gdb_that_is_missing_is_told_with_the_remedy(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDB", "/bin/true")
    done = orrery("gdb", program)
    assert (done.status, len(done.lines)) == (2, 1)
    assert "GDB=/bin/true: no gdb that knows RISC-V" in done.err
    monkeypatch.delenv("GDB")
    monkeypatch.setattr(client, "found", lambda: iter(()))
    with pytest.raises(BadInput, match="pip install gdb-for-pwndbg"):
        client.run([str(program)], str(program))
