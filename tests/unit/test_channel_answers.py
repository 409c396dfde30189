"""What a process with a student's kernel may send: an answer, or an error at who asked; never more."""

import json
import marshal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from kernel.kernel import KernelPanic
from orrery.errors import CannotGoOn
from orrery.pool.channel import ANSWER_BYTES_MAX, PROTOCOL, BadAnswer, Channel, Hangup
from orrery.pool.forked_machine import ForkedMachine

STATE = [10**9, 0, {"bytes": ""}, [], []]
GREETING = [True, [PROTOCOL, []], STATE]


def message(value: object) -> bytes:
    return framed(json.dumps(value).encode())


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(8, "little") + body


def sent(data: bytes) -> object:
    channel, far = Channel.pair()
    with far:
        far.sendall(data)
    try:
        return channel.receive_answer(ANSWER_BYTES_MAX, 5)
    finally:
        channel.close()


def test_values_arrive_as_they_were() -> None:
    channel, far = Channel.pair()
    value = [None, True, -(2**70), 1.5, "\udcff\0", b"", bytes(range(256)), {"a": [b"x"]}]
    other = Channel(far)
    other.answer((tuple(value), b"\0" * 3))
    assert channel.receive_answer(ANSWER_BYTES_MAX) == [value, b"\0" * 3]
    channel.close()
    other.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0" * 100,
        b"nul",
        marshal.dumps((True, 1, ())),
        marshal.dumps(compile("print(1)", "x", "exec")),
        b"[" * 100_000,
        b'{"bytes": 3}',
        b'{"bytes": "*"}',
        b'{"bytes": ["a"]}',
        b"1" * 5000,
        b"\xff\xfe",
        b'"\\ud800',
    ],
    ids=range(12),
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        sent(framed(body))


def test_lengths_that_lie() -> None:
    for size in (ANSWER_BYTES_MAX + 1, 1 << 63):
        with pytest.raises(BadAnswer, match="more than the"):
            sent(size.to_bytes(8, "little"))
    with pytest.raises(Hangup):
        sent((100).to_bytes(8, "little") + b"[")


def test_one_that_is_silent_and_one_that_trickles() -> None:
    for trickle in (False, True):
        channel, far = Channel.pair()
        begin = time.monotonic()
        if trickle:
            far.sendall((100).to_bytes(8, "little"))
        with pytest.raises(TimeoutError):
            channel.receive_answer(ANSWER_BYTES_MAX, 0.05)
        assert time.monotonic() - begin < 5
        channel.close()
        far.close()


def test_one_that_takes_nothing_has_hung_up(monkeypatch: pytest.MonkeyPatch) -> None:
    channel, far = Channel.pair(1)
    with far, pytest.raises(Hangup):
        channel.send(b"x" * (1 << 23))
    channel.close()


def machine_that_gets(answer: object) -> tuple[ForkedMachine, socket.socket]:
    """A machine whose process says `answer` to whatever it is asked first."""
    channel, far = Channel.pair()
    far.sendall(message(GREETING) + message(answer))
    return ForkedMachine(channel, lambda: "", 5), far


CALLS: dict[str, Callable[[ForkedMachine], object]] = {
    "sh": lambda machine: machine.sh("ls"),
    "expect": lambda machine: machine.expect("x"),
    "read": lambda machine: machine.read(0x80000000, 4),
    "reg": lambda machine: machine.reg("pc"),
    "digest": lambda machine: machine.digest(),
    "run_until": lambda machine: machine.run_until("fork"),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_of_the_wrong_type_fail(name: str) -> None:
    for result in (None, True, [], {"a": 1}, ["x"], [1, 2, 3], 1.5, {"bytes": "AA=="}):
        machine, far = machine_that_gets([True, result, STATE])
        with far, pytest.raises(CannotGoOn, match="does not answer as it should"):
            CALLS[name](machine)
        assert machine.closed


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        [True, "x"],
        [1, "x", STATE],
        [True, "x", [0, 0, {"bytes": ""}, []]],
        [True, "x", ["0", 0, {"bytes": ""}, [], []]],
        [True, "x", [0, True, {"bytes": ""}, [], []]],
        [True, "x", [0, 0, "text", [], []]],
        [True, "x", [0, 0, {"bytes": ""}, [["syscall"]], []]],
        [True, "x", [0, 0, {"bytes": ""}, [["nosuch", 1]], []]],
        [True, "x", [0, 0, {"bytes": ""}, [], [3]]],
        [False, None, STATE],
        [False, ["SystemExit", "0", {}, []], STATE],
        [False, ["KeyboardInterrupt", "", {}, []], STATE],
        [False, ["Skipped", "", {}, []], STATE],
        [False, [["x"], "", {}, []], STATE],
        [False, ["OSError", 3, {}, []], STATE],
        [False, ["OSError", "x", 3, []], STATE],
    ],
    ids=range(18),
)
def test_answers_of_the_wrong_form_fail(answer: object) -> None:
    machine, far = machine_that_gets(answer)
    with far, pytest.raises(CannotGoOn, match="does not answer as it should"):
        machine.sh("ls")


def test_an_exception_has_no_attributes_but_plain_ones() -> None:
    fields = {"__class__": "x", "__notes__": "y", "status": 3, "more": [1]}
    machine, far = machine_that_gets([False, ["KernelPanic", "oh", fields, ["a note", 5]], STATE])
    with far, pytest.raises(KernelPanic, match="oh") as panic:
        machine.sh("ls")
    assert vars(panic.value) == {"status": 3, "__notes__": ["a note", "5"]}


def test_another_version_says_so() -> None:
    channel, far = Channel.pair()
    far.sendall(message([True, [PROTOCOL - 1, []], STATE]))
    with far, pytest.raises(CannotGoOn, match="of another version: bring it up to date"):
        ForkedMachine(channel, lambda: "")


def test_an_answer_during_which_the_caller_waits_arrives_whole() -> None:
    channel, far = Channel.pair()
    other = Channel(far)
    data = bytes(1 << 21)
    thread = threading.Thread(target=lambda: other.answer(data))
    thread.start()
    assert channel.receive_answer(ANSWER_BYTES_MAX, 20) == data
    thread.join()
    channel.close()
    other.close()
