"""The built-in debugger: commands go in, text comes out; then the same at a terminal and through a pipe."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from debugged import ProgramSession, Session
from orrery_cli import INCLUDES, ORRERY, orrery

from orrery.debugger.commands.table import ALL

PROGRAM = """\
struct node { int value; char name[8]; struct node *next; };
struct node *head;
int count;

static void push(int value)
{
    struct node *node = malloc(sizeof(*node));
    node->value = value;
    strcpy(node->name, "some");
    node->next = head;
    head = node;
    count++;
}

static int total(struct node *node)
{
    int sum = 0;
    for (; node; node = node->next)
        sum += node->value;
    return sum;
}

int main(void)
{
    char buffer[8];
    int fds[2];
    for (int i = 1; i < 4; i++)
        push(i * 10);
    pipe(fds);
    write(fds[1], "hello", 6);
    read(fds[0], buffer, 6);
    int sum = total(head);
    printf("%s %d\\n", buffer, sum);
    return sum;
}
"""
FIRST = INCLUDES.count("\n")  # lines before the program's own


def line(text: str, nth: int = 1) -> int:
    """The number of the first, or `nth`, line with this text."""
    return FIRST + 1 + [i for i, one in enumerate(PROGRAM.splitlines()) if text in one][nth - 1]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("debugger") / "prog.c"
    path.write_text(INCLUDES + PROGRAM)
    return path


@pytest.fixture
def session(source: Path) -> Iterator[ProgramSession]:
    made = ProgramSession(source)
    yield made
    made.timeline.close()


def test_it_begins_in_main(session: ProgramSession) -> None:
    assert session.greeting.endswith(
        f"main () at prog.c:{line('i = 1')}\n{line('i = 1')}\t    for (int i = 1; i < 4; i++)\n"
    )
    assert "No breakpoints" in session.say("info breakpoints")


def test_breakpoints_and_what_is_seen_there(session: Session) -> None:
    assert "Breakpoint 1 at 0x" in session.say("b push if value == 20")
    assert f"Breakpoint 1, push (value=20) at prog.c:{line('malloc')}" in session.say("c")
    assert re.fullmatch(
        rf"#0  push \(value=20\) at prog\.c:\d+\n#1  0x\w+ in main \(\) at prog\.c:{line('push(i *')}\n"
        r"#2  0x\w+ in _start \(\) at user/lib/start\.S:\d+\n",
        session.say("bt"),
    )
    assert session.say("up", "p i") == "$1 = 2\n"
    assert session.say("down", "info args") == "value = 20\n"
    assert session.say("p *head") == '$2 = {value = 10, name = "some", next = 0x0}\n'
    assert session.say("p/x head->value + 1") == "$3 = 0xb\n"
    assert session.say("set var head->value = 11", "p $2.value + head->value") == "$4 = 21\n"
    assert session.say("ptype head").startswith(
        "type = struct node {\n    int value;\n    char name[8];\n    struct node *next;\n"
    )
    assert "stop only if value == 20\n\tbreakpoint already hit 1 time\n" in session.say("info b")
    assert session.say("finish").endswith("        push(i * 10);\n")
    assert session.say("delete", "tbreak total", "c").startswith("\nTemporary breakpoint 2, total (node=0x")
    assert session.say("finish").endswith("Value returned is $5 = 61\n")
    assert session.say("c").endswith("hello 61\n[The machine is switched off, exit status 61]\n")


def test_lines_over_and_into_calls(session: Session) -> None:
    assert session.say("n") == f"{line('push(i *')}\t        push(i * 10);\n"
    assert session.say("s").startswith("push (value=10) at prog.c:")
    assert session.say("n 5").endswith("\t    count++;\n")
    assert session.say("p count") == "$1 = 0\n"
    assert session.say("n", "n").startswith("main () at prog.c:")
    assert session.say(f"until {line('pipe(fds')}").endswith("\t    pipe(fds);\n")
    assert session.say("n").endswith('\t    write(fds[1], "hello", 6);\n')


def test_a_step_goes_on_in_the_python_of_the_kernel(session: Session) -> None:
    session.say("tbreak pipe", "c")
    assert session.say("s").endswith("ecall\n")
    assert session.say("s").startswith("Trap._usertrap at kernel/trap.py:")
    assert " in pipe () at include/usys.S:" in session.say("bt").splitlines()[1]
    assert session.say("p thread.process") == "<process 2 (prog)>\n"
    assert session.say("up 2").startswith("#2  ")
    assert session.say("p count") == "$1 = 3\n"
    for _ in range(100):
        if "sys_pipe" in (said := session.say("s")):
            break
    assert said.startswith("sys_pipe at kernel/")
    assert session.say("rn").startswith("Dispatcher.dispatch at kernel/syscall.py:")
    assert session.say("finish").startswith("Run till exit from #0  Dispatcher.dispatch at ")
    session.say("finish", "finish")
    assert session.debugger.trace_cursor is None
    assert session.say("f").endswith('    write(fds[1], "hello", 6);\n')


def test_instructions_through_the_trap_and_back(session: Session) -> None:
    session.say("tbreak pipe", "c")
    assert session.say("si").endswith("ecall\n")
    assert session.say("si").startswith("uservec at kernel/asm/trampoline.S:")
    assert session.say("up").startswith("#1  ") and "in pipe ()" in session.say("f")
    session.say("b usertrap", "c")
    assert session.say("x/i $pc").startswith("=> 0x")
    assert "the gate of the kernel's Python" in session.say("f")
    assert session.say("delete", "rs").startswith("pipe () at include/usys.S:")


def test_the_last_writer_is_found_backwards(session: Session) -> None:
    session.say("tbreak total", "c")
    assert session.say("watch count") == "Hardware watchpoint 2: count\n"
    said = session.say("rc")
    assert "booting" not in said
    assert "Old value = 3\nNew value = 2\n" in said and said.endswith("\t    count++;\n"), said
    when = session.say("when")
    session.say("checkpoint", "rc")
    assert session.say("p count") == "$1 = 1\n"
    assert session.say("restart 1").startswith("0x")
    for wrong in ("2", "0", "-1", "x", "1 2"):
        assert session.say(f"restart {wrong}") == f"No checkpoint {wrong}; `info checkpoints` lists them.\n"
    session.say("delete", "watch count if count == 0")
    assert session.say("rc", "p count") == "$2 = 0\n"
    session.say("restart 1")
    assert session.say("when") == when
    assert session.say(f"goto {when.split()[-1]}", "p count") == "$3 = 2\n"


def test_lines_backwards(session: Session) -> None:
    session.say(f"tbreak {line('pipe(fds')}", "c")
    assert session.say("rn").endswith("for (int i = 1; i < 4; i++)\n")
    assert session.say("rs").startswith("push (value=30) at prog.c:")
    assert session.say("rn").endswith("count++;\n")
    assert session.say("reverse-finish").endswith("push(i * 10);\n")
    assert session.say("p i") == "$1 = 3\n"


def test_what_the_kernel_writes_is_told(session: Session) -> None:
    session.say("watch buffer")
    said = session.say("c")
    assert "Written by kernel/mm/usercopy.py:" in said
    assert "the kernel behind gate usertrap, read of process 2 (prog)\n" in said
    assert session.say("up 2", "p buffer") == '$1 = "hello"\n'


def test_memory_code_and_registers(session: Session) -> None:
    assert session.say("x/2xw &count").startswith("0x")
    listing = session.say("disassemble")
    assert listing.startswith("Dump of assembler code for function main:") and listing.count("=> ") == 1
    assert "<pipe>" in listing
    assert session.say("disassemble userret").endswith("\tsret\nEnd of assembler dump.\n")
    assert re.search(r"^pc +. 0x\w+  <main\+\d+>$", session.say("info registers"), re.MULTILINE)
    assert re.match(r"a0 +\* 0x", session.say("si 3", "n", "info registers a0"))
    assert session.say("info symbol push") == "push\n"
    assert f'Line {line("pipe(fds")} of "prog.c" starts at' in session.say(f"info line {line('pipe(fds')}")
    assert re.search(r"^\d+>\t", session.say("list"), re.MULTILINE)
    assert "* 2    prog" in session.say("info processes")
    assert session.say("inferior 1").startswith("[Switching to process 1]\n#0  ")
    assert " in main " in session.say("bt")


def test_mistakes_are_answered(session: Session) -> None:
    for command, answer in {
        "nonsense": "Undefined command",
        "re": "Ambiguous command",
        "b nowhere": "not defined",
        "b prog.c:9999": "No compiled code for line 9999",
        "p nobody": "No symbol",
        "x/4x 0x500000000": "Cannot access",
        "watch 1 +": "A syntax error in expression, near",
        "frame 99": "No frame",
        "inferior 77": "No process",
        "catch nothing": "no such event",
        "goto yesterday": "no time",
        "delete 5": "No breakpoint number 5",
        "info nothing": "info registers",
        "stepi many": "no count",
    }.items():
        assert answer in session.say(command), command
    assert session.say("catch fork").startswith("Catchpoint 1")
    for one in ALL:
        assert session.say(f"help {one.name}").startswith(one.name)


def test_backwards_from_behind_a_store_is_to_before_it(session: Session) -> None:
    session.say("watch count", "c", "c")
    assert session.say("p count") == "$1 = 2\n"
    assert "Old value = 2\nNew value = 1\n" in session.say("rc")
    assert "Old value = 1\nNew value = 2\n" in session.say("c")


def test_lines_from_a_pipe(source: Path) -> None:
    run = orrery("debug", str(source), stdin="b total\nc\nbt\nq\n")
    assert run.status == 0, run
    assert "(orrery) bt\n#0  total (node=0x" in run.out


def test_a_terminal(source: Path) -> None:
    env = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"}  # nobody answers where the cursor is
    child = pexpect.spawn(ORRERY, ["debug", str(source)], timeout=60, encoding="utf-8", env=env)
    child.expect_exact("for (int i = 1")
    child.expect_exact("(orrery)")
    child.send("tbre\t")
    child.expect("tbre.*ak")
    child.send(" pus\t")
    child.expect("pus.*h")
    child.send("\r")
    child.expect_exact("Temporary breakpoint 1 at")
    child.send("c\r")
    child.expect_exact("push (value=10)")
    child.send("n\r")
    child.expect_exact("node->value = value;")
    child.send("\r")
    child.expect_exact("strcpy(node->name")
    child.send("q\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_control_c_stops_what_runs_forward_or_back(tmp_path: Path) -> None:
    (tmp_path / "spin.c").write_text("volatile long n; int main(void) { for (;;) n++; }")
    env = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(ORRERY, ["debug", str(tmp_path / "spin.c")], timeout=60, encoding="utf-8", env=env)
    for command in ("continue", "next", "reverse-next"):
        child.expect_exact("(orrery)")
        child.expect_exact("\x1b[?25h")  # the prompt is there
        child.send(f"{command}\r")
        child.expect_exact("\x1b[?2004l")  # it runs
        time.sleep(0.3)
        child.sendintr()
        child.expect_exact("Interrupted.")
    child.close()


def test_a_watchpoint_on_a_local_ends_with_its_call(session: Session) -> None:
    deleted = (
        "Watchpoint 2 deleted because the program has left the block in\nwhich its expression is valid.\n"
    )
    session.say("b total", "c", "watch sum if sum == 60")
    assert "New value = 60\n" in session.say("c")
    said = session.say("c")
    assert f"\n{deleted}0x" in said and " in main () at prog.c:" in said
    assert session.say("info watchpoints") == "No watchpoints.\n"
    assert session.say("info breakpoints").count("total") == 1
    session.say("rc")
    session.say("watch sum if sum == 99")
    shown = session.say("info watchpoints")
    assert "3    hw watchpoint" in shown and "sum" in shown and "total" not in shown
    assert session.say("rc").startswith(f"\n{deleted.replace('2', '3', 1)}total (node=")
    assert "No more history" in session.say("rc")


def test_breakpoints_are_passed_by_and_carry_out_commands(session: Session) -> None:
    session.say("b push")
    assert session.say("ignore 1 1") == "Will ignore next crossing of breakpoint 1.\n"
    assert "push (value=20)" in session.say("c")
    assert "already hit 2 times" in session.say("info b")
    session.say(
        "commands", "silent", 'printf "%3d|%s|%x\\n", value * 2, head->name, &count - &count', "c", "end"
    )
    session.say("tb total", "commands", "print sum", "set $seen = count", "end")
    assert "commands" not in session.say("info b")
    said = session.say("start")
    assert said.endswith(
        f"main () at prog.c:{line('i = 1')}\n{line('i = 1')}\t    for (int i = 1; i < 4; i++)\n"
    )
    said = session.say("c")
    assert "\n 20|" not in said and " 40|some|0\n 60|some|0\n" in said
    assert said.endswith(" = 0\n") and "Temporary breakpoint 2, total (node=" in said
    assert session.say("p $seen") == "$2 = 3\n"
    assert session.say("clear push") == "Deleted breakpoint 1\n"


def test_what_a_program_has_is_listed(session: Session) -> None:
    assert re.search(r"^0x\w+  push  prog\.c:\d+$", session.say("info functions ^pu"), re.MULTILINE)
    assert re.search(r"^0x\w+  count  \(4 bytes\)$", session.say("info variables cou"), re.MULTILINE)
    assert "\nstruct node\n" in session.say("info types")
    assert "Symbol sum is a variable of type int, 4 bytes.\n" in session.say("info scope total")
    assert session.say("info address count").startswith('Symbol "count" is a variable at address 0x')
    assert "called by frame at 0x" in session.say("info frame")
    assert session.say("bt full 1").splitlines()[1:3] == ["        i = 0", '        buffer = ""']
    assert "cannot be called" in session.say("call push(3)")
    assert session.say("list push", "list -").startswith("1\t")
    assert session.say("set listsize 3", "list total").count("\n") == 3
    assert session.say("file cat").startswith("Reading symbols")
    assert session.say("echo one\\ntwo\\n") == "one\ntwo\n"


def test_a_killed_process_ends(session: Session) -> None:
    session.say("tb total", "c")
    assert session.say("kill").startswith("[Process 2 ends")
    assert "hello" not in (said := session.say("c")) and "exit status 255" in said
    assert session.say("b total").startswith("Breakpoint 2 at 0x")
    assert "Breakpoint 2, total" in session.say("run")


CRASH = """\
int *place;
static void poke(int *p, int value) { *p = value; }
int main(void)
{
    int here;
    place = &here;
    poke(place, 1);
    place = (int *)0x50000000;
    poke(place, 2);
    return 0;
}
"""


def test_a_crash_is_looked_at_where_it_happened(tmp_path: Path) -> None:
    path = tmp_path / "prog.c"
    path.write_text(INCLUDES + CRASH)
    session = ProgramSession(path)
    try:
        said = session.say("continue")
        assert "\nProgram received signal SIGSEGV, Segmentation fault.\n[exception 15 at 0x50000000" in said
        assert f"poke (p=0x50000000, value=2) at prog.c:{FIRST + 2}\n" in said
        assert session.say("p *place") == "Cannot access memory at address 0x50000000\n"
        session.say("watch place")
        assert "New value = (int *) 0x4" in session.say("reverse-continue")
        session.say("delete", "continue")
        assert "switched off, exit status 255" in session.say("continue")
        assert f"poke (p=0x50000000, value=2) at prog.c:{FIRST + 2}\n" in session.say("reverse-next")
    finally:
        session.timeline.close()


def test_back_from_the_end_by_lines_is_into_the_program(session: Session) -> None:
    assert "switched off" in session.say("continue")
    assert "exit () at include/usys.S" in session.say("reverse-step")
    assert "main ()" not in session.say("reverse-next", "reverse-next", "backtrace")
    assert session.say("reverse-step").endswith(f"\n{line('return sum;', 2)}\t    return sum;\n")
    assert "printf (format" in session.say("reverse-step")


def test_no_expression_and_no_time_ends_the_debugger(session: Session) -> None:
    for text in ("(" * 300, "-" * 5000 + "1", "count=" * 3000 + "1"):
        assert "nested too deeply" in session.say(f"print {text}")
    assert session.say("print 1e3") == "$1 = 1000\n" and session.say("print $fa0") == "$2 = 0\n"
    assert session.say("print/c 1e400") == "$3 = -1 '\\377'\n"
    assert "no machine runs so long" in session.say(f"goto 1{'0' * 400}")


def test_a_line_typed_at_the_terminal_is_the_programs_that_waits_for_one(tmp_path: Path) -> None:
    program = """
    int main(void) {
        char line[64];
        for (int n; (n = read(0, line, sizeof line)) > 0; ) printf("%d letters\\n", n - 1);
        printf("over\\n");
        for (;;) read(0, line, 1);
    }
    """
    (tmp_path / "reader.c").write_text(INCLUDES + program)
    env = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"}
    arguments = ["debug", str(tmp_path / "reader.c")]
    child = pexpect.spawn(ORRERY, arguments, timeout=60, encoding="utf-8", env=env)
    child.expect_exact("(orrery)")
    child.expect_exact("\x1b[?25h")
    child.send("continue\r")
    child.expect_exact("\x1b[?2004l")
    child.send("hello\n")
    child.expect_exact("5 letters")
    assert child.before.count("hello") == 1
    child.send("goodbye\n")
    child.expect_exact("7 letters")
    child.sendeof()
    child.expect_exact("over")
    child.sendintr()
    child.expect_exact("Interrupted.")
    child.expect_exact("(orrery)")
    child.close()


def test_source_is_listed_around_a_function_of_c_or_python(session: Session) -> None:
    first = line("static int total") - 4  # the line of its brace is in the middle
    assert session.say("list total").startswith(f"{first}\t")
    assert "def copy(self, source: PageTable" in session.say("list CopyOnWrite.copy")
    assert session.say("list pagetable.py:20").startswith("15\t")


def test_displays_are_listed_as_they_were_asked_for(session: Session) -> None:
    assert session.say("info display").startswith("There are no")
    assert session.say("display/x count") == "1: /x count = 0x0\n"
    session.say("display buffer")
    assert session.say("info display").splitlines()[2:] == ["1:   y  /x count", "2:   y  buffer"]
    assert session.say("n").endswith('1: /x count = 0x0\n2: buffer = ""\n')


def test_until_leaves_a_loop_and_a_function(session: Session) -> None:
    session.say("tb total", "c", "n", "n", "n")
    assert session.say("until").endswith("    return sum;\n")
    assert "main () at prog.c:" in session.say("until") + session.say("until")


def test_sources_are_looked_for_where_the_person_says(session: Session, tmp_path: Path) -> None:
    assert session.say("list elsewhere.c:1") == "elsewhere.c: No such file.\n"
    (tmp_path / "elsewhere.c").write_text("int here;\n")
    assert session.say(f"directory {tmp_path}").startswith(f"Source directories searched: {tmp_path}:")
    assert session.say("list elsewhere.c:1") == "1\tint here;\n"
    assert "is no directory" in session.say("directory /nowhere")


def test_locations_are_completed_with_functions_of_python_and_programs(session: Session) -> None:
    assert "push" in session.commands.completions("b pu")
    assert "ProcTable.fork" in session.commands.completions("tbreak ProcT")
    assert "cat:" in session.commands.completions("break ca")


def test_a_machine_that_has_gone_is_told_of(session: Session) -> None:
    os.kill(session.timeline._cursor.pid, signal.SIGKILL)
    assert "process of the machine has ended" in session.say("next")
    assert "process of the machine has ended" in session.say("info registers pc", "x/4x $sp")
