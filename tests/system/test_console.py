"""The console on a terminal, as a person has it: a real pseudo-terminal, driven by pexpect."""

import re
import signal
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from orrery_cli import ORRERY

from orrery.console.terminal import HELP

C_A = "\x01"
PROMPT = r"\$ "


@pytest.fixture
def terminal(drive: Path) -> Iterator[pexpect.spawn]:
    """A booted machine, at its prompt."""
    child = _spawn("boot", "--drive", str(drive))
    child.expect(PROMPT)
    yield child
    child.close(force=True)


def _spawn(*words: str) -> pexpect.spawn:
    child = pexpect.spawn(ORRERY, list(words), timeout=10, encoding="utf-8", echo=True)
    child.delaybeforesend = None
    return child


def _ended(child: pexpect.spawn) -> int:
    """Wait for the end; the exit status, or minus a signal's number."""
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus if child.exitstatus is not None else -child.signalstatus


def test_everything_is_shown_and_c_a_x_ends_it(terminal: pexpect.spawn) -> None:
    assert "the xv6 kernel in Python is booting\r\n\r\ninit: starting sh\r\n" in terminal.before
    terminal.send("echo hi\r")
    terminal.expect("echo hi\r\nhi\r\n" + PROMPT)
    terminal.send(C_A + "x")
    assert _ended(terminal) == 0


def test_c_a_helps_and_can_be_sent(terminal: pexpect.spawn) -> None:
    terminal.send(C_A + "h")
    terminal.expect(re.escape(HELP.decode().replace("\n", "\r\n")))
    terminal.send("cat\r" + C_A + C_A + C_A + "a" + C_A + "z" + ".\r")  # C-a z is nothing
    terminal.expect("\r\n\x01\x01[.]\r\n\x01\x01[.]\r\n")


def test_the_line_of_a_program_can_be_edited(terminal: pexpect.spawn) -> None:
    terminal.send("cat | head -1\r")
    terminal.expect("head -1\r\n")
    terminal.send("nonsense\x15onxy\x7f\x08e\r")
    terminal.expect("\r\none\r\n")
    assert "\b \b" in terminal.before
    terminal.send("\x04")
    terminal.expect(PROMPT)
    terminal.send("wc\rline\rrest\x04")
    terminal.send("\x04")
    terminal.expect(r"1 2 9 \r\n" + PROMPT)


def test_c_p_lists_the_processes(terminal: pexpect.spawn) -> None:
    terminal.send("cat\r")
    terminal.expect("cat\r\n")
    time.sleep(0.2)  # until it reads
    terminal.send("\x10")
    terminal.expect("1 sleep +init\r\n2 sleep +sh\r\n")


def test_the_end_of_input_makes_a_new_shell(terminal: pexpect.spawn) -> None:
    terminal.send("\x04")
    terminal.expect("init: starting sh\r\n" + PROMPT)
    terminal.send("echo still here\r")
    terminal.expect("\r\nstill here\r\n")


def test_typing_ahead_and_pasting_lose_nothing(terminal: pexpect.spawn) -> None:
    words = [f"word{i}" for i in range(60)]
    terminal.send("later; cat > f\r" + "".join(f"{word}\r" for word in words) + "\x04wc f\r")
    letters = sum(len(word) + 1 for word in words)
    terminal.expect(f"60 60 {letters} f\r\n")


def test_a_key_reaches_a_guest_that_computes(terminal: pexpect.spawn) -> None:
    terminal.send("spin\r")
    terminal.expect("spin\r\n")
    terminal.send("\x10")
    terminal.expect("run +spin\r\n")
    terminal.send(C_A + "x")
    assert _ended(terminal) == 0


def test_wall_time_passes_as_virtual_time_does(tmp_path: Path) -> None:
    source = tmp_path / "nap.c"
    source.write_text('#include "user/user.h"\nint main(void) { sleep(5); return 6; }')
    began = time.monotonic()
    child = _spawn("run", str(source))
    assert _ended(child) == 6
    assert time.monotonic() - began >= 0.4
    assert child.before == ""


def test_a_program_has_the_terminal_to_itself(tmp_path: Path) -> None:
    source = tmp_path / "ask.c"
    text = 'char b[9]; fprintf(1, "name? "); int n = read(0, b, 9); write(1, b, n); return n;'
    source.write_text('#include "user/user.h"\nint main(void) { ' + text + " }")
    child = _spawn("run", str(source))
    child.expect("name[?] ")
    child.send("me\r")
    assert _ended(child) == 3
    assert child.before == "me\r\nme\r\n"


def test_a_deadlock_is_told_on_a_terminal_too(terminal: pexpect.spawn) -> None:
    terminal.send("stuck\r")
    terminal.expect("orrery: deadlock: ")
    assert _ended(terminal) == 126


@pytest.mark.parametrize("how", ["key", "signal", "deadlock"])
def test_the_terminal_is_left_as_it_was(terminal: pexpect.spawn, how: str) -> None:
    raw = termios.tcgetattr(terminal.child_fd)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    if how == "key":
        terminal.send(C_A + "x")
    elif how == "signal":
        terminal.kill(signal.SIGTERM)
    else:
        terminal.send("stuck\r")
    terminal.expect(pexpect.EOF)
    terminal.wait()
    after = termios.tcgetattr(terminal.child_fd)
    assert after[3] & termios.ICANON and after[3] & termios.ECHO and after[3] & termios.ISIG
    assert after[0] & termios.ICRNL
    assert terminal.exitstatus == {"key": 0, "signal": 128 + signal.SIGTERM, "deadlock": 126}[how]


def test_a_c_line_on_a_terminal_leaves_the_keys_to_its_program() -> None:
    child = _spawn("boot", "-c", "echo who; cat; echo end")
    child.expect("who\r\n")
    child.send("me\n")
    child.expect("me\r\nme\r\n")
    child.send("\x04")
    child.expect("end\r\n")
    assert _ended(child) == 0
