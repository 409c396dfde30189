"""Steps by line, forwards and backwards: the way back stops where the way forward did, and shows the same."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from debugged import ProgramSession
from orrery_cli import INCLUDES

COMPUTES = """
static int depth;
int twice(int x)
{
    return 2 * x;
}
static int ack(int m, int n)
{
    depth++;
    if (m == 0)
        return n + 1;
    if (n == 0)
        return ack(m - 1, 1);
    return ack(m - 1, ack(m, n - 1));
}
static inline __attribute__((always_inline)) int inlined(int v)
{
    int w = v + 1;
    return w * 2;
}
static void swap(int *a, int *b)
{
    int t = *a;
    *a = *b;
    *b = t;
}
static int loops(int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++) {
        if (i % 2)
            continue;
        sum += i;
    }
    do {
        sum--;
    } while (sum > 0);
    switch (sum) {
    case 0:
        sum = 50;
        break;
    default:
        sum = 1;
    }
    return sum;
}
static int several(int a,
                   int b)
{
    int r = a
        + twice(b)
        + twice(
            a);
    return r;
}
int main(void)
{
    int (*fn)(int) = twice;
    int x = fn(3), y = 4;
    swap(&x, &y);
    x = inlined(x) + inlined(y);
    x += loops(3);
    x += ack(1, 1);
    if (x > 3 && twice(x) > 2 || y)
        x = several(x, y);
    goto out;
out:
    return x + depth;
}
"""
CALLS = """
int total;
static void add(int n)
{
    total += n;
}
int main(void)
{
    int fds[2];
    char buf[16];
    pipe(fds);
    int pid = fork();
    if (pid == 0) {
        write(fds[1], "child", 6);
        exit(3);
    }
    int status = 0;
    read(fds[0], buf, 6);
    add(strlen(buf));
    wait(&status);
    char *p = sbrk(8192);
    p[5000] = 7;
    add(p[5000]);
    int fd = open("file", O_CREATE | O_RDWR);
    write(fd, p, 5001);
    close(fd);
    add(status);
    printf("total %d\\n", total);
    return total;
}
"""
INLINED = """
static inline __attribute__((always_inline)) int low(int x)
{
    return x * 3;
}
static inline __attribute__((always_inline)) int inl(int x)
{
    int y = low(x) + low(x + 1);
    for (int i = 0; i < 2; i++)
        y += i;
    return y + 1;
}
static inline __attribute__((always_inline)) void empty(void)
{
    int z = 5;
    z++;
}
int real(int n)
{
    empty();
    return inl(n);
}
int main(void)
{
    empty();
    volatile int r = 7;
    r += inl(r);
    r += real(r) + inl(2);
    empty();
    r = inl(r); r++;
    return 0;
}
"""
STEPS_MAX = 100


class Session(ProgramSession):
    """What is seen from main on, by steps."""

    def seen(self) -> tuple[object, ...]:
        """Where it stands, and what it shows there."""
        shown = (
            self.commands.execute(one) for one in ("frame", "backtrace", "info locals", "info registers pc")
        )
        return (self.timeline.moment, *(text.replace(" * ", "   ") for text in shown))

    def there(self, command: str) -> list[tuple[object, ...]]:
        """What is seen at each of the command's stops until main has returned."""
        stops = [self.seen()]
        for _ in range(STEPS_MAX):
            self.commands.execute(command)
            if self.debugger.frame.name == "_start":
                return stops
            stops.append(self.seen())
        raise AssertionError(f"main goes on after {STEPS_MAX} times {command}")

    def back(self, command: str, count: int) -> list[tuple[object, ...]]:
        """The same, backwards."""
        stops = []
        for _ in range(count):
            self.commands.execute(command)
            stops.append(self.seen())
        return stops[::-1]


@pytest.fixture
def make(tmp_path: Path) -> Iterator["Make"]:
    maker = Make(tmp_path)
    yield maker
    for session in maker.made:
        session.timeline.close()


