"""The console: editing a line, reading lines, end of input, output and who hears of it."""

from typing import Any

import pytest
from fake_kernel import MEMORY_SIZE, CutDrive, FakeKernel, FakeProc, Panic, attempt, memory

from kernel.abi.disk import BSIZE
from kernel.abi.param import CONSOLE, INPUT_BUF_SIZE
from kernel.abi.syscalls import LAB_YEAR
from kernel.abi.tty import TTY_ASK, TTY_COOKED, TTY_RAW
from kernel.dev.console import Console
from kernel.errors import SyscallError


class Terminal:
    """A kernel with a process that reads the console again and again, and what it got."""

    def __init__(self, n: int = 100, count: int = 1, columns: int = 0) -> None:
        self.k = FakeKernel(CutDrive(bytes(BSIZE)))
        self.k.console = Console(self.k.uart, self.k.waits, LAB_YEAR, columns)
        self.k.console.processes = self.k.procdump
        self.lines: list[bytes | int] = []

        def program(k: FakeKernel, p: FakeProc) -> None:
            for _ in range(count):
                got = attempt(k.console.read, memory(k, p, 0, n))
                self.lines.append(got if got < 0 else bytes(p.memory[:got]))

        self.reader = self.k.spawn(program)

    def type(self, keys: bytes) -> "Terminal":
        """Type while the process waits, and let it go on."""
        self.k.run_until_idle()
        self.k.type(keys)
        self.k.run_until_idle()
        return self


@pytest.mark.parametrize(
    ("keys", "line", "echo"),
    [
        (b"ls\n", b"ls\n", b"ls\n"),
        (b"ls\r", b"ls\n", b"ls\n"),
        (b"lx\x08s\n", b"ls\n", b"lx\b \bs\n"),
        (b"lx\x7fs\n", b"ls\n", b"lx\b \bs\n"),
        (b"\x08\x7f\x15a\n", b"a\n", b"a\n"),
        (b"abc\x15d\n", b"d\n", b"abc" + b"\b \b" * 3 + b"d\n"),
        (b"a\0b\n", b"ab\n", b"ab\n"),
        (b"\x04", b"", b"\x04"),
        (b"\xff\x80\n", b"\xff\x80\n", b"\xff\x80\n"),
    ],
)
def test_a_line_is_edited_and_echoed(keys: bytes, line: bytes, echo: bytes) -> None:
    terminal = Terminal().type(keys)
    assert terminal.lines == [line]
    assert terminal.k.sent == echo


def test_a_line_is_not_given_before_it_ends() -> None:
    terminal = Terminal().type(b"half")
    assert terminal.lines == []
    assert terminal.type(b" done\n").lines == [b"half done\n"]


def test_a_finished_line_cannot_be_taken_back() -> None:
    terminal = Terminal(count=2).type(b"one\n\x08\x15two\n")
    assert terminal.lines == [b"one\n", b"two\n"]


def test_a_small_buffer_gets_the_line_in_pieces() -> None:
    assert Terminal(n=4, count=3).type(b"longline\n").lines == [b"long", b"line", b"\n"]


def test_end_of_input_behind_a_partial_line_is_kept_for_the_next_read() -> None:
    terminal = Terminal(count=3).type(b"par\x04tial\n")
    assert terminal.lines == [b"par", b"", b"tial\n"]


def test_end_of_input_right_behind_a_full_buffer_ends_the_next_read() -> None:
    assert Terminal(n=3, count=3).type(b"abc\x04de\n").lines == [b"abc", b"", b"de\n"]


def test_a_full_input_buffer_is_a_line_and_drops_further_keys() -> None:
    terminal = Terminal(n=2 * INPUT_BUF_SIZE, count=2)
    keys = bytes(ord("a") + i % 26 for i in range(INPUT_BUF_SIZE + 20))
    terminal.k.type(keys)  # nobody reads yet
    assert terminal.k.sent == keys[:INPUT_BUF_SIZE]
    terminal.type(b"")
    assert terminal.lines == []  # the read goes on until the line ends
    terminal.type(b"end\n")
    assert terminal.lines == [keys[:INPUT_BUF_SIZE] + b"end\n"]


