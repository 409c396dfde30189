"""Lines that are typed at gdb's terminal: what gdb answers, and what it should not."""

import random

import pytest

from orrery.gdb.terminal_lines import BUFFER, LINE_BYTES_MAX, GdbLines, Request


def test_a_line_comes_in_parts() -> None:
    request = Request()
    assert request.packet == b"Fread,0,%x,%x" % (BUFFER, LINE_BYTES_MAX)
    assert request.answer(b"X%x,0:" % BUFFER) == b"OK"
    assert request.answer(b"X%x,3:Ada" % BUFFER) == b"OK"
    assert request.answer(b"M%x,1:0a" % (BUFFER + 3)) == b"OK" and not request.is_over
    assert request.answer(b"F4") is None
    assert request.is_over and request.line == b"Ada\n"


@pytest.mark.parametrize(("reply", "line"), [(b"F0", b""), (b"F-1,4,C", None), (b"F-1,9", None)])
def test_ends_without_a_line(reply: bytes, line: bytes | None) -> None:
    request = Request()
    assert request.answer(reply) is None
    assert request.is_over and request.line == line


@pytest.mark.parametrize("wrong", [
    b"X1000,4:abcd", b"X%x,5:abcd" % BUFFER, b"X%x,1:a" % (BUFFER + LINE_BYTES_MAX),
    b"X%x,1:a" % (BUFFER - 1),
    b"M%x,1:zz" % BUFFER, b"X", b"M,", b"Xffffffffffffffffff,1:a",
])  # fmt: skip
def test_stores_elsewhere_are_refused(wrong: bytes) -> None:
    answer = Request().answer(wrong)
    assert answer is not None and answer.startswith(b"E")


def test_nothing_raises() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        request = Request()
        start = chance.choice((b"F", b"X%x,4:" % BUFFER, b"M%x," % BUFFER, b"v", b"Z0,"))
        request.answer(
            start + bytes(chance.choices(b"0123456789abcdef,;:-C\xff\x00", k=chance.randrange(12)))
        )
        assert request.line is None or request.is_over


def test_as_lines_of_a_script() -> None:
    lines = GdbLines(lambda: b"one\n")
    assert lines.next() == b"one\n" and not lines.at_end()