class Make:
    """Makes sessions."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.made: list[Session] = []

    def __call__(self, program: str) -> Session:
        source = self._directory / "prog.c"
        source.write_text(INCLUDES + program)
        self.made.append(Session(source))
        return self.made[-1]


@pytest.mark.parametrize(
    ("program", "forward", "backward"),
    [
        (COMPUTES, "step", "reverse-step"),
        (COMPUTES, "next", "reverse-next"),
        (CALLS, "next", "reverse-next"),
        (INLINED, "step", "reverse-step"),
        (INLINED, "next", "reverse-next"),
    ],
)
def test_the_way_back_by_lines_is_the_way_there(
    make: Make, program: str, forward: str, backward: str
) -> None:
    session = make(program)
    there = session.there(forward)
    # From behind main, a line before _start's is main's last, or the call.
    session.timeline.goto(there[-1][0])  # type: ignore[arg-type]
    session.debugger.moved(session.timeline.current)
    assert session.back(backward, len(there) - 1) == there[:-1]
    assert session.there(forward) == there


def test_the_way_back_by_instructions_is_the_way_there(make: Make) -> None:
    session = make(CALLS)
    session.commands.execute("tbreak fork")
    session.commands.execute("continue")
    there = [session.seen()]
    for _ in range(60):
        session.commands.execute("stepi")
        there.append(session.seen())
    assert session.back("reverse-stepi", 60) == there[:-1]


def test_inlined_calls_are_stepped_over_and_into_as_others(make: Make) -> None:
    """The lines are those at which gdb stops."""
    session, first = make(INLINED), INCLUDES.count("\n")

    def at() -> tuple[str, int]:
        place = session.debugger.frame.place
        assert place is not None, "the program has lines"
        return place.function, place.line - first

    names = []
    for command in ("next",) * 5:
        session.say(command)
        names.append(at())
    assert names == [("main", number) for number in (26, 27, 28, 29, 30)]
    session.say("start")
    names = []
    for command in ("step",) * 16:
        session.say(command)
        names.append(at())
    assert names == [
        ("empty", 15),
        ("empty", 16),
        ("main", 26),
        ("main", 27),
        ("inl", 8),
        ("low", 4),
        ("inl", 8),
        ("low", 4),
        ("inl", 8),
        ("inl", 9),
        ("inl", 10),
        ("inl", 9),
        ("inl", 10),
        ("inl", 9),
        ("inl", 11),
        ("main", 27),
    ]
    said = session.say("break low", "run")
    assert "\nBreakpoint 1, low (x=7) at prog.c:" in said
    assert re.fullmatch(
        r"#0  low \(x=7\) at prog\.c:\d+\n#1  inl \(x=7\) at prog\.c:\d+\n"
        r"#2  main \(\) at prog\.c:\d+\n#3  0x\w+ .*\n",
        session.say("backtrace"),
    )
    session.say("delete", "finish")
    assert at() == ("inl", 8)
    session.say("finish")
    assert at() == ("main", 27)
    assert "4 locations" in session.say(f"break {first + 8}")


def test_a_line_with_several_calls_is_one_step_over_and_each_call_a_step_into(make: Make) -> None:
    session = make(COMPUTES)
    session.commands.execute("tbreak several")
    session.commands.execute("continue")
    names = []
    for _ in range(8):
        session.commands.execute("step")
        names.append(session.debugger.frame.name)
    assert names == ["several", "twice", "several", "several", "twice", "several", "several", "main"]


def test_a_call_of_the_same_function_is_told_as_a_new_one(make: Make) -> None:
    session = make(COMPUTES)
    session.commands.execute("break ack")
    session.commands.execute("continue")
    session.commands.execute("delete")
    said = [session.commands.execute("step") for _ in range(4)]
    assert said[-1].startswith("ack (m=1, n=0) at prog.c:")
    assert [text.startswith("ack") for text in said] == [False, False, False, True]