def test_the_ring_wraps_around() -> None:
    terminal = Terminal(count=50)
    for i in range(50):
        terminal.type(b"line number %d\n" % i)
    assert terminal.lines == [b"line number %d\n" % i for i in range(50)]


def test_control_p_lists_the_processes_and_leaves_the_line_alone() -> None:
    terminal = Terminal().type(b"a\x10b\n")
    assert terminal.k.procdumps == 1
    assert terminal.lines == [b"ab\n"]


def test_one_who_waits_can_be_killed() -> None:
    terminal = Terminal()
    terminal.k.run_until_idle()
    terminal.k.kill(terminal.reader)
    terminal.k.run()
    assert terminal.lines == [-1]
    assert terminal.k.console.readers == []


def test_the_workbench_sees_who_waits() -> None:
    terminal = Terminal(count=2)
    waits: list[int] = []
    terminal.k.console.on_read_wait = lambda p: waits.append(p.pid)
    terminal.type(b"")
    assert waits == [terminal.reader.pid] and terminal.k.console.readers == [terminal.reader]
    terminal.type(b"one\ntwo\n")
    assert waits == [terminal.reader.pid] and terminal.k.console.readers == []


def test_zero_and_negative_lengths_read_nothing_and_do_not_wait() -> None:
    assert Terminal(n=0, count=1).type(b"").lines == [b""]
    assert Terminal(n=-5, count=1).type(b"").lines == [b""]


def test_a_bad_address_ends_the_read_after_the_bytes_before_it() -> None:
    k = FakeKernel(CutDrive(bytes(BSIZE)))
    results: list[int] = []

    def program(k: FakeKernel, p: FakeProc) -> None:
        for va in (MEMORY_SIZE, MEMORY_SIZE - 2, 0):
            results.append(k.console.read(memory(k, p, va, 100)))
        results.append(p.memory[0])

    k.type(b"abcdefg\n")
    k.spawn(program)
    k.run()
    assert results == [0, 2, len(b"efg\n"), ord("e")]


def test_a_line_has_one_reader_though_the_copy_of_it_sleeps() -> None:
    k = FakeKernel(CutDrive(bytes(BSIZE)))
    slow = k.sleep_in_copyout(100)
    lines: list[bytes] = []

    def program(k: FakeKernel, p: FakeProc, va: int) -> None:
        n = k.console.read(memory(k, p, va, 50))
        lines.append(bytes(p.memory[va : va + n]))

    k.type(b"first\nsecond\n")
    for va in (100, 200):
        k.spawn(program, va)
    k.run_until_idle()
    k.wakeup(slow)
    k.run()
    assert lines == [b"second\n", b"first\n"]


def test_output_goes_out_whole_and_in_order_with_who_wrote_it() -> None:
    k = FakeKernel(CutDrive(bytes(BSIZE)))
    heard: list[tuple[int | None, bytes]] = []
    k.console.on_output = lambda pid, data: heard.append((pid, data))
    text = bytes(range(256)) * 40

    def program(k: Any, p: FakeProc) -> int:
        p.memory[: len(text)] = text
        return k.files.devices[CONSOLE].write(memory(k, p, 0, len(text)))

    process = k.spawn(program)
    k.run()
    k.printf("kernel\n")
    assert process.result == len(text)
    assert k.sent == text + b"kernel\n" == b"".join(data for _, data in heard)
    assert [pid for pid, _ in heard] == [process.pid] * 3 + [None]


