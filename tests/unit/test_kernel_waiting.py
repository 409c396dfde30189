"""Whose turn it is: who waits for something gets it before all who come later, and every wait ends.

A process of the stand-in runs until it sleeps, so one that gives something back and asks for it again at once
has every chance to take it from those who were woken.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from fake_kernel import Comparator, CutDrive, FakeKernel, FakeProc, attempt, memory
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.abi.disk import BSIZE
from kernel.abi.fcntl import O_CREATE, O_NOFOLLOW, O_RDWR, O_WRONLY
from kernel.abi.param import PIPESIZE
from kernel.block.device import BLOCKS_PER_REQUEST_MAX, READ
from kernel.errors import SyscallError
from kernel.fs.pipe import Pipe
from kernel.fs.xv6fs.log import Log
from kernel.sleeplock import SleepLock
from kernel.timer import NEVER, Timer
from kernel.wait import Cause, WaitQueue, Waits
from kernel.xv6 import sysfile
from toolchain.mkfs import build

GREEDY_ROUNDS = 60
IMAGE = bytes(build({"f": b"f" * 3000, "g": b""}, size=400, ninodes=64))


def kernel() -> FakeKernel:
    return FakeKernel(CutDrive(IMAGE), latency_ticks=1000).mount()


def in_root(k: FakeKernel, function: Callable[..., Any], *args: Any) -> FakeProc:
    return k.spawn(function, *args, cwd=k.inodes.get(k.fs, 1))


# --- a wait ---


def waiter(k: Any, *queues: WaitQueue, until: int | None = None) -> tuple[FakeProc, list[Cause]]:
    """A process that waits in these queues, and what became of that."""
    causes: list[Cause] = []
    p = k.spawn(lambda k, p: causes.append(k.waits.wait(*queues, until=until)))
    k.run_until_idle()
    return p, causes


def with_timer(k: Any) -> tuple[Timer, Any]:
    comparator = Comparator()
    timer: Timer = Timer(comparator)  # type: ignore[arg-type]
    k.waits = Waits(k, timer)
    return timer, comparator


def test_the_first_of_several_queues_ends_a_wait_and_the_others_forget_it() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    first, second = WaitQueue(k.waits, "first"), WaitQueue(k.waits, "second")
    p, causes = waiter(k, first, second)
    assert p.wait is not None and p.wait.subjects == ("first", "second") and not causes
    second.notify()
    assert p.wait is None and first.waits == second.waits == []
    first.notify()  # it runs already
    assert list(k.ready) == [p]
    k.run()
    assert causes == [Cause.NOTIFIED]


def test_a_wait_ends_at_its_time_and_not_before() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    timer, comparator = with_timer(k)
    queue = WaitQueue(k.waits, "it")
    p, causes = waiter(k, queue, until=1000)
    assert comparator.armed <= 1000
    comparator.time = 999
    timer.intr()
    k.run_until_idle()
    assert not causes and comparator.armed == 1000
    comparator.time = 1000
    timer.intr()
    assert queue.waits == [] and list(k.ready) == [p]
    queue.notify()
    k.run()
    assert causes == [Cause.LIMIT]


def test_a_wait_that_ends_in_time_takes_its_alarm_along() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    timer, comparator = with_timer(k)
    queue = WaitQueue(k.waits, "it")
    _, causes = waiter(k, queue, until=1000)
    queue.notify()
    k.run()
    timer.before_idle()
    assert causes == [Cause.NOTIFIED] and comparator.armed == NEVER


def test_a_kill_interrupts_a_wait_and_forbids_the_next() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    with_timer(k)
    queue, other = WaitQueue(k.waits, "it"), WaitQueue(k.waits, "other")
    p, causes = waiter(k, queue, other, until=1000)
    p2, causes2 = waiter(k, queue)
    k.kill(p)
    assert [wait.thread for wait in queue.waits] == [p2] and other.waits == []
    k.run_until_idle()
    assert causes == [Cause.INTERRUPTED] and not causes2
    late = k.spawn(lambda k, p: causes.append(k.waits.wait(queue)))
    k.kill(late)
    k.run_until_idle()
    assert causes == [Cause.INTERRUPTED] * 2, "who is killed already does not wait at all"


def test_waits_end_in_the_order_in_which_they_began() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    first, second = WaitQueue(k.waits, "first"), WaitQueue(k.waits, "second")
    a, b, c = (waiter(k, *queues)[0] for queues in ((second, first), (first,), (second,)))
    first.notify()
    second.notify()
    assert list(k.ready) == [a, b, c]


def test_who_only_looks_takes_no_turn_from_those_who_wait_for_theirs() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    queue, units, got = WaitQueue(k.waits, "units"), 0, list[str]()

    def take(k: Any, p: FakeProc) -> None:
        nonlocal units
        queue.wait(lambda: units > 0)
        units -= 1
        got.append("taken")

    k.spawn(take)
    _, causes = waiter(k, queue)
    queue.notify()
    k.run_until_idle()
    assert causes == [Cause.NOTIFIED] and not got, "something happened, but there is nothing to take"
    units = 1
    queue.notify()
    k.run()
    assert got == ["taken"] and units == 0


def test_sleepers_on_a_channel_are_forgotten_when_they_are_woken_or_killed() -> None:
    k: Any = FakeKernel(CutDrive(IMAGE))
    a, b = (k.spawn(lambda k, p: k.sleep("channel")) for _ in range(2))
    k.run_until_idle()
    k.kill(a)
    assert [wait.thread for wait in k.waits._channels["channel"].waits] == [b]
    k.wakeup("channel")
    k.run()
    assert k.waits._channels == {}


# --- a lock ---


def test_a_lock_goes_to_who_waits_longest_and_not_to_who_had_it() -> None:
    k: Any = kernel()
    lock, order, pause = SleepLock(k, "it"), list[str](), object()

    def greedy(k: Any, p: FakeProc) -> None:
        lock.acquire()
        k.sleep(pause)
        for _ in range(3):
            order.append("greedy")
            lock.release()
            lock.acquire()
        lock.release()

    def modest(k: Any, p: FakeProc, name: str) -> None:
        lock.acquire()
        order.append(name)
        lock.release()

    k.spawn(greedy)
    for name in ("a", "b", "c"):
        k.spawn(modest, name)
    k.run_until_idle()
    k.wakeup(pause)
    k.run()
    assert order == ["greedy", "a", "b", "c", "greedy", "greedy"]
    assert lock.holder is None


def test_one_who_is_killed_while_it_waits_for_a_lock_keeps_its_place() -> None:
    k: Any = kernel()
    lock, order, pause = SleepLock(k, "it"), list[str](), object()

    def holder(k: Any, p: FakeProc) -> None:
        lock.acquire()
        k.sleep(pause)
        lock.release()

    def waiter(k: Any, p: FakeProc, name: str) -> None:
        lock.acquire()
        order.append(name)
        lock.release()

    k.spawn(holder)
    first = k.spawn(waiter, "first")
    k.spawn(waiter, "second")
    k.run_until_idle()
    k.kill(first)
    k.run_until_idle()
    assert order == []
    k.wakeup(pause)
    k.run()
    assert order == ["first", "second"]


def test_nobody_takes_a_lock_twice() -> None:
    k: Any = kernel()
    lock = SleepLock(k, "it")

    def program(k: Any, p: FakeProc) -> None:
        lock.acquire()
        lock.acquire()

    with pytest.raises(AssertionError, match="takes a lock twice"):
        k.call(program)


# --- a queue of those who wait ---

steps = st.lists(st.tuples(st.sampled_from(["give", "take", "kill"]), st.integers(0, 5)), max_size=30)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(steps)
def test_a_queue_serves_in_the_order_of_arrival(steps: list[tuple[str, int]]) -> None:
    """Against a model: a store of units; who takes n waits until it is first and there are n."""
    k: Any = kernel()
    queue = WaitQueue(k, "units")
    units, taken, waiting = 0, list[int](), list[tuple[FakeProc, int]]()
    expected: list[int] = []
    stock = 0

    def take(k: Any, p: FakeProc, n: int) -> None:
        nonlocal units
        if queue.wait(lambda: units >= n, killable=True):
            units -= n
            taken.append(p.pid)
            queue.notify()

    for what, n in steps:
        if what == "give":
            units += n
            stock += n
            queue.notify()
        elif what == "take":
            waiting.append((k.spawn(take, n), n))
        elif waiting:
            k.kill(waiting.pop(n % len(waiting))[0])
        while waiting and waiting[0][1] <= stock:
            stock -= waiting[0][1]
            expected.append(waiting.pop(0)[0].pid)
        k.run_until_idle()
        assert taken == expected and units == stock
    assert [p.pid for p, _ in queue.waiting] == [p.pid for p, _ in waiting]


# --- the log ---


def operations_before(modest: Callable[[Any, FakeProc], None]) -> int:
    """How many operations a process that begins one after the other has done when `modest` is through."""
    k: Any = kernel()
    count, at = 0, -1

    def greedy(k: Any, p: FakeProc) -> None:
        nonlocal count
        for i in range(GREEDY_ROUNDS):
            with k.log, k.inodes.get(k.fs, 2).borrowed() as ip:
                ip.write(0, b"%d" % i * 8 * BSIZE)
            count += 1

    def other(k: Any, p: FakeProc) -> None:
        nonlocal at
        modest(k, p)
        at = count

    in_root(k, greedy)
    in_root(k, other)
    k.run()
    assert count == GREEDY_ROUNDS
    return at


def test_an_operation_begins_though_another_process_never_stops_to_begin_some() -> None:
    def modest(k: Any, p: FakeProc) -> None:
        with k.log:
            pass

    assert operations_before(modest) <= 2

    def maker(k: Any, p: FakeProc) -> None:
        for i in range(3):
            sysfile.sys_mkdir(k, p, b"d%d" % i)

    assert operations_before(maker) <= 16


def open_close(mode: int) -> Callable[[Any, FakeProc], None]:
    return lambda k, p: attempt(sysfile.sys_close, k, p, sysfile.sys_open(k, p, b"f", mode)) and None


READERS: dict[str, Callable[[Any, FakeProc], None]] = {
    "open": open_close(0),
    "open to write": open_close(O_WRONLY),
    "open without following": open_close(O_NOFOLLOW),
    "open of a directory": lambda k, p: sysfile.sys_close(k, p, sysfile.sys_open(k, p, b"/", 0)) and None,
    "open of nothing": lambda k, p: attempt(sysfile.sys_open, k, p, b"nothing", 0) and None,
    "chdir": lambda k, p: sysfile.sys_chdir(k, p, b"/") and None,
    "chdir to a file": lambda k, p: attempt(sysfile.sys_chdir, k, p, b"f") and None,
}


@pytest.mark.parametrize("name", READERS)
def test_what_only_reads_needs_no_operation_of_the_log(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    k = kernel()
    monkeypatch.setattr(Log, "begin_op", lambda self: pytest.fail("an operation was begun"))
    monkeypatch.setattr(Log, "__enter__", Log.begin_op)
    k.call(READERS[name])


def test_the_last_reference_of_a_nameless_file_is_dropped_in_an_operation() -> None:
    """By close, by chdir out of a removed directory, and by a walk while another unlinks the file."""
    k = kernel()

    def program(k: Any, p: FakeProc) -> None:
        fd = sysfile.sys_open(k, p, b"gone", O_CREATE | O_RDWR)
        sysfile.sys_unlink(k, p, b"gone")
        inum = p.files.ofile[fd].ip.inum  # type: ignore[union-attr, attr-defined]
        sysfile.sys_close(k, p, fd)
        assert k.inodes.inodes[1, inum].ref == 0 and not k.inodes.inodes[1, inum].valid
        sysfile.sys_mkdir(k, p, b"d")
        sysfile.sys_chdir(k, p, b"d")
        inum = p.files.cwd.inum
        sysfile.sys_unlink(k, p, b"/d")
        sysfile.sys_chdir(k, p, b"/")
        assert k.inodes.inodes[1, inum].ref == 0 and not k.inodes.inodes[1, inum].valid
        with suppress(SyscallError), k.inodes.reaping(), k.inodes.get(k.fs, 3).kept() as ip:
            sysfile.sys_unlink(k, p, b"g")
            assert ip.nlink == 0 and ip.valid
            raise SyscallError(2, "the call fails after all")
        assert k.inodes.inodes[1, 3].ref == 0 and not k.inodes.inodes[1, 3].valid

    k.call(program)
    again = FakeKernel(CutDrive(k.drive.read(0, k.drive.capacity))).mount()
    assert again.sent == b"", "nothing was left to be freed"


# --- pipes ---


def test_readers_of_a_pipe_take_turns() -> None:
    k: Any = kernel()
    pipe = Pipe(k)
    k.files.reserve(2)
    order: list[str] = []

    def read(k: Any, p: FakeProc, name: str, times: int) -> None:
        for _ in range(times):
            if pipe.read(memory(k, p, 0, 10)):
                order.append(name)

    def write(k: Any, p: FakeProc) -> None:
        for _ in range(6):
            pipe.write(memory(k, p, 0, 20))  # for two of them
        k.files.close(pipe.writer)

    for name in ("a", "b", "c"):
        k.spawn(read, name, 5)
    k.run_until_idle()
    k.spawn(write)
    k.run()
    assert order[:3] == ["a", "b", "c"] and all(order.count(name) == 4 for name in "abc")


def test_writers_of_a_pipe_take_turns_with_what_does_not_fit() -> None:
    k: Any = kernel()
    pipe = Pipe(k)
    k.files.reserve(2)
    seen = bytearray()

    def write(k: Any, p: FakeProc, byte: int, n: int) -> None:
        p.memory[:n] = bytes((byte,)) * n
        assert pipe.write(memory(k, p, 0, n)) == n

    def read(k: Any, p: FakeProc) -> None:
        while len(seen) < 8 * PIPESIZE + 2:
            n = pipe.read(memory(k, p, 0, PIPESIZE))
            seen.extend(p.memory[:n])

    k.spawn(write, ord("L"), 8 * PIPESIZE)
    k.spawn(write, ord("a"), 1)
    k.spawn(write, ord("b"), 1)
    k.run_until_idle()
    k.spawn(read)
    k.run()
    assert len(seen) == 8 * PIPESIZE + 2
    assert seen.index(b"a") < seen.index(b"b") <= 3 * PIPESIZE, "small ones go between"


def test_a_killed_reader_passes_its_turn_on() -> None:
    k: Any = kernel()
    pipe = Pipe(k)
    k.files.reserve(2)
    got: list[tuple[int, int]] = []

    def read(k: Any, p: FakeProc) -> None:
        got.append((p.pid, attempt(lambda: pipe.read(memory(k, p, 0, 10)))))

    procs = [k.spawn(read) for _ in range(3)]
    k.run_until_idle()

    def write(k: Any, p: FakeProc) -> None:
        pipe.write(memory(k, p, 0, 5))
        k.kill(procs[0])  # woken by the write, and killed before it runs
        k.sleep("later")

    k.spawn(write)
    k.run_until_idle()
    assert got == [(procs[0].pid, -1), (procs[1].pid, 5)]
    k.files.close(pipe.writer)
    k.run_until_idle()
    assert got[2:] == [(procs[2].pid, 0)]


@pytest.mark.parametrize("writes", [False, True])
def test_all_who_wait_learn_that_the_other_end_was_closed(writes: bool) -> None:
    k: Any = kernel()
    pipe = Pipe(k)
    k.files.reserve(2)
    ends: list[int] = []

    def wait(k: Any, p: FakeProc) -> None:
        ends.append(attempt(pipe.write if writes else pipe.read, memory(k, p, 0, 2 * PIPESIZE)))

    for _ in range(4):
        k.spawn(wait)
    k.run_until_idle()
    assert ends == []
    k.files.close(pipe.reader if writes else pipe.writer)
    k.run()
    assert ends == [-1 if writes else 0] * 4


# --- the console, the disk ---


def test_lines_of_the_console_go_round_though_one_reader_never_stops() -> None:
    k: Any = kernel()
    lines: list[tuple[str, bytes]] = []

    def read(k: Any, p: FakeProc, name: str) -> None:
        for _ in range(2):
            n = k.console.read(memory(k, p, 0, 100))
            lines.append((name, bytes(p.memory[:n])))

    def late(k: Any, p: FakeProc) -> None:
        k.type(b"3\n4\n")  # there are two who wait, woken or not
        read(k, p, "late")

    k.spawn(read, "a")
    k.spawn(read, "b")
    k.run_until_idle()
    k.type(b"1\n2\n")
    k.run_until_idle()
    assert lines == [("a", b"1\n"), ("b", b"2\n")]
    k.spawn(late)
    k.run_until_idle()
    assert lines[2:] == [("a", b"3\n"), ("b", b"4\n")]
    k.type(b"5\n6\n")
    k.run()
    assert lines[4:] == [("late", b"5\n"), ("late", b"6\n")]


def test_a_line_goes_to_the_next_where_the_first_was_killed() -> None:
    k: Any = kernel()
    got: list[tuple[int, int]] = []

    def read(k: Any, p: FakeProc) -> None:
        got.append((p.pid, attempt(k.console.read, memory(k, p, 0, 10))))

    first, second = k.spawn(read), k.spawn(read)
    k.run_until_idle()
    k.type(b"abc\n")
    k.type(b"de\n")
    k.kill(first)
    k.run()
    assert got == [(first.pid, -1), (second.pid, 4)]
    assert k.console.readers == []


def test_who_reads_a_line_byte_by_byte_reads_it_to_its_end() -> None:
    k: Any = kernel()
    got: dict[str, bytes] = {"a": b"", "b": b""}

    def read(k: Any, p: FakeProc, name: str) -> None:
        while not got[name].endswith(b"\n"):
            k.console.read(memory(k, p, 0, 1))
            got[name] += p.memory[:1]

    k.spawn(read, "a")
    k.spawn(read, "b")
    k.run_until_idle()
    k.type(b"one\ntwo\n")
    k.run()
    assert got == {"a": b"one\n", "b": b"two\n"}


def test_a_long_request_of_the_disk_is_not_kept_out_by_short_ones() -> None:
    k: Any = kernel()
    pas = [k.ram.base + (700 + i) * BSIZE for i in range(BLOCKS_PER_REQUEST_MAX)]
    short, at = 0, -1

    def greedy(k: Any, p: FakeProc) -> None:
        nonlocal short
        for _ in range(400):
            k.disk.submit(READ, 0, pas[:1])
            k.disk.kick()
            short += 1

    def long(k: Any, p: FakeProc) -> None:
        nonlocal at
        k.disk.submit(READ, 0, pas)
        at = short

    for _ in range(2):
        k.spawn(greedy)
    k.spawn(long)
    k.run()
    assert short == 800 and 0 <= at < 200


def test_a_lock_that_is_released_wakes_nobody_but_the_one_who_has_it_now() -> None:
    k: Any = FakeKernel(CutDrive(bytes(4 * BSIZE)))
    lock = SleepLock(k, "a thing")
    woken: list[int] = []

    def program(k: Any, p: FakeProc) -> None:
        lock.acquire()
        if p.pid == 1:
            k.ready.append(p)  # the others come first
            k.current = None
            k._scheduler.switch()
            k.current = p
        before = len(k.ready)
        lock.release()
        woken.append(len(k.ready) - before)

    for _ in range(4):
        k.spawn(program)
    k.run()
    assert woken == [1, 1, 1, 0]
    with pytest.raises(AssertionError, match="only a held lock is released: lock of a thing"):
        lock.release()
