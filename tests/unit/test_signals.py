"""How a run ends that is told to, when it does not look whether it is: by exception, then by force."""

import os
import signal
import time
from collections.abc import Callable
from itertools import count

import pytest

from orrery.console import guardian
from orrery.console.shutdown import CommandEnded, in_order
from orrery.console.signals import Halted, Signals
from orrery.pool.watchdog import Patience, Stuck

WALL_S_MAX = 30  # for what takes a second on an idle machine


def loop_for_ever() -> None:
    while True:
        pass


def loop_and_catch() -> None:
    while True:
        try:
            loop_for_ever()
        except BaseException:  # as bad as a kernel can be
            continue


def status_of(life: Callable[[], int], *signals: signal.Signals) -> int:
    """How a process ends that lives so, and gets these signals once it has begun."""
    begun_r, begun_w = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(begun_r)
            os.environ["BEGUN"] = str(begun_w)
            os._exit(life())
        finally:
            os._exit(99)
    os.close(begun_w)
    assert os.read(begun_r, 1) == b"."
    os.close(begun_r)
    began = time.monotonic()
    for number in signals:
        os.kill(pid, number)
        time.sleep(0.05)
    _, status = os.waitpid(pid, 0)
    assert time.monotonic() - began < WALL_S_MAX
    return os.waitstatus_to_exitcode(status)


def begun() -> None:
    os.write(int(os.environ["BEGUN"]), b".")


def run(what: Callable[[], object], timeout_s: float | None = None) -> int:
    """A run that does `what`, and does not look whether it is to stop."""
    try:
        with Signals(timeout_s) as signals:
            signals.attach(lambda: None)
            begun()
            what()
    except Halted as halted:
        return halted.status
    return 0


@pytest.mark.parametrize(
    ("what", "signals", "status"),
    [
        (loop_for_ever, (signal.SIGTERM,), 143),
        (loop_for_ever, (signal.SIGINT, signal.SIGINT), 130),
        (loop_and_catch, (signal.SIGHUP,), 129),
        (loop_and_catch, (signal.SIGINT, signal.SIGINT, signal.SIGINT), 130),
        (lambda: time.sleep(1000), (signal.SIGINT,), 130),
    ],
)
def test_a_signal_ends_what_does_not_look(
    what: Callable[[], object], signals: tuple[signal.Signals, ...], status: int
) -> None:
    assert status_of(lambda: run(what), *signals) == status


@pytest.mark.parametrize("what", [loop_for_ever, loop_and_catch])
def test_so_does_the_limit_of_wall_time(what: Callable[[], object]) -> None:
    assert status_of(lambda: run(what, 0.1)) == 124


def test_it_is_told_where_python_was() -> None:
    with pytest.raises(Halted, match="124") as caught, Signals(0.01) as signals:
        signals.attach(lambda: None)
        loop_for_ever()
    assert "test_signals.py" in caught.value.where and caught.value.where.endswith(" in loop_for_ever")
    assert isinstance(caught.value, CommandEnded) and not isinstance(caught.value, Exception)


def test_who_stops_when_asked_is_not_halted() -> None:
    asked: list[float] = []
    with Signals(0.01) as signals:
        signals.attach(lambda: asked.append(time.monotonic()))
        while not asked:
            pass
    assert signals.timed_out and signals.halted is None


def test_ticks_come_while_it_runs_and_not_while_it_waits() -> None:
    ticks: list[int] = []
    read, write = os.pipe()
    with Signals(None) as signals:
        signals.on_tick = lambda frame: ticks.append(1)
        signals.attach(lambda: None)
        while not ticks:
            pass
        before = len(ticks)
        assert not signals.wait(read, 0.6)
        assert len(ticks) == before
        os.write(write, b"x")
        assert signals.wait(read, None)
    os.close(read)
    os.close(write)


# --- what Python cannot do ---


def guarded(what: Callable[[], object]) -> int:
    with in_order(["run"], own=True):
        return run(what)


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)])
def test_a_guardian_ends_a_process_in_a_call_without_end(signals: tuple[signal.Signals, ...]) -> None:
    assert status_of(lambda: guarded(lambda: sum(count())), *signals) == -signal.SIGKILL


def test_a_guardian_ends_one_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian, "DEAD_TICKS", 3)
    assert status_of(lambda: guarded(lambda: sum(count()))) == -signal.SIGKILL


def test_a_guardian_leaves_alone_what_ends_by_itself() -> None:
    def end() -> int:
        status = guarded(lambda: None)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, 0)
        return status

    assert status_of(end) == 0


def test_a_run_goes_on_without_its_guardian() -> None:
    def orphan() -> None:
        guard = guardian.current()
        assert guard is not None
        os.kill(guard._pid, signal.SIGKILL)
        read, _ = os.pipe()
        with Signals(None) as signals:
            assert not signals.wait(read, 0.01)

    assert status_of(lambda: guarded(orphan)) == 0


def test_a_command_without_a_machine_unwinds() -> None:
    def unwind() -> int:
        try:
            with in_order(["mkfs"], own=True):
                begun()
                time.sleep(1000)
        except CommandEnded as ended:
            return ended.status
        return 0

    assert status_of(unwind, signal.SIGTERM) == 143
    assert status_of(unwind, signal.SIGHUP) == 129


# --- patience ---


def test_patience_ends_by_cpu_time_without_a_change() -> None:
    now = 0
    patience = Patience(lambda: now, 0.1)
    time.sleep(0.2)
    assert not patience.look(None)  # sleeping is no computing
    end = time.process_time() + 0.12
    while time.process_time() < end:
        pass
    now = 1
    assert patience.look(None)
    end = time.process_time() + 0.12
    while time.process_time() < end:
        pass
    with pytest.raises(Stuck, match=r"no progress in 0.1 s of CPU time"):
        patience.look(None)
    assert patience.stucks == 1 and not patience.look(None)
