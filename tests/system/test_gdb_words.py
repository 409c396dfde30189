"""gdb's ways to stop, to step and to look, one after the other, on one program."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gdbs import Served, in_order, source

PROGRAM = """
volatile int x = 100, z, marker; __attribute__((noinline)) int self(void) { return getpid(); }
__attribute__((noinline)) int half(int a) { z = a / 2; return z; }
__attribute__((noinline)) int deep(int n) { return n == 0 ? marker++ : deep(n - 1) + 1; }
int main(void)
{
    for (int i = 0; i < 5; i++) {
        x = half(x);
        marker = i;
    }
    int r = deep(5);
    marker = marker + x + 0 * self();
    for (int i = 0; i < 100000; i++)
        marker++;
    return r;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source(tmp_path_factory.mktemp("words"), "words", PROGRAM)


@pytest.fixture
def served(program: Path) -> Iterator[Served]:
    """A machine that waits for a gdb before its first instruction."""
    with Served("run", program) as it:
        yield it


def test_ways_to_stop(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "break half if a < 30", "continue", "print a", "finish", "delete",
        "hbreak deep", "continue", "delete", "tbreak deep if n == 1", "continue", "backtrace", "finish",
        "rwatch x", "continue", "delete", "awatch marker", "continue", "continue", "delete",
    )  # fmt: skip
    in_order(said, [
        r"hit Breakpoint 2[.\d]*, half \(a=.*25\)", r"\$1 = 25",
        r"Value returned is \$2 = 12",
        r"Hardware assisted breakpoint 3", r"hit Breakpoint 3[.\d]*, deep \(n=.*5\)",
        r"hit Temporary breakpoint 4[.\d]*, deep \(n=.*1\)", r"^#4 .* in deep \(n=.*5\)", r"^#5 .* in main",
        r"Value returned is \$3 = 5", r"read watchpoint 5: x", r"Value = 3",
        r"access \(read/write\) watchpoint 6: marker\n\n(Value = 5|Old value = 5\nNew value = 8)",
        r"access \(read/write\) watchpoint 6: marker",
    ])  # fmt: skip
    assert served.end()[0] == 9


def test_ways_to_step(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "step", "info symbol $pc", "finish", "advance deep", "info symbol $pc",
        "finish", "next", "next", "until", "advance 18", "info line", "set $here = $pc", "reverse-next",
        "info line", "reverse-step", "reverse-stepi", "stepi", "advance 18", "print $pc == $here",
    )  # fmt: skip
    in_order(said, [
        r"^half( \+ \d+)? in section", r"Value returned is \$1 = 50", r"^deep( \+ \d+)? in section",
        r"Value returned is \$2 = 9", r"^Line 18 of", r"^Line 1[67] of", r"= 1$",
    ])  # fmt: skip
    assert "SIG" not in said


def test_functions_of_the_guest_are_called(served: Served) -> None:
    said = served.gdb(
        "tbreak main", "continue", "print half(50)", "print deep(3) + half(half(8))", "print self()",
        "info symbol $pc", "reverse-stepi", "stepi", "info symbol $pc", "detach",
    )  # fmt: skip
    in_order(said, [
        r"^\$1 = 25$", r"^\$2 = 5$", r"^\$3 = 2$", r"^main( \+ \d+)? in section", r" in \?\? \(\)",
        r"^main( \+ \d+)? in section",
    ])  # fmt: skip
    assert "Program" not in said and served.end()[0] == 9


def test_functions_of_the_guest_that_are_called_stop_on_their_way(served: Served) -> None:
    """At a breakpoint, in one another, left by finish, return and continue; and back to before all that."""
    said = served.gdb(
        "tbreak main", "continue", "next", "set $here = $pc", "break half", "print half(50)", "print half(8)",
        "backtrace", "finish", "backtrace", "continue", "backtrace 1", "print x", "print half(6)", "return",
        "backtrace 1", "print $pc == $here", "delete", "print deep(2) + half(4)", "reverse-stepi", "stepi",
        "print half(10)", "tbreak deep", "continue", "next", "detach",
    )  # fmt: skip
    in_order(said, [
        r"hit Breakpoint 2[.\d]*, half \(a=.*50\)", r"stopped while in a function called from GDB",
        r"hit Breakpoint 2[.\d]*, half \(a=.*8\)", r"^#1  <function called from gdb>",
        r"^#2  half \(a=.*50\)", r"^#3  <function called from gdb>", r"^#4  main",
        r"^half \(a=.*50\)", r"Value returned is \$1 = 4", r"^#0  half \(a=.*50\)",
        r"^#1  <function called from gdb>", r"^#2  main", r"^#0  main", r"\$2 = 50",
        r"hit Breakpoint 2[.\d]*, half \(a=.*6\)", r"^#0  main", r"\$3 = 1", r"\$4 = 4", r"\$5 = 5",
        r"hit Temporary breakpoint 3[.\d]*, deep",
    ])  # fmt: skip
    assert "SIGSEGV" not in said and served.end()[0] != 255


def test_no_function_is_called_in_the_middle_of_a_trap(served: Served) -> None:
    said = served.gdb(
        "tbreak self", "continue", "tbreak uservec", "continue", "print half(50)", "print $pc", "thread 3.1",
        "print (int)wait(0)", "backtrace 1", "thread 2.1", "finish", "finish", "print half(50)", "detach",
    )  # fmt: skip
    in_order(said, [
        r"uservec \(\) at", r'Could not write register "ra"', r"\$1 = .*<uservec>",
        r'Could not write register "ra"', r"^#0  wait", r"^getpid \(\) at", r"= 25$",
    ])  # fmt: skip
    assert "SIGSEGV" not in said and served.end()[0] == 9


def test_ways_to_look_and_to_change(served: Served) -> None:
    said = served.gdb(
        "tbreak half", "continue", "info registers csr", "info registers float", "print $satp == 0",
        "print $priv", "print/x $sstatus & 0x100", "print $nonesuch", "print $f10.double", "print $x10",
        "set var $t6 = 77", "print $t6", "set var x = 9", "print x", "x/2wx &x", "x/wx 0x90000000",
        "print *(int *)0x7fffffff000",
        "set var *(int *)0x7fffffff000 = 1", "detach",
    )  # fmt: skip
    in_order(said, [
        r"^sstatus +0x", r"^stvec +0x3ffffff000", r"^scause +0x8\t", r"^satp +0x8\w+\t+9\d+$",
        r"^priv +0x0\tprv:0", r"^ft0 ", r"^fa0 ", r"^\$1 = 0$", r"^\$2 = 0$", r"^\$3 = 0x0$", r"^\$4 = void",
        r"^\$5 = 0$", r"^\$6 = 100$", r"^\$7 = 77$", r"^\$8 = 9$", r"<x>:\t0x00000009\t",
        r"Cannot access memory at address 0x90000000", r"Cannot access memory at address 0x7fffffff000",
        r"Cannot access memory at address 0x7fffffff000",
    ])  # fmt: skip
    assert re.search(r"detached\]", said) and served.end()[0] == 9
