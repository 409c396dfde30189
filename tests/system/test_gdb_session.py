"""One session of a stock gdb from attaching to detaching, on a machine that runs and on a replay.

It breaks in a function of the program, steps to an ecall, and by one instruction after another through the
whole trap and back; then it asks who wrote a variable last, backwards, and looks at all processes.  The run
must not show anything of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from gdbs import Served, gdb_path, in_order, source
from orrery_cli import Done, orrery

PROGRAM = """
volatile int total;
__attribute__((noinline)) void add(int n) { total += n; }
__attribute__((noinline)) void tell(const char *text, int length)
{
    add(length);
    write(1, text, length);
}
int main(void)
{
    int go[2];
    char c;
    pipe(go);
    if (fork() == 0) {
        read(go[0], &c, 1);
        exit(3);
    }
    tell("one\\n", 4);
    tell("three\\n", 6);
    write(go[1], "x", 1);
    wait(0);
    return total;
}
"""
STATUS, OUT = 10, "one\nthree\n"

SESSION = r"""
break tell
continue
backtrace
step
finish
step
x/i $pc
stepi
x/i $pc
info registers
set $after = $pc + 4
while $pc != $after
stepi
printf "@step priv %d satp %lx\n", $priv, $satp
backtrace
end
echo @back\n
info registers
x/i $pc
delete
tbreak wait
continue
watch total
reverse-continue
backtrace
x/i $pc
reverse-continue
print total
info inferiors
info threads
thread apply all backtrace
detach
"""
PARTS = ("uservec", "usertrap", "userret")
LINE = r"at .*trampoline\.S:\d+$"
STEP = re.compile(r"^@step priv (\d) satp (\w+)\n((?:#.*\n)+)", re.MULTILINE)
FRAME = re.compile(r"^#\d+ +(?:0x\w+ in )?(\w+) \(.* at (.*):(\d+)$", re.MULTILINE)
REGISTER = re.compile(r"^([a-z]+\d*) +0x(\w+)\t", re.MULTILINE)


class Step(NamedTuple):
    """Where a stepi ended, and the callers as gdb sees them there."""

    priv: int
    satp: str
    functions: list[str]
    file: str
    line: int


def steps(said: str) -> list[Step]:
    """All that were made in the trap."""
    found = []
    for priv, satp, backtrace in STEP.findall(said):
        frames = FRAME.findall(backtrace)
        _, file, line = frames[0]
        found.append(Step(int(priv), satp, [name for name, _, _ in frames], Path(file).name, int(line)))
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source(tmp_path_factory.mktemp("session"), "tally", PROGRAM)


@pytest.fixture(scope="module")
def alone(program: Path) -> Done:
    """The run without a gdb."""
    return orrery("run", "--digest", program)


@pytest.fixture(scope="module")
def recording(program: Path) -> Path:
    path = program.with_suffix(".orr")
    assert orrery("record", "-o", path, "run", program).status == STATUS
    return path


@pytest.fixture(params=["live", "replay"])
def served(request: pytest.FixtureRequest, program: Path, recording: Path) -> Iterator[Served]:
    if request.param == "live":
        with Served("run", "--digest", program) as it:
            yield it
    else:
        with Served("replay", recording, wait=False) as it:
            yield it


@pytest.mark.parametrize("which", [0, 1], ids=["first gdb", "second gdb"])
def test_a_session_from_attaching_to_detaching(
    served: Served, program: Path, alone: Done, which: int, tmp_path: Path
) -> None:
    script = tmp_path / "session.gdb"
    script.write_text(SESSION)
    said = served.gdb(f"source {script}", path=gdb_path(which))

    in_order(said, [
        r"hit Breakpoint 1(\.\d)?, tell \(text=0x\w+ \"one\\n\", length=length@entry=4\) at .*tally\.c:\d+$",
        r"^#0  tell ", r"^#1 .* in main \(\) at .*tally\.c:\d+$",
        r"^add \(n=n@entry=4\) at ", r"^tell \(", r"^write \(\) at .*usys\.S:\d+$",
        r"<write>:\s+li\s+a7,16", r"<write\+2>:\s+ecall",
        rf"^uservec \(\) {LINE}", r"^usertrap \(\) at .*kernel/trap\.py:\d+$", r"^\d+.*def _usertrap",
        rf"^userret \(\) {LINE}", r"^write \(\) at .*usys\.S:\d+$", r"@back", r"<write\+6>:\s+ret",
        r"hit Temporary breakpoint 2.*, wait \(\)",
        r"watchpoint 3: total\n\nOld value = 10\nNew value = 4", r" in add \(n=n@entry=6\)",
        r"^#0 .* in add \(n=n@entry=6\)", r"^#1 .* in tell \(text=0x\w+ \"three\\n\"", r"^#2 .* in main \(\)",
        r"^=> .*<add\+\d+>:\s+sw\s",
        r"watchpoint 3: total\n\nOld value = 4\nNew value = 0", r" in add \(n=n@entry=4\)", r"^\$1 = 0$",
        r"^  1 +process 1000000000 .*target:/kernel\.elf", r"^\* 2 +process 2 .*target:/tally",
        r"^  3 +process 1 .*target:/init", r"^  4 +process 3 .*target:/tally",
        r'"kernel" \(the scheduler\)', r'\* 2\.1.*"tally" \(run, the hart works for it\) .* in add',
        r'"init" \(sleep\) +wait \(\)', r'"tally" \(\w+\) +fork \(\)',
        r'"tally".*:\n#0  fork \(\).*\n#1 .* in main', r'"init".*:\n#0  wait \(\).*\n#1 .* in run \(',
        r'"tally".*:\n#0 .* in add \(n=n@entry=4\).*\n#1 .* in tell', r'"kernel".*:\n#0  resumed',
        r"process 2\) detached", r"process 1\) detached",
    ])  # fmt: skip
    check_the_way_through_the_trap(said)
    status, out, err = served.end()
    assert (status, out) == (STATUS, OUT)
    assert alone.lines[0].removeprefix("digest: ") in err, "the run shows nothing of it"


def check_the_way_through_the_trap(said: str) -> None:
    """Step by step: where it leads, on whose page table, and who is seen to have called."""
    way = steps(said)
    into, gate, out = ([step for step in way if step.functions[0] == name] for name in PARTS)
    assert [*into, *gate, *out] == way[:-1], "one part after the other, and then the program"
    assert len(into) > 34 < len(out), "31 registers are saved, and restored"
    assert [(step.file, step.priv) for step in gate] == [("trap.py", 1)], "one stepi passes the gate"
    assert {(step.file, step.priv) for step in into + out} == {("trampoline.S", 1)}
    for part in (into, out):
        assert [step.line for step in part] == sorted(step.line for step in part), "no jumps in it"
    for step in way[:-1]:
        assert step.functions[1:] == ["write", "tell", "main"], step
    user, kernel = into[0].satp, gate[0].satp
    assert way[-1]._replace(line=0) == Step(0, user, ["write", "tell", "main"], "usys.S", 0)
    assert user != kernel == into[-1].satp and out[0].satp == kernel and out[-1].satp == user

    text = said[said.index("<write+2>") :]
    before, after = (dict(REGISTER.findall(part)) for part in (text[: text.index("@step")], behind(text)))
    assert len(before) == 32 and int(after["pc"], 16) == int(before["pc"], 16) + 4
    assert (before["a0"], after["a0"]) == ("1", "4"), "write's file, and what it returned"
    for name in before.keys() - {"pc", "a0"}:
        assert before[name] == after[name], name


def behind(text: str) -> str:
    """What was said behind the trap, as far as registers are listed."""
    rest = text[text.index("@back") :]
    return rest[: rest.index("=> ")]