@pytest.mark.parametrize("lab, unit", [(2019, 1), (2024, 1), (2025, 32)])
def test_output_from_a_bad_address_stops_there(lab: int, unit: int) -> None:
    """xv6 took a byte at a time, and takes 32 since 2025: those of which one is bad do not come out."""
    k = FakeKernel(CutDrive(bytes(BSIZE)))
    k.console = Console(k.uart, k.waits, lab, 0)
    good = [0, 3, 31, 32, 33, 100, 4096 + 33]

    def program(k: Any, p: FakeProc) -> list[int]:
        assert k.console.write(memory(k, p, 0, -1)) == 0
        return [k.console.write(memory(k, p, MEMORY_SIZE - n, n + 10)) for n in good]

    process = k.spawn(program)
    k.run()
    assert process.result == [n // unit * unit for n in good]
    assert k.sent == bytes(sum(process.result))


def test_a_transmitter_that_stays_full_is_a_panic() -> None:
    k = FakeKernel(CutDrive(bytes(BSIZE)))
    k.uart_device.load = lambda offset, size: 0  # type: ignore[method-assign]
    with pytest.raises(Panic, match="stays full"):
        k.printf("x")


# --- keys for a program that edits lines itself ---


def test_in_raw_mode_each_key_comes_at_once_and_is_not_echoed() -> None:
    terminal = Terminal(count=4, columns=80)
    assert terminal.k.console.set_mode(terminal.reader, TTY_RAW) == 80
    keys = b"a\x08\x7f\x15\x10\x04\0\xff\r"
    assert terminal.type(b"x").type(keys).lines == [b"x", keys[:-1] + b"\n"]
    assert terminal.k.sent == b""
    assert Terminal(n=3, count=3, columns=80).type(b"abcde\n").lines == [b"abc", b"de\n"]


def test_what_was_typed_ahead_is_handed_over_between_the_modes() -> None:
    terminal = Terminal(n=4, count=4, columns=80)
    terminal.k.type(b"one\nhal")
    terminal.k.console.set_mode(terminal.reader, TTY_RAW)
    assert terminal.type(b"").lines == [b"one\n", b"hal"]
    terminal = Terminal(count=2, columns=80)
    terminal.k.console.set_mode(terminal.reader, TTY_RAW)
    terminal.k.type(b"fx\x7four\nfive")
    assert terminal.k.sent == b""
    terminal.k.console.set_mode(terminal.reader, TTY_COOKED)
    assert terminal.k.sent == b"fx\b \bour\nfive"
    assert terminal.type(b"!\n").lines == [b"four\n", b"five!\n"]


def test_raw_mode_ends_with_its_process_alone() -> None:
    terminal = Terminal(columns=80)
    other = terminal.k.spawn(lambda k, p: None)
    terminal.k.console.set_mode(terminal.reader, TTY_RAW)
    terminal.k.console.release(other)
    terminal.k.type(b"ab\x7f")
    assert terminal.k.sent == b""
    terminal.k.console.release(terminal.reader)
    assert terminal.type(b"\n").lines == [b"a\n"]


def test_raw_mode_keeps_no_more_than_there_is_room_for() -> None:
    terminal = Terminal(n=INPUT_BUF_SIZE, columns=80)
    terminal.k.console.set_mode(terminal.reader, TTY_RAW)
    terminal.k.type(b"k" * (INPUT_BUF_SIZE + 5))
    assert terminal.k.console.room == 0
    terminal.k.console.set_mode(terminal.reader, TTY_COOKED)
    assert terminal.type(b"").lines == [b"k" * INPUT_BUF_SIZE]


def test_a_mode_needs_a_terminal_and_a_sense() -> None:
    for columns, mode in ((0, TTY_RAW), (0, TTY_ASK), (80, 3), (80, -1)):
        terminal = Terminal(columns=columns)
        with pytest.raises(SyscallError):
            terminal.k.console.set_mode(terminal.reader, mode)
        assert terminal.type(b"line\n").lines == [b"line\n"]
    assert Terminal(columns=7).k.console.set_mode(terminal.reader, TTY_ASK) == 7
